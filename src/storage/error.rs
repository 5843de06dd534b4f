//! [`StorageError`]: what went wrong with one object or one location, and what that means for the next try.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Location;

/// What kind of trouble a [`StorageError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// There is no such object, folder or bucket.
    NotFound,
    /// It is there, or may be, and access to it is denied.
    Denied,
    /// It is no longer what it was when it was listed.
    Changed,
    /// It is there already and must not be replaced.
    Exists,
    /// The disk or the quota is full.
    NoSpace,
    /// Another try may succeed.
    Transient,
    /// Another try may succeed, after a while: too many requests.
    Throttled {
        /// Not before this time has passed, if the other side said so.
        retry_after: Option<Duration>,
    },
    /// The name cannot be one of this location.
    BadName,
    /// The location as a whole cannot be used: no credentials, an expired token, another region.
    Unusable,
    /// Anything else; another try will not help.
    Other,
}

/// What went wrong with one object or location; names both.
#[derive(Debug, Clone)]
pub struct StorageError {
    kind: StorageErrorKind,
    detail: String,
    hint: Option<String>,
    writing: bool,
}

impl StorageError {
    pub(super) fn new(kind: StorageErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), hint: None, writing: false }
    }

    /// `address` is the object or location as people write it.
    pub(crate) fn from_io(address: &str, error: &io::Error) -> Self {
        use StorageErrorKind as Kind;
        use io::ErrorKind as Io;
        let (kind, words) = match error.kind() {
            Io::NotFound => (Kind::NotFound, "does not exist".to_string()),
            Io::PermissionDenied => (Kind::Denied, "access is denied".to_string()),
            Io::ReadOnlyFilesystem => (Kind::Denied, "the file system is read-only".to_string()),
            Io::StorageFull => (Kind::NoSpace, "the disk is full".to_string()),
            Io::QuotaExceeded => (Kind::NoSpace, "the disk quota is used up".to_string()),
            Io::IsADirectory => (Kind::Other, "is a folder".to_string()),
            Io::NotADirectory => (Kind::Other, "a part of the path is a file, not a folder".to_string()),
            Io::InvalidFilename => (Kind::BadName, "the name is too long, or not valid here".to_string()),
            Io::CrossesDevices => (
                Kind::Other,
                "is on another file system than the destination's folder, so it cannot be published at once".to_string(),
            ),
            _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::LOOP) => (Kind::NotFound, "is a symbolic link that leads to itself".to_string()),
                // A process out of descriptors, a disk that answers with an error, a network file system that lost its server:
                // all of them may pass.
                Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::IO) => {
                    (Kind::Transient, error.to_string())
                }
                Some(rustix::io::Errno::STALE | rustix::io::Errno::TIMEDOUT) => (Kind::Transient, error.to_string()),
                _ => (Kind::Other, error.to_string()),
            },
        };
        Self::new(kind, format!("`{address}`: {words}"))
    }

    pub(super) fn bad_name(location: &Location, name: &str, why: &str) -> Self {
        Self::new(StorageErrorKind::BadName, format!("`{}` cannot be a name in `{location}`: {why}", name.escape_debug()))
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn while_writing(mut self) -> Self {
        self.writing = true;
        self
    }

    /// Which kind of trouble it is.
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }

    /// What went wrong, with the object or the location, without the hint.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The action that helps, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether something was being written: access denied to a destination is everybody's trouble, to one source object only
    /// that item's.
    pub fn is_writing(&self) -> bool {
        self.writing
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StorageError {}

/// The whole location is in the way: a missing or wrong source is a mistake in the workflow (exit code 2), everything else is
/// its surroundings (exit code 4).
impl From<StorageError> for crate::Error {
    fn from(error: StorageError) -> Self {
        use StorageErrorKind as Kind;
        let made = match error.kind {
            Kind::NotFound if !error.writing => crate::Error::refused(error.detail),
            Kind::BadName | Kind::Exists | Kind::Other => crate::Error::refused(error.detail),
            _ => crate::Error::surroundings(error.detail),
        };
        match error.hint {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::ErrorKind;

    fn of(errno: Errno) -> StorageError {
        StorageError::from_io("out/a.jpg", &errno.into())
    }

    #[test]
    fn the_systems_errors_are_told_apart() {
        use StorageErrorKind as Kind;
        for (errno, kind, words) in [
            (Errno::NOENT, Kind::NotFound, "does not exist"),
            (Errno::LOOP, Kind::NotFound, "is a symbolic link that leads to itself"),
            (Errno::ACCESS, Kind::Denied, "access is denied"),
            (Errno::PERM, Kind::Denied, "access is denied"),
            (Errno::ROFS, Kind::Denied, "the file system is read-only"),
            (Errno::NOSPC, Kind::NoSpace, "the disk is full"),
            (Errno::DQUOT, Kind::NoSpace, "the disk quota is used up"),
            (Errno::NAMETOOLONG, Kind::BadName, "the name is too long, or not valid here"),
            (Errno::ISDIR, Kind::Other, "is a folder"),
        ] {
            assert_eq!((of(errno).kind(), of(errno).detail()), (kind, format!("`out/a.jpg`: {words}").as_str()));
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::IO, Errno::STALE, Errno::TIMEDOUT] {
            assert_eq!(of(errno).kind(), Kind::Transient);
        }
    }

    #[test]
    fn what_is_missing_is_a_mistake_only_where_it_was_to_be_read() {
        assert_eq!(crate::Error::from(of(Errno::NOENT)).kind(), ErrorKind::Refused);
        assert_eq!(crate::Error::from(of(Errno::NOENT).while_writing()).kind(), ErrorKind::Surroundings);
        assert_eq!(crate::Error::from(of(Errno::ACCESS)).kind(), ErrorKind::Surroundings);
    }
}
