//! [`Folder`]: a directory of this machine. Files are published whole and durable: temporary file, fsync, rename, fsync of the
//! directory.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags};

use super::folder_sync::FolderSync;
use super::{OnExists, Put, StorageError, StorageErrorKind};

/// How much of a file is read at once, in bytes.
const PIECE: u64 = 256 * 1024;

/// A directory of this machine.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Where files are written before they get their name; on the file system of the root, so that a rename can publish them.
    scratch: PathBuf,
    scratch_ready: Mutex<bool>,
    next_temporary: AtomicU64,
    sync: FolderSync,
}

impl Folder {
    pub fn new(root: PathBuf, scratch: &str) -> Self {
        let scratch = root.join(format!(".fanfold-{scratch}"));
        let sync = FolderSync::new(root.clone());
        Self { root, scratch, scratch_ready: Mutex::new(false), next_temporary: AtomicU64::new(0), sync }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub async fn get(&self, name: &str, expect: Option<&str>) -> Result<Bytes, StorageError> {
        let path = self.root.join(name);
        let expect = expect.map(str::to_string);
        blocking(move || {
            let wrong = |error: io::Error| StorageError::from_io(&path.display().to_string(), &error);
            let (mut file, before) = open(&path).map_err(wrong)?;
            check_version(&path, &before, expect.as_deref())?;
            // One byte more than expected, so that the end is seen without growing the buffer.
            let mut bytes = Vec::new();
            let room = usize::try_from(before.len()).ok().and_then(|size| size.checked_add(1));
            match room.map(|room| bytes.try_reserve_exact(room)) {
                Some(Ok(())) => {}
                _ => return Err(wrong(io::ErrorKind::OutOfMemory.into())),
            }
            file.read_to_end(&mut bytes).map_err(wrong)?;
            let after = file.metadata().map_err(wrong)?;
            if expect.is_some() || bytes.len() as u64 != before.len() {
                check_version(&path, &after, Some(&etag(&before)))?;
            }
            Ok(Bytes::from(bytes))
        })
        .await
    }

    pub async fn exists(&self, name: &str) -> Result<bool, StorageError> {
        let path = self.root.join(name);
        blocking(move || match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(StorageError::from_io(&path.display().to_string(), &error)),
        })
        .await
    }

    pub async fn read(&self, name: &str) -> Result<FolderReading, StorageError> {
        let path = self.root.join(name);
        blocking(move || {
            let (file, metadata) = open(&path).map_err(|error| StorageError::from_io(&path.display().to_string(), &error))?;
            Ok(FolderReading { path, file: Some(file), etag: etag(&metadata) })
        })
        .await
    }

    pub async fn put(self: &Arc<Self>, name: &str, bytes: Bytes, exists: OnExists) -> Result<Put, StorageError> {
        let path = self.root.join(name);
        let folder = Arc::clone(self);
        // All of it on one thread: handing on costs more than waiting.
        blocking(move || {
            let put = folder.publish(&path, &bytes, exists)?;
            if put == Put::Written {
                let directory = path.parent().unwrap_or(&folder.root);
                let synced = folder.sync.entries_of(directory);
                synced.map_err(|error| StorageError::from_io(&path.display().to_string(), &error))?;
            }
            Ok(put)
        })
        .await
    }

    /// Gives the bytes their final name. Durable only once the directory is synced.
    fn publish(&self, path: &Path, bytes: &[u8], exists: OnExists) -> Result<Put, StorageError> {
        let wrong = |error: io::Error| StorageError::from_io(&path.display().to_string(), &error);
        let taken = || match exists {
            OnExists::Fail => Err(StorageError::new(StorageErrorKind::Exists, format!("`{}` exists already", path.display()))),
            _ => Ok(Put::Kept),
        };
        // Most of the time this spares the writing; the rename below is what cannot be raced.
        if exists != OnExists::Overwrite && fs::symlink_metadata(path).is_ok() {
            return taken();
        }
        let temporary = self.write_temporary(bytes)?;
        let mut published = rename(&temporary, path, exists);
        if let (Err(error), Some(parent)) = (&published, path.parent())
            && error.kind() == io::ErrorKind::NotFound
        {
            self.sync.forget(parent);
            published = fs::create_dir_all(parent).and_then(|()| rename(&temporary, path, exists));
        }
        match published {
            Ok(()) => Ok(Put::Written),
            Err(error) => {
                // What cannot be removed now is removed by the sweep.
                let _ = fs::remove_file(&temporary);
                if error.kind() == io::ErrorKind::AlreadyExists && exists != OnExists::Overwrite {
                    return taken();
                }
                Err(wrong(error))
            }
        }
    }

    fn write_temporary(&self, bytes: &[u8]) -> Result<PathBuf, StorageError> {
        self.prepare()?;
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.scratch.join(number.to_string());
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        match written() {
            Ok(()) => Ok(temporary),
            Err(error) => {
                let _ = fs::remove_file(&temporary);
                Err(StorageError::from_io(&temporary.display().to_string(), &error))
            }
        }
    }

    /// Makes the root and an empty folder for temporary files, once: what a killed run of this id has left there goes.
    fn prepare(&self) -> Result<(), StorageError> {
        let mut ready = self.scratch_ready.lock().unwrap_or_else(PoisonError::into_inner);
        if *ready {
            return Ok(());
        }
        let wrong = |path: &Path, error: io::Error| StorageError::from_io(&path.display().to_string(), &error);
        let missing: Vec<_> = self.root.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
        fs::create_dir_all(&self.root).map_err(|error| match error.kind() {
            // A file in the way: `create_dir_all` reports it as "exists".
            io::ErrorKind::AlreadyExists => {
                StorageError::new(StorageErrorKind::Other, format!("`{}` is a file, not a folder", self.root.display()))
            }
            _ => wrong(&self.root, error),
        })?;
        for created in missing {
            let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| wrong(parent, error))?;
        }
        match fs::remove_dir_all(&self.scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(&self.scratch, error)),
            _ => {}
        }
        fs::create_dir(&self.scratch).map_err(|error| wrong(&self.scratch, error))?;
        *ready = true;
        Ok(())
    }

    pub async fn writable(self: &Arc<Self>) -> Result<(), StorageError> {
        let folder = Arc::clone(self);
        blocking(move || {
            folder.prepare()?;
            let temporary = folder.write_temporary(b"")?;
            fs::remove_file(&temporary).map_err(|error| StorageError::from_io(&temporary.display().to_string(), &error))
        })
        .await
    }

    pub async fn sweep(self: &Arc<Self>) {
        let folder = Arc::clone(self);
        let swept = move || {
            let mut ready = folder.scratch_ready.lock().unwrap_or_else(PoisonError::into_inner);
            if *ready {
                let _ = fs::remove_dir_all(&folder.scratch);
                *ready = false;
            }
            Ok(())
        };
        let _ = blocking(swept).await;
    }
}

/// A file being read.
#[derive(Debug)]
pub(super) struct FolderReading {
    path: PathBuf,
    /// `None` once it was read to its end, or not.
    file: Option<File>,
    etag: String,
}

impl FolderReading {
    pub fn etag(&self) -> &str {
        &self.etag
    }

    pub async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Some(mut file) = self.file.take() else { return Ok(None) };
        let (path, etag) = (self.path.clone(), self.etag.clone());
        let (file, piece) = blocking(move || {
            let wrong = |error: io::Error| StorageError::from_io(&path.display().to_string(), &error);
            let mut piece = Vec::new();
            (&mut file).take(PIECE).read_to_end(&mut piece).map_err(wrong)?;
            if piece.is_empty() {
                check_version(&path, &file.metadata().map_err(wrong)?, Some(&etag))?;
            }
            Ok((file, piece))
        })
        .await?;
        self.file = Some(file).filter(|_| !piece.is_empty());
        Ok(Some(Bytes::from(piece)).filter(|piece| !piece.is_empty()))
    }
}

/// Opens a regular file. A fifo would wait for a writer, so it is looked at first.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// The version of a file, quoted as on S3: size and modification time in nanoseconds, in hex.
pub(super) fn etag(metadata: &Metadata) -> String {
    let modified = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("\"{:x}-{modified:x}\"", metadata.len())
}

fn check_version(path: &Path, found: &Metadata, expect: Option<&str>) -> Result<(), StorageError> {
    let found = etag(found);
    match expect {
        Some(expect) if expect != found => {
            let detail = format!("`{}` was {expect} when it was listed and is {found} now", path.display());
            Err(StorageError::new(StorageErrorKind::Changed, detail))
        }
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path, exists: OnExists) -> io::Result<()> {
    if exists == OnExists::Overwrite {
        return fs::rename(from, to);
    }
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows it; those that do not know hard links.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// Runs file work on tokio's blocking threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StorageError::new(StorageErrorKind::Transient, "the program is ending")),
        },
    }
}
