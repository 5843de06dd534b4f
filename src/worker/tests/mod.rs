//! The loop of a step against a scripted other side, in virtual time. The judge is what the script saw, and the ledger's own order.

mod crashes;
mod deadline;
mod retries;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::{ItemCalls, TryCalls};
use super::{Begun, Clock, Desk, Ended, LaneContext, Worker, WorkerSettings};
use crate::batch::Batch;
use crate::call::{Answer, NoAnswer};
use crate::error::Error;
use crate::expression::Params;
use crate::item::{Item, ItemKey};
use crate::job::{
    Attempt, Call, ConfigError, Job, JobError, JobErrorKind, Jobs, OnUnknown, Probed, Repeat, Sender, Sent, Services, Setup,
    StepPolicy, StepRepeat,
};
use crate::ledger::{CallRow, CallState, Ledger, Memory, Written};
use crate::permits::{Heard, NoPermit, Permit, Permits, Turn};
use crate::retry::{Jitter, Retry};

/// One line of a script: what the other side does to the next request.
#[derive(Clone)]
enum Line {
    Status(u16),
    With(u16, &'static str, &'static str),
    Body(u16, &'static str),
    NotSent,
    Lost,
    TimedOut,
    Unusable(u16),
    Surroundings,
    NotAllowed,
    /// Answers after this long.
    Slow(Duration, u16),
}

/// One request as the other side saw it.
#[derive(Debug, Clone)]
struct Arrival {
    key: String,
    at: Duration,
}

struct Script {
    lines: Mutex<VecDeque<Line>>,
    probes: Mutex<VecDeque<Result<Probed, NoAnswer>>>,
    arrivals: Mutex<Vec<Arrival>>,
    probed_at: Mutex<Vec<Duration>>,
    began: Instant,
    log: Log,
}

/// What happened in which order: `start`, `send`, `note answered`, ….
type Log = Arc<Mutex<Vec<String>>>;

impl Script {
    fn next(&self) -> Option<Line> {
        self.lines.lock().unwrap().pop_front()
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Answer { status, headers, body: Bytes::from_static(body.as_bytes()) }
}

impl Sender for Script {
    fn describe(&self, call: &Call<'_>) -> String {
        format!("POST /{}", call.number)
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Answer, NoAnswer>> {
        Box::pin(async move {
            self.log.lock().unwrap().push("send".to_string());
            self.arrivals.lock().unwrap().push(Arrival { key: call.key.to_string(), at: self.began.elapsed() });
            match self.next().expect("the script runs out: one request too many") {
                Line::Status(status) => Ok(answer(status, &[], "")),
                Line::With(status, name, value) => Ok(answer(status, &[(name, value)], "")),
                Line::Body(status, body) => Ok(answer(status, &[], body)),
                Line::NotSent => Err(NoAnswer::NotSent("connection refused".into())),
                Line::Lost => Err(NoAnswer::Lost("connection reset".into())),
                Line::TimedOut => Err(NoAnswer::TimedOut("no answer within 10s".into())),
                Line::Unusable(status) => Err(NoAnswer::Unusable { status, cause: "9 GiB".into() }),
                Line::Surroundings => Err(NoAnswer::Surroundings("no such host".into())),
                Line::NotAllowed => Err(NoAnswer::Refused("169.254.169.254 is refused".into())),
                Line::Slow(time, status) => {
                    tokio::time::sleep(time).await;
                    Ok(answer(status, &[], ""))
                }
            }
        })
    }

    fn probe<'a>(&'a self, _: Call<'a>) -> Sent<'a, Result<Probed, NoAnswer>> {
        self.log.lock().unwrap().push("probe".to_string());
        self.probed_at.lock().unwrap().push(self.began.elapsed());
        let found = self.probes.lock().unwrap().pop_front().expect("one probe too many");
        Box::pin(std::future::ready(found))
    }
}

/// A ledger in memory that says what it is told, and may be full.
struct Telling {
    memory: Memory,
    log: Log,
    full: AtomicBool,
}

impl Telling {
    fn tell(&self, what: &str, row: &CallRow) -> Result<(), Error> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Error::surroundings("the disk is full"));
        }
        let state = format!("{what} {:?}", row.state).to_lowercase();
        self.log.lock().unwrap().push(if what == "start" { "start".to_string() } else { state });
        Ok(())
    }
}

impl Ledger for Telling {
    fn rows(&self, owner: u64) -> Written<'_, Vec<CallRow>> {
        self.memory.rows(owner)
    }

    fn start(&self, row: CallRow) -> Written<'_, ()> {
        match self.tell("start", &row) {
            Ok(()) => self.memory.start(row),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn note(&self, row: CallRow) -> Written<'_, ()> {
        match self.tell("note", &row) {
            Ok(()) => self.memory.note(row),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// Permits at once, of a host that answers others or not, counted.
#[derive(Debug, Default)]
struct Counting {
    given: Mutex<Vec<Turn>>,
    told: Mutex<Vec<String>>,
    /// The host answers nobody.
    is_away: AtomicBool,
    /// Permits that are stale by the time they come.
    stale: Mutex<u32>,
    gives_up: AtomicBool,
}

impl Permits for Counting {
    fn permit<'a>(&'a self, _: &'a str, turn: Turn) -> Pin<Box<dyn Future<Output = Result<Permit, NoPermit>> + Send + 'a>> {
        Box::pin(async move {
            if self.gives_up.load(Ordering::SeqCst) {
                return Err(NoPermit::GaveUp("h:80 has been away for 2h".into()));
            }
            self.given.lock().unwrap().push(turn);
            let permit = Permit { given: Instant::now() };
            let is_stale = {
                let mut stale = self.stale.lock().unwrap();
                let is_stale = *stale > 0;
                *stale = stale.saturating_sub(1);
                is_stale
            };
            if is_stale {
                tokio::time::sleep(Permit::GOOD_FOR * 2).await;
            }
            Ok(permit)
        })
    }

    fn heard(&self, _: &str, heard: Heard<'_>) {
        self.told.lock().unwrap().push(match heard {
            Heard::Answer { status, .. } => status.to_string(),
            Heard::Unreachable(_) => "unreachable".into(),
            Heard::Silent => "silent".into(),
            Heard::Unused => "unused".into(),
        });
    }

    fn has_answered_since(&self, _: &str, _: Instant) -> bool {
        !self.is_away.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Default)]
struct NoDesk(Mutex<Vec<String>>);

impl Desk for NoDesk {
    fn beginning(&self, _: &Batch, _: Repeat) -> Begun {
        Begun::Unmarked
    }

    fn starting<'a>(&'a self, _: &'a Item, _: Repeat) -> Pin<Box<dyn Future<Output = Option<usize>> + Send + 'a>> {
        Box::pin(std::future::ready(None))
    }

    fn ended_now(&self, _: &Item, ended: Ended, _: Repeat) -> Result<bool, Ended> {
        self.0.lock().unwrap().push(format!("{:?}", ended.outcome));
        Ok(true)
    }

    fn ended<'a>(&'a self, _: &'a Item, _: Ended, _: Repeat) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn left(&self, _: usize) {}

    fn surroundings(&self, _: &Item, error: JobError) {
        self.0.lock().unwrap().push(error.to_string());
    }

    fn gave_up(&self, why: String) {
        self.0.lock().unwrap().push(format!("gave up: {why}"));
    }
}

/// A job that does nothing: the tests make its steps themselves.
struct Idle;

impl Job for Idle {
    const NAME: &'static str = "idle";
    const REPEAT: Repeat = Repeat::Steps;
    type Config = Value;
    type Input = Value;
    type Output = ();

    fn new(_: Value, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    async fn run(&self, _: Value, _: &Attempt<'_>) -> Result<(), JobError> {
        Ok(())
    }
}

/// One item with its ledger, from process to process.
struct Bench {
    ledger: Arc<Telling>,
    permits: Arc<Counting>,
    desk: NoDesk,
    log: Log,
    stop: CancellationToken,
    cancelled: CancellationToken,
    item: Item,
    redrive: u32,
    lane: Option<LaneContext>,
    clock: Clock,
}

fn retry() -> Retry {
    Retry { initial_interval: Duration::from_secs(1), max_retries: 3, jitter: Jitter::None, ..Retry::default() }
}

impl Bench {
    fn new() -> Self {
        let log = Log::default();
        let ledger = Arc::new(Telling { memory: Memory::default(), log: Arc::clone(&log), full: AtomicBool::new(false) });
        Self {
            ledger,
            permits: Arc::new(Counting::default()),
            desk: NoDesk::default(),
            log,
            stop: CancellationToken::new(),
            cancelled: CancellationToken::new(),
            item: Item { index: 7, key: ItemKey::Name("o7".into()), value: json!({}) },
            redrive: 0,
            lane: None,
            clock: Clock::beginning_at(1_000_000_000_000),
        }
    }

    fn worker<J: Job>(&self, item_timeout: Option<Duration>, config: Value) -> Worker {
        let settings = WorkerSettings {
            workflow: "w".into(),
            run: "r".into(),
            params: Params::new(json!({})),
            retry: retry(),
            item_timeout,
            concurrency: None,
            clock: self.clock,
            ledger: self.ledger.clone(),
            permits: self.permits.clone(),
        };
        let jobs = Jobs::default().with::<J>();
        let kind = jobs.get(J::NAME).unwrap();
        Worker::new(kind, kind.make(config, &Setup::for_tests()).unwrap(), settings, self.stop.clone())
    }

    fn script(&self, lines: &[Line], probes: Vec<Result<Probed, NoAnswer>>) -> Script {
        Script {
            lines: Mutex::new(lines.iter().cloned().collect()),
            probes: Mutex::new(probes.into()),
            arrivals: Mutex::default(),
            probed_at: Mutex::default(),
            began: Instant::now(),
            log: Arc::clone(&self.log),
        }
    }

    /// Makes the step as a process would that has just begun.
    async fn step(&self, policy: &StepPolicy<'_>, script: &Script) -> Result<Arc<Answer>, JobError> {
        let worker = self.worker::<Idle>(None, json!({}));
        let item = ItemCalls::new(&worker, &self.item, self.redrive, self.lane.as_ref(), &self.desk);
        let services = TryCalls { item: &item, cancelled: &self.cancelled };
        services.step("pay", 0, policy, script).await
    }

    /// The same with these answers, all of which must be asked for.
    async fn play(&self, policy: &StepPolicy<'_>, lines: &[Line]) -> (Result<Arc<Answer>, JobError>, Vec<Arrival>) {
        let script = self.script(lines, Vec::new());
        let ended = self.step(policy, &script).await;
        assert!(script.next().is_none(), "not all of the script was asked for");
        let given = self.permits.given.lock().unwrap().len();
        assert_eq!(self.permits.told.lock().unwrap().len(), given, "every permit is told of exactly once");
        (ended, script.arrivals.into_inner().unwrap())
    }

    async fn row(&self) -> CallRow {
        let owner = self.lane.as_ref().map_or(self.item.index, |lane| lane.first);
        let mut rows = self.ledger.rows(owner).await.unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// As a process leaves it that dies with a call under way.
    async fn die_after_start(&self, policy: &StepPolicy<'_>) {
        let script = self.script(&[Line::Slow(Duration::from_secs(3600), 200)], Vec::new());
        let died = tokio::time::timeout(Duration::from_millis(1), self.step(policy, &script)).await;
        assert!(died.is_err());
        self.permits.told.lock().unwrap().clear();
        self.permits.given.lock().unwrap().clear();
    }

    fn logged(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn policy(repeat: StepRepeat) -> StepPolicy<'static> {
    let on_unknown = if repeat == StepRepeat::Once { OnUnknown::Hold } else { OnUnknown::RetrySameKey };
    StepPolicy {
        host: "h:80",
        repeat,
        on_unknown,
        probe: None,
        retry: None,
        expected: &[],
        retried: &[],
        once_per_lane: false,
        fresh: false,
        family: "Http",
    }
}

const KEYED: StepRepeat = StepRepeat::Keyed { ttl: Some(Duration::from_secs(1000)) };

#[track_caller]
fn status(ended: &Result<Arc<Answer>, JobError>) -> u16 {
    ended.as_ref().unwrap_or_else(|error| panic!("{error}")).status
}

/// Its kind and its name.
#[track_caller]
fn error(ended: &Result<Arc<Answer>, JobError>) -> (JobErrorKind, &str) {
    let error = ended.as_ref().expect_err("an error");
    (error.kind, error.name())
}
