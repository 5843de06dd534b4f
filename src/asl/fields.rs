//! [`Field`]: which names an object may have, and what their values are.

use super::check::{Around, Checker, is_jsonata, is_placeholder};
use super::document::{Entry, Kind, Node};
use super::rule::{self, Rule};
use crate::nearest::nearest;

/// The query language that a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Both,
    JsonPath,
    Jsonata,
}

/// What the value of a field is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Is {
    Text,
    /// One of these words; else the rule is not kept.
    Word(&'static [&'static str], &'static Rule),
    /// A whole number between these; else the rule is not kept.
    Whole(u64, u64, &'static Rule),
    /// A number between these.
    Number(f64, f64, &'static Rule),
    Flag,
    /// A path to read from.
    Path,
    /// The same, or null.
    PathOrNull,
    /// A path that names one place.
    Reference,
    ReferenceOrNull,
    /// Any JSON, in which a name that ends in `.$` has a path.
    Template,
    /// Any JSON as it is.
    Any,
    Object,
    List,
    Texts,
}

/// A name that an object may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    pub is: Is,
    pub language: Language,
}

pub(super) const fn both(name: &'static str, is: Is) -> Field {
    Field { name, is, language: Language::Both }
}

pub(super) const fn path(name: &'static str, is: Is) -> Field {
    Field { name, is, language: Language::JsonPath }
}

pub(super) const fn jsonata(name: &'static str, is: Is) -> Field {
    Field { name, is, language: Language::Jsonata }
}

impl Checker {
    /// Checks an object by its fields; false if it is none. `of` is what it is called: `` `ItemBatcher` ``.
    pub fn fields(&mut self, node: &Node, of: &str, tables: &[&[Field]], around: Around) -> bool {
        if !matches!(node.kind, Kind::Map(_)) {
            self.tell(rule::TYPE, node.at, format!("{of} is an object, found {}", node.shown()));
            return false;
        }
        let fields = || tables.iter().flat_map(|table| table.iter());
        for entry in node.entries() {
            let Some(field) = fields().find(|field| field.name == entry.key) else {
                self.unknown(entry, of, &fields().filter(|field| field.fits(around)).map(|f| f.name).collect::<Vec<_>>());
                continue;
            };
            if field.fits(around) {
                self.field(entry, field, around);
            } else {
                let (language, other) = if around.jsonata { ("JSONata", "JSONPath") } else { ("JSONPath", "JSONata") };
                let detail = format!("`{}` is a field of {other}, {of} is in {language}", entry.key);
                let told = self.tell(rule::LANGUAGE_MIX, entry.key_at, detail);
                match (entry.key.as_str(), around.jsonata) {
                    ("Parameters", true) => told.hint("in JSONata it is `Arguments`"),
                    ("Arguments", false) => told.hint("in JSONPath it is `Parameters`; or add `\"QueryLanguage\": \"JSONata\"`"),
                    ("ResultPath" | "ResultSelector" | "OutputPath", true) => told.hint("in JSONata it is `Output`"),
                    ("ItemsPath", true) => told.hint("in JSONata it is `Items`"),
                    (name, true) if name.ends_with("Path") => {
                        let plain = name.trim_end_matches("Path");
                        told.hint(format!("write `\"{plain}\": \"{{% … %}}\"`"));
                    }
                    (_, true) => told.hint("remove it"),
                    (_, false) => told.hint("add `\"QueryLanguage\": \"JSONata\"`, or remove it"),
                }
            }
        }
        true
    }

    fn unknown(&mut self, entry: &Entry, of: &str, names: &[&str]) {
        let key = &entry.key;
        let told = self.tell(rule::UNKNOWN_FIELD, entry.key_at, format!("`{key}` is not a field of {of}"));
        match (nearest(key, names.iter().copied()), key.strip_suffix(".$")) {
            (_, Some(plain)) if names.contains(&plain) => {
                told.hint(format!("`.$` is for names inside of `Parameters` and the like; write `{plain}`"));
            }
            (Some(near), _) => told.hint(format!("did you mean `{near}`?")),
            (None, _) => told.meant(key, names),
        }
    }

    fn field(&mut self, entry: &Entry, field: &Field, around: Around) {
        let (name, node) = (field.name, &entry.value);
        if let Some(text) = node.text() {
            // What is filled in later, or worked out at run time, is anything.
            if is_placeholder(text) && !matches!(field.is, Is::Object | Is::List | Is::Texts | Is::Flag) {
                return;
            }
            if around.jsonata && is_jsonata(text) && !matches!(field.is, Is::Flag | Is::Object) {
                return;
            }
        }
        match field.is {
            Is::Text => self.of_type(node, name, "a text", node.text().is_some()),
            Is::Flag => self.of_type(node, name, "`true` or `false`", matches!(node.kind, Kind::Bool(_))),
            Is::Object => self.of_type(node, name, "an object", matches!(node.kind, Kind::Map(_))),
            Is::List => self.of_type(node, name, "a list", matches!(node.kind, Kind::List(_))),
            Is::Texts => {
                let is_texts = matches!(node.kind, Kind::List(_)) && node.elements().iter().all(|one| one.text().is_some());
                self.of_type(node, name, "a list of texts", is_texts);
            }
            Is::Word(words, rule) => self.word(node, name, words, rule),
            Is::Whole(least, most, rule) => self.whole(node, name, least, most, rule),
            Is::Number(least, most, rule) => match node.number() {
                None => self.of_type(node, name, "a number", false),
                Some(number) if number < least || number > most => {
                    let detail = format!("`{name}` is {}, allowed is {}", node.shown(), range(least, most));
                    self.tell(rule, node.at, detail);
                }
                Some(_) => {}
            },
            Is::Path | Is::Reference => self.path(node, name, field.is),
            Is::PathOrNull | Is::ReferenceOrNull if matches!(node.kind, Kind::Null) => {}
            Is::PathOrNull | Is::ReferenceOrNull => self.path(node, name, field.is),
            Is::Template => self.template(node, around),
            Is::Any => self.any(node, around),
        }
    }

    pub fn of_type(&mut self, node: &Node, name: &str, expected: &str, is_so: bool) {
        if !is_so {
            self.tell(rule::TYPE, node.at, format!("`{name}`: expected {expected}, found {}", node.shown()));
        }
    }

    fn word(&mut self, node: &Node, name: &str, words: &[&str], rule: &'static Rule) {
        let Some(text) = node.text() else { return self.of_type(node, name, "a text", false) };
        if !words.contains(&text) {
            let shown: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let allowed = format!("allowed {} {}", if shown.len() == 1 { "is" } else { "are" }, shown.join(", "));
            let told = self.tell(rule, node.at, format!("`{name}` is `{}`, {allowed}", text.escape_debug()));
            if let Some(near) = nearest(text, words.iter().copied()) {
                told.hint(format!("did you mean `{near}`?"));
            }
        }
    }

    fn whole(&mut self, node: &Node, name: &str, least: u64, most: u64, rule: &'static Rule) {
        let Some(number) = node.number().filter(|number| number.fract() == 0.0) else {
            self.of_type(node, name, "a whole number", false);
            return;
        };
        if number < least as f64 || number > most as f64 {
            let allowed = range(least as f64, most as f64);
            self.tell(rule, node.at, format!("`{name}` is {}, allowed is {allowed}", node.shown()));
        }
    }
}

impl Field {
    fn fits(&self, around: Around) -> bool {
        match self.language {
            Language::Both => true,
            Language::JsonPath => !around.jsonata,
            Language::Jsonata => around.jsonata,
        }
    }
}

/// A range in words, with thousands set apart.
fn range(least: f64, most: f64) -> String {
    let text = |number: f64| {
        let digits = format!("{number}");
        let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
        if number.fract() == 0.0 { groups.join(",") } else { digits.clone() }
    };
    if most == f64::MAX || most >= u64::MAX as f64 {
        format!("at least {}", text(least))
    } else {
        format!("{} to {}", text(least), text(most))
    }
}
