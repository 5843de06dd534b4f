//! Secrets by name: looked up when a session begins, and taken out of everything that is kept or shown.

mod resolve;
mod source;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::base64::{STANDARD, URL_SAFE, base64};
use crate::scrub::{HIDDEN, Needles};
pub(crate) use resolve::resolve;
pub use source::SecretSource;

/// How many of the secrets that were learnt on the way are remembered.
const REMEMBERED: usize = 64;

/// The secrets of a run, by name.
pub(crate) struct Secrets {
    values: Value,
    needles: Needles,
    /// What turned out to be one on the way, the oldest first.
    learnt: RwLock<VecDeque<Needles>>,
}

impl Secrets {
    /// These, by name.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        let needles = Needles::new(values.values().flat_map(|value| spellings(value)));
        let values = values.into_iter().map(|(name, value)| (name, Value::String(value))).collect::<Map<_, _>>();
        Self { values: Value::Object(values), needles, learnt: RwLock::default() }
    }

    /// None, but each of these names has a value to show in its place: what does nothing needs no secrets.
    pub fn pretended<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self::new(names.map(|name| (name.to_string(), HIDDEN.to_string())).collect())
    }

    /// What expressions name `secrets`. Only for fields that may hold one; what is made of it must never be kept or shown.
    pub fn value(&self) -> &Value {
        &self.values
    }

    /// Takes this text out from now on as well: a token that was fetched, a secret that was worked out of another.
    pub fn learn(&self, value: &str) {
        let needles = Needles::new(spellings(value));
        let mut learnt = self.learnt.write().unwrap_or_else(PoisonError::into_inner);
        if learnt.len() == REMEMBERED {
            learnt.pop_front();
        }
        learnt.push_back(needles);
    }

    /// The text with `***` where a secret was: as it is, with JSON's escapes, percent-encoded, or as part of something in base64
    /// such as `Basic` credentials.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let learnt = self.learnt.read().unwrap_or_else(PoisonError::into_inner);
        let scrub = |text: Cow<'t, str>, needles: &Needles| match needles.scrub(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(scrubbed) => Cow::Owned(scrubbed),
        };
        learnt.iter().fold(scrub(Cow::Borrowed(text), &self.needles), scrub)
    }

    /// The same for bytes of any kind.
    pub fn scrub_bytes(&self, bytes: Bytes) -> Bytes {
        let learnt = self.learnt.read().unwrap_or_else(PoisonError::into_inner);
        let scrub = |bytes: Bytes, needles: &Needles| needles.scrub_bytes(&bytes).map_or(bytes, Bytes::from);
        learnt.iter().fold(scrub(bytes, &self.needles), scrub)
    }
}

/// The value and what it is in base64, wherever in a text that was encoded it stood.
fn spellings(value: &str) -> Vec<String> {
    let mut spellings = vec![value.to_string()];
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(value.bytes()).collect();
            // Only the characters that no byte before or behind it has a share in.
            let (first, behind) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            spellings.extend(base64(&bytes, alphabet).get(first..behind).map(str::to_string));
        }
    }
    spellings
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.as_object().map_or(0, Map::len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(BTreeMap::from([("token".to_string(), "s3cr3t+/\"tök".to_string())]))
    }

    #[test]
    fn a_secret_is_taken_out_of_basic_credentials_whatever_stands_beside_it() {
        let secrets = secrets();
        for user in ["", "a", "ab", "abc", "abcd", "someone@example.com"] {
            for alphabet in [STANDARD, URL_SAFE] {
                for behind in ["", "!", "!!"] {
                    let plain = format!("{user}:s3cr3t+/\"tök{behind}");
                    let encoded = base64(plain.as_bytes(), alphabet);
                    let shown = secrets.scrub(&encoded).into_owned();
                    assert!(shown.contains("***"), "{plain}: {shown}");
                    // What is left of it are the characters that it shares with its neighbours.
                    assert!(
                        shown.len() <= base64(format!("{user}:{behind}").as_bytes(), alphabet).len() + 3 + 4,
                        "{plain}: {shown}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_secret_is_taken_out_and_so_is_what_was_learnt() {
        let secrets = secrets();
        assert_eq!(secrets.scrub(r#"{"Authorization":"Bearer s3cr3t+/\"tök"}"#), r#"{"Authorization":"Bearer ***"}"#);
        assert_eq!(secrets.scrub("https://h/?t=s3cr3t%2B%2F%22t%C3%B6k&x=1"), "https://h/?t=***&x=1");
        assert!(matches!(secrets.scrub("fetched-token"), Cow::Borrowed("fetched-token")));
        secrets.learn("fetched-token");
        secrets.learn("abc");
        assert_eq!(secrets.scrub("fetched-token s3cr3t+/\"tök abc"), "*** *** abc");
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
    }

    #[test]
    fn pretended_ones_are_shown_as_they_are() {
        let secrets = Secrets::pretended(["token"].into_iter());
        assert_eq!(secrets.value(), &serde_json::json!({ "token": "***" }));
        assert_eq!(secrets.scrub("Bearer ***"), "Bearer ***");
    }
}
