//! The states of a child execution: one batch is worked, gone on with after long pauses, and asked for again when a worker died.

use serde_json::json;

use super::definition::{Catcher, Choice, ChoiceRule, Fail, Invocation, Pass, Retrier, State, States, Succeed, Task, Test, Wait};
use super::machine::WORKER;

pub(super) const INVOKE: &str = "arn:aws:states:::lambda:invoke";

/// How often a batch is asked for again whose worker died. What is finished by then is not done again, and an item that kills its worker
/// is told from the others one by one.
const MOST_ASKED_AGAIN: u32 = 10;

/// How a worker ends that gave no answer: out of time, out of memory, by a signal or an exit. What Lambda calls that differs from runtime to
/// runtime (`Lambda.Unknown`, `Sandbox.Timedout`, `Runtime.ExitError`, …), so that all of it is meant.
pub(super) const CRASHES: &[&str] = &["States.TaskFailed", "States.Timeout"];

/// What no other try can change: the function is not there or may not be invoked, or the worker says that it cannot begin.
const HOPELESS: &[&str] = &["Worker.Refused", "Lambda.ResourceNotFoundException", "Lambda.AccessDeniedException"];

/// What is tried again by Step Functions itself: the function was not run, or it is not known whether it was.
pub(super) fn lambda_errors() -> Retrier {
    Retrier {
        error_equals: &[
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.TooManyRequestsException",
        ],
        interval_seconds: 2,
        max_attempts: 6,
        backoff_rate: 2,
        jitter_strategy: "FULL",
    }
}

/// The states of a child, which begins with `Work`.
pub(super) fn child() -> States {
    let again = "$.BatchInput.asked.again";
    States(vec![
        (
            "Work",
            State::Task(Box::new(Task {
                comment: "One batch. A worker that dies leaves behind what it has finished.",
                resource: INVOKE,
                parameters: Invocation {
                    function_name: WORKER,
                    payload: json!({
                        "BatchInput.$": "$.BatchInput",
                        "Items.$": "$.Items",
                        "Child": { "name.$": "$$.Execution.Name", "started.$": "$$.Execution.StartTime" },
                    }),
                },
                result_selector: None,
                result_path: None,
                output_path: Some("$.Payload"),
                retry: vec![lambda_errors()],
                catch: vec![
                    Catcher { error_equals: HOPELESS, result_path: Some("$"), next: "Refused" },
                    Catcher { error_equals: CRASHES, result_path: None, next: "Ask again" },
                ],
                next: "Is there a rest",
            })),
        ),
        (
            "Is there a rest",
            State::Choice(Choice {
                comment: "A worker that has to wait for longer than it may says until when, and gives back what is left.",
                choices: vec![ChoiceRule { variable: "$.wait_until", test: Test::IsPresent(true), next: "Wait" }],
                default: "Batch done",
            }),
        ),
        (
            "Wait",
            State::Wait(Wait {
                comment: "Nobody is paid for this pause.",
                timestamp_path: "$.wait_until",
                output_path: "$.rest",
                next: "Work",
            }),
        ),
        ("Batch done", State::Succeed(Succeed {})),
        (
            "Ask again",
            State::Pass(Pass {
                comment: "The next worker does what has no outcome yet.",
                result: None,
                parameters: Some(json!({ "again.$": format!("States.MathAdd({again}, 1)") })),
                result_path: Some("$.BatchInput.asked"),
                next: "Asked enough",
            }),
        ),
        (
            "Asked enough",
            State::Choice(Choice {
                comment: "Not for ever.",
                choices: vec![ChoiceRule {
                    variable: again,
                    test: Test::NumericGreaterThanEquals(MOST_ASKED_AGAIN + 1),
                    next: "Given up",
                }],
                default: "Work",
            }),
        ),
        (
            "Given up",
            State::Fail(Fail {
                error: Some("Worker.Crashed"),
                cause: Some("the worker died again and again; the gate says which items have no outcome"),
                error_path: None,
                cause_path: None,
            }),
        ),
        ("Refused", State::Fail(Fail { error: None, cause: None, error_path: Some("$.Error"), cause_path: Some("$.Cause") })),
    ])
}
