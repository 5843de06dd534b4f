//! Permits as callers have them: in virtual time, and between processes.

mod outage;
mod processes;
mod rate;
mod storm;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{Heard, HostPermits, Permits, Turn};
use crate::event::{Event, Observer, Unobserved, Waiting};
use crate::rate::{Outage, Rates};

const HOST: &str = "api.example.com:443";

const GOOD: Heard<'static> = Heard::Answer { status: 200, headers: &[] };

fn rates(limit: f64, burst: u32) -> Rates {
    Rates { limit: Some(limit), burst: Some(burst), ..Rates::default() }
}

fn permits(rates: Rates) -> Arc<HostPermits> {
    Arc::new(HostPermits::in_memory(rates, &Outage::default(), Arc::new(Unobserved)))
}

/// Takes permits by 64 callers for so long. Every call is answered well at once. Gives when each was given, from the beginning.
async fn take(permits: &Arc<HostPermits>, time: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let permits = Arc::clone(permits);
        callers.spawn(async move {
            let mut given = Vec::new();
            while began.elapsed() < time {
                let permit = permits.permit(HOST, Turn::First).await.unwrap();
                given.push(permit.given - began);
                permits.heard(HOST, GOOD);
            }
            given
        });
    }
    let mut all: Vec<_> = callers.join_all().await.into_iter().flatten().filter(|given| *given < time).collect();
    all.sort();
    all
}

/// The most permits in any second.
fn most(given: &[Duration]) -> usize {
    let mut from = 0;
    let windows = (0..given.len()).map(|to| {
        while given[to] - given[from] >= Duration::from_secs(1) {
            from += 1;
        }
        to - from + 1
    });
    windows.max().unwrap_or_default()
}

/// Keeps what it is told of waiting.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Waiting>>);

impl Observer for Told {
    fn see(&self, event: &Event) {
        if let Event::Waiting(waiting) = event {
            self.0.lock().unwrap().push(waiting.clone());
        }
    }
}
