//! `prune`: the items' data goes, their keys and outcomes stay.

use serde_json::{Value, json};

use crate::stage::{Stage, doing, plain};

/// Items in a JSON array are copied into the run's folder: there is something to give back.
fn copied(key: &str) -> Stage {
    let stage = Stage::new();
    let items: Vec<Value> = (0..400)
        .map(|n| json!({ "id": format!("i{n}"), "what": if n == 7 { "permanent" } else { "" }, "pad": "x".repeat(200) }))
        .collect();
    stage.write("items.json", Value::from(items).to_string());
    stage.flow_of("note", "echo: true", &format!("items: {{ json: {{ source: items.json }}, key: {key} }}"));
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    stage
}

#[test]
fn data_goes_keys_and_outcomes_stay() {
    for (key, seventh) in [("\"{{ item.id }}\"", "i7"), ("position", "items.json#7")] {
        let stage = copied(key);
        let before = stage.run(&["results", "x"]).ended(0).lines();
        let status = stage.json(0, &["status", "x"]);
        let pruned = &stage.json(0, &["prune", "x"])[0];
        assert!(pruned["freed_bytes"].as_u64().unwrap() > 80_000, "{pruned}");
        assert!(!stage.path(".fanfold/runs/x/items.jsonl").exists());
        assert_eq!(stage.json(0, &["status", "x"]), status, "{key}");
        let after = stage.run(&["results", "x"]).ended(0).lines();
        for (before, after) in before.iter().zip(&after) {
            for name in ["key", "index", "status", "attempts", "error", "cause"] {
                assert_eq!(before.get(name), after.get(name), "{key}: {name}");
            }
            assert!(after.get("output").is_none() && after.get("item").is_none(), "{after}");
        }
        assert_eq!((before.len(), after.len()), (400, 400));
        assert_eq!(after[7]["key"], seventh);
        // Once more gives back nothing and harms nothing.
        stage.run(&["prune", "x"]).ended(0);
        assert_eq!(stage.json(0, &["status", "x"]), status);
        stage.run(&["resume", "x"]).ended(1);
    }
}

#[test]
fn what_is_not_over_is_not_pruned() {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "permanent"), plain(2)]).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "1"]);
    stage.run(&["prune", "x"]).ended(2).says("run x is not at its end: 2 items are pending").says("hint: test_jobs resume x");
    stage.finished(1, &["resume", "x"]);
    stage.run(&["prune", "x"]).ended(0);
    // What it was made of is still where it was: failed items can be redriven.
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["redrive", "x"])["items"]["succeeded"], 3);
}

#[test]
fn redriving_what_was_pruned_says_what_is_missing_and_changes_nothing() {
    let stage = copied("\"{{ item.id }}\"");
    stage.run(&["prune", "x"]).ended(0);
    let status = stage.json(0, &["status", "x"]);
    stage.run(&["redrive", "x"]).ended(2).says("the items' data of run x was removed by `prune`");
    assert_eq!(stage.json(0, &["status", "x"]), status);
}
