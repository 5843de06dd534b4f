//! [`Plan`]: what is written where, as the workflow says it.

use super::column::Column;
use super::config::{CsvImportConfig, Mode, table_parts};
use crate::job::ConfigError;

/// What is written where.
#[derive(Debug)]
pub(super) struct Plan {
    /// The run, unlike any other's of whatever state folder.
    pub run: String,
    pub schema: Option<String>,
    pub table: String,
    pub columns: Vec<Column>,
    /// The key's columns, by their place among the columns.
    pub key: Vec<usize>,
    pub mode: Mode,
    pub create_table: bool,
    /// Items that were written in sessions before this one, while others are pending; else 0.
    pub before: u64,
    /// Other processes write items of the same run at the same time.
    pub one_of_many: bool,
}

impl Plan {
    pub fn new(config: &CsvImportConfig, run: &str, before: u64) -> Result<Self, ConfigError> {
        let (schema, table) = table_parts(&config.table).map_err(|detail| ConfigError::new("table", detail))?;
        let columns: Vec<Column> =
            config.columns.0.iter().map(|(name, setting)| Column::new(name, setting)).collect::<Result<_, _>>()?;
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        Ok(Self {
            run: run.to_string(),
            schema: schema.map(str::to_string),
            table: table.to_string(),
            key: config.conflict_key.iter().filter_map(place).collect(),
            columns,
            mode: config.mode,
            create_table: config.create_table,
            before,
            one_of_many: false,
        })
    }

    /// Whether rows are put into a table of the run's own first, and into the table at the end.
    pub fn staged(&self) -> bool {
        !self.key.is_empty() || self.mode == Mode::Replace
    }

    /// The name of the run's own table: the same in every session, unlike that of any other run.
    pub fn stage_name(&self) -> String {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(self.run.as_bytes());
        format!("fanfold_stage_{}", hex::encode(&digest[..8]))
    }

    /// The name of an index of that table.
    pub fn index_name(&self) -> String {
        format!("{}_item", self.stage_name())
    }

    /// The table as messages call it.
    pub fn shown(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.clone(),
        }
    }
}
