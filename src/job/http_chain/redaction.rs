//! [`Redaction`]: what of an answer is taken out before it is kept and judged.

use bytes::Bytes;
use serde_json::Value;

use super::json;
use crate::call::Answer;
use crate::expression::Name;
use crate::scrub::HIDDEN;
use crate::secrets::Secrets;

/// The paths of `redact`.
#[derive(Debug, Default)]
pub(super) struct Redaction {
    body: Vec<Name>,
    /// Names of header fields, in lowercase.
    headers: Vec<String>,
}

/// A path of `redact`: of the body, or a header field.
pub(super) enum Redacted {
    Body(Name),
    Header(String),
}

/// Reads a path of `redact`; `None` if it is none.
pub(super) fn read(path: &str) -> Option<Redacted> {
    if let Some(name) = path.strip_prefix("headers.").filter(|name| !name.is_empty()) {
        return Some(Redacted::Header(name.to_ascii_lowercase()));
    }
    Name::parse(path).filter(|name| name.root() == "body" && name.attribute().is_some()).map(Redacted::Body)
}

impl Redaction {
    /// The paths of a workflow that was checked.
    pub fn new(paths: &[String]) -> Self {
        let mut redaction = Self::default();
        for path in paths.iter().filter_map(|path| read(path)) {
            match path {
                Redacted::Body(name) => redaction.body.push(name),
                Redacted::Header(name) => redaction.headers.push(name),
            }
        }
        redaction
    }

    /// The answer without what is redacted and without secrets.
    pub fn apply(&self, mut answer: Answer, secrets: &Secrets) -> Answer {
        for (name, value) in &mut answer.headers {
            if self.headers.contains(name) {
                *value = HIDDEN.to_string();
            } else if let std::borrow::Cow::Owned(scrubbed) = secrets.scrub(value) {
                *value = scrubbed;
            }
        }
        if !self.body.is_empty() && !answer.body.is_empty() {
            answer.body = self.body_without(&answer.body);
        }
        answer.body = secrets.scrub_bytes(answer.body);
        answer
    }

    fn body_without(&self, body: &Bytes) -> Bytes {
        // What is not JSON may hold it anywhere.
        let Some(mut value) = std::str::from_utf8(body).ok().and_then(json::read) else {
            return Bytes::from_static(HIDDEN.as_bytes());
        };
        let mut found = false;
        for path in &self.body {
            path.each_below(&mut value, &mut |value| {
                found = true;
                *value = Value::String(HIDDEN.to_string());
            });
        }
        if found { value.to_string().into() } else { body.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn redacted(body: &str) -> String {
        let paths = ["body.card", "body.lines.iban", "headers.Set-Cookie"].map(str::to_string);
        let secrets = Secrets::new(BTreeMap::from([("token".to_string(), "s3cr3t-\"1".to_string())]));
        let headers = vec![("set-cookie".to_string(), "a=b".to_string()), ("x-echo".to_string(), "is s3cr3t-\"1!".to_string())];
        let answer = Redaction::new(&paths).apply(Answer { status: 200, headers, body: body.to_string().into() }, &secrets);
        assert_eq!(answer.header("set-cookie"), Some("***"));
        assert_eq!(answer.header("x-echo"), Some("is ***!"));
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    #[test]
    fn what_is_redacted_is_out_of_the_answer_and_so_are_secrets() {
        for (body, expected) in [
            (r#"{"card":"4111","id":1}"#, r#"{"card":"***","id":1}"#),
            (r#"{"card":{"number":"4111"},"lines":[{"iban":"DE"},{}]}"#, r#"{"card":"***","lines":[{"iban":"***"},{}]}"#),
            (r#"[{"card":"4111"}]"#, r#"[{"card":"***"}]"#),
            (r#"{ "id": 18446744073709551616 }"#, r#"{ "id": 18446744073709551616 }"#),
            (r#"{"echo":"Bearer s3cr3t-\"1"}"#, r#"{"echo":"Bearer ***"}"#),
            ("card 4111", "***"),
            ("", ""),
        ] {
            assert_eq!(redacted(body), expected, "{body}");
        }
    }

    #[test]
    fn only_paths_into_an_answer_are_paths() {
        for wrong in ["card", "body", "headers", "headers.", "item.card", "body.", "{{ body.card }}"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        assert!(matches!(read("body['a b'].c"), Some(Redacted::Body(_))));
    }
}
