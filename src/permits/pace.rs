//! [`Cut`]: slower after a host said that it is called too fast, and back to the rate.

use std::time::Duration;

use crate::rate::Rate;

/// Each cut takes at least so much of the pace.
const CUT: f64 = 0.7;

/// And leaves at least so much of it: one pause that was too short is no measure.
const LEAST: f64 = 0.2;

/// How long it takes to come back to what the host was found to bear.
const LEVEL: Duration = Duration::from_millis(1500);

/// How long it takes to come back to the whole rate: nine tenths of it are reached within 5 s.
const WHOLE: Duration = Duration::from_millis(4700);

/// Without a rate of our own: a cut is over at so many times what the host was found to bear.
const FREE: f64 = 10.0;

/// A pace below the rate, growing again in the shape of CUBIC: up to where it was too fast, level there, then ever faster.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cut {
    /// When the host said it.
    pub at: Duration,
    /// When it may be called again.
    pub from: Duration,
    /// Calls a second at first.
    pub low: f64,
    /// Calls a second that the host was found to bear.
    pub high: f64,
}

impl Cut {
    /// The cut after a host said that it is called too fast, when that was at `rate` calls a second and `taken` calls had been made
    /// since the last cut, if one was still in force.
    pub fn new(last: Option<(&Self, u64)>, rate: f64, now: Duration, from: Duration) -> Self {
        let Some((last, taken)) = last else {
            return Self { at: now, from, low: rate * CUT, high: rate };
        };
        // What it took from one refusal to the next is what it bears. How much it saved up for us in the pause is its secret: half
        // of the pause counts, and less the longer we were on our way since.
        let active = now.saturating_sub(last.from).as_secs_f64();
        let pause = last.from.saturating_sub(last.at).as_secs_f64();
        let saved = pause / 2.0 * pause / (pause + active).max(0.001);
        let borne = taken.saturating_sub(1) as f64 / (active + saved).max(0.001);
        let high = borne.clamp(rate * LEAST, rate);
        Self { at: now, from, low: high.min(rate * CUT), high }
    }

    /// Calls a second now. `None`: no less than the rate, the cut is over.
    pub fn pace(&self, limit: Option<f64>, now: Duration) -> Option<f64> {
        let whole = limit.unwrap_or(self.high * FREE);
        let passed = now.saturating_sub(self.from);
        if passed >= WHOLE {
            return None;
        }
        let (passed, level, end) = (passed.as_secs_f64(), LEVEL.as_secs_f64(), WHOLE.as_secs_f64());
        let pace = if passed < level {
            self.high - (self.high - self.low) * (1.0 - passed / level).powi(3)
        } else {
            self.high + (whole - self.high) * ((passed - level) / (end - level)).powi(3)
        };
        (pace < whole).then_some(pace)
    }

    /// The rate in force under this cut.
    pub fn rate(&self, rate: Option<Rate>, now: Duration) -> Option<Rate> {
        let Some(pace) = self.pace(rate.map(|rate| rate.limit), now) else { return rate };
        let burst = rate.map_or(1.0, |rate| f64::from(rate.burst) * pace / rate.limit);
        Some(Rate { limit: pace, burst: (burst as u32).max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_cut_takes_three_tenths_and_grows_back_within_five_seconds() {
        let cut = Cut::new(None, 100.0, at(10.0), at(12.0));
        assert_eq!(cut.pace(Some(100.0), at(11.0)), Some(70.0));
        let paces: Vec<f64> =
            (0..60).map(|step| cut.pace(Some(100.0), at(12.0 + f64::from(step) * 0.1)).unwrap_or(100.0)).collect();
        assert!(paces.windows(2).all(|two| two[0] <= two[1]), "{paces:?}");
        assert!(paces[50] >= 90.0);
        assert_eq!(cut.pace(Some(100.0), at(17.0)), None);
    }

    #[test]
    fn what_a_host_bears_is_measured_between_two_refusals() {
        let last = Cut { at: at(10.0), from: at(11.0), low: 5.0, high: 5.0 };
        // 20 calls in 3.5 s after a second of pause, and one that was refused.
        let cut = Cut::new(Some((&last, 21)), 14.0, at(14.5), at(15.5));
        assert!(cut.low == cut.high && (5.4..5.6).contains(&cut.high), "{cut:?}");
        // From there nine tenths of the rate within 5 s as well.
        assert!(cut.pace(Some(50.0), at(20.4)).is_none_or(|pace| pace >= 45.0));
        // A host that refuses everything: no faster than it takes to find out.
        assert_eq!(Cut::new(Some((&last, 1)), 5.0, at(11.1), at(12.0)).high, 1.0);
    }

    #[test]
    fn a_burst_shrinks_with_the_pace() {
        let cut = Cut { at: at(1.0), from: at(1.0), low: 10.0, high: 10.0 };
        let rate = |rate| cut.rate(rate, at(1.5)).map(|rate| (rate.limit, rate.burst));
        assert_eq!(rate(Some(Rate { limit: 100.0, burst: 50 })), Some((10.0, 5)));
        assert_eq!(rate(Some(Rate { limit: 100.0, burst: 1 })), Some((10.0, 1)));
        assert_eq!(rate(None), Some((10.0, 1)));
        assert_eq!(cut.rate(None, at(9.0)), None);
    }
}
