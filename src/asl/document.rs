//! [`Node`]: JSON with the place of every value, read strictly; a key that is there twice is told.

use std::str::Chars;
use std::sync::Arc;

use serde_json::Number;

use crate::error::Place;

/// The most lists and objects inside each other.
const DEEPEST: usize = 128;

/// A line and a column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub line: u32,
    pub column: u32,
}

impl Spot {
    pub fn in_file(self, file: &Arc<str>) -> Place {
        Place { file: Arc::clone(file), line: self.line, column: self.column }
    }
}

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub at: Spot,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_at: Spot,
    pub value: Node,
}

impl Node {
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn elements(&self) -> &[Node] {
        match &self.kind {
            Kind::List(nodes) => nodes,
            _ => &[],
        }
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a field.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::text)
    }

    pub fn number(&self) -> Option<f64> {
        match &self.kind {
            Kind::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        matches!(self.kind, Kind::Bool(true))
    }

    /// What it is, for messages: a short value itself, of a long one its kind.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::Null => "null".to_string(),
            Kind::Bool(value) => format!("`{value}`"),
            Kind::Number(number) => format!("`{number}`"),
            Kind::Text(text) if text.is_empty() => "an empty text".to_string(),
            Kind::Text(text) if text.chars().count() <= 60 => format!("the text `{}`", text.escape_debug()),
            Kind::Text(text) => format!("a text of {} characters", text.chars().count()),
            Kind::List(_) => "a list".to_string(),
            Kind::Map(_) => "an object".to_string(),
        }
    }

    /// How many bytes it has as compact JSON, about.
    pub fn weight(&self) -> usize {
        match &self.kind {
            Kind::Null => 4,
            Kind::Bool(value) => value.to_string().len(),
            Kind::Number(number) => number.to_string().len(),
            Kind::Text(text) => text.len() + 2,
            Kind::List(nodes) => nodes.iter().map(|node| node.weight() + 1).sum::<usize>() + 1,
            Kind::Map(entries) => entries.iter().map(|entry| entry.key.len() + 4 + entry.value.weight()).sum::<usize>() + 1,
        }
    }
}

/// Why a text is no JSON, and where that shows.
#[derive(Debug)]
pub(super) struct NotJson {
    pub at: Spot,
    pub detail: String,
    pub hint: Option<&'static str>,
}

/// A key that is there twice.
#[derive(Debug)]
pub(super) struct Twice {
    pub at: Spot,
    pub key: String,
    pub first: Spot,
}

/// Reads a text.
pub(super) fn read(text: &str) -> Result<(Node, Vec<Twice>), NotJson> {
    let mut reader = Reader { rest: text.chars(), at: Spot { line: 1, column: 1 }, twice: Vec::new() };
    reader.space();
    if reader.peek().is_none() {
        return Err(reader.wrong("the file is empty"));
    }
    let node = reader.value(0)?;
    reader.space();
    match reader.peek() {
        Some(c) => Err(reader.wrong(format!("`{c}` behind the end of the definition"))),
        None => Ok((node, reader.twice)),
    }
}

struct Reader<'t> {
    rest: Chars<'t>,
    at: Spot,
    twice: Vec<Twice>,
}

impl<'t> Reader<'t> {
    fn wrong(&self, detail: impl Into<String>) -> NotJson {
        NotJson { at: self.at, detail: detail.into(), hint: None }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.at = Spot { line: self.at.line + 1, column: 1 };
        } else {
            self.at.column += 1;
        }
        Some(c)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, NotJson> {
        if depth > DEEPEST {
            return Err(self.wrong(format!("more than {DEEPEST} lists and objects inside each other")));
        }
        let at = self.at;
        let kind = match self.peek() {
            Some('{') => Kind::Map(self.map(depth)?),
            Some('[') => Kind::List(self.list(depth)?),
            Some('"') => Kind::Text(self.text()?),
            Some(_) => self.word()?,
            None => return Err(self.wrong("the file ends where a value is expected")),
        };
        Ok(Node { at, kind })
    }

    /// What stands between here and `end`, in front of which a comma may stand.
    fn comma(&mut self, end: char) -> Result<bool, NotJson> {
        self.space();
        match self.peek() {
            Some(c) if c == end => {
                self.next();
                Ok(false)
            }
            Some(',') => {
                let at = self.at;
                self.next();
                self.space();
                if self.peek() == Some(end) {
                    let detail = format!("a comma in front of `{end}`");
                    return Err(NotJson { at, detail, hint: Some("remove the comma") });
                }
                Ok(true)
            }
            Some(c) => {
                Err(NotJson { hint: Some("is a comma missing?"), ..self.wrong(format!("expected `,` or `{end}`, found `{c}`")) })
            }
            None => Err(self.wrong(format!("the file ends where `,` or `{end}` is expected"))),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, NotJson> {
        let mut nodes = Vec::new();
        self.next();
        self.space();
        if self.peek() == Some(']') {
            self.next();
            return Ok(nodes);
        }
        loop {
            nodes.push(self.value(depth + 1)?);
            if !self.comma(']')? {
                return Ok(nodes);
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, NotJson> {
        let mut entries: Vec<Entry> = Vec::new();
        self.next();
        self.space();
        if self.peek() == Some('}') {
            self.next();
            return Ok(entries);
        }
        loop {
            let key_at = self.at;
            let key = match self.peek() {
                Some('"') => self.text()?,
                Some(c) => {
                    let hint = (c == ',').then_some("remove the comma");
                    return Err(NotJson { hint, ..self.wrong(format!("expected a name in quotes, found `{c}`")) });
                }
                None => return Err(self.wrong("the file ends where a name is expected")),
            };
            self.space();
            if self.peek() != Some(':') {
                return Err(self.wrong(format!("expected `:` behind `{key}`")));
            }
            self.next();
            self.space();
            let value = self.value(depth + 1)?;
            match entries.iter().find(|entry| entry.key == key) {
                Some(first) => self.twice.push(Twice { at: key_at, key, first: first.key_at }),
                None => entries.push(Entry { key, key_at, value }),
            }
            if !self.comma('}')? {
                return Ok(entries);
            }
        }
    }

    fn text(&mut self) -> Result<String, NotJson> {
        let (start, from) = (self.at, self.rest.as_str());
        self.next();
        loop {
            match self.peek() {
                None | Some('\n') => {
                    return Err(NotJson { at: start, detail: "a text without closing quotes".into(), hint: None });
                }
                Some('"') => break,
                Some('\\') => {
                    self.next();
                    self.next();
                }
                Some(_) => {
                    self.next();
                }
            }
        }
        self.next();
        let length = from.len() - self.rest.as_str().len();
        serde_json::from_str(&from[..length]).map_err(|_| NotJson {
            at: start,
            detail: "a text with a wrong escape or a control character".into(),
            hint: None,
        })
    }

    fn word(&mut self) -> Result<Kind, NotJson> {
        let (start, from) = (self.at, self.rest.as_str());
        while self.peek().is_some_and(|c| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')) {
            self.next();
        }
        let word = &from[..from.len() - self.rest.as_str().len()];
        let wrong = |detail: String, hint| NotJson { at: start, detail, hint };
        match word {
            "" => Err(match self.peek() {
                Some('\'') => wrong("`'` begins no value".into(), Some("JSON has double quotes")),
                Some('/') => wrong("`/` begins no value".into(), Some("JSON has no comments: use the field `Comment`")),
                c => wrong(format!("`{}` begins no value", c.unwrap_or_default()), None),
            }),
            "null" => Ok(Kind::Null),
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            word => match serde_json::from_str::<Number>(word) {
                Ok(number) => Ok(Kind::Number(number)),
                Err(_) => Err(wrong(format!("`{word}` is no value of JSON"), Some("a text stands in quotes"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let (root, twice) = read("{\n  \"é\": [1, {\"a\": \"x\\n\"}],\t\"b\": null,\n \"b\": 2}").unwrap();
        let spot = |line, column| Spot { line, column };
        assert_eq!(root.entry("é").unwrap().key_at, spot(2, 3));
        assert_eq!(root.get("é").unwrap().elements()[1].get("a").unwrap().at, spot(2, 18));
        assert_eq!(root.entry("b").unwrap().key_at, spot(2, 27));
        assert_eq!((twice[0].at, twice[0].first, twice[0].key.as_str()), (spot(3, 2), spot(2, 27), "b"));
    }

    #[test]
    fn what_is_no_json_is_told_where_it_shows() {
        for (text, message, line, column) in [
            ("", "the file is empty", 1, 1),
            ("{\"a\": 1,\n}", "a comma in front of `}`", 1, 8),
            ("{\"a\" 1}", "expected `:` behind `a`", 1, 6),
            ("{\"a\": yes}", "`yes` is no value of JSON", 1, 7),
            ("{\"a\": 'x'}", "`'` begins no value", 1, 7),
            ("[1 2]", "expected `,` or `]`, found `2`", 1, 4),
            ("[\"a\n\"]", "a text without closing quotes", 1, 2),
            ("[01]", "`01` is no value of JSON", 1, 2),
            ("{} x", "`x` behind the end of the definition", 1, 4),
            ("{a: 1}", "expected a name in quotes, found `a`", 1, 2),
            ("[\"\\q\"]", "a text with a wrong escape or a control character", 1, 2),
        ] {
            let wrong = read(text).unwrap_err();
            assert_eq!((wrong.detail.as_str(), wrong.at.line, wrong.at.column), (message, line, column), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }
}
