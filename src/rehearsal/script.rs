//! [`Script`]: the wire of a rehearsal. It answers every step as written, in order, and remembers what was sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::call::{Answer, NoAnswer};
use crate::job::{Sent, Wire, WireRequest};

/// What calls for a token belong to. They are answered without being written.
const TOKEN: &str = "token";

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scripted {
    /// How long it takes, in virtual time. Longer than the request's timeout, it times out.
    pub takes: Duration,
    pub what: What,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// This answer.
    Answer(Answer),
    /// The connection is refused: nothing is sent.
    DropBefore,
    /// It is sent, and the connection breaks.
    DropAfter,
}

/// Answers as written, for each step in order, and remembers what was sent.
#[derive(Debug)]
pub(super) struct Script {
    state: Mutex<State>,
    /// Cancelled when the answers of a step ran out: nothing that follows would mean anything.
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    steps: BTreeMap<String, Step>,
    ran_out: Option<RanOut>,
}

/// The answers of a step and the requests that it sent.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub answers: Vec<Scripted>,
    pub sent: Vec<Value>,
}

/// A request that no answer was written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RanOut {
    pub step: String,
    /// Which request of the step, from 1.
    pub request: usize,
    /// Method and URL.
    pub what: String,
}

impl Script {
    /// With these answers, by step.
    pub fn new(answers: BTreeMap<String, Vec<Scripted>>, stop: CancellationToken) -> Self {
        let step = |answers| Step { answers, sent: Vec::new() };
        let steps = answers.into_iter().map(|(name, answers)| (name, step(answers))).collect();
        Self { state: Mutex::new(State { steps, ran_out: None }), stop }
    }

    /// What was sent, by step, and the request that no answer was written for, if there was one.
    pub fn end(&self) -> (BTreeMap<String, Step>, Option<RanOut>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut state.steps), state.ran_out.take())
    }

    /// Remembers the request and takes its answer.
    fn take(&self, request: &WireRequest) -> Option<Scripted> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        if request.step == TOKEN && !state.steps.contains_key(TOKEN) {
            return Some(granted());
        }
        let step = state.steps.entry(request.step.clone()).or_default();
        step.sent.push(shown(request));
        let number = step.sent.len();
        let answer = step.answers.get(number - 1).cloned();
        if answer.is_none() && state.ran_out.is_none() {
            let what = format!("{} {}", request.method, request.url);
            state.ran_out = Some(RanOut { step: request.step.clone(), request: number, what });
            self.stop.cancel();
        }
        answer
    }
}

impl Wire for Script {
    fn exchange(&self, request: WireRequest) -> Sent<'_, Result<Answer, NoAnswer>> {
        Box::pin(async move {
            let Some(Scripted { takes, what }) = self.take(&request) else {
                return Err(NoAnswer::Refused("no answer was written for it".to_string()));
            };
            if takes >= request.timeout && what != What::DropBefore {
                tokio::time::sleep(request.timeout).await;
                return Err(NoAnswer::TimedOut("no answer within the step's `timeout`".to_string()));
            }
            tokio::time::sleep(takes).await;
            match what {
                What::Answer(answer) if answer.body.len() as u64 > request.max_response => {
                    let cause = format!("the body is larger than `max_response`, {} bytes", request.max_response);
                    Err(NoAnswer::Unusable { status: answer.status, cause })
                }
                What::Answer(answer) => Ok(answer),
                What::DropBefore => Err(NoAnswer::NotSent("the connection was refused".to_string())),
                What::DropAfter => Err(NoAnswer::Lost("the connection broke before the answer".to_string())),
            }
        })
    }
}

/// A token that nobody else would take.
fn granted() -> Scripted {
    let body = json!({ "access_token": "secret:token", "token_type": "Bearer", "expires_in": 3600 });
    let headers = vec![("content-type".to_string(), "application/json".to_string())];
    let answer = Answer { status: 200, headers, body: Bytes::from(body.to_string()) };
    Scripted { takes: Duration::ZERO, what: What::Answer(answer) }
}

/// A request as asserts see it: a body that is JSON as `json`, another one as `text`.
fn shown(request: &WireRequest) -> Value {
    let mut query = Map::new();
    for (name, value) in request.url.query_pairs() {
        query.insert(name.into_owned(), Value::String(value.into_owned()));
    }
    let mut headers = Map::new();
    for (name, value) in &request.headers {
        headers.insert(name.clone(), Value::String(value.clone()));
    }
    let mut shown = json!({
        "method": request.method, "url": request.url.as_str(), "path": request.url.path(), "query": query, "headers": headers,
    });
    if !request.body.is_empty() {
        match serde_json::from_slice::<Value>(&request.body) {
            Ok(body) => shown["json"] = body,
            Err(_) => shown["text"] = Value::String(String::from_utf8_lossy(&request.body).into_owned()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(step: &str, path: &str) -> WireRequest {
        WireRequest {
            step: step.to_string(),
            call: 0,
            method: "POST".to_string(),
            url: format!("http://api{path}").parse().unwrap(),
            headers: vec![("x-a".to_string(), "b".to_string())],
            body: Bytes::from_static(b"{\"a\":1}"),
            timeout: Duration::from_secs(5),
            max_response: 100,
        }
    }

    const TOO_LONG: &str =
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789+";

    fn script(answers: Vec<Scripted>) -> Script {
        Script::new(BTreeMap::from([("pay".to_string(), answers)]), CancellationToken::new())
    }

    fn answer(body: &'static str) -> What {
        What::Answer(Answer { status: 200, headers: Vec::new(), body: Bytes::from_static(body.as_bytes()) })
    }

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_order_and_one_that_is_not_written_ends_it() {
        let at_once = |what| Scripted { takes: Duration::ZERO, what };
        let script = script(vec![at_once(What::DropBefore), at_once(What::DropAfter), at_once(answer("ok"))]);
        let send = || script.exchange(request("pay", "/a?b=c"));
        assert!(matches!(send().await, Err(NoAnswer::NotSent(_))));
        assert!(matches!(send().await, Err(NoAnswer::Lost(_))));
        assert_eq!(send().await.unwrap().body, "ok");
        assert!(!script.stop.is_cancelled());
        assert!(matches!(send().await, Err(NoAnswer::Refused(_))));
        assert!(script.stop.is_cancelled());
        let (steps, ran_out) = script.end();
        assert_eq!(
            steps["pay"].sent[0],
            json!({ "method": "POST", "url": "http://api/a?b=c", "path": "/a", "query": { "b": "c" }, "headers": { "x-a": "b" }, "json": { "a": 1 } })
        );
        let what = "POST http://api/a?b=c".to_string();
        assert_eq!(ran_out, Some(RanOut { step: "pay".to_string(), request: 4, what }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_or_is_too_large_is_so() {
        let slow = |takes, body| Scripted { takes: Duration::from_secs(takes), what: answer(body) };
        let script = script(vec![slow(5, "ok"), slow(4, "ok"), slow(0, TOO_LONG)]);
        let began = tokio::time::Instant::now();
        assert!(matches!(script.exchange(request("pay", "/")).await, Err(NoAnswer::TimedOut(_))));
        assert!(script.exchange(request("pay", "/")).await.is_ok());
        assert_eq!(began.elapsed().as_secs(), 9);
        assert!(matches!(script.exchange(request("pay", "/")).await, Err(NoAnswer::Unusable { status: 200, .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_given_without_being_written() {
        let script = script(Vec::new());
        assert_eq!(script.exchange(request(TOKEN, "/token")).await.unwrap().status, 200);
        assert!(script.end().0.get(TOKEN).is_none());
    }
}
