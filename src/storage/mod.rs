//! Bytes by name: a folder or an S3 prefix, under one door.
//!
//! [`Storages`] opens a [`Location`]; the [`Storage`] it gives reads, lists and publishes objects by their name relative to
//! that location. What is published is there whole or not at all, also after a power cut.

mod error;
mod folder;
mod folder_sync;
mod key_text;
mod listing;
mod location;
mod object;
mod reading;
#[cfg(feature = "s3")]
mod s3;
#[cfg(not(feature = "s3"))]
#[path = "without_s3.rs"]
mod s3;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

pub use error::{StorageError, StorageErrorKind};
pub(crate) use key_text::decode_key;
pub(crate) use listing::nearest_sibling;
pub use location::Location;
#[cfg(any(feature = "aws", feature = "lambda"))]
pub(crate) use location::joined_url;
use location::real;
pub(crate) use location::split_url;
pub use object::{Object, OnExists, Put};
pub use reading::Reading;

use folder::Folder;
use listing::FolderPages;
use reading::{ReadingOf, S3Reading};
use s3::{S3, S3Client, S3Pages};

/// Opens locations. Cheap to clone; all clones share one S3 client and the folders they opened.
#[derive(Debug, Clone)]
pub struct Storages(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    scratch: String,
    s3: Arc<S3Client>,
    folders: Mutex<HashMap<PathBuf, Arc<Folder>>>,
}

/// Where S3 is and who asks, for a program that knows better than the environment: another store that speaks S3, a test.
#[derive(Debug, Clone)]
pub struct S3Endpoint {
    /// Such as `http://127.0.0.1:9000`; buckets are addressed by path.
    pub url: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

impl Storages {
    /// `scratch` names the temporary folder `.fanfold-<scratch>` inside every folder that is written to: the id of a run, so
    /// that two runs never share one.
    ///
    /// The S3 client is made when the first location on S3 is opened, from the environment as the AWS tools read it
    /// (credentials, region, `AWS_ENDPOINT_URL_S3`, profiles).
    pub fn new(scratch: &str) -> Self {
        Self::with(scratch, Arc::new(S3Client::from_environment()))
    }

    /// Like [`Storages::new`], with S3 at this endpoint whatever the environment says.
    pub fn at_endpoint(scratch: &str, endpoint: S3Endpoint) -> Self {
        Self::with(scratch, Arc::new(S3Client::at(endpoint)))
    }

    /// Like [`Storages::new`], with S3 in this region whatever the environment says.
    #[cfg(feature = "aws")]
    pub(crate) fn in_region(scratch: &str, region: &str) -> Self {
        Self::with(scratch, Arc::new(S3Client::in_region(region)))
    }

    /// What was given to [`Storages::new`]: of a run, a name that no other run of whatever state folder has.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn scratch(&self) -> &str {
        &self.0.scratch
    }

    /// The same S3, with folders of its own: those of another run.
    #[cfg(feature = "lambda")]
    pub(crate) fn for_run(&self, scratch: &str) -> Self {
        Self::with(scratch, Arc::clone(&self.0.s3))
    }

    fn with(scratch: &str, s3: Arc<S3Client>) -> Self {
        Self(Arc::new(Shared { scratch: scratch.to_string(), s3, folders: Mutex::default() }))
    }

    /// Opens a location. A folder need not exist; nothing is created and, but for S3 credentials, nothing is asked.
    ///
    /// # Errors
    /// S3 cannot be used: no region, or this build has no S3.
    pub async fn open(&self, location: &Location) -> Result<Storage, StorageError> {
        match location {
            Location::Folder(root) => {
                let mut folders = self.0.folders.lock().unwrap_or_else(PoisonError::into_inner);
                // By any spelling a folder is the same one: two would clear each other's temporary files.
                let folder = folders.entry(real(root)).or_insert_with(|| Arc::new(Folder::new(root.clone(), &self.0.scratch)));
                Ok(Storage { location: location.clone(), place: StoragePlace::Folder(Arc::clone(folder)) })
            }
            Location::S3 { bucket, prefix } => {
                let s3 = self.0.s3.open(bucket, prefix).await?;
                Ok(Storage { location: location.clone(), place: StoragePlace::S3(Arc::new(s3)) })
            }
        }
    }

    /// Removes the temporary folders of every folder that was written to. To be called when nothing is being written any
    /// more; a later put makes its folder again. Never fails: what cannot be removed is left for the next run of this id.
    pub async fn sweep(&self) {
        let folders: Vec<_> = self.0.folders.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for folder in folders {
            folder.sweep().await;
        }
    }
}

/// An opened location. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    location: Location,
    place: StoragePlace,
}

#[derive(Debug, Clone)]
enum StoragePlace {
    Folder(Arc<Folder>),
    S3(Arc<S3>),
}

impl Storage {
    /// What was opened.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The bytes of one object. `name` is relative to the location ([`Location::name_of`] gives it for an item's `Key`);
    /// with `expect`, the etag it had when it was listed, it must still be that version.
    ///
    /// # Errors
    /// Not found, denied, changed (before or while it was read), not a valid name, or the storage's own trouble.
    pub async fn get(&self, name: &str, expect: Option<&str>) -> Result<Bytes, StorageError> {
        check_name(&self.location, name, false)?;
        // Not every store that speaks S3 lists versions.
        let expect = expect.filter(|etag| !etag.is_empty());
        match &self.place {
            StoragePlace::Folder(folder) => folder.get(name, expect).await,
            StoragePlace::S3(s3) => s3.get(name, expect).await,
        }
    }

    /// Whether there is an object of this name.
    ///
    /// # Errors
    /// No access, not a valid name, or the storage's own trouble.
    pub async fn exists(&self, name: &str) -> Result<bool, StorageError> {
        check_name(&self.location, name, true)?;
        match &self.place {
            StoragePlace::Folder(folder) => folder.exists(name).await,
            StoragePlace::S3(s3) => s3.exists(name).await,
        }
    }

    /// Publishes an object under a name relative to the location: whole or not at all, and durably, once it returns.
    ///
    /// Folders on the way are created; a symbolic link among them is followed. [`OnExists::Skip`] and [`OnExists::Fail`] hold
    /// also against others who write at the same time.
    ///
    /// # Errors
    /// `Exists` with [`OnExists::Fail`], `BadName` for a name that is absolute, has `..` or empty parts, or is fanfold's own
    /// (`.fanfold…`); no access, no space, or the storage's own trouble.
    ///
    /// # Cancel safety
    /// Dropped after it was polled, the object may be published or not, but never in part.
    pub async fn put(&self, name: &str, bytes: Bytes, exists: OnExists) -> Result<Put, StorageError> {
        check_name(&self.location, name, true).map_err(StorageError::while_writing)?;
        let result = match &self.place {
            StoragePlace::Folder(folder) => folder.put(name, bytes, exists).await,
            StoragePlace::S3(s3) => s3.put(name, bytes, exists).await,
        };
        result.map_err(StorageError::while_writing)
    }

    /// Asks whether it can be written to, before a run starts: creates the folder, asks for the bucket.
    ///
    /// # Errors
    /// Why not.
    pub async fn writable(&self) -> Result<(), StorageError> {
        let result = match &self.place {
            StoragePlace::Folder(folder) => folder.writable().await,
            StoragePlace::S3(s3) => s3.writable().await,
        };
        result.map_err(StorageError::while_writing)
    }

    /// Lists everything below the location, in byte order of the names, a page at a time.
    pub fn list(&self) -> Pages {
        Pages(match &self.place {
            StoragePlace::Folder(folder) => PagesOf::Folder(FolderPages::new(folder.root())),
            StoragePlace::S3(s3) => PagesOf::S3(S3Pages::new(Arc::clone(s3))),
        })
    }

    /// Lists what comes after this name, whether there is an object of that name or not.
    pub(crate) fn list_after(&self, name: &str) -> Pages {
        Pages(match &self.place {
            StoragePlace::Folder(folder) => PagesOf::Folder(FolderPages::after(folder.root(), name)),
            StoragePlace::S3(s3) => PagesOf::S3(S3Pages::after(Arc::clone(s3), name)),
        })
    }

    /// Reads one object from its first byte to its last.
    ///
    /// # Errors
    /// Those of [`Storage::get`].
    pub async fn read(&self, name: &str) -> Result<Reading, StorageError> {
        check_name(&self.location, name, false)?;
        Ok(Reading(match &self.place {
            StoragePlace::Folder(folder) => ReadingOf::Folder(folder.read(name).await?),
            StoragePlace::S3(s3) => ReadingOf::S3(Box::new(S3Reading::new(Arc::clone(s3), name).await?)),
        }))
    }
}

/// The pages of a listing; memory stays that of a page (a folder also holds the names of the directories it is in).
#[derive(Debug)]
pub struct Pages(PagesOf);

#[derive(Debug)]
enum PagesOf {
    Folder(FolderPages),
    S3(S3Pages),
}

impl Pages {
    /// The next page, up to 1,000 objects, never empty; `None` after the last.
    ///
    /// # Errors
    /// The location is not there, or a part of it cannot be listed: a list with holes is no list. Ask no further then.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped, a page may be lost. Start a new listing.
    pub async fn next(&mut self) -> Result<Option<Vec<Object>>, StorageError> {
        match &mut self.0 {
            PagesOf::Folder(pages) => pages.next().await,
            PagesOf::S3(pages) => pages.next().await,
        }
    }
}

/// How many objects a page holds at most; S3 gives no more.
const PAGE: usize = 1000;

/// Names that could lead out of the location are refused everywhere; where something is written, S3 takes no others than a
/// folder does, so that an item ends the same way on both.
fn check_name(location: &Location, name: &str, writing: bool) -> Result<(), StorageError> {
    let wrong = |why| Err(StorageError::bad_name(location, name, why));
    if name.is_empty() {
        return wrong("it is empty");
    }
    if location.is_s3() && !writing {
        // A key is only text: `a//b` and `../x` are objects like others and lead nowhere else.
        return Ok(());
    }
    if name.contains('\0') {
        return wrong("it contains a NUL character");
    }
    if name.starts_with('/') {
        return wrong("it is absolute");
    }
    for part in name.split('/') {
        match part {
            "" => return wrong("a part of it is empty"),
            "." | ".." => return wrong("it has `.` or `..` as a part"),
            part if is_own(part.as_bytes()) => return wrong("`.fanfold` folders are fanfold's own"),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a part of a name is that of one of fanfold's own folders: its state, or the unpublished files of a run.
fn is_own(part: &[u8]) -> bool {
    part == b".fanfold" || part.starts_with(b".fanfold-")
}
