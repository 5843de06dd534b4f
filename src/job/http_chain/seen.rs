//! [`Seen`]: an answer as expressions see it.

use serde_json::{Map, Value};

use super::json;
use crate::call::Answer;
use crate::expression::{Expression, Scope, Template};

/// What of an answer expressions name: what nobody names is not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub headers: bool,
    pub body: bool,
    pub pages: bool,
}

impl Wants {
    pub fn of<'a>(expressions: impl Iterator<Item = &'a Expression>) -> Self {
        let mut wants = Self::default();
        for name in expressions.flat_map(Expression::names) {
            match name.root() {
                "headers" => wants.headers = true,
                "body" => wants.body = true,
                "pages" => wants.pages = true,
                _ => {}
            }
        }
        wants
    }

    pub fn of_template(template: &Template) -> Self {
        Self::of(template.expressions().into_iter().map(|(_, expression)| expression))
    }

    pub fn and(self, other: Self) -> Self {
        Self { headers: self.headers || other.headers, body: self.body || other.body, pages: self.pages || other.pages }
    }
}

/// An answer as expressions see it.
#[derive(Debug)]
pub(super) struct Seen {
    status: Value,
    headers: Value,
    body: Value,
    /// The body is no text, so that nothing can be said of it.
    pub is_unreadable: bool,
}

impl Seen {
    pub fn new(answer: &Answer, wants: Wants) -> Self {
        let headers = if wants.headers { headers(answer) } else { Value::Null };
        let (body, is_unreadable) = match std::str::from_utf8(&answer.body) {
            _ if !wants.body => (Value::Null, false),
            Ok(text) => (json::read(text).unwrap_or_else(|| Value::String(text.to_string())), false),
            Err(_) => (Value::Null, true),
        };
        Self { status: answer.status.into(), headers, body, is_unreadable }
    }

    /// What an expression may name behind the answer.
    pub fn scope<'a>(&'a self, scope: Scope<'a>) -> Scope<'a> {
        scope.with("status", &self.status).with("headers", &self.headers).with("body", &self.body)
    }

    pub fn body(&self) -> &Value {
        &self.body
    }
}

/// Header fields by name; those of one name in one text, as HTTP has it.
fn headers(answer: &Answer) -> Value {
    let mut fields: Map<String, Value> = Map::with_capacity(answer.headers.len());
    for (name, value) in &answer.headers {
        match fields.get_mut(name) {
            Some(Value::String(known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            _ => drop(fields.insert(name.clone(), Value::String(value.clone()))),
        }
    }
    Value::Object(fields)
}

/// The start of a body for people, on one line.
pub(super) fn start(body: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let mut start = String::with_capacity(SHOWN + 4);
    let mut spaced = true;
    for sign in text.trim().chars() {
        let is_space = sign.is_whitespace() || sign.is_control();
        if start.len() + sign.len_utf8() > SHOWN {
            start.push('…');
            break;
        }
        match (is_space, spaced) {
            (true, true) => {}
            (true, false) => start.push(' '),
            (false, _) => start.push(sign),
        }
        spaced = is_space;
    }
    start
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: Wants = Wants { headers: true, body: true, pages: false };

    fn answer(body: &[u8]) -> Answer {
        let headers = [("link", "<a>"), ("x", "1"), ("link", "<b>")];
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
        Answer { status: 200, headers, body: body.to_vec().into() }
    }

    #[test]
    fn a_body_is_json_or_text_or_nothing_that_can_be_read() {
        for (body, expected) in
            [(&b"{\"a\":1}"[..], json!({ "a": 1 })), (b"plain", json!("plain")), (b"", json!("")), (b"null", json!(null))]
        {
            let seen = Seen::new(&answer(body), ALL);
            assert_eq!((seen.body(), seen.is_unreadable), (&expected, false));
        }
        assert!(Seen::new(&answer(b"\xff\xfe{}"), ALL).is_unreadable);
        assert_eq!(Seen::new(&answer(b"a"), ALL).headers, json!({ "link": "<a>, <b>", "x": "1" }));
    }

    #[test]
    fn the_start_of_a_body_is_one_short_line() {
        assert_eq!(start(b" {\n  \"error\":\t\"no\x07\" }\r\n"), "{ \"error\": \"no \" }");
        assert_eq!(start("ü".repeat(10_000).as_bytes()), format!("{}…", "ü".repeat(150)));
        assert_eq!(start(b"\xff"), "\u{fffd}");
    }
}
