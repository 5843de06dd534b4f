//! Choices: rules, operators and what is compared.

use super::check::{Around, Checker, is_jsonata};
use super::document::{Kind, Node};
use super::fields::{Field, Is, both, path};
use super::rule;
use crate::nearest::nearest;

const RULE: &[Field] =
    &[both("Next", Is::Text), both("Comment", Is::Text), both("Assign", Is::Template), path("Variable", Is::Path)];

/// What an operator compares with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Operand {
    Text,
    Number,
    Flag,
    Timestamp,
    Path,
}

const OPERATORS: &[(&str, Operand)] = &[
    ("StringEquals", Operand::Text),
    ("StringEqualsPath", Operand::Path),
    ("StringLessThan", Operand::Text),
    ("StringLessThanPath", Operand::Path),
    ("StringGreaterThan", Operand::Text),
    ("StringGreaterThanPath", Operand::Path),
    ("StringLessThanEquals", Operand::Text),
    ("StringLessThanEqualsPath", Operand::Path),
    ("StringGreaterThanEquals", Operand::Text),
    ("StringGreaterThanEqualsPath", Operand::Path),
    ("StringMatches", Operand::Text),
    ("NumericEquals", Operand::Number),
    ("NumericEqualsPath", Operand::Path),
    ("NumericLessThan", Operand::Number),
    ("NumericLessThanPath", Operand::Path),
    ("NumericGreaterThan", Operand::Number),
    ("NumericGreaterThanPath", Operand::Path),
    ("NumericLessThanEquals", Operand::Number),
    ("NumericLessThanEqualsPath", Operand::Path),
    ("NumericGreaterThanEquals", Operand::Number),
    ("NumericGreaterThanEqualsPath", Operand::Path),
    ("BooleanEquals", Operand::Flag),
    ("BooleanEqualsPath", Operand::Path),
    ("TimestampEquals", Operand::Timestamp),
    ("TimestampEqualsPath", Operand::Path),
    ("TimestampLessThan", Operand::Timestamp),
    ("TimestampLessThanPath", Operand::Path),
    ("TimestampGreaterThan", Operand::Timestamp),
    ("TimestampGreaterThanPath", Operand::Path),
    ("TimestampLessThanEquals", Operand::Timestamp),
    ("TimestampLessThanEqualsPath", Operand::Path),
    ("TimestampGreaterThanEquals", Operand::Timestamp),
    ("TimestampGreaterThanEqualsPath", Operand::Path),
    ("IsNull", Operand::Flag),
    ("IsPresent", Operand::Flag),
    ("IsNumeric", Operand::Flag),
    ("IsString", Operand::Flag),
    ("IsBoolean", Operand::Flag),
    ("IsTimestamp", Operand::Flag),
];

impl Checker {
    /// Checks the rules of a Choice.
    pub fn choices(&mut self, node: &Node, of: &str, around: Around) {
        self.required(node, of, &["Choices"]);
        let Some(choices) = node.entry("Choices") else { return };
        if matches!(&choices.value.kind, Kind::List(list) if list.is_empty()) {
            self.tell(rule::NO_CHOICES, choices.key_at, format!("{of} has no rule"));
        }
        for (index, choice) in choices.value.elements().iter().enumerate() {
            let of = format!("rule {} of {of}", index + 1);
            if !matches!(choice.kind, Kind::Map(_)) {
                self.of_type(choice, "Choices", "a rule, which is an object", false);
                continue;
            }
            if !choice.has("Next") {
                self.tell(rule::CHOICE_NEXT, choice.at, format!("{of} has no `Next`")).hint("add the name of a state");
            }
            if around.jsonata { self.condition(choice, &of, around) } else { self.comparison(choice, &of, true) }
        }
    }

    fn condition(&mut self, node: &Node, of: &str, around: Around) {
        const CONDITION: &[Field] = &[both("Condition", Is::Any)];
        if self.fields(node, of, &[RULE, CONDITION], around) {
            self.required(node, of, &["Condition"]);
        }
        if let Some(condition) = node.get("Condition") {
            let fits = matches!(condition.kind, Kind::Bool(_)) || condition.text().is_some_and(is_jsonata);
            self.of_type(condition, "Condition", "`{% … %}`", fits);
        }
    }

    /// A comparison, or several put together. Only the outermost has `Next`.
    fn comparison(&mut self, node: &Node, of: &str, outermost: bool) {
        if !matches!(node.kind, Kind::Map(_)) {
            return self.of_type(node, of, "an object", false);
        }
        if let (Some(next), false) = (node.entry("Next"), outermost) {
            self.tell(rule::CHOICE_NEXT, next.key_at, format!("`Next` inside of {of}"))
                .hint("it stands in the rule itself, beside `And`, `Or` or `Not`");
        }
        let mut operators = 0;
        for entry in node.entries() {
            let key = entry.key.as_str();
            match key {
                "And" | "Or" => {
                    operators += 1;
                    let is_list = matches!(&entry.value.kind, Kind::List(list) if !list.is_empty());
                    self.of_type(&entry.value, key, "a list of rules", is_list);
                    entry.value.elements().iter().for_each(|node| self.comparison(node, &format!("`{key}`"), false));
                }
                "Not" => {
                    operators += 1;
                    self.comparison(&entry.value, "`Not`", false);
                }
                "Next" | "Comment" | "Assign" | "Variable" => {}
                key => match OPERATORS.iter().find(|(name, _)| *name == key) {
                    Some((_, operand)) => {
                        operators += 1;
                        self.operand(key, &entry.value, *operand);
                    }
                    None => {
                        operators += 1;
                        let names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).chain(["And", "Or", "Not"]).collect();
                        let told = self.tell(rule::OPERATOR, entry.key_at, format!("`{key}` is no operator of a choice rule"));
                        match (key, nearest(key, names.iter().copied())) {
                            ("Condition", _) => told.hint("that is JSONata: add `\"QueryLanguage\": \"JSONata\"` to the state"),
                            (_, Some(near)) => told.hint(format!("did you mean `{near}`?")),
                            (_, None) => told.hint("such as `StringEquals`, `NumericGreaterThan`, `IsPresent`, `And`"),
                        }
                    }
                },
            }
        }
        let compares = !["And", "Or", "Not"].into_iter().any(|name| node.has(name));
        match operators {
            0 => self
                .tell(rule::OPERATOR, node.at, format!("{of} compares nothing"))
                .hint("add an operator, such as `StringEquals`"),
            1 if compares => self.required(node, of, &["Variable"]),
            1 => {}
            _ => {
                self.tell(rule::OPERATOR, node.at, format!("{of} has {operators} operators, allowed is one"))
                    .hint("put them into `And`");
            }
        }
        if let Some(variable) = node.get("Variable") {
            self.path(variable, "Variable", Is::Path);
        }
    }

    fn operand(&mut self, name: &str, node: &Node, operand: Operand) {
        let (expected, fits) = match operand {
            Operand::Text => ("a text", node.text().is_some()),
            Operand::Number => ("a number", node.number().is_some()),
            Operand::Flag => ("`true` or `false`", matches!(node.kind, Kind::Bool(_))),
            Operand::Timestamp => ("a timestamp such as `2026-11-23T10:00:00Z`", node.text().is_some()),
            Operand::Path => return self.path(node, name, Is::Path),
        };
        if !fits {
            let told = self.tell(rule::OPERAND, node.at, format!("`{name}`: expected {expected}, found {}", node.shown()));
            if node.text().is_some_and(|text| text.starts_with('$'))
                && OPERATORS.iter().any(|(other, _)| *other == format!("{name}Path"))
            {
                told.hint(format!("`{name}Path` compares with what a path names"));
            }
        } else if let (Operand::Timestamp, Some(text)) = (operand, node.text()) {
            self.timestamp(text, node.at, name);
        }
    }
}
