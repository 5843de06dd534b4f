//! The live table in SQLite: what it looks like, whether it fits, and how it is made.

use rusqlite::Connection as Db;

use super::column::Column;
use super::config::Mode;
use super::connection::DbError;
use super::kind::Kind;
use super::layout::{Layout, LiveColumn, literal, places, quoted};
use super::plan::Plan;
use super::sqlite::trouble;
use super::sqlite_encode::{Affinity, SqliteEncoder};

/// The columns of the table; none if there is no such table.
pub(super) fn look(db: &Db, table: &str) -> rusqlite::Result<Vec<LiveColumn>> {
    let mut statement =
        db.prepare("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    let rows = statement.query_map([table], |row| {
        let shown: String = row.get(1)?;
        let (not_null, default, pk, hidden): (bool, Option<String>, i64, i64) =
            (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        let is_rowid = pk > 0 && shown.eq_ignore_ascii_case("INTEGER");
        Ok(LiveColumn {
            name: row.get(0)?,
            not_null: not_null && !is_rowid,
            filled: default.is_some() || is_rowid,
            computed: hidden >= 2,
            kind: kind_of(&shown),
            of: None,
            values: Vec::new(),
            shown,
        })
    })?;
    rows.collect()
}

fn kind_of(declared: &str) -> Kind {
    let upper = declared.to_ascii_uppercase();
    match upper.as_str() {
        "BOOLEAN" | "BOOL" => Kind::Boolean,
        "DATE" => Kind::Date,
        "DATETIME" | "TIMESTAMP" => Kind::Timestamp,
        "JSON" => Kind::Json,
        "UUID" => Kind::Uuid,
        _ if upper.starts_with("DECIMAL") || upper.starts_with("NUMERIC") => Kind::Decimal,
        _ => match Affinity::of(declared) {
            Affinity::Integer => Kind::Integer,
            Affinity::Real => Kind::Float,
            Affinity::None if upper == "BLOB" => Kind::Bytes,
            Affinity::Numeric => Kind::Decimal,
            Affinity::Text | Affinity::None => Kind::Text,
        },
    }
}

/// Looks whether the table is what the plan takes it for, and makes what is missing.
pub(super) fn lay_out(db: &Db, path: &str, plan: &Plan) -> Result<(Layout, SqliteEncoder), DbError> {
    let sql = |error: rusqlite::Error| trouble(path, &error).not_a_row(super::connection::DbErrorKind::Surroundings);
    if let Some(schema) = plan.schema.as_deref().filter(|schema| *schema != "main") {
        return Err(DbError::surroundings(format!("an SQLite file has no schema `{schema}`; `table: {}` is enough", plan.table)));
    }
    let mut live = look(db, &plan.table).map_err(sql)?;
    if live.is_empty() && plan.create_table {
        db.execute_batch(&create(plan)).map_err(sql)?;
        live = look(db, &plan.table).map_err(sql)?;
    }
    if live.is_empty() {
        return Err(DbError::surroundings(format!(
            "{path} has no table `{}`; make it, or let the import make it by `create_table: true`",
            plan.shown()
        )));
    }
    let found = places(&plan.shown(), &plan.columns, &live).map_err(DbError::surroundings)?;
    let mut wrong = Vec::new();
    let mut columns = Vec::new();
    for (column, at) in plan.columns.iter().zip(found) {
        let affinity = Affinity::of(&live[at].shown);
        if let Some(why) = misfit(column, affinity) {
            wrong.push(format!(
                "`{}` is {} in the table: {why}",
                column.name,
                if live[at].shown.is_empty() { "of no type" } else { &live[at].shown }
            ));
        }
        columns.push((affinity, live[at].not_null));
    }
    if !wrong.is_empty() {
        return Err(DbError::surroundings(wrong.join("; ")));
    }
    let collations = if plan.key.is_empty() { Vec::new() } else { unique_key(db, plan).map_err(sql)?? };
    if plan.mode == Mode::Replace {
        replaceable(db, plan).map_err(sql)??;
    }
    let key_columns: Vec<String> = plan.key.iter().map(|at| quoted(&plan.columns[*at].name)).collect();
    let layout = Layout {
        table: quoted(&plan.table),
        stage: plan.stage_name(),
        batches: "fanfold_batches".to_string(),
        run: literal(&plan.run),
        columns: plan.columns.iter().map(|column| quoted(&column.name)).collect(),
        keys: key_columns
            .iter()
            .zip(collations)
            .map(|(column, collation)| format!("{column} COLLATE {}", quoted(&collation)))
            .collect(),
        key_columns,
        staged: plan.staged(),
        types: Option::None,
        alone: None,
    };
    db.execute_batch(&layout.batches_sql()).map_err(sql)?;
    if layout.staged {
        db.execute_batch(&layout.stage_sql()).map_err(sql)?;
        let staged = look(db, &layout.stage).map_err(sql)?;
        if let Some(column) = plan.columns.iter().find(|column| !staged.iter().any(|staged| staged.name == column.name)) {
            return Err(super::layout::staged_without(&column.name));
        }
    }
    Ok((layout, SqliteEncoder { columns }))
}

/// Why values of this column would not stay what they are.
fn misfit(column: &Column, affinity: Affinity) -> Option<String> {
    use Affinity::{Integer, None, Numeric, Real, Text};
    let word = column.kind.word();
    let fits = match column.kind {
        Kind::Text | Kind::Enum => matches!(affinity, Text | None),
        Kind::Date | Kind::Timestamp | Kind::Uuid | Kind::Json | Kind::Array => matches!(affinity, Text | None | Numeric),
        Kind::Integer | Kind::Boolean => matches!(affinity, Integer | Numeric | None),
        Kind::Float => matches!(affinity, Real | Numeric | None),
        Kind::Decimal | Kind::Bytes => true,
    };
    if fits {
        return Option::None;
    }
    Some(match column.kind {
        Kind::Text | Kind::Enum => {
            format!("a `{word}` such as `007` would become a number there; say `type: integer`, or make it TEXT")
        }
        _ => format!("it would not keep a `{word}` as it is"),
    })
}

/// How each column of the key is compared; there must be a unique index over exactly them.
fn unique_key(db: &Db, plan: &Plan) -> rusqlite::Result<Result<Vec<String>, DbError>> {
    let wanted: Vec<&str> = plan.key.iter().map(|at| plan.columns[*at].name.as_str()).collect();
    let mut indexes = db.prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0")?;
    let names: Vec<String> = indexes.query_map([&plan.table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for index in names {
        let mut columns = db.prepare("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key = 1")?;
        let columns: Vec<(Option<String>, String)> =
            columns.query_map([&index], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        let collation =
            |name: &&str| columns.iter().find(|(column, _)| column.as_deref() == Some(*name)).map(|(_, coll)| coll.clone());
        if columns.len() == wanted.len()
            && let Some(collations) = wanted.iter().map(collation).collect::<Option<Vec<_>>>()
        {
            return Ok(Ok(collations));
        }
    }
    // The primary key of an INTEGER PRIMARY KEY has no index of its own.
    let mut rowid = db.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0")?;
    let keys: Vec<String> = rowid.query_map([&plan.table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if keys.len() == 1 && wanted == [keys[0].as_str()] {
        return Ok(Ok(vec!["BINARY".to_string()]));
    }
    Ok(Err(DbError::surroundings(format!(
        "`{}` has no unique index over {}, which `conflict_key` needs; CREATE UNIQUE INDEX makes one",
        plan.shown(),
        wanted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    ))))
}

/// Whether taking all rows out would do nothing else.
fn replaceable(db: &Db, plan: &Plan) -> rusqlite::Result<Result<(), DbError>> {
    let by = "SELECT m.name FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table' \
              AND f.\"table\" = ?1 COLLATE NOCASE LIMIT 1";
    let trigger = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE LIMIT 1";
    for (sql, what) in [(by, "is referenced by the table"), (trigger, "has the trigger")] {
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([&plan.table])?;
        if let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            return Ok(Err(DbError::surroundings(format!(
                "`{}` {what} `{name}`, so its rows cannot be replaced; `mode: upsert` leaves them where they are",
                plan.shown()
            ))));
        }
    }
    Ok(Ok(()))
}

fn create(plan: &Plan) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (at, column) in plan.columns.iter().enumerate() {
        let name = quoted(&column.name);
        let declared = match column.kind {
            Kind::Integer => "INTEGER",
            Kind::Float => "REAL",
            Kind::Boolean => "BOOLEAN",
            Kind::Bytes => "BLOB",
            // SQLite counts with floats: only a text keeps every digit.
            Kind::Decimal | Kind::Text | Kind::Date | Kind::Timestamp | Kind::Json | Kind::Uuid | Kind::Enum | Kind::Array => {
                "TEXT"
            }
        };
        let not_null = if plan.key.contains(&at) { " NOT NULL" } else { "" };
        let check = if column.kind == Kind::Enum {
            let values: Vec<String> = column.values.iter().map(|value| literal(value)).collect();
            format!(" CHECK ({name} IN ({}))", values.join(", "))
        } else {
            String::new()
        };
        parts.push(format!("{name} {declared}{not_null}{check}"));
    }
    if !plan.key.is_empty() {
        let key: Vec<String> = plan.key.iter().map(|at| quoted(&plan.columns[*at].name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    format!("CREATE TABLE IF NOT EXISTS {} ({})", quoted(&plan.table), parts.join(", "))
}
