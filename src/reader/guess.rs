//! [`CsvGuess`]: how a CSV file is written, guessed from its first bytes, for who begins with a file and no workflow.

use std::fs::File;

use super::arriving::arriving;
use super::csv_config::Delimiter;
use super::encoding::{Encoding, Transcoder, is_utf16};
use super::fetch::{At, FoundFile};
use super::fields::Dialect;
use super::freeze::{Plan, blocking, unreadable};
use super::source_file::SourceFile;
use super::split::Split;
use super::unpack::Unpacked;
use crate::storage::Storages;
use crate::{Error, Result};

/// How much of a file is looked at, in bytes.
const LOOKED_AT: usize = 256 * 1024;

/// Rows that are counted.
const ROWS: usize = 50;

/// How a CSV file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvGuess {
    /// How its text is written as bytes.
    pub encoding: Encoding,
    /// What is between two fields.
    pub delimiter: Delimiter,
    /// Names for its columns, if its first row looks like data.
    pub names: Option<Vec<String>>,
}

impl CsvGuess {
    /// Looks at the first file of a source.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is no text.
    pub async fn of(source: &SourceFile, storages: &Storages) -> Result<Self> {
        let shown = source.to_string();
        let plan = Plan { source: shown.clone(), run_dir: std::path::PathBuf::new(), limit: u64::MAX, counts: true };
        let found = plan.find(source, storages).await?.into_iter().next();
        let Some(FoundFile { at, .. }) = found else { return Err(Error::bug("a source without a file")) };
        match at {
            At::Stdin => Err(Error::refused("standard input can be read only once: name a file")),
            At::Path(path) => {
                blocking(move || {
                    plan.check_file(&path)?;
                    let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
                    Self::of_bytes(&head(Unpacked::new(file, &shown)?)?, &shown)
                })
                .await
            }
            At::Object { storage, name } => {
                let reading = storage.read(&name).await?;
                arriving(reading, move |bytes| Self::of_bytes(&head(Unpacked::new(bytes, &shown)?)?, &shown)).await
            }
        }
    }

    fn of_bytes(head: &[u8], source: &str) -> Result<Self> {
        let encoding = match std::str::from_utf8(head) {
            _ if is_utf16(head) => Encoding::Utf16,
            // The last character may be cut.
            Err(error) if error.error_len().is_some() => Encoding::Windows1252,
            _ => Encoding::Utf8,
        };
        let (mut transcoder, start) = Transcoder::new(encoding, &head[..head.len().min(4)], source)?;
        let mut text = Vec::new();
        transcoder.write(&head[start..], false, &mut text);
        let delimiter = delimiter(&text);
        let first = rows(&text, delimiter).into_iter().next().flatten().unwrap_or_default();
        let names = first.iter().any(|name| is_data(name)).then(|| (1..=first.len()).map(|n| format!("column_{n}")).collect());
        Ok(Self { encoding, delimiter, names })
    }
}

fn head(mut from: Unpacked<'_>) -> Result<Vec<u8>> {
    let mut head = vec![0; LOOKED_AT];
    let mut filled = 0;
    while filled < LOOKED_AT {
        match from.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// The fields of the first rows; `None` of a row that is none. The last row may be cut, and is left out unless it is the only one.
fn rows(text: &[u8], delimiter: Delimiter) -> Vec<Option<Vec<String>>> {
    let dialect = Dialect { delimiter: delimiter.byte(), strict: true, trim: false, null: Vec::new(), encoding: Encoding::Utf8 };
    let mut split = Split::new(dialect.rule());
    let (mut rows, mut at) = (Vec::new(), 0);
    while rows.len() < ROWS {
        at += split.blank(&text[at..]);
        split.begin();
        let end = split.end(&text[at..]).map(|end| at + end);
        if at == text.len() || end.is_none() && !rows.is_empty() {
            break;
        }
        let end = end.unwrap_or(text.len());
        let mut fields = Vec::new();
        let read = dialect.fields(&text[at..end], |field| {
            fields.push(String::from_utf8_lossy(&field.unwrap_or_default()).into_owned());
        });
        rows.push(read.is_ok().then_some(fields));
        at = end;
    }
    rows
}

/// The one by which the most rows have as many fields as the first one, and that at least two.
fn delimiter(text: &[u8]) -> Delimiter {
    // The rarer a sign is in texts, the more it says.
    let rare_first = [Delimiter::Tab, Delimiter::Pipe, Delimiter::Semicolon, Delimiter::Comma, Delimiter::Space];
    let judged = rare_first.into_iter().filter_map(|delimiter| {
        let rows = rows(text, delimiter);
        let width = rows.first()?.as_ref().map_or(0, Vec::len);
        let alike = rows.iter().flatten().filter(|row| row.len() == width).count();
        // Spaces are in most texts: they are what is between fields only where that is so in every row.
        let counts = width > 1 && (delimiter != Delimiter::Space || alike == rows.len());
        counts.then_some((delimiter, delimiter != Delimiter::Space, alike, width))
    });
    // Of those that are as good the first one counts.
    let best = judged.fold(None, |best: Option<(Delimiter, bool, usize, usize)>, this| match best {
        Some(best) if (best.1, best.2, best.3) >= (this.1, this.2, this.3) => Some(best),
        _ => Some(this),
    });
    best.map_or(Delimiter::Comma, |best| best.0)
}

/// Whether nobody calls a column so: a number or a date, but not a year.
fn is_data(name: &str) -> bool {
    let name = name.trim();
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let of_numbers = name.bytes().all(|byte| byte.is_ascii_digit() || b".,-+/: TZ".contains(&byte));
    let is_year = name.len() == 4 && (name.starts_with("19") || name.starts_with("20"));
    digits > 0 && of_numbers && !is_year
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(head: &[u8]) -> (Encoding, Delimiter, usize) {
        let guess = CsvGuess::of_bytes(head, "a.csv").unwrap();
        (guess.encoding, guess.delimiter, guess.names.map_or(0, |names| names.len()))
    }

    #[test]
    fn what_is_between_the_fields_is_what_makes_most_rows_alike() {
        for (text, delimiter) in [
            ("id,name\n1,\"Doe; Jane\"\n", Delimiter::Comma),
            ("id;price\n1;12,90\n2;3,10\n", Delimiter::Semicolon),
            ("id\tname, first\n1\tDoe, Jane\n", Delimiter::Tab),
            ("id|name\n1|a\n", Delimiter::Pipe),
            ("id name\n1 a\n2 b\n", Delimiter::Space),
            ("first name\nJane Mary Doe\n", Delimiter::Comma),
            ("price, net;n\n1,5;3\n", Delimiter::Semicolon),
            ("a,b,c\n1,2;3,4\n", Delimiter::Comma),
            ("name\na\n", Delimiter::Comma),
            ("", Delimiter::Comma),
        ] {
            assert_eq!(guess(text.as_bytes()).1, delimiter, "{text:?}");
        }
    }

    #[test]
    fn a_first_row_with_numbers_is_no_header() {
        for (text, columns) in [
            ("1,Ada\n2,Bob\n", 2),
            ("Ada,2026-11-23,x\n", 3),
            ("product,2025,2026\nx,1,2\n", 0),
            ("id,n\n1,2\n", 0),
            ("\"a\",\"12,5\"\n", 2),
        ] {
            assert_eq!(guess(text.as_bytes()).2, columns, "{text:?}");
        }
    }

    #[test]
    fn the_encoding_is_that_of_which_it_is_text() {
        let utf16: Vec<u8> = "id;é\n1;2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(guess(&utf16), (Encoding::Utf16, Delimiter::Semicolon, 0));
        assert_eq!(guess(b"id;n\n1;caf\xe9\n"), (Encoding::Windows1252, Delimiter::Semicolon, 0));
        assert_eq!(guess("id,n\n1,café\n".as_bytes()).0, Encoding::Utf8);
        assert_eq!(guess(b"id,n\n1,caf\xc3").0, Encoding::Utf8);
        assert!(CsvGuess::of_bytes(b"PK\x03\x04...", "a.csv").is_err());
    }
}
