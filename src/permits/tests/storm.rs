//! A host that suddenly bears a tenth of the rate: what gets through, how much is asked in vain, how soon all is well again.

use std::ops::Range;

use tokio::time::sleep;

use super::*;

/// How a host counts its callers.
#[derive(Debug, Clone, Copy)]
enum Counting {
    /// A bucket that holds what it bears in one second.
    Bucket,
    /// So many in each second by the clock.
    Window,
    /// One after another, with nothing saved up.
    Spaced,
}

/// A host in virtual time.
struct Server {
    counting: Counting,
    whole: f64,
    began: Instant,
    /// What is left, and when it was counted.
    left: f64,
    counted: Duration,
    good: Vec<Duration>,
    refused: Vec<Duration>,
}

const STORM: Range<Duration> = Duration::from_secs(20)..Duration::from_secs(80);
const END: Duration = Duration::from_secs(110);

/// Half of what a call takes.
const WAY: Duration = Duration::from_millis(10);

impl Server {
    /// The status of a call that arrives now.
    fn call(&mut self) -> u16 {
        let now = self.began.elapsed();
        let limit = if STORM.contains(&now) { self.whole / 10.0 } else { self.whole };
        let earned = (now - self.counted).as_secs_f64() * limit;
        self.left = match self.counting {
            Counting::Bucket => (self.left + earned).min(limit),
            // A hair more than one call, so that who comes in time is let in.
            Counting::Spaced => (self.left + earned).min(1.05),
            Counting::Window if now.as_secs() == self.counted.as_secs() => self.left.min(limit),
            Counting::Window => limit,
        };
        self.counted = now;
        if self.left < 1.0 {
            self.refused.push(now);
            return 429;
        }
        self.left -= 1.0;
        self.good.push(now);
        200
    }
}

/// What came of it.
struct Figures {
    /// Calls that got through in the storm, of those that the host would have let through, outside of the pauses that it asked for
    /// if it saves nothing up in them.
    goodput: f64,
    /// Calls made in the storm for each that got through.
    amplification: f64,
    /// From the end of the last pause until nine tenths of the rate get through.
    back: Duration,
}

async fn storm(counting: Counting, limit: f64, headers: &'static [(&'static str, &'static str)], pause: Duration) -> Figures {
    let headers: Arc<[_]> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let (permits, began) = (permits(rates(limit, 1)), Instant::now());
    // It bears a little more than we ask for, but for the storm.
    let (whole, left, counted) = (limit * 1.05, 1.0, Duration::ZERO);
    let server = Server { counting, whole, began, left, counted, good: Vec::new(), refused: Vec::new() };
    let server = Arc::new(Mutex::new(server));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (permits, server, headers) = (Arc::clone(&permits), Arc::clone(&server), Arc::clone(&headers));
        callers.spawn(async move {
            while began.elapsed() < END {
                permits.permit(HOST, Turn::First).await.unwrap();
                sleep(WAY).await;
                let status = server.lock().unwrap().call();
                sleep(WAY).await;
                permits.heard(HOST, Heard::Answer { status, headers: if status == 429 { &headers } else { &[] } });
            }
        });
    }
    callers.join_all().await;
    let server = server.lock().unwrap();
    let within = |times: &[Duration], range: Range<Duration>| times.iter().filter(|time| range.contains(*time)).count() as f64;
    let (good, refused) = (within(&server.good, STORM), within(&server.refused, STORM));
    let calm = *server.refused.last().unwrap() + WAY + pause;
    let half = Duration::from_millis(500);
    let reached = server.good.iter().find(|time| **time >= calm && within(&server.good, **time..**time + half) >= limit * 0.45);
    let paused: Duration =
        server.refused.windows(2).filter(|two| STORM.contains(&two[0])).map(|two| (two[1] - two[0]).min(pause)).sum();
    let open = match counting {
        Counting::Bucket => STORM.end - STORM.start,
        Counting::Window | Counting::Spaced => STORM.end - STORM.start - paused,
    };
    Figures {
        goodput: good / (whole / 10.0 * open.as_secs_f64()),
        amplification: (good + refused) / good,
        back: reached.map_or(Duration::MAX, |reached| reached.saturating_sub(calm)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_costs_little_and_is_soon_over() {
    const HINT: &[(&str, &str)] = &[("retry-after", "1")];
    for limit in [50.0, 300.0] {
        for counting in [Counting::Bucket, Counting::Window, Counting::Spaced] {
            // Faster than timers are exact, nobody comes evenly enough for it.
            if matches!(counting, Counting::Spaced) && limit > 100.0 {
                continue;
            }
            for (headers, pause) in [(HINT, Duration::from_secs(1)), (&[], Duration::from_millis(500))] {
                let Figures { goodput, amplification, back } = storm(counting, limit, headers, pause).await;
                let hint = if headers.is_empty() { "no hint" } else { "Retry-After: 1" };
                let name = format!("{limit}/s {counting:?}, {hint}");
                assert!(back <= Duration::from_secs(5), "{name}: {back:?}");
                // What saves nothing up refuses whoever comes a millisecond early, and pauses that nobody asked for are a matter of luck:
                // there the bounds are wider.
                let (least, most) = match counting {
                    Counting::Spaced => (0.5, 1.2),
                    _ if headers.is_empty() => (0.9, 1.15),
                    _ => (0.9, 1.1),
                };
                assert!(goodput >= least && amplification <= most, "{name}: {goodput} {amplification}");
                println!("{name}: goodput {goodput:.3}, amplification {amplification:.3}, back {back:?}");
            }
        }
    }
}
