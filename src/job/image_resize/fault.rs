//! [`Fault`]: why a picture could not be read, with the stable error name an item fails with.

use std::fmt;

use crate::job::JobError;

/// What is wrong with a picture. None of it goes away by trying again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub kind: FaultKind,
    pub detail: String,
}

/// The kinds of [`Fault`], each with an error name that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// There is not one byte.
    Empty,
    /// Not a picture, or of a kind that is not read.
    Unsupported,
    /// The end is missing.
    Truncated,
    /// The bytes contradict themselves.
    Damaged,
    /// More pixels than `max_pixels`.
    TooLarge,
}

impl FaultKind {
    /// The error name that is recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Image.Empty",
            Self::Unsupported => "Image.Unsupported",
            Self::Truncated => "Image.Truncated",
            Self::Damaged => "Image.Damaged",
            Self::TooLarge => "Image.TooLarge",
        }
    }
}

impl Fault {
    pub fn empty() -> Self {
        Self { kind: FaultKind::Empty, detail: "the file is empty".to_string() }
    }

    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unsupported, detail: detail.into() }
    }

    pub fn truncated(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Truncated, detail: detail.into() }
    }

    pub fn damaged(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Damaged, detail: detail.into() }
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::TooLarge, detail: detail.into() }
    }

    /// Refuses a picture of more than `most` pixels; asked before anything is allocated for it.
    ///
    /// # Errors
    /// [`FaultKind::TooLarge`], with both numbers.
    pub fn check_pixels(width: u32, height: u32, most: u64) -> Result<(), Self> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels <= most {
            return Ok(());
        }
        Err(Self::too_large(format!("{width} x {height} is {pixels} pixels, `max_pixels` is {most}")))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for JobError {
    fn from(fault: Fault) -> Self {
        let name = fault.kind.name();
        JobError::permanent(fault).named(name)
    }
}
