//! [`Breaker`]: whether a host that answers now and then is in too much trouble to be called.

use std::time::Duration;

/// How far back is looked, in parts of a second each.
const SECONDS: usize = 10;

/// Fewer calls than these in that time say nothing.
const CALLS: u32 = 20;

/// What was heard in the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    parts: [Part; SECONDS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Which second it is.
    second: u64,
    calls: u32,
    bad: u32,
}

impl Breaker {
    /// Counts a call. `true`: at least half of at least twenty calls were bad, and it begins anew.
    pub fn count(&mut self, now: Duration, bad: bool) -> bool {
        let second = now.as_secs();
        let part = &mut self.parts[second as usize % SECONDS];
        if part.second != second {
            *part = Part { second, ..Part::default() };
        }
        part.calls += 1;
        part.bad += u32::from(bad);
        if !bad {
            return false;
        }
        let (calls, bad) = self.recent(second).fold((0, 0), |(calls, bad), part| (calls + part.calls, bad + part.bad));
        let open = calls >= CALLS && bad * 2 >= calls;
        if open {
            *self = Self::default();
        }
        open
    }

    /// Calls a second just now: the busier of this second and the one before, at least 1.
    pub fn pace(&self, now: Duration) -> f64 {
        let second = now.as_secs();
        self.recent(second).filter(|part| part.second + 2 > second).map(|part| part.calls).max().unwrap_or_default().max(1).into()
    }

    fn recent(&self, second: u64) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.second + SECONDS as u64 > second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(1000.0 + seconds)
    }

    #[test]
    fn half_of_twenty_in_ten_seconds_opens_it_and_nothing_less() {
        let mut breaker = Breaker::default();
        assert!((0..19).all(|_| !breaker.count(at(0.5), true)));
        assert!(breaker.count(at(9.9), true));
        assert!(!breaker.count(at(9.9), true), "it begins anew");
        let mut breaker = Breaker::default();
        assert!((0..19).all(|_| !breaker.count(at(0.5), true)));
        assert!(!breaker.count(at(10.1), true), "those of ten seconds ago are forgotten");
        let mut breaker = Breaker::default();
        assert!((0..1000).all(|n| !breaker.count(at(f64::from(n) * 0.01), n % 5 < 2)), "two fifths are borne");
        assert_eq!(breaker.pace(at(9.999)), 100.0);
    }
}
