//! `run`: what it says, how it ends, how items become batches, which items it does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stage::{Stage, doing, plain};

fn ids(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    numbers.into_iter().map(|n| format!("i{n}")).collect()
}

#[test]
fn the_first_line_is_written_before_any_work_and_the_last_one_adds_up() {
    let stage = Stage::new();
    stage.items([doing(0, "wait")]).flow("");
    let mut running = stage.spawn(&["run", "flow.yaml", "--json"]);
    let first: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(first["event"], "started");
    assert_eq!(first["run"], stage.only_run());
    assert_eq!(first["workflow"], "notes");
    assert_eq!(first["resumed"], false);
    let second: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!((&second["event"], &second["items"]["pending"]), (&json!("listed"), &json!(1)));
    // The item waits for the gate: it cannot have ended when the first line was read.
    assert!(!stage.log().contains(&"end i0".to_string()));
    stage.write("gate", "");
    let done = running.wait().ended(0);
    let last = crate::stage::finished(&done.lines());
    let names: Vec<&str> = last.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["event", "run", "workflow", "status", "items", "batches", "attempts", "elapsed_ms"]);
    let items: Vec<&str> = last["items"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(items, ["total", "succeeded", "skipped", "failed", "unknown", "blocked", "pending"]);
    assert_eq!((&last["run"], &last["status"]), (&first["run"], &json!("SUCCEEDED")));
    assert_eq!((&last["batches"], &last["attempts"]), (&json!(1), &json!(1)));
    assert!(last["elapsed_ms"].is_u64());
}

#[test]
fn people_get_the_id_first_and_a_summary_that_adds_up() {
    let stage = Stage::new();
    stage.items((0..5).map(|n| if n == 3 { doing(n, "permanent") } else { plain(n) })).flow("");
    let done = stage.run(&["run", "flow.yaml"]).ended(1);
    assert_eq!(done.out, format!("{}\n", stage.only_run()));
    done.says("5 items: 4 succeeded, 1 failed; 1 batch, 5 tries")
        .says("failed: items.jsonl#3: Note.Never: never")
        .says("redrive");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let stage = Stage::new();
    stage.plain(50).flow("");
    let mut command = std::process::Command::new("sh");
    command
        .arg("-c")
        .arg("\"$0\" run flow.yaml --json | head -n 1")
        .arg(crate::stage::program("test_jobs"))
        .current_dir(stage.path(""));
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
    // The shell waits for every part of the pipe.
    assert_eq!(stage.times("end").len(), 50);
    assert_eq!(stage.ids(&stage.only_run(), "succeeded").len(), 50);
}

/// The numbers of the issue: 8,088 items, 50 of which always fail.
#[test]
fn the_same_fifty_fail_at_every_batch_size() {
    let bad: BTreeSet<usize> = (0..50).map(|n| n * 161 + 7).collect();
    let stage = Stage::new();
    stage.items((0..8088).map(|n| if bad.contains(&n) { doing(n, "permanent") } else { plain(n) }));
    for (size, batches) in [(100, 81), (10, 809), (1, 8088), (1000, 9)] {
        stage.flow(&format!("batch: {{ max_items: {size} }}\nmax_concurrency: 50"));
        let name = format!("by-{size}");
        let last = stage.finished(1, &["run", "flow.yaml", "--as", &name]);
        assert_eq!(last["batches"], batches, "{size}");
        assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(8038), &json!(50)), "{size}");
        assert_eq!((&last["status"], &last["attempts"]), (&json!("FAILED"), &json!(8088)), "{size}");
        assert_eq!(stage.ids(&name, "failed"), ids(bad.iter().copied()), "{size}");
    }
    assert!(stage.times("begin").values().all(|times| *times == 4), "every item was done once in each run");
}

#[test]
fn the_verdict_changes_exactly_at_the_tolerance() {
    let stage = Stage::new();
    stage.items((0..200).map(|n| if n % 100 == 5 { doing(n, "permanent") } else { plain(n) }));
    for (tolerance, code, status) in [
        ("0%", 1, "FAILED"),
        ("0.99%", 1, "FAILED"),
        ("1%", 0, "SUCCEEDED"),
        ("1", 1, "FAILED"),
        ("2", 0, "SUCCEEDED"),
        ("0", 1, "FAILED"),
    ] {
        stage.flow(&format!("tolerated_failure: {tolerance}"));
        let last = stage.finished(code, &["run", "flow.yaml"]);
        assert_eq!((&last["status"], &last["items"]["failed"]), (&json!(status), &json!(2)), "{tolerance}");
    }
    stage.items((0..4).map(|n| if n == 0 { doing(n, "unknown") } else { plain(n) })).flow("");
    assert_eq!(stage.finished(1, &["run", "flow.yaml"])["items"]["unknown"], 1, "unknown items count as well");
}

#[test]
fn a_named_run_is_begun_resumed_and_then_left_alone() {
    let stage = Stage::new();
    stage.plain(30).flow("");
    let last = stage.finished(3, &["run", "flow.yaml", "--as", "2026-W47", "--limit", "10"]);
    assert_eq!((&last["run"], &last["items"]["pending"]), (&json!("2026-W47"), &json!(20)));
    assert_eq!(stage.finished(0, &["run", "flow.yaml", "--as", "2026-W47"])["items"]["succeeded"], 30);
    let before = stage.log();
    let lines = stage.json(0, &["run", "flow.yaml", "--as", "2026-W47"]);
    assert_eq!(lines[0]["event"], "started");
    assert_eq!(crate::stage::finished(&lines)["status"], "SUCCEEDED");
    assert_eq!(stage.log(), before, "a run that is done is left alone");
    assert_eq!(stage.times("begin").values().max(), Some(&1));
    assert_eq!(stage.only_run(), "2026-W47");
}

#[test]
fn a_name_that_means_another_run_is_refused() {
    let stage = Stage::new();
    stage.plain(3).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "nightly", "--limit", "1"]);
    stage.write("other.yaml", stage.read("flow.yaml").replace("name: notes", "name: others"));
    stage
        .run(&["run", "other.yaml", "--as", "nightly"])
        .ended(2)
        .says("the run `nightly` is one of the workflow `notes`, not of `others`");
    stage.write("flow.yaml", format!("{}params: {{ n: {{ type: integer, default: 1 }} }}\n", stage.read("flow.yaml")));
    stage.finished(3, &["run", "flow.yaml", "--as", "seven", "-p", "n=7", "--limit", "1"]);
    stage
        .run(&["run", "flow.yaml", "--as", "seven", "-p", "n=8"])
        .ended(2)
        .says("the run `seven` was begun with other params: `n` is 7");
    stage.finished(0, &["run", "flow.yaml", "--as", "seven", "-p", "n=7"]);
    assert_eq!(stage.times("begin").values().max(), Some(&2));
}

#[test]
fn a_refused_listing_does_not_take_its_name() {
    let stage = Stage::new();
    stage.items([plain(1), plain(1)]).flow("items: { jsonl: { source: items.jsonl }, key: \"{{ item.id }}\" }");
    stage.run(&["run", "flow.yaml", "--as", "w"]).ended(2).says("items 1 and 2 of the input have one key, `i1`");
    assert!(stage.log().is_empty());
    // Put right in the workflow, not in the data: nothing was done, so the file counts as it is now.
    stage.flow("");
    assert_eq!(stage.finished(0, &["run", "flow.yaml", "--as", "w"])["items"]["succeeded"], 2);
}

#[test]
fn a_limit_pauses_and_only_does_one() {
    let stage = Stage::new();
    stage.plain(25).flow("batch: { max_items: 10 }");
    let last = stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "12"]);
    assert_eq!(
        (&last["items"]["succeeded"], &last["items"]["pending"], &last["status"]),
        (&json!(12), &json!(13), &json!("STOPPED"))
    );
    assert_eq!(last["stopped"], "12 items were asked for (`--limit`)");
    let last = stage.finished(3, &["resume", "x", "--only", "items.jsonl#20"]);
    assert_eq!(last["items"]["succeeded"], 13);
    assert_eq!(stage.log().last().unwrap(), "end i20");
    let lines = stage.json(2, &["resume", "x", "--only", "items.jsonl#20"]);
    assert!(lines.iter().any(|line| line["message"] == "no pending item has the key `items.jsonl#20`"), "{lines:?}");
    assert_eq!(crate::stage::finished(&lines)["status"], "STOPPED");
    assert_eq!(stage.finished(0, &["resume", "x", "--limit", "12"])["items"]["succeeded"], 25);
    assert!(stage.times("end").values().all(|times| *times == 1));
}

#[test]
fn a_dry_run_shows_and_does_nothing() {
    let stage = Stage::new();
    stage.items([plain(0), json!("no object"), plain(2)]).flow_of(
        "note_to",
        "",
        "items: { jsonl: { source: items.jsonl }, where: \"{{ item.id != 'i2' }}\" }",
    );
    let lines = stage.json(0, &["run", "flow.yaml", "--dry-run"]);
    let preview = &lines.last().unwrap()["preview"];
    assert_eq!((&preview["items"], &preview["batches"]), (&json!(3), &json!(1)));
    assert_eq!((&preview["skipped"], &preview["failed"]), (&json!(1), &json!(1)));
    assert_eq!(preview["first"][2], json!({ "key": "items.jsonl#2", "skipped": "`items.where` is false" }));
    assert!(stage.log().is_empty());
    assert!(!stage.path(".fanfold").exists());
}

#[test]
fn an_empty_input_is_done_at_once_and_said_aloud() {
    let stage = Stage::new();
    stage.write("items.jsonl", "").flow("");
    let lines = stage.json(0, &["run", "flow.yaml"]);
    assert!(lines.iter().any(|line| line["message"] == "there is nothing in `items.jsonl`"), "{lines:?}");
    let last = crate::stage::finished(&lines);
    assert_eq!((&last["items"]["total"], &last["batches"], &last["status"]), (&json!(0), &json!(0), &json!("SUCCEEDED")));
}

#[test]
fn what_is_left_out_is_counted_and_what_is_damaged_fails_alone() {
    let stage = Stage::new();
    stage.write("items.jsonl", "{\"id\":\"i0\"}\n{\"id\":\n{\"id\":\"i2\"}\n\n7\n{\"id\":\"i4\"}\n");
    stage.flow("items: { jsonl: { source: items.jsonl }, where: \"{{ item.id != 'i4' }}\" }");
    let last = stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!(
        last["items"],
        json!({ "total": 5, "succeeded": 2, "skipped": 1, "failed": 2, "unknown": 0, "blocked": 0, "pending": 0 })
    );
    let lines = stage.run(&["results"]).ended(0).lines();
    let of =
        |n: usize| (lines[n]["status"].as_str().unwrap(), lines[n]["error"].as_str().unwrap_or_default(), &lines[n]["attempts"]);
    assert_eq!(of(1), ("failed", "Item.Invalid", &json!(0)));
    assert!(lines[1]["cause"].as_str().unwrap().starts_with("items.jsonl:2:"), "{}", lines[1]);
    assert_eq!(of(3).1, "Item.Invalid");
    assert_eq!(of(4), ("skipped", "", &json!(0)));
    assert_eq!(of(0), ("succeeded", "", &json!(1)));
    assert_eq!(last["attempts"], 2);
}

#[test]
fn the_limit_of_the_items_is_said_aloud() {
    let stage = Stage::new();
    stage.plain(10).flow("items: { jsonl: { source: items.jsonl }, limit: 4 }");
    let lines = stage.json(0, &["run", "flow.yaml"]);
    assert!(lines.iter().any(|line| line["message"] == "4 items read, more not read (`items.limit`)"), "{lines:?}");
    assert_eq!(crate::stage::finished(&lines)["items"]["total"], 4);
}

#[test]
fn named_keys_are_kept_and_twice_the_same_is_refused() {
    let stage = Stage::new();
    let flow = "items: { jsonl: { source: items.jsonl }, key: \"{{ item.id }}\" }";
    stage.items([plain(0), doing(1, "permanent"), json!({ "id": "i2", "what": 3 })]).flow(flow);
    stage.finished(1, &["run", "flow.yaml"]);
    let keys: Vec<Value> = stage.run(&["results"]).ended(0).lines().iter().map(|line| line["key"].clone()).collect();
    assert_eq!(keys, ["i0", "i1", "i2"]);
    let stage = Stage::new();
    stage.items((0..500).map(|n| plain(n % 499))).flow(flow);
    stage.run(&["run", "flow.yaml"]).ended(2).says("items 1 and 500 of the input have one key, `i0`");
    assert!(stage.log().is_empty(), "refused before anything is done");
}

#[test]
fn two_items_with_one_destination_are_refused_both_named() {
    let stage = Stage::new();
    let to = |n: usize, to: &str| json!({ "id": format!("i{n}"), "to": to });
    stage.items([to(0, "a"), to(1, "b"), to(2, "a")]).flow_of("note_to", "", "");
    stage.run(&["run", "flow.yaml"]).ended(2).says("`items.jsonl#0` and `items.jsonl#2` have one destination, `a`");
    assert!(stage.log().is_empty());
    stage.flow_of("note_to", "", "items: { jsonl: { source: items.jsonl }, where: \"{{ item.id != 'i2' }}\" }");
    assert_eq!(stage.finished(0, &["run", "flow.yaml"])["items"]["succeeded"], 2, "what is left out takes no destination");
}

#[test]
fn a_batch_is_cut_by_bytes_and_what_fits_in_none_fails_alone() {
    let stage = Stage::new();
    // 1,024 around the envelope of 12: each item is 300 bytes and a comma, so three of them fit.
    let sized = |n: usize, bytes: usize| {
        let empty = json!({ "id": format!("i{n}"), "pad": "" }).to_string().len();
        json!({ "id": format!("i{n}"), "pad": "x".repeat(bytes - empty) })
    };
    stage.items((0..10).map(|n| sized(n, if n == 4 { 1013 } else { 300 }))).flow("batch: { max_bytes: 1KiB }");
    let last = stage.finished(1, &["run", "flow.yaml"]);
    assert_eq!((&last["batches"], &last["items"]["failed"]), (&json!(5), &json!(1)), "3, 1, too large, 3, 2");
    let failed = &stage.results(&stage.only_run())["i4"];
    assert_eq!((&failed["error"], &failed["attempts"]), (&json!("Item.TooLarge"), &json!(0)));
    assert_eq!(failed["cause"], "the item has 1013 bytes of JSON, a batch takes at most 1024 (`batch.max_bytes`)");
}

#[test]
fn params_come_from_the_command_line_and_stay_with_the_run() {
    let stage = Stage::new();
    stage.plain(6).write(
        "sub/flow.yaml",
        "fanfold: 1\nname: notes\nparams: { source: { type: path }, most: { type: integer, default: 2 } }\n\
         items: { jsonl: { source: \"{{ params.source }}\" }, limit: \"{{ params.most }}\" }\njob: { note: { log: log.txt } }\n",
    );
    stage.run(&["run", "sub/flow.yaml"]).ended(2).says("`source`");
    stage.run(&["run", "sub/flow.yaml", "-p", "source"]).ended(2).says("`-p source` is not NAME=VALUE");
    stage
        .run(&["run", "sub/flow.yaml", "-p", "source=items.jsonl", "-p", "most=many"])
        .ended(2)
        .says("`-p most`: expected an integer, found `many`");
    let last =
        stage.finished(3, &["run", "sub/flow.yaml", "-p", "source=items.jsonl", "-p", "most=5", "--as", "p", "--limit", "1"]);
    assert_eq!(last["items"]["total"], 5);
    assert_eq!(stage.finished(0, &["resume", "p"])["items"]["succeeded"], 5);
}

#[test]
fn runs_live_in_the_nearest_state_folder_or_in_the_one_named() {
    let stage = Stage::new();
    stage.plain(1).flow("");
    std::fs::create_dir_all(stage.path("a/b")).unwrap();
    let mut deep = stage.command(&["run", "../../flow.yaml", "--as", "first"]);
    assert!(deep.current_dir(stage.path("a/b")).output().unwrap().status.success());
    assert!(stage.path("a/b/.fanfold/runs/first/run.db").exists(), "none was there: it is made where one stands");
    std::fs::rename(stage.path("a/b/.fanfold"), stage.path("a/.fanfold")).unwrap();
    let mut deep = stage.command(&["run", "../../flow.yaml", "--as", "second"]);
    assert!(deep.current_dir(stage.path("a/b")).output().unwrap().status.success());
    assert!(stage.path("a/.fanfold/runs/second/run.db").exists(), "found upwards");
    stage.run(&["run", "flow.yaml", "--as", "third", "--state-dir", "s"]).ended(0);
    assert!(stage.path("s/runs/third/run.db").exists());
    let by_name = stage.command(&["status", "third", "--json"]).env("FANFOLD_STATE", stage.path("s")).output().unwrap();
    assert!(by_name.status.success());
    stage.run(&["status", "third"]).ended(2).says("there is no run `third`");
    for wrong in ["../x", ".x", "a b", ""] {
        stage.run(&["run", "flow.yaml", "--as", wrong]).ended(2).says("cannot name a run");
    }
}

#[test]
fn what_is_wrong_with_the_command_or_the_workflow_begins_no_run() {
    let stage = Stage::new();
    stage.plain(1).flow("max_concurency: 3");
    stage.run(&["run", "flow.yaml"]).ended(2).says("`max_concurency` is not a setting").says("did you mean `max_concurrency`?");
    stage.run(&["run", "flo.yaml"]).ended(2).says("flo.yaml");
    stage.run(&["run", "flow.yaml", "--limit", "0"]).ended(2);
    stage.run(&["walk"]).ended(2);
    stage.run(&["resume", "nothing"]).ended(2).says("there is no run `nothing`");
    let lines = stage.json(2, &["run", "flow.yaml"]);
    assert_eq!(
        (&lines[0]["event"], &lines[0]["kind"], &lines[0]["place"]["line"]),
        (&json!("error"), &json!("refused"), &json!(3))
    );
    assert!(!stage.path(".fanfold").exists());
}

#[test]
fn a_source_that_is_not_there_ends_the_run_before_anything_is_done() {
    let stage = Stage::new();
    stage.flow("");
    let lines = stage.json(2, &["run", "flow.yaml"]);
    assert_eq!(lines[0]["event"], "started");
    assert!(lines.iter().any(|line| line["event"] == "error"), "{lines:?}");
    assert_eq!(crate::stage::finished(&lines)["status"], "STOPPED");
}

#[test]
fn a_state_folder_that_cannot_be_written_is_the_surroundings_fault() {
    let stage = Stage::new();
    stage.plain(1).flow("").write("file", "");
    stage.run(&["run", "flow.yaml", "--state-dir", "file"]).ended(4).says("`--state-dir`");
    stage.write("state/runs", "");
    for args in [&["run", "flow.yaml", "--state-dir", "state"][..], &["run", "flow.yaml", "--state-dir", "state", "--as", "x"]] {
        stage.run(args).ended(4).says("cannot be made: File exists");
    }
}

#[test]
fn nobody_listening_is_no_mistake_and_a_full_disk_behind_stdout_is_one() {
    let stage = Stage::new();
    stage.plain(50).flow("");
    let program = crate::stage::program("test_jobs");
    let shell = |line: &str| {
        let status = std::process::Command::new("bash")
            .args(["-c", line])
            .env("P", &program)
            .current_dir(stage.path(""))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        status.expect("bash runs").code()
    };
    assert_eq!(shell("\"$P\" run flow.yaml --as x 2>/dev/full"), Some(0));
    assert_eq!(shell("set -o pipefail; \"$P\" run flow.yaml --as y 2>&1 >/dev/null | true"), Some(0));
    for data in ["schema", "status x", "explain batch", "completions bash"] {
        assert_eq!(shell(&format!("\"$P\" {data} >/dev/full")), Some(4), "{data}");
        assert_eq!(shell(&format!("set -o pipefail; \"$P\" {data} | true")), Some(0), "{data}");
    }
}

#[test]
fn hints_say_what_has_to_be_typed_here() {
    let stage = Stage::new();
    stage.plain(3).flow("");
    let args = ["--state-dir", "elsewhere", "run", "flow.yaml", "--as", "x", "--limit", "1"];
    stage.run(&args).ended(3).says("hint: test_jobs --state-dir elsewhere resume x");
    stage.run(&["--state-dir", "elsewhere", "resume", "x"]).ended(0);
}
