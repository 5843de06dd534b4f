//! [`Globs`]: patterns over the keys of objects.

use std::borrow::Cow;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One or more globs. `*` and `?` stay within a folder, `**` does not; a glob without `/` is held against the last part of a key.
#[derive(Debug, Clone)]
pub struct Globs {
    texts: Vec<String>,
    whole: GlobSet,
    last_part: GlobSet,
}

impl Globs {
    /// Reads globs.
    ///
    /// # Errors
    /// Which one is not well-formed, and why, as a lowercase fragment.
    pub fn new(texts: Vec<String>) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("an empty list has no globs: expected at least one, such as `*.jpg`".to_string());
        }
        let (mut whole, mut last_part) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for text in &texts {
            if text.is_empty() {
                return Err("an empty text is not a glob: expected one such as `*.jpg`".to_string());
            }
            if text.starts_with('/') || text.starts_with("./") {
                return Err(format!("`{text}` matches nothing: keys do not begin with `/` or `./`"));
            }
            let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
            let glob = glob.map_err(|error| format!("`{text}` is not a glob: {}", error.kind()))?;
            if text.contains('/') {
                whole.add(glob)
            } else {
                last_part.add(glob)
            };
        }
        let built = |builder: GlobSetBuilder| builder.build().map_err(|error| format!("the globs cannot be used: {error}"));
        Ok(Self { whole: built(whole)?, last_part: built(last_part)?, texts })
    }

    /// Whether the key matches one of them.
    pub fn is_match(&self, key: &str) -> bool {
        let last = key.rsplit_once('/').map_or(key, |(_, last)| last);
        self.last_part.is_match(last) || self.whole.is_match(key)
    }

    /// The globs as written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl<'de> Deserialize<'de> for Globs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = match Value::deserialize(deserializer)? {
            Value::String(text) => vec![text],
            Value::Array(texts) => {
                serde_json::from_value(texts.into()).map_err(|_| D::Error::custom("a glob in the list is not a text"))?
            }
            other => {
                return Err(D::Error::custom(format!(
                    "{other} is not a glob: expected a text such as `*.jpg`, or a list of them"
                )));
            }
        };
        Self::new(texts).map_err(D::Error::custom)
    }
}

impl JsonSchema for Globs {
    fn schema_name() -> Cow<'static, str> {
        "Globs".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::Globs;

    #[test]
    fn a_glob_without_slash_is_held_against_the_last_part() {
        let globs = Globs::new(vec!["*.{jpg,JPG}".into(), "raw/*.png".into(), "**/keep/**".into()]).unwrap();
        for (key, expected) in [
            ("a.jpg", true),
            ("deep/down/A.JPG", true),
            ("a.jpeg", false),
            ("raw/a.png", true),
            ("raw/b/a.png", false),
            ("x/raw/a.png", false),
            ("x/keep/y/z.txt", true),
            ("keep", false),
        ] {
            assert_eq!(globs.is_match(key), expected, "{key}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused_in_words() {
        let wrong = |text: &str| Globs::new(vec![text.to_string()]).unwrap_err();
        assert_eq!(wrong(""), "an empty text is not a glob: expected one such as `*.jpg`");
        assert_eq!(wrong("/a/*.jpg"), "`/a/*.jpg` matches nothing: keys do not begin with `/` or `./`");
        assert_eq!(wrong("[a"), "`[a` is not a glob: unclosed character class; missing ']'");
        assert_eq!(Globs::new(Vec::new()).unwrap_err(), "an empty list has no globs: expected at least one, such as `*.jpg`");
    }
}
