//! [`Limiter`]: the arithmetic of a rate, by governor, on a state that somebody else keeps.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::rate::Rate;

/// How late a timer may wake us without the loss of a turn: a turn counts from when it was due, if that is no longer ago. Any
/// second has at most this share of turns more than limit and burst.
const GRAIN: Duration = Duration::from_millis(5);

/// The longest time between two calls, a day, times the most burst is still a number of nanoseconds.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Takes turns at a rate, one batch of them at one time.
pub(super) struct Limiter {
    governor: RateLimiter<NotKeyed, Kept, At, NoOpMiddleware<Duration>>,
    now: Duration,
}

impl Limiter {
    /// Goes on from `tat`, the theoretical arrival time that [`Limiter::tat`] gave; zero if there was none.
    pub fn new(rate: Rate, now: Duration, tat: Duration) -> Self {
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let every = Self::every(rate);
        // A slower rate may have been in force: it would have made nobody wait longer than this.
        let tat = tat.min(now + every * burst.get());
        let quota = Quota::with_period(every).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        // Made at time zero, so that what is kept is a time of the clock itself.
        let governor = RateLimiter::new(quota, Kept(Cell::new(tat)), At(Cell::new(Duration::ZERO)));
        Self { governor, now }
    }

    /// The time between two turns.
    pub fn every(rate: Rate) -> Duration {
        Duration::try_from_secs_f64(1.0 / rate.limit).unwrap_or(LONGEST).clamp(Duration::from_nanos(1), LONGEST)
    }

    /// Takes the turn of one who waits since then.
    ///
    /// # Errors
    /// When it is due.
    pub fn take(&self, since: Duration) -> Result<(), Duration> {
        let mut at = since.max(self.now.saturating_sub(GRAIN)).min(self.now);
        loop {
            self.governor.clock().0.set(at);
            match self.governor.check() {
                Ok(()) => return Ok(()),
                // Due within the grain: it is that turn that is taken, late.
                Err(not_until) if at < not_until.earliest_possible() && not_until.earliest_possible() <= self.now => {
                    at = not_until.earliest_possible();
                }
                Err(not_until) => return Err(not_until.earliest_possible()),
            }
        }
    }

    /// What is to be kept.
    pub fn tat(self) -> Duration {
        self.governor.into_state_store().0.get()
    }
}

/// The state, as long as it is in hand.
#[derive(Debug)]
struct Kept(Cell<Duration>);

impl StateStore for Kept {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let tat = self.0.get();
        let (answer, next) = f((!tat.is_zero()).then(|| tat.into()))?;
        self.0.set(next.into());
        Ok(answer)
    }
}

/// A clock that is told what time it is.
#[derive(Debug)]
struct At(Cell<Duration>);

impl Clock for At {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    /// Takes turns for `seconds` with a timer that wakes `late` after the time it was set to, and everyone always waiting.
    fn turns(rate: Rate, seconds: u64, late: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let (mut tat, mut now, mut given, mut wakes) = (Duration::ZERO, START, Vec::new(), 0);
        while now < START + Duration::from_secs(seconds) {
            let limiter = Limiter::new(rate, now, tat);
            let due = loop {
                match limiter.take(START) {
                    Ok(()) => given.push(now),
                    Err(due) => break due,
                }
            };
            tat = limiter.tat();
            wakes += 1;
            now = due + late(wakes);
        }
        given
    }

    /// The most turns in any second.
    pub(super) fn most(given: &[Duration]) -> usize {
        let mut from = 0;
        (0..given.len())
            .map(|to| {
                while given[to] - given[from] >= Duration::from_secs(1) {
                    from += 1;
                }
                to - from + 1
            })
            .max()
            .unwrap_or_default()
    }

    #[test]
    fn a_late_timer_loses_no_turn_and_no_second_has_too_many() {
        for (limit, burst) in [(50.0, 1), (50.0, 5), (1000.0, 1), (1000.0, 10), (10_000.0, 1), (10_000.0, 100)] {
            let given = turns(Rate { limit, burst }, 8, |wake| Duration::from_micros((wake as u64 * 7919) % 4000));
            let wanted = limit * 8.0;
            assert!(
                (given.len() as f64 - wanted).abs() <= wanted * 0.01 + f64::from(burst) + 1.0,
                "{limit} {burst}: {}",
                given.len()
            );
            let most = most(&given) as f64;
            assert!(most <= limit * 1.006 + f64::from(burst), "{limit} {burst}: {most} in a second");
        }
    }

    #[test]
    fn what_was_not_used_is_not_made_up_for() {
        let rate = Rate { limit: 100.0, burst: 5 };
        let limiter = Limiter::new(rate, START, Duration::ZERO);
        assert_eq!((0..50).filter(|_| limiter.take(START).is_ok()).count(), 5, "a run does not begin with more than its burst");
        let tat = limiter.tat();
        let later = START + Duration::from_secs(60);
        let limiter = Limiter::new(rate, later, tat);
        assert_eq!((0..50).filter(|_| limiter.take(later).is_ok()).count(), 5, "nor goes on with more");
    }

    #[test]
    fn one_of_many_begins_with_nothing_saved_up_and_at_a_time_of_its_own() {
        let rate = Rate { limit: 2.0, burst: 5 };
        let began = super::super::state::HostState::nothing_saved(rate, 0.5, START);
        let at = |millis| {
            let limiter = Limiter::new(rate, START + Duration::from_millis(millis), began.tat);
            (0..9).filter(|_| limiter.take(START).is_ok()).count()
        };
        assert_eq!([at(0), at(249), at(250), at(749), at(750), at(10_000)], [0, 0, 1, 1, 2, 5]);
    }

    #[test]
    fn a_slower_rate_than_now_is_not_waited_for() {
        let limiter = Limiter::new(Rate { limit: 1.0 / 3600.0, burst: 1 }, START, Duration::ZERO);
        limiter.take(START).unwrap();
        let tat = limiter.tat();
        assert_eq!(tat, START + Duration::from_secs(3600));
        let faster = Limiter::new(Rate { limit: 10.0, burst: 1 }, START, tat);
        assert_eq!(faster.take(START), Err(START + Duration::from_millis(100)));
    }
}
