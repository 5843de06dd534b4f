//! [`Waits`]: how long to wait before each further try. The only file that names the `backoff` crate, and only its arithmetic:
//! no clock, no sleep, no randomness of its own. The draw for full jitter is an argument.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

use crate::retry::{Jitter, Retry};

/// The waits of one item, in order.
#[derive(Debug)]
pub(super) struct Waits {
    intervals: ExponentialBackoff,
    left: u32,
    jitter: Jitter,
}

impl Waits {
    pub fn new(retry: &Retry) -> Self {
        let intervals = ExponentialBackoffBuilder::new()
            .with_initial_interval(retry.initial_interval.min(retry.max_interval))
            .with_multiplier(retry.backoff_rate)
            .with_max_interval(retry.max_interval)
            // Its own jitter is half of the interval either way; ours is drawn below. Its own end is 15 minutes; ours is a count.
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { intervals, left: retry.max_retries, jitter: retry.jitter }
    }

    /// The next wait, or `None` when the retries are used up. `draw` is between 0 and 1.
    pub fn next(&mut self, draw: f64) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let interval = self.intervals.next_backoff()?;
        Some(match self.jitter {
            Jitter::Full => interval.mul_f64(draw.clamp(0.0, 1.0)),
            Jitter::None => interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(retry: &Retry, draw: f64) -> Vec<u128> {
        let mut waits = Waits::new(retry);
        std::iter::from_fn(|| waits.next(draw)).map(|wait| wait.as_millis()).collect()
    }

    #[test]
    fn the_defaults_double_from_half_a_second_five_times() {
        assert_eq!(waits(&Retry::default(), 1.0), [500, 1000, 2000, 4000, 8000]);
        assert_eq!(waits(&Retry::default(), 0.5), [250, 500, 1000, 2000, 4000]);
        assert_eq!(waits(&Retry::default(), 0.0), [0, 0, 0, 0, 0]);
    }

    #[test]
    fn no_wait_is_longer_than_the_longest_and_none_comes_without_retries() {
        let retry = Retry {
            initial_interval: Duration::from_secs(3),
            max_interval: Duration::from_secs(10),
            max_retries: 4,
            jitter: Jitter::None,
            ..Retry::default()
        };
        assert_eq!(waits(&retry, 0.1), [3000, 6000, 10_000, 10_000]);
        assert!(waits(&Retry { max_retries: 0, ..retry.clone() }, 1.0).is_empty());
        let short = Retry { max_interval: Duration::from_secs(1), ..retry };
        assert_eq!(waits(&short, 1.0), [1000; 4]);
    }
}
