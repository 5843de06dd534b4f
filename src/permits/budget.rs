//! [`Budget`]: how many of the calls may be retries.

use std::time::Duration;

/// Retries for each new call.
const SHARE: f64 = 0.1;

/// Retries a second that are always allowed.
const ALWAYS: f64 = 1.0;

/// The most that can be saved up, and what there is at first.
const MOST: f64 = 10.0;

/// Retries are at most a tenth of the calls and one a second more, so that they do not keep a host down that has trouble.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    counted: Duration,
}

impl Budget {
    pub fn new(now: Duration) -> Self {
        Self { left: MOST, counted: now }
    }

    /// A new call is made.
    pub fn earn(&mut self) {
        self.left = (self.left + SHARE).min(MOST);
    }

    /// When a retry may be made: now or later.
    pub fn ready(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.counted).as_secs_f64();
        self.counted = now.max(self.counted);
        self.left = (self.left + passed * ALWAYS).min(MOST);
        // A rounding error is not waited for.
        let missing = 1.0 - self.left;
        if missing < 1e-6 { now } else { now + Duration::from_secs_f64(missing / ALWAYS) }
    }

    /// A retry is made, even if it was not ready.
    pub fn spend(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_tenth_of_the_calls_and_one_a_second() {
        let mut now = Duration::from_secs(1);
        let mut budget = Budget::new(now);
        let (mut calls, mut retries) = (0, 0);
        for _ in 0..100 {
            for _ in 0..20 {
                budget.earn();
                calls += 1;
            }
            while budget.ready(now) <= now {
                budget.spend();
                retries += 1;
            }
            now += Duration::from_secs(1);
        }
        assert_eq!(calls, 2000);
        assert!((300..=312).contains(&retries), "{retries}");
    }
}
