//! [`check_program`]: whether a program can be the bootstrap of a function: for Linux, for its processor, for a C library that is there.

use crate::error::{Error, Result};
use crate::workflow::Architecture;

/// The C library of `provided.al2023` (Amazon Linux 2023, checked 2026-10-07).
const GLIBC: (u32, u32) = (2, 34);

/// The most bytes of what a function is made of, unpacked (AWS Lambda quotas, checked 2026-10-07; hard).
const UNPACKED_BYTES: usize = 250 << 20;

/// The line that makes one, by processor.
fn how(architecture: Architecture) -> String {
    let flag = if architecture == Architecture::Arm64 { " --arm64" } else { "" };
    format!("`--bootstrap FILE`, built by `cargo lambda build --release{flag}`")
}

/// Checks the bytes of a program, which messages call `name`.
///
/// # Errors
/// What Lambda could not start.
pub(super) fn check_program(name: &str, bytes: &[u8], architecture: Architecture) -> Result<()> {
    let wrong = |detail: String| Err(Error::refused(format!("`{name}` {detail}")).hint(how(architecture)));
    if bytes.len() > UNPACKED_BYTES {
        let detail = format!("has {} MB, Lambda takes at most 250 MB unpacked", bytes.len() >> 20);
        return Err(Error::refused(format!("`{name}` {detail}")).hint("build it with `--release`, or strip it"));
    }
    let Some(elf) = Elf::read(bytes) else {
        let what = match bytes {
            [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => "is a program for macOS, workers run on Linux",
            [b'#', b'!', ..] => "is a script, a program for Linux is needed",
            _ => "is not a program for Linux",
        };
        return wrong(what.to_string());
    };
    let (word, machine) = match elf.machine {
        62 => ("x86_64", Some(Architecture::X86_64)),
        183 => ("arm64", Some(Architecture::Arm64)),
        _ => ("another processor", None),
    };
    if machine != Some(architecture) {
        let detail = format!("is for {word}, `aws.architecture` is {}", architecture.word());
        let other = machine.map(|machine| format!("`aws.architecture: {}`, or ", machine.word())).unwrap_or_default();
        return Err(Error::refused(format!("`{name}` {detail}")).hint(format!("{other}{}", how(architecture))));
    }
    match elf.glibc().filter(|needed| *needed > GLIBC) {
        Some((major, minor)) => wrong(format!("needs glibc {major}.{minor}, workers have {}.{}", GLIBC.0, GLIBC.1)),
        None => Ok(()),
    }
}

/// A program in ELF: 64 bits, the lowest byte first.
struct Elf<'a> {
    bytes: &'a [u8],
    machine: u16,
}

/// A section: its kind, where it is, how long, which other belongs to it, how many entries.
struct Section<'a> {
    kind: u32,
    content: &'a [u8],
    link: usize,
    entries: usize,
}

/// `SHT_GNU_verneed`: which versions of libraries are needed.
const VERNEED: u32 = 0x6fff_fffe;

impl<'a> Elf<'a> {
    /// `None` if it is anything else.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = [0x7f, b'E', b'L', b'F', 2, 1, 1];
        // Of System V or of Linux: others name themselves.
        let of_linux = matches!(bytes.get(7)?, 0 | 3);
        let runs = matches!(number(bytes, 16, 2)?, 2 | 3);
        (bytes.starts_with(&head) && of_linux && runs).then_some(())?;
        Some(Self { bytes, machine: number(bytes, 18, 2)? as u16 })
    }

    fn section(&self, index: usize) -> Option<Section<'a>> {
        let (table, size) = (number(self.bytes, 40, 8)? as usize, number(self.bytes, 58, 2)? as usize);
        let at = table.checked_add(size.checked_mul(index)?)?;
        let (offset, length) = (number(self.bytes, at.checked_add(24)?, 8)? as usize, number(self.bytes, at + 32, 8)? as usize);
        let kind = number(self.bytes, at + 4, 4)? as u32;
        // What takes no room in the file has a length all the same.
        let content = self.bytes.get(offset..offset.checked_add(length)?).unwrap_or_default();
        let (link, entries) = (number(self.bytes, at + 40, 4)? as usize, number(self.bytes, at + 44, 4)? as usize);
        Some(Section { kind, content, link, entries })
    }

    /// The newest version of glibc that is needed; `None` if none is.
    fn glibc(&self) -> Option<(u32, u32)> {
        let count = number(self.bytes, 60, 2)? as usize;
        let needed = (0..count).filter_map(|index| self.section(index)).find(|section| section.kind == VERNEED)?;
        let names = self.section(needed.link)?.content;
        let (mut newest, mut at) = (None, 0);
        for _ in 0..needed.entries {
            let count = number(needed.content, at + 2, 2)?;
            let mut version = at + number(needed.content, at + 8, 4)? as usize;
            for _ in 0..count {
                let name = number(needed.content, version + 8, 4)? as usize;
                newest = newest.max(glibc_version(text(names, name)?));
                let next = number(needed.content, version + 12, 4)? as usize;
                if next == 0 {
                    break;
                }
                version += next;
            }
            let next = number(needed.content, at + 12, 4)? as usize;
            if next == 0 {
                break;
            }
            at += next;
        }
        newest
    }
}

/// `GLIBC_2.34` as numbers.
fn glibc_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(length)?)?;
    Some(part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn text(bytes: &[u8], at: usize) -> Option<&str> {
    let rest = bytes.get(at..)?;
    std::str::from_utf8(&rest[..rest.iter().position(|byte| *byte == 0)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that needs this version of glibc.
    fn program(machine: u16, needs: &str) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        bytes[16] = 3;
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        let names = format!("\0libc.so.6\0{needs}\0GLIBC_2.2.5\0");
        let names_at = bytes.len();
        bytes.extend(names.as_bytes());
        let needed_at = bytes.len();
        let (first, second) = (11u32, 12 + needs.len() as u32);
        // One library of which two versions are needed.
        for (number, length) in [(1u64, 2), (2, 2), (1, 4), (16, 4), (0, 4)] {
            bytes.extend(&number.to_le_bytes()[..length]);
        }
        for (name, next) in [(second, 16u32), (first, 0)] {
            bytes.extend([0; 8]);
            bytes.extend(name.to_le_bytes());
            bytes.extend(next.to_le_bytes());
        }
        let table = bytes.len() as u64;
        for (kind, offset, length, link, entries) in [
            (0u32, 0usize, 0usize, 0u32, 0u32),
            (3, names_at, names.len(), 0, 0),
            (VERNEED, needed_at, table as usize - needed_at, 1, 1),
        ] {
            let mut section = vec![0u8; 64];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            section[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            section[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            section[40..44].copy_from_slice(&link.to_le_bytes());
            section[44..48].copy_from_slice(&entries.to_le_bytes());
            bytes.extend(section);
        }
        bytes[40..48].copy_from_slice(&table.to_le_bytes());
        bytes[58] = 64;
        bytes[60] = 3;
        bytes
    }

    #[test]
    fn a_program_has_to_be_for_linux_the_processor_and_the_c_library() {
        let told = |bytes: &[u8], architecture| check_program("b", bytes, architecture).map_err(|error| error.to_string());
        assert_eq!(told(&program(62, "GLIBC_2.34"), Architecture::X86_64), Ok(()));
        assert_eq!(told(&program(183, "GLIBC_2.17"), Architecture::Arm64), Ok(()));
        assert_eq!(told(&program(62, "OTHER_9.9"), Architecture::X86_64), Ok(()));
        let newer = told(&program(62, "GLIBC_2.38"), Architecture::X86_64).unwrap_err();
        assert!(
            newer.starts_with("`b` needs glibc 2.38, workers have 2.34; hint: `--bootstrap FILE`, built by `cargo lambda"),
            "{newer}"
        );
        assert!(told(&program(62, "GLIBC_2.100"), Architecture::X86_64).is_err(), "100 is more than 34");
        let other = told(&program(62, "GLIBC_2.34"), Architecture::Arm64).unwrap_err();
        assert!(
            other.starts_with("`b` is for x86_64, `aws.architecture` is arm64; hint: `aws.architecture: x86_64`, or"),
            "{other}"
        );
        for (bytes, words) in
            [(&[0xcf, 0xfa, 0xed, 0xfe, 0][..], "for macOS"), (b"#!/bin/sh", "a script"), (b"", "not a program for Linux")]
        {
            let error = told(bytes, Architecture::X86_64).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn no_program_is_too_broken_to_be_told() {
        let whole = program(62, "GLIBC_2.38");
        for length in 0..whole.len() {
            let _ = check_program("b", &whole[..length], Architecture::X86_64);
        }
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = check_program("b", &bytes, Architecture::X86_64);
        }
    }
}
