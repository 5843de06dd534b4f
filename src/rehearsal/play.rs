//! [`rehearse`]: plays one test and says how it went.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::compare::Difference;
use super::desk::Stage;
use super::judge::{Played, judge};
use super::lanes::MemoryLanes;
use super::script::{Script, Scripted, What};
use crate::batch::Batch;
use crate::call::Answer;
use crate::error::{Error, Result};
use crate::event::Unobserved;
use crate::item::Item;
use crate::job::{AnyJob, JobKind, Jobs, Setup, Wire};
use crate::lanes::LaneKey;
use crate::ledger::Memory;
use crate::nearest::nearest;
use crate::outcome::Outcome;
use crate::permits::HostPermits;
use crate::reader::{Judged, Selection};
use crate::secrets::Secrets;
use crate::storage::Storages;
use crate::worker::{Bundle, Clock, LaneItem, Worker, WorkerSettings};
use crate::workflow::{Bound, Dropped, OnFailure, TestAnswer, TestCase, Workflow};

/// The one job whose requests can be answered by a script.
const JOB: &str = "http_chain";

/// When a rehearsal begins, in milliseconds since 1970: always the same.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// What the waits of a rehearsal are drawn from: always the same.
const SEED: u64 = 1;

/// How a test went.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    /// The test's name.
    pub name: String,
    /// What was not as expected; if nothing, it passed.
    pub differences: Vec<Difference>,
    /// How many requests each step sent.
    pub calls: BTreeMap<String, usize>,
    /// How long it took in virtual time.
    pub waited: Duration,
}

/// The tests of a workflow, in the order of the file.
///
/// # Errors
/// The workflow has none, or its job cannot be rehearsed.
pub(crate) fn cases(workflow: &Workflow) -> Result<Vec<TestCase>> {
    let cases = workflow.tests();
    if cases.is_empty() {
        return Err(Error::refused(format!("`{}` has no tests", workflow.file)).hint("write some under `tests:`"));
    }
    Ok(cases)
}

/// Plays test number `number` of the workflow, from 0.
///
/// # Errors
/// Mistakes in the test or, with its params, in the workflow. A test that fails is no error.
pub(crate) fn rehearse(workflow: &Workflow, jobs: &Jobs, number: usize, case: &TestCase) -> Result<Rehearsal> {
    let bound = workflow.bind_test(case)?;
    let place = format!("tests[{number}]");
    let wrong = |path: &str, detail: String| {
        let path = format!("{place}.{path}");
        Error::refused(format!("`{path}`: {detail}")).at(Some(workflow.place_of(&path)))
    };
    let name = &bound.settings.job.name;
    let Some(kind) = jobs.get(name).filter(|_| name == JOB) else {
        return Err(wrong("answers", format!("the requests of `{JOB}` can be answered by a test, those of `{name}` cannot")));
    };
    check_steps(&bound.settings.job.config, case, &wrong)?;
    let items = items(&bound, case, &wrong)?;
    let stop = CancellationToken::new();
    let script = Arc::new(Script::new(answers(case), stop.clone()));
    let wire: Arc<dyn Wire> = script.clone();
    let setup = setup(workflow, &bound, wire);
    let job = kind.make(bound.settings.job.config.clone(), &setup).map_err(|error| workflow.place_config_error(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| Error::surroundings(format!("no runtime can be started: {error}")))?;
    // Everything happens on this thread.
    fastrand::seed(SEED);
    let played = runtime.block_on(play(kind, job, workflow, &bound, items, script, stop));
    let calls = played.steps.iter().map(|(name, step)| (name.clone(), step.sent.len())).collect();
    let waited = played.waited;
    Ok(Rehearsal { name: case.name.clone(), differences: judge(&case.assert, &played), calls, waited })
}

/// An item of a test; `ended` if it needs no worker.
struct Rehearsed {
    item: Item,
    ended: Option<Outcome>,
    lane: Option<String>,
}

async fn play(
    kind: &JobKind,
    job: Arc<dyn AnyJob>,
    workflow: &Workflow,
    bound: &Bound,
    items: Vec<Rehearsed>,
    script: Arc<Script>,
    stop: CancellationToken,
) -> Played {
    let began = Instant::now();
    let settings = &bound.settings;
    let stage = Stage::new(stop.clone());
    let keys: Vec<(u64, String)> = items.iter().map(|one| (one.item.index, one.item.key.to_string())).collect();
    let worker = worker(kind, job, workflow, bound, stop);
    match &settings.order {
        Some(order) => {
            let items = items
                .into_iter()
                .map(|Rehearsed { item, ended, lane }| (lane.unwrap_or_default(), LaneItem { item, ended, previous: None }));
            let lanes = MemoryLanes::of(items);
            let bundle = Bundle {
                lanes: lanes.count(),
                at_once: 1,
                goes_on: order.on_failure == OnFailure::Continue,
                items: Box::new(lanes),
                redriven: Arc::default(),
            };
            worker.run_lanes(&bundle, &stage).await;
        }
        None => {
            let mut batch = Batch { id: 0, items: Vec::new(), redriven: Arc::default() };
            for Rehearsed { item, ended, .. } in items {
                match ended {
                    Some(outcome) => stage.keep(item.index, outcome),
                    None => batch.items.push(item),
                }
            }
            worker.run(&batch, &stage).await;
        }
    }
    let waited = began.elapsed();
    let (mut outcomes, stopped) = stage.end();
    let (steps, ran_out) = script.end();
    let items = keys.into_iter().map(|(index, key)| (key, outcomes.remove(&index))).collect();
    Played { items, steps, ran_out, stopped, waited }
}

/// The worker of a rehearsal: one item at a time, a ledger and permits in memory, a clock that always begins at the same time.
pub(super) fn worker(
    kind: &JobKind,
    job: Arc<dyn AnyJob>,
    workflow: &Workflow,
    bound: &Bound,
    stop: CancellationToken,
) -> Worker {
    let settings = &bound.settings;
    let worker = WorkerSettings {
        workflow: workflow.name.as_str().into(),
        run: "rehearsal".into(),
        params: bound.params.clone(),
        retry: settings.retry.clone(),
        item_timeout: settings.item_timeout,
        concurrency: Some(1),
        clock: Clock::beginning_at(BEGIN_MS),
        ledger: Arc::new(Memory::default()),
        permits: Arc::new(HostPermits::in_memory(settings.rate.clone(), &settings.outage, Arc::new(Unobserved))),
    };
    Worker::new(kind, job, worker, stop)
}

/// What the job is made with: pretended secrets, and this wire in place of the network.
pub(super) fn setup(workflow: &Workflow, bound: &Bound, wire: Arc<dyn Wire>) -> Setup {
    let pretended = bound.settings.secrets.keys().map(|name| (name.clone(), format!("secret:{name}"))).collect();
    Setup {
        workflow: workflow.name.as_str().into(),
        run: "rehearsal".into(),
        params: Arc::new(bound.params.value().clone()),
        source: bound.settings.items.location().cloned(),
        storages: Storages::new("rehearsal"),
        within: workflow.within(),
        succeeded: 0,
        secrets: Arc::new(Secrets::new(pretended)),
        wire: Some(wire),
        one_of_many: false,
    }
}

/// The items of a test, selected, called and in their lanes as the workflow says.
fn items(bound: &Bound, case: &TestCase, wrong: &impl Fn(&str, String) -> Error) -> Result<Vec<Rehearsed>> {
    let selection = Selection::in_hand(&bound.settings.items, &bound.params);
    let lane_key = bound.settings.order.as_ref().map(|order| LaneKey::new(&order.by, &bound.params));
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(case.items.len());
    for (index, value) in case.items.iter().enumerate() {
        let place = format!("items[{index}]");
        let key = selection.key(value, index as u64).map_err(|failure| wrong(&place, failure.cause))?;
        if !seen.insert(key.to_string()) {
            return Err(wrong(&place, format!("there is another item with the key `{key}`")));
        }
        let ended = match selection.judge(value) {
            Ok(Judged::Selected) => None,
            Ok(Judged::LeftOut(why)) => Some(Outcome::Skipped(why)),
            Err(failure) => Some(Outcome::Failed(failure)),
        };
        let lane = match (&lane_key, &ended) {
            (Some(lane), None) => match lane.name(value) {
                Some(name) => Some(name),
                None => return Err(wrong(&place, "`order.by` gives it no lane".to_string())),
            },
            // What is left out is in nobody's way.
            (Some(_), Some(_)) => Some(format!("left out: {key}")),
            (None, _) => None,
        };
        items.push(Rehearsed { item: Item { index: index as u64, key, value: value.clone() }, ended, lane });
    }
    Ok(items)
}

/// Steps that a test names and the job does not have.
fn check_steps(config: &Value, case: &TestCase, wrong: &impl Fn(&str, String) -> Error) -> Result<()> {
    let steps = config.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = steps.iter().filter_map(|step| step.get("name")?.as_str()).chain(["token"]).collect();
    let named = [
        ("answers", case.answers.keys().collect::<Vec<_>>()),
        ("assert.calls", case.assert.calls.keys().collect()),
        ("assert.sent", case.assert.sent.keys().collect()),
    ];
    let mut errors = Vec::new();
    for (section, found) in named {
        for name in found.into_iter().filter(|name| !names.contains(&name.as_str())) {
            let error = wrong(&format!("{section}.{name}"), format!("there is no step `{name}`"));
            errors.push(match nearest(name, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("the steps are {}", crate::nearest::list(names.iter().copied(), 24))),
            });
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}

fn answers(case: &TestCase) -> BTreeMap<String, Vec<Scripted>> {
    let each = |answer: &TestAnswer| std::iter::repeat_n(scripted(answer), answer.repeat as usize);
    case.answers.iter().map(|(step, answers)| (step.clone(), answers.iter().flat_map(each).collect())).collect()
}

fn scripted(answer: &TestAnswer) -> Scripted {
    let what = match answer.drop {
        Some(Dropped::Before) => What::DropBefore,
        Some(Dropped::After) => What::DropAfter,
        None => {
            let mut headers: Vec<(String, String)> =
                answer.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
            let body = match (&answer.json, &answer.text) {
                (Some(json), _) => {
                    if headers.iter().all(|(name, _)| name != "content-type") {
                        headers.push(("content-type".to_string(), "application/json".to_string()));
                    }
                    Bytes::from(json.to_string())
                }
                (None, Some(text)) => Bytes::from(text.clone()),
                (None, None) => Bytes::new(),
            };
            What::Answer(Answer { status: answer.status.unwrap_or(200), headers, body })
        }
    };
    Scripted { takes: answer.takes.unwrap_or_default(), what }
}
