//! [`Statuses`]: how every item stood when a session began, in half a byte each.

use std::sync::atomic::{AtomicU8, Ordering};

use super::record::Record;
use super::resolve::GIVEN_UP;
use crate::error::Result;
use crate::outcome::ItemStatus;

/// Ranges that are read from the record at once.
const PAGE: u32 = 1024;

/// The status of every item. One that was given up by a person counts as skipped: its lane goes on behind it.
#[derive(Debug)]
pub(super) struct Statuses(Vec<AtomicU8>);

impl Statuses {
    /// As the record says now.
    pub fn load(record: &Record) -> Result<Self> {
        let counts = record.counts()?;
        let none = || AtomicU8::new(0);
        let statuses = Self(std::iter::repeat_with(none).take(counts.total.div_ceil(2) as usize).collect());
        if counts.ended() == 0 {
            return Ok(statuses);
        }
        let mut after = None;
        loop {
            let page = record.batches(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.first);
            for range in page.iter().filter(|range| range.ended > 0) {
                for n in (0..range.count).filter(|n| range.is_done(*n)) {
                    statuses.set(range.first + u64::from(n), ItemStatus::Succeeded);
                }
            }
        }
        record.each_exception(|item, status| statuses.set(item, status))?;
        Ok(statuses)
    }

    /// How the item stood; one that does not exist is pending.
    pub fn of(&self, item: u64) -> ItemStatus {
        let both = self.0.get((item / 2) as usize).map_or(0, |byte| byte.load(Ordering::Relaxed));
        ItemStatus::from_number(if item.is_multiple_of(2) { both & 15 } else { both >> 4 }).unwrap_or(ItemStatus::Pending)
    }

    /// Says how it stands now. Only one thread does so.
    pub fn set(&self, item: u64, status: ItemStatus) {
        let Some(byte) = self.0.get((item / 2) as usize) else { return };
        let both = byte.load(Ordering::Relaxed);
        let status = status as u8;
        byte.store(if item.is_multiple_of(2) { both & 0xf0 | status } else { both & 15 | status << 4 }, Ordering::Relaxed);
    }

    /// Sets all of them as the record says now. Nobody sees anything between then and now.
    pub fn load_again(&self, record: &Record) -> Result<()> {
        for (old, new) in self.0.iter().zip(&Self::load(record)?.0) {
            old.store(new.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sets it as the record says now.
    pub fn look_again(&self, record: &Record, item: u64) -> Result<()> {
        let Some(range) = record.batch_of(item)? else { return Ok(()) };
        let done = range.is_done((item - range.first) as u32);
        let exception = record.exceptions(item, 1)?.remove(&item).map(|row| match row.error.as_deref() {
            Some(GIVEN_UP) => ItemStatus::Skipped,
            _ => row.status,
        });
        let plain = if done { ItemStatus::Succeeded } else { ItemStatus::Pending };
        self.set(item, exception.unwrap_or(plain));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::record::set_outcome;
    use crate::outcome::{Failure, Outcome};

    #[test]
    fn the_map_is_what_the_record_says() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::create(&folder.path().join("run.db")).unwrap();
        record
            .write("be written", |db| {
                db.execute("INSERT INTO batches VALUES (0, 5, 0, 5, NULL), (5, 6, 40, 3, x'07')", [])?;
                set_outcome(db, 1, &Outcome::Failed(Failure::new("A", "no")), 1, 0, None)?;
                set_outcome(db, 6, &Outcome::Unknown(Failure::new("A", "no")), 1, 0, None)?;
                set_outcome(db, 7, &Outcome::Blocked("behind".into()), 1, 0, None)
            })
            .unwrap();
        let statuses = Statuses::load(&record).unwrap();
        use ItemStatus::{Blocked, Failed, Pending, Succeeded, Unknown};
        let all: Vec<_> = (0..12).map(|item| statuses.of(item)).collect();
        let (s, p) = (Succeeded, Pending);
        assert_eq!(all, [s, Failed, s, s, s, s, Unknown, Blocked, p, p, p, p]);
        record.write("be written", |db| set_outcome(db, 8, &Outcome::Skipped("x".into()), 1, 0, None)).unwrap();
        statuses.look_again(&record, 8).unwrap();
        statuses.look_again(&record, 9).unwrap();
        assert_eq!([statuses.of(8), statuses.of(9), statuses.of(7)], [ItemStatus::Skipped, p, Blocked]);
    }
}
