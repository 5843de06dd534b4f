//! What must not be seen: secrets anywhere, and what is redacted of an item.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::stage::{Running, Stage, finished};

const TOKEN: &str = "tok/en+\"1234\"";

const FLOW: &str =
    "secrets: { token: { env: NOTE_TOKEN }, unused: { env: NOTE_UNUSED } }\nredact: [item.email]\nretry: { max_retries: 0 }";

const SAYS: &str = "echo: true, says: 'no {{ item.email }} for {{ secrets.token }}'";

fn stage() -> Stage {
    let stage = Stage::new();
    stage.items([
        json!({ "id": "i0", "email": "ada@example.com", "note": "write to ada@example.com" }),
        json!({ "id": "i1", "email": "bob@example.com", "what": "permanent" }),
    ]);
    stage.flow_of("note", SAYS, FLOW);
    stage
}

fn run(stage: &Stage, args: &[&str]) -> crate::stage::Done {
    let mut command = stage.command(args);
    command.env("NOTE_TOKEN", TOKEN).env_remove("NOTE_UNUSED");
    Running::of(command).wait()
}

/// Every file below a folder that has one of these in it.
fn holding(folder: &Path, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, needles));
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        found.extend(
            needles.iter().filter(|needle| text.contains(**needle)).map(|needle| format!("{needle}: {}", path.display())),
        );
    }
    found
}

#[test]
fn neither_a_secret_nor_what_is_redacted_is_shown_or_kept() {
    let stage = stage();
    let done = run(&stage, &["run", "flow.yaml", "--as", "x", "--json"]).ended(1);
    assert_eq!(finished(&done.lines())["items"]["failed"], 1);
    let results = run(&stage, &["results", "x"]).ended(0);
    let lines = results.lines();
    assert_eq!(lines[0]["item"], json!({ "id": "i0", "email": "***", "note": "write to ada@example.com" }));
    assert_eq!(lines[0]["output"], json!({ "id": "i0", "email": "***", "note": "write to ***" }));
    assert_eq!((&lines[1]["error"], &lines[1]["cause"]), (&json!("Note.Never"), &json!("no *** for ***")));
    for text in [&done.out, &done.err] {
        assert!(!text.contains("1234") && !text.contains("bob@"), "{text}");
    }
    // The input itself is a copy of the source, and the output is what the next item of a lane is given.
    let kept = holding(&stage.path(".fanfold"), &["1234", "no bob@"]);
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn without_the_item_its_output_is_not_shown() {
    let stage = stage();
    run(&stage, &["run", "flow.yaml", "--as", "x"]).ended(1);
    fs::remove_file(stage.path("items.jsonl")).unwrap();
    let lines = run(&stage, &["results", "x"]).ended(0).lines();
    assert_eq!(lines[0], json!({ "key": "items.jsonl#0", "index": 0, "status": "succeeded", "attempts": 1 }));
}

#[test]
fn secrets_that_are_missing_are_told_before_anything_is_done_and_a_dry_run_needs_none() {
    let stage = stage();
    let mut command = stage.command(&["run", "flow.yaml", "--as", "x"]);
    command.env("NOTE_TOKEN", "");
    let said = "the environment variable `NOTE_TOKEN`, which holds the secret `token`, is empty; hint: export NOTE_TOKEN=…";
    Running::of(command).wait().ended(4).says(said);
    assert!(stage.log().is_empty());
    stage.run(&["run", "flow.yaml", "--dry-run"]).ended(0);
    run(&stage, &["resume", "x"]).ended(1);
    // Nothing is left to do, so nothing is needed.
    stage.run(&["resume", "x"]).ended(1);
}

#[test]
fn a_warning_of_check_changes_no_exit_code_and_stands_in_the_json() {
    let stage = stage();
    stage.flow("redact: [item.email]");
    let text = stage.read("flow.yaml").replace("items.jsonl }", "items.jsonl }, key: '{{ item.email }}'");
    stage.write("flow.yaml", text);
    let said = "warning: `items.key`: the key of every item is shown, and it is made of `item.email`, which `redact` hides \
                (flow.yaml:4:51); hint: `{{ item.email | sha256 }}` tells items apart and shows nothing";
    stage.run(&["check", "flow.yaml"]).ended(0).says(said).says("flow.yaml: no mistake found");
    let lines = stage.json(0, &["check", "flow.yaml"]);
    let warning = &lines[0]["warnings"][0];
    assert_eq!(warning["place"], json!({ "file": "flow.yaml", "line": 4, "column": 51 }), "{lines:?}");
    assert!(warning["message"].as_str().unwrap().starts_with("`items.key`: ") && warning["hint"].is_string());
    stage.flow("");
    assert_eq!(stage.json(0, &["check", "flow.yaml"])[0]["warnings"], json!([]));
}

#[test]
fn settings_below_lists_and_names_of_ones_own_are_explained() {
    let stage = Stage::new();
    for (path, said) in [("rate.hosts.limit", "50/s"), ("tests.answers.repeat", "one after another"), ("lane", "order.by")] {
        let out = stage.run(&["explain", path]).ended(0).out;
        assert!(out.contains(said), "{path}: {out}");
    }
}
