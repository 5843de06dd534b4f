//! [`Time`]: how long a worker may work, by Lambda's deadline and the end of its child.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use super::event::Child;

/// What of the time is kept for items that are under way when no other is begun any more: a fifth, within these bounds.
const FOR_ITEMS: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));

/// What of it is kept to write down what has ended and to answer: a tenth, within these bounds.
const FOR_THE_ANSWER: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(5));

/// What an express child needs behind the answer of its worker.
const FOR_THE_CHILD: Duration = Duration::from_secs(5);

/// An express child that has less left than this begins no other worker.
const FOR_ANOTHER: Duration = Duration::from_secs(15);

/// How long a worker may work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    pub began: Instant,
    pub began_ms: i64,
    /// No item is begun behind this.
    pub last_begin: Instant,
    /// What is under way then is given up.
    pub end: Instant,
    /// When the child ends, whatever happens.
    child_end: Option<Instant>,
}

impl Time {
    /// `deadline_ms` is Lambda's, in milliseconds since 1970.
    pub fn of(deadline_ms: u64, child: &Child) -> Self {
        Self::from(Instant::now(), now_ms(), deadline_ms, child)
    }

    /// The same of a worker that begins at this time.
    fn from(began: Instant, began_ms: i64, deadline_ms: u64, child: &Child) -> Self {
        let left = |until_ms: i64| Duration::from_millis(u64::try_from(until_ms.saturating_sub(began_ms)).unwrap_or(0));
        let for_lambda = left(i64::try_from(deadline_ms).unwrap_or(i64::MAX));
        let for_child = child.ends_after.and_then(|seconds| {
            let started = OffsetDateTime::parse(child.started.as_deref()?, &Rfc3339).ok()?;
            let started_ms = i64::try_from(started.unix_timestamp_nanos() / 1_000_000).ok()?;
            Some(left(started_ms.saturating_add(i64::try_from(seconds.saturating_mul(1000)).ok()?)))
        });
        // A child that does not say when it began is taken to begin now.
        let for_child = for_child.or_else(|| child.ends_after.map(Duration::from_secs));
        let total = for_child.map_or(for_lambda, |child| for_lambda.min(child.saturating_sub(FOR_THE_CHILD)));
        let kept =
            |share: u32, (least, most): (Duration, Duration)| began + total.saturating_sub((total / share).clamp(least, most));
        Self {
            began,
            began_ms,
            last_begin: kept(5, FOR_ITEMS),
            end: kept(10, FOR_THE_ANSWER),
            child_end: for_child.map(|child| began + child),
        }
    }

    /// Whether the child can begin another worker at this time.
    pub fn can_go_on_at(&self, at: Instant) -> bool {
        self.child_end.is_none_or(|end| at + FOR_ANOTHER <= end)
    }

    /// Whether its child goes on for as long as is needed.
    pub fn is_standard(&self) -> bool {
        self.child_end.is_none()
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// A time as Step Functions reads it, in whole seconds, none sooner.
pub(super) fn rfc3339(ms: i64) -> String {
    let seconds = ms.saturating_add(999).div_euclid(1000);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // A year of four digits cannot fail to be written.
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(time: Time) -> [f64; 2] {
        [time.last_begin, time.end].map(|at| (at - time.began).as_secs_f64().round())
    }

    #[test]
    fn time_is_kept_for_what_is_under_way_and_for_the_answer() {
        const NOW: i64 = 1_795_440_000_000;
        let of = |seconds: i64, child: &Child| Time::from(Instant::now(), NOW, (NOW + seconds * 1000) as u64, child);
        let standard = of(900, &Child::default());
        assert_eq!(seconds(standard), [870.0, 895.0]);
        assert!(standard.is_standard() && standard.can_go_on_at(Instant::now() + Duration::from_secs(86_400)));
        assert_eq!(seconds(of(10, &Child::default())), [8.0, 9.0]);
        let started = Some(rfc3339(NOW - 100_000));
        let express = of(900, &Child { started, ends_after: Some(300), ..Child::default() });
        assert_eq!(seconds(express), [165.0, 190.0], "200 s are left of the child");
        assert!(express.can_go_on_at(express.began + Duration::from_secs(180)));
        assert!(!express.can_go_on_at(express.began + Duration::from_secs(190)));
        assert_eq!(seconds(of(-5, &Child::default())), [0.0, 0.0]);
    }
}
