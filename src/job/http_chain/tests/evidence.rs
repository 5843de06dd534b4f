//! What is done about an unknown: by evidence, and what a probe finds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::stage::{job, run_by};
use crate::call::{Answer, NoAnswer};
use crate::job::{Call, JobError, OnUnknown, Probed, Sender, Sent, Services, StepPolicy, StepRepeat};

/// Keeps how a step is called, and what its probe says.
#[derive(Default)]
struct Witness {
    policies: Mutex<Vec<(StepRepeat, OnUnknown, Option<Duration>, Vec<u16>, Vec<u16>)>>,
    probed: Mutex<Vec<Result<Probed, NoAnswer>>>,
}

impl Services for Witness {
    fn step<'a>(
        &'a self,
        _: &'a str,
        _: u32,
        policy: &'a StepPolicy<'a>,
        sender: &'a dyn Sender,
    ) -> Sent<'a, Result<Arc<Answer>, JobError>> {
        Box::pin(async move {
            let (expected, retried) = (policy.expected.to_vec(), policy.retried.to_vec());
            self.policies.lock().expect("not poisoned").push((policy.repeat, policy.on_unknown, policy.probe, expected, retried));
            let probed = sender.probe(Call { key: "the-key", number: 1 }).await;
            self.probed.lock().expect("not poisoned").push(probed);
            Ok(Arc::new(Answer { status: 200, headers: Vec::new(), body: b"{}".to_vec().into() }))
        })
    }

    fn permit<'a>(&'a self, _: &'a str) -> Sent<'a, Result<(), JobError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn heard(&self, _: &str, _: &Result<Answer, NoAnswer>) {}
}

async fn witnessed(step: Value, url: &str) -> Witness {
    let mut step = step;
    step["name"] = json!("a");
    let job = job(json!({ "base_url": url, "auth": { "bearer": "{{ secrets.user }}" }, "steps": [step] }));
    let job = job.unwrap_or_else(|error| panic!("{error}"));
    let witness = Witness::default();
    run_by(&job, &witness, json!({ "id": "o/1" }), &Value::Null, 0).await.expect("a success");
    witness
}

#[tokio::test]
async fn an_unknown_is_dealt_with_by_evidence() {
    let wait = Duration::from_secs(7);
    let day = Duration::from_secs(86_400);
    let probe = json!({ "get": "/p", "found": "{{ true }}", "wait": "7s" });
    let (retry, asked, hold) = (OnUnknown::RetrySameKey, OnUnknown::Probe { wait }, OnUnknown::Hold);
    let (safe, idempotent, once) = (StepRepeat::Safe, StepRepeat::Idempotent, StepRepeat::Once);
    let keyed = |ttl| StepRepeat::Keyed { ttl };
    for (step, expected) in [
        (json!({ "get": "/a" }), (safe, retry, None)),
        (json!({ "post": "/a", "effect": false }), (safe, retry, None)),
        (json!({ "get": "/a", "effect": true }), (once, hold, None)),
        (json!({ "put": "/a" }), (idempotent, retry, None)),
        (json!({ "delete": "/a" }), (idempotent, retry, None)),
        (json!({ "put": "/a", "effect": true }), (once, hold, None)),
        (json!({ "put": "/a", "on_unknown": "hold" }), (idempotent, hold, None)),
        (json!({ "put": "/a", "on_unknown": "probe", "probe": probe }), (idempotent, asked, Some(wait))),
        (json!({ "post": "/a" }), (once, hold, None)),
        (json!({ "method": "REPORT", "path": "/a" }), (once, hold, None)),
        (json!({ "post": "/a", "probe": probe }), (once, asked, Some(wait))),
        (json!({ "patch": "/a", "idempotency": {} }), (keyed(None), retry, None)),
        (json!({ "post": "/a", "idempotency": { "ttl": "24h" }, "probe": probe }), (keyed(Some(day)), retry, Some(wait))),
        (json!({ "post": "/a", "idempotency": {}, "on_unknown": "hold" }), (keyed(None), hold, None)),
    ] {
        let witness = witnessed(step.clone(), "http://127.0.0.1:9").await;
        let policies = witness.policies.lock().expect("not poisoned");
        let (repeat, on_unknown, probe, ..) = policies.first().expect("one call");
        assert_eq!((*repeat, *on_unknown, *probe), expected, "{step}");
    }
    let step = json!({ "get": "/a", "expect": ["2xx", 404], "also_retry": [409, "5xx"] });
    let witness = witnessed(step, "http://127.0.0.1:9").await;
    let policies = witness.policies.lock().expect("not poisoned");
    let (.., expected, retried) = policies.first().expect("one call");
    assert_eq!((expected.as_slice(), retried.len(), retried.first()), (&[404][..], 101, Some(&409)));
}

#[tokio::test]
async fn a_probe_finds_it_or_finds_it_missing_or_says_nothing() {
    let happened = |status: u16, body: &str| Some((status, body.to_string()));
    for (reply, found, capture, expected) in [
        (
            Reply::json(200, r#"{"data":[{"id":7}]}"#),
            "{{ body.data | length > 0 }}",
            Some("{{ body.data[0] }}"),
            Ok(happened(200, r#"{"id":7}"#)),
        ),
        (Reply::json(200, r#"{"id":7}"#), "{{ status == 200 }}", None, Ok(happened(200, r#"{"id":7}"#))),
        (Reply::json(200, r#"{"data":[]}"#), "{{ body.data | length > 0 }}", Some("{{ body.data[0] }}"), Ok(None)),
        (Reply::json(404, "gone"), "{{ status == 200 }}", None, Ok(None)),
        (
            Reply::json(404, "gone"),
            "{{ body.data | length > 0 }}",
            None,
            Err("`probe.found`: `body` is a text, it has no `data`"),
        ),
        (Reply::json(503, "busy"), "{{ status == 200 }}", None, Err("the probe says nothing: busy")),
        (Reply::json(401, "who?"), "{{ status == 200 }}", None, Err("the probe says nothing: who?")),
        (Reply::json(200, "{}"), "{{ true }}", Some("{{ body.id }}"), Err("`probe.capture`: `body` has no `id`, it is empty")),
    ] {
        let server = Server::start(move |_| reply.clone()).await;
        let mut probe = json!({ "get": "/p?reference={{ item.id }}", "found": found, "wait": "1s" });
        if let Some(capture) = capture {
            probe["capture"] = json!(capture);
        }
        let witness = witnessed(json!({ "post": "/a", "json": {}, "probe": probe }), &server.url()).await;
        let probed = witness.probed.lock().expect("not poisoned").pop().expect("one probe");
        let probed = match probed {
            Ok(Probed::Happened(answer)) => Ok(Some((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))),
            Ok(Probed::DidNotHappen) => Ok(None),
            Err(NoAnswer::Unusable { cause, .. }) => Err(cause),
            Err(other) => Err(format!("{other:?}")),
        };
        assert_eq!(probed, expected.map_err(str::to_string), "{found}");
        let [asked] = <[_; 1]>::try_from(server.requests()).expect("one request");
        assert_eq!((asked.line.as_str(), asked.header("authorization")), ("GET /p?reference=o%2F1", Some("Bearer ada-secret")));
        assert_eq!(asked.body, "");
    }
}
