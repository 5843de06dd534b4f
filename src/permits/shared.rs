//! [`SharedFile`]: the state of a host in a small file that all processes of the user lock for a moment.
//!
//! Each host has a folder with the state and, for each run that has a rate for it, a file that says so and is locked as long as the
//! run lives. All of them are the user's own: `0700` and `0600`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock::{Clock, boot};
use super::state::{BYTES, HostState};
use crate::rate::Rate;

/// Names the folder, in place of the usual ones.
const FOLDER: &str = "FANFOLD_RATE_DIR";

/// How often it is looked who else lives.
const LOOK: Duration = Duration::from_secs(1);

/// How long another process may hold the lock: it needs it for microseconds, and may have been stopped just then.
const HELD: Duration = Duration::from_secs(10);

/// How often the lock is tried at once, before it is waited for.
const AT_ONCE: u32 = 20;

/// What the file of a run begins with.
const RUN: &str = "run-";

/// The state of one host, shared.
#[derive(Debug)]
pub(super) struct SharedFile {
    /// The folder of all hosts; `None` for the usual one.
    top: Option<PathBuf>,
    host: String,
    boot: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    folder: PathBuf,
    state: File,
    read: HostState,
    looked: Duration,
    /// The lowest rate of the other runs.
    others: Option<Rate>,
    mine: Option<Mine>,
}

/// The file that tells the others of this run's rate. Removed when the run ends; the lock ends with the process.
#[derive(Debug)]
struct Mine {
    file: File,
    path: PathBuf,
    rate: Option<Rate>,
}

impl Drop for Mine {
    fn drop(&mut self) {
        // What stays is not locked, and removed by the next who looks.
        let _ = fs::remove_file(&self.path);
    }
}

impl SharedFile {
    pub fn new(top: Option<PathBuf>, host: &str) -> Self {
        Self { top, host: as_name(host), boot: boot(), open: None }
    }

    pub async fn enter(&mut self, own: Option<Rate>, clock: Clock) -> Result<(HostState, Option<Rate>), String> {
        let entered = self.try_enter(own, clock).await;
        if entered.is_err() {
            // Closing it lets go of its lock, whatever it was that failed.
            self.open = None;
        }
        entered
    }

    async fn try_enter(&mut self, own: Option<Rate>, clock: Clock) -> Result<(HostState, Option<Rate>), String> {
        loop {
            if self.open.is_none() {
                self.open = Some(Open::new(self.top.as_deref(), &self.host)?);
            }
            let Some(open) = &mut self.open else { continue };
            open.lock().await?;
            let now = clock.now();
            if now.saturating_sub(open.looked) >= LOOK
                || open.looked.is_zero()
                || open.mine.as_ref().and_then(|mine| mine.rate) != own
            {
                // Somebody who cleans up may have taken it away; then the others have another one by now.
                if !open.is_in_place() {
                    self.open = None;
                    continue;
                }
                open.look(own).map_err(|error| unusable(&open.folder, &error))?;
                open.looked = now;
            }
            let state = open.read(self.boot).map_err(|error| unusable(&open.folder, &error))?;
            open.read = state.believable(now);
            let rate = lower(own, open.others);
            return Ok((open.read, rate));
        }
    }

    pub fn leave(&mut self, new: &HostState) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let left = if *new == open.read { Ok(()) } else { open.state.write_all_at(&new.encode(self.boot), 0) };
        let left = left.and_then(|()| open.state.unlock()).map_err(|error| unusable(&open.folder, &error));
        if left.is_err() {
            self.open = None;
        }
        left
    }
}

impl Open {
    fn new(top: Option<&Path>, host: &str) -> Result<Self, String> {
        let top = match top {
            Some(top) => top.to_path_buf(),
            None => usual_folder(),
        };
        own_folder(&top)?;
        let folder = top.join(host);
        own_folder(&folder)?;
        let state = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join("state"));
        let state = state.map_err(|error| unusable(&folder, &error))?;
        let read = HostState::default();
        Ok(Self { folder, state, read, looked: Duration::ZERO, others: None, mine: None })
    }

    async fn lock(&self) -> Result<(), String> {
        let mut tries = 0;
        let began = std::time::Instant::now();
        loop {
            match self.state.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(unusable(&self.folder, &error)),
                Err(TryLockError::WouldBlock) if began.elapsed() > HELD => {
                    let folder = self.folder.display();
                    return Err(format!(
                        "another process has kept {folder} locked for {} s; hint: let it go on, or end it: `fuser {folder}/state`",
                        HELD.as_secs()
                    ));
                }
                Err(TryLockError::WouldBlock) => {
                    tries += 1;
                    if tries < AT_ONCE {
                        tokio::task::yield_now().await;
                    } else {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
        }
    }

    /// Whether the file is still the one of its path.
    fn is_in_place(&self) -> bool {
        let place = |data: &fs::Metadata| (data.dev(), data.ino());
        let there = fs::metadata(self.folder.join("state"));
        let mine = self.mine.as_ref().is_none_or(|mine| mine.path.exists());
        mine && matches!((self.state.metadata(), there), (Ok(file), Ok(there)) if place(&file) == place(&there))
    }

    /// Tells the others of this run's rate and looks for theirs. The state is locked, so that a file which is not locked is nobody's.
    fn look(&mut self, own: Option<Rate>) -> io::Result<()> {
        self.tell(own)?;
        self.others = None;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_run = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(RUN));
            if !is_run || self.mine.as_ref().is_some_and(|mine| mine.path == path) {
                continue;
            }
            // It may be gone by now.
            let Ok(file) = File::open(&path) else { continue };
            match file.try_lock_shared() {
                Ok(()) => fs::remove_file(&path).or_else(|error| if path.exists() { Err(error) } else { Ok(()) })?,
                Err(TryLockError::WouldBlock) => self.others = lower(self.others, parse(&io::read_to_string(&file)?)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn tell(&mut self, own: Option<Rate>) -> io::Result<()> {
        let Some(rate) = own else {
            self.mine = None;
            return Ok(());
        };
        if self.mine.is_none() {
            let path = self.folder.join(format!("{RUN}{}-{:08x}", std::process::id(), fastrand::u32(..)));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            let mine = self.mine.insert(Mine { file, path, rate: None });
            mine.file.lock()?;
        }
        match &mut self.mine {
            Some(mine) if mine.rate != own => {
                mine.file.set_len(0)?;
                mine.file.write_all_at(format!("{} {}\n", rate.limit, rate.burst).as_bytes(), 0)?;
                mine.file.flush()?;
                mine.rate = own;
            }
            _ => {}
        }
        Ok(())
    }

    fn read(&self, boot: u64) -> io::Result<HostState> {
        let mut bytes = [0; BYTES];
        match self.state.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(HostState::decode(&bytes, boot).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(HostState::default()),
            Err(error) => Err(error),
        }
    }
}

/// The lower limit and the smaller burst of two.
fn lower(one: Option<Rate>, other: Option<Rate>) -> Option<Rate> {
    match (one, other) {
        (Some(one), Some(other)) => Some(Rate { limit: one.limit.min(other.limit), burst: one.burst.min(other.burst) }),
        (one, other) => one.or(other),
    }
}

/// What [`Open::tell`] wrote.
fn parse(text: &str) -> Option<Rate> {
    let (limit, burst) = text.trim().split_once(' ')?;
    let limit: f64 = limit.parse().ok()?;
    (limit > 0.0 && limit.is_finite()).then_some(Rate { limit, burst: burst.parse().ok()? })
}

/// A host as the name of a folder.
fn as_name(host: &str) -> String {
    let mut name = String::with_capacity(host.len() + 2);
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

/// `FANFOLD_RATE_DIR`; else in the user's folder of this machine's run time; else in the folder for what is temporary.
fn usual_folder() -> PathBuf {
    let given = |name| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let user = rustix::process::geteuid().as_raw();
    // What is started by cron has no XDG_RUNTIME_DIR, and is to share with what is started by hand.
    let run_time =
        || given("XDG_RUNTIME_DIR").filter(|folder| folder.is_absolute()).unwrap_or_else(|| format!("/run/user/{user}").into());
    given(FOLDER).unwrap_or_else(|| {
        let run_time = run_time();
        if run_time.is_dir() { run_time.join("fanfold") } else { std::env::temp_dir().join(format!("fanfold-{user}")) }
    })
}

/// Makes the folder if it is not there, and sees that nobody else can write in it.
fn own_folder(folder: &Path) -> Result<(), String> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(folder, &error)),
        _ => {}
    }
    let found = fs::symlink_metadata(folder).map_err(|error| unusable(folder, &error))?;
    let user = rustix::process::geteuid().as_raw();
    let wrong = if !found.is_dir() {
        "it is no folder".to_string()
    } else if found.uid() != user {
        format!("it belongs to user {}, not to {user}", found.uid())
    } else if found.mode() & 0o077 != 0 {
        format!("others may use it: mode {:o}, not 700", found.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(unusable(folder, &wrong))
}

fn unusable(folder: &Path, why: &dyn std::fmt::Display) -> String {
    format!(
        "runs cannot share their rates through {}: {why}; hint: put it right, or name another folder by `{FOLDER}`",
        folder.display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn rate(limit: f64, burst: u32) -> Option<Rate> {
        Some(Rate { limit, burst })
    }

    async fn rate_of(file: &mut SharedFile, own: Option<Rate>) -> Option<Rate> {
        // A look is due.
        if let Some(open) = &mut file.open {
            open.looked = Duration::ZERO;
        }
        let (state, rate) = file.enter(own, Clock::Machine).await.unwrap();
        file.leave(&state).unwrap();
        rate
    }

    #[tokio::test]
    async fn the_lowest_limit_and_burst_of_the_living_rule_and_the_dead_are_removed() {
        let top = tempfile::tempdir().unwrap();
        let file = || SharedFile::new(Some(top.path().join("rates")), "api.example.com:443");
        let (mut one, mut two, mut none) = (file(), file(), file());
        assert_eq!(rate_of(&mut one, rate(50.0, 1)).await, rate(50.0, 1));
        assert_eq!(rate_of(&mut two, rate(20.0, 9)).await, rate(20.0, 1));
        assert_eq!(rate_of(&mut one, rate(50.0, 1)).await, rate(20.0, 1));
        assert_eq!(rate_of(&mut none, None).await, rate(20.0, 1), "who has no rate keeps that of the others");
        assert_eq!(rate_of(&mut two, rate(500.0, 9)).await, rate(50.0, 1), "it was raised");
        assert_eq!(rate_of(&mut none, None).await, rate(50.0, 1));
        // As after a kill: the file is there, its lock is not.
        let folder = top.path().join("rates/api.example.com%3a443");
        fs::write(folder.join("run-1-dead"), "1 1\n").unwrap();
        drop(one);
        assert_eq!(rate_of(&mut none, None).await, rate(500.0, 9));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the state and the one that lives");
        assert_eq!(fs::metadata(folder.join("state")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_one_leaves_the_other_finds_also_after_a_clean_up() {
        let top = tempfile::tempdir().unwrap();
        let mut one = SharedFile::new(Some(top.path().join("rates")), "a:1");
        let mut two = SharedFile::new(Some(top.path().join("rates")), "a:1");
        let now = Clock::Machine.now();
        let (mut state, _) = one.enter(rate(5.0, 1), Clock::Machine).await.unwrap();
        state.paused_until = now + Duration::from_secs(7);
        one.leave(&state).unwrap();
        let (found, _) = two.enter(None, Clock::Machine).await.unwrap();
        two.leave(&found).unwrap();
        assert_eq!(found, state);
        fs::remove_dir_all(top.path().join("rates")).unwrap();
        assert_eq!(rate_of(&mut one, rate(5.0, 1)).await, rate(5.0, 1));
        assert_eq!(rate_of(&mut two, None).await, rate(5.0, 1), "both have found the new one");
    }

    #[tokio::test]
    async fn a_folder_that_others_may_use_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let rates = top.path().join("rates");
        let enter = async || SharedFile::new(Some(rates.clone()), "a:1").enter(None, Clock::Machine).await.unwrap_err();
        fs::write(&rates, "").unwrap();
        assert!(enter().await.contains("it is no folder; hint: put it right, or name another folder by `FANFOLD_RATE_DIR`"));
        fs::remove_file(&rates).unwrap();
        std::os::unix::fs::symlink(top.path(), &rates).unwrap();
        assert!(enter().await.contains("it is no folder"));
        fs::remove_file(&rates).unwrap();
        fs::create_dir(&rates).unwrap();
        fs::set_permissions(&rates, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(enter().await.contains("others may use it: mode 755, not 700"));
    }

    #[test]
    fn names_of_hosts_stay_inside() {
        assert_eq!(as_name("api.example.com:443"), "api.example.com%3a443");
        assert_eq!(as_name("../x"), "%2e.%2fx");
        assert_eq!(as_name("[::1]:80"), "%5b%3a%3a1%5d%3a80");
    }
}
