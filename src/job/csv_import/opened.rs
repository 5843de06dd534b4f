//! [`Opened`]: a database with its layout, its writers and what sessions before this one wrote.

use std::sync::Arc;
use std::time::Duration;

use super::connection::DbError;
use super::layout::Layout;
use super::merge::Merge;
use super::plan::Plan;
use super::ranges::Ranges;
use super::rows::Rows;
use super::target::{Answer, Driver, Encode, Refused, Target};
use super::writer::{self, Writers};
use crate::job::{Ending, JobError, JobErrorKind};

/// The place of the connection that works at the end, beside those that write.
const LAST: usize = 1000;

/// How often the end is tried, and the wait between: a server may be being restarted.
const TRIES: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(2);

/// An open target.
pub(super) struct Opened<D: Driver> {
    driver: Arc<D>,
    plan: Arc<Plan>,
    layout: Layout,
    encoder: D::Encoder,
    written: Ranges,
    writers: Writers,
}

impl<D: Driver> Opened<D> {
    /// Opens the database, makes what is missing and refuses what does not fit. Nothing is written yet.
    ///
    /// # Errors
    /// The database cannot be reached, or its table is not what the plan takes it for.
    pub async fn open(driver: D, plan: Arc<Plan>) -> Result<Self, DbError> {
        let mut connection = driver.connect().await?;
        driver.take_over(&mut connection, &plan).await?;
        let (layout, encoder) = driver.lay_out(&mut connection, &plan).await?;
        driver.ready(&mut connection, &layout, 0).await?;
        let written = writer::notes(&mut connection, &layout, "").await?;
        let driver = Arc::new(driver);
        let writers = Writers::start(&driver, connection, &layout)?;
        Ok(Self { driver, plan, layout, encoder, written, writers })
    }
}

impl<D: Driver> Opened<D> {
    async fn try_to_finish(&self, ending: &Ending<'_>) -> Result<(), JobError> {
        let mut connection = writer::connect(&*self.driver, &self.layout, LAST).await?;
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
            let mut tries = 0;
            loop {
                let error = match self.try_to_finish(ending).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                tries += 1;
                if error.kind != JobErrorKind::Transient || tries == TRIES {
                    return Err(error);
                }
                tokio::time::sleep(BETWEEN).await;
            }
        })
    }
}
