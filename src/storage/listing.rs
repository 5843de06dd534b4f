//! [`FolderPages`]: the files below a directory, in byte order of their names, as S3 would list them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::folder::{blocking, etag};
use super::{Object, PAGE, StorageError, StorageErrorKind, is_own};
use crate::nearest::nearest;

/// A listing in progress.
#[derive(Debug)]
pub(super) struct FolderPages {
    /// `None` while a page is being made, and after an error.
    walk: Option<Walk>,
    /// Only what comes after this name is told.
    after: Option<String>,
}

#[derive(Debug)]
struct Walk {
    root: PathBuf,
    started: bool,
    /// The directories on the way to where the listing is, outermost first.
    open: Vec<Directory>,
}

/// A directory being listed: its names in order, and how far it got.
#[derive(Debug)]
struct Directory {
    /// Relative to the root, empty or ending in `/`.
    prefix: Vec<u8>,
    names: Names,
    identity: (u64, u64),
}

impl FolderPages {
    pub fn new(root: &Path) -> Self {
        Self { walk: Some(Walk { root: root.to_path_buf(), started: false, open: Vec::new() }), after: None }
    }

    /// What comes after this name.
    pub fn after(root: &Path, name: &str) -> Self {
        Self { after: Some(name.to_string()), ..Self::new(root) }
    }

    pub async fn next(&mut self) -> Result<Option<Vec<Object>>, StorageError> {
        let Some(mut walk) = self.walk.take() else { return Ok(None) };
        let after = self.after.clone();
        let (walk, page) = blocking(move || {
            loop {
                let mut page = walk.page()?;
                let was_last = page.is_empty();
                if let Some(after) = &after {
                    page.retain(|object| object.name > *after);
                }
                if was_last || !page.is_empty() {
                    return Ok((walk, page));
                }
            }
        })
        .await?;
        if page.is_empty() {
            return Ok(None);
        }
        self.walk = Some(walk);
        Ok(Some(page))
    }
}

impl Walk {
    fn page(&mut self) -> Result<Vec<Object>, StorageError> {
        if !self.started {
            self.started = true;
            self.enter(Vec::new())?;
        }
        let mut page = Vec::new();
        while page.len() < PAGE {
            let Some(directory) = self.open.last_mut() else { break };
            let Some((name, is_directory)) = directory.names.next() else {
                self.open.pop();
                continue;
            };
            let mut relative = directory.prefix.clone();
            relative.extend_from_slice(name);
            if is_directory {
                // The name of a directory ends in `/` already.
                self.enter(relative)?;
            } else if let Some(object) = self.object(&relative)? {
                page.push(object);
            }
        }
        Ok(page)
    }

    /// Goes into a directory, unless it is one of those it is in already: then everything in it is being listed anyway.
    fn enter(&mut self, prefix: Vec<u8>) -> Result<(), StorageError> {
        let path = self.path(&prefix);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Removed since its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => return Ok(()),
            Err(error) => return Err(self.refuse(&path, &error)),
        };
        let identity = (metadata.dev(), metadata.ino());
        if self.open.iter().any(|directory| directory.identity == identity) {
            return Ok(());
        }
        let names = Names::read(&path).map_err(|error| self.refuse(&path, &error))?;
        self.open.push(Directory { prefix, names, identity });
        Ok(())
    }

    fn object(&self, relative: &[u8]) -> Result<Option<Object>, StorageError> {
        let path = self.path(relative);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // A link that leads nowhere is an item too, one that fails; a file that is gone is none.
            Err(_) => match fs::symlink_metadata(&path) {
                Ok(link) => return Ok(Some(object(relative, &link))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(self.refuse(&path, &error)),
            },
        };
        Ok(metadata.is_file().then(|| object(relative, &metadata)))
    }

    fn path(&self, relative: &[u8]) -> PathBuf {
        self.root.join(OsStr::from_bytes(relative))
    }

    fn refuse(&self, path: &Path, error: &io::Error) -> StorageError {
        let address = path.display().to_string();
        let address = address.trim_end_matches('/');
        if error.kind() == io::ErrorKind::NotADirectory {
            return StorageError::new(StorageErrorKind::Other, format!("`{address}` is a file, not a folder"));
        }
        let refused = StorageError::from_io(address, error);
        match nearest_sibling(path) {
            Some(sibling) if error.kind() == io::ErrorKind::NotFound => refused.hint(format!("did you mean `{sibling}`?")),
            _ => refused,
        }
    }
}

fn object(relative: &[u8], metadata: &Metadata) -> Object {
    let (name, not_utf8) = match std::str::from_utf8(relative) {
        Ok(name) => (name.to_string(), false),
        Err(_) => (escaped(relative), true),
    };
    Object {
        name,
        not_utf8,
        size: metadata.len(),
        etag: etag(metadata),
        last_modified: metadata.mtime(),
        storage_class: "STANDARD".to_string(),
    }
}

/// Bytes that are not UTF-8 as `\xNN`, everything else as it is.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The path beside `path` whose name is nearest to its own, if one is near.
pub(crate) fn nearest_sibling(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let siblings = fs::read_dir(parent).ok()?.take(10_000).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut siblings: Vec<_> = siblings.collect();
    siblings.sort_unstable();
    let sibling = nearest(wanted, siblings.iter().map(String::as_str))?;
    Some(path.with_file_name(sibling).display().to_string())
}

/// The names of one directory in byte order, those of directories with a `/` behind them, in one piece of memory: a folder of
/// a million files costs the bytes of its names and eight more each.
#[derive(Debug)]
struct Names {
    bytes: Vec<u8>,
    /// Start and length of each name.
    places: Vec<(u32, u16)>,
    next: usize,
}

impl Names {
    fn read(directory: &Path) -> io::Result<Self> {
        let mut names = Self { bytes: Vec::new(), places: Vec::new(), next: 0 };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name: OsString = entry.file_name();
            let is_directory = leads_to_directory(&entry.path(), entry.file_type()?);
            if is_directory && is_own(name.as_bytes()) {
                continue;
            }
            let too_many = || io::Error::other("the names of one folder take more than 4 GiB");
            let start = u32::try_from(names.bytes.len()).map_err(|_| too_many())?;
            names.bytes.append(&mut name.into_vec());
            if is_directory {
                names.bytes.push(b'/');
            }
            let length = u16::try_from(names.bytes.len() - start as usize).map_err(|_| too_many())?;
            names.places.push((start, length));
        }
        let bytes = &names.bytes;
        names.places.sort_unstable_by_key(|&place| slice(bytes, place));
        Ok(names)
    }

    /// The next name, and whether it is that of a directory.
    fn next(&mut self) -> Option<(&[u8], bool)> {
        let name = slice(&self.bytes, *self.places.get(self.next)?);
        self.next += 1;
        Some((name, name.ends_with(b"/")))
    }
}

fn slice(bytes: &[u8], (start, length): (u32, u16)) -> &[u8] {
    &bytes[start as usize..start as usize + usize::from(length)]
}

fn leads_to_directory(path: &Path, file_type: FileType) -> bool {
    if file_type.is_symlink() { fs::metadata(path).is_ok_and(|target| target.is_dir()) } else { file_type.is_dir() }
}
