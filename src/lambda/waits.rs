//! [`Waits`]: the permits of a worker, and what is waited for: a pause in which nothing else can be done is not paid for.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::event::{Event, Observer, Waiting};
use crate::observe::{Level, Log};
use crate::permits::{Heard, HostPermits, NoPermit, Permit, Permits, Turn, answers_well, without_usual_port};
use crate::rate::{Outage, Rates};
use crate::units::write_duration;

/// A longer pause than this is not sat through if nothing else can be done.
const LONGEST: Duration = Duration::from_secs(20);

/// Gives permits, and knows who waits for one.
#[derive(Debug)]
pub(super) struct Waits {
    permits: HostPermits,
    pauses: Arc<Pauses>,
    calls: Mutex<Calls>,
}

/// Calls that wait for their turn.
#[derive(Debug, Default)]
struct Calls {
    waiting: HashMap<String, u64>,
    /// How long all of them waited together, as far as it is over.
    waited: Duration,
}

/// Hosts that asked for a pause, or are away.
#[derive(Debug, Default)]
struct Pauses {
    hosts: Mutex<HashMap<Arc<str>, Pause>>,
    changed: Notify,
    /// What is said of the invocation that goes on.
    log: Mutex<Log>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    /// Since when, if it is away.
    away_since: Option<Instant>,
}

/// A pause in which nothing else can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LongPause {
    pub until: Instant,
    /// Since when all who are called have been away, if they are.
    pub away_since: Option<Instant>,
}

impl Waits {
    /// Permits at this worker's share of the rate. `phase`, from 0 to 1, tells it from the others.
    pub fn new(share: Rates, phase: f64, outage: &Outage) -> Self {
        let pauses = Arc::new(Pauses::default());
        let observer = Arc::clone(&pauses) as Arc<dyn Observer>;
        Self { permits: HostPermits::of_many(share, phase, outage, observer), pauses, calls: Mutex::default() }
    }

    /// Another invocation begins: what is said from now on is said of it.
    pub fn begin(&self, log: Log) {
        *lock(&self.pauses.log) = log;
        lock(&self.calls).waited = Duration::ZERO;
    }

    /// How long all calls of this invocation waited together.
    pub fn waited(&self) -> Duration {
        lock(&self.calls).waited
    }

    /// How many calls wait just now.
    #[cfg(test)]
    fn waiting(&self) -> u64 {
        lock(&self.calls).waiting.values().sum()
    }

    /// Waits until all of the items that `in_flight` counts wait for hosts that are not to be called for long, and not before
    /// `sat_through` if that is given.
    pub async fn long_pause(&self, in_flight: impl Fn() -> u64, sat_through: Option<Instant>) -> LongPause {
        loop {
            let changed = self.pauses.changed.notified();
            if let Some(pause) = self.look(in_flight()).filter(|pause| sat_through.is_none_or(|until| pause.until >= until)) {
                return pause;
            }
            changed.await;
        }
    }

    /// The pause that goes on just now, however short, if everybody who was called asked for one.
    pub fn pause(&self) -> Option<LongPause> {
        let now = Instant::now();
        let hosts = lock(&self.pauses.hosts);
        let calls = lock(&self.calls);
        let known = |host: &String| hosts.get(without_usual_port(host)).copied().filter(|pause| pause.until > now);
        Self::of_all(&calls.waiting.keys().map(known).collect::<Option<Vec<_>>>()?)
    }

    fn look(&self, in_flight: u64) -> Option<LongPause> {
        let now = Instant::now();
        let hosts = lock(&self.pauses.hosts);
        let calls = lock(&self.calls);
        let long = calls.waiting.iter().filter_map(|(host, count)| {
            let pause = hosts.get(without_usual_port(host)).filter(|pause| pause.until > now + LONGEST && *count > 0)?;
            Some((*count, *pause))
        });
        let long: Vec<(u64, Pause)> = long.collect();
        let waiting: u64 = long.iter().map(|(count, _)| count).sum();
        if in_flight == 0 || waiting < in_flight {
            return None;
        }
        Self::of_all(&long.into_iter().map(|(_, pause)| pause).collect::<Vec<_>>())
    }

    /// The pause until the first of these is over.
    fn of_all(pauses: &[Pause]) -> Option<LongPause> {
        let until = pauses.iter().map(|pause| pause.until).min()?;
        let all_away = pauses.iter().map(|pause| pause.away_since).collect::<Option<Vec<_>>>();
        Some(LongPause { until, away_since: all_away.and_then(|since| since.into_iter().min()) })
    }
}

impl Permits for Waits {
    fn permit<'a>(&'a self, host: &'a str, turn: Turn) -> Pin<Box<dyn Future<Output = Result<Permit, NoPermit>> + Send + 'a>> {
        Box::pin(async move {
            let _waiting = WaitingCall::begin(self, host);
            self.permits.permit(host, turn).await
        })
    }

    fn heard(&self, host: &str, heard: Heard<'_>) {
        self.permits.heard(host, heard);
    }

    fn has_answered_since(&self, host: &str, since: Instant) -> bool {
        self.permits.has_answered_since(host, since)
    }

    fn holds_pauses_of(&self, status: u16) -> bool {
        !answers_well(status)
    }
}

/// A call that waits, also if the wait is given up.
struct WaitingCall<'a> {
    waits: &'a Waits,
    host: &'a str,
    since: Instant,
}

impl<'a> WaitingCall<'a> {
    fn begin(waits: &'a Waits, host: &'a str) -> Self {
        let mut calls = lock(&waits.calls);
        match calls.waiting.get_mut(host) {
            Some(count) => *count += 1,
            None => drop(calls.waiting.insert(host.to_string(), 1)),
        }
        Self { waits, host, since: Instant::now() }
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        let mut calls = lock(&self.waits.calls);
        calls.waited += self.since.elapsed();
        if let Some(count) = calls.waiting.get_mut(self.host) {
            *count -= 1;
        }
    }
}

impl Observer for Pauses {
    fn see(&self, event: &Event) {
        let Event::Waiting(waiting) = event else { return };
        let known = {
            let mut hosts = lock(&self.hosts);
            let now = Instant::now();
            if waiting.over {
                hosts.remove(&waiting.host).is_some()
            } else {
                let away_since = waiting.away.then(|| now.checked_sub(waiting.lasted).unwrap_or(now));
                hosts.insert(Arc::clone(&waiting.host), Pause { until: now + waiting.left, away_since }).is_some()
            }
        };
        // Told once when it begins and once when it is over, not every second.
        if waiting.over || !known {
            lock(&self.log).with("host", &*waiting.host).line(Level::Warn, &words(waiting));
        }
        self.changed.notify_waiters();
    }
}

fn words(waiting: &Waiting) -> String {
    let Waiting { host, why, lasted, left, calls, .. } = waiting;
    let seconds = |time: &Duration| write_duration(Duration::from_secs(time.as_secs()));
    match (waiting.over, waiting.away) {
        (true, true) => format!("{host} is back after {}", seconds(lasted)),
        (true, false) => format!("{host}: goes on after a pause of {}", seconds(lasted)),
        (false, true) => format!("{host} is away ({why}), {calls} calls wait"),
        (false, false) => format!("{host} asks for a pause of {} ({why}), {calls} calls wait", seconds(left)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits() -> Waits {
        Waits::new(Rates::default(), 0.5, &Outage::default())
    }

    fn asks_to_wait(waits: &Waits, host: &str, seconds: &str) {
        let headers = [("retry-after".to_string(), seconds.to_string())];
        waits.heard(host, Heard::Answer { status: 429, headers: &headers });
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_long_when_everybody_waits_for_it() {
        let waits = waits();
        asks_to_wait(&waits, "api.example.com:443", "600");
        let began = Instant::now();
        tokio::select! {
            pause = waits.long_pause(|| 2, None) => {
                let left = pause.until - began;
                assert!(left > Duration::from_secs(590) && left <= Duration::from_secs(600), "{left:?}");
                assert_eq!(pause.away_since, None);
            }
            _ = futures_util::future::join(waits.permit("api.example.com:443", Turn::First), waits.permit("api.example.com:443", Turn::First)) => {
                panic!("both wait for ten minutes");
            }
        }
        assert_eq!(waits.waiting(), 0, "who was given up waits no more");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_is_away_is_asked_ever_more_rarely_until_that_is_a_long_pause() {
        let waits = waits();
        let began = Instant::now();
        let ask = async {
            loop {
                waits.permit("api.example.com:443", Turn::First).await.unwrap();
                waits.heard("api.example.com:443", Heard::Unreachable("connection refused"));
            }
        };
        tokio::select! {
            pause = waits.long_pause(|| 1, None) => {
                let since = pause.away_since.expect("it is away") - began;
                assert!(since < Duration::from_secs(2) && began.elapsed() > Duration::from_secs(15), "{since:?}, {:?}", began.elapsed());
            }
            () = ask => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_is_sat_through_and_so_is_one_beside_other_work() {
        let waits = waits();
        for (seconds, in_flight) in [("15", 1), ("600", 2)] {
            asks_to_wait(&waits, "api.example.com:443", seconds);
            tokio::select! {
                _ = waits.long_pause(|| in_flight, None) => panic!("{seconds} s, {in_flight} items"),
                given = waits.permit("api.example.com:443", Turn::First) => assert!(given.is_ok()),
            }
        }
        assert!(waits.waited() >= Duration::from_secs(615));
        waits.begin(Log::default());
        assert_eq!(waits.waited(), Duration::ZERO);
    }
}
