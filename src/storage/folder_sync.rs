//! [`FolderSync`]: makes directory entries durable, with one fsync for everyone who waits for the same directory.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Makes directory entries durable.
#[derive(Debug)]
pub(super) struct FolderSync {
    root: PathBuf,
    queues: Mutex<HashMap<PathBuf, Arc<Queue>>>,
    /// Directories below the root whose own entries, and those of the directories on the way, are known to be durable.
    durable: Mutex<HashSet<PathBuf>>,
}

/// Those who wait for one directory.
#[derive(Debug, Default)]
struct Queue {
    /// How many have asked.
    asked: AtomicU64,
    /// How many of them are served. Who holds the lock syncs for everyone who has asked by then; who gets it next often finds
    /// itself served.
    served: tokio::sync::Mutex<u64>,
}

/// How many directories are remembered as durable; beyond it, memory counts more than a few fsyncs.
const REMEMBERED: usize = 65_536;

impl FolderSync {
    pub fn new(root: PathBuf) -> Self {
        Self { root, queues: Mutex::default(), durable: Mutex::default() }
    }

    /// Returns once every entry that was in `directory` when it was called is durable, and `directory` itself too.
    pub async fn entries_of(&self, directory: &Path) -> io::Result<()> {
        self.sync(directory).await?;
        // The entry of each directory on the way is in its parent; the root's own is its maker's business.
        let mut made_durable = Vec::new();
        let mut next = directory;
        while next != self.root && next.starts_with(&self.root) && !lock(&self.durable).contains(next) {
            let Some(parent) = next.parent() else { break };
            self.sync(parent).await?;
            made_durable.push(next.to_path_buf());
            next = parent;
        }
        if !made_durable.is_empty() {
            let mut durable = lock(&self.durable);
            if durable.len() + made_durable.len() > REMEMBERED {
                durable.clear();
            }
            durable.extend(made_durable);
        }
        Ok(())
    }

    /// To be called before `directory` is created again: nothing is known of it and its parents any more.
    pub fn forget(&self, directory: &Path) {
        let mut durable = lock(&self.durable);
        for ancestor in directory.ancestors().take_while(|ancestor| ancestor.starts_with(&self.root)) {
            durable.remove(ancestor);
        }
    }

    async fn sync(&self, directory: &Path) -> io::Result<()> {
        let queue = Arc::clone(lock(&self.queues).entry(directory.to_path_buf()).or_default());
        let ticket = queue.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let result = {
            let mut served = queue.served.lock().await;
            if *served >= ticket {
                Ok(())
            } else {
                let upto = queue.asked.load(Ordering::SeqCst);
                let path = directory.to_path_buf();
                let synced = tokio::task::spawn_blocking(move || File::open(path)?.sync_all()).await.map_err(io::Error::other)?;
                if synced.is_ok() {
                    *served = upto;
                }
                synced
            }
        };
        drop(queue);
        let mut queues = lock(&self.queues);
        if queues.get(directory).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(directory);
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
