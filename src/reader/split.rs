//! [`Split`]: where a line or a CSV record ends. Only finds ends; what is inside is looked at when it is asked for.

use memchr::{memchr, memchr3};

/// How much of a record stays when the rest is dropped.
const LOOKBACK: usize = 1024;

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
    /// follows it from meaning anything.
    Csv { delimiter: u8, escapes: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

    /// Forgets what was looked at of a record that is too long to be kept; the number of bytes to be dropped from its start. A few
    /// stay: what a quote means depends on what is before it.
    pub fn drop_looked_at(&mut self) -> usize {
        let length = self.scanned.saturating_sub(LOOKBACK);
        self.scanned -= length;
        length
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
            Rule::Csv { delimiter, escapes: false } => self.csv_end(record, delimiter),
            Rule::Csv { delimiter, escapes: true } => self.escaped_csv_end(record, delimiter),
        }
    }

    fn csv_end(&mut self, record: &[u8], delimiter: u8) -> Option<usize> {
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
                    if at == 0 || record[at - 1] == delimiter {
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

    fn escaped_csv_end(&mut self, record: &[u8], delimiter: u8) -> Option<usize> {
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
                (State::Outside, b'"') if self.begins_field(record, at, delimiter) => self.state = State::Quoted,
                _ => self.state = State::Outside,
            }
        }
        None
    }

    /// Whether a field begins at `at`: the delimiter before it is not escaped.
    fn begins_field(&self, record: &[u8], at: usize, delimiter: u8) -> bool {
        match at.checked_sub(1) {
            None => true,
            Some(before) if record[before] != delimiter => false,
            Some(before) => {
                let backslashes = record[..before].iter().rev().take_while(|byte| **byte == b'\\').count();
                backslashes % 2 == 0
            }
        }
    }
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
        for rule in [Rule::Lines, Rule::Csv { delimiter: b',', escapes: false }, Rule::Csv { delimiter: b',', escapes: true }] {
            let whole = ends(rule, csv, csv.len());
            for piece in 1..csv.len() {
                assert_eq!(ends(rule, csv, piece), whole, "{rule:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_backslash_escapes_a_quote_only_where_it_may() {
        let text = b"\"a\\\"\nb\",c\nd\n";
        let strict = ends(Rule::Csv { delimiter: b',', escapes: false }, text, 100);
        assert_eq!(strict, [&b"\"a\\\""[..], b"b\",c", b"d"]);
        let lax = ends(Rule::Csv { delimiter: b',', escapes: true }, text, 100);
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
            let rule = Rule::Csv { delimiter: b',', escapes: false };
            prop_assert_eq!(ends(rule, &bytes, piece).len(), expected);
        }

        #[test]
        fn escaped_records_do_not_depend_on_how_the_bytes_arrive(bytes in csv_bytes(), piece in 1..20usize) {
            let rule = Rule::Csv { delimiter: b',', escapes: true };
            prop_assert_eq!(ends(rule, &bytes, piece), ends(rule, &bytes, bytes.len()));
        }
    }
}
