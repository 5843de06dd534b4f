//! [`Kind`]: what a file is, told by its content and never by its name.

use super::fault::Fault;

/// A kind of picture that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Jpeg,
    Png,
    WebP,
    Gif,
}

impl Kind {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// An empty file, or one that is something else; the message says what it looks like.
    pub fn of(bytes: &[u8]) -> Result<Self, Fault> {
        match bytes {
            [] => Err(Fault::empty()),
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            _ if is_beginning(bytes) => {
                Err(Fault::truncated(format!("the file ends after {} bytes, within the signature of a picture", bytes.len())))
            }
            _ => Err(Fault::unsupported(format!("JPEG, PNG, WebP and GIF are read, this is {}", looks_like(bytes)))),
        }
    }
}

/// Whether this is the beginning of a signature, and no more.
fn is_beginning(bytes: &[u8]) -> bool {
    let signatures: [&[u8]; 4] = [b"\xFF\xD8\xFF", b"\x89PNG\r\n\x1A\n", b"GIF87a", b"GIF89a"];
    let riff = bytes.len() < 12
        && (b"RIFF".starts_with(bytes)
            || (bytes.starts_with(b"RIFF") && {
                let form = bytes.get(8..).unwrap_or_default();
                b"WEBP".starts_with(form)
            }));
    riff || signatures.iter().any(|signature| signature.starts_with(bytes))
}

/// The name of what a file most likely is.
fn looks_like(bytes: &[u8]) -> String {
    let brand = bytes.get(4..12).unwrap_or_default();
    let known = match bytes {
        [b'%', b'P', b'D', b'F', ..] => "a PDF",
        [b'B', b'M', ..] => "a BMP",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF or camera raw",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop file",
        [0, 0, 1, 0, ..] => "an icon",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        [0x1F, 0x8B, ..] => "gzip-compressed",
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => "a JPEG XL",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => "a JPEG 2000",
        _ if brand.starts_with(b"ftypavi") => "an AVIF",
        _ if brand.starts_with(b"ftyphei") || brand.starts_with(b"ftypmif1") => "a HEIC",
        _ if brand.starts_with(b"ftyp") => "a video or another ISO media file",
        _ if bytes.iter().all(|byte| *byte == 0) => "nothing but zero bytes",
        _ => {
            let start = &bytes[..bytes.len().min(512)];
            let text = !start.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1B));
            let word = String::from_utf8_lossy(start).trim_start_matches('\u{FEFF}').trim_start().to_ascii_lowercase();
            return match () {
                () if word.starts_with("<svg") || (word.starts_with("<?xml") && word.contains("<svg")) => "an SVG".to_string(),
                () if word.starts_with("<!doctype html") || word.starts_with("<html") => "an HTML page".to_string(),
                () if text => "text".to_string(),
                () => {
                    let first: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02X}")).collect();
                    format!("unknown (it begins with {})", first.join(" "))
                }
            };
        }
    };
    known.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::fault::FaultKind;
    use super::*;

    #[test]
    fn content_decides() {
        assert_eq!(Kind::of(b"\xFF\xD8\xFF\xE0"), Ok(Kind::Jpeg));
        assert_eq!(Kind::of(b"\x89PNG\r\n\x1A\n...."), Ok(Kind::Png));
        assert_eq!(Kind::of(b"RIFF\x10\0\0\0WEBPVP8 "), Ok(Kind::WebP));
        assert_eq!(Kind::of(b"GIF89a\x01\0"), Ok(Kind::Gif));
    }

    #[test]
    fn anything_else_is_named() {
        let detail = |bytes: &[u8]| Kind::of(bytes).expect_err("not a picture that is read").detail;
        let read = "JPEG, PNG, WebP and GIF are read, this is ";
        assert_eq!(detail(b"%PDF-1.7"), format!("{read}a PDF"));
        assert_eq!(detail(b"\0\0\0\x20ftypavif"), format!("{read}an AVIF"));
        assert_eq!(detail(b"\0\0\0\x18ftypheic"), format!("{read}a HEIC"));
        assert_eq!(detail(b"<?xml version=\"1.0\"?>\n<svg/>"), format!("{read}an SVG"));
        assert_eq!(detail(b"not a picture"), format!("{read}text"));
        assert_eq!(detail(b"\x01\x02\x03\x04\x05"), format!("{read}unknown (it begins with 01 02 03 04)"));
        assert_eq!(detail(b"\0\0\0\0"), format!("{read}nothing but zero bytes"));
        assert_eq!(detail(b"RIFF\x10\0\0\0WAVE"), format!("{read}unknown (it begins with 52 49 46 46)"));
        assert_eq!(detail(b""), "the file is empty");
    }

    #[test]
    fn a_cut_signature_is_truncated() {
        for whole in [&b"\xFF\xD8\xFF"[..], b"\x89PNG\r\n\x1A\n", b"RIFF\x10\0\0\0WEBP", b"GIF89a"] {
            for end in 1..whole.len() {
                assert_eq!(Kind::of(&whole[..end]).expect_err("cut").kind, FaultKind::Truncated, "{end} of {whole:?}");
            }
        }
    }
}
