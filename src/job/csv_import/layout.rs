//! [`Layout`]: the live table as it was found, and what of the plan does not fit it.

use super::column::Column;
use super::connection::DbError;
use super::kind::Kind;
use crate::nearest::nearest;

/// A column of the live table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveColumn {
    pub name: String,
    /// Its type as the database says it.
    pub shown: String,
    pub not_null: bool,
    /// The database gives it a value itself if none is given.
    pub filled: bool,
    /// The database works its value out: none can be given.
    pub computed: bool,
    /// The kind of value that a workflow would say.
    pub kind: Kind,
    /// Of an array, the kind of its elements.
    pub of: Option<Kind>,
    /// Of an enum, its words.
    pub values: Vec<String>,
}

/// What a batch is written into, by names that need no more quoting.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The table, with its schema.
    pub table: String,
    /// The run's own table beside it, for what is put in at the end.
    pub stage: String,
    /// The table of what was written.
    pub batches: String,
    /// The run, as a text of SQL.
    pub run: String,
    pub columns: Vec<String>,
    /// The key's columns as they are compared.
    pub keys: Vec<String>,
    /// The same without how they are compared.
    pub key_columns: Vec<String>,
    /// Rows are staged and put in at the end.
    pub staged: bool,
    /// What asks for the types of the columns that are written, and what it said, where values are written as their types want it.
    pub types: Option<(String, String)>,
    /// Where other processes write items of the same run at the same time: what keeps them waiting until the end of a transaction.
    pub alone: Option<String>,
}

/// The place in the live table of each of the plan's columns, or everything that does not fit.
pub(super) fn places(table: &str, columns: &[Column], live: &[LiveColumn]) -> Result<Vec<usize>, String> {
    let mut wrong = Vec::new();
    let mut places = Vec::new();
    for column in columns {
        match live.iter().position(|live| live.name == column.name) {
            Some(at) if live[at].computed => {
                wrong.push(format!("the database works out `{}` itself, it takes no value", column.name))
            }
            Some(at) => places.push(at),
            None => wrong.push(match nearest(&column.name, live.iter().map(|live| live.name.as_str())) {
                Some(near) => format!("`{table}` has no column `{}`, did you mean `{near}`?", column.name),
                None => format!("`{table}` has no column `{}`", column.name),
            }),
        }
    }
    for (at, live) in live.iter().enumerate() {
        if live.not_null
            && !live.filled
            && !live.computed
            && !places.contains(&at)
            && !columns.iter().any(|column| column.name == live.name)
        {
            wrong.push(format!("`{}` of `{table}` needs a value and is not among the `columns`", live.name));
        }
    }
    if wrong.is_empty() { Ok(places) } else { Err(wrong.join("; ")) }
}

/// What is said where rows were staged already, by other columns than those of the workflow now.
pub(super) fn staged_without(column: &str) -> DbError {
    DbError::surroundings(format!(
        "the rows that this run has read are kept without the column `{column}`, which is new in the workflow; a new run reads them all"
    ))
}

/// `"name"`, with quotes in it doubled.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'text'`, with quotes in it doubled. For texts of fanfold's own and of the catalogue.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Layout {
    /// What makes the table of what was written.
    pub fn batches_sql(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (run text NOT NULL, first bigint NOT NULL, last bigint NOT NULL, \
             items text NOT NULL, PRIMARY KEY (run, first))",
            self.batches
        )
    }

    /// What makes the run's own table.
    pub fn stage_sql(&self) -> String {
        let columns = self.columns.join(", ");
        // A column keeps its type only if it is selected from the table itself.
        format!(
            "CREATE TABLE IF NOT EXISTS {} AS SELECT {columns}, CAST(0 AS bigint) AS fanfold_item, CAST(0 AS integer) AS fanfold_state, \
             CAST('' AS text) AS fanfold_note FROM {} WHERE 1 = 0",
            self.stage, self.table
        )
    }
}
