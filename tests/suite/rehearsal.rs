//! `fanfold test`: what passes, what fails and how that is told, what is refused.

use serde_json::json;

use crate::stage::Stage;
use crate::workflows;

/// A workflow with these tests, indented by two.
fn flow(tests: &str) -> String {
    format!(
        "fanfold: 1
name: pay
secrets: {{ token: {{ env: NOBODY_SETS_THIS }} }}
items: {{ jsonl: {{ source: none.jsonl }}, key: \"{{{{ item.id }}}}\" }}
job:
  http_chain:
    base_url: https://partner.example
    auth: {{ bearer: \"{{{{ secrets.token }}}}\" }}
    steps:
      - name: pay
        post: /payments
        json: {{ reference: \"{{{{ item.id }}}}\", cents: \"{{{{ item.amount | cents }}}}\" }}
        idempotency: {{ header: Idempotency-Key, ttl: 24h }}
        capture: {{ id: \"{{{{ body.id }}}}\" }}
    output: {{ id: \"{{{{ steps.pay.id }}}}\" }}
tests:
{tests}"
    )
}

const PASSES: &str = "  - name: paid
    items: [{ id: a, amount: \"0.07\" }, { id: b, amount: \"9.99\" }]
    answers: { pay: [{ drop: before }, { drop: after }, { status: 201, json: { id: p1 } }, { status: 201, json: { id: p2 } }] }
    assert:
      outcomes: { succeeded: 2, a: succeeded }
      outputs: { a: { id: p1 }, b: { id: p2 } }
      calls: { pay: 4 }
      sent: { pay: { method: POST, url: https://partner.example/payments, headers: { authorization: \"Bearer secret:token\" } } }
";

const FAILS: &str = "  - name: paid too much
    items: [{ id: a, amount: \"0.07\" }]
    answers: { pay: [{ status: 201, json: { id: p1 } }, { status: 201 }] }
    assert: { outcomes: { failed: 1 }, sent: { pay: [{ json: { cents: 8 } }] } }
";

const RUNS_OUT: &str = "  - name: asked again
    items: [{ id: a, amount: \"0.07\" }]
    answers: { pay: [{ status: 503 }] }
    assert: { outcomes: { succeeded: 1 } }
";

#[test]
fn the_tests_of_the_example_pass_without_network_and_secrets() {
    let stage = workflows::stage();
    let done = stage.run_fanfold(&["test", "workflows/bill-customers.yaml"]).ended(0).says("4 tests, all passed");
    assert!(done.err.contains("10 min"), "minutes are waited in virtual time: {}", done.err);
    assert!(!stage.path(".fanfold").exists(), "a test is no run");
}

#[test]
fn a_test_that_passes_says_so_in_words_and_in_json() {
    let stage = Stage::new();
    stage.write("flow.yaml", flow(PASSES));
    stage.run(&["test", "flow.yaml"]).ended(0).says("passed paid (4 requests").says("1 test, all passed");
    let lines = stage.json(0, &["test", "flow.yaml"]);
    assert_eq!(
        (&lines[0]["event"], &lines[0]["passed"], &lines[0]["calls"]),
        (&json!("test"), &json!(true), &json!({ "pay": 4 }))
    );
    // The same waits are drawn every time.
    assert_eq!(stage.json(0, &["test", "flow.yaml"]), lines);
}

#[test]
fn a_test_that_fails_says_what_was_expected_and_what_was_found() {
    let stage = Stage::new();
    stage.write("flow.yaml", flow(&[PASSES, FAILS, RUNS_OUT].concat()));
    let done = stage.run(&["test", "flow.yaml"]).ended(1).says("3 tests, 2 failed");
    for line in [
        "passed paid",
        "failed paid too much",
        "  outcomes.failed: expected 1, found 0",
        "    a succeeded: {\"id\":\"p1\"}",
        "  sent.pay[0].json.cents: expected 8, found 7",
        "  answers.pay: expected 2, found 1",
        "    1 answer is left over",
        "failed asked again",
        "    no answer is left for request 2 of the step, POST https://partner.example/payments",
    ] {
        assert!(done.err.contains(line), "{line}\nis not in\n{}", done.err);
    }
    stage.run(&["test", "flow.yaml", "--only", "paid"]).ended(0).says("1 test, all passed");
    stage.run(&["test", "flow.yaml", "--only", "piad"]).ended(2).says("there is no test `piad`; hint: did you mean `paid`?");
    let lines = stage.json(1, &["test", "flow.yaml", "--only", "paid too much"]);
    assert_eq!(lines[0]["differences"][1], json!({ "path": "sent.pay[0].json.cents", "expected": 8, "found": 7, "note": null }));
}

#[test]
fn a_mistake_in_a_test_is_refused_at_its_place() {
    let stage = Stage::new();
    for (tests, told) in [
        (PASSES.replace("answers: { pay:", "answers: { pya:"), "`tests[0].answers.pya`: there is no step `pya` (flow.yaml:"),
        (PASSES.replace("calls: { pay:", "calls: { pya:"), "`tests[0].assert.calls.pya`: there is no step `pya` (flow.yaml:"),
        (PASSES.replace("id: b,", "id: a,"), "`tests[0].items[1]`: there is another item with the key `a`"),
        (PASSES.replace("id: b,", "nr: b,"), "`tests[0].items[1]`: `items.key`:"),
        (PASSES.replace("drop: before", "drop: never"), "never"),
    ] {
        stage.write("flow.yaml", flow(&tests));
        let done = stage.run(&["test", "flow.yaml"]).ended(2);
        assert!(done.err.contains(told), "{told}\nis not in\n{}", done.err);
    }
    stage.write("flow.yaml", flow("").replace("tests:\n", ""));
    stage.run(&["test", "flow.yaml"]).ended(2).says("`flow.yaml` has no tests; hint: write some under `tests:`");
}
