//! [`Discreet`]: what is said of an item, without what is redacted of it and without secrets.

use std::borrow::Cow;
use std::sync::Arc;

use super::Ended;
use crate::item::Item;
use crate::outcome::{Failure, Outcome};
use crate::redact::Redact;
use crate::secrets::Secrets;

/// Goes over everything that is said of items before it is recorded or shown. Outputs stay as they are: the next item of a lane is
/// given them, so they are redacted where they are shown.
#[derive(Debug)]
pub(crate) struct Discreet {
    redact: Redact,
    secrets: Arc<Secrets>,
}

impl Discreet {
    pub fn new(redact: Redact, secrets: Arc<Secrets>) -> Self {
        Self { redact, secrets }
    }

    /// How the item ended, as it may be told.
    pub fn ended(&self, item: &Item, ended: Ended) -> Ended {
        let failure = |Failure { error, cause }| Failure { error, cause: self.text(item, cause) };
        let outcome = match ended.outcome {
            Outcome::Failed(failed) => Outcome::Failed(failure(failed)),
            Outcome::Unknown(unknown) => Outcome::Unknown(failure(unknown)),
            Outcome::Skipped(why) => Outcome::Skipped(self.text(item, why)),
            said @ (Outcome::Succeeded(_) | Outcome::Blocked(_)) => said,
        };
        Ended { outcome, ..ended }
    }

    /// What is said of the item.
    pub fn text(&self, item: &Item, text: String) -> String {
        let text = match self.secrets.scrub(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(scrubbed) => scrubbed,
        };
        if self.redact.is_empty() {
            return text;
        }
        self.redact.hide(&mut item.value.clone()).scrub(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::item::ItemKey;

    #[test]
    fn what_is_said_of_an_item_names_neither_secrets_nor_what_is_redacted() {
        let redact = serde_json::from_value(json!(["item.email"])).unwrap();
        let secrets = Secrets::new(BTreeMap::from([("token".to_string(), "tok-12345".to_string())]));
        let discreet = Discreet::new(redact, Arc::new(secrets));
        let value = json!({ "email": "ada@example.com", "id": 7 });
        let item = Item { index: 0, key: ItemKey::Name("o1".to_string()), value };
        let failed = Outcome::Failed(Failure::new("Http.Status.404", "no ada@example.com for tok-12345"));
        let ended = discreet.ended(&item, Ended { outcome: failed, attempts: 2, stops_lane: false });
        assert_eq!(ended.outcome, Outcome::Failed(Failure::new("Http.Status.404", "no *** for ***")));
        assert_eq!(ended.attempts, 2);
        let output = Outcome::Succeeded(json!({ "to": "ada@example.com" }));
        let ended = discreet.ended(&item, Ended { outcome: output.clone(), attempts: 1, stops_lane: false });
        assert_eq!(ended.outcome, output, "the next of the lane is given it");
    }
}
