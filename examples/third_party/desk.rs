//! [`Desk`]: what every request goes through: log, outage, token, rate, fault, key, work, answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::answer::{Reply, lost};
use crate::call::Call;
use crate::faults::{Fault, RetryAfter, Rule, Rules};
use crate::log::{Line, Log};
use crate::now_ms;
use crate::options::{Mode, Options};
use crate::rate::Bucket;
use crate::store::{Saved, Store};

/// Does the work of a request, at once.
pub type Work = fn(&mut State, &Call) -> Reply;

/// Everything there is, one request at a time.
pub struct State {
    pub store: Store,
    pub log: Log,
    pub rules: Rules,
    pub seed: u64,
    pub bucket: Option<Bucket>,
    pub settings: Settings,
    /// 503 until then.
    pub unavailable_until_ms: u64,
    /// Keys of requests that are worked on.
    running: HashSet<String>,
    arrivals: u64,
    /// Given out by `/token`, each with its end.
    pub tokens: Vec<(String, u64)>,
}

/// What can be changed while it serves.
#[derive(Debug, Clone)]
pub struct Settings {
    pub mode: Mode,
    pub key_ttl_ms: Option<u64>,
    pub retry_after: RetryAfter,
    pub refuse_disorder: bool,
    pub opens_after_ms: u64,
    pub token: String,
}

/// The one desk; the listener watches it for outages.
pub struct Desk {
    state: Mutex<State>,
    /// How long the listener is to be closed, told anew for each outage.
    pub closed: watch::Sender<Duration>,
}

/// What is to be done with a request that came through.
enum Verdict {
    Answered(Reply),
    Lost,
    Work(Option<Rule>),
}

impl Desk {
    pub fn new(options: &Options) -> Result<Arc<Self>, String> {
        let store = match options.quick {
            true => Store::volatile(),
            false => open(options)?,
        };
        let log = Log::open(options.log.as_deref(), options.quick).map_err(|error| format!("the log: {error}"))?;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let settings = Settings {
            mode: options.mode,
            key_ttl_ms: options.key_ttl.map(millis),
            retry_after: options.retry_after,
            refuse_disorder: options.refuse_disorder,
            opens_after_ms: millis(options.opens_after),
            token: options.token(),
        };
        let state = State {
            store,
            log,
            rules: Rules::default(),
            seed: 0,
            bucket: options.rate.map(Bucket::new),
            settings,
            unavailable_until_ms: 0,
            running: HashSet::new(),
            arrivals: 0,
            tokens: Vec::new(),
        };
        Ok(Arc::new(Self { state: Mutex::new(state), closed: watch::Sender::new(Duration::ZERO) }))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request of the API. `route` is such as `GET /invoices/{id}`.
    pub async fn serve(self: Arc<Self>, mut call: Call, route: &'static str, work: Work) -> Response {
        let verdict = self.state().admit(&mut call, route);
        let rule = match verdict {
            Verdict::Answered(reply) => return self.answer(&call, reply, None).await,
            Verdict::Lost => return self.lose(&call),
            Verdict::Work(rule) => rule,
        };
        call.loops = rule.as_ref().is_some_and(|rule| rule.fault == Fault::LoopingCursor);
        match rule.as_ref().map(|rule| (rule.fault, Duration::from_millis(rule.ms))) {
            Some((Fault::LateEffect, ms)) => {
                let response = self.lose(&call);
                self.later(call, work, ms);
                response
            }
            Some((Fault::DelayBefore, ms)) => {
                // Whoever hangs up does not change that it happens.
                let call = Arc::new(call);
                let (desk, same) = (Arc::clone(&self), Arc::clone(&call));
                let working = tokio::spawn(async move { desk.after(&same, work, ms).await });
                match working.await {
                    Ok(reply) => self.answer(&call, reply, None).await,
                    Err(_) => self.lose(&call),
                }
            }
            _ => {
                let reply = self.state().work(&call, work, rule.as_ref());
                match rule {
                    Some(Rule { fault: Fault::DropAfter, .. }) => self.lose(&call),
                    rule => self.answer(&call, reply, rule).await,
                }
            }
        }
    }

    fn later(self: Arc<Self>, call: Call, work: Work, ms: Duration) {
        tokio::spawn(async move { self.after(&call, work, ms).await });
    }

    async fn after(&self, call: &Call, work: Work, ms: Duration) -> Reply {
        tokio::time::sleep(ms).await;
        let mut state = self.state();
        if let Some(key) = &call.key {
            state.running.remove(key);
        }
        state.work(call, work, None)
    }

    async fn answer(&self, call: &Call, reply: Reply, rule: Option<Rule>) -> Response {
        if let Some(Rule { fault: Fault::DelayAfter, ms, .. }) = rule {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let fields = {
            let mut state = self.state();
            state.told(call, reply.status, reply.replayed);
            state.bucket.as_ref().map(Bucket::fields)
        };
        reply.response(fields, rule.as_ref())
    }

    fn lose(&self, call: &Call) -> Response {
        self.state().told(call, 0, false);
        lost()
    }
}

fn open(options: &Options) -> Result<Store, String> {
    let wrong = |error: String| format!("{}: {error}", options.db.display());
    if let Some(folder) = options.db.parent() {
        std::fs::create_dir_all(folder).map_err(|error| wrong(error.to_string()))?;
    }
    let mut store = Store::open(&options.db).map_err(|error| wrong(error.to_string()))?;
    if options.fresh {
        store.forget();
    }
    Ok(store)
}

impl State {
    /// Logs the arrival and says what is to be done.
    fn admit(&mut self, call: &mut Call, route: &str) -> Verdict {
        self.arrivals += 1;
        call.number = self.arrivals;
        let rule = self.rules.strike(route);
        if !self.log.is_quiet() {
            let fault = rule.as_ref().and_then(|rule| serde_json::to_value(rule.fault).ok());
            self.log.write(Line { what: "arrival", payload: call.payload(), fault, ..call.line() });
        }
        if now_ms() < self.unavailable_until_ms {
            return Verdict::Answered(Reply::error(503, "away for a while"));
        }
        if !self.lets_in(call.token.as_deref()) {
            let reply = Reply::error(401, "the bearer token is missing or not known").header("www-authenticate", "Bearer");
            return Verdict::Answered(reply);
        }
        if let Some(bucket) = &mut self.bucket
            && let Err(seconds) = bucket.take()
        {
            return Verdict::Answered(throttled(self.settings.retry_after, seconds));
        }
        let Some(rule) = rule else { return Verdict::Work(None) };
        match rule.fault {
            Fault::DropBefore => Verdict::Lost,
            Fault::Throttle => {
                let style = rule.retry_after.unwrap_or(self.settings.retry_after);
                Verdict::Answered(throttled(style, rule.seconds as f64))
            }
            Fault::ErrorBefore => Verdict::Answered(Reply::error(rule.status.unwrap_or(503), "out of order")),
            Fault::LateEffect | Fault::DelayBefore => {
                if let Some(refused) = self.known(call) {
                    return Verdict::Answered(refused);
                }
                if let (Some(key), true) = (&call.key, self.settings.mode != Mode::None) {
                    self.running.insert(key.clone());
                }
                Verdict::Work(Some(rule))
            }
            _ => Verdict::Work(Some(rule)),
        }
    }

    fn lets_in(&self, token: Option<&str>) -> bool {
        let Some(token) = token else { return false };
        token == self.settings.token || self.tokens.iter().any(|(given, end)| given == token && now_ms() < *end)
    }

    /// Does the work, unless the request is known by its key.
    fn work(&mut self, call: &Call, work: Work, rule: Option<&Rule>) -> Reply {
        if let Some(known) = self.known(call) {
            return known;
        }
        let error = rule.filter(|rule| rule.fault == Fault::ErrorAfter);
        let error = error.map(|rule| Reply::error(rule.status.unwrap_or(500), "something went wrong"));
        // What is made and what is kept under the key are kept together, or not at all.
        self.store.begin();
        let reply = work(self, call);
        let kept = match self.settings.mode {
            // What was refused before the work began is not kept.
            _ if !call.dedupes() || (400..500).contains(&reply.status) => None,
            Mode::None => None,
            Mode::StripeV1 | Mode::Draft => Some(error.as_ref().unwrap_or(&reply)),
            Mode::StripeV2 => Some(&reply),
        };
        if let (Some(key), Some(kept)) = (&call.key, kept) {
            let (payload, body) = (call.payload().to_string(), kept.body.clone());
            self.store.save(key, Saved { payload, status: kept.status, body, saved_ms: now_ms() });
        }
        self.store.commit();
        error.unwrap_or(reply)
    }

    /// The answer to a request that is known by its key, or may not be made because of it.
    fn known(&self, call: &Call) -> Option<Reply> {
        let key = call.key.as_deref().filter(|_| call.dedupes() && self.settings.mode != Mode::None)?;
        if self.running.contains(key) {
            return Some(Reply::error(409, "a request with this key is being worked on"));
        }
        let since = self.settings.key_ttl_ms.map_or(0, |ttl| now_ms().saturating_sub(ttl));
        let saved = self.store.saved(key, since)?;
        if saved.payload != call.payload() {
            let status = if self.settings.mode == Mode::Draft { 422 } else { 400 };
            return Some(Reply::error(status, "this key was used with other parameters"));
        }
        Some(Reply { replayed: true, ..Reply::of(saved.status, saved.body.clone()) })
    }

    fn told(&mut self, call: &Call, status: u16, replayed: bool) {
        if !self.log.is_quiet() {
            self.log.write(Line { what: "answer", status: Some(status), replayed, ..call.line() });
        }
    }

    /// How it behaves and how it stands.
    pub fn shown(&self) -> Value {
        json!({
            "mode": self.settings.mode, "key_ttl_ms": self.settings.key_ttl_ms, "rate": self.bucket.as_ref().map(Bucket::rate),
            "retry_after": self.settings.retry_after, "refuse_disorder": self.settings.refuse_disorder,
            "opens_after_ms": self.settings.opens_after_ms, "seed": self.seed, "rules": self.rules.all(),
            "arrivals": self.arrivals, "figures": self.store.figures(),
        })
    }
}

fn throttled(style: RetryAfter, seconds: f64) -> Reply {
    let reply = Reply::error(429, "too many requests");
    let whole = seconds.ceil().max(1.0);
    match style {
        RetryAfter::None => reply,
        RetryAfter::Seconds => reply.header("retry-after", format!("{whole:.0}")),
        RetryAfter::Date => {
            // A date knows no fractions: one more, so that it is never too early.
            let at = std::time::SystemTime::now() + Duration::from_secs_f64(whole + 1.0);
            reply.header("retry-after", httpdate::fmt_http_date(at))
        }
    }
}
