//! [`Reading`]: one object from its first byte to its last, in pieces. An answer of S3 that breaks off is asked for again from where it
//! did, as long as the object is the one it was.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::folder::FolderReading;
use super::s3::{Answer, S3};
use super::{StorageError, StorageErrorKind as Kind};

/// How often an object is asked for again when answers bring nothing more of it, and how long the second of these waits at first.
const BARREN_TRIES: u32 = 4;
const BARREN_WAIT: Duration = Duration::from_millis(100);

/// An object being read. Memory is that of a piece.
#[derive(Debug)]
pub struct Reading(pub(super) ReadingOf);

#[derive(Debug)]
pub(super) enum ReadingOf {
    Folder(FolderReading),
    S3(Box<S3Reading>),
}

impl Reading {
    /// The version that is read, as its storage calls it; empty if it does not say.
    pub fn etag(&self) -> &str {
        match &self.0 {
            ReadingOf::Folder(reading) => reading.etag(),
            ReadingOf::S3(reading) => &reading.etag,
        }
    }

    /// The next bytes, never none; `None` once every byte of one version was given.
    ///
    /// # Errors
    /// `Changed` if the object is replaced or removed meanwhile; `Transient` if the connection breaks again and again. Ask no further
    /// then.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped, a piece may be lost. Begin a new reading.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        match &mut self.0 {
            ReadingOf::Folder(reading) => reading.next().await,
            ReadingOf::S3(reading) => reading.next().await,
        }
    }
}

/// An object of a bucket being read.
#[derive(Debug)]
pub(super) struct S3Reading {
    s3: Arc<S3>,
    name: String,
    answer: Answer,
    length: Option<u64>,
    etag: String,
    read: u64,
    /// Answers in a row that brought nothing.
    barren: u32,
}

impl S3Reading {
    pub async fn new(s3: Arc<S3>, name: &str) -> Result<Self, StorageError> {
        let answer = s3.answer(name, None, 0).await?;
        let (length, etag) = (answer.length, answer.etag.clone());
        Ok(Self { s3, name: name.to_string(), answer, length, etag, read: 0, barren: 0 })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        loop {
            let torn = match self.answer.next().await {
                Ok(Some(piece)) if piece.is_empty() => continue,
                Ok(Some(piece)) => {
                    self.read += piece.len() as u64;
                    self.barren = 0;
                    return Ok(Some(piece));
                }
                Ok(None) => match self.length {
                    // A body that ends early with a polite end of the connection is not an error of the transport.
                    Some(length) if length != self.read => format!("{} of {length} bytes came", self.read),
                    _ => return Ok(None),
                },
                // All of it came, and its checksum is another one: no other answer would be better.
                Err(error) if self.length == Some(self.read) => return Err(self.s3.torn(&self.name, &error)),
                Err(error) => error,
            };
            self.ask_again(torn).await?;
        }
    }

    /// Asks for what did not come.
    async fn ask_again(&mut self, mut torn: String) -> Result<(), StorageError> {
        while !self.etag.is_empty() && self.barren < BARREN_TRIES {
            if let Some(waits) = self.barren.checked_sub(1) {
                tokio::time::sleep(BARREN_WAIT * (1 << waits)).await;
            }
            self.barren += 1;
            match self.s3.answer(&self.name, Some(&self.etag), self.read).await {
                Ok(answer) if !answer.etag.is_empty() && answer.etag != self.etag => return Err(self.changed("replaced")),
                // Not every store that speaks S3 gives parts.
                Ok(answer) if answer.from != self.read => break,
                Ok(answer) => {
                    self.answer = answer;
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    Kind::Changed => return Err(self.changed("replaced")),
                    Kind::NotFound => return Err(self.changed("removed")),
                    Kind::Transient | Kind::Throttled { .. } => torn = error.detail().to_string(),
                    _ => return Err(error),
                },
            }
        }
        Err(self.s3.torn(&self.name, &torn))
    }

    fn changed(&self, what: &str) -> StorageError {
        let (address, read) = (self.s3.address(&self.name), self.read);
        let of = self.length.map_or(String::new(), |length| format!(" of {length}"));
        let detail = format!("`{address}` was {what} while it was read, behind byte {read}{of}");
        StorageError::new(Kind::Changed, detail).hint("begin again when it stays as it is")
    }
}
