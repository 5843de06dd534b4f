//! [`check`]: holds any definition of a state machine to every rule, and says where each one is broken.

use std::collections::HashMap;
use std::sync::Arc;

use super::document::{self, Node, Spot};
use super::rule::{self, Finding, Rule};
use crate::nearest::{list, nearest};

/// The most bytes of a definition (AWS Step Functions quotas, checked 2026-10-07; hard).
const LONGEST: usize = 1024 * 1024;

/// Holds a definition in the Amazon States Language to every rule of [`RULES`](super::RULES), in the order of its text. `file` is what it
/// is called in the findings.
///
/// What is written as `${Name}` is filled in later, as by CloudFormation's `DefinitionSubstitutions`, and fits everywhere.
pub fn check(text: &str, file: &str) -> Vec<Finding> {
    let mut checker = Checker { file: file.into(), findings: Vec::new(), names: HashMap::new(), labels: HashMap::new() };
    let start = Spot { line: 1, column: 1 };
    if text.len() > LONGEST {
        let detail = format!("the definition has {} bytes, at most {LONGEST} (1 MB) are allowed", text.len());
        checker.tell(rule::SIZE, start, detail).hint("large constants belong into the input, or into S3");
        return checker.findings;
    }
    match document::read(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Err(wrong) => {
            let told = checker.tell(rule::NOT_JSON, wrong.at, wrong.detail);
            if let Some(hint) = wrong.hint {
                told.hint(hint);
            }
        }
        Ok((root, twice)) => {
            for twice in twice {
                let detail = format!("`{}` is there twice, first on line {}", twice.key, twice.first.line);
                checker.tell(rule::KEY_TWICE, twice.at, detail).hint("remove one of them");
            }
            checker.definition(&root);
        }
    }
    checker.findings.sort_by(|a, b| a.place.cmp(&b.place));
    checker.findings
}

/// What is known around a state.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Around {
    /// The query language is JSONata.
    pub jsonata: bool,
    /// That of the whole definition is.
    pub all_jsonata: bool,
    /// It is part of an express child of a Distributed Map.
    pub express: bool,
}

/// Walks through a definition and gathers what is wrong.
pub(super) struct Checker {
    file: Arc<str>,
    findings: Vec<Finding>,
    /// Where the states are, by name.
    pub names: HashMap<String, Spot>,
    /// Where the labels are.
    pub labels: HashMap<String, Spot>,
}

/// A finding that can still get a hint.
pub(super) struct Told<'a>(&'a mut Finding);

impl Told<'_> {
    pub fn hint(self, hint: impl Into<String>) {
        self.0.hint = Some(hint.into());
    }

    /// Which of the names was probably meant; else, which there are.
    pub fn meant(self, word: &str, names: &[&str]) {
        match nearest(word, names.iter().copied()) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self.hint(format!("known are {}", list(names.iter().copied(), 24))),
        }
    }
}

impl Checker {
    pub fn tell(&mut self, rule: &'static Rule, at: Spot, detail: impl Into<String>) -> Told<'_> {
        self.findings.push(Finding { rule, detail: detail.into(), place: at.in_file(&self.file), hint: None });
        let last = self.findings.len() - 1;
        Told(&mut self.findings[last])
    }

    /// Tells of every name that is not there. One that is there misspelt was told already.
    pub fn required(&mut self, node: &Node, of: &str, names: &[&str]) {
        for name in names {
            let misspelt = || node.entries().iter().any(|entry| nearest(&entry.key, [*name]).is_some());
            if !node.has(name) && !misspelt() {
                self.tell(rule::MISSING_FIELD, node.at, format!("{of} has no `{name}`")).hint(format!("add `\"{name}\": …`"));
            }
        }
    }

    /// Tells of values that stand beside the path to them.
    pub fn never_both(&mut self, node: &Node, names: &[&str]) {
        for name in names {
            let path = format!("{name}Path");
            if let (Some(value), Some(path)) = (node.entry(name), node.entry(&path)) {
                let later = if value.key_at > path.key_at { value } else { path };
                self.tell(rule::BOTH, later.key_at, format!("`{name}` and `{name}Path` stand side by side"))
                    .hint("remove one of them");
            }
        }
    }
}

/// Whether a part of it is filled in later, as by CloudFormation.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.contains("${")
}

/// Whether it is an expression in JSONata.
pub(super) fn is_jsonata(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{%") && text.ends_with("%}")
}
