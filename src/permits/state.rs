//! [`HostState`]: what all who call a host know of it together.

use std::time::Duration;

use super::limiter::Limiter;
use super::pace::Cut;
use crate::rate::Rate;

/// What all who call a host know of it together, in one process or in all of the user's. Zero is never.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct HostState {
    /// The theoretical arrival time of the next call, as [`super::limiter::Limiter`] has it.
    pub tat: Duration,
    /// The host said that it does not want to be called before.
    pub paused_until: Duration,
    /// In which words.
    pub paused_by: PausedBy,
    /// When somebody last found that it is away. It is away if that is later than `good_at`.
    pub away_at: Duration,
    /// When it may be tried again.
    pub away_until: Duration,
    /// When somebody found that it is there again.
    pub good_at: Duration,
    /// It said that it was called too fast: slower since.
    pub cut: Option<Cut>,
    /// Turns taken since the cut.
    pub taken: u64,
}

/// In which words a host asked for a pause. The numbers are those of the shared file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(super) enum PausedBy {
    /// 429, without saying for how long.
    #[default]
    TooMany = 0,
    /// 429 with `Retry-After`.
    TooManyRetryAfter = 1,
    /// 429 with fields that tell when a quota is given anew.
    TooManyReset = 2,
    /// An answer was the last one that a quota allows.
    UsedUp = 3,
    /// 502, 503 or 504 with `Retry-After`.
    AwayRetryAfter = 4,
}

impl PausedBy {
    const ALL: [Self; 5] = [Self::TooMany, Self::TooManyRetryAfter, Self::TooManyReset, Self::UsedUp, Self::AwayRetryAfter];

    /// For people, in brackets behind the pause.
    pub fn words(self) -> &'static str {
        match self {
            Self::TooMany => "429",
            Self::TooManyRetryAfter => "429, Retry-After",
            Self::TooManyReset => "429, rate limit fields",
            Self::UsedUp => "its quota is used up",
            Self::AwayRetryAfter => "unavailable, Retry-After",
        }
    }
}

impl HostState {
    /// That of a host whose first call waits this part of the time between two, and of whose burst nothing is there yet.
    pub fn nothing_saved(rate: Rate, phase: f64, now: Duration) -> Self {
        let tat = now + Limiter::every(rate).mul_f64(f64::from(rate.burst.max(1) - 1) + phase.clamp(0.0, 1.0));
        Self { tat, ..Self::default() }
    }

    pub fn is_away(&self) -> bool {
        self.away_at > self.good_at
    }

    pub fn pause(&mut self, until: Duration, by: PausedBy) {
        if until > self.paused_until {
            (self.paused_until, self.paused_by) = (until, by);
        }
    }

    /// What everyone knows and what was found out here since: the later word counts. Turns are taken only with everyone's in hand.
    pub fn join(&mut self, found: &Self) {
        self.pause(found.paused_until, found.paused_by);
        if found.away_at > self.away_at {
            (self.away_at, self.away_until) = (found.away_at, found.away_until);
        }
        self.good_at = self.good_at.max(found.good_at);
        match (&self.cut, &found.cut) {
            (Some(known), Some(new)) if known.at == new.at => {
                self.cut = Some(Cut { from: known.from.max(new.from), ..*known });
            }
            (Some(known), Some(new)) if known.at > new.at => {}
            (_, None) => {}
            (_, new) => (self.cut, self.taken) = (*new, 0),
        }
    }

    /// Forgets times that cannot be: those of another clock.
    pub fn believable(mut self, now: Duration) -> Self {
        const TOO_FAR: Duration = Duration::from_secs(2 * 86_400);
        let ahead = now + TOO_FAR;
        if [self.paused_until, self.away_until].iter().any(|time| *time > ahead)
            || [self.away_at, self.good_at].iter().any(|time| *time > now + Duration::from_secs(1))
            || self.cut.is_some_and(|cut| cut.at > now + Duration::from_secs(1) || cut.from > ahead)
        {
            self = Self::default();
        }
        self
    }
}

/// The state as bytes: a mark with the version, which start of the machine, then numbers in little endian.
pub(super) const BYTES: usize = 8 * FIELDS;
const FIELDS: usize = 14;
const MARK: u64 = u64::from_le_bytes(*b"fanfold1");

impl HostState {
    pub fn encode(&self, boot: u64) -> [u8; BYTES] {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let cut = self.cut.unwrap_or_default();
        let fields: [u64; FIELDS] = [
            MARK,
            boot,
            nanos(self.tat),
            nanos(self.paused_until),
            self.paused_by as u64,
            nanos(self.away_at),
            nanos(self.away_until),
            nanos(self.good_at),
            nanos(cut.at),
            nanos(cut.from),
            cut.low.to_bits(),
            cut.high.to_bits(),
            self.taken,
            0,
        ];
        let mut bytes = [0; BYTES];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// `None`: nothing was written since the machine was started, or not by this version.
    pub fn decode(bytes: &[u8; BYTES], boot: u64) -> Option<Self> {
        let mut fields = [0u64; FIELDS];
        for (field, place) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
            *field = u64::from_le_bytes(place.try_into().ok()?);
        }
        let [mark, of_boot, tat, paused_until, paused_by, away_at, away_until, good_at, at, from, low, high, taken, _] = fields;
        if mark != MARK || of_boot != boot {
            return None;
        }
        let (low, high) = (f64::from_bits(low), f64::from_bits(high));
        let cut = at > 0 && low.is_finite() && high.is_finite() && low > 0.0 && high >= low;
        let time = Duration::from_nanos;
        Some(Self {
            tat: time(tat),
            paused_until: time(paused_until),
            paused_by: PausedBy::ALL.into_iter().find(|by| *by as u64 == paused_by).unwrap_or_default(),
            away_at: time(away_at),
            away_until: time(away_until),
            good_at: time(good_at),
            cut: cut.then(|| Cut { at: time(at), from: time(from), low, high }),
            taken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn bytes_are_read_as_they_were_written_and_only_under_the_same_start_of_the_machine() {
        let cut = Some(Cut { at: at(4), from: at(5), low: 3.5, high: 7.0 });
        let paused_by = PausedBy::UsedUp;
        let state = HostState {
            tat: at(1),
            paused_until: at(2),
            paused_by,
            away_at: at(3),
            good_at: at(9),
            cut,
            taken: 7,
            ..HostState::default()
        };
        assert_eq!(HostState::decode(&state.encode(5), 5), Some(state));
        assert_eq!(HostState::decode(&state.encode(5), 6), None);
        assert_eq!(HostState::decode(&[0; BYTES], 0), None);
        assert_eq!(HostState::default().believable(at(9)), HostState::default());
        assert_eq!(HostState { paused_until: at(900_000), ..state }.believable(at(9)), HostState::default());
        assert_eq!(state.believable(at(9)), state);
    }

    #[test]
    fn the_later_word_counts_whoever_says_it() {
        let known =
            HostState { tat: at(50), paused_until: at(20), away_at: at(5), away_until: at(6), taken: 9, ..HostState::default() };
        let found = HostState {
            tat: at(99),
            paused_until: at(10),
            away_at: at(7),
            away_until: at(8),
            good_at: at(7),
            ..HostState::default()
        };
        let mut joined = known;
        joined.join(&found);
        assert_eq!((joined.tat, joined.paused_until, joined.away_at, joined.taken), (at(50), at(20), at(7), 9));
        assert!(!joined.is_away());
        let cut = |second, from| Some(Cut { at: at(second), from: at(from), low: 1.0, high: 2.0 });
        joined.join(&HostState { cut: cut(8, 9), ..found });
        assert_eq!((joined.cut, joined.taken), (cut(8, 9), 0));
        joined.taken = 4;
        joined.join(&HostState { cut: cut(7, 30), ..found });
        assert_eq!((joined.cut, joined.taken), (cut(8, 9), 4), "two who hear the same cut once");
    }
}
