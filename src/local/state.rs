//! [`StateFolder`]: where runs live, and [`RunFolder`], the folder of one run with its lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::OffsetDateTime;

use super::record::Record;
use crate::error::{Error, Result};

/// The name of the folder that is looked for upwards from where one stands, like `.git`.
const NAME: &str = ".fanfold";

/// How long a look at the lock may take, and how many of them are waited for before a run counts as busy.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 200;

/// Where runs live: one folder a run, under `runs/`.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder given, or the nearest `.fanfold` in `from` or above it, or a new one in `from` once a run begins.
    pub fn find(given: Option<&Path>, from: &Path) -> Self {
        if let Some(given) = given {
            return Self(from.join(given));
        }
        let found = from.ancestors().map(|folder| folder.join(NAME)).find(|folder| folder.is_dir());
        Self(found.unwrap_or_else(|| from.join(NAME)))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The ids of all runs, oldest first.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn runs(&self) -> Result<Vec<String>> {
        let folder = self.0.join("runs");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&folder, &error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let record = entry.path().join("run.db");
            if let (Ok(name), Ok(made)) =
                (entry.file_name().into_string(), fs::metadata(&record).and_then(|m| m.created().or(m.modified())))
            {
                runs.push((made, name));
            }
        }
        runs.sort();
        Ok(runs.into_iter().map(|(_, name)| name).collect())
    }

    /// The folder of an existing run.
    ///
    /// # Errors
    /// There is no run of this id; the hint names the nearest one.
    pub fn run(&self, id: &str) -> Result<RunFolder> {
        let found = check_id(id).is_ok().then(|| self.folder(id)).filter(|run| run.record_path().exists());
        found.ok_or_else(|| {
            let runs = self.runs().unwrap_or_default();
            let error = Error::refused(format!("there is no run `{id}` in {}", self.0.display()));
            match crate::nearest::nearest(id, runs.iter().map(String::as_str)).or(runs.last().map(String::as_str)) {
                Some(near) => error.hint(format!("the nearest is `{near}`; `fanfold status` lists all runs")),
                None => error.hint("`fanfold run WORKFLOW` begins one; `--state-dir` names another state folder"),
            }
        })
    }

    /// The id of the newest run.
    ///
    /// # Errors
    /// There is no run yet.
    pub fn newest(&self) -> Result<String> {
        self.runs()?.pop().ok_or_else(|| {
            Error::refused(format!("there is no run in {}", self.0.display()))
                .hint("`fanfold run WORKFLOW` begins one; `--state-dir` names another state folder")
        })
    }

    /// When a run was begun, in milliseconds since 1970; 0 if that is not known.
    pub(crate) fn begun_ms(&self, id: &str) -> i64 {
        let made = fs::metadata(self.folder(id).record_path()).and_then(|data| data.created().or(data.modified())).ok();
        let since = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
        since.and_then(|since| since.as_millis().try_into().ok()).unwrap_or(0)
    }

    /// Makes the folder of a new run: of this id, which may be there already, or of a new one made of the date and four random hex
    /// digits.
    pub(super) fn new_run(&self, id: Option<&str>) -> Result<RunFolder> {
        if let Some(id) = id {
            check_id(id)?;
        }
        self.make_folders().map_err(|error| unmade(&self.0, &error))?;
        if let Some(id) = id {
            let run = self.folder(id);
            return match make(&run.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unmade(&run.path, &error)),
                _ => Ok(run),
            };
        }
        let today = OffsetDateTime::now_utc().date();
        loop {
            let random = fastrand::u16(..);
            let run = self.folder(&format!("{:04}{:02}{:02}-{random:04x}", today.year(), u8::from(today.month()), today.day()));
            match make(&run.path) {
                Ok(()) => return Ok(run),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unmade(&run.path, &error)),
            }
        }
    }

    fn make_folders(&self) -> io::Result<()> {
        let runs = self.0.join("runs");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&runs)?;
        let ignore = self.0.join(".gitignore");
        if !ignore.exists() { fs::write(ignore, "*\n") } else { Ok(()) }
    }

    fn folder(&self, id: &str) -> RunFolder {
        RunFolder { id: id.to_string(), path: self.0.join("runs").join(id) }
    }
}

/// A run's id is a folder's name and part of names on AWS.
fn check_id(id: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 80 || id.starts_with('.') || !id.chars().all(fine) {
        return Err(Error::refused(format!(
            "`{id}` cannot name a run: at most 80 letters, digits, `-`, `_` and `.`, no `.` in front"
        )));
    }
    Ok(())
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    id: String,
    path: PathBuf,
}

impl RunFolder {
    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a process is working on the run now.
    pub fn is_busy(&self) -> bool {
        File::open(self.path.join("lock")).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub(super) fn record_path(&self) -> PathBuf {
        self.path.join("run.db")
    }

    pub(super) fn marks_path(&self) -> PathBuf {
        self.path.join("in-flight")
    }

    pub(super) fn control_path(&self) -> PathBuf {
        self.path.join("control.json")
    }

    /// The record, for looking only.
    pub(crate) fn look(&self) -> Result<Record> {
        Record::look(&self.record_path())
    }

    /// Takes the run for this process, until the lock is dropped or the process dies.
    pub(super) fn lock(&self) -> Result<Lock> {
        let path = self.path.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| Error::surroundings(format!("{} cannot be opened: {error}", path.display())))?;
        let unlockable = |error: io::Error| Error::surroundings(format!("{} cannot be locked: {error}", path.display()));
        let busy = || {
            Error::refused(format!("run {} is being worked on by another process", self.id))
                .hint(format!("fanfold status {} --follow, or fanfold stop {}", self.id, self.id))
        };
        for _ in 0..LOOKS {
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Lock(file)),
                Ok(()) => return Err(Error::refused(format!("run {} was just removed by another process", self.id))),
                Err(TryLockError::Error(error)) => return Err(unlockable(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            // Who works on a run shares it with nobody; who only looks whether it is busy shares it for a moment.
            match file.try_lock_shared() {
                Ok(()) => file.unlock().map_err(unlockable)?,
                Err(TryLockError::WouldBlock) => return Err(busy()),
                Err(TryLockError::Error(error)) => return Err(unlockable(error)),
            }
            std::thread::sleep(LOOK);
        }
        Err(busy())
    }
}

/// Keeps other processes off a run while it lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Whether the file is still the one of this path: a run that was refused takes its folder along, lock and all.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |data: &fs::Metadata| (data.dev(), data.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(mine), Ok(there)) if place(&mine) == place(&there))
}

fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)
}

fn unmade(folder: &Path, error: &io::Error) -> Error {
    Error::surroundings(format!("the folder {} cannot be made: {error}", folder.display()))
        .hint("`--state-dir` or FANFOLD_STATE names another state folder")
}

fn unreadable(folder: &Path, error: &io::Error) -> Error {
    Error::surroundings(format!("{} cannot be read: {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_found_upwards_and_given_wins() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(StateFolder::find(None, &deep).path(), deep.join(".fanfold"));
        fs::create_dir(top.path().join(".fanfold")).unwrap();
        assert_eq!(StateFolder::find(None, &deep).path(), top.path().join(".fanfold"));
        assert_eq!(StateFolder::find(Some(Path::new("x")), &deep).path(), deep.join("x"));
    }

    #[test]
    fn one_process_has_a_run_and_names_stay_inside() {
        let top = tempfile::tempdir().unwrap();
        let state = StateFolder::find(None, top.path());
        let run = state.new_run(Some("2026-W47")).unwrap();
        let lock = run.lock().unwrap();
        assert!(run.is_busy());
        assert!(run.lock().unwrap_err().to_string().contains("worked on by another process"));
        drop(lock);
        assert!(!run.is_busy());
        for wrong in ["", "../x", ".x", "a/b", "a b"] {
            assert!(state.new_run(Some(wrong)).is_err(), "{wrong}");
            assert!(state.run(wrong).is_err(), "{wrong}");
        }
        let id = state.new_run(None).unwrap().id().to_string();
        assert_eq!(id.len(), "20261122-8f3c".len());
    }
}
