//! `new --job csv_import`: the columns are those of the file's first rows, or of the live table.

use serde_json::Value;

use super::Surroundings;
use super::new::quoted;
use crate::error::{Error, Result};
use crate::job::csv_import::{columns_of_items, columns_of_table, live_columns};
use crate::local;
use crate::observe::say;
use crate::workflow::Workflow;

/// Rows that are looked at.
const ROWS: usize = 1000;

/// The text of the workflow; `from` is the file as it was named, `items` are the lines below `items:`.
pub(super) fn text(name: &str, from: &str, items: &str, database: Option<&str>, at: &Surroundings) -> Result<String> {
    let shown = database.unwrap_or("import.db");
    let table = name.replace('-', "_").to_lowercase();
    let head = format!("fanfold: 1\nname: {name}\n");
    let job = |columns: &str, create: bool| {
        format!(
            "job:\n  csv_import:\n    database: {}\n    table: {}\n    create_table: {create}\n    # conflict_key: [id]       # the \
             columns that tell rows apart; of several rows with one key the last one counts\n    # mode: upsert             # append, \
             upsert or replace\n    columns:\n{columns}",
            quoted(shown),
            quoted(&table)
        )
    };
    // Bound as a run would be, so that paths mean what they will mean.
    let sample = format!("{head}items:\n{items}  limit: {ROWS}\n{}", job("      column: text\n", true));
    let workflow = Workflow::parse(&sample, name, &at.here, &at.jobs)?;
    let bound = workflow.bind(&[], &at.here)?;
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Error::surroundings(format!("no threads can be started: {error}")))?;
    let (names, rows) = runtime.block_on(local::first_items(&bound.settings.items, from, ROWS))?;
    let live = match database {
        Some(_) => {
            let resolved = bound.settings.job.config["database"].as_str().unwrap_or_default();
            runtime.block_on(live_columns(resolved, None, &table)).map_err(|error| Error::surroundings(error.cause()))?
        }
        None => Vec::new(),
    };
    if live.is_empty() && database.is_some() {
        say(format_args!(
            "note: there is no table `{table}` in the database; the columns are those of the file, and the import makes it"
        ));
    }
    // A file with nothing but a header has names all the same.
    let rows = if rows.is_empty() && !names.is_empty() {
        vec![names.into_iter().map(|name| (name, Value::Null)).collect()]
    } else {
        rows
    };
    let lines = if live.is_empty() { columns_of_items(&rows) } else { columns_of_table(&live, &rows) };
    if lines.iter().all(|line| line.starts_with('#')) {
        return Err(Error::refused("there is no row from which columns could be guessed, and no header")
            .hint("`--from` names a file with a header or a row in it"));
    }
    let columns: String = lines.iter().map(|line| format!("      {line}\n")).collect();
    Ok(format!(
        "{head}items:\n{items}batch: {{ max_items: 1000 }}\nmax_concurrency: 16       # batches at once\ntolerated_failure: 0%     # or a \
         count\n{}",
        job(&columns, live.is_empty())
    ))
}
