//! Every way in which the third party misbehaves, from end to end: how the items end, and what happened at the other side.

use serde_json::{Value, json};

use crate::partner::Partner;
use crate::stage::{Done, Running, Stage};

/// Two orders of one customer, billed in order with a key.
fn flow(step: &str) -> String {
    format!(
        "fanfold: 1
name: misbehaviour
params: {{ api: {{ type: url }} }}
secrets: {{ token: {{ env: BILLING_TOKEN }} }}
items: {{ jsonl: {{ source: orders.jsonl }}, key: \"{{{{ item.order }}}}\" }}
order: {{ by: \"{{{{ item.customer }}}}\" }}
tolerated_failure: 100%
retry: {{ initial_interval: 5ms, max_retries: 4, max_interval: 20ms }}
job:
  http_chain:
    base_url: \"{{{{ params.api }}}}\"
    auth: {{ bearer: \"{{{{ secrets.token }}}}\" }}
    timeout: 1s
    max_response: 64KiB
    steps:
      - {{ name: customer, once_per: lane, put: \"/customers/{{{{ item.customer }}}}\", json: {{ name: Ada }} }}
      - name: invoice
        post: /invoices
        json: {{ customer: \"{{{{ item.customer }}}}\", order: \"{{{{ item.order }}}}\", cents: 5, after: \"{{{{ previous.number }}}}\" }}
        {step}
        capture: {{ number: \"{{{{ body.number }}}}\" }}
    output: {{ number: \"{{{{ steps.invoice.number }}}}\" }}
"
    )
}

const KEYED: &str = "idempotency: { header: Idempotency-Key, ttl: 24h }";
const ONCE: &str = "on_unknown: hold";

/// How the two orders ended, the error of the first, how many invoices were made for it, and how often it was asked for.
type Came = (String, String, Option<String>, usize, usize);

fn run(partner: &Partner, stage: &Stage, step: &str) -> Done {
    stage.write("flow.yaml", flow(step));
    stage.write("orders.jsonl", "{\"order\":\"o1\",\"customer\":\"c1\"}\n{\"order\":\"o2\",\"customer\":\"c1\"}\n");
    let mut command = stage.command(&["run", "flow.yaml", "--as", "once", "-p", &format!("api={}", partner.url)]);
    command.env("BILLING_TOKEN", "test-token");
    Running::of(command).wait()
}

fn came(partner: &Partner, stage: &Stage) -> Came {
    let lines = stage.run(&["results", "once"]).ended(0).lines();
    let text = |line: &Value, name: &str| line[name].as_str().map(str::to_string);
    let status = |at: usize| text(&lines[at], "status").unwrap();
    let of_first = |what: &str| {
        let is_it = |line: &&Value| line["path"] == "/invoices" && line["method"] == "POST" && line["order"] == "o1";
        partner.logged(what).iter().filter(is_it).count()
    };
    (status(0), status(1), text(&lines[0], "error"), of_first("effect"), of_first("arrival"))
}

#[track_caller]
fn with_fault(fault: &Value, mode: &str, step: &str) -> Came {
    let stage = Stage::new();
    let partner = Partner::start(&stage, &["--mode", mode]);
    let mut rule = json!({ "route": "POST /invoices", "times": 1 });
    rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    partner.control(&json!({ "rules": [rule] }));
    run(&partner, &stage, step).ended(0);
    assert_eq!(partner.logged("order_break").len(), 0, "{fault}");
    came(&partner, &stage)
}

#[test]
fn with_a_key_what_is_lost_is_asked_for_again_and_what_is_wrong_is_told() {
    let done = |arrivals| ("succeeded".to_string(), "succeeded".to_string(), None, 1, arrivals);
    let not = |status: &str, error: &str, effects, arrivals| {
        (status.to_string(), "blocked".to_string(), Some(error.to_string()), effects, arrivals)
    };
    for (fault, mode, expected) in [
        (json!({ "fault": "drop_before" }), "stripe-v1", done(2)),
        (json!({ "fault": "drop_after" }), "stripe-v1", done(2)),
        (json!({ "fault": "drop_after" }), "stripe-v2", done(2)),
        (json!({ "fault": "drop_after" }), "draft", done(2)),
        (json!({ "fault": "delay_after", "ms": 3000 }), "stripe-v1", done(2)),
        (json!({ "fault": "slow", "ms": 3000 }), "stripe-v1", done(2)),
        (json!({ "fault": "throttle" }), "stripe-v1", done(2)),
        (json!({ "fault": "throttle", "retry_after": "date" }), "stripe-v1", done(2)),
        (json!({ "fault": "throttle", "retry_after": "none" }), "stripe-v1", done(2)),
        (json!({ "fault": "error_before" }), "stripe-v1", done(2)),
        (json!({ "fault": "error_after" }), "stripe-v2", done(2)),
        // The same 500 for ever: a person has to look.
        (json!({ "fault": "error_after" }), "stripe-v1", not("unknown", "Http.StoredError", 1, 3)),
        (json!({ "fault": "truncated" }), "stripe-v1", done(2)),
        // It was answered with a success that cannot be used; a redrive asks for it again.
        (json!({ "fault": "endless" }), "stripe-v1", not("failed", "Http.BadAnswer", 1, 1)),
        (json!({ "fault": "gzip_bomb" }), "stripe-v1", not("failed", "Http.BadAnswer", 1, 1)),
        (json!({ "fault": "bad_utf8" }), "stripe-v1", not("failed", "Http.BadBody", 1, 1)),
        (json!({ "fault": "not_json" }), "stripe-v1", not("failed", "Http.CaptureFailed", 1, 1)),
    ] {
        assert_eq!(with_fault(&fault, mode, KEYED), expected, "{fault}, {mode}");
    }
}

#[test]
fn without_a_key_what_may_have_happened_is_unknown_and_nothing_is_sent_again() {
    for (fault, status, effects) in [
        (json!({ "fault": "drop_before" }), "unknown", 0),
        (json!({ "fault": "drop_after" }), "unknown", 1),
        (json!({ "fault": "delay_after", "ms": 3000 }), "unknown", 1),
        (json!({ "fault": "error_before" }), "unknown", 0),
        (json!({ "fault": "error_after" }), "unknown", 1),
        (json!({ "fault": "truncated" }), "unknown", 1),
        (json!({ "fault": "endless" }), "unknown", 1),
        (json!({ "fault": "error_before", "status": 400 }), "failed", 0),
    ] {
        let (first, second, error, made, arrivals) = with_fault(&fault, "none", ONCE);
        assert_eq!((first.as_str(), second.as_str(), made, arrivals), (status, "blocked", effects, 1), "{fault}: {error:?}");
    }
    let (first, .., arrivals) = with_fault(&json!({ "fault": "throttle" }), "none", ONCE);
    assert_eq!((first.as_str(), arrivals), ("succeeded", 2), "a 429 is certain to have done nothing");
}

#[test]
fn a_request_that_is_worked_on_is_waited_for() {
    let came = with_fault(&json!({ "fault": "late_effect", "ms": 50 }), "draft", KEYED);
    assert_eq!((came.0.as_str(), came.1.as_str(), came.3), ("succeeded", "succeeded", 1), "{came:?}");
}

#[test]
fn a_partner_that_goes_away_in_the_middle_is_waited_for() {
    for how in ["refuse", "unavailable"] {
        let stage = Stage::new();
        let partner = Partner::start(&stage, &[]);
        partner.control(&json!({ "outage": { "ms": 700, "how": how } }));
        run(&partner, &stage, KEYED).ended(0);
        let (first, second, _, effects, _) = came(&partner, &stage);
        assert_eq!((first.as_str(), second.as_str(), effects), ("succeeded", "succeeded", 1), "{how}");
    }
}

#[test]
fn a_key_that_was_used_for_something_else_is_told_with_the_key() {
    let stage = Stage::new();
    let partner = Partner::start(&stage, &["--mode", "draft"]);
    run(&partner, &stage, KEYED).ended(0);
    // The same orders in another state folder, for another amount: the keys are those of the first run.
    let other = Stage::new();
    other.write("flow.yaml", flow(KEYED).replace("cents: 5", "cents: 6"));
    other.write("orders.jsonl", "{\"order\":\"o1\",\"customer\":\"c1\"}\n");
    let mut command = other.command(&["run", "flow.yaml", "--as", "once", "-p", &format!("api={}", partner.url)]);
    command.env("BILLING_TOKEN", "test-token");
    Running::of(command).wait().ended(0);
    let line = &other.run(&["results", "once"]).ended(0).lines()[0];
    assert_eq!((&line["status"], &line["error"]), (&json!("failed"), &json!("Http.Status.422")));
    assert!(line["cause"].as_str().unwrap().contains("idempotency key `"), "{line}");
}

#[test]
fn pages_that_go_round_in_a_circle_end() {
    let stage = Stage::new();
    let partner = Partner::start(&stage, &[]);
    stage.write("one.jsonl", "{\"id\":\"all\"}\n");
    stage.write(
        "pages.yaml",
        "fanfold: 1
name: pages
params: { api: { type: url } }
secrets: { token: { env: BILLING_TOKEN } }
items: { jsonl: { source: one.jsonl }, key: \"{{ item.id }}\" }
job:
  http_chain:
    base_url: \"{{ params.api }}\"
    auth: { bearer: \"{{ secrets.token }}\" }
    steps:
      - name: orders
        get: /orders
        query: { limit: 400 }
        paginate: { link: next, max_pages: 100 }
        capture: { count: \"{{ pages | length }}\" }
    output: { count: \"{{ steps.orders.count }}\" }
",
    );
    let run = |name: &str| {
        let mut command = stage.command(&["run", "pages.yaml", "--as", name, "-p", &format!("api={}", partner.url)]);
        command.env("BILLING_TOKEN", "test-token");
        Running::of(command).wait();
        stage.run(&["results", name]).ended(0).lines().remove(0)
    };
    let whole = run("whole");
    assert_eq!(whole["output"], json!({ "count": 3 }), "{whole}");
    partner.control(&json!({ "rules": [{ "route": "GET /orders", "fault": "looping_cursor" }] }));
    let before = partner.logged("arrival").len();
    let circle = run("circle");
    assert_eq!((&circle["status"], &circle["error"]), (&json!("failed"), &json!("Http.CursorRepeated")), "{circle}");
    assert!(partner.logged("arrival").len() - before <= 3, "it ends with the first page that comes twice");
}
