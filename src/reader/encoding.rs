//! [`Encoding`]: how the text of a file is written as bytes, what its first bytes say, and how it becomes UTF-8.

use encoding_rs::{DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the text of a file is written as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
pub enum Encoding {
    /// UTF-8, with or without a byte-order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16, little or big endian as its byte-order mark says, or as its first character does, if that is one of ASCII.
    #[serde(rename = "utf-16")]
    Utf16,
    /// What Windows writes in Western Europe and America; ISO 8859-1 is a part of it.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl Encoding {
    /// The word for it in a workflow.
    pub fn word(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16 => "UTF-16",
            Self::Windows1252 => "Windows-1252",
        }
    }
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Utf8,
    LittleEndian,
    BigEndian,
    None,
}

fn mark(head: &[u8]) -> (Mark, usize) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => (Mark::Utf8, 3),
        [0xff, 0xfe, ..] => (Mark::LittleEndian, 2),
        [0xfe, 0xff, ..] => (Mark::BigEndian, 2),
        // A character of ASCII has a zero beside it in UTF-16; no text in UTF-8 begins so.
        [0, second, ..] if *second != 0 => (Mark::BigEndian, 0),
        [first, 0, ..] if *first != 0 => (Mark::LittleEndian, 0),
        _ => (Mark::None, 0),
    }
}

/// Whether the first bytes of a file are those of UTF-16.
pub(super) fn is_utf16(head: &[u8]) -> bool {
    matches!(mark(head).0, Mark::LittleEndian | Mark::BigEndian)
}

/// The offset of the first byte of text in a file that is UTF-8, from its first four bytes: 3 behind a byte-order mark. `convertible`
/// says whether the workflow could name another encoding.
pub(super) fn text_start(head: &[u8], source: &str, convertible: bool) -> Result<u64> {
    refuse_others(head, source)?;
    let hint = match mark(head) {
        (Mark::Utf8, length) => return Ok(length as u64),
        (Mark::None, _) => return Ok(0),
        _ if convertible => "`encoding: utf-16`".to_string(),
        _ => format!("iconv -f UTF-16 -t UTF-8 {source} > utf8.txt"),
    };
    Err(Error::refused(format!("`{source}` is UTF-16, not UTF-8 text")).hint(hint))
}

/// Refuses what is no text in any encoding that is read.
fn refuse_others(head: &[u8], source: &str) -> Result<()> {
    const SPREADSHEET: &str = "export it as CSV in UTF-8";
    let (found, hint) = match head {
        [b'P', b'K', 3, 4] => ("a zip or spreadsheet file", SPREADSHEET),
        [0xd0, 0xcf, 0x11, 0xe0] => ("a spreadsheet file", SPREADSHEET),
        [0x1f, 0x8b, ..] => ("gzip data inside of compressed data", "take one of them off: `gunzip`"),
        [0x28, 0xb5, 0x2f, 0xfd] => ("zstd data inside of compressed data", "take one of them off: `unzstd`"),
        [b'B', b'Z', b'h', b'1'..=b'9'] => ("a bzip2 file", "gzip and zstd are read: `bunzip2` first"),
        [0xfd, b'7', b'z', b'X'] => ("an xz file", "gzip and zstd are read: `unxz` first"),
        [b'%', b'P', b'D', b'F'] => ("a PDF", "its table has to be exported as CSV"),
        [0x89, b'P', b'N', b'G'] => ("a picture", "name the file with the rows"),
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => ("UTF-32", "iconv -f UTF-32 -t UTF-8"),
        _ => return Ok(()),
    };
    Err(Error::refused(format!("`{source}` is {found}, which is not read as text")).hint(hint))
}

/// Makes UTF-8 of text that arrives in pieces. What is no text in its encoding becomes a byte 0xff, which is none in UTF-8 either:
/// whoever reads it sees that something is wrong there.
pub(super) struct Transcoder {
    decoder: Option<encoding_rs::Decoder>,
}

impl Transcoder {
    /// From the first four bytes of a file; with it, how many bytes its mark takes.
    ///
    /// # Errors
    /// The first bytes say that it is another encoding.
    pub fn new(encoding: Encoding, head: &[u8], source: &str) -> Result<(Self, usize)> {
        refuse_others(head, source)?;
        if encoding == Encoding::Utf8 {
            let start = text_start(head, source, true)?;
            return Ok((Self { decoder: None }, start as usize));
        }
        let other = |found: &str, hint: &str| {
            let told = format!("`{source}` is {found}, not {} as `encoding` says", encoding.name());
            Error::refused(told).hint(hint)
        };
        let (mark, length) = mark(head);
        let found = match (encoding, mark) {
            (_, Mark::Utf8) => return Err(other("UTF-8", "`encoding: utf-8`")),
            (Encoding::Utf16, Mark::LittleEndian) => UTF_16LE,
            (Encoding::Utf16, Mark::BigEndian) => UTF_16BE,
            (Encoding::Utf16, Mark::None) if head.is_empty() => UTF_16LE,
            (Encoding::Utf16, Mark::None) => {
                let told = format!("`{source}` does not begin as UTF-16 does, which `encoding` says it is");
                return Err(Error::refused(told).hint("`encoding: utf-8`, or `windows-1252`"));
            }
            (_, Mark::LittleEndian | Mark::BigEndian) => return Err(other("UTF-16", "`encoding: utf-16`")),
            (_, Mark::None) => WINDOWS_1252,
        };
        Ok((Self { decoder: Some(found.new_decoder_without_bom_handling()) }, length))
    }

    /// Writes what `bytes` say behind `text`; `last` of the last piece, which may be empty.
    pub fn write(&mut self, mut bytes: &[u8], last: bool, text: &mut Vec<u8>) {
        let Some(decoder) = &mut self.decoder else {
            text.extend_from_slice(bytes);
            return;
        };
        loop {
            let begin = text.len();
            // A character takes at most three bytes; a decoder may hold one back.
            text.resize(begin + bytes.len().saturating_mul(3) + 16, 0);
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut text[begin..], last);
            text.truncate(begin + written);
            bytes = &bytes[read..];
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => text.push(0xff),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8], piece: usize) -> Result<Vec<u8>> {
        let (mut transcoder, start) = Transcoder::new(encoding, &bytes[..bytes.len().min(4)], "a.csv")?;
        let mut text = Vec::new();
        for part in bytes[start..].chunks(piece) {
            transcoder.write(part, false, &mut text);
        }
        transcoder.write(&[], true, &mut text);
        Ok(text)
    }

    #[test]
    fn what_is_no_utf8_text_is_told_by_its_first_bytes() {
        assert_eq!(text_start(b"\xef\xbb\xbfa", "a.csv", true).unwrap(), 3);
        for plain in [&b""[..], b"a", b"id,n", b"\xc3\xbc\n"] {
            assert_eq!(text_start(plain, "a.csv", true).unwrap(), 0);
        }
        for utf16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b"] {
            let error = text_start(utf16, "a.csv", true).unwrap_err().to_string();
            assert_eq!(error, "`a.csv` is UTF-16, not UTF-8 text; hint: `encoding: utf-16`");
            let error = text_start(utf16, "a.json", false).unwrap_err().to_string();
            assert_eq!(error, "`a.json` is UTF-16, not UTF-8 text; hint: iconv -f UTF-16 -t UTF-8 a.json > utf8.txt");
        }
    }

    #[test]
    fn text_becomes_utf8_however_it_arrives() {
        let text = "id,n\n1,é€\u{1f600}\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for piece in 1..7 {
            for bytes in [&little, &big, &[b"\xff\xfe", &little[..]].concat(), &[b"\xfe\xff", &big[..]].concat()] {
                assert_eq!(decoded(Encoding::Utf16, bytes, piece).unwrap(), text.as_bytes());
            }
            assert_eq!(decoded(Encoding::Windows1252, b"\xe9\x80\x9f\x81", piece).unwrap(), "é€Ÿ\u{81}".as_bytes());
            assert_eq!(decoded(Encoding::Utf8, b"\xef\xbb\xbfa\xff", piece).unwrap(), b"a\xff");
        }
    }

    #[test]
    fn what_is_no_utf16_is_seen() {
        // A half of a pair, and a byte too few at the end.
        assert_eq!(decoded(Encoding::Utf16, b"a\0\x00\xd8b\0", 2).unwrap(), b"a\xffb");
        assert_eq!(decoded(Encoding::Utf16, b"a\0b\0\n", 3).unwrap(), b"ab\xff");
    }

    #[test]
    fn another_encoding_than_the_one_named_is_refused() {
        for (encoding, head, message) in [
            (
                Encoding::Utf16,
                &b"id,n"[..],
                "`a.csv` does not begin as UTF-16 does, which `encoding` says it is; hint: `encoding: utf-8`, or `windows-1252`",
            ),
            (Encoding::Utf16, b"\xef\xbb\xbfi", "`a.csv` is UTF-8, not UTF-16 as `encoding` says; hint: `encoding: utf-8`"),
            (
                Encoding::Windows1252,
                b"\xef\xbb\xbfi",
                "`a.csv` is UTF-8, not Windows-1252 as `encoding` says; hint: `encoding: utf-8`",
            ),
            (
                Encoding::Windows1252,
                b"i\0d\0",
                "`a.csv` is UTF-16, not Windows-1252 as `encoding` says; hint: `encoding: utf-16`",
            ),
        ] {
            assert_eq!(decoded(encoding, head, 4).unwrap_err().to_string(), message);
        }
    }
}
