//! [`Writers`]: the connections that write. Whatever has gathered is one transaction, so that a commit costs little per row.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::connection::{DbError, DbErrorKind};
use super::layout::Layout;
use super::rows::Rows;
use super::target::{Driver, Refused};
use super::transaction::write;

/// How many bytes of rows are one transaction at most, beside those of one batch.
const MOST_BYTES: usize = 4 << 20;

/// How long a database may be away, or locked by others, before the run stops.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The wait between two tries.
pub(super) const BETWEEN: Duration = Duration::from_millis(250);

/// Rows on their way, and who waits for them.
struct Task {
    rows: Rows,
    again: bool,
    reply: oneshot::Sender<Result<Refused, DbError>>,
}

/// The door to the connections that write.
pub(super) struct Writers<C> {
    /// Nothing once it is closed.
    door: Lock<Option<mpsc::Sender<Task>>>,
    /// What those that ended leave.
    left: Mutex<mpsc::UnboundedReceiver<C>>,
}

impl<C: Send + 'static> Writers<C> {
    /// Starts as many as the driver wants; the first has its connection already. They end when the door is closed or gone.
    pub fn start<D: Driver<Connection = C>>(driver: &Arc<D>, first: C, layout: &Layout) -> Result<Self, DbError> {
        let (sender, receiver) = mpsc::channel(1024);
        let receiver = Arc::new(Mutex::new(receiver));
        let (leave, left) = mpsc::unbounded_channel();
        let mut first = Some(first);
        let handle = tokio::runtime::Handle::current();
        for place in 0..driver.writers().max(1) {
            let writer = Writer {
                place,
                driver: Arc::clone(driver),
                connection: first.take(),
                layout: layout.clone(),
                tasks: Arc::clone(&receiver),
                leave: leave.clone(),
            };
            let handle = handle.clone();
            // On a thread of its own: SQLite blocks.
            std::thread::Builder::new()
                .name("import".to_string())
                .spawn(move || handle.block_on(writer.work()))
                .map_err(|error| DbError::surroundings(format!("no thread can be started: {error}")))?;
        }
        Ok(Self { door: Lock::new(Some(sender)), left: Mutex::new(left) })
    }

    /// Writes the rows, in one transaction with others that wait.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the rows may be written or not. Those that no writer has begun with are not written any more.
    pub async fn write(&self, rows: Rows, again: bool) -> Result<Refused, DbError> {
        let gone = || DbError::surroundings("the connection that writes has ended");
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(gone)?;
        let (reply, answer) = oneshot::channel();
        door.send(Task { rows, again, reply }).await.map_err(|_| gone())?;
        // Without it the writers would wait for what nobody sends.
        drop(door);
        answer.await.map_err(|_| gone())?
    }

    /// Waits until whatever is being written is written, and gives one of their connections back if one is left. The others are
    /// closed.
    pub async fn close(&self) -> Option<C> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut left = self.left.lock().await;
        let mut kept = None;
        while let Some(connection) = left.recv().await {
            kept.get_or_insert(connection);
        }
        kept
    }
}

struct Writer<D: Driver> {
    place: usize,
    driver: Arc<D>,
    connection: Option<D::Connection>,
    layout: Layout,
    tasks: Arc<Mutex<mpsc::Receiver<Task>>>,
    leave: mpsc::UnboundedSender<D::Connection>,
}

impl<D: Driver> Writer<D> {
    async fn work(mut self) {
        while let Some(tasks) = self.gather().await {
            self.serve(tasks).await;
        }
        if let Some(connection) = self.connection.take() {
            // Whoever would have taken it may be gone.
            let _ = self.leave.send(connection);
        }
    }

    async fn serve(&mut self, mut tasks: Vec<Task>) {
        let mut rows =
            Rows::with_capacity(tasks.iter().map(|task| task.rows.len()).sum(), tasks.iter().map(|task| task.rows.size()).sum());
        tasks.iter().for_each(|task| rows.append(&task.rows));
        match self.persist(&rows, &mut tasks).await {
            Ok(mut refused) => {
                refused.sort_unstable();
                for task in tasks {
                    let of = |item: &u64| {
                        let at = refused.binary_search_by_key(item, |(item, _)| *item).ok()?;
                        Some((*item, refused[at].1.clone()))
                    };
                    let own = if refused.is_empty() { Vec::new() } else { task.rows.items().iter().filter_map(of).collect() };
                    // Whoever waited may have been given up.
                    let _ = task.reply.send(Ok(own));
                }
            }
            Err(error) => {
                for task in tasks {
                    let _ = task.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// What waits, up to a good size. Nothing of what nobody waits for any more.
    async fn gather(&self) -> Option<Vec<Task>> {
        let mut waiting = self.tasks.lock().await;
        let mut size = 0;
        let mut tasks: Vec<Task> = Vec::new();
        while size < MOST_BYTES {
            let task = match waiting.try_recv() {
                Ok(task) => task,
                Err(_) if tasks.is_empty() => waiting.recv().await?,
                Err(_) => break,
            };
            if !task.reply.is_closed() {
                size += task.rows.size();
                tasks.push(task);
            }
        }
        Some(tasks)
    }

    /// Writes, and again for as long as the database is away or locked: that is no fault of a row, and costs it no try. Nobody hears
    /// of a connection that was lost before a new one is there: until then the old one might still commit.
    async fn persist(&mut self, rows: &Rows, tasks: &mut [Task]) -> Result<Refused, DbError> {
        let mut again = tasks.iter().any(|task| task.again);
        let mut end = None;
        loop {
            let error = match self.write(rows, again).await {
                Ok(refused) => return Ok(refused),
                Err(error) => error,
            };
            // It may be in the middle of anything.
            self.connection = None;
            if error.kind != DbErrorKind::Transient {
                return Err(error);
            }
            let now = Instant::now();
            let end = *end.get_or_insert(now + PATIENCE);
            if now >= end {
                return Err(DbError::surroundings(away(&error.text)));
            }
            // Nobody waits any more: all of them were given up.
            if tasks.iter().all(|task| task.reply.is_closed()) {
                return Err(error);
            }
            again = true;
            tokio::time::sleep(BETWEEN).await;
        }
    }

    async fn write(&mut self, rows: &Rows, again: bool) -> Result<Refused, DbError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(&*self.driver, &self.layout, self.place).await?),
        };
        write(connection, &self.layout, rows, again).await
    }
}

/// What is said once a database was waited for in vain.
pub(super) fn away(last: &str) -> String {
    format!("nothing could be written for {} s: {last}", PATIENCE.as_secs())
}

/// One more connection of the session that writes.
async fn connect<D: Driver>(driver: &D, layout: &Layout, place: usize) -> Result<D::Connection, DbError> {
    let mut connection = driver.connect().await?;
    driver.ready(&mut connection, layout, place).await?;
    Ok(connection)
}
