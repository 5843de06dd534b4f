//! [`Memory`]: the runs on AWS that were begun or looked at from this machine, in the state folder.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a run on AWS is. How it stands is asked each time. A record: other versions read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The run's name, that of its first execution.
    pub run: String,
    pub workflow: String,
    pub region: String,
    /// The ARN of the state machine, from which those of its executions follow.
    pub machine: String,
    /// The ARN of the first execution.
    pub execution: String,
    /// The results bucket.
    pub bucket: String,
    /// The hash of what was deployed when it was begun, or first looked at from here.
    pub deployment: String,
    /// Milliseconds since 1970.
    pub begun_ms: i64,
}

/// The folder `aws/` of a state folder: a file for each run.
#[derive(Debug, Clone)]
pub(crate) struct Memory(PathBuf);

impl Memory {
    /// That of this state folder.
    pub fn of(state: &Path) -> Self {
        Self(state.join("aws"))
    }

    /// A run that is remembered.
    ///
    /// # Errors
    /// What was remembered cannot be read.
    pub fn get(&self, run: &str) -> Result<Option<Remembered>> {
        if run.is_empty() || run.contains('/') || run.starts_with('.') {
            return Ok(None);
        }
        let path = self.path(run);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Error::surroundings(format!("`{}` is not what fanfold wrote: {error}", path.display()))
                    .hint("remove it, and name the run by the ARN of its execution")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::surroundings(format!("`{}` cannot be read: {error}", path.display()))),
        }
    }

    /// Every run that is remembered, the oldest first. Files that are something else are left out.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn all(&self) -> Result<Vec<Remembered>> {
        let unreadable = |error: io::Error| Error::surroundings(format!("`{}` cannot be read: {error}", self.0.display()));
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                all.extend(fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok()));
            }
        }
        all.sort_by(|a, b| (a.begun_ms, &a.run).cmp(&(b.begun_ms, &b.run)));
        Ok(all)
    }

    /// Remembers a run that was found on AWS. Its name has to be free here: commands name runs by it.
    ///
    /// # Errors
    /// Another run has this name; the state folder cannot be written.
    pub fn add(&self, known: &Remembered) -> Result<()> {
        let taken = |by: &str| {
            Error::refused(format!("its name is `{}`, and so is that of {by}, which is kept here", known.run))
                .hint("`--state-dir` with another folder keeps them apart")
        };
        if let Some(other) = self.get(&known.run)? {
            return Err(taken(&format!("a run of `{}` in {}", other.workflow, other.region)));
        }
        if self.0.with_file_name("runs").join(&known.run).exists() {
            return Err(taken("a run of this machine"));
        }
        self.put(known)
    }

    /// Remembers a run, durably.
    ///
    /// # Errors
    /// The state folder cannot be written.
    pub fn put(&self, known: &Remembered) -> Result<()> {
        let path = self.path(&known.run);
        let unwritable = |error: io::Error| {
            Error::surroundings(format!("`{}` cannot be written: {error}", path.display()))
                .hint("`--state-dir` or FANFOLD_STATE names another state folder")
        };
        self.make().map_err(unwritable)?;
        let new = path.with_extension("new");
        let written =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(|mut file| {
                // Texts and numbers cannot fail to be written.
                file.write_all(&serde_json::to_vec_pretty(known).unwrap_or_default())?;
                file.sync_all()?;
                fs::rename(&new, &path)
            });
        written.map_err(unwritable)
    }

    /// Forgets a run that could not be begun.
    pub fn forget(&self, run: &str) {
        // One that stays is told as a run that has no execution.
        let _ = fs::remove_file(self.path(run));
    }

    fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let Some(ignore) = self.0.parent().map(|state| state.join(".gitignore")) else { return Ok(()) };
        if ignore.exists() { Ok(()) } else { fs::write(ignore, "*\n") }
    }

    fn path(&self, run: &str) -> PathBuf {
        self.0.join(format!("{run}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back_oldest_first_and_names_stay_inside() {
        let state = tempfile::tempdir().unwrap();
        let memory = Memory::of(&state.path().join(".fanfold"));
        assert_eq!(memory.all().unwrap(), []);
        let known = |run: &str, begun_ms| Remembered {
            run: run.into(),
            workflow: "w".into(),
            region: "eu-west-1".into(),
            machine: "m".into(),
            execution: "e".into(),
            bucket: "b".into(),
            deployment: "h".into(),
            begun_ms,
        };
        for known in [known("2026-W47", 2), known("a.b", 1)] {
            memory.put(&known).unwrap();
            assert_eq!(memory.get(&known.run).unwrap(), Some(known));
        }
        let names: Vec<_> = memory.all().unwrap().into_iter().map(|known| known.run).collect();
        assert_eq!(names, ["a.b", "2026-W47"]);
        assert_eq!(memory.get("../aws/a.b").unwrap(), None);
        assert!(memory.add(&known("a.b", 1)).unwrap_err().to_string().contains("so is that of a run of `w` in eu-west-1"));
        fs::create_dir_all(state.path().join(".fanfold/runs/here")).unwrap();
        assert!(memory.add(&known("here", 1)).unwrap_err().to_string().contains("so is that of a run of this machine"));
        fs::write(memory.path("torn"), "{").unwrap();
        assert!(memory.get("torn").unwrap_err().to_string().contains("is not what fanfold wrote"));
        assert_eq!(memory.all().unwrap().len(), 2);
        memory.forget("a.b");
        assert_eq!(memory.get("a.b").unwrap(), None);
    }
}
