//! The states of a child execution: one batch is worked, gone on with after long pauses, and asked for again when a worker died.

use serde_json::json;

use super::definition::{Catcher, Choice, ChoiceRule, Fail, Invocation, Pass, Retrier, State, States, Succeed, Task, Test, Wait};
use super::machine::WORKER;
use crate::workflow::ExecutionType;

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

/// The names of the states of a child: no name may stand twice in a definition.
pub(super) struct Names {
    pub work: &'static str,
    is_there_a_rest: &'static str,
    wait: &'static str,
    done: &'static str,
    ask_again: &'static str,
    asked_enough: &'static str,
    given_up: &'static str,
    refused: &'static str,
}

pub(super) const OF_MAP: Names = Names {
    work: "Work",
    is_there_a_rest: "Is there a rest",
    wait: "Wait",
    done: "Batch done",
    ask_again: "Ask again",
    asked_enough: "Asked enough",
    given_up: "Given up",
    refused: "Refused",
};

pub(super) const OF_REDRIVEN: Names = Names {
    work: "Work (redriven)",
    is_there_a_rest: "Is there a rest (redriven)",
    wait: "Wait (redriven)",
    done: "Batch done (redriven)",
    ask_again: "Ask again (redriven)",
    asked_enough: "Asked enough (redriven)",
    given_up: "Given up (redriven)",
    refused: "Refused (redriven)",
};

/// How long an express child may take, in seconds; a worker is told, so that it stops in time.
const EXPRESS_ENDS_AFTER: u32 = 300;

/// The states of a child, which begins with `names.work`.
pub(super) fn child(names: &Names, kind: ExecutionType) -> States {
    let again = "$.BatchInput.asked.again";
    let mut told = json!({ "name.$": "$$.Execution.Name", "started.$": "$$.Execution.StartTime" });
    if kind == ExecutionType::Express {
        told["ends_after"] = EXPRESS_ENDS_AFTER.into();
    }
    States(vec![
        (
            names.work,
            State::Task(Box::new(Task {
                comment: "One batch. A worker that dies leaves behind what it has finished.",
                resource: INVOKE,
                parameters: Invocation {
                    function_name: WORKER,
                    payload: json!({
                        "BatchInput.$": "$.BatchInput",
                        "Items.$": "$.Items",
                        "Child": told,
                    }),
                },
                result_selector: None,
                result_path: None,
                output_path: Some("$.Payload"),
                retry: vec![lambda_errors()],
                catch: vec![
                    Catcher { error_equals: HOPELESS, result_path: Some("$"), next: names.refused },
                    Catcher { error_equals: CRASHES, result_path: None, next: names.ask_again },
                ],
                next: names.is_there_a_rest,
            })),
        ),
        (
            names.is_there_a_rest,
            State::Choice(Choice {
                comment: "A worker that has to wait for longer than it may says until when, and gives back what is left.",
                choices: vec![ChoiceRule { variable: "$.wait_until", test: Test::IsPresent(true), next: names.wait }],
                default: names.done,
            }),
        ),
        (
            names.wait,
            State::Wait(Wait {
                comment: "Nobody is paid for this pause.",
                timestamp_path: "$.wait_until",
                output_path: "$.rest",
                next: names.work,
            }),
        ),
        (names.done, State::Succeed(Succeed {})),
        (
            names.ask_again,
            State::Pass(Pass {
                comment: "The next worker does what has no outcome yet.",
                input_path: None,
                result: None,
                parameters: Some(json!({ "again.$": format!("States.MathAdd({again}, 1)") })),
                result_path: Some("$.BatchInput.asked"),
                next: names.asked_enough,
            }),
        ),
        (
            names.asked_enough,
            State::Choice(Choice {
                comment: "Not for ever.",
                choices: vec![ChoiceRule {
                    variable: again,
                    test: Test::NumericGreaterThanEquals(MOST_ASKED_AGAIN + 1),
                    next: names.given_up,
                }],
                default: names.work,
            }),
        ),
        (
            names.given_up,
            State::Fail(Fail {
                error: Some("Worker.Crashed"),
                cause: Some("the worker died again and again; the gate says which items have no outcome"),
                error_path: None,
                cause_path: None,
            }),
        ),
        (names.refused, State::Fail(Fail { error: None, cause: None, error_path: Some("$.Error"), cause_path: Some("$.Cause") })),
    ])
}
