//! [`Postgres`]: a server of PostgreSQL as a target. Rows go in by binary COPY.

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use super::connection::{Connection, DbError, DbErrorKind};
use super::layout::{Layout, LiveColumn};
use super::plan::Plan;
use super::postgres_connect::{Server, trouble};
use super::postgres_each;
use super::postgres_encode::PostgresEncoder;
use super::postgres_table;
use super::rows::Rows;
use super::stride::Stride;
use super::target::Driver;
use crate::job::JobError;

/// What comes in front of rows: a signature, no flags, nothing more.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What comes behind them.
const TRAILER: &[u8] = &[0xff, 0xff];

/// How long one waits for a connection of an earlier session that may still commit.
const WAIT: &str = "30s";

/// How soon it is noticed that the other side is gone.
const NOTICE: &str = "SELECT set_config(name, v.value, false) FROM pg_settings JOIN (VALUES ('client_connection_check_interval', '1s'), \
                      ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3')) AS v (name, value) \
                      USING (name)";

/// Rows that are refused before the others are looked at one by one, and how many others make that worth it.
const FEW: usize = 8;
const MANY: usize = 256;

/// How rows get into the table one by one.
#[derive(Debug, Clone)]
struct Direct {
    /// Makes a table of the connection's own, in which rows have a number from 1.
    make: String,
    copy: String,
    insert: String,
}

/// A server of PostgreSQL.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Server,
    writers: usize,
}

/// A connection to it.
pub(super) struct PostgresConnection {
    client: Client,
    copy: Option<Statement>,
    /// How rows get into the table one by one, where they are not staged.
    direct: Option<Direct>,
    /// What asks for the types of the columns that are written, and what it said when they were looked at.
    types: Option<(String, String)>,
    /// Waited for those before it, and keeps those behind it waiting.
    alone: bool,
}

impl Postgres {
    /// Nothing is asked of the network yet.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub fn new(url: &str, writers: usize) -> Result<Self, JobError> {
        Ok(Self { server: Server::of(url)?, writers })
    }
}

impl Driver for Postgres {
    type Connection = PostgresConnection;
    type Encoder = PostgresEncoder;

    fn writers(&self) -> usize {
        self.writers
    }

    async fn connect(&self) -> Result<PostgresConnection, DbError> {
        let client = self.server.connect().await?;
        let mut connection = PostgresConnection { client, copy: None, direct: None, types: None, alone: false };
        let settings = format!("SET lock_timeout = '{WAIT}'; SET synchronous_commit = on; SET client_encoding = 'UTF8'");
        connection.execute(&settings).await?;
        // A server notices that nobody is there any more, also in the middle of a long statement. One that cannot is taken as it is.
        let _ = connection.execute(NOTICE).await;
        Ok(connection)
    }

    async fn ready(&self, connection: &mut PostgresConnection, layout: &Layout, place: usize) -> Result<(), DbError> {
        let run = &layout.run;
        if layout.alone.is_some() {
            // Each transaction keeps the others waiting, and nobody else has to be waited for. One whose process was stopped in the
            // middle is ended by the server.
            connection.execute("SET idle_in_transaction_session_timeout = '20s'").await?;
            if connection.alone {
                connection.query(&format!("SELECT pg_advisory_unlock(hashtext({run}), 0)")).await?;
                connection.alone = false;
            }
        } else {
            self.wait_for_its_place(connection, run, place).await?;
        }
        self.prepare(connection, layout).await
    }

    async fn take_over(&self, connection: &mut PostgresConnection, plan: &Plan) -> Result<(), DbError> {
        let run = super::layout::literal(&plan.run);
        connection.query(&format!("SELECT pg_advisory_lock(hashtext({run}), 0)")).await.map_err(|error| match error.kind {
            DbErrorKind::Transient => {
                DbError::surroundings(format!("a connection of this run is still at work after {WAIT}: {}", error.text))
            }
            _ => error,
        })?;
        connection.alone = true;
        Ok(())
    }

    async fn lay_out(&self, connection: &mut PostgresConnection, plan: &Plan) -> Result<(Layout, PostgresEncoder), DbError> {
        postgres_table::lay_out(connection, plan).await.map_err(|error| error.not_a_row(DbErrorKind::Surroundings))
    }

    async fn look(
        &self,
        connection: &mut PostgresConnection,
        schema: Option<&str>,
        table: &str,
    ) -> Result<Vec<LiveColumn>, DbError> {
        let found = postgres_table::look(connection, &postgres_table::name(schema, table)).await?;
        Ok(found.into_iter().map(|column| column.live).collect())
    }
}

impl Postgres {
    /// Waits until no connection that had this place before can commit any more.
    async fn wait_for_its_place(&self, connection: &mut PostgresConnection, run: &str, place: usize) -> Result<(), DbError> {
        // All connections of a run share one lock, and each has one that the next at its place waits for: as long as a connection
        // that was lost might still commit, nothing that it wrote is written again.
        connection.query(&format!("SELECT pg_advisory_lock_shared(hashtext({run}), 0)")).await?;
        if connection.alone {
            connection.query(&format!("SELECT pg_advisory_unlock(hashtext({run}), 0)")).await?;
            connection.alone = false;
        }
        let own = place + 1;
        let free = connection.query(&format!("SELECT pg_try_advisory_lock(hashtext({run}), {own})")).await?;
        if !matches!(free.first().map(Vec::as_slice), Some([Some(yes)]) if yes == "t") {
            // The server may take hours to see that a network was cut. Whoever may not tell it so waits.
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = {own} AND objsubid = 2 \
                 AND classid::bigint = hashtext({run})::bigint & 4294967295 \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            );
            let _ = connection.query(&end).await;
            connection.query(&format!("SELECT pg_advisory_lock(hashtext({run}), {own})")).await?;
        }
        Ok(())
    }

    async fn prepare(&self, connection: &mut PostgresConnection, layout: &Layout) -> Result<(), DbError> {
        let columns = layout.columns.join(", ");
        let copy = if layout.staged {
            format!("COPY {} (fanfold_item, fanfold_state, {columns}) FROM STDIN BINARY", layout.stage)
        } else {
            format!("COPY {} ({columns}) FROM STDIN BINARY", layout.table)
        };
        connection.types = layout.types.clone();
        connection.direct = (!layout.staged).then(|| Direct {
            make: format!(
                "CREATE TEMPORARY TABLE fanfold_rows AS SELECT {columns} FROM {} WHERE false; \
                 ALTER TABLE fanfold_rows ADD fanfold_row bigserial PRIMARY KEY",
                layout.table
            ),
            copy: format!("COPY pg_temp.fanfold_rows ({columns}) FROM STDIN BINARY"),
            insert: format!(
                "INSERT INTO {} ({columns}) SELECT {columns} FROM pg_temp.fanfold_rows WHERE fanfold_row = {}",
                layout.table,
                postgres_each::ROW
            ),
        });
        connection.copy = Some(connection.client.prepare(&copy).await.map_err(|error| trouble(&error))?);
        Ok(())
    }
}

impl Connection for PostgresConnection {
    const BEGIN: &'static str = "BEGIN; SET CONSTRAINTS ALL IMMEDIATE";
    const EMPTY: &'static str = "TRUNCATE TABLE";
    const ROW: &'static str = postgres_each::ROW;

    async fn each(&mut self, rows: &str, statements: &[String]) -> Result<Option<Vec<(i64, String)>>, DbError> {
        postgres_each::each(self, rows, statements).await
    }

    async fn execute(&mut self, sql: &str) -> Result<u64, DbError> {
        let messages = self.client.simple_query(sql).await.map_err(|error| trouble(&error))?;
        let done = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        };
        Ok(messages.iter().rev().find_map(done).unwrap_or(0))
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, DbError> {
        let messages = self.client.simple_query(sql).await.map_err(|error| trouble(&error))?;
        let row = |message: SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_string)).collect()),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// All at once if they are what the table takes. If not, the server says at which row it stopped, or the row is looked for by
    /// parts; always in order, so that of rows that exclude one another the first one stays.
    async fn load(&mut self, rows: &Rows) -> Result<Vec<(usize, String)>, DbError> {
        let mut refused = Vec::new();
        let mut stride = Stride::over(rows.len());
        while let Some(range) = stride.next() {
            if refused.len() == FEW && self.direct.is_some() && rows.len() - range.start > MANY {
                if let Some(more) = self.load_each(rows, range.start).await? {
                    refused.extend(more);
                    break;
                }
                self.direct = None;
            }
            self.execute("SAVEPOINT fanfold_rows").await?;
            let error = match self.copy(self.copy.as_ref(), rows.bytes(range.clone())).await {
                Ok(()) => {
                    self.execute("RELEASE SAVEPOINT fanfold_rows").await?;
                    stride.taken(&range);
                    continue;
                }
                Err(error) if error.kind == DbErrorKind::Row => error,
                Err(error) => return Err(error),
            };
            self.execute("ROLLBACK TO SAVEPOINT fanfold_rows; RELEASE SAVEPOINT fanfold_rows").await?;
            refused.extend(stride.refused(&range, error.row).map(|row| (row, error.text)));
        }
        self.unchanged().await?;
        Ok(refused)
    }
}

impl PostgresConnection {
    /// Binary values mean something else in a column of another type. The rows that were put in keep the table from being changed until
    /// the transaction ends.
    async fn unchanged(&mut self) -> Result<(), DbError> {
        let Some((sql, known)) = self.types.clone() else { return Ok(()) };
        let found = self.query(&sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        if found.as_ref() == Some(&known) {
            return Ok(());
        }
        Err(DbError::surroundings(
            "the types of the table's columns were changed while rows were written; none of these rows is in it",
        ))
    }

    /// The rows from this one on, by way of a table of the connection's own. `None`: that is not to be had, and nothing is changed.
    async fn load_each(&mut self, rows: &Rows, from: usize) -> Result<Option<Vec<(usize, String)>>, DbError> {
        let Some(Direct { make, copy, insert }) = self.direct.clone() else { return Ok(None) };
        self.execute("SAVEPOINT fanfold_direct").await?;
        let back = "ROLLBACK TO SAVEPOINT fanfold_direct; RELEASE SAVEPOINT fanfold_direct";
        let filled = match self.execute(&make).await {
            Ok(_) => match self.client.prepare(&copy).await.map_err(|error| trouble(&error)) {
                Ok(statement) => self.copy(Some(&statement), rows.bytes(from..rows.len())).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match filled {
            Ok(()) => {}
            Err(error) if error.kind == DbErrorKind::Transient => return Err(error),
            Err(_) => return self.execute(back).await.map(|_| None),
        }
        let found = postgres_each::each(self, "SELECT fanfold_row FROM fanfold_rows ORDER BY fanfold_row", &[insert]).await?;
        let Some(found) = found else { return self.execute(back).await.map(|_| None) };
        self.execute("DROP TABLE fanfold_rows; RELEASE SAVEPOINT fanfold_direct").await?;
        let place = |row: i64| usize::try_from(row - 1).map(|row| from + row).ok();
        Ok(Some(found.into_iter().filter_map(|(row, why)| Some((place(row)?, why))).collect()))
    }

    async fn copy(&self, statement: Option<&Statement>, rows: &[u8]) -> Result<(), DbError> {
        let statement = statement.ok_or_else(|| DbError::surroundings("the connection was not made ready"))?;
        let sink = self.client.copy_in::<_, Bytes>(statement).await.map_err(|error| trouble(&error))?;
        let mut sink = std::pin::pin!(sink);
        let sent = async {
            sink.send(Bytes::from_static(HEADER)).await?;
            sink.send(Bytes::copy_from_slice(rows)).await?;
            sink.send(Bytes::from_static(TRAILER)).await?;
            sink.finish().await
        };
        sent.await.map(drop).map_err(|error| trouble(&error))
    }
}
