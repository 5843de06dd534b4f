//! Where the text of a file begins, and what is no text in UTF-8 at all.

use crate::{Error, Result};

/// The offset of the first byte of text, from the first four bytes of a file: 3 behind a byte-order mark.
pub(super) fn text_start(head: &[u8], source: &str) -> Result<u64> {
    let refuse = |found: &str, hint: String| Err(Error::refused(format!("`{source}` is {found}, not UTF-8 text")).hint(hint));
    let converted = || format!("iconv -f UTF-16 -t UTF-8 {source} > utf8.txt");
    match head {
        [0xef, 0xbb, 0xbf, ..] => Ok(3),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => refuse("UTF-16", converted()),
        // Text of the first few hundred characters has a zero in every second byte of UTF-16, and none in UTF-8.
        [0, second, ..] if *second != 0 => refuse("UTF-16", converted()),
        [first, 0, ..] if *first != 0 => refuse("UTF-16", converted()),
        [0x1f, 0x8b, ..] => refuse("compressed with gzip", format!("gunzip -k {source}")),
        [0x28, 0xb5, 0x2f, 0xfd] => refuse("compressed with zstd", format!("unzstd -k {source}")),
        [b'P', b'K', 3, 4] => refuse("a zip or spreadsheet file", "export it as CSV in UTF-8".to_string()),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::text_start;

    #[test]
    fn what_is_no_utf8_text_is_told_by_its_first_bytes() {
        assert_eq!(text_start(b"\xef\xbb\xbfa", "a.csv").unwrap(), 3);
        for plain in [&b""[..], b"a", b"id,n", b"\xc3\xbc\n"] {
            assert_eq!(text_start(plain, "a.csv").unwrap(), 0);
        }
        let hint = "iconv -f UTF-16 -t UTF-8 a.csv > utf8.txt";
        for utf16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b"] {
            let expected = format!("`a.csv` is UTF-16, not UTF-8 text; hint: {hint}");
            assert_eq!(text_start(utf16, "a.csv").unwrap_err().to_string(), expected);
        }
        let error = text_start(b"\x1f\x8b\x08\0", "a.csv.gz").unwrap_err();
        assert_eq!(error.to_string(), "`a.csv.gz` is compressed with gzip, not UTF-8 text; hint: gunzip -k a.csv.gz");
    }
}
