//! [`Parts`]: outcomes on their way into the bucket, a file every time enough have gathered.

use std::sync::{Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::bucket::{BatchName, OutcomeLine, RunBucket, part_name};
use crate::error::Result;

/// How long outcomes wait to be written.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// As many lines, or bytes, are written at once.
const LINES: usize = 1000;
const BYTES: usize = 4 << 20;

/// With more than this on its way nothing is taken without a wait.
const MOST_BYTES: usize = 16 << 20;

/// Further tries at writing a file, each after a second. The client of S3 has tried several times by then.
const AGAIN: u32 = 3;

/// Outcomes of one invocation.
#[derive(Debug)]
pub(super) struct Parts {
    bucket: RunBucket,
    batch: BatchName,
    began_ms: i64,
    invocation: String,
    gathered: Lock<Gathered>,
    writing: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Gathered {
    lines: usize,
    bytes: Vec<u8>,
}

/// What is being written. If that is given up, it is written again under another name, perhaps with more in it: what was given up may
/// still arrive, and must not arrive over it. A line that is there twice says nothing new.
#[derive(Debug, Default)]
struct Writing {
    part: u32,
    bytes: Vec<u8>,
}

impl Parts {
    /// Nothing is written yet.
    pub fn new(bucket: RunBucket, batch: BatchName, began_ms: i64, invocation: &str) -> Self {
        let (gathered, writing) = (Lock::default(), Mutex::default());
        Self { bucket, batch, began_ms, invocation: invocation.to_string(), gathered, writing }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an outcome. `true`: there is enough to be written.
    pub fn add(&self, line: &OutcomeLine) -> bool {
        let mut gathered = self.gathered();
        line.write(&mut gathered.bytes);
        gathered.lines += 1;
        gathered.lines >= LINES || gathered.bytes.len() >= BYTES
    }

    /// Whether so much waits that no more is to come before it is written.
    pub fn is_behind(&self) -> bool {
        self.gathered().bytes.len() >= MOST_BYTES
    }

    /// Writes everything that was taken by now; it is durable when this returns.
    ///
    /// # Errors
    /// The bucket cannot be written. What was taken waits still.
    ///
    /// # Cancel safety
    /// As after an error.
    pub async fn flush(&self) -> Result<()> {
        let mut writing = self.writing.lock().await;
        writing.bytes.append(&mut std::mem::take(&mut *self.gathered()).bytes);
        if writing.bytes.is_empty() {
            return Ok(());
        }
        let name = format!("{}{}", self.batch.folder(), part_name(self.began_ms, &self.invocation, writing.part));
        writing.part += 1;
        let bytes = Bytes::from(std::mem::take(&mut writing.bytes));
        // A copy of the handle, not of what it holds: it is put back if this is dropped or fails.
        let mut kept = Kept { bytes: bytes.clone(), writing: &mut writing.bytes };
        let mut again = 0;
        while let Err(error) = self.bucket.put(&name, bytes.clone()).await {
            again += 1;
            if again > AGAIN {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        kept.bytes = Bytes::new();
        Ok(())
    }
}

/// What is being written: back where it was if it is not.
struct Kept<'a> {
    bytes: Bytes,
    writing: &'a mut Vec<u8>,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            *self.writing = self.bytes.to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::outcome::Outcome;
    use crate::storage::{S3Endpoint, Storages};

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_not_lost() {
        // Nobody listens there.
        let endpoint = S3Endpoint {
            url: "http://127.0.0.1:1".into(),
            region: "eu-west-1".into(),
            access_key: "k".into(),
            secret_key: "s".into(),
        };
        let storages = Storages::at_endpoint("r", endpoint);
        let bucket = RunBucket::open(&storages, "bucket", "w/r/").await.unwrap();
        let parts = Parts::new(bucket, BatchName { round: 0, first: 0 }, 7, "id");
        let line = OutcomeLine::new(0, "k".into(), &Outcome::Succeeded(Value::Null), 1);
        assert!(!parts.add(&line));
        assert!(parts.flush().await.is_err());
        assert_eq!(parts.writing.lock().await.bytes.len(), 56);
        parts.add(&line);
        // Given up in the middle.
        assert!(tokio::time::timeout(Duration::from_millis(1), parts.flush()).await.is_err());
        let writing = parts.writing.lock().await;
        assert_eq!((writing.bytes.len(), writing.part, parts.gathered().bytes.len()), (112, 2, 0));
    }
}
