//! [`Dialect`]: the fields of one CSV record, strictly or as Step Functions reads them.

use std::borrow::Cow;

use memchr::memchr;

use super::encoding::Encoding;
use super::split::{Rule, escapable, is_blank};

/// How the records of a file are read.
#[derive(Debug, Clone)]
pub(super) struct Dialect {
    pub delimiter: u8,
    pub strict: bool,
    pub trim: bool,
    /// What stands for null outside of quotes.
    pub null: Vec<Vec<u8>>,
    /// What the file was before it became UTF-8.
    pub encoding: Encoding,
}

/// What is wrong with a record, as a lowercase fragment.
pub(super) type Wrong = String;

/// One field, its quotes and escapes taken off; `None` for null.
pub(super) type Field<'r> = Option<Cow<'r, [u8]>>;

impl Dialect {
    /// Where the records end.
    pub fn rule(&self) -> Rule {
        Rule::Csv { delimiter: self.delimiter, escapes: !self.strict, trim: self.trim }
    }

    /// Whether the text is null outside of quotes.
    pub fn is_null(&self, text: &[u8]) -> bool {
        self.null.iter().any(|null| null == text)
    }

    /// Hands on each field; the number of fields.
    pub fn fields<'r>(&self, record: &'r [u8], mut each: impl FnMut(Field<'r>)) -> Result<usize, Wrong> {
        self.parts(record, |field, quoted, _| {
            let null = !quoted && !self.null.is_empty() && self.is_null(&field);
            each((!null).then_some(field));
        })
    }

    /// Hands on each field as it is written, with its quotes, as far as the record can be read.
    pub fn raw_fields<'r>(&self, record: &'r [u8], mut each: impl FnMut(&'r [u8])) -> Result<usize, Wrong> {
        self.parts(record, |_, _, raw| each(raw))
    }

    fn parts<'r>(&self, record: &'r [u8], mut each: impl FnMut(Cow<'r, [u8]>, bool, &'r [u8])) -> Result<usize, Wrong> {
        let (mut rest, mut count) = (record, 0);
        // A delimiter at the end has an empty field behind it: the loop ends after a field, not at the end of the bytes.
        loop {
            count += 1;
            let blanks = self.blanks(rest);
            let quoted = rest.get(blanks) == Some(&b'"');
            let (field, length) = match (self.strict, quoted) {
                (true, true) => self.strict_quoted(rest, blanks + 1, count)?,
                (true, false) => self.strict_plain(rest, count)?,
                (false, _) => self.lax_field(rest, blanks, quoted),
            };
            each(field, quoted, &rest[..length]);
            match rest.get(length) {
                Some(_) => rest = &rest[length + 1..],
                None => return Ok(count),
            }
        }
    }

    /// How many blanks there are in front that do not count.
    fn blanks(&self, rest: &[u8]) -> usize {
        if self.trim { rest.iter().take_while(|byte| is_blank(**byte, self.delimiter)).count() } else { 0 }
    }

    /// Whether the field ends here but for blanks.
    fn ends_behind_blanks(&self, rest: &[u8]) -> bool {
        rest.iter().find(|byte| !is_blank(**byte, self.delimiter)).is_none_or(|byte| *byte == self.delimiter)
    }

    fn trimmed<'r>(&self, field: &'r [u8]) -> &'r [u8] {
        let field = &field[self.blanks(field)..];
        let behind = if self.trim { field.iter().rev().take_while(|byte| is_blank(**byte, self.delimiter)).count() } else { 0 };
        &field[..field.len() - behind]
    }

    /// The first field, which has no quotes, and how many bytes it takes.
    fn strict_plain<'r>(&self, rest: &'r [u8], number: usize) -> Result<(Cow<'r, [u8]>, usize), Wrong> {
        let field = &rest[..memchr(self.delimiter, rest).unwrap_or(rest.len())];
        match memchr(b'"', field) {
            None => Ok((Cow::Borrowed(self.trimmed(field)), field.len())),
            Some(at) if field[..at].iter().all(|byte| is_blank(*byte, self.delimiter)) => {
                Err(format!("a blank in front of the quote that opens field {number} (`trim: true` takes it off)"))
            }
            Some(_) => Err(format!("a quote inside field {number}, which does not begin with one")),
        }
    }

    /// The first field, whose quoted text begins at `at`, and how many bytes it takes.
    fn strict_quoted<'r>(&self, rest: &'r [u8], mut at: usize, number: usize) -> Result<(Cow<'r, [u8]>, usize), Wrong> {
        let mut field: Cow<'_, [u8]> = Cow::Borrowed(&[]);
        loop {
            let Some(quote) = memchr(b'"', &rest[at..]).map(|found| at + found) else {
                return Err(format!("the quote that opens field {number} is not closed"));
            };
            // Only a field with `""` in it is copied.
            let part = &rest[at..quote];
            if field.is_empty() {
                field = Cow::Borrowed(part);
            } else {
                field.to_mut().extend_from_slice(part);
            }
            at = quote + 1;
            if rest.get(at) == Some(&b'"') {
                field.to_mut().push(b'"');
                at += 1;
                continue;
            }
            at += self.blanks(&rest[at..]);
            return match rest.get(at) {
                Some(next) if is_blank(*next, self.delimiter) && self.ends_behind_blanks(&rest[at..]) => {
                    Err(format!("a blank behind the closing quote of field {number} (`trim: true` takes it off)"))
                }
                Some(next) if *next != self.delimiter => {
                    Err(format!("text behind the closing quote of field {number} (a quote inside of quotes is written twice)"))
                }
                _ => Ok((field, at)),
            };
        }
    }

    fn lax_field<'r>(&self, rest: &'r [u8], blanks: usize, mut quoted: bool) -> (Cow<'r, [u8]>, usize) {
        let (begins_quoted, mut at) = (quoted, 0);
        if !quoted {
            let end = rest.iter().position(|byte| *byte == self.delimiter || *byte == b'\\').unwrap_or(rest.len());
            if rest.get(end) != Some(&b'\\') {
                return (Cow::Borrowed(self.trimmed(&rest[..end])), end);
            }
        } else {
            at = blanks + 1;
        }
        let mut field = Vec::new();
        // Where the text in quotes ends: blanks behind it do not count, those in it do.
        let mut closed = 0;
        while let Some(byte) = rest.get(at) {
            let next = rest.get(at + 1);
            match byte {
                b'\\' => match next {
                    Some(next) if escapable(*next, self.delimiter) => {
                        field.push(*next);
                        at += 1;
                    }
                    _ => {}
                },
                b'"' if quoted && next == Some(&b'"') => {
                    field.push(b'"');
                    at += 1;
                }
                b'"' if quoted => (quoted, closed) = (false, field.len()),
                byte if *byte == self.delimiter && !quoted => break,
                byte => field.push(*byte),
            }
            at += 1;
        }
        if !begins_quoted {
            field = self.trimmed(&field).to_vec();
        } else if !quoted && self.trimmed(&field[closed..]).is_empty() {
            field.truncate(closed);
        }
        (Cow::Owned(field), at)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn dialect(strict: bool) -> Dialect {
        Dialect { delimiter: b',', strict, trim: false, null: Vec::new(), encoding: Encoding::Utf8 }
    }

    fn read(dialect: &Dialect, record: &str) -> Result<Vec<Option<String>>, Wrong> {
        let mut fields = Vec::new();
        dialect.fields(record.as_bytes(), |field| {
            fields.push(field.map(|field| String::from_utf8(field.into_owned()).unwrap()));
        })?;
        Ok(fields)
    }

    fn some(fields: &[&str]) -> Vec<Option<String>> {
        fields.iter().map(|field| Some(field.to_string())).collect()
    }

    #[test]
    fn null_is_what_is_declared_and_not_in_quotes() {
        for strict in [true, false] {
            let null = vec![b"".to_vec(), b"NULL".to_vec(), b"\\N".to_vec()];
            let dialect = Dialect { null, ..dialect(strict) };
            let expected = [None, None, Some("".to_string()), Some("NULL".to_string()), Some("null".to_string())];
            assert_eq!(read(&dialect, r#",NULL,"","NULL",null"#).unwrap(), expected, "strict: {strict}");
        }
        let dialect = Dialect { null: vec![b"\\N".to_vec()], ..dialect(true) };
        assert_eq!(read(&dialect, r#"\N,,"\N""#).unwrap(), [None, Some(String::new()), Some("\\N".to_string())]);
    }

    #[test]
    fn blanks_are_taken_off_outside_of_quotes() {
        for strict in [true, false] {
            let dialect = Dialect { trim: true, null: vec![b"-".to_vec()], ..dialect(strict) };
            assert_eq!(
                read(&dialect, " a b\t, \" c \" ,\t\"d\"\"\", ,\"\"").unwrap(),
                some(&["a b", " c ", "d\"", "", ""]),
                "strict: {strict}"
            );
            assert_eq!(read(&dialect, " - ,\" - \"").unwrap(), [None, Some(" - ".to_string())]);
            let tabs = Dialect { delimiter: b'\t', ..dialect };
            assert_eq!(read(&tabs, " a \t \"b\" \t\t c").unwrap(), some(&["a", "b", "", "c"]), "strict: {strict}");
        }
        let strict = Dialect { trim: true, ..dialect(true) };
        assert_eq!(
            read(&strict, "\"a\" b,c"),
            Err("text behind the closing quote of field 1 (a quote inside of quotes is written twice)".to_string())
        );
        let lax = Dialect { trim: true, ..dialect(false) };
        assert_eq!(read(&lax, " \"a\" b , c\\, ").unwrap(), some(&["a b ", "c,"]));
    }

    #[test]
    fn fields_can_be_had_as_they_are_written() {
        let mut raw = Vec::new();
        let count = dialect(true).raw_fields(b"1,\"a\"\"b\",,\" x\"", |field| raw.push(field.to_vec()));
        assert_eq!(count, Ok(4));
        assert_eq!(raw, [&b"1"[..], b"\"a\"\"b\"", b"", b"\" x\""]);
    }
}
