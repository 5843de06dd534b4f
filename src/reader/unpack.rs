//! Takes the compression off a source: gzip and zstd, told by their first bytes.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;

use crate::storage::StorageError;
use crate::{Error, Result};

/// A source as it was before it was compressed.
pub(super) struct Unpacked<'r> {
    reader: Box<dyn Read + 'r>,
    /// The name of the compression.
    packed: Option<&'static str>,
    source: String,
}

impl<'r> Unpacked<'r> {
    /// `source` is what messages call it.
    ///
    /// # Errors
    /// It cannot be read, or is not what its name says.
    pub fn new(mut file: impl Read + 'r, source: &str) -> Result<Self> {
        let source = source.to_string();
        let head = head(&mut file).map_err(|error| unreadable(&source, &error))?;
        let (gzip, zstd) = (head.starts_with(&[0x1f, 0x8b]), head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        let named = [(".gz", "gzip"), (".zst", "zstd"), (".zstd", "zstd")].iter().find(|(ending, _)| source.ends_with(ending));
        if let Some((ending, kind)) = named
            && *kind
                != if gzip {
                    "gzip"
                } else if zstd {
                    "zstd"
                } else {
                    ""
                }
        {
            let found = if head.is_empty() { "is empty" } else { "does not begin as such data does" };
            return Err(Error::refused(format!("`{source}` is called `{ending}` and is no {kind} data: it {found}"))
                .hint("fetch it again, or give it its right name"));
        }
        let whole = Cursor::new(head).chain(file);
        let (reader, packed): (Box<dyn Read + 'r>, _) = if gzip {
            (Box::new(MultiGzDecoder::new(whole)), Some("gzip"))
        } else if zstd {
            let decoder = zstd::stream::read::Decoder::new(whole).map_err(|error| unreadable(&source, &error))?;
            (Box::new(decoder), Some("zstd"))
        } else {
            (Box::new(whole), None)
        };
        Ok(Self { reader, packed, source })
    }

    /// Whether nothing was taken off.
    pub fn is_plain(&self) -> bool {
        self.packed.is_none()
    }

    /// Reads the next bytes; 0 at the end.
    ///
    /// # Errors
    /// The source cannot be read, or its compressed data is damaged.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            return match self.reader.read(buffer) {
                Ok(read) => Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(match self.packed {
                    _ if is_of_storage(&error) => unreadable(&self.source, &error),
                    // The system's own errors have a number; those of the decoders have none.
                    Some(packed) if error.raw_os_error().is_none() => self.damaged(packed, &error),
                    _ => unreadable(&self.source, &error),
                }),
            };
        }
    }

    fn damaged(&self, packed: &str, error: &io::Error) -> Error {
        let detail = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("`{}` ends in the middle of its {packed} data", self.source),
            _ => format!("the {packed} data of `{}` is damaged: {error}", self.source),
        };
        Error::refused(detail).hint("fetch it again")
    }
}

/// The first four bytes, or fewer of a shorter file.
fn head(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(4);
    file.take(4).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether it is the trouble of whoever fetches the source.
fn is_of_storage(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<StorageError>())
}

pub(super) fn unreadable(source: &str, error: &io::Error) -> Error {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<StorageError>()) {
        return error.clone().into();
    }
    Error::surroundings(format!("`{source}` cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>> {
        let mut unpacked = Unpacked::new(Cursor::new(bytes), name)?;
        let (mut all, mut buffer) = (Vec::new(), [0; 7]);
        loop {
            match unpacked.read(&mut buffer)? {
                0 => return Ok(all),
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let text = b"id\n1\n2\n".repeat(100);
        assert_eq!(unpacked(text.clone(), "a.csv").unwrap(), text);
        assert_eq!(unpacked(gzip(&text), "a.csv").unwrap(), text);
        // Several one behind the other are one, as the tools have it.
        assert_eq!(unpacked([gzip(&text), gzip(b"3\n")].concat(), "a.csv.gz").unwrap(), [&text[..], b"3\n"].concat());
        let packed = zstd::encode_all(&text[..], 3).unwrap();
        assert_eq!(unpacked([&packed[..], &packed[..]].concat(), "a.csv.zst").unwrap(), text.repeat(2));
    }

    #[test]
    fn what_is_cut_off_is_never_silently_short() {
        let text = b"id\n1\n2\n".repeat(100);
        for (name, packed) in [("a.csv.gz", gzip(&text)), ("a.csv.zst", zstd::encode_all(&text[..], 3).unwrap())] {
            for cut in 0..packed.len() {
                let error = unpacked(packed[..cut].to_vec(), name).unwrap_err();
                assert_eq!(error.kind(), crate::ErrorKind::Refused, "{name} cut at {cut}: {error}");
            }
            let message = unpacked(packed[..packed.len() - 1].to_vec(), name).unwrap_err().to_string();
            let kind = if name.ends_with("gz") { "gzip" } else { "zstd" };
            assert_eq!(message, format!("`{name}` ends in the middle of its {kind} data; hint: fetch it again"));
        }
    }

    #[test]
    fn what_is_not_what_its_name_says_is_refused() {
        for (bytes, found) in [(&b"id\n"[..], "does not begin as such data does"), (b"", "is empty")] {
            assert_eq!(
                unpacked(bytes.to_vec(), "a.csv.gz").unwrap_err().to_string(),
                format!(
                    "`a.csv.gz` is called `.gz` and is no gzip data: it {found}; hint: fetch it again, or give it its right name"
                )
            );
        }
        let mut damaged = gzip(&b"id\n1\n".repeat(99));
        let last = damaged.len() - 8;
        damaged[last] ^= 1;
        let message = unpacked(damaged, "a.csv.gz").unwrap_err().to_string();
        assert_eq!(
            message,
            "the gzip data of `a.csv.gz` is damaged: corrupt gzip stream does not have a matching checksum; hint: fetch it again"
        );
    }
}
