//! [`JobError`]: the author of a job decides one thing, whether another try is worth it. [`ConfigError`]: a setting that cannot be.

use std::fmt;
use std::time::Duration;

use crate::storage::{StorageError, StorageErrorKind};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why one try at an item did not succeed, and what that means for the next try.
#[derive(Debug)]
pub struct JobError {
    pub(crate) kind: JobErrorKind,
    pub(crate) name: Option<String>,
    pub(crate) cause: String,
    /// No later item of the lane may be begun, whatever `order.on_failure` says.
    pub(crate) stops_lane: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum JobErrorKind {
    Transient,
    Throttled(Option<Duration>),
    Permanent,
    Unknown,
    Skipped,
    /// The surroundings fail for every item: the run stops, resumable, exit 4; this item stays pending.
    Surroundings,
    /// The run stops, for the reason that is known to the worker; this item stays pending, resumable where it is.
    Stopped,
}

impl JobError {
    /// Another try may succeed. Recorded as `Job.Transient` once the retries are used up.
    pub fn transient(source: impl Into<Source>) -> Self {
        Self::of(JobErrorKind::Transient, source)
    }

    /// Another try may succeed, not before `retry_after` if one is given. Recorded as `Job.Throttled`.
    pub fn throttled(retry_after: Option<Duration>, source: impl Into<Source>) -> Self {
        Self::of(JobErrorKind::Throttled(retry_after), source)
    }

    /// No other try will succeed. Recorded as `Job.Permanent`.
    pub fn permanent(source: impl Into<Source>) -> Self {
        Self::of(JobErrorKind::Permanent, source)
    }

    /// An effect may have happened; nothing tries it again. Recorded as unknown, `Job.Unknown`.
    pub fn unknown(source: impl Into<Source>) -> Self {
        Self::of(JobErrorKind::Unknown, source)
    }

    /// The item is left out on purpose, for this reason.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { kind: JobErrorKind::Skipped, name: None, cause: why.into(), stops_lane: false }
    }

    /// Nothing is wrong with the item, but with what every item needs: a full disk, a destination without access.
    /// The run stops (exit 4, resumable) and the item stays pending.
    pub fn surroundings(source: impl Into<Source>) -> Self {
        Self::of(JobErrorKind::Surroundings, source)
    }

    /// Gives it a stable error name of the job's own, such as `Image.Truncated`, in place of the general one.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The run stops; the item stays pending and goes on where it is.
    pub(crate) fn stopped(why: impl Into<String>) -> Self {
        Self { kind: JobErrorKind::Stopped, name: None, cause: why.into(), stops_lane: false }
    }

    /// The items behind this one in its lane are blocked, also with `on_failure: continue`.
    #[must_use]
    pub(crate) fn stopping_lane(mut self) -> Self {
        self.stops_lane = true;
        self
    }

    fn of(kind: JobErrorKind, source: impl Into<Source>) -> Self {
        let source = source.into();
        let mut cause = source.to_string();
        let mut next = source.source();
        while let Some(inner) = next {
            let text = inner.to_string();
            if !cause.contains(&text) {
                cause.push_str(": ");
                cause.push_str(&text);
            }
            next = inner.source();
        }
        Self { kind, name: None, cause, stops_lane: false }
    }

    /// What happened, in words.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// The error name that is recorded.
    pub fn name(&self) -> &str {
        match (&self.name, self.kind) {
            (Some(name), _) => name,
            (None, JobErrorKind::Transient) => "Job.Transient",
            (None, JobErrorKind::Throttled(_)) => "Job.Throttled",
            (None, JobErrorKind::Permanent) => "Job.Permanent",
            (None, JobErrorKind::Unknown) => "Job.Unknown",
            (None, JobErrorKind::Skipped) => "Job.Skipped",
            (None, JobErrorKind::Surroundings) => "Job.Surroundings",
            (None, JobErrorKind::Stopped) => "Job.Stopped",
        }
    }
}

/// What trouble with one object means for the item: gone or changed is that item's end, a full disk or a destination without
/// access is everybody's.
impl From<StorageError> for JobError {
    fn from(error: StorageError) -> Self {
        let writing = error.is_writing();
        match error.kind() {
            StorageErrorKind::NotFound if writing => Self::surroundings(error),
            StorageErrorKind::NotFound => Self::permanent(error).named("Item.NotFound"),
            StorageErrorKind::Changed => Self::permanent(error).named("Item.Changed"),
            StorageErrorKind::Denied if !writing => Self::permanent(error).named("Item.Denied"),
            StorageErrorKind::Denied | StorageErrorKind::NoSpace | StorageErrorKind::Unusable => Self::surroundings(error),
            StorageErrorKind::Exists => Self::permanent(error).named("Destination.Exists"),
            StorageErrorKind::BadName if writing => Self::permanent(error).named("Destination.InvalidName"),
            StorageErrorKind::BadName => Self::permanent(error).named("Item.InvalidName"),
            StorageErrorKind::Transient => Self::transient(error),
            StorageErrorKind::Throttled { retry_after } => Self::throttled(retry_after, error),
            _ => Self::permanent(error),
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.cause)
    }
}

impl std::error::Error for JobError {}

/// A setting of a job that cannot be, found when the job is made, before anything is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub(crate) setting: String,
    pub(crate) detail: String,
    pub(crate) hint: Option<String>,
    pub(crate) surroundings: bool,
    /// Further ones.
    pub(crate) more: Vec<ConfigError>,
}

impl ConfigError {
    /// `setting` is its name in the job's config, dotted if nested (`probe.get`), or empty for the whole job;
    /// `detail` a lowercase fragment that says what was found and what is allowed.
    pub fn new(setting: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { setting: setting.into(), detail: detail.into(), hint: None, surroundings: false, more: Vec::new() }
    }

    /// Adds the one action that helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Both: every mistake is told at once.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.more.push(other);
        self
    }

    /// The setting is fine, but access, disk or network is not: exit code 4 instead of 2.
    #[must_use]
    pub fn surroundings(mut self) -> Self {
        self.surroundings = true;
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.setting.is_empty() { f.write_str(&self.detail) } else { write!(f, "`{}`: {}", self.setting, self.detail) }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_in_writing_is_everybodys_trouble_in_reading_the_items() {
        use std::io::ErrorKind as Io;
        for (io, reading, writing) in [
            (Io::NotFound, "Item.NotFound", "Job.Surroundings"),
            (Io::PermissionDenied, "Item.Denied", "Job.Surroundings"),
            (Io::StorageFull, "Job.Surroundings", "Job.Surroundings"),
            (Io::InvalidFilename, "Item.InvalidName", "Destination.InvalidName"),
        ] {
            let error = || StorageError::from_io("a", &io.into());
            assert_eq!(JobError::from(error()).name(), reading, "{io:?}");
            assert_eq!(JobError::from(error().while_writing()).name(), writing, "{io:?}");
        }
    }
}
