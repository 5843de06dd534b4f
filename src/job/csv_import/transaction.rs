//! Rows and the note of them, in one transaction: [`write`], and what was noted: [`notes`].

use std::borrow::Cow;

use super::connection::{Connection, DbError, DbErrorKind};
use super::layout::{Layout, literal};
use super::ranges::Ranges;
use super::rows::Rows;
use super::stride::Stride;
use super::target::Refused;

/// Writes rows and the note of them, in as few transactions as there can be. In one, unless a constraint is only looked at when
/// it is committed: then those rows are looked for by parts.
pub(super) async fn write<C: Connection>(
    connection: &mut C,
    layout: &Layout,
    rows: &Rows,
    again: bool,
) -> Result<Refused, DbError> {
    let mut refused = Vec::new();
    let mut stride = Stride::over(rows.len());
    while let Some(range) = stride.next() {
        let part = match range.len() == rows.len() {
            true => Cow::Borrowed(rows),
            false => Cow::Owned(rows.only(|row| range.contains(&row))),
        };
        let error = match transaction(connection, layout, &part, again).await {
            Ok(more) => {
                refused.extend(more);
                stride.taken(&range);
                continue;
            }
            Err(error) if error.kind == DbErrorKind::Transient => return Err(error),
            Err(error) => error,
        };
        // Without an answer to this nobody knows where it stands: that is for another try, and no row's fault.
        connection.execute("ROLLBACK").await.map_err(|lost| lost.not_a_row(DbErrorKind::Transient))?;
        if error.kind != DbErrorKind::Row {
            return Err(error);
        }
        if let Some(row) = stride.refused(&range, None) {
            refused.push((rows.items()[row], error.text));
        }
    }
    Ok(refused)
}

async fn transaction<C: Connection>(connection: &mut C, layout: &Layout, rows: &Rows, again: bool) -> Result<Refused, DbError> {
    connection.execute(C::BEGIN).await?;
    if let Some(alone) = &layout.alone {
        connection.query(alone).await.map_err(|error| error.not_a_row(DbErrorKind::Transient))?;
    }
    let written = if again || layout.alone.is_some() { written(connection, layout, rows).await? } else { Ranges::default() };
    let only;
    let rows = if written == Ranges::default() {
        rows
    } else {
        only = rows.only(|row| !written.has(rows.items()[row]));
        &only
    };
    let refused: Refused = if rows.is_empty() {
        Vec::new()
    } else {
        connection.load(rows).await?.into_iter().map(|(row, why)| (rows.items()[row], why)).collect()
    };
    let mut ranges: Ranges = rows.items().iter().copied().collect();
    refused.iter().for_each(|(item, _)| ranges.remove(*item));
    if let Some((first, last)) = ranges.span() {
        let sql =
            format!("INSERT INTO {} VALUES ({}, {first}, {last}, {})", layout.batches, layout.run, literal(&ranges.to_string()));
        // A note that is there means that these items were written just now: a further try sees that.
        connection.execute(&sql).await.map_err(|error| error.not_a_row(DbErrorKind::Transient))?;
    }
    crate::crash::point("before rows written");
    connection.execute("COMMIT").await?;
    crate::crash::point("after rows written");
    Ok(refused)
}

/// Which of the items around these are noted as written.
async fn written<C: Connection>(connection: &mut C, layout: &Layout, rows: &Rows) -> Result<Ranges, DbError> {
    let (Some(first), Some(last)) = (rows.items().iter().min(), rows.items().iter().max()) else { return Ok(Ranges::default()) };
    notes(connection, layout, &format!("AND first <= {last} AND last >= {first}")).await
}

/// The items that are noted as written.
pub(super) async fn notes<C: Connection>(connection: &mut C, layout: &Layout, which: &str) -> Result<Ranges, DbError> {
    let sql = format!("SELECT items FROM {} WHERE run = {} AND first >= 0 {which}", layout.batches, layout.run);
    let mut ranges = Ranges::default();
    for row in connection.query(&sql).await? {
        if let Some(Some(text)) = row.first() {
            ranges.merge(&Ranges::parse(text));
        }
    }
    Ok(ranges)
}
