//! One item and its tries: retries, timeouts, panics, and when a run stops early.

use serde_json::{Value, json};

use crate::stage::{Stage, doing, plain};

/// Retries that take no time.
const QUICK: &str = "retry: { initial_interval: 1ms, max_interval: 2ms, max_retries: 3 }";

fn tried(n: usize, what: &str, tries: u32) -> Value {
    json!({ "id": format!("i{n}"), "what": what, "tries": tries })
}

/// Status, error and attempts of the item.
fn of(stage: &Stage, id: &str) -> (String, String, u64) {
    let line = &stage.results(&stage.only_run())[id];
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_string();
    (text("status"), text("error"), line["attempts"].as_u64().unwrap())
}

fn is(status: &str, error: &str, attempts: u64) -> (String, String, u64) {
    (status.to_string(), error.to_string(), attempts)
}

#[test]
fn every_kind_of_answer_has_its_outcome_and_its_number_of_tries() {
    let stage = Stage::new();
    stage
        .items([
            plain(0),
            tried(1, "transient", 2),
            doing(2, "transient"),
            tried(3, "throttled", 3),
            doing(4, "throttled"),
            doing(5, "permanent"),
            doing(6, "unknown"),
            doing(7, "skip"),
            doing(8, "panic"),
            doing(9, "compute panic"),
            doing(10, "big"),
            json!({ "id": "i11", "tries": "many" }),
        ])
        .flow(QUICK);
    let last = stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(
        last["items"],
        json!({ "total": 12, "succeeded": 3, "skipped": 1, "failed": 7, "unknown": 1, "blocked": 0, "pending": 0 })
    );
    assert_eq!(of(&stage, "i0"), is("succeeded", "", 1));
    assert_eq!(of(&stage, "i1"), is("succeeded", "", 3));
    assert_eq!(of(&stage, "i2"), is("failed", "Job.Transient", 4));
    assert_eq!(of(&stage, "i3"), is("succeeded", "", 4));
    assert_eq!(of(&stage, "i4"), is("failed", "Job.Throttled", 4));
    assert_eq!(of(&stage, "i5"), is("failed", "Note.Never", 1));
    assert_eq!(of(&stage, "i6"), is("unknown", "Job.Unknown", 1));
    assert_eq!(of(&stage, "i7"), is("skipped", "", 1));
    assert_eq!(of(&stage, "i8"), is("failed", "Job.Panicked", 1));
    assert_eq!(of(&stage, "i9"), is("failed", "Job.Panicked", 1));
    assert_eq!(of(&stage, "i10"), is("failed", "Output.TooLarge", 1));
    assert_eq!(of(&stage, "i11"), is("failed", "Item.Invalid", 1));
    let begun: u32 = stage.times("begin").values().sum();
    assert_eq!(last["attempts"], begun + 1, "the last item is tried and found invalid before it is begun");
    let results = stage.results(&stage.only_run());
    let cause = |id: &str| results[id]["cause"].as_str().unwrap().to_string();
    assert!(cause("i8").starts_with("this item panics (panicked at tests/jobs/main.rs:"), "{}", cause("i8"));
    assert!(cause("i9").starts_with("this item panics elsewhere (panicked at tests/jobs/main.rs:"), "{}", cause("i9"));
    assert_eq!(cause("i7"), "not this one");
}

#[test]
fn a_panic_is_not_shouted_and_takes_nobody_along() {
    let stage = Stage::new();
    stage.items((0..40).map(|n| if n % 10 == 0 { doing(n, "panic") } else { plain(n) })).flow("");
    let done = stage.run(&["run", "flow.yaml"]).ended(1);
    assert!(!done.err.contains("RUST_BACKTRACE"), "{}", done.err);
    assert_eq!(stage.ids(&stage.only_run(), "succeeded").len(), 36);
}

#[test]
fn without_retries_the_first_answer_counts() {
    let stage = Stage::new();
    stage.items([tried(0, "transient", 1), tried(1, "throttled", 1)]).flow("retry: { max_retries: 0 }");
    stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(of(&stage, "i0"), is("failed", "Job.Transient", 1));
    assert_eq!(of(&stage, "i1"), is("failed", "Job.Throttled", 1));
}

#[test]
fn work_beyond_its_time_is_given_up_and_says_so() {
    let stage = Stage::new();
    stage.items([doing(0, "hang"), plain(1)]).flow("item_timeout: 1s");
    stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(of(&stage, "i0"), is("failed", "Item.TimedOut", 1));
    assert_eq!(of(&stage, "i1"), is("succeeded", "", 1));
    assert_eq!(stage.times("gone").get("i0"), Some(&1), "the hanging work was dropped: {:?}", stage.log());
    let stage = Stage::new();
    stage.items([doing(0, "hang")]).flow_of("note_unsafe", "", "item_timeout: 1s");
    stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(of(&stage, "i0"), is("unknown", "Item.TimedOut", 1), "its effect may have happened");
}

/// The waits between the tries take longer than the time of one try.
#[test]
fn the_time_is_that_of_one_try_as_on_aws() {
    let stage = Stage::new();
    stage
        .items([tried(0, "transient", 2), tried(1, "hang", 0)])
        .flow("item_timeout: 1s\nretry: { initial_interval: 600ms, backoff_rate: 1, jitter: none, max_retries: 3 }");
    stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(of(&stage, "i0"), is("succeeded", "", 3));
    assert_eq!(of(&stage, "i1"), is("failed", "Item.TimedOut", 1));
}

#[test]
fn an_endless_time_is_none() {
    let stage = Stage::new();
    stage.plain(1).flow("item_timeout: 200000000000000d");
    assert_eq!(stage.finished(0, &["run", "flow.yaml"])["items"]["succeeded"], 1);
}

#[test]
fn a_job_that_must_not_be_repeated_is_unknown_after_a_panic() {
    let stage = Stage::new();
    stage.items([doing(0, "panic"), doing(1, "permanent"), plain(2)]).flow_of("note_unsafe", "", "");
    let last = stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(
        (&last["items"]["unknown"], &last["items"]["failed"], &last["items"]["succeeded"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(of(&stage, "i0"), is("unknown", "Job.Panicked", 1));
}

#[test]
fn a_run_whose_first_items_all_fail_alike_stops_and_says_why() {
    let stage = Stage::new();
    stage.items((0..400).map(|n| doing(n, "permanent"))).flow("max_concurrency: 1\nbatch: { concurrency: 1 }");
    let last = stage.finished(3, &["run", "flow.yaml", "--as", "x"]);
    assert_eq!(last["status"], "STOPPED");
    assert_eq!(last["stopped"], "the first 20 items to end all failed with `Note.Never` (`stop.if_first`): never");
    assert!(last["items"]["pending"].as_u64().unwrap() > 0);
    assert!(last["items"]["failed"].as_u64().unwrap() >= 20);
    stage.write("cure", "");
    let last = stage.finished(1, &["resume", "x"]);
    assert_eq!(last["items"]["failed"], stage.ids("x", "failed").len());
    assert_eq!(stage.finished(0, &["redrive", "x"])["items"]["succeeded"], 400);
    // Switched off, or with different errors, nothing stops.
    let stage = Stage::new();
    stage.items((0..60).map(|n| doing(n, "permanent"))).flow("stop: { if_first: 0 }");
    assert_eq!(stage.finished(1, &["run", "flow.yaml"])["items"]["failed"], 60);
    stage.items((0..60).map(|n| doing(n, if n % 5 == 0 { "panic" } else { "permanent" }))).flow("");
    assert_eq!(stage.finished(1, &["run", "flow.yaml"])["items"]["failed"], 60);
}

#[test]
fn a_run_stops_after_as_many_failures_as_it_is_told() {
    let stage = Stage::new();
    let items = (0..300).map(|n| if n % 2 == 0 { doing(n, "permanent") } else { plain(n) });
    stage.items(items).flow_of("note", "takes_ms: 1", "max_concurrency: 1\nbatch: { concurrency: 1 }\nstop: { after: 10 }");
    let last = stage.finished(3, &["run", "flow.yaml"]);
    assert_eq!(last["stopped"], "10 items failed (`stop.after`)");
    assert!(last["items"]["failed"].as_u64().unwrap() >= 10);
    assert!(last["items"]["pending"].as_u64().unwrap() > 0);
}

#[test]
fn surroundings_that_fail_stop_the_run_and_fail_no_item() {
    let stage = Stage::new();
    stage
        .items((0..50).map(|n| if n == 7 { doing(n, "full") } else { plain(n) }))
        .flow("max_concurrency: 1\nbatch: { concurrency: 4 }");
    // However often: nobody died, so nobody is suspected of anything.
    let lines = stage.json(4, &["run", "flow.yaml", "--as", "x"]);
    let error = lines.iter().find(|line| line["event"] == "error").expect("an error");
    assert_eq!(error["message"], "item `items.jsonl#7`: the disk of the partner is full");
    assert_eq!(crate::stage::finished(&lines)["status"], "STOPPED");
    for _ in 0..4 {
        let last = stage.finished(4, &["resume", "x"]);
        assert_eq!(last["items"]["failed"], 0, "{last}");
    }
    stage.write("cure", "");
    let last = stage.finished(0, &["resume", "x"]);
    assert_eq!((&last["items"]["succeeded"], &last["status"]), (&json!(50), &json!("SUCCEEDED")));
}

#[test]
fn surroundings_that_fail_leave_pending_what_must_not_be_repeated() {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "full")]).flow_of("note_unsafe", "", "");
    stage.finished(4, &["run", "flow.yaml", "--as", "x"]);
    stage.write("cure", "");
    let last = stage.finished(0, &["resume", "x"]);
    assert_eq!(last["items"]["succeeded"], 2, "the job itself said that nothing happened: {last}");
}

#[test]
fn a_whole_batch_is_tried_together_and_then_only_what_may_succeed() {
    let stage = Stage::new();
    stage.items([plain(0), tried(1, "transient", 2), doing(2, "permanent"), plain(3), plain(4), json!({ "no": "id" })]).flow_of(
        "note_whole",
        "",
        &format!("batch: {{ max_items: 3 }}\n{QUICK}"),
    );
    let last = stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(4), &json!(2)));
    let batches = stage.times("batch");
    assert_eq!(
        (batches.get("3"), batches.get("1")),
        (Some(&2), Some(&2)),
        "3 and 3 items, then the one that may succeed twice: {batches:?}"
    );
    let begun = stage.times("begin");
    assert_eq!((begun["i0"], begun["i1"], begun["i2"]), (1, 3, 1));
    assert_eq!(last["attempts"], 1 + 3 + 1 + 1 + 1 + 1);
}

#[test]
fn a_panic_in_a_whole_batch_fails_that_batch_and_no_other() {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "panic"), plain(2), plain(3)]).flow_of("note_whole", "", "batch: { max_items: 2 }");
    let last = stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(2), &json!(2)));
    assert_eq!(stage.ids(&stage.only_run(), "failed"), ["i0", "i1"].map(String::from).into());
}

#[test]
fn outputs_are_kept_with_their_types() {
    let stage = Stage::new();
    stage.items([json!({ "id": "i0", "n": 1.50, "text": "ü\"\n" }), plain(1)]).flow_of("note", "echo: true", "");
    stage.finished(0, &["run", "flow.yaml"]);
    let results = stage.results(&stage.only_run());
    assert_eq!(results["i0"]["output"], json!({ "id": "i0", "n": 1.5, "text": "ü\"\n" }));
    assert_eq!(results["i1"]["output"], plain(1));
}

#[test]
fn the_key_of_an_effect_is_that_of_what_it_is_about() {
    let stage = Stage::new();
    stage.items([tried(0, "key", 0), tried(1, "key", 0)]);
    let keys = |run: &str| stage.results(run).into_values().map(|line| line["output"].as_str().unwrap().to_string());
    for (settings, same) in [("items: { jsonl: { source: items.jsonl }, key: \"{{ item.id }}\" }", true), ("", false)] {
        stage.flow(settings);
        let (first, second) = (format!("a-{same}"), format!("b-{same}"));
        stage.finished(0, &["run", "flow.yaml", "--as", &first]);
        stage.finished(0, &["run", "flow.yaml", "--as", &second]);
        let (first, second): (Vec<_>, Vec<_>) = (keys(&first).collect(), keys(&second).collect());
        assert_ne!(first[0], first[1]);
        // The third line of another file is another order: a partner must not take it for the one of last week.
        assert_eq!(first == second, same, "{first:?} {second:?}");
    }
}
