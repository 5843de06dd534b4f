//! [`Gate`]: whether a host may be called now, judged by what was heard of it. Pure: what time it is and all luck are given.

use std::time::{Duration, SystemTime};

use super::breaker::Breaker;
use super::budget::Budget;
use super::headers;
use super::pace::Cut;
use super::state::{HostState, PausedBy};
use super::{Heard, answers_well};
use crate::rate::Rate;
use crate::units::write_duration;

/// Pauses for a host that does not say how long: doubling from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The same for one that answers, but badly.
const BREAKS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Pauses that nobody asked for are longer by up to this share, so that not everyone comes back at once.
const JITTER: f64 = 0.2;

/// A probe of which nothing is heard for so long is not waited for.
const PROBE: Duration = Duration::from_secs(60);

/// One host, as this process sees it.
#[derive(Debug)]
pub(super) struct Gate {
    /// What everyone knows of it, and what this process found out since it was joined last.
    pub state: HostState,
    pub budget: Budget,
    give_up_after: Duration,
    /// Times in a row that it said it was called too fast, and not for how long to wait.
    unhinted: u32,
    away: Option<Away>,
    breaker: Breaker,
    /// When the call was made that finds out whether it is there again.
    probe: Option<Duration>,
}

/// A host that is away, or in too much trouble to be called.
#[derive(Debug)]
struct Away {
    since: Duration,
    why: AwayBy,
    cause: String,
    /// How often it was tried.
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AwayBy {
    /// It cannot be reached, or something before it says so: 502, 503, 504.
    Unreachable,
    /// Too many calls are silent or answered by 5xx.
    Breaker,
}

/// What may be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Open,
    /// One call, to find out whether the host is there again.
    Probe,
    /// Nothing before this time, if nothing is heard.
    Closed(Duration),
    /// Nothing any more, in words.
    GaveUp(String),
}

/// What there is to wait for, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    pub why: String,
    pub away: bool,
    /// Since when, if that is known.
    pub since: Option<Duration>,
    pub until: Duration,
}

impl Gate {
    pub fn new(now: Duration, give_up_after: Duration) -> Self {
        let (budget, breaker) = (Budget::new(now), Breaker::default());
        Self { state: HostState::default(), budget, give_up_after, unhinted: 0, away: None, breaker, probe: None }
    }

    /// Judges what became of a call. `wall` is the time of day, `rate` the rate in force without a cut, `luck` from 0 to 1.
    pub fn hear(&mut self, heard: Heard<'_>, now: Duration, wall: SystemTime, rate: Option<Rate>, luck: f64) {
        let (status, fields) = match heard {
            Heard::Answer { status, headers } => (status, headers),
            Heard::Unreachable(cause) => return self.missed(AwayBy::Unreachable, cause, now, luck),
            Heard::Silent => return self.suffer("no answer", false, now, luck),
            Heard::Unused => return self.probe = None,
        };
        match status {
            429 => self.slow_down(fields, now, wall, rate, luck),
            502..=504 => {
                let why = if self.opens(now) { AwayBy::Breaker } else { AwayBy::Unreachable };
                self.missed(why, &format!("status {status}"), now, luck);
                if let Some(wait) = headers::retry_after(fields, wall) {
                    self.state.pause(now + wait, PausedBy::AwayRetryAfter);
                }
            }
            500.. => self.suffer(&format!("status {status}"), true, now, luck),
            _ => {
                self.breaker.count(now, false);
                self.is_back(now);
                if let Some(wait) = headers::used_up(fields, wall) {
                    self.state.pause(now + wait, PausedBy::UsedUp);
                }
            }
        }
        if answers_well(status) {
            self.unhinted = 0;
        }
    }

    /// 429: a pause, and a cut if this is not the answer to a call from before one.
    fn slow_down(&mut self, fields: &headers::Fields, now: Duration, wall: SystemTime, rate: Option<Rate>, luck: f64) {
        self.probe = None;
        let pace = self.breaker.pace(now);
        self.breaker.count(now, false);
        let paused = now < self.state.paused_until;
        let (until, by) = if let Some(wait) = headers::retry_after(fields, wall) {
            (now + wait, PausedBy::TooManyRetryAfter)
        } else if let Some(wait) = headers::reset(fields, wall) {
            (now + wait, PausedBy::TooManyReset)
        } else if paused {
            (self.state.paused_until, self.state.paused_by)
        } else {
            self.unhinted = self.unhinted.saturating_add(1);
            (now + growing(PAUSES, self.unhinted, luck), PausedBy::TooMany)
        };
        self.state.pause(until, by);
        let from = self.state.paused_until;
        if paused {
            // Others that were under way. The host is not called before the last of them says so.
            if let Some(cut) = &mut self.state.cut {
                cut.from = cut.from.max(from);
            }
            return;
        }
        let limit = rate.map(|rate| rate.limit);
        let last = self.state.cut.filter(|cut| cut.pace(limit, now).is_some());
        let pace = last.and_then(|cut| cut.pace(limit, now)).or(limit).unwrap_or(pace);
        self.state.cut = Some(Cut::new(last.as_ref().map(|cut| (cut, self.state.taken)), pace, now, from));
        self.state.taken = 0;
    }

    /// Counts a call that went badly. While the host is away it is the probes that count.
    fn opens(&mut self, now: Duration) -> bool {
        self.away.is_none() && self.breaker.count(now, true)
    }

    /// What alone is no outage: no answer, or one of 5xx, which is a sign of life.
    fn suffer(&mut self, cause: &str, alive: bool, now: Duration, luck: f64) {
        let opens = self.opens(now);
        match self.away.as_ref().map(|away| away.why) {
            None if opens => self.missed(AwayBy::Breaker, cause, now, luck),
            None => self.probe = None,
            Some(AwayBy::Unreachable) if alive => self.is_back(now),
            Some(why) => self.missed(why, cause, now, luck),
        }
    }

    /// Nobody there: the next try is later, if this one was not already under way before the last.
    fn missed(&mut self, why: AwayBy, cause: &str, now: Duration, luck: f64) {
        self.probe = None;
        let paused = self.state.is_away() && now < self.state.away_until;
        let away = self.away.get_or_insert_with(|| Away { since: now, why, cause: String::new(), tries: 0 });
        cause.clone_into(&mut away.cause);
        if paused {
            return;
        }
        away.why = why;
        away.tries = away.tries.saturating_add(1);
        let bounds = if why == AwayBy::Breaker { BREAKS } else { PAUSES };
        self.state.away_at = now.max(self.state.good_at + Duration::from_nanos(1));
        self.state.away_until = now + growing(bounds, away.tries, luck);
    }

    /// A good answer ends an outage at once.
    fn is_back(&mut self, now: Duration) {
        self.probe = None;
        self.away = None;
        if self.state.is_away() {
            self.state.good_at = now.max(self.state.away_at);
            self.state.away_until = Duration::ZERO;
        }
    }

    /// Takes in what the others know, and tells them what was found out here.
    pub fn join(&mut self, mut known: HostState, now: Duration) {
        known.join(&self.state);
        self.state = known;
        match (&self.away, self.state.is_away()) {
            (None, true) => {
                let cause = "as another run found".to_string();
                self.away = Some(Away { since: now, why: AwayBy::Unreachable, cause, tries: 1 });
            }
            (Some(_), false) => (self.away, self.probe) = (None, None),
            _ => {}
        }
    }

    /// Whether there is nothing to mind: no pause, no outage, no cut.
    pub fn is_calm(&self, now: Duration) -> bool {
        self.away.is_none() && self.state.paused_until <= now && self.state.cut.is_none_or(|cut| cut.pace(None, now).is_none())
    }

    /// What may be done now, for this host.
    pub fn judge(&self, host: &str, now: Duration) -> Verdict {
        let Some(away) = &self.away else {
            return if now < self.state.paused_until { Verdict::Closed(self.state.paused_until) } else { Verdict::Open };
        };
        let last = away.since.saturating_add(self.give_up_after);
        if now >= last {
            let (host, time) = (without_usual_port(host), write_duration(self.give_up_after));
            return Verdict::GaveUp(format!("{host} has been away for {time}: {}", away.cause));
        }
        let until = self.state.paused_until.max(self.state.away_until);
        if now < until {
            return Verdict::Closed(until.min(last));
        }
        match self.probe {
            Some(since) if now < since + PROBE => Verdict::Closed(last.min(since + PROBE)),
            _ => Verdict::Probe,
        }
    }

    /// Whether the call is under way that finds out whether the host is there again.
    pub fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// The call was allowed that finds out whether the host is there again.
    pub fn probe(&mut self, now: Duration) {
        self.probe = Some(now);
    }

    /// What everyone waits for, if it is not only the rate.
    pub fn wait(&self, now: Duration) -> Option<Wait> {
        let paused_until = self.state.paused_until;
        if let Some(away) = &self.away {
            let until = paused_until.max(self.state.away_until);
            return Some(Wait { why: away.cause.clone(), away: true, since: Some(away.since), until });
        }
        let why = self.state.paused_by.words().to_string();
        (now < paused_until).then_some(Wait { why, away: false, since: None, until: paused_until })
    }
}

/// The n-th of growing pauses.
fn growing((first, last): (Duration, Duration), n: u32, luck: f64) -> Duration {
    let pause = first.saturating_mul(1 << n.saturating_sub(1).min(16)).min(last);
    pause.mul_f64(1.0 + JITTER * luck)
}

/// `api.example.com`, and `api.example.com:8443` with a port of its own.
pub(crate) fn without_usual_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "api.example.com:443";
    const HOURS: Duration = Duration::from_secs(7200);

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(1000.0 + seconds)
    }

    fn gate() -> Gate {
        Gate::new(at(0.0), HOURS)
    }

    fn hear(gate: &mut Gate, heard: Heard<'_>, now: f64) {
        let rate = Some(Rate { limit: 100.0, burst: 1 });
        gate.hear(heard, at(now), SystemTime::UNIX_EPOCH, rate, 0.0);
    }

    fn answer(gate: &mut Gate, status: u16, fields: &[(&str, &str)], now: f64) {
        let headers: Vec<_> = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        hear(gate, Heard::Answer { status, headers: &headers }, now);
    }

    fn closed(gate: &Gate, now: f64) -> Option<f64> {
        match gate.judge(HOST, at(now)) {
            Verdict::Closed(until) => Some(until.as_secs_f64() - 1000.0),
            _ => None,
        }
    }

    #[test]
    fn a_host_that_does_not_say_how_long_is_left_alone_ever_longer_until_it_answers_well() {
        let mut gate = gate();
        let mut now = 0.0;
        for pause in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            answer(&mut gate, 429, &[], now);
            // Others that were under way make it no longer.
            answer(&mut gate, 429, &[], now);
            assert_eq!(closed(&gate, now), Some(now + pause));
            now += pause;
            assert_eq!(gate.judge(HOST, at(now)), Verdict::Open);
        }
        answer(&mut gate, 404, &[], now);
        answer(&mut gate, 429, &[], now);
        assert_eq!(closed(&gate, now), Some(now + 0.5));
    }

    #[test]
    fn a_cut_is_made_once_for_each_pause_and_begins_when_the_last_pause_ends() {
        let mut gate = gate();
        answer(&mut gate, 429, &[("retry-after", "2")], 0.0);
        answer(&mut gate, 429, &[("retry-after", "3")], 0.125);
        answer(&mut gate, 429, &[("retry-after", "1")], 0.2);
        let cut = gate.state.cut.unwrap();
        assert_eq!((cut.low, cut.at, cut.from), (70.0, at(0.0), at(3.125)));
        assert_eq!(closed(&gate, 1.0), Some(3.125));
        assert_eq!(gate.wait(at(1.0)).unwrap().why, "429, Retry-After");
        assert!(!gate.is_calm(at(3.2)) && gate.is_calm(at(9.0)));
    }

    #[test]
    fn a_quota_that_is_used_up_is_waited_for_without_a_cut() {
        let mut gate = gate();
        answer(&mut gate, 200, &[("ratelimit", r#""default";r=0;t=9"#)], 0.0);
        assert_eq!((closed(&gate, 0.0), gate.state.cut), (Some(9.0), None));
    }

    #[test]
    fn an_outage_is_probed_one_call_at_a_time_and_only_a_good_answer_ends_it() {
        let mut gate = gate();
        hear(&mut gate, Heard::Unreachable("connection refused"), 0.0);
        assert_eq!(closed(&gate, 0.0), Some(0.5));
        answer(&mut gate, 503, &[], 0.2);
        assert_eq!(closed(&gate, 0.2), Some(0.5), "what was under way says nothing new");
        for (now, next) in [(0.5, 1.5), (1.5, 3.5), (3.5, 7.5), (7.5, 15.5), (15.5, 31.5), (31.5, 61.5), (61.5, 91.5)] {
            assert_eq!(gate.judge(HOST, at(now)), Verdict::Probe);
            gate.probe(at(now));
            assert_eq!(closed(&gate, now), Some(now + 60.0), "one at a time");
            answer(&mut gate, 502, &[], now);
            assert_eq!(closed(&gate, now), Some(next));
        }
        answer(&mut gate, 429, &[("retry-after", "100")], 92.0);
        assert_eq!(closed(&gate, 92.0), Some(192.0));
        assert_eq!(gate.judge(HOST, at(192.0)), Verdict::Probe, "a refusal is no good answer");
        gate.probe(at(192.0));
        hear(&mut gate, Heard::Unused, 192.0);
        assert_eq!(gate.judge(HOST, at(192.0)), Verdict::Probe, "a probe that was not made is another's");
        answer(&mut gate, 404, &[], 192.1);
        assert_eq!(gate.judge(HOST, at(192.1)), Verdict::Open);
        hear(&mut gate, Heard::Unreachable("connection refused"), 193.0);
        assert_eq!(closed(&gate, 193.0), Some(193.5), "the next outage begins anew");
    }

    #[test]
    fn an_answer_from_before_ends_an_outage_but_not_a_pause_that_was_asked_for() {
        let mut gate = gate();
        answer(&mut gate, 503, &[], 0.0);
        answer(&mut gate, 200, &[], 0.01);
        assert_eq!(gate.judge(HOST, at(0.02)), Verdict::Open);
        answer(&mut gate, 503, &[("retry-after", "20")], 1.0);
        answer(&mut gate, 200, &[], 1.01);
        assert_eq!(closed(&gate, 1.02), Some(21.0));
    }

    #[test]
    fn a_host_that_stays_away_is_given_up() {
        let mut gate = gate();
        let (mut now, mut tries) = (0.0, 0);
        loop {
            match gate.judge(HOST, at(now)) {
                Verdict::GaveUp(why) => break assert_eq!(why, "api.example.com has been away for 2h: connection refused"),
                Verdict::Closed(until) => now = until.as_secs_f64() - 1000.0,
                _ => {
                    hear(&mut gate, Heard::Unreachable("connection refused"), now);
                    tries += 1;
                }
            }
        }
        assert_eq!(now, 7200.0);
        assert!((240..260).contains(&tries), "{tries}");
    }

    #[test]
    fn half_bad_answers_open_the_breaker_and_its_probes_close_it() {
        let mut gate = gate();
        for n in 0..20 {
            assert_eq!(gate.judge(HOST, at(0.0)), Verdict::Open);
            if n % 2 == 0 { answer(&mut gate, 200, &[], 0.0) } else { hear(&mut gate, Heard::Silent, 0.0) }
        }
        assert_eq!(closed(&gate, 0.0), Some(5.0));
        for (now, next) in [(5.0, 15.0), (15.0, 35.0), (35.0, 75.0), (75.0, 135.0), (135.0, 195.0)] {
            assert_eq!(gate.judge(HOST, at(now)), Verdict::Probe);
            answer(&mut gate, 500, &[], now);
            assert_eq!(closed(&gate, now), Some(next));
        }
        answer(&mut gate, 200, &[], 195.0);
        assert_eq!(gate.judge(HOST, at(195.0)), Verdict::Open);
    }

    #[test]
    fn an_error_of_its_own_shows_that_a_host_is_there_again() {
        let mut gate = gate();
        hear(&mut gate, Heard::Unreachable("connection refused"), 0.0);
        answer(&mut gate, 500, &[], 0.5);
        assert_eq!(gate.judge(HOST, at(0.5)), Verdict::Open);
    }

    #[test]
    fn what_others_find_out_counts_here() {
        let (mut one, mut two) = (gate(), gate());
        hear(&mut one, Heard::Unreachable("connection refused"), 0.0);
        answer(&mut one, 429, &[("retry-after", "3")], 0.0);
        two.join(one.state, at(0.1));
        assert_eq!(closed(&two, 0.1), Some(3.0));
        assert_eq!(two.judge(HOST, at(3.0)), Verdict::Probe);
        answer(&mut one, 200, &[], 3.1);
        two.join(one.state, at(3.2));
        assert_eq!(two.judge(HOST, at(3.2)), Verdict::Open);
        assert_eq!(two.state.cut, one.state.cut);
    }
}
