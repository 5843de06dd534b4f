//! `redrive`: what failed is run again, as it is now, and nothing else.

use std::collections::BTreeSet;

use serde_json::json;

use crate::stage::{Stage, doing, plain};

/// A run of 1,000 items of which 50 failed and that is over.
fn fifty_failed() -> (Stage, BTreeSet<String>) {
    let stage = Stage::new();
    stage.items((0..1000).map(|n| if n % 20 == 7 { doing(n, "permanent") } else { plain(n) })).flow("tolerated_failure: 1%");
    let last = stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    assert_eq!(last["items"]["failed"], 50);
    let failed = stage.ids("x", "failed");
    std::fs::remove_file(stage.path("log.txt")).unwrap();
    (stage, failed)
}

#[test]
fn it_touches_the_fifty_that_failed_and_only_these() {
    let (stage, failed) = fifty_failed();
    // Nothing was repaired: the same fifty fail again.
    let last = stage.finished(1, &["redrive", "x"]);
    assert_eq!((&last["items"]["failed"], &last["attempts"], &last["batches"]), (&json!(50), &json!(1050), &json!(10)));
    assert_eq!(stage.times("begin").into_keys().collect::<BTreeSet<_>>(), failed);
    stage.write("cure", "");
    let lines = stage.json(0, &["redrive", "x", "--batch", "10"]);
    let last = crate::stage::finished(&lines);
    assert_eq!((&last["items"]["succeeded"], &last["attempts"]), (&json!(1000), &json!(1100)));
    assert_eq!(stage.times("begin").into_iter().collect::<BTreeSet<_>>(), failed.iter().map(|id| (id.clone(), 2)).collect());
    let results = stage.results("x");
    assert!(results.iter().all(|(id, line)| line["attempts"] == if failed.contains(id) { 3 } else { 1 }));
    assert!(results.values().all(|line| line.get("error").is_none() && line.get("cause").is_none()));
    // Nothing is left to redrive.
    stage.run(&["redrive", "x"]).ended(0).says("0 items to redrive");
    assert_eq!(stage.times("end").len(), 50);
}

#[test]
fn a_batch_of_a_redrive_is_as_large_as_asked() {
    let stage = Stage::new();
    stage.items((0..10).map(|n| doing(n, "permanent"))).flow_of("note_whole", "", "batch: { max_items: 4 }");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    std::fs::remove_file(stage.path("log.txt")).unwrap();
    stage.write("cure", "");
    stage.finished(0, &["redrive", "x", "--batch", "5"]);
    assert_eq!(stage.times("batch").into_iter().collect::<Vec<_>>(), [("5".to_string(), 2)]);
    stage.run(&["redrive", "x", "--batch", "0"]).ended(2).says("a batch of 0 items was asked for");
}

#[test]
fn within_the_tolerance_failed_items_can_still_be_redriven() {
    let (stage, _) = fifty_failed();
    stage.flow("tolerated_failure: 5%");
    let last = stage.finished(0, &["redrive", "x", "--accept"]);
    assert_eq!((&last["status"], &last["items"]["failed"]), (&json!("SUCCEEDED"), &json!(50)));
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["redrive", "x"])["items"]["succeeded"], 1000);
}

#[test]
fn unknown_and_skipped_items_stay_as_they_are() {
    let stage = Stage::new();
    stage.items([doing(0, "unknown"), doing(1, "skip"), doing(2, "permanent"), plain(3)]).flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    stage.write("cure", "");
    let last = stage.finished(1, &["redrive", "x"]);
    assert_eq!(
        last["items"],
        json!({ "total": 4, "succeeded": 2, "skipped": 1, "failed": 0, "unknown": 1, "blocked": 0, "pending": 0 })
    );
    assert_eq!(stage.times("begin").into_values().collect::<Vec<_>>(), [1, 1, 2, 1]);
}

#[test]
fn pending_items_are_done_along_with_the_failed_ones() {
    let stage = Stage::new();
    stage.items((0..20).map(|n| if n < 5 { doing(n, "permanent") } else { plain(n) })).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "10"]);
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["redrive", "x"])["items"]["succeeded"], 20);
    assert_eq!(stage.times("end").len(), 20);
}

#[test]
fn a_changed_workflow_is_told_and_taken_only_if_accepted() {
    let stage = Stage::new();
    stage.items([doing(0, "hang")]).flow("item_timeout: 20ms");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    let changed =
        "params: { more: { type: integer, default: 2 } }\nitem_timeout: 1h\nretry: { max_retries: \"{{ params.more }}\" }";
    stage.flow_of("note", "echo: true", changed).write("cure", "");
    stage.run(&["redrive", "x", "--batch", "1"]).ended(0).says("`--accept` takes it as it is now");
    assert_eq!(stage.results("x")["i0"].get("output"), None, "not asked for, not taken");
    let stage = Stage::new();
    stage.items([doing(0, "hang")]).flow("item_timeout: 20ms");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    stage.flow_of("note", "echo: true", changed).write("cure", "");
    stage.finished(0, &["redrive", "x", "--accept"]);
    assert_eq!(stage.results("x")["i0"]["output"]["id"], "i0");
    // It is the run's workflow from then on.
    let done = stage.run(&["resume", "x"]).ended(0);
    assert!(!done.err.contains("changed"), "{}", done.err);
}

#[test]
fn other_items_or_mistakes_are_refused_and_nothing_is_changed() {
    let stage = Stage::new();
    stage.items([doing(0, "permanent"), plain(1)]).flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    let before = stage.results("x");
    stage.flow("params: { new: { type: integer } }");
    stage.run(&["redrive", "x", "--accept"]).ended(2).says("the changed workflow has a new param `new` without a default");
    stage.flow("items: { jsonl: { source: items.jsonl }, limit: 1 }");
    stage
        .run(&["redrive", "x", "--accept"])
        .ended(2)
        .says("the changed workflow reads other items than the run was begun with (")
        .says("flow.yaml:3:8)");
    stage.flow("max_concurency: 1");
    stage.run(&["redrive", "x", "--accept"]).ended(2).says("did you mean `max_concurrency`?");
    assert_eq!(stage.results("x"), before);
    assert_eq!(stage.json(0, &["status", "x"])[0]["status"], "FAILED", "still over");
}

#[test]
fn a_source_that_is_gone_leaves_the_run_over() {
    let stage = Stage::new();
    stage.items([doing(0, "permanent"), plain(1)]).flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    std::fs::remove_file(stage.path("items.jsonl")).unwrap();
    stage.run(&["redrive", "x"]).ended(4).says("is gone since the run began");
    assert_eq!(stage.json(0, &["status", "x"])[0]["status"], "FAILED");
}

#[test]
fn a_redrive_that_is_killed_is_resumed() {
    let stage = Stage::new();
    stage
        .items((0..30).map(|n| if n % 3 == 0 { json!({ "id": format!("i{n}"), "what": "permanent" }) } else { plain(n) }))
        .flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    stage.flow_of("note", "", "").write("cure", "");
    let last = stage.finished(0, &["redrive", "x", "--batch", "2"]);
    assert_eq!(last["attempts"], 40);
    let stage = Stage::new();
    stage.items((0..6).map(|n| if n < 2 { doing(n, "permanent") } else { plain(n) })).flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    // The failed ones now wait for the gate: the log says when they are in flight again.
    stage.write("flow.yaml", stage.read("flow.yaml").replace("gate: gate, ", ""));
    std::fs::remove_file(stage.path("log.txt")).unwrap();
    stage.flow_of("note", "takes_ms: 600000", "");
    let redriving = stage.spawn(&["redrive", "x", "--accept"]);
    stage.until("both in flight", |stage| stage.times("begin").len() == 2);
    redriving.kill();
    let status = &stage.json(0, &["status", "x"])[0];
    assert_eq!(
        (&status["status"], &status["items"]["pending"], &status["items"]["succeeded"]),
        (&json!("STOPPED"), &json!(2), &json!(4))
    );
    stage.write("cure", "").flow("");
    let last = stage.finished(0, &["redrive", "x", "--accept"]);
    assert_eq!(last["items"]["succeeded"], 6);
    assert_eq!(stage.times("begin").into_keys().collect::<Vec<_>>(), ["i0", "i1"]);
}

#[test]
fn a_redrive_straight_after_a_crash_judges_what_was_in_flight_as_it_was() {
    let stage = Stage::new();
    stage.items([doing(0, "permanent"), doing(1, "wait"), plain(2)]).flow_of("note_unsafe", "", "batch: { concurrency: 3 }");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    // The two that end are recorded; the marks that say they were begun are still there.
    stage.until("two outcomes", |stage| {
        let status = stage.run(&["status", "x", "--json"]);
        status.code == Some(0) && status.lines()[0]["items"]["pending"] == 1
    });
    stage.until_logged("begin i1");
    running.kill();
    stage.write("cure", "").write("gate", "");
    let last = stage.finished(1, &["redrive", "x"]);
    // i0 had failed and is run again; i1 was in flight and is never begun twice.
    assert_eq!((&last["items"]["succeeded"], &last["items"]["unknown"]), (&2.into(), &1.into()), "{last}");
    assert_eq!(stage.times("begin")["i1"], 1);
}

#[test]
fn a_changed_job_gives_no_two_items_one_destination() {
    let stage = Stage::new();
    let photo =
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/samples/photos/abstract-roof-01.jpg"));
    let photo = photo.unwrap();
    let flow = |name: &str| {
        format!(
            "fanfold: 1\nname: a\nitems: {{ objects: {{ source: photos }} }}\n\
             job: {{ image_resize: {{ width: 9, destination: out, name: \"{name}\" }} }}\n"
        )
    };
    stage.write("photos/1.jpg", &photo).write("photos/2.jpg", &photo[..900]).write("flow.yaml", flow("{{ item.Key }}"));
    stage.run_fanfold(&["run", "flow.yaml", "--as", "x"]).ended(1);
    stage.write("photos/2.jpg", &photo).write("flow.yaml", flow("1.jpg"));
    stage.run_fanfold(&["redrive", "x", "--accept"]).ended(2).says("`1.jpg` and `2.jpg` have one destination");
    // Nor is it resumed past that; with names of their own it goes on.
    stage.run_fanfold(&["resume", "x"]).ended(2).says("`1.jpg` and `2.jpg` have one destination");
    assert!(!stage.path("out/2.jpg").exists());
    stage.write("flow.yaml", flow("{{ item.Key }}"));
    stage.run_fanfold(&["redrive", "x", "--accept"]).ended(0);
    assert!(stage.path("out/2.jpg").exists());
}
