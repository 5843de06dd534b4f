//! [`CsvImport`]: the job, between its items and a target.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::OnceCell;

use super::cell::Cell;
use super::column::{Column, Source};
use super::config::CsvImportConfig;
use super::database::Database;
use super::plan::Plan;
use super::rows::Rows;
use super::target::{Encode, Target};
use crate::expression::{Params, Scope};
use crate::job::{Attempt, ConfigError, Ending, Fleet, Job, JobError, Repeat, RowsAttempt, Setup, Within};
use crate::row_block::RowBlock;

/// Imports rows into a table. See [`CsvImportConfig`].
pub struct CsvImport {
    plan: Arc<Plan>,
    database: Database,
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL has several connections that write"))]
    max_connections: usize,
    target: OnceCell<Box<dyn Target>>,
}

/// A row of any columns. It is read where it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(schema_with = "any_object")]
pub struct RowItem(IgnoredAny);

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object" })
}

impl CsvImport {
    async fn target(&self) -> Result<&dyn Target, JobError> {
        let open = async { self.open().await };
        self.target.get_or_try_init(|| open).await.map(|target| &**target)
    }

    async fn open(&self) -> Result<Box<dyn Target>, JobError> {
        match &self.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(path) => {
                let driver = super::sqlite::Sqlite::new(path.clone());
                Ok(Box::new(super::opened::Opened::open(driver, Arc::clone(&self.plan)).await?))
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(url) => {
                let driver = super::postgres::Postgres::new(url, self.max_connections)?;
                Ok(Box::new(super::opened::Opened::open(driver, Arc::clone(&self.plan)).await?))
            }
            #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
            _ => Err(JobError::surroundings("this program was built without this kind of database")),
        }
    }
}

impl Job for CsvImport {
    const NAME: &'static str = "csv_import";
    const REPEAT: Repeat = Repeat::Recorded;
    const WHOLE_BATCH: bool = true;
    const TAKES_ROWS: bool = true;
    const FINISHES: bool = true;
    const ERRORS: &'static [(&'static str, &'static str)] = &[
        (
            "Csv.InvalidValue",
            "A value does not fit its column; the cause names the column, how the value begins and the reason. Repair the row, or say \
             in `columns` how it is written, then redrive.",
        ),
        (
            "Database.Constraint",
            "The database refused the row: a key that is there already, a reference to nothing, a check. Repair the row or the table, \
             then redrive.",
        ),
    ];

    type Config = CsvImportConfig;
    type Input = RowItem;
    type Output = ();

    fn check(config: &CsvImportConfig, _: &Within) -> Result<(), ConfigError> {
        config.check()
    }

    fn fleet(config: &CsvImportConfig) -> Result<Fleet, ConfigError> {
        config.fleet()
    }

    fn new(config: CsvImportConfig, setup: &Setup) -> Result<Self, ConfigError> {
        let params = Params::new((*setup.params).clone());
        let scope = Scope::params(&params).with("secrets", setup.secrets.value());
        let database = config.database.get(&scope).map_err(|error| ConfigError::new("database", error.to_string()))?;
        Ok(Self {
            plan: Arc::new(Plan {
                one_of_many: setup.one_of_many,
                ..Plan::new(&config, setup.storages.scratch(), setup.succeeded)?
            }),
            database: Database::resolved(&database)?,
            max_connections: config.max_connections as usize,
            target: OnceCell::new(),
        })
    }

    async fn ready(&self) -> Result<(), JobError> {
        self.target().await.map(drop)
    }

    async fn run(&self, item: RowItem, attempt: &Attempt<'_>) -> Result<(), JobError> {
        let _ = (item, attempt);
        Err(JobError::permanent("rows are written by the batch").named("Job.Broken"))
    }

    async fn run_batch(&self, items: Vec<(RowItem, Attempt<'_>)>) -> Vec<Result<(), JobError>> {
        let target = match self.target().await {
            Ok(target) => target,
            Err(error) => {
                let again = || JobError::surroundings(error.cause());
                return items.iter().map(|_| Err(again())).collect();
            }
        };
        let mut rows = Rows::default();
        let mut again = false;
        let mut results: Vec<Result<(), JobError>> = Vec::with_capacity(items.len());
        for (_, attempt) in &items {
            if target.is_written(attempt.item.index) {
                results.push(Ok(()));
                continue;
            }
            again |= attempt.number() > 1 || attempt.redrive() > 0;
            results.push(rows.push(attempt.item.index, |out| self.row(target, attempt, out)));
        }
        if rows.is_empty() {
            return results;
        }
        match target.write(rows, again).await {
            Ok(refused) => {
                for (index, why) in refused {
                    if let Some(at) = items.iter().position(|(_, attempt)| attempt.item.index == index) {
                        results[at] = Err(JobError::permanent(why).named("Database.Constraint"));
                    }
                }
            }
            Err(error) => {
                for (result, (_, attempt)) in results.iter_mut().zip(&items) {
                    if result.is_ok() && !target.is_written(attempt.item.index) {
                        *result = Err(error.clone().into());
                    }
                }
            }
        }
        results
    }

    async fn run_rows(&self, attempt: &RowsAttempt<'_>) -> Vec<(usize, JobError)> {
        let target = match self.target().await {
            Ok(target) => target,
            Err(error) => return attempt.rows().map(|row| (row, JobError::surroundings(error.cause()))).collect(),
        };
        let block = attempt.block();
        let fields = self.fields(block, target.encoder());
        let has_nul = block.has_nul();
        let mut rows = Rows::with_capacity(attempt.rows().len(), block.size() * 3 / 2);
        let mut again = attempt.number() > 1;
        let mut failed = Vec::new();
        for row in attempt.rows() {
            let index = block.index(row);
            if target.is_written(index) {
                continue;
            }
            again |= attempt.redrive(row) > 0;
            if let Err(error) = rows.push(index, |out| self.row_of_block(target, attempt, (&fields, has_nul), row, out)) {
                failed.push((row, error));
            }
        }
        if rows.is_empty() {
            return failed;
        }
        match target.write(rows, again).await {
            Ok(refused) => failed.extend(refused.into_iter().filter_map(|(index, why)| {
                let row = attempt.rows().find(|row| block.index(*row) == index)?;
                Some((row, JobError::permanent(why).named("Database.Constraint")))
            })),
            Err(error) => {
                let known: HashSet<usize> = failed.iter().map(|(row, _)| *row).collect();
                let left = attempt.rows().filter(|row| !known.contains(row) && !target.is_written(block.index(*row)));
                failed.extend(left.map(|row| (row, error.clone().into())));
            }
        }
        failed
    }

    async fn finish(&self, ending: &Ending<'_>) -> Result<(), JobError> {
        self.target().await?.finish(ending).await
    }
}

/// Where the value of a column comes from in a block.
enum Field {
    /// The field with this number; whether its texts are kept as they are.
    At(usize, bool),
    Expression,
    /// The file has no such column.
    Absent,
}

impl CsvImport {
    /// Where the values of the columns come from.
    fn fields(&self, block: &RowBlock, encoder: &dyn Encode) -> Vec<Field> {
        let of = |(at, column): (usize, &Column)| match column.source() {
            Source::Value(_) => Field::Expression,
            Source::Item(name) => match block.columns().iter().position(|known| known == name) {
                Some(number) => Field::At(number, encoder.keeps_texts(at)),
                None => Field::Absent,
            },
        };
        self.plan.columns.iter().enumerate().map(of).collect()
    }

    /// The same as [`CsvImport::row`] of a row that is no JSON, unless an expression wants it.
    fn row_of_block(
        &self,
        target: &dyn Target,
        attempt: &RowsAttempt<'_>,
        (fields, has_nul): (&[Field], bool),
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), JobError> {
        let (encoder, block) = (target.encoder(), attempt.block());
        encoder.begin(block.index(row), out);
        let mut item = None;
        for ((at, column), field) in self.plan.columns.iter().enumerate().zip(fields) {
            let (text, keeps) =
                if let Field::At(number, keeps) = field { (block.field(row, *number), *keeps) } else { (None, false) };
            // Most texts are kept as they are: nothing is made of them.
            if keeps && text.is_some_and(|text| column.keeps(text) && encoder.text(text, has_nul, out)) {
                continue;
            }
            let take = |cell: &Cell<'_>| self.take(encoder, at, cell, out);
            let taken = match field {
                Field::At(..) => column.field(text, take),
                Field::Expression | Field::Absent => {
                    let item = item.get_or_insert_with(|| block.value(row));
                    column.value(item, &Scope::params(attempt.params()).with_item(item), take)
                }
            };
            taken.map_err(|wrong| JobError::permanent(wrong).named("Csv.InvalidValue"))?;
        }
        Ok(())
    }

    fn take(&self, encoder: &dyn Encode, at: usize, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        if *cell == Cell::Null && self.plan.key.contains(&at) {
            return Err("has no value, and is part of `conflict_key`".to_string());
        }
        encoder.cell(at, cell, out)
    }

    fn row(&self, target: &dyn Target, attempt: &Attempt<'_>, out: &mut Vec<u8>) -> Result<(), JobError> {
        let encoder = target.encoder();
        encoder.begin(attempt.item.index, out);
        for (at, column) in self.plan.columns.iter().enumerate() {
            column
                .value(attempt.item(), attempt.scope(), |cell| self.take(encoder, at, cell, out))
                .map_err(|wrong| JobError::permanent(wrong).named("Csv.InvalidValue"))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for CsvImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvImport").field("plan", &self.plan).finish_non_exhaustive()
    }
}
