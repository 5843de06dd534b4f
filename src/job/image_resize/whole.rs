//! Whether the file of a picture is all there, told from its container before anything is decoded.
//!
//! The decoders behind differ in what they do with a missing end, and one of them in whether it notices at all; here
//! every cut is the same failure. Bytes behind the end are nobody's business.

use super::fault::Fault;
use super::kind::Kind;

/// Walks over the chunks or blocks up to the end of the (first) picture.
///
/// # Errors
/// The end of the file before the end of the picture. What the walk cannot make sense of is left to the decoder.
pub(super) fn check(kind: Kind, bytes: &[u8]) -> Result<(), Fault> {
    let (name, whole) = match kind {
        // The decoder itself is strict.
        Kind::Jpeg => return Ok(()),
        Kind::Png => ("PNG", png(bytes)),
        Kind::WebP => ("WebP", webp(bytes)),
        Kind::Gif => ("GIF", gif(bytes)),
    };
    match whole {
        Some(()) => Ok(()),
        None => Err(Fault::truncated(format!("the {name} ends at byte {}, before its picture is complete", bytes.len()))),
    }
}

/// To the end of chunk IEND.
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (name, behind) = behind.split_first_chunk::<4>()?;
        rest = behind.get(usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(4)?..)?;
        if name == b"IEND" {
            return Some(());
        }
    }
}

/// To the end that the RIFF header claims.
fn webp(bytes: &[u8]) -> Option<()> {
    let &length = bytes.get(4..)?.first_chunk::<4>()?;
    bytes.get(8..usize::try_from(u32::from_le_bytes(length)).ok()?.checked_add(8)?)?;
    Some(())
}

/// To the end of the first image block.
fn gif(bytes: &[u8]) -> Option<()> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut rest = bytes.get(13 + colours(*bytes.get(10)?)..)?;
    loop {
        let (&introducer, behind) = rest.split_first()?;
        rest = match introducer {
            0x21 => blocks(behind.get(1..)?)?,
            0x2C => return blocks(behind.get(10 + colours(*behind.get(8)?)..)?).map(|_| ()),
            // The trailer, or nothing that belongs here: the decoder says what.
            _ => return Some(()),
        };
    }
}

/// Goes over sub-blocks and the empty one that ends them.
fn blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, behind) = rest.split_first()?;
        rest = behind.get(usize::from(length)..)?;
        if length == 0 {
            return Some(rest);
        }
    }
}
