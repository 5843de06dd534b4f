//! [`Writers`]: the connections that write. Whatever has gathered is one transaction, so that a commit costs little per row.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::connection::{Connection, DbError, DbErrorKind};
use super::layout::{Layout, literal};
use super::ranges::Ranges;
use super::rows::Rows;
use super::target::{Driver, Refused};

/// How many bytes of rows are one transaction at most, beside those of one batch.
const MOST_BYTES: usize = 4 << 20;

/// How long a database may be away before the run stops.
const PATIENCE: Duration = Duration::from_secs(60);

/// The wait between two tries to reach it.
const BETWEEN: Duration = Duration::from_millis(250);

/// Rows on their way, and who waits for them.
struct Task {
    rows: Rows,
    again: bool,
    reply: oneshot::Sender<Result<Refused, DbError>>,
}

/// The door to the connections that write.
#[derive(Debug, Clone)]
pub(super) struct Writers(mpsc::Sender<Task>);

impl Writers {
    /// Starts as many as the driver wants; the first has its connection already. They end when the door is gone.
    pub fn start<D: Driver>(driver: &Arc<D>, first: D::Connection, layout: &Layout) -> Result<Self, DbError> {
        let (sender, receiver) = mpsc::channel(1024);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut first = Some(first);
        let handle = tokio::runtime::Handle::current();
        for place in 0..driver.writers().max(1) {
            let writer = Writer {
                place,
                driver: Arc::clone(driver),
                connection: first.take(),
                layout: layout.clone(),
                tasks: Arc::clone(&receiver),
            };
            let handle = handle.clone();
            // On a thread of its own: SQLite blocks.
            std::thread::Builder::new()
                .name("import".to_string())
                .spawn(move || handle.block_on(writer.work()))
                .map_err(|error| DbError::surroundings(format!("no thread can be started: {error}")))?;
        }
        Ok(Self(sender))
    }

    /// Writes the rows, in one transaction with others that wait.
    pub async fn write(&self, rows: Rows, again: bool) -> Result<Refused, DbError> {
        let gone = || DbError::transient("the connection that writes has ended");
        let (reply, answer) = oneshot::channel();
        self.0.send(Task { rows, again, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Writer<D: Driver> {
    place: usize,
    driver: Arc<D>,
    connection: Option<D::Connection>,
    layout: Layout,
    tasks: Arc<Mutex<mpsc::Receiver<Task>>>,
}

impl<D: Driver> Writer<D> {
    async fn work(mut self) {
        while let Some(tasks) = self.gather().await {
            let rows = match tasks.as_slice() {
                [only] => Cow::Borrowed(&only.rows),
                several => {
                    let mut rows = Rows::with_capacity(0, several.iter().map(|task| task.rows.size()).sum());
                    several.iter().for_each(|task| rows.append(&task.rows));
                    Cow::Owned(rows)
                }
            };
            let again = tasks.iter().any(|task| task.again);
            match self.write(&rows, again).await {
                Ok(refused) => {
                    let mut refused: HashMap<u64, String> = refused.into_iter().collect();
                    for task in tasks {
                        let own = if refused.is_empty() {
                            Vec::new()
                        } else {
                            task.rows.items().iter().filter_map(|item| Some((*item, refused.remove(item)?))).collect()
                        };
                        // Whoever waited may have been given up.
                        let _ = task.reply.send(Ok(own));
                    }
                }
                Err(error) => {
                    let error = self.lost(error).await;
                    for task in tasks {
                        let _ = task.reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// What waits, up to a good size.
    async fn gather(&self) -> Option<Vec<Task>> {
        let mut waiting = self.tasks.lock().await;
        let first = waiting.recv().await?;
        let mut size = first.rows.size();
        let mut tasks = vec![first];
        while size < MOST_BYTES {
            let Ok(task) = waiting.try_recv() else { break };
            size += task.rows.size();
            tasks.push(task);
        }
        Some(tasks)
    }

    async fn write(&mut self, rows: &Rows, again: bool) -> Result<Refused, DbError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        let refused = write(&mut connection, &self.layout, rows, again).await?;
        self.connection = Some(connection);
        Ok(refused)
    }

    /// The connection may be in the middle of anything. Nobody hears of it before a new one is there: until then the old one might
    /// still commit, and nobody may try again.
    async fn lost(&mut self, error: DbError) -> DbError {
        self.connection = None;
        if error.kind != DbErrorKind::Transient {
            return error;
        }
        match self.reconnect().await {
            Ok(connection) => {
                self.connection = Some(connection);
                error
            }
            Err(error) => error,
        }
    }

    /// A database that is being restarted is waited for.
    async fn reconnect(&self) -> Result<D::Connection, DbError> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let error = match connect(&*self.driver, &self.layout, self.place).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            if error.kind != DbErrorKind::Transient {
                return Err(error);
            }
            if tokio::time::Instant::now() >= end {
                let waited = PATIENCE.as_secs();
                return Err(DbError::surroundings(format!("the database was away for {waited} s: {}", error.text)));
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

/// One more connection of the session.
pub(super) async fn connect<D: Driver>(driver: &D, layout: &Layout, place: usize) -> Result<D::Connection, DbError> {
    let mut connection = driver.connect().await?;
    driver.ready(&mut connection, layout, place).await?;
    Ok(connection)
}

/// Writes rows and the note of them, in as few transactions as there can be. In one, unless a constraint is only looked at when
/// it is committed: then those rows are found by halves.
pub(super) async fn write<C: Connection>(
    connection: &mut C,
    layout: &Layout,
    rows: &Rows,
    again: bool,
) -> Result<Refused, DbError> {
    let mut refused = Vec::new();
    let mut left = vec![Cow::Borrowed(rows)];
    while let Some(rows) = left.pop() {
        let error = match transaction(connection, layout, &rows, again).await {
            Ok(more) => {
                refused.extend(more);
                continue;
            }
            Err(error) => error,
        };
        if error.kind == DbErrorKind::Transient {
            return Err(error);
        }
        connection.execute("ROLLBACK").await.map_err(|_| error.clone())?;
        match (error.kind, rows.items()) {
            (DbErrorKind::Row, [only]) => refused.push((*only, error.text)),
            (DbErrorKind::Row, items) => {
                let half = items.len() / 2;
                // The first half first: of rows that exclude one another the first one stays.
                left.push(Cow::Owned(rows.only(|row| row >= half)));
                left.push(Cow::Owned(rows.only(|row| row < half)));
            }
            _ => return Err(error),
        }
    }
    Ok(refused)
}

async fn transaction<C: Connection>(connection: &mut C, layout: &Layout, rows: &Rows, again: bool) -> Result<Refused, DbError> {
    connection.execute(C::BEGIN).await?;
    let written = if again { written(connection, layout, rows).await? } else { Ranges::default() };
    let only;
    let rows = if written == Ranges::default() {
        rows
    } else {
        only = rows.only(|row| !written.has(rows.items()[row]));
        &only
    };
    let refused: Refused = if rows.is_empty() {
        Vec::new()
    } else {
        connection.load(rows).await?.into_iter().map(|(row, why)| (rows.items()[row], why)).collect()
    };
    let mut ranges: Ranges = rows.items().iter().copied().collect();
    refused.iter().for_each(|(item, _)| ranges.remove(*item));
    if let Some((first, last)) = ranges.span() {
        let sql =
            format!("INSERT INTO {} VALUES ({}, {first}, {last}, {})", layout.batches, layout.run, literal(&ranges.to_string()));
        // A note that is there means that these items were written just now: a further try sees that.
        connection.execute(&sql).await.map_err(|error| error.not_a_row(DbErrorKind::Transient))?;
    }
    connection.execute("COMMIT").await?;
    crate::crash::point("after rows written");
    Ok(refused)
}

/// Which of the items around these are noted as written.
async fn written<C: Connection>(connection: &mut C, layout: &Layout, rows: &Rows) -> Result<Ranges, DbError> {
    let (Some(first), Some(last)) = (rows.items().iter().min(), rows.items().iter().max()) else { return Ok(Ranges::default()) };
    notes(connection, layout, &format!("AND first <= {last} AND last >= {first}")).await
}

/// The items that are noted as written.
pub(super) async fn notes<C: Connection>(connection: &mut C, layout: &Layout, which: &str) -> Result<Ranges, DbError> {
    let sql = format!("SELECT items FROM {} WHERE run = {} AND first >= 0 {which}", layout.batches, layout.run);
    let mut ranges = Ranges::default();
    for row in connection.query(&sql).await? {
        if let Some(Some(text)) = row.first() {
            ranges.merge(&Ranges::parse(text));
        }
    }
    Ok(ranges)
}
