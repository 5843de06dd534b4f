//! [`Split`]: where a line or a CSV record ends. Only finds ends; what is inside is looked at when it is asked for.

use memchr::{memchr, memchr2, memchr3};

/// Finds the end of one record after another, in bytes that arrive in pieces.
#[derive(Debug)]
pub(super) struct Split {
    rule: Rule,
    /// Everything before this, in the record, has been looked at.
    scanned: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A line ends at `\n`.
    Lines,
    /// A record ends at `\n`, `\r` or `\r\n` outside of quotes. With `escapes`, `\` keeps itself, a quote or a delimiter that
    /// follows it from meaning anything. With `trim`, a quote may have blanks in front of it.
    Csv { delimiter: u8, escapes: bool, trim: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Outside,
    Quoted,
    /// Behind a quote in a quoted field: the end of it, or the first half of `""`.
    AfterQuote,
}

impl Split {
    pub fn new(rule: Rule) -> Self {
        Self { rule, scanned: 0, state: State::Outside }
    }

    /// A new record begins.
    pub fn begin(&mut self) {
        self.scanned = 0;
        self.state = State::Outside;
    }

    /// Whether the record is inside a quote as far as it was looked at.
    pub fn inside_quote(&self) -> bool {
        self.state == State::Quoted
    }

    /// How the ends are found.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// How far the record was looked at, and what it was there.
    pub fn looked_at(&self) -> (usize, State) {
        (self.scanned, self.state)
    }

    /// Goes on from where another record was looked at that was inside a quote where this one is: from there on they are one.
    pub fn go_on(&mut self, length: usize, state: State) {
        debug_assert!(self.inside_quote());
        if length > self.scanned {
            (self.scanned, self.state) = (length, state);
        }
    }

    /// Where the first line of `bytes` ends, quotes or not.
    pub fn line_end(&self, bytes: &[u8]) -> Option<usize> {
        match self.rule {
            Rule::Lines => memchr(b'\n', bytes),
            Rule::Csv { .. } => memchr2(b'\n', b'\r', bytes),
        }
    }

    /// How many bytes of `bytes`, where a record would begin, belong to none: the rest of a `\r\n`, empty lines of a CSV file.
    pub fn blank(&self, bytes: &[u8]) -> usize {
        match self.rule {
            Rule::Lines => 0,
            Rule::Csv { .. } => bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count(),
        }
    }

    /// The index of the byte that ends the record, `None` if it is not among `record` yet. Ask again with more; what was looked
    /// at is not looked at again.
    pub fn end(&mut self, record: &[u8]) -> Option<usize> {
        match self.rule {
            Rule::Lines => {
                let found = memchr(b'\n', &record[self.scanned..]).map(|found| self.scanned + found);
                self.scanned = found.map_or(record.len(), |found| found + 1);
                found
            }
            Rule::Csv { delimiter, escapes: false, trim } => self.csv_end(record, delimiter, trim),
            Rule::Csv { delimiter, escapes: true, trim } => self.escaped_csv_end(record, delimiter, trim),
        }
    }

    fn csv_end(&mut self, record: &[u8], delimiter: u8, trim: bool) -> Option<usize> {
        while self.scanned < record.len() {
            let rest = &record[self.scanned..];
            match self.state {
                State::Outside => {
                    let Some(found) = memchr3(b'"', b'\n', b'\r', rest) else { break };
                    let at = self.scanned + found;
                    self.scanned = at + 1;
                    if record[at] != b'"' {
                        return Some(at);
                    }
                    // Anywhere else a quote is only a character.
                    let before = before(record, at, delimiter, trim);
                    if before.last().is_none_or(|byte| *byte == delimiter) {
                        self.state = State::Quoted;
                    }
                }
                State::Quoted => {
                    let Some(found) = memchr(b'"', rest) else { break };
                    self.scanned += found + 1;
                    self.state = State::AfterQuote;
                }
                State::AfterQuote => {
                    self.state = if rest[0] == b'"' { State::Quoted } else { State::Outside };
                    self.scanned += 1;
                    if matches!(rest[0], b'\n' | b'\r') {
                        return Some(self.scanned - 1);
                    }
                }
            }
        }
        self.scanned = record.len();
        None
    }

    fn escaped_csv_end(&mut self, record: &[u8], delimiter: u8, trim: bool) -> Option<usize> {
        while self.scanned < record.len() {
            let (at, byte) = (self.scanned, record[self.scanned]);
            if byte == b'\\' {
                let next = record.get(at + 1)?;
                self.scanned += 1 + usize::from(escapable(*next, delimiter));
                if self.state == State::AfterQuote {
                    self.state = State::Outside;
                }
                continue;
            }
            self.scanned += 1;
            match (self.state, byte) {
                (State::Quoted, b'"') => self.state = State::AfterQuote,
                (State::Quoted, _) => {}
                (_, b'\n' | b'\r') => return Some(at),
                (State::AfterQuote, b'"') => self.state = State::Quoted,
                (State::Outside, b'"') if begins_field(before(record, at, delimiter, trim), delimiter) => {
                    self.state = State::Quoted;
                }
                _ => self.state = State::Outside,
            }
        }
        None
    }
}

/// What is in front of `at`, without blanks that do not count.
fn before(record: &[u8], at: usize, delimiter: u8, trim: bool) -> &[u8] {
    let before = &record[..at];
    let blanks = if trim { before.iter().rev().take_while(|byte| is_blank(**byte, delimiter)).count() } else { 0 };
    &before[..at - blanks]
}

/// Whether a field begins behind `before`: the delimiter at its end is not escaped.
fn begins_field(before: &[u8], delimiter: u8) -> bool {
    match before {
        [] => true,
        [head @ .., last] if *last == delimiter => {
            let backslashes = head.iter().rev().take_while(|byte| **byte == b'\\').count();
            backslashes % 2 == 0
        }
        _ => false,
    }
}

/// A space or a tab that is not the delimiter.
pub(super) fn is_blank(byte: u8, delimiter: u8) -> bool {
    matches!(byte, b' ' | b'\t') && byte != delimiter
}

/// What a backslash can escape: itself, a quote, the delimiter.
pub(super) fn escapable(byte: u8, delimiter: u8) -> bool {
    byte == b'\\' || byte == b'"' || byte == delimiter
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(rule: Rule, bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut split, mut records) = (Split::new(rule), Vec::new());
        let mut start = 0;
        loop {
            start += split.blank(&bytes[start..]);
            if start == bytes.len() {
                return records;
            }
            split.begin();
            let mut seen = start;
            let end = loop {
                if let Some(end) = split.end(&bytes[start..seen]) {
                    break start + end;
                }
                if seen == bytes.len() {
                    break seen;
                }
                seen = (seen + piece).min(bytes.len());
            };
            records.push(bytes[start..end].to_vec());
            start = (end + 1).min(bytes.len());
        }
    }

    #[test]
    fn ends_do_not_depend_on_how_the_bytes_arrive() {
        let csv = b"a,\"b\n\"\"c\"\r\n\r\nd,e\"f\rg,\"\"h\"\n,\"x\"\n\\\",\",\n\"";
        let of = |escapes, trim| Rule::Csv { delimiter: b',', escapes, trim };
        for rule in [Rule::Lines, of(false, false), of(true, false), of(false, true), of(true, true)] {
            let whole = ends(rule, csv, csv.len());
            for piece in 1..csv.len() {
                assert_eq!(ends(rule, csv, piece), whole, "{rule:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_backslash_escapes_a_quote_only_where_it_may() {
        let text = b"\"a\\\"\nb\",c\nd\n";
        let strict = ends(Rule::Csv { delimiter: b',', escapes: false, trim: false }, text, 100);
        assert_eq!(strict, [&b"\"a\\\""[..], b"b\",c", b"d"]);
        let lax = ends(Rule::Csv { delimiter: b',', escapes: true, trim: false }, text, 100);
        assert_eq!(lax, [&b"\"a\\\"\nb\",c"[..], b"d"]);
    }

    /// Pieces that are likely to meet every state.
    fn csv_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b",".to_vec()),
            4 => Just(b"\"".to_vec()),
            3 => Just(b"\n".to_vec()),
            2 => Just(b"\r\n".to_vec()),
            1 => Just(b"\\".to_vec()),
            4 => proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn records_end_where_the_csv_crate_ends_them(bytes in csv_bytes(), piece in 1..20usize) {
            // The csv crate takes a byte-order mark off, which is done elsewhere here.
            let bytes = [b"x\n".as_slice(), &bytes].concat();
            let mut judge = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes.as_slice());
            let expected = judge.byte_records().filter(|record| record.is_ok()).count();
            let rule = Rule::Csv { delimiter: b',', escapes: false, trim: false };
            prop_assert_eq!(ends(rule, &bytes, piece).len(), expected);
        }

        #[test]
        fn escaped_records_do_not_depend_on_how_the_bytes_arrive(bytes in csv_bytes(), piece in 1..20usize) {
            let rule = Rule::Csv { delimiter: b',', escapes: true, trim: false };
            prop_assert_eq!(ends(rule, &bytes, piece), ends(rule, &bytes, bytes.len()));
        }
    }
}
