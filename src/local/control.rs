//! [`Control`]: how other processes speak to the one that works on a run: a small file in the run's folder, looked at a few
//! times a second.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rate::AskedRates;

/// How often the file is looked at: what is asked for takes effect within this time.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was asked of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wishes {
    /// Stop as soon as what is in flight has ended.
    pub stop: bool,
    /// `max_concurrency` from now on, also after a resume.
    pub concurrency: Option<u32>,
    /// Limits in place of those of `rate`, also after a resume.
    pub rates: AskedRates,
}

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Control(PathBuf);

impl Control {
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is asked for; nothing if nobody ever asked, or if the file is not readable as such.
    pub fn wishes(&self) -> Wishes {
        fs::read(&self.0).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Asks for one thing more, if that is not asked for already.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn ask(&self, change: impl FnOnce(&mut Wishes)) -> Result<()> {
        let before = self.wishes();
        let mut wishes = before.clone();
        change(&mut wishes);
        if wishes == before {
            return Ok(());
        }
        self.write(&wishes).map_err(|error| Error::surroundings(format!("{} cannot be written: {error}", self.0.display())))
    }

    fn write(&self, wishes: &Wishes) -> io::Result<()> {
        // Whole or not at all: the other process may be reading just now.
        let new = self.0.with_extension("new");
        fs::write(&new, serde_json::to_vec(wishes)?)?;
        fs::rename(&new, &self.0)
    }

    /// Forgets an old wish to stop, so that a resume is not stopped by it.
    pub fn begin(&self) -> Result<()> {
        if self.wishes().stop { self.ask(|wishes| wishes.stop = false) } else { Ok(()) }
    }
}

impl AsRef<Path> for Control {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}
