//! [`Shop`]: a database of its own for a test, SQLite or PostgreSQL, and the import of `rows.csv` into it.

use std::process::Command;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::stage::Stage;

/// A database of its own, and a stage.
pub struct Shop {
    pub stage: Stage,
    /// The one of PostgreSQL; SQLite's is `shop.db` on the stage.
    pub url: Option<String>,
}

pub fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql")
        .args([url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .output()
        .expect("psql; tests/engines.sh installs it");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim_end_matches('\n').to_string()
}

/// The server that tests/engines.sh started.
pub fn server() -> String {
    std::env::var("FANFOLD_TEST_POSTGRES").expect("tests/engines.sh runs these tests")
}

impl Shop {
    pub fn sqlite() -> Self {
        Self { stage: Stage::new(), url: None }
    }

    pub fn postgres() -> Self {
        Self::of(Stage::new())
    }

    pub fn of(stage: Stage) -> Self {
        let name = format!("shop_{:016x}", fastrand::u64(..));
        psql(&format!("{}/postgres", server()), &format!("CREATE DATABASE {name}"));
        Self { stage, url: Some(format!("{}/{name}", server())) }
    }

    pub fn is_postgres(&self) -> bool {
        self.url.is_some()
    }

    /// Runs statements, and gives the rows of the last one as psql writes them: `a|b`, a line each.
    pub fn sql(&self, sql: &str) -> String {
        match &self.url {
            Some(url) => psql(url, sql),
            None => self.sqlite_sql(sql),
        }
    }

    fn sqlite_sql(&self, sql: &str) -> String {
        let db = rusqlite::Connection::open(self.stage.path("shop.db")).expect("the database");
        db.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
        let mut lines = Vec::new();
        let mut batch = rusqlite::Batch::new(&db, sql);
        while let Some(mut statement) = batch.next().unwrap_or_else(|error| panic!("{sql}: {error}")) {
            lines.clear();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap_or_else(|error| panic!("{sql}: {error}")) {
                let text = |at| match row.get_ref(at).unwrap() {
                    ValueRef::Null => String::new(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
                };
                lines.push((0..columns).map(text).collect::<Vec<_>>().join("|"));
            }
        }
        lines.join("\n")
    }

    pub fn number(&self, sql: &str) -> u64 {
        let text = self.sql(sql);
        text.parse().unwrap_or_else(|_| panic!("{sql}: {text}"))
    }

    /// `import.yaml`: `rows.csv` into this database, with these settings of the job and these of the workflow.
    pub fn import(&self, job: &str, settings: &str) -> &Self {
        self.import_to(self.url.as_deref().unwrap_or("shop.db"), job, settings)
    }

    /// The same into another one.
    pub fn import_to(&self, database: &str, job: &str, settings: &str) -> &Self {
        self.stage.write("import.yaml", workflow("import", database, job, settings));
        self
    }

    /// The errors and causes of the items that failed, in input order.
    pub fn failures(&self, run: &str) -> Vec<(String, String)> {
        let lines = self.stage.run(&["results", run, "--failed"]).ended(0).lines();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
        lines.iter().map(|line| (word(&line["error"]), word(&line["cause"]))).collect()
    }

    /// What fanfold left beside the tables, but for the empty table of notes.
    pub fn left_behind(&self) -> String {
        let tables = match self.is_postgres() {
            true => {
                "SELECT relname FROM pg_class WHERE relname LIKE 'fanfold%' AND relkind = 'r' AND relname <> 'fanfold_batches'"
            }
            false => "SELECT name FROM sqlite_schema WHERE name LIKE 'fanfold%' AND type = 'table' AND name <> 'fanfold_batches'",
        };
        format!("{}{}", self.sql(tables), self.sql("SELECT run FROM fanfold_batches"))
    }
}

/// A workflow that imports `rows.csv`.
pub fn workflow(name: &str, database: &str, job: &str, settings: &str) -> String {
    let job: String = job.trim().lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "fanfold: 1\nname: {name}\nitems: {{ csv: {{ source: rows.csv, header: first_row }} }}\n{settings}\n\
         job:\n  csv_import:\n    database: \"{database}\"\n{job}"
    )
}

/// 400 sales, `id,shop,cents,late`, of which those from 7 to 13 are bad, each in its own way; the last has too many cents.
pub fn sales(too_many: &str) -> String {
    let mut rows = String::from("id,shop,cents,late\n");
    for n in 0..400 {
        rows.push_str(&match n {
            7 => "7,,1,1\n".to_string(),
            8 => "8,1,twelve,1\n".to_string(),
            9 => "9,2,1,1\n".to_string(),
            10 => "10,1,-1,1\n".to_string(),
            11 => "1,1,1,1\n".to_string(),
            12 => "12,1,1,5\n".to_string(),
            13 => format!("13,1,{too_many},1\n"),
            n => format!("{n},1,1,1\n"),
        });
    }
    rows
}
