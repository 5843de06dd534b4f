//! [`Merge`]: what was staged is put into the table at the end of the run, in one transaction: of every key the row that came last.
//!
//! # Crash safety
//! Three steps, each of which can be repeated. The merge and a mark of it (a note whose `first` is -1) are one commit. Then what came
//! of it is put into the run's record: rows that a later one took the place of are skipped, those that the table refused are failed.
//! Then the run's own table and notes go, or, while there are failed items to redrive, it keeps the keys that are in the table.

use super::config::Mode;
use super::connection::{Connection, DbError, DbErrorKind, numbers};
use super::layout::{Layout, literal};
use super::plan::Plan;
use super::ranges::Ranges;
use super::stride::Stride;
use super::transaction;
use crate::job::{Ending, JobError};
use crate::outcome::{Failure, Outcome};

/// Outcomes that are amended at once.
const PAGE: usize = 50_000;

/// Refused rows of a part before the others of it are put in one by one.
const FEW: usize = 8;

/// Rows that are put in together once some of them are refused.
const PART: usize = 4096;

/// States of a staged row. A row that was refused in round `n` has the state `-n`.
const STAGED: i32 = 0;
const MERGED: i32 = 1;

/// The end of an import.
pub(super) struct Merge<'a, C> {
    pub connection: &'a mut C,
    pub layout: &'a Layout,
    pub plan: &'a Plan,
    pub ending: &'a Ending<'a>,
}

/// What the mark of a merge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The table has the rows.
    Merged,
    /// More rows were refused than is tolerated: the table is as it was.
    Kept,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Kept => "kept",
        }
    }
}

impl<C: Connection> Merge<'_, C> {
    /// Puts in what was staged, amends the record, and tidies up.
    pub async fn finish(mut self) -> Result<(), JobError> {
        self.put_right().await?;
        let redrivable = self.ending.counts().not_done() > 0;
        if !self.layout.staged {
            if !redrivable {
                self.forget().await?;
            }
            return Ok(());
        }
        let mark = match self.marked().await? {
            Some(mark) => mark,
            None => match self.merge().await? {
                Some(mark) => mark,
                // Nothing is staged: it is put in already, or there was nothing to put in.
                None if redrivable => return Ok(()),
                None => return Ok(self.forget().await?),
            },
        };
        let refused = self.amend_refused().await?;
        if mark == Mark::Merged {
            self.amend_replaced().await?;
        } else {
            self.tell_kept(refused.len() as u64);
        }
        crate::crash::point("after amended");
        self.tidy(mark, &refused, redrivable || !refused.is_empty()).await?;
        crate::crash::point("after tidied");
        Ok(())
    }

    /// Items that were given up, by `item_timeout`, while they were written, and were written nevertheless, have succeeded.
    async fn put_right(&mut self) -> Result<(), JobError> {
        if self.ending.counts().failed == 0 {
            return Ok(());
        }
        let written = transaction::notes(self.connection, self.layout, "").await?;
        if written == Ranges::default() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let failed = self.ending.failed(after, PAGE)?;
            let Some(last) = failed.last().copied() else { return Ok(()) };
            after = Some(last);
            let done: Vec<u64> = failed.into_iter().filter(|item| written.has(*item)).collect();
            if !done.is_empty() {
                self.ending.succeeded_after_all(&done).await?;
            }
        }
    }

    async fn marked(&mut self) -> Result<Option<Mark>, DbError> {
        let Layout { batches, run, .. } = self.layout;
        let rows = self.connection.query(&format!("SELECT items FROM {batches} WHERE run = {run} AND first = -1")).await?;
        let word = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        Ok(word.map(|word| if word == Mark::Kept.word() { Mark::Kept } else { Mark::Merged }))
    }

    /// `None`: the table stays as it is, and so does what was staged.
    async fn merge(&mut self) -> Result<Option<Mark>, DbError> {
        let staged = format!("SELECT 1 FROM {} WHERE fanfold_state = {STAGED} LIMIT 1", self.layout.stage);
        if self.connection.query(&staged).await?.is_empty() {
            if self.plan.mode == Mode::Replace && !self.has_staged().await? {
                // A replacement by nothing is more likely a mistake than meant.
                self.ending
                    .tell(format!("`{}` was not replaced: there is no row to put in place of its rows", self.plan.shown()));
            }
            return Ok(None);
        }
        if self.plan.mode == Mode::Replace && !self.ending.tolerates(0) {
            self.tell_kept(0);
            return Ok(None);
        }
        self.connection.execute(C::BEGIN).await?;
        let merged = self.rounds().await;
        let refused = match merged {
            Ok(refused) => refused,
            Err(error) => {
                // What went wrong is told, not that it could not be undone.
                let _ = self.connection.execute("ROLLBACK").await;
                return Err(error.not_a_row(DbErrorKind::Surroundings));
            }
        };
        if self.plan.mode == Mode::Replace && !self.ending.tolerates(refused.len() as u64) {
            self.connection.execute("ROLLBACK").await?;
            self.connection.execute(C::BEGIN).await?;
            self.index_items().await?;
            for (item, why) in &refused {
                self.refuse(*item, 1, why).await?;
            }
            return self.commit(Mark::Kept).await.map(Some);
        }
        self.commit(Mark::Merged).await.map(Some)
    }

    async fn commit(&mut self, mark: Mark) -> Result<Mark, DbError> {
        let Layout { batches, run, .. } = self.layout;
        self.connection.execute(&format!("INSERT INTO {batches} VALUES ({run}, -1, -1, {})", literal(mark.word()))).await?;
        crate::crash::point("before merged");
        self.connection.execute("COMMIT").await.map_err(|error| error.not_a_row(DbErrorKind::Surroundings))?;
        crate::crash::point("after merged");
        Ok(mark)
    }

    /// Puts in the last row of every key; where it is refused, the one before it, and so on.
    async fn rounds(&mut self) -> Result<Vec<(i64, String)>, DbError> {
        let Layout { stage, table, .. } = self.layout;
        let before = self.connection.query(&format!("SELECT 1 FROM {stage} WHERE fanfold_state = {MERGED} LIMIT 1")).await?;
        let was_merged = !before.is_empty();
        if self.plan.mode == Mode::Replace && !was_merged {
            self.connection.execute(&format!("{} {table}", C::EMPTY)).await?;
            crate::crash::point("after emptied");
        }
        let mut refused = Vec::new();
        let mut round = 0;
        loop {
            let found = self.round(round, was_merged).await?;
            if found.is_empty() {
                return Ok(refused);
            }
            refused.extend(found);
            if self.plan.key.is_empty() {
                return Ok(refused);
            }
            round += 1;
        }
    }

    async fn round(&mut self, round: u32, was_merged: bool) -> Result<Vec<(i64, String)>, DbError> {
        let which = self.which(round);
        // All of them at once, if they are what the table takes.
        self.connection.execute("SAVEPOINT fanfold_round").await?;
        match self.put_in(&which, was_merged).await {
            Ok(()) => {
                self.connection.execute("RELEASE SAVEPOINT fanfold_round").await?;
                return Ok(Vec::new());
            }
            Err(error) if error.kind == DbErrorKind::Row => {}
            Err(error) => return Err(error),
        }
        self.connection.execute("ROLLBACK TO SAVEPOINT fanfold_round; RELEASE SAVEPOINT fanfold_round").await?;
        // Then in order, by parts, down to each row that is refused.
        let items = format!("fanfold_items_{round}");
        let stage = &self.layout.stage;
        let make = format!("CREATE TEMPORARY TABLE {items} AS SELECT s.fanfold_item AS item FROM {stage} AS s WHERE {which}");
        self.connection.execute(&make).await?;
        self.connection.execute(&format!("CREATE UNIQUE INDEX {items}_index ON {items} (item)")).await?;
        self.index_items().await?;
        let mut refused = Vec::new();
        let mut after = -1;
        loop {
            let next = format!("SELECT item FROM {items} WHERE item > {after} ORDER BY item LIMIT {PART}");
            let part = numbers(self.connection, &next).await?;
            let Some(last) = part.last() else { break };
            after = *last;
            self.part(round, &items, &part, was_merged, &mut refused).await?;
        }
        self.connection.execute(&format!("DROP TABLE {items}")).await?;
        Ok(refused)
    }

    /// Puts in some of the rows of a round, all but those that are refused.
    async fn part(
        &mut self,
        round: u32,
        items: &str,
        part: &[i64],
        was_merged: bool,
        refused: &mut Vec<(i64, String)>,
    ) -> Result<(), DbError> {
        let mut stride = Stride::over(part.len());
        let (before, mut asked) = (refused.len(), false);
        while let Some(range) = stride.next() {
            if refused.len() == before + FEW && !asked {
                asked = true;
                let rows = format!(
                    "SELECT item FROM {items} WHERE item BETWEEN {} AND {} ORDER BY item",
                    part[range.start],
                    part[part.len() - 1]
                );
                let each = self.statements(&format!("s.fanfold_item = {}", C::ROW), was_merged);
                if let Some(found) = self.connection.each(&rows, &each).await? {
                    for (item, why) in found {
                        self.refuse(item, round + 1, &why).await?;
                        refused.push((item, why));
                    }
                    return Ok(());
                }
            }
            let (first, last) = (part[range.start], part[range.end - 1]);
            let between = format!("BETWEEN {first} AND {last}");
            // Said twice, so that whoever plans this sees that it is few of the staged rows.
            let which = format!("s.fanfold_item {between} AND s.fanfold_item IN (SELECT item FROM {items} WHERE item {between})");
            self.connection.execute("SAVEPOINT fanfold_part").await?;
            let error = match self.put_in(&which, was_merged).await {
                Ok(()) => {
                    self.connection.execute("RELEASE SAVEPOINT fanfold_part").await?;
                    stride.taken(&range);
                    continue;
                }
                Err(error) if error.kind == DbErrorKind::Row => error,
                Err(error) => return Err(error),
            };
            self.connection.execute("ROLLBACK TO SAVEPOINT fanfold_part; RELEASE SAVEPOINT fanfold_part").await?;
            if let Some(row) = stride.refused(&range, None) {
                self.refuse(part[row], round + 1, &error.text).await?;
                refused.push((part[row], error.text));
            }
        }
        Ok(())
    }

    async fn has_staged(&mut self) -> Result<bool, DbError> {
        let any = self.connection.query(&format!("SELECT 1 FROM {} LIMIT 1", self.layout.stage)).await?;
        Ok(!any.is_empty())
    }

    /// What finds a staged row by its item.
    async fn index_items(&mut self) -> Result<(), DbError> {
        let index = format!("CREATE INDEX IF NOT EXISTS {} ON {} (fanfold_item)", self.plan.index_name(), self.layout.stage);
        self.connection.execute(&index).await.map(drop)
    }

    /// The staged rows that a round puts in: the last of their key, and in a further round only where the one behind it was refused
    /// in the one before.
    fn which(&self, round: u32) -> String {
        let Layout { stage, keys, .. } = self.layout;
        let mut which = format!("s.fanfold_state = {STAGED}");
        if !keys.is_empty() {
            let keys = keys.join(", ");
            which.push_str(&format!(
                " AND s.fanfold_item IN (SELECT max(fanfold_item) FROM {stage} WHERE fanfold_state >= 0 GROUP BY {keys})"
            ));
        }
        if round > 0 {
            which.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM {stage} AS r WHERE r.fanfold_state = -{round} AND {})",
                self.same_key("r", "s")
            ));
        }
        which
    }

    fn same_key(&self, one: &str, other: &str) -> String {
        let Layout { keys, key_columns, .. } = self.layout;
        let same = key_columns.iter().zip(keys).map(|(column, compared)| format!("{one}.{column} = {other}.{compared}"));
        same.collect::<Vec<_>>().join(" AND ")
    }

    async fn put_in(&mut self, which: &str, was_merged: bool) -> Result<(), DbError> {
        for statement in self.statements(which, was_merged) {
            self.connection.execute(&statement).await?;
        }
        Ok(())
    }

    /// What puts these staged rows in.
    fn statements(&self, which: &str, was_merged: bool) -> Vec<String> {
        let Layout { stage, .. } = self.layout;
        match (self.plan.mode, self.layout.keys.is_empty()) {
            (_, true) => vec![self.insert(which, false)],
            (Mode::Upsert | Mode::Replace, false) => vec![self.insert(which, true)],
            // `append` leaves the rows of others alone, and updates those that this run put in before a redrive.
            (Mode::Append, false) if was_merged => {
                let same = self.same_key("m", "s");
                let own = format!("EXISTS (SELECT 1 FROM {stage} AS m WHERE m.fanfold_state = {MERGED} AND {same})");
                vec![self.insert(&format!("{which} AND {own}"), true), self.insert(&format!("{which} AND NOT {own}"), false)]
            }
            (Mode::Append, false) => vec![self.insert(which, false)],
        }
    }

    fn insert(&self, which: &str, update: bool) -> String {
        let Layout { table, stage, columns, key_columns, .. } = self.layout;
        let list = |prefix: &str| columns.iter().map(|column| format!("{prefix}{column}")).collect::<Vec<_>>().join(", ");
        let mut sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {stage} AS s WHERE {which} ORDER BY s.fanfold_item",
            list(""),
            list("s.")
        );
        if update {
            let others: Vec<String> = columns
                .iter()
                .filter(|column| !key_columns.contains(column))
                .map(|column| format!("{column} = excluded.{column}"))
                .collect();
            let action = if others.is_empty() { "NOTHING".to_string() } else { format!("UPDATE SET {}", others.join(", ")) };
            sql.push_str(&format!(" ON CONFLICT ({}) DO {action}", key_columns.join(", ")));
        }
        sql
    }

    async fn refuse(&mut self, item: i64, round: u32, why: &str) -> Result<(), DbError> {
        let sql = format!(
            "UPDATE {} SET fanfold_state = -{round}, fanfold_note = {} WHERE fanfold_item = {item} AND fanfold_state = {STAGED}",
            self.layout.stage,
            literal(&why.replace('\0', ""))
        );
        self.connection.execute(&sql).await.map(drop)
    }

    /// The rows that the table refused are failed.
    async fn amend_refused(&mut self) -> Result<Vec<u64>, JobError> {
        let sql = format!("SELECT fanfold_item, fanfold_note FROM {} WHERE fanfold_state < 0 ORDER BY 1", self.layout.stage);
        let mut refused = Vec::new();
        let mut outcomes = Vec::new();
        for row in self.connection.query(&sql).await? {
            let mut values = row.into_iter();
            let (Some(Some(item)), Some(note)) = (values.next(), values.next()) else { continue };
            let Ok(item) = item.parse::<u64>() else { continue };
            refused.push(item);
            outcomes.push((item, Outcome::Failed(Failure::new("Database.Constraint", note.unwrap_or_default()))));
        }
        for page in outcomes.chunks(PAGE) {
            self.ending.amend(page.to_vec()).await?;
        }
        Ok(refused)
    }

    /// The rows that a later one of the same key took the place of are skipped.
    async fn amend_replaced(&mut self) -> Result<(), JobError> {
        let Layout { stage, keys, .. } = self.layout;
        if keys.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = self.plan.key.iter().map(|at| format!("`{}`", self.plan.columns[*at].name)).collect();
        let named = named.join(", ");
        let grouped: Vec<String> = keys.iter().enumerate().map(|(at, key)| format!("{key} AS key{at}")).collect();
        let columns = &self.layout.key_columns;
        let same: Vec<String> = columns
            .iter()
            .zip(keys)
            .enumerate()
            .map(|(at, (column, key))| {
                // What follows the name says how the key is compared.
                format!("w.key{at} = s.{column}{}", key.strip_prefix(column.as_str()).unwrap_or_default())
            })
            .collect();
        let mut after = -1i64;
        loop {
            let sql = format!(
                "SELECT s.fanfold_item, w.item FROM {stage} AS s JOIN (SELECT {}, max(fanfold_item) AS item FROM {stage} \
                 WHERE fanfold_state >= 0 GROUP BY {}) AS w ON {} WHERE s.fanfold_state >= 0 AND s.fanfold_item < w.item \
                 AND s.fanfold_item > {after} ORDER BY 1 LIMIT {PAGE}",
                grouped.join(", "),
                keys.join(", "),
                same.join(" AND ")
            );
            let rows = self.connection.query(&sql).await?;
            let mut outcomes = Vec::with_capacity(rows.len());
            for row in rows {
                let mut numbers = row.into_iter().map(|value| value.and_then(|value| value.parse::<i64>().ok()));
                let (Some(Some(item)), Some(Some(by))) = (numbers.next(), numbers.next()) else { continue };
                after = item;
                outcomes.push((item.unsigned_abs(), Outcome::Skipped(format!("item {by} comes later and has the same {named}"))));
            }
            let last = outcomes.len() < PAGE;
            if !outcomes.is_empty() {
                self.ending.amend(outcomes).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    fn tell_kept(&self, refused: u64) {
        let counts = self.ending.counts();
        let failed = counts.not_done() + refused;
        self.ending.tell(format!(
            "`{}` was not replaced: {failed} of {} items failed, which is more than `tolerated_failure`; what was read is kept for a redrive",
            self.plan.shown(),
            counts.total
        ));
    }

    /// What the run needs no more goes; while there is something to redrive, the rows stay, so that a redriven one finds its place.
    async fn tidy(&mut self, mark: Mark, refused: &[u64], redrivable: bool) -> Result<(), DbError> {
        let Layout { stage, batches, run, .. } = self.layout;
        if !redrivable {
            return self.forget().await;
        }
        self.connection.execute(C::BEGIN).await?;
        if !refused.is_empty() {
            self.unwrite(refused).await?;
        }
        self.connection.execute(&format!("DELETE FROM {stage} WHERE fanfold_state < 0")).await?;
        if mark == Mark::Merged {
            self.connection
                .execute(&format!("UPDATE {stage} SET fanfold_state = {MERGED} WHERE fanfold_state = {STAGED}"))
                .await?;
        }
        self.connection.execute(&format!("DELETE FROM {batches} WHERE run = {run} AND first = -1")).await?;
        crate::crash::point("before tidied");
        self.connection.execute("COMMIT").await.map(drop)
    }

    /// Takes items out of the notes, so that a redrive writes them.
    async fn unwrite(&mut self, items: &[u64]) -> Result<(), DbError> {
        let Layout { batches, run, .. } = self.layout;
        let mut notes: Ranges = transaction::notes(self.connection, self.layout, "").await?;
        items.iter().for_each(|item| notes.remove(*item));
        self.connection.execute(&format!("DELETE FROM {batches} WHERE run = {run} AND first >= 0")).await?;
        if let Some((first, last)) = notes.span() {
            let text = literal(&notes.to_string());
            self.connection.execute(&format!("INSERT INTO {batches} VALUES ({run}, {first}, {last}, {text})")).await?;
        }
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), DbError> {
        let Layout { stage, batches, run, staged, .. } = self.layout;
        self.connection.execute(C::BEGIN).await?;
        if *staged {
            self.connection.execute(&format!("DROP TABLE IF EXISTS {stage}")).await?;
        }
        self.connection.execute(&format!("DELETE FROM {batches} WHERE run = {run}")).await?;
        crate::crash::point("before tidied");
        self.connection.execute("COMMIT").await.map(drop)
    }
}
