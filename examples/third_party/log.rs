//! [`Log`]: every arrival, effect and answer, one JSON object a line, in the order in which they happened.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

/// One line.
#[derive(Debug, Default, Serialize)]
pub struct Line<'a> {
    /// From 1, without a gap.
    pub n: u64,
    /// Milliseconds since 1970.
    pub ms: u64,
    /// arrival, effect, order_break, answer
    pub what: &'a str,
    /// Which arrival it belongs to.
    pub arrival: u64,
    pub method: &'a str,
    pub path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// SHA-256 of method, path and body, the first 16 digits.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub payload: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<&'a str>,
    /// What was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<&'a str>,
    /// Of an order break: what `after` was, and what it should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<[Option<u64>; 2]>,
    /// Of an answer; 0 if the connection was closed in place of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether it was answered from what is kept under its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// Which fault struck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Value>,
}

/// Kept in memory for `/_log`, and in a file if there is one.
#[derive(Debug)]
pub struct Log {
    lines: Vec<String>,
    file: Option<File>,
    quiet: bool,
}

impl Log {
    /// `quiet` keeps nothing at all.
    pub fn open(path: Option<&Path>, quiet: bool) -> std::io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().append(true).create(true).open(path)).transpose()?;
        Ok(Self { lines: Vec::new(), file, quiet })
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub fn write(&mut self, line: Line<'_>) {
        if self.quiet {
            return;
        }
        let line = Line { n: self.lines.len() as u64 + 1, ms: crate::now_ms(), ..line };
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            eprintln!("third party: the log cannot be written: {error}");
            self.file = None;
        }
        self.lines.push(text);
    }

    /// The lines from number `from` on, counted from 1.
    pub fn from(&self, from: usize) -> String {
        self.lines.iter().skip(from.saturating_sub(1)).map(String::as_str).collect()
    }

    pub fn forget(&mut self) {
        self.lines.clear();
    }
}
