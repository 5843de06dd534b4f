//! Hours of trouble in virtual time: a partner that is away, throttles or loses answers, under the real worker, permits and job.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::desk::Stage;
use super::lanes::MemoryLanes;
use super::play::{setup, worker};
use crate::call::{Answer, NoAnswer};
use crate::item::{Item, ItemKey};
use crate::job::{Jobs, Sent, Wire, WireRequest};
use crate::outcome::ItemStatus;
use crate::worker::{Bundle, LaneItem};
use crate::workflow::Workflow;

const WORKFLOW: &str = r#"
fanfold: 1
name: storm
secrets: { token: { env: TOKEN } }
items: { jsonl: { source: orders.jsonl }, key: "{{ item.order }}" }
order: { by: "{{ item.customer }}" }
rate: { limit: 200/s, burst: 5 }
retry: { max_retries: RETRIES }
job:
  http_chain:
    base_url: https://partner.example
    auth: { bearer: "{{ secrets.token }}" }
    timeout: 10s
    steps:
      - { name: customer, once_per: lane, put: "/customers/{{ item.customer }}", json: { name: "{{ item.customer }}" } }
      - name: invoice
        post: /invoices
        json: { customer: "{{ item.customer }}", order: "{{ item.order }}", after: "{{ previous.number }}" }
        idempotency: { header: Idempotency-Key, ttl: 24h }
        capture: { number: "{{ body.number }}" }
      - { name: confirmed, get: "/invoices/{{ steps.invoice.number }}" }
    output: { number: "{{ steps.invoice.number }}" }
"#;

/// How the partner behaves badly.
#[derive(Debug, Clone, Copy, Default)]
struct Manners {
    /// From when to when it is away, since the beginning.
    away: Option<(Duration, Duration)>,
    /// Whether it answers 503 then, in place of refusing connections.
    answers_503: bool,
    /// From when to when it allows so many calls a second only, and says 429 to more.
    throttles: Option<(Duration, Duration, u32)>,
    /// The share of answers that are lost, half of them before the effect.
    loses: f64,
}

/// A partner in memory, which knows requests by their keys and remembers everything.
struct Partner {
    began: Instant,
    manners: Manners,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    draw: fastrand::Rng,
    keys: BTreeMap<String, u64>,
    last_of: BTreeMap<String, u64>,
    invoices: BTreeMap<String, u32>,
    order_breaks: u32,
    arrivals: u32,
    /// When the rate was looked at last while it throttled, and what was left of it.
    tokens: Option<(Duration, f64)>,
    /// Calls that were answered well, by second.
    good: BTreeMap<u64, u32>,
    throttled: u32,
}

impl Partner {
    fn answer(&self, request: &WireRequest) -> Result<Answer, NoAnswer> {
        let now = self.began.elapsed();
        let is_within = |(from, to): (Duration, Duration)| from <= now && now < to;
        let mut seen = self.seen.lock().unwrap();
        if self.manners.away.is_some_and(is_within) {
            return match self.manners.answers_503 {
                true => Ok(answer(503, &[], &json!({ "error": "away" }))),
                false => Err(NoAnswer::NotSent("connection refused".to_string())),
            };
        }
        seen.arrivals += 1;
        if let Some((from, to, most)) = self.manners.throttles
            && is_within((from, to))
        {
            // A second's worth may come at once.
            let most = f64::from(most);
            let (at, left) = seen.tokens.unwrap_or((from, most));
            let left = (left + (now - at).as_secs_f64() * most).min(most);
            let is_allowed = left >= 1.0;
            seen.tokens = Some((now, if is_allowed { left - 1.0 } else { left }));
            if !is_allowed {
                seen.throttled += 1;
                return Ok(answer(429, &[("retry-after", "1")], &json!({ "error": "slow down" })));
            }
        }
        let lost = seen.draw.f64() < self.manners.loses;
        if lost && seen.draw.bool() {
            return Err(NoAnswer::Lost("the connection broke".to_string()));
        }
        let answer = seen.work(request);
        *seen.good.entry(now.as_secs()).or_default() += 1;
        if lost { Err(NoAnswer::Lost("the connection broke".to_string())) } else { Ok(answer) }
    }
}

impl Seen {
    fn work(&mut self, request: &WireRequest) -> Answer {
        if request.step != "invoice" {
            return answer(200, &[], &json!({ "status": "open" }));
        }
        let key = request.headers.iter().find(|(name, _)| name == "idempotency-key").map(|(_, key)| key.clone()).unwrap();
        if let Some(number) = self.keys.get(&key) {
            return answer(201, &[], &json!({ "number": number }));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_string();
        let number = self.keys.len() as u64 + 1;
        let last = self.last_of.insert(text("customer"), number);
        self.order_breaks += u32::from(last != body["after"].as_u64());
        *self.invoices.entry(text("order")).or_default() += 1;
        self.keys.insert(key, number);
        answer(201, &[], &json!({ "number": number }))
    }
}

impl Wire for Partner {
    fn exchange(&self, request: WireRequest) -> Sent<'_, Result<Answer, NoAnswer>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.answer(&request)
        })
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
    Answer { status, headers, body: Bytes::from(body.to_string()) }
}

/// What came of it.
struct Came {
    outcomes: BTreeMap<&'static str, usize>,
    took: Duration,
    seen: Seen,
}

fn storm(lanes: usize, each: usize, retries: u32, manners: Manners) -> Came {
    let text = WORKFLOW.replace("RETRIES", &retries.to_string());
    let jobs = Jobs::builtin();
    let workflow = Workflow::parse(&text, "storm.yaml", Path::new("/flows"), &jobs).unwrap();
    let bound = workflow.bind(&[], Path::new("/flows")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    fastrand::seed(7);
    runtime.block_on(async {
        let seen = Mutex::new(Seen { draw: fastrand::Rng::with_seed(7), ..Seen::default() });
        let partner = Arc::new(Partner { began: Instant::now(), manners, seen });
        let kind = jobs.get("http_chain").unwrap();
        let job = kind.make(bound.settings.job.config.clone(), &setup(&workflow, &bound, partner.clone())).unwrap();
        let items = (0..lanes * each).map(|n| {
            let (order, customer) = (format!("o{n}"), format!("c{}", n % lanes));
            let value = json!({ "order": order, "customer": customer });
            let item = Item { index: n as u64, key: ItemKey::Name(order), value };
            (customer, LaneItem { item, ended: None, previous: None })
        });
        let bundle =
            Bundle { lanes, at_once: lanes, goes_on: false, items: Box::new(MemoryLanes::of(items)), redriven: Arc::default() };
        let stop = CancellationToken::new();
        let stage = Stage::new(stop.clone());
        worker(kind, job, &workflow, &bound, stop).run_lanes(&bundle, &stage).await;
        let took = partner.began.elapsed();
        let (ended, stopped) = stage.end();
        assert_eq!(stopped, None);
        let mut outcomes = BTreeMap::new();
        for outcome in ended.values() {
            *outcomes.entry(outcome.status().word()).or_default() += 1;
        }
        let seen = std::mem::take(&mut *partner.seen.lock().unwrap());
        Came { outcomes, took, seen }
    })
}

impl Came {
    #[track_caller]
    fn is_all_done(&self, items: usize) {
        assert_eq!(self.outcomes, BTreeMap::from([(ItemStatus::Succeeded.word(), items)]));
        assert_eq!((self.seen.invoices.len(), self.seen.order_breaks), (items, 0));
        assert!(self.seen.invoices.values().all(|times| *times == 1), "an effect was repeated");
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn half_an_hour_away_in_the_middle_of_a_thousand_lanes_fails_and_blocks_nothing() {
    let from = Duration::from_secs(10);
    for answers_503 in [false, true] {
        let manners = Manners { away: Some((from, from + 30 * MINUTE)), answers_503, ..Manners::default() };
        let came = storm(1000, 2, 5, manners);
        came.is_all_done(2000);
        println!("503: {answers_503}; took {:?}, {} arrivals", came.took, came.seen.arrivals);
        // What is left takes fifteen seconds, and a host that is away is asked at least once a minute.
        assert!(came.took > 30 * MINUTE && came.took < 33 * MINUTE, "{:?}", came.took);
    }
}

#[test]
fn answers_that_are_lost_half_of_the_time_are_asked_for_again() {
    for loses in [0.01, 0.1, 0.5] {
        let came = storm(50, 4, 1000, Manners { loses, ..Manners::default() });
        came.is_all_done(200);
        println!("{loses} lost: took {:?}, {} arrivals for 450 calls", came.took, came.seen.arrivals);
    }
}

#[test]
fn a_partner_that_allows_a_tenth_for_a_minute_gets_a_tenth() {
    let (from, to) = (Duration::from_secs(10), Duration::from_secs(70));
    let came = storm(1000, 10, 5, Manners { throttles: Some((from, to, 20)), ..Manners::default() });
    came.is_all_done(10_000);
    let good = |from: u64, to: u64| came.seen.good.range(from..to).map(|(_, calls)| calls).sum::<u32>();
    let (storm, calls) = (good(10, 70), came.seen.good.values().sum::<u32>());
    let after: Vec<u32> = (70..80).map(|second| good(second, second + 1)).collect();
    println!("{storm} of 1200 allowed, {} of {calls} throttled, afterwards {after:?}", came.seen.throttled);
    assert!(f64::from(storm) >= 0.9 * 1200.0, "{storm} calls of 1200 that were allowed");
    assert!(f64::from(came.seen.throttled) <= 0.1 * f64::from(calls), "{} of {calls} were throttled", came.seen.throttled);
    assert!(after[5] >= 180, "{after:?}");
}
