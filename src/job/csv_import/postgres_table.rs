//! The live table in PostgreSQL: what it looks like, whether it fits, and how it is made.

use super::column::Column;
use super::config::Mode;
use super::connection::{Connection, DbError};
use super::kind::Kind;
use super::layout::{Layout, LiveColumn, literal, places, quoted};
use super::plan::Plan;
use super::postgres::PostgresConnection;
use super::postgres_encode::{PgType, PostgresEncoder};

/// A column of the live table.
pub(super) struct PgColumn {
    pub live: LiveColumn,
    kind: PgType,
}

/// The table's name for SQL.
pub(super) fn name(schema: Option<&str>, table: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
        None => quoted(table),
    }
}

/// The columns of the table; none if there is no such table.
pub(super) async fn look(connection: &mut PostgresConnection, table: &str) -> Result<Vec<PgColumn>, DbError> {
    let sql = format!(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::int, (a.atthasdef OR a.attidentity <> '')::int, \
         (a.attgenerated <> '')::int, b.typname, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, \
         CASE WHEN b.typcategory = 'A' THEN b.typelem::bigint ELSE 0 END, coalesce(e.typname, ''), b.typtype::text, \
         (SELECT json_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = b.oid) \
         FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid \
         JOIN pg_type AS b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
         LEFT JOIN pg_type AS e ON e.oid = b.typelem AND b.typcategory = 'A' \
         WHERE a.attrelid = to_regclass({}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        literal(table)
    );
    Ok(connection.query(&sql).await?.iter().map(|row| column(row)).collect())
}

fn column(row: &[Option<String>]) -> PgColumn {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let number = |at: usize| text(at).parse::<i64>().unwrap_or_default();
    let is = |at: usize| text(at) == "1";
    let values: Vec<String> = serde_json::from_str(text(10)).unwrap_or_default();
    let (modifier, element) = (number(6), number(7));
    let (kind, of) = if element != 0 {
        let of = scalar(text(8), modifier, &[]);
        (PgType::Array(Box::new(of.clone()), u32::try_from(element).unwrap_or_default()), Some(word(&of)))
    } else if text(9) == "e" {
        (PgType::Enum(values.clone()), None)
    } else {
        (scalar(text(5), modifier, &values), None)
    };
    let live = LiveColumn {
        name: text(0).to_string(),
        shown: text(1).to_string(),
        not_null: is(2),
        filled: is(3),
        computed: is(4),
        kind: word(&kind),
        of,
        values,
    };
    PgColumn { live, kind }
}

fn scalar(name: &str, modifier: i64, values: &[String]) -> PgType {
    // What a type says of its size is kept 4 too large.
    let size = modifier - 4;
    let length = (size >= 0).then_some(usize::try_from(size).unwrap_or(usize::MAX));
    match name {
        "bool" => PgType::Boolean,
        "int2" => PgType::Int2,
        "int4" => PgType::Int4,
        "int8" => PgType::Int8,
        "float4" => PgType::Float4,
        "float8" => PgType::Float8,
        // Eleven bits for the scale, which may be negative.
        "numeric" => PgType::Numeric((size >= 0).then(|| ((size >> 16 & 0xffff) as u32, ((size & 0x7ff) as i32 ^ 1024) - 1024))),
        "varchar" | "bpchar" => PgType::Text(length),
        "text" | "citext" => PgType::Text(None),
        "bytea" => PgType::Bytea,
        "date" => PgType::Date,
        "timestamp" => PgType::Timestamp,
        "timestamptz" => PgType::Timestamptz,
        "json" => PgType::Json,
        "jsonb" => PgType::Jsonb,
        "uuid" => PgType::Uuid,
        _ if !values.is_empty() => PgType::Enum(values.to_vec()),
        _ => PgType::Other,
    }
}

/// The kind that a workflow says for a column of this type.
fn word(kind: &PgType) -> Kind {
    match kind {
        PgType::Boolean => Kind::Boolean,
        PgType::Int2 | PgType::Int4 | PgType::Int8 => Kind::Integer,
        PgType::Float4 | PgType::Float8 => Kind::Float,
        PgType::Numeric(_) => Kind::Decimal,
        PgType::Text(_) | PgType::Other => Kind::Text,
        PgType::Enum(_) => Kind::Enum,
        PgType::Bytea => Kind::Bytes,
        PgType::Date => Kind::Date,
        PgType::Timestamp | PgType::Timestamptz => Kind::Timestamp,
        PgType::Json | PgType::Jsonb => Kind::Json,
        PgType::Uuid => Kind::Uuid,
        PgType::Array(..) => Kind::Array,
    }
}

fn fits(kind: Kind, of: Option<Kind>, live: &PgType) -> bool {
    match (kind, live) {
        (Kind::Integer, PgType::Numeric(_)) | (Kind::Enum, PgType::Text(_)) => true,
        (Kind::Array, PgType::Array(live, _)) => of.is_some_and(|of| fits(of, None, live)),
        (_, PgType::Other) => false,
        (kind, live) => kind == word(live),
    }
}

/// Looks whether the table is what the plan takes it for, and makes what is missing. One session at a time: two that make the same
/// table at once would get into each other's way.
pub(super) async fn lay_out(connection: &mut PostgresConnection, plan: &Plan) -> Result<(Layout, PostgresEncoder), DbError> {
    connection.query("SELECT pg_advisory_lock(hashtext('fanfold makes tables'), 0)").await?;
    let laid_out = lay_out_alone(connection, plan).await;
    connection.query("SELECT pg_advisory_unlock(hashtext('fanfold makes tables'), 0)").await?;
    laid_out
}

async fn lay_out_alone(connection: &mut PostgresConnection, plan: &Plan) -> Result<(Layout, PostgresEncoder), DbError> {
    let table = name(plan.schema.as_deref(), &plan.table);
    let mut live = look(connection, &table).await?;
    if live.is_empty() && plan.create_table {
        connection.execute(&create(plan, &table)).await?;
        live = look(connection, &table).await?;
    }
    if live.is_empty() {
        let detail = format!("there is no table `{}`; make it, or let the import make it by `create_table: true`", plan.shown());
        return Err(DbError::surroundings(detail));
    }
    let all: Vec<LiveColumn> = live.iter().map(|column| column.live.clone()).collect();
    let found = places(&plan.shown(), &plan.columns, &all).map_err(DbError::surroundings)?;
    let mut wrong = Vec::new();
    let mut columns = Vec::new();
    for (column, at) in plan.columns.iter().zip(found) {
        let PgColumn { live, kind } = &live[at];
        if !fits(column.kind, column.of, kind) {
            wrong.push(misfit(column, live, kind));
        }
        columns.push((kind.clone(), live.not_null));
    }
    if !wrong.is_empty() {
        return Err(DbError::surroundings(wrong.join("; ")));
    }
    let schema = usable(connection, plan, &table).await?;
    if !plan.key.is_empty() {
        unique_key(connection, plan, &table).await?;
    }
    if plan.mode == Mode::Replace {
        replaceable(connection, plan, &table).await?;
    }
    let beside = |name: &str| format!("{}.{}", quoted(&schema), quoted(name));
    let key_columns: Vec<String> = plan.key.iter().map(|at| quoted(&plan.columns[*at].name)).collect();
    let mut layout = Layout {
        table: beside(&plan.table),
        stage: beside(&plan.stage_name()),
        batches: beside("fanfold_batches"),
        run: literal(&plan.run),
        columns: plan.columns.iter().map(|column| quoted(&column.name)).collect(),
        keys: key_columns.clone(),
        key_columns,
        staged: plan.staged(),
        types: None,
        alone: plan.one_of_many.then(|| format!("SELECT pg_advisory_xact_lock(hashtext({}), -1)", literal(&plan.run))),
    };
    // Asked first: making a table needs a right that using it does not.
    for (made, sql) in [(&layout.batches, Some(layout.batches_sql())), (&layout.stage, layout.staged.then(|| layout.stage_sql()))]
    {
        let Some(sql) = sql else { continue };
        let there = connection.query(&format!("SELECT to_regclass({})", literal(made))).await?;
        if there.first().and_then(|row| row.first()).is_none_or(Option::is_none) {
            connection.execute(&sql).await.map_err(|mut error| {
                error.text = format!("{made} cannot be made, in which the import notes what it wrote: {}", error.text);
                error
            })?;
        }
    }
    if layout.staged {
        as_staged(&mut columns, plan, &look(connection, &layout.stage).await?)?;
    } else {
        layout.types = Some(types(connection, &layout.table, plan).await?);
    }
    Ok((layout, PostgresEncoder { columns, staged: plan.staged() }))
}

/// Values are written as the run's own table takes them. It may be of an earlier session, and the table's types others since: what
/// is in it is made into them at the end.
fn as_staged(columns: &mut [(PgType, bool)], plan: &Plan, stage: &[PgColumn]) -> Result<(), DbError> {
    for (column, (kind, _)) in plan.columns.iter().zip(columns.iter_mut()) {
        match stage.iter().find(|staged| staged.live.name == column.name) {
            Some(staged) => *kind = staged.kind.clone(),
            None => return Err(super::layout::staged_without(&column.name)),
        }
    }
    Ok(())
}

/// What asks for the types of the columns that are written, and what it says.
async fn types(connection: &mut PostgresConnection, table: &str, plan: &Plan) -> Result<(String, String), DbError> {
    let written: Vec<String> = plan.columns.iter().map(|column| literal(&column.name)).collect();
    let sql = format!(
        "SELECT string_agg(concat_ws(' ', attname, atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = to_regclass({}) AND NOT attisdropped AND attname = ANY (ARRAY[{}])",
        literal(table),
        written.join(", ")
    );
    let said = connection.query(&sql).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten());
    Ok((sql, said.unwrap_or_default()))
}

fn misfit(column: &Column, live: &LiveColumn, kind: &PgType) -> String {
    let says = column.kind.word();
    if *kind == PgType::Other {
        return format!("`{}` is {} in the table, which is not known here", column.name, live.shown);
    }
    let of = live.of.map(|of| format!(", `of: {}`", of.word())).unwrap_or_default();
    format!("`{}` is {} in the table and `{says}` in the workflow; say `type: {}`{of}", column.name, live.shown, live.kind.word())
}

/// The schema of the table, if rows can be put into it.
async fn usable(connection: &mut PostgresConnection, plan: &Plan, table: &str) -> Result<String, DbError> {
    let sql = format!(
        "SELECT n.nspname, c.relkind IN ('r', 'p') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.oid = to_regclass({})",
        literal(table)
    );
    let rows = connection.query(&sql).await?;
    let text = |at: usize| rows.first().and_then(|row| row.get(at)).and_then(Option::as_deref).unwrap_or_default();
    if text(1) != "t" {
        return Err(DbError::surroundings(format!("`{}` is not a table", plan.shown())));
    }
    let schema = text(0).to_string();
    let all = 0..plan.columns.len();
    let updated: Vec<usize> = match plan.mode {
        Mode::Upsert => all.clone().filter(|at| !plan.key.contains(at)).collect(),
        Mode::Append | Mode::Replace => Vec::new(),
    };
    may(connection, plan, table, "INSERT", &all.clone().collect::<Vec<_>>()).await?;
    may(connection, plan, table, "UPDATE", &updated).await?;
    if plan.staged() {
        may(connection, plan, table, "SELECT", &all.collect::<Vec<_>>()).await?;
    }
    Ok(schema)
}

/// Whether one may do this with these columns.
async fn may(
    connection: &mut PostgresConnection,
    plan: &Plan,
    table: &str,
    right: &str,
    columns: &[usize],
) -> Result<(), DbError> {
    let columns: Vec<String> = columns.iter().map(|at| literal(&plan.columns[*at].name)).collect();
    let sql = format!(
        "SELECT current_user, string_agg('`' || x || '`', ', ') FROM unnest(ARRAY[{}]::text[]) AS x \
         WHERE NOT has_column_privilege(to_regclass({}), x, '{right}')",
        columns.join(", "),
        literal(table)
    );
    match connection.query(&sql).await?.first().map(Vec::as_slice) {
        Some([Some(user), Some(columns)]) => Err(DbError::surroundings(format!(
            "`{user}` has no right to {right} {columns} of `{}`: GRANT {right} gives it",
            plan.shown()
        ))),
        _ => Ok(()),
    }
}

/// There must be a unique index over exactly the key.
async fn unique_key(connection: &mut PostgresConnection, plan: &Plan, table: &str) -> Result<(), DbError> {
    let names: Vec<&str> = plan.key.iter().map(|at| plan.columns[*at].name.as_str()).collect();
    let wanted: Vec<String> = names.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "SELECT 1 FROM pg_index AS i WHERE i.indrelid = to_regclass({}) AND i.indisunique AND i.indisvalid AND i.indimmediate \
         AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE \"C\") \
         FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k) \
         = (SELECT array_agg(x ORDER BY x COLLATE \"C\") FROM unnest(ARRAY[{}]::text[]) AS x) LIMIT 1",
        literal(table),
        wanted.join(", ")
    );
    if !connection.query(&sql).await?.is_empty() {
        return Ok(());
    }
    Err(DbError::surroundings(format!(
        "`{}` has no unique index over {}, which `conflict_key` needs; CREATE UNIQUE INDEX makes one",
        plan.shown(),
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    )))
}

/// Whether taking all rows out would do nothing else, and is allowed.
async fn replaceable(connection: &mut PostgresConnection, plan: &Plan, table: &str) -> Result<(), DbError> {
    let (own, shown) = (format!("to_regclass({})", literal(table)), plan.shown());
    let by = format!(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confrelid = {own} AND conrelid <> {own} LIMIT 1"
    );
    let trigger = format!("SELECT tgname FROM pg_trigger WHERE tgrelid = {own} AND NOT tgisinternal LIMIT 1");
    for (sql, what) in [(by, "is referenced by the table"), (trigger, "has the trigger")] {
        if let Some(Some(name)) = connection.query(&sql).await?.first().and_then(|row| row.first()) {
            return Err(DbError::surroundings(format!(
                "`{shown}` {what} `{name}`, so its rows cannot be replaced; `mode: upsert` leaves them where they are"
            )));
        }
    }
    let allowed = connection.query(&format!("SELECT has_table_privilege({own}, 'TRUNCATE'), current_user")).await?;
    match allowed.first().map(Vec::as_slice) {
        Some([Some(may), Some(user)]) if may != "t" => {
            Err(DbError::surroundings(format!("`{user}` may not replace the rows of `{shown}`: GRANT TRUNCATE lets it")))
        }
        _ => Ok(()),
    }
}

fn create(plan: &Plan, table: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (at, column) in plan.columns.iter().enumerate() {
        let name = quoted(&column.name);
        let declared = match column.kind {
            Kind::Array => format!("{}[]", declared(column.of.unwrap_or(Kind::Text), column.zoned)),
            kind => declared(kind, column.zoned).to_string(),
        };
        let check = if column.kind == Kind::Enum {
            let values: Vec<String> = column.values.iter().map(|value| literal(value)).collect();
            format!(" CHECK ({name} IN ({}))", values.join(", "))
        } else {
            String::new()
        };
        let not_null = if plan.key.contains(&at) { " NOT NULL" } else { "" };
        parts.push(format!("{name} {declared}{not_null}{check}"));
    }
    if !plan.key.is_empty() {
        let key: Vec<String> = plan.key.iter().map(|at| quoted(&plan.columns[*at].name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    format!("CREATE TABLE {table} ({})", parts.join(", "))
}

fn declared(kind: Kind, zoned: bool) -> &'static str {
    match kind {
        Kind::Text | Kind::Enum | Kind::Array => "text",
        Kind::Integer => "bigint",
        Kind::Decimal => "numeric",
        Kind::Float => "double precision",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp if zoned => "timestamptz",
        Kind::Timestamp => "timestamp",
        Kind::Json => "jsonb",
        Kind::Uuid => "uuid",
        Kind::Bytes => "bytea",
    }
}
