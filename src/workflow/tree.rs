//! [`Node`]: a workflow file as a tree in which everything knows its place. What YAML has and workflows do not is refused here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::error::{Error, Place};

/// The longest workflow file, in bytes.
pub(super) const LONGEST_FILE: usize = 1024 * 1024;

/// The most values in a file, those that aliases repeat included.
const MOST_NODES: usize = 100_000;

/// The most bytes of text in a file, that which aliases repeat included.
const MOST_TEXT: usize = 8 * LONGEST_FILE;

/// The longest line in which places inside a text are told, in bytes.
const LONGEST_LINE: usize = 4096;

/// The longest key, in bytes.
const LONGEST_KEY: usize = 256;

/// The most mappings and lists inside each other.
const DEEPEST: usize = 64;

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub line: u32,
    pub column: u32,
}

impl Spot {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };

    pub fn in_file(self, file: &Arc<str>) -> Place {
        Place { file: Arc::clone(file), line: self.line, column: self.column }
    }

    fn of(marker: &Marker) -> Self {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Self { line: number(marker.line().max(1)), column: number(marker.col() + 1) }
    }
}

/// A value of the file and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: Spot,
    pub kind: NodeKind,
    /// The expression it was worked out from, if it is not written in the file.
    pub origin: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A text as written.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Not in quotes, not a block: it may mean a number, a boolean or nothing.
    pub plain: bool,
    /// Where the text's first character is, if the text stands in the file letter by letter on one line.
    pub start: Option<Spot>,
}

impl Scalar {
    /// No value at all, as in `key:`.
    pub fn is_absent(&self) -> bool {
        self.plain && self.text.is_empty()
    }

    /// What YAML calls null.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_at: Spot,
    pub value: Node,
}

impl Node {
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }
}

/// Reads the bytes of a file as text.
pub(super) fn text(bytes: &[u8], file: &Arc<str>) -> Result<String, Error> {
    check_length(bytes.len(), file)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_string()),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = before.matches('\n').count() as u32 + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
            let byte = bytes[error.valid_up_to()];
            let error = Error::refused(format!("byte 0x{byte:02X} is not UTF-8"));
            Err(error.at(Some(Spot { line, column }.in_file(file))).hint("save the file as UTF-8"))
        }
    }
}

fn check_length(length: usize, file: &str) -> Result<(), Error> {
    if length <= LONGEST_FILE {
        return Ok(());
    }
    Err(Error::refused(format!("`{file}` has more than {LONGEST_FILE} bytes (1 MiB), the most a workflow may have")))
}

/// Reads a workflow's text. The mistakes in the list do not stand in the way of the tree.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Result<(Node, Vec<Error>), Error> {
    check_length(text.len(), file)?;
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        lines: text.lines().collect(),
        file,
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
        errors: Vec::new(),
    };
    let root = builder.document()?;
    Ok((root, builder.errors))
}

struct Builder<'t> {
    parser: Parser<'t, StrInput<'t>>,
    lines: Vec<&'t str>,
    file: &'t Arc<str>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
    errors: Vec<Error>,
}

impl<'t> Builder<'t> {
    fn error(&self, at: Spot, detail: impl Into<String>) -> Error {
        Error::refused(detail).at(Some(at.in_file(self.file)))
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Error> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.not_yaml(&error)),
            None => Err(self.error(Spot::START, "the file ends too early")),
        }
    }

    fn document(&mut self) -> Result<Node, Error> {
        self.next()?;
        let (event, _) = self.next()?;
        if !matches!(event, Event::DocumentStart(_)) {
            return Err(self.error(Spot::START, "the file is empty").hint("a workflow begins with `fanfold: 1`"));
        }
        let first = self.next()?;
        let root = self.node(first, 0)?;
        self.next()?;
        match self.next()? {
            (Event::StreamEnd, _) => Ok(root),
            (_, span) => {
                let error = self.error(Spot::of(&span.start), "a second document begins here, a file is one workflow");
                Err(error.hint("put it into a file of its own"))
            }
        }
    }

    fn count(&mut self, at: Spot, nodes: usize, bytes: usize) -> Result<(), Error> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MOST_NODES || self.bytes > MOST_TEXT {
            let detail =
                format!("the file holds too much: at most {MOST_NODES} values and {MOST_TEXT} bytes, aliases written out");
            return Err(self.error(at, detail));
        }
        Ok(())
    }

    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize) -> Result<Node, Error> {
        let at = Spot::of(&span.start);
        if depth > DEEPEST {
            return Err(self.error(at, format!("more than {DEEPEST} mappings and lists inside each other")));
        }
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_ref(), at);
                (NodeKind::Scalar(self.scalar(&text, style, &span)), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_ref(), at);
                (NodeKind::List(self.list(depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_ref(), at);
                (NodeKind::Map(self.map(at, depth)?), anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => return Err(self.error(at, "a value is missing here")),
        };
        let bytes = match &kind {
            NodeKind::Scalar(scalar) => scalar.text.len(),
            _ => 0,
        };
        self.count(at, 1, bytes)?;
        let node = Node { at, kind, origin: None };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn scalar(&self, text: &str, style: ScalarStyle, span: &Span) -> Scalar {
        let plain = style == ScalarStyle::Plain;
        if plain && span.start.index() == span.end.index() {
            return Scalar { text: String::new(), plain, start: None };
        }
        let mut start = Spot::of(&span.start);
        if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
            start.column += 1;
        }
        let line = self.lines.get(start.line as usize - 1).copied().unwrap_or_default();
        // In a line of a megabyte, finding the column of each of its values would take forever.
        let line = if line.len() > LONGEST_LINE { "" } else { line };
        let rest = line.char_indices().nth(start.column as usize - 1).map_or("", |(index, _)| &line[index..]);
        let start = (!text.is_empty() && rest.starts_with(text)).then_some(start);
        Scalar { text: text.to_string(), plain, start }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Error> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(list),
                event => list.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, map_at: Spot, depth: usize) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, Spot> = HashMap::new();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                event => event,
            };
            let key_at = Spot::of(&span.start);
            let (key, plain) = match event {
                Event::Scalar(text, style, _, tag) => {
                    self.refuse_tag(tag.as_ref(), key_at);
                    let scalar = self.scalar(&text, style, &span);
                    (scalar.text, scalar.plain)
                }
                // `{{ params.x }}` without quotes is, to YAML, a mapping that is the key of a mapping.
                Event::MappingStart(..) if self.is_braces(map_at) => {
                    let error = self.error(map_at, "an expression needs quotes around it");
                    return Err(error.hint("write `\"{{ … }}\"`"));
                }
                _ => return Err(self.error(key_at, "a key has to be a text")),
            };
            if key.is_empty() && plain {
                return Err(self.error(key_at, "a key is missing in front of `:`"));
            }
            if key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
                let detail =
                    format!("a key of {} bytes: at most {LONGEST_KEY}, without control characters, are allowed", key.len());
                return Err(self.error(key_at, detail));
            }
            let next = self.next()?;
            let mut value = self.node(next, depth + 1)?;
            if value.scalar().is_some_and(Scalar::is_absent) {
                value.at = key_at;
            }
            if key == "<<" && plain {
                let error = self.error(key_at, "merge keys `<<` are not part of YAML 1.2");
                self.errors.push(error.hint("write the settings out"));
            } else if let Some(first) = places.get(&key) {
                let detail = format!("`{key}` is there twice, first on line {}", first.line);
                self.errors.push(self.error(key_at, detail).hint("remove one of them"));
            } else {
                places.insert(key.clone(), key_at);
                entries.push(Entry { key, key_at, value });
            }
        }
    }

    fn is_braces(&self, at: Spot) -> bool {
        let line = self.lines.get(at.line as usize - 1).copied().unwrap_or_default();
        line.chars().skip(at.column as usize - 1).take(2).eq("{{".chars())
    }

    fn alias(&mut self, anchor: usize, at: Spot) -> Result<Node, Error> {
        // An anchor is known only once its value is complete, so a value cannot hold itself.
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(self.error(at, "an alias cannot be part of what it stands for"));
        };
        let (nodes, bytes) = weight(node);
        self.count(at, nodes, bytes)?;
        Ok(self.anchors[&anchor].clone())
    }

    fn refuse_tag(&mut self, tag: Option<&Cow<'t, Tag>>, at: Spot) {
        if let Some(tag) = tag {
            let tag = tag.to_string().replace("tag:yaml.org,2002:!", "!!");
            let error = self.error(at, format!("the tag `{tag}` is not known, workflows have no tags"));
            self.errors.push(error.hint("remove it; a text that looks like a number is written in quotes"));
        }
    }

    fn not_yaml(&self, error: &ScanError) -> Error {
        let at = Spot::of(error.marker());
        let line = |number: u32| self.lines.get(number as usize - 1).copied().unwrap_or_default();
        for number in [at.line, at.line.saturating_sub(1).max(1)] {
            let indent = line(number).chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t');
            if let Some(column) = indent {
                let at = Spot { line: number, column: column as u32 + 1 };
                return self.error(at, "a tab in front of the line, YAML indents with spaces").hint("replace it with spaces");
            }
        }
        for number in [at.line, at.line.saturating_sub(1).max(1)] {
            let unquoted = line(number).find(": {{").or_else(|| line(number).find("- {{"));
            if let Some(byte) = unquoted {
                let column = line(number)[..byte].chars().count() as u32 + 3;
                let error = self.error(Spot { line: number, column }, "an expression needs quotes around it");
                return error.hint("write `\"{{ … }}\"`");
            }
        }
        let info = error.info().trim_end_matches('.');
        let rest: String = line(at.line).chars().skip(at.column as usize - 1).collect();
        if info.ends_with("found unknown anchor") {
            let name: String = rest.chars().skip(1).take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
            return self.error(at, format!("`*{name}` stands for nothing, there is no `&{name}` above"));
        }
        if let (true, Some(sign)) = (info.starts_with("unexpected character"), rest.chars().next()) {
            return self.error(at, format!("a value cannot begin with `{sign}`")).hint("put it in quotes");
        }
        let error = self.error(at, format!("not well-formed YAML: {info}"));
        match info {
            _ if info.starts_with("mapping values are not allowed") => error.hint("a text with `: ` in it needs quotes"),
            _ if info.contains("in flow construct") => error.hint("close the `{` or `[` above"),
            _ if info.contains("in quoted scalar") => error.hint("close the quotes"),
            _ if info.contains("did not find expected key") => error.hint("indent the keys of a mapping alike"),
            _ => error,
        }
    }
}

fn weight(node: &Node) -> (usize, usize) {
    let add = |(nodes, bytes): (usize, usize), child: &Node| {
        let (more, length) = weight(child);
        (nodes + more, bytes + length)
    };
    match &node.kind {
        NodeKind::Scalar(scalar) => (1, scalar.text.len()),
        NodeKind::List(list) => list.iter().fold((1, 0), add),
        NodeKind::Map(entries) => entries.iter().fold((1, 0), |sum, entry| add((sum.0, sum.1 + entry.key.len()), &entry.value)),
    }
}
