//! The end of a run whose job has something to do once every item has ended: [`Job::finish`](crate::Job::finish).

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Transaction, params};

use super::record::{Record, set_fact, set_outcome};
use super::run::Run;
use super::session::Session;
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::item::ItemKey;
use crate::job::{Amended, AnyJob, Ending, EndingPort, JobError};
use crate::outcome::{ItemStatus, Outcome};
use crate::reader::Selection;

/// The fact that the job has not finished the run: from the first session on, and again from a redrive on.
pub(super) const UNFINISHED: &str = "unfinished";

/// Notes that there will be something to finish.
pub(super) fn will_finish(db: &Transaction<'_>) -> rusqlite::Result<()> {
    set_fact(db, UNFINISHED, &true)
}

impl Run {
    /// Whether the job has still to finish the run, though every item has ended.
    pub(super) fn is_unfinished(&self) -> Result<bool> {
        Ok(self.kind.finishes && self.record.counts()?.pending == 0 && self.record.fact::<bool>(UNFINISHED)?.is_some())
    }

    /// Lets the job finish the run.
    pub(super) async fn finish(&mut self, job: &Arc<dyn AnyJob>, session: &Session) -> Result<()> {
        let settings = &self.bound.settings;
        let input = self.input()?.ok_or_else(|| Error::bug("a run without a list is at its end"))?;
        let port = Port {
            record: Mutex::new(Record::open(&self.folder.record_path())?),
            observer: Arc::clone(&session.observer),
            selection: Selection::new(&settings.items, &input, &self.bound.params),
            hides: !settings.redact.is_empty(),
        };
        let ending = Ending { counts: Mutex::new(self.record.counts()?), tolerance: settings.tolerated_failure, port: &port };
        job.finish(&ending).await.map_err(|error| {
            Error::surroundings(format!("the end of the run: {}", error.cause()))
                .hint("what is done stays; put it right, then resume")
        })?;
        self.record.write("be written", |db| db.execute("DELETE FROM facts WHERE name = ?1", [UNFINISHED]).map(drop))
    }
}

struct Port {
    record: Mutex<Record>,
    observer: Arc<dyn Observer>,
    selection: Selection,
    /// Whether there are values that nobody may see: a database's words may have them.
    hides: bool,
}

impl Port {
    fn show(&self, item: u64, name: Option<String>, outcome: Outcome, attempts: u32) {
        let Outcome::Failed(mut failure) = outcome else { return };
        if self.hides {
            failure.cause = "`fanfold results --failed` says why".to_string();
        }
        let key = name.map_or_else(|| self.selection.position(item), ItemKey::Name);
        self.observer.see(&Event::Item { key, outcome: Outcome::Failed(failure), attempts });
    }
}

impl EndingPort for Port {
    fn amend(&self, outcomes: Vec<(u64, Outcome)>) -> Amended<'_> {
        Box::pin(async move {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            let written = record.write("be written", |db| {
                outcomes.iter().map(|(item, outcome)| amend(db, *item, outcome)).collect::<rusqlite::Result<Vec<_>>>()
            });
            let known = written.map_err(|error| JobError::surroundings(error.to_string()))?;
            for ((item, outcome), (attempts, name)) in outcomes.into_iter().zip(known) {
                self.show(item, name, outcome, attempts);
            }
            Ok(())
        })
    }

    fn failed(&self, after: Option<u64>, most: usize) -> Result<Vec<u64>, JobError> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let found = record.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT item FROM outcomes WHERE status = ?1 AND item > ?2 ORDER BY item LIMIT ?3")?;
            let after = after.map_or(-1, |item| item as i64);
            let rows = statement.query_map(params![ItemStatus::Failed as u8, after, most as i64], |row| row.get::<_, i64>(0))?;
            rows.map(|item| item.map(|item| item as u64)).collect()
        });
        found.map_err(|error| JobError::surroundings(error.to_string()))
    }

    fn tell(&self, text: String) {
        self.observer.see(&Event::Warning(text));
    }
}

/// Over what is recorded of the item; its tries and redrives stay. Gives the tries, and its name if it has one.
fn amend(db: &Transaction<'_>, item: u64, outcome: &Outcome) -> rusqlite::Result<(u32, Option<String>)> {
    let known = {
        let mut statement = db.prepare_cached("SELECT attempts, redrive, key FROM outcomes WHERE item = ?1")?;
        let mut rows = statement.query([item as i64])?;
        rows.next()?.map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?, row.get(2)?))).transpose()?
    };
    // Without a row of its own it succeeded at the first try.
    let (attempts, redrive, key): (u32, u32, Option<String>) = known.unwrap_or((1, 0, None));
    set_outcome(db, item, outcome, attempts, redrive, key.as_deref())?;
    Ok((attempts, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    #[test]
    fn an_amended_outcome_is_counted_once_and_keeps_its_tries() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::create(&folder.path().join("run.db")).unwrap();
        record.write("be written", |db| db.execute("INSERT INTO batches VALUES (0, 9, 0, 9, NULL)", [])).unwrap();
        for _ in 0..2 {
            record.write("be written", |db| amend(db, 3, &Outcome::Skipped("later".into())).map(drop)).unwrap();
            record.write("be written", |db| amend(db, 4, &Outcome::Failed(Failure::new("A.B", "c"))).map(drop)).unwrap();
        }
        let counts = record.counts().unwrap();
        assert_eq!((counts.succeeded, counts.skipped, counts.failed, counts.total), (7, 1, 1, 9));
        assert_eq!(record.attempts().unwrap(), 9);
    }
}
