//! The third party itself: a judge that is wrong would judge nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::partner::{Answer, Partner};
use crate::stage::Stage;

fn start(args: &[&str]) -> (Stage, Partner) {
    let stage = Stage::new();
    let partner = Partner::start(&stage, args);
    assert_eq!(partner.call("PUT", "/customers/c1", &[], &json!({ "name": "Ada" })).unwrap().status, 200);
    (stage, partner)
}

fn invoice(partner: &Partner, key: &str, order: &str, after: Value) -> Option<Answer> {
    let body = json!({ "customer": "c1", "cents": 5, "order": order, "after": after });
    partner.call("POST", "/invoices", &[("idempotency-key", key)], &body)
}

fn rule(fault: &str) -> Value {
    json!({ "rules": [{ "route": "POST /invoices", "fault": fault, "times": 1 }] })
}

/// The statuses of: the first with a key, the same again, the same with other parameters; and how many invoices there are.
fn with_keys(partner: &Partner) -> (Vec<u16>, usize) {
    let status = |order, after| invoice(partner, "k", order, after).unwrap().status;
    let statuses = vec![status("o1", Value::Null), status("o1", Value::Null), status("o2", json!(1001))];
    (statuses, made(partner))
}

fn made(partner: &Partner) -> usize {
    partner.logged("effect").iter().filter(|line| line["path"] == "/invoices").count()
}

#[test]
fn a_request_is_known_by_its_key_as_the_mode_says() {
    for (mode, statuses, effects) in [
        ("none", vec![201, 201, 201], 3),
        ("stripe-v1", vec![201, 201, 400], 1),
        ("stripe-v2", vec![201, 201, 400], 1),
        ("draft", vec![201, 201, 422], 1),
    ] {
        let (_stage, partner) = start(&["--mode", mode]);
        assert_eq!(with_keys(&partner), (statuses, effects), "{mode}");
    }
}

#[test]
fn an_error_is_kept_under_the_key_or_not() {
    for (mode, again, effects) in [("none", 201, 2), ("stripe-v1", 500, 1), ("stripe-v2", 201, 1), ("draft", 500, 1)] {
        let (_stage, partner) = start(&["--mode", mode]);
        partner.control(&rule("error_after"));
        assert_eq!(invoice(&partner, "k", "o1", Value::Null).unwrap().status, 500, "{mode}");
        assert_eq!(invoice(&partner, "k", "o1", Value::Null).unwrap().status, again, "{mode}");
        assert_eq!(made(&partner), effects, "{mode}");
    }
}

#[test]
fn a_key_that_ran_out_is_a_new_one() {
    let (_stage, partner) = start(&["--key-ttl", "1ms"]);
    invoice(&partner, "k", "o1", Value::Null).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    invoice(&partner, "k", "o1", json!(1001)).unwrap();
    assert_eq!(made(&partner), 2);
}

#[test]
fn while_one_is_worked_on_another_with_its_key_is_refused_and_the_effect_comes_late() {
    let (stage, partner) = start(&["--mode", "draft"]);
    partner.control(&json!({ "rules": [{ "route": "POST /invoices", "fault": "late_effect", "times": 1, "ms": 300 }] }));
    assert!(invoice(&partner, "k", "o1", Value::Null).is_none());
    assert_eq!(invoice(&partner, "k", "o1", Value::Null).unwrap().status, 409);
    assert_eq!(made(&partner), 0);
    stage.until("the effect", |_| made(&partner) == 1);
    assert!(invoice(&partner, "k", "o1", Value::Null).unwrap().headers.contains_key("idempotent-replayed"));
}

#[test]
fn what_was_made_and_its_keys_survive_a_kill() {
    let (stage, partner) = start(&[]);
    let first = invoice(&partner, "k", "o1", Value::Null).unwrap();
    partner.kill();
    let partner = Partner::start(&stage, &[]);
    let again = invoice(&partner, "k", "o1", Value::Null).unwrap();
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(
        partner.call("GET", "/invoices?customer=c1&order=o1&after=", &[], &Value::Null).unwrap().body["data"][0],
        first.body
    );
    assert_eq!(partner.control(&json!({}))["figures"]["invoices"], 1);
}

#[test]
fn an_invoice_behind_the_wrong_one_is_told_and_refused_if_so_wished() {
    let (_stage, partner) = start(&[]);
    invoice(&partner, "k1", "o1", Value::Null).unwrap();
    assert_eq!(invoice(&partner, "k2", "o2", Value::Null).unwrap().status, 201);
    assert_eq!(partner.logged("order_break")[0]["after"], json!([null, 1001]));
    partner.control(&json!({ "refuse_disorder": true }));
    assert_eq!(invoice(&partner, "k3", "o3", json!(1001)).unwrap().status, 422);
    assert_eq!(invoice(&partner, "k3", "o3", json!(1002)).unwrap().status, 201);
    assert_eq!((partner.logged("order_break").len(), made(&partner)), (2, 3));
}

#[test]
fn every_fault_does_what_it_says() {
    let (_stage, partner) = start(&["--mode", "none"]);
    let mut effects = 0;
    let mut try_it = |fault: &str, has_effect: bool| {
        partner.control(&rule(fault));
        let answer = partner.call("POST", "/invoices", &[], &json!({ "customer": "c1", "cents": 5 }));
        effects += usize::from(has_effect);
        assert_eq!(made(&partner), effects, "{fault}");
        answer
    };
    assert!(try_it("drop_before", false).is_none());
    assert!(try_it("drop_after", true).is_none());
    let throttled = try_it("throttle", false).unwrap();
    assert_eq!((throttled.status, throttled.headers["retry-after"].as_str()), (429, "1"));
    assert_eq!(try_it("error_before", false).unwrap().status, 503);
    assert_eq!(try_it("error_after", true).unwrap().status, 500);
    assert_eq!(try_it("delay_before", true).unwrap().status, 201);
    assert_eq!(try_it("delay_after", true).unwrap().status, 201);
    assert_eq!(try_it("slow", true).unwrap().body["cents"], 5);
    let short = try_it("truncated", true).unwrap();
    assert!(short.headers["content-length"].parse::<usize>().unwrap() > short.body.to_string().len());
    assert!(try_it("bad_utf8", true).unwrap().body.to_string().contains('\u{fffd}'));
    assert!(try_it("not_json", true).unwrap().body.to_string().contains("<html>"));
    assert_eq!(try_it("gzip_bomb", true).unwrap().headers["content-encoding"], "gzip");
}

#[test]
fn pages_end_or_go_round_in_a_circle() {
    let (_stage, partner) = start(&[]);
    let next = |cursor: &str| {
        let page = partner.call("GET", &format!("/orders?limit=400&cursor={cursor}"), &[], &Value::Null).unwrap();
        assert_eq!(page.headers.contains_key("link"), page.body["next"].is_string());
        page.body["next"].as_str().map(str::to_string)
    };
    assert_eq!([next(""), next("c400"), next("c800")], [Some("c400".to_string()), Some("c800".to_string()), None]);
    partner.control(&json!({ "rules": [{ "route": "GET /orders", "fault": "looping_cursor" }] }));
    assert_eq!(next("c800").as_deref(), Some("c800"));
}

#[test]
fn it_asks_for_a_token_keeps_a_rate_and_goes_away() {
    let (stage, partner) = start(&["--rate", "2/s", "--retry-after", "date"]);
    let get = || partner.call("GET", "/orders", &[], &Value::Null);
    let answers: Vec<_> = (0..4).map(|_| get().unwrap()).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).expect("four at once are more than two a second");
    assert!(refused.headers["retry-after"].ends_with("GMT") && refused.headers["ratelimit"].contains("r=0"), "{refused:?}");
    partner.control(&json!({ "rate": 0 }));
    assert_eq!(get().unwrap().status, 200);
    assert_eq!(partner.call("GET", "/orders", &[("authorization", "Bearer other")], &Value::Null).unwrap().status, 200);
    partner.control(&json!({ "outage": { "ms": 100, "how": "unavailable" } }));
    stage.until("it is back", |_| get().is_some_and(|answer| answer.status == 200));
    partner.control(&json!({ "outage": { "ms": 100 } }));
    stage.until("it is away", |_| get().is_none());
    stage.until("it is back", |_| get().is_some_and(|answer| answer.status == 200));
}
