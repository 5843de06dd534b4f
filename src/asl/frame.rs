//! What stands around the maps: which run an execution belongs to and with which params, and the gate behind them.

use serde_json::{Map as Object, Value, json};

use super::child::{CRASHES, INVOKE, lambda_errors};
use super::definition::{Choice, ChoiceRule, Fail, Invocation, Pass, Retrier, State, Succeed, Task, Test};
use super::machine::{MAP, REDRIVEN, RESULTS, WORKER};

/// What an execution begins with: its params, and the run that it works on. An execution without `resume` and `redrive` is a run of its own,
/// and gives it its name.
pub(super) fn begin(workflow: &str, known: Object<String, Value>, batch: Batch) -> Vec<(&'static str, State)> {
    let is_there = |variable, next| ChoiceRule { variable, test: Test::IsPresent(true), next };
    let work = |run: &str, mut more: Value| {
        let mut work = json!({
            "run.$": run,
            "results": {
                "bucket": RESULTS,
                "prefix.$": format!("States.Format('{workflow}/{{}}/', {run})"),
            },
            "params.$": "States.JsonMerge($.defaults, $.params, false)",
        });
        if let (Value::Object(work), Value::Object(more)) = (&mut work, &mut more) {
            work.append(more);
        }
        Some(work)
    };
    let pass = |comment, result, parameters, result_path, next| {
        State::Pass(Pass { comment, input_path: None, result, parameters, result_path, next })
    };
    // As many as the workflow says, unless the redrive says otherwise.
    let usual = match batch {
        Batch::Of(most) => Pass { result: Some(most.into()), ..usual_batch() },
        Batch::By(path) => Pass { input_path: Some(path), ..usual_batch() },
    };
    vec![
        (
            "Defaults",
            pass("The params that an execution need not give.", Some(Value::Object(known)), None, Some("$.defaults"), "Given"),
        ),
        (
            "Given",
            State::Choice(Choice {
                comment: "Whether the execution gives params of its own, which come before the defaults.",
                choices: vec![is_there("$.params", "Which run")],
                default: "No params",
            }),
        ),
        ("No params", pass("The defaults alone.", Some(json!({})), None, Some("$.params"), "Which run")),
        (
            "Which run",
            State::Choice(Choice {
                comment: "An execution begins a run, goes on with one, or does items of one again.",
                choices: vec![is_there("$.redrive", "Redrive"), is_there("$.resume", "Resume")],
                default: "Begin",
            }),
        ),
        ("Begin", pass("A run named as this execution.", None, work("$$.Execution.Name", json!({ "round": 0 })), None, MAP)),
        (
            "Resume",
            pass(
                "The source is read again; what has an outcome is not done again.",
                None,
                work("$.resume.run", json!({ "round": 0 })),
                None,
                MAP,
            ),
        ),
        (
            "Redrive",
            pass(
                "Items that are named, and no others.",
                None,
                work(
                    "$.redrive.run",
                    json!({ "round.$": "$.redrive.round", "items.$": "$.redrive.items", "redrive.$": "$.redrive" }),
                ),
                None,
                "Batch size",
            ),
        ),
        (
            "Batch size",
            State::Choice(Choice {
                comment: "A redrive may have batches of its own size.",
                choices: vec![is_there(REDRIVE_BATCH, REDRIVEN)],
                default: "As usual",
            }),
        ),
        ("As usual", State::Pass(usual)),
    ]
}

/// The most items of a batch: a number, or the path in the execution's input where it is.
pub(super) enum Batch {
    Of(u32),
    By(String),
}

/// Where a redrive has the most items of its batches.
pub(super) const REDRIVE_BATCH: &str = "$.redrive.batch";

fn usual_batch() -> Pass {
    Pass {
        comment: "Batches as the workflow has them.",
        input_path: None,
        result: None,
        parameters: None,
        result_path: Some(REDRIVE_BATCH),
        next: REDRIVEN,
    }
}

/// What comes behind the maps: the gate, and how the execution ends by its verdict.
pub(super) fn end() -> Vec<(&'static str, State)> {
    let verdict = |word, next| ChoiceRule { variable: "$.gate.answer.verdict", test: Test::StringEquals(word), next };
    let failed = |error| {
        State::Fail(Fail { error: Some(error), error_path: None, cause: None, cause_path: Some("$.gate.answer.summary") })
    };
    vec![
        ("Gate", State::Task(Box::new(gate()))),
        (
            "Verdict",
            State::Choice(Choice {
                comment: "Items decide, not batches: failed, unknown and blocked ones against `tolerated_failure`.",
                choices: vec![
                    ChoiceRule { variable: "$.gate.answer.rest", test: Test::IsPresent(true), next: "Gate" },
                    verdict("succeeded", "Succeeded"),
                    verdict("stopped", "Stopped"),
                ],
                default: "Beyond tolerance",
            }),
        ),
        ("Succeeded", State::Succeed(Succeed {})),
        ("Stopped", failed("Fanfold.Stopped")),
        ("Beyond tolerance", failed("Fanfold.BeyondTolerance")),
    ]
}

/// Folds the outcomes of all items. One that is not through in its time says so, and is asked to go on.
fn gate() -> Task {
    let crashed = Retrier { error_equals: CRASHES, max_attempts: 2, ..lambda_errors() };
    Task {
        comment: "Folds the outcomes of all items, writes report.json and failed.jsonl, and says the verdict.",
        resource: INVOKE,
        parameters: Invocation { function_name: WORKER, payload: json!({ "Gate.$": "$" }) },
        result_selector: Some(json!({ "answer.$": "$.Payload" })),
        result_path: Some("$.gate"),
        output_path: None,
        retry: vec![lambda_errors(), crashed],
        catch: Vec::new(),
        next: "Verdict",
    }
}
