//! Rows one by one inside of the server, where it refuses many: each undone for itself, without a word of the network in between.

use super::connection::{Connection, DbError, DbErrorKind};
use super::postgres::PostgresConnection;
use super::postgres_connect::kind_of;

/// What statements call the number of the row that they are run for.
pub(super) const ROW: &str = "fanfold_row_now";

/// Runs the statements for each of the rows that `rows`, a query, gives the numbers of; those that are refused, with the reason.
/// `None`: one may not do that here, and everything is as it was.
pub(super) async fn each(
    connection: &mut PostgresConnection,
    rows: &str,
    statements: &[String],
) -> Result<Option<Vec<(i64, String)>>, DbError> {
    connection.execute("SAVEPOINT fanfold_each").await?;
    let run = format!(
        "CREATE TEMPORARY TABLE fanfold_refused (number bigint, code text, why text);
         DO $fanfold$ DECLARE {ROW} bigint; fanfold_detail text; BEGIN
           FOR {ROW} IN {rows} LOOP BEGIN {};
           EXCEPTION WHEN OTHERS OR assert_failure THEN
             GET STACKED DIAGNOSTICS fanfold_detail = PG_EXCEPTION_DETAIL;
             INSERT INTO fanfold_refused VALUES ({ROW}, SQLSTATE, concat_ws(': ', SQLERRM, nullif(fanfold_detail, '')));
           END; END LOOP;
         END $fanfold$",
        statements.join("; ")
    );
    match connection.execute(&run).await {
        Ok(_) => {}
        Err(error) if error.kind == DbErrorKind::Transient => return Err(error),
        Err(_) => {
            connection.execute("ROLLBACK TO SAVEPOINT fanfold_each; RELEASE SAVEPOINT fanfold_each").await?;
            return Ok(None);
        }
    }
    let found = connection.query("SELECT number, code, why FROM fanfold_refused ORDER BY number").await?;
    connection.execute("DROP TABLE fanfold_refused; RELEASE SAVEPOINT fanfold_each").await?;
    let mut refused = Vec::with_capacity(found.len());
    for row in found {
        let [Some(number), Some(code), why] = row.as_slice() else { continue };
        let why = why.clone().unwrap_or_default();
        match kind_of(code) {
            DbErrorKind::Row => refused.extend(number.parse().ok().map(|number| (number, why))),
            kind => return Err(DbError { kind, text: why, row: None }),
        }
    }
    Ok(Some(refused))
}
