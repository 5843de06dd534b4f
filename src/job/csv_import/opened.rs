//! [`Opened`]: a database with its layout, its writers and what sessions before this one wrote.

use std::sync::Arc;

use tokio::time::Instant;

use super::connection::DbError;
use super::layout::Layout;
use super::merge::Merge;
use super::plan::Plan;
use super::ranges::Ranges;
use super::rows::Rows;
use super::target::{Answer, Driver, Encode, Refused, Target};
use super::transaction;
use super::writer::{BETWEEN, PATIENCE, Writers, away};
use crate::job::{Ending, JobError, JobErrorKind};

/// What to do about a database that is not what it was.
const BACK: &str = "put it back as it was, or begin a new run";

/// Whether the tables that a session before this one wrote into are there. They are not made again: what was in them would be missing.
async fn check_there<D: Driver>(driver: &D, connection: &mut D::Connection, plan: &Plan) -> Result<(), DbError> {
    let stage = plan.staged().then(|| plan.stage_name());
    for table in [Some(plan.table.as_str()), stage.as_deref()].into_iter().flatten() {
        if driver.look(connection, plan.schema.as_deref(), table).await?.is_empty() {
            return Err(DbError::surroundings(format!(
                "the table `{table}` is gone, which {} rows of this run were written into; {BACK}",
                plan.before
            )));
        }
    }
    Ok(())
}

/// An open target.
pub(super) struct Opened<D: Driver> {
    driver: Arc<D>,
    plan: Arc<Plan>,
    layout: Layout,
    encoder: D::Encoder,
    written: Ranges,
    writers: Writers<D::Connection>,
}

impl<D: Driver> Opened<D> {
    /// Opens the database, makes what is missing and refuses what does not fit. Nothing is written yet.
    ///
    /// # Errors
    /// The database cannot be reached, or its table is not what the plan takes it for.
    pub async fn open(driver: D, plan: Arc<Plan>) -> Result<Self, DbError> {
        let mut connection = driver.connect().await?;
        driver.take_over(&mut connection, &plan).await?;
        if plan.before > 0 {
            check_there(&driver, &mut connection, &plan).await?;
        }
        let (layout, encoder) = driver.lay_out(&mut connection, &plan).await?;
        driver.ready(&mut connection, &layout, 0).await?;
        // What others write meanwhile is looked for by each transaction.
        let written = if plan.one_of_many { Ranges::default() } else { transaction::notes(&mut connection, &layout, "").await? };
        if written.count() < plan.before {
            return Err(DbError::surroundings(format!(
                "{} rows of this run were written, and this database knows of {}: it is another one, or an older copy; {BACK}",
                plan.before,
                written.count()
            )));
        }
        let driver = Arc::new(driver);
        let writers = Writers::start(&driver, connection, &layout)?;
        Ok(Self { driver, plan, layout, encoder, written, writers })
    }
}

impl<D: Driver> Opened<D> {
    /// With a connection of those that wrote, so that there are never more than are allowed.
    async fn try_to_finish(&self, ending: &Ending<'_>) -> Result<(), JobError> {
        let mut connection = match self.writers.close().await {
            Some(connection) => connection,
            None => self.driver.connect().await?,
        };
        // A connection of this session that was lost may still commit.
        self.driver.take_over(&mut connection, &self.plan).await?;
        Merge { connection: &mut connection, layout: &self.layout, plan: &self.plan, ending }.finish().await
    }
}

impl<D: Driver> Target for Opened<D> {
    fn encoder(&self) -> &dyn Encode {
        &self.encoder
    }

    fn is_written(&self, item: u64) -> bool {
        self.written.has(item)
    }

    fn write(&self, rows: Rows, again: bool) -> Answer<'_, Result<Refused, DbError>> {
        Box::pin(self.writers.write(rows, again))
    }

    fn finish<'a>(&'a self, ending: &'a Ending<'a>) -> Answer<'a, Result<(), JobError>> {
        Box::pin(async move {
            let mut end = None;
            loop {
                let error = match self.try_to_finish(ending).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                if error.kind != JobErrorKind::Transient {
                    return Err(error);
                }
                let now = Instant::now();
                if now >= *end.get_or_insert(now + PATIENCE) {
                    return Err(JobError::surroundings(away(error.cause())));
                }
                tokio::time::sleep(BETWEEN).await;
            }
        })
    }
}
