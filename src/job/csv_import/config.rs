//! [`CsvImportConfig`]: the settings of `csv_import`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::column;
use super::database::Database;
use super::kind::Columns;
use crate::expression::{Expression, Setting};
use crate::job::{ConfigError, Fleet};

/// Imports rows into a table of SQLite or PostgreSQL: each row once whatever crashes, every bad row given back, nothing else held up.
///
/// Values are typed before they are sent. A row with a value that does not fit its column is failed, `Csv.InvalidValue`, with the
/// column, how the value begins and the reason; one that the database refuses is failed, `Database.Constraint`. What is written is
/// noted in the database in the same commit, in the table `fanfold_batches`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvImportConfig {
    /// The database: the path of an SQLite file, which is made if it is not there, or `postgres://user@host/database`. A password
    /// comes from `PGPASSWORD` or a secret, such as `postgres://app:{{ secrets.db }}@host/shop`.
    #[schemars(
        schema_with = "database_schema",
        extend("x-fanfold-scope" = ["params", "secrets"]),
        example = &"import.db"
    )]
    pub database: Setting<String>,

    /// The table: `table`, or `schema.table`.
    #[schemars(length(min = 1, max = 200), example = &"rows")]
    pub table: String,

    /// What is written into each column of the table.
    pub columns: Columns,

    /// The columns of the table that tell rows apart; the table has a unique index over them. Of several rows with the same key the
    /// last one in the input counts, the others are skipped. Needed for `mode: upsert`.
    #[serde(default)]
    pub conflict_key: Vec<String>,

    /// What becomes of the rows that the table has: `append` leaves them, a row with the key of one of them fails; `upsert` updates
    /// those whose key comes again; `replace` puts the new rows in place of all of them, in one moment at the end, if no more rows
    /// failed than is tolerated.
    #[serde(default)]
    pub mode: Mode,

    /// Whether the table is made if it is not there, with the types that are said here and `conflict_key` as its primary key.
    #[serde(default)]
    pub create_table: bool,

    /// The most connections to PostgreSQL that write at once. One costs the least; several are done sooner where the server has
    /// cores to spare. SQLite has one writer.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = 64))]
    pub max_connections: u32,
}

fn default_max_connections() -> u32 {
    1
}

fn database_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "format": "fanfold-database" })
}

/// What becomes of the rows that the table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They stay as they are.
    #[default]
    Append,
    /// Those whose key comes again are updated.
    Upsert,
    /// All of them are replaced.
    Replace,
}

impl CsvImportConfig {
    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// Every setting that cannot be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut wrong = Vec::new();
        if let Some(text) = self.database.as_literal().filter(|text| !Expression::is(text))
            && let Err(error) = Database::parse(text)
        {
            wrong.push(error);
        }
        if let Err(detail) = table_parts(&self.table) {
            wrong.push(ConfigError::new("table", detail));
        }
        if self.columns.0.is_empty() {
            let error = ConfigError::new("columns", "no column, expected at least one");
            wrong.push(error.hint("`fanfold new NAME --job csv_import --from FILE` writes them"));
        }
        for (name, setting) in &self.columns.0 {
            wrong.extend(column::check(name, setting));
        }
        self.check_key(&mut wrong);
        if !(1..=64).contains(&self.max_connections) {
            wrong.push(ConfigError::new("max_connections", format!("{}, allowed are 1 to 64", self.max_connections)));
        }
        match wrong.into_iter().reduce(ConfigError::and) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What the import needs of others on AWS.
    ///
    /// # Errors
    /// An SQLite file, and what is put in place once all rows are there: a step that nobody would take.
    pub(super) fn fleet(&self) -> Result<Fleet, ConfigError> {
        let mut wrong = Vec::new();
        let text = self.database.as_literal().cloned().or_else(|| self.database.expression().map(|text| text.text().to_string()));
        if !text.is_some_and(|text| text.starts_with("postgres")) {
            let error = ConfigError::new("database", "an SQLite file of this machine, which the workers on AWS do not have");
            wrong.push(error.hint("`postgres://user@host/database`, or run it here: `fanfold run`"));
        }
        if self.mode != Mode::Append {
            let word = if self.mode == Mode::Replace { "replace" } else { "upsert" };
            let detail = format!("`{word}` puts the rows in place once all of them are there, which is not done on AWS yet");
            wrong.push(ConfigError::new("mode", detail).hint("`append`, or run it here: `fanfold run`"));
        } else if !self.conflict_key.is_empty() {
            let detail =
                "of several rows with one key the last one counts, which is found once all of them are there: not on AWS yet";
            let error = ConfigError::new("conflict_key", detail);
            wrong.push(
                error.hint("leave it out: the table's own index refuses all but one of them; or run it here: `fanfold run`"),
            );
        }
        match wrong.into_iter().reduce(ConfigError::and) {
            Some(error) => Err(error),
            None => Ok(Fleet::default()),
        }
    }

    fn check_key(&self, wrong: &mut Vec<ConfigError>) {
        if self.mode == Mode::Upsert && self.conflict_key.is_empty() {
            let error = ConfigError::new("conflict_key", "missing: `mode: upsert` needs to know which columns tell rows apart");
            wrong.push(error.hint("add it, such as `conflict_key: [id]`, or use `mode: append`"));
        }
        for (at, name) in self.conflict_key.iter().enumerate() {
            let setting = format!("conflict_key[{at}]");
            if self.conflict_key[..at].contains(name) {
                wrong.push(ConfigError::new(setting, format!("`{name}` is there twice")));
            } else if !self.columns.0.iter().any(|(column, _)| column == name) {
                let known = crate::nearest::nearest(name, self.columns.0.iter().map(|(column, _)| column.as_str()));
                let error = ConfigError::new(setting, format!("`{name}` is not among the `columns`"));
                wrong.push(match known {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint(format!("add `{name}` to `columns`")),
                });
            }
        }
    }
}

/// The table's schema, if it is said, and its name.
pub(super) fn table_parts(table: &str) -> Result<(Option<&str>, &str), String> {
    let (schema, name) = match table.split_once('.') {
        Some((schema, name)) => (Some(schema), name),
        None => (None, table),
    };
    if name.contains('.') || name.is_empty() || schema.is_some_and(str::is_empty) || table.contains('\0') {
        return Err(format!("`{}` is not the name of a table: expected `table` or `schema.table`", table.escape_debug()));
    }
    if name.starts_with("fanfold_") {
        return Err(format!("`{name}`: tables that begin with `fanfold_` are fanfold's own"));
    }
    Ok((schema, name))
}
