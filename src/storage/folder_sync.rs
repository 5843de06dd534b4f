//! [`FolderSync`]: makes directory entries durable, with one fsync for everyone who waits for the same directory.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Makes directory entries durable. For threads that may block.
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
    state: Mutex<QueueState>,
    served: Condvar,
}

/// Each who asks draws a number; a sync serves everyone whose number was drawn before it began.
#[derive(Debug, Default)]
struct QueueState {
    drawn: u64,
    served: u64,
    syncing: bool,
}

/// How many directories are remembered as durable; beyond it, memory counts more than a few fsyncs.
const REMEMBERED: usize = 65_536;

impl FolderSync {
    pub fn new(root: PathBuf) -> Self {
        Self { root, queues: Mutex::default(), durable: Mutex::default() }
    }

    /// Returns once every entry that was in `directory` when it was called is durable, and `directory` itself too.
    pub fn entries_of(&self, directory: &Path) -> io::Result<()> {
        self.sync(directory)?;
        // The entry of each directory on the way is in its parent; the root's own is its maker's business.
        let mut made_durable = Vec::new();
        let mut next = directory;
        while next != self.root && next.starts_with(&self.root) && !lock(&self.durable).contains(next) {
            let Some(parent) = next.parent() else { break };
            self.sync(parent)?;
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

    fn sync(&self, directory: &Path) -> io::Result<()> {
        let queue = {
            let mut queues = lock(&self.queues);
            match queues.get(directory) {
                Some(queue) => Arc::clone(queue),
                None => Arc::clone(queues.entry(directory.to_path_buf()).or_default()),
            }
        };
        let result = queue.wait(|| File::open(directory)?.sync_all());
        let mut queues = lock(&self.queues);
        drop(queue);
        if queues.get(directory).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(directory);
        }
        result
    }
}

impl Queue {
    /// Returns once a `sync` that began after this call has succeeded: another's, or one's own.
    fn wait(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.drawn += 1;
        let number = state.drawn;
        while state.syncing && state.served < number {
            state = self.served.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.served >= number {
            return Ok(());
        }
        state.syncing = true;
        let upto = state.drawn;
        drop(state);
        let result = sync();
        let mut state = lock(&self.state);
        state.syncing = false;
        if result.is_ok() {
            state.served = state.served.max(upto);
        }
        self.served.notify_all();
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn those_who_come_during_a_sync_share_the_next() {
        let (queue, syncs) = (Queue::default(), AtomicUsize::new(0));
        let (began, first_began) = mpsc::channel();
        let (let_go, may_end) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                queue.wait(move || {
                    began.send(()).unwrap();
                    may_end.recv().map_err(io::Error::other)
                })
            });
            first_began.recv().unwrap();
            let followers: Vec<_> = (0..20)
                .map(|_| {
                    scope.spawn(|| {
                        queue.wait(|| {
                            syncs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        })
                    })
                })
                .collect();
            // All of them have drawn their number: none is served by the sync that is going on.
            while lock(&queue.state).drawn < 21 {
                std::thread::yield_now();
            }
            assert_eq!(syncs.load(Ordering::SeqCst), 0);
            let_go.send(()).unwrap();
            assert!(followers.into_iter().all(|follower| follower.join().unwrap().is_ok()));
        });
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_follows_a_failed_sync_syncs_again() {
        let queue = Queue::default();
        assert!(queue.wait(|| Err(io::Error::other("no"))).is_err());
        let mut synced = false;
        queue
            .wait(|| {
                synced = true;
                Ok(())
            })
            .unwrap();
        assert!(synced);
    }
}
