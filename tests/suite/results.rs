//! `results`: how every item ended, with the item itself.

use serde_json::{Value, json};

use crate::stage::{Stage, doing, plain};

fn mixed() -> Stage {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "permanent"), doing(2, "unknown"), doing(3, "skip"), plain(4), plain(5)]).flow_of(
        "note",
        "echo: true",
        "batch: { max_items: 2 }\nmax_concurrency: 1",
    );
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "5"]);
    stage
}

#[test]
fn every_item_has_a_line_in_input_order_with_all_that_is_known() {
    let stage = mixed();
    let lines = stage.run(&["results"]).ended(0).lines();
    assert_eq!(
        lines,
        [
            json!({ "key": "items.jsonl#0", "index": 0, "status": "succeeded", "attempts": 1, "output": plain(0), "item": plain(0) }),
            json!({ "key": "items.jsonl#1", "index": 1, "status": "failed", "attempts": 1, "error": "Note.Never", "cause": "never", "item": doing(1, "permanent") }),
            json!({ "key": "items.jsonl#2", "index": 2, "status": "unknown", "attempts": 1, "error": "Job.Unknown", "cause": "who knows", "item": doing(2, "unknown") }),
            json!({ "key": "items.jsonl#3", "index": 3, "status": "skipped", "attempts": 1, "cause": "not this one", "item": doing(3, "skip") }),
            json!({ "key": "items.jsonl#4", "index": 4, "status": "succeeded", "attempts": 1, "output": plain(4), "item": plain(4) }),
            json!({ "key": "items.jsonl#5", "index": 5, "status": "pending", "attempts": 0, "item": plain(5) }),
        ]
    );
    for (flag, index) in [("--failed", 1), ("--unknown", 2), ("--skipped", 3), ("--pending", 5)] {
        let found = stage.run(&["results", "x", flag]).ended(0).lines();
        assert_eq!(found.iter().map(|line| &line["index"]).collect::<Vec<_>>(), [&json!(index)], "{flag}");
    }
    assert_eq!(stage.run(&["results", "x", "--failed", "--unknown"]).ended(0).lines().len(), 2);
}

#[test]
fn without_the_source_the_outcomes_are_still_there() {
    let stage = mixed();
    std::fs::remove_file(stage.path("items.jsonl")).unwrap();
    let done = stage.run(&["results", "x"]).ended(0).says("warning: the items themselves are not shown");
    let lines = done.lines();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[1],
        json!({ "key": "items.jsonl#1", "index": 1, "status": "failed", "attempts": 1, "error": "Note.Never", "cause": "never" })
    );
}

#[test]
fn what_cannot_be_written_out_is_told() {
    let stage = Stage::new();
    stage.plain(3).flow("");
    stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    if std::path::Path::new("/dev/full").exists() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = stage.command(&["results", "x"]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the results cannot be written: "), "{output:?}");
    }
    // Whoever reads only the first line wants no more.
    let mut command = std::process::Command::new("sh");
    let script = "{ \"$0\" results x; echo $? >&2; } | head -n 1";
    let output =
        command.arg("-c").arg(script).arg(crate::stage::program("test_jobs")).current_dir(stage.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n");
}

#[test]
fn there_is_nothing_to_show_of_no_run() {
    let stage = Stage::new();
    stage.run(&["results"]).ended(2).says("there is no run in");
    let none: Vec<Value> = stage.run(&["results", "x"]).ended(2).lines();
    assert!(none.is_empty());
}
