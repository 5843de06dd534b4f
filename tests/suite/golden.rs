//! Runs that older versions left behind are read by this one: `tests/runs/`, where it says how they were made.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::stage::Stage;

fn versions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs");
    let mut versions: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

/// The runs of a version.
fn runs(version: &Path) -> Vec<String> {
    let runs = fs::read_dir(version.join("runs")).unwrap();
    let mut runs: Vec<String> = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    runs.sort();
    assert!(runs.len() >= 2, "{runs:?}");
    runs
}

/// A copy of the runs as `.fanfold` of a stage.
fn stage(version: &Path) -> Stage {
    let stage = Stage::new();
    for run in runs(version) {
        for file in ["run.db", "items.jsonl"] {
            let name = format!("runs/{run}/{file}");
            stage.write(&format!(".fanfold/{name}"), fs::read(version.join(name)).unwrap());
        }
    }
    stage
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn they_are_shown_as_they_were() {
    for version in versions() {
        let stage = stage(&version);
        for run in runs(&version) {
            let run = run.as_str();
            let expected = |what: &str| lines(&fs::read_to_string(version.join(format!("expected/{run}.{what}"))).unwrap());
            assert_eq!(stage.json(0, &["status", run]), expected("status.json"), "{}", version.display());
            let found = stage.run(&["results", run]).ended(0);
            assert_eq!(found.lines(), expected("results.jsonl"), "{}", version.display());
            assert_eq!(found.err, "");
        }
    }
}

#[test]
fn one_that_was_stopped_goes_on() {
    for version in versions() {
        let stage = stage(&version);
        let last = stage.finished(1, &["resume", "stopped"]);
        assert_eq!(
            last["items"],
            json!({ "total": 12, "succeeded": 6, "skipped": 2, "failed": 3, "unknown": 1, "blocked": 0, "pending": 0 })
        );
        assert_eq!(stage.times("begin").into_iter().collect::<Vec<_>>(), [("i10".to_string(), 1), ("i11".to_string(), 1)]);
        stage.write("cure", "");
        assert_eq!(stage.finished(0, &["redrive", "stopped"])["items"]["failed"], 1, "the one that is no object");
        assert_eq!(stage.finished(0, &["redrive", "done"])["items"]["failed"], 1);
    }
}

#[test]
fn calls_that_were_unknown_are_decided_and_go_on() {
    let versions = versions();
    for version in versions.iter().filter(|version| runs(version).contains(&"calls".to_string())) {
        let stage = stage(version);
        stage.write("cure", "");
        stage.run(&["resolve", "calls", "p1", "s2", "--happened", "{\"step\": \"by hand\"}"]).ended(0);
        stage.run(&["resolve", "calls", "p2", "s3", "--did-not-happen"]).ended(0);
        let last = stage.finished(0, &["redrive", "calls"]);
        assert_eq!(last["items"]["succeeded"], 5);
        assert_eq!(stage.results("calls")["p1"]["output"], json!(["s1", "by hand", "s3"]));
        // What was answered before is not sent again.
        let sent: Vec<String> = stage.log().into_iter().filter(|line| line.starts_with("arrived p")).collect();
        let sent: Vec<&str> = sent.iter().map(|line| &line["arrived ".len().."arrived p1 s3".len()]).collect();
        let mut sorted = sent.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["p1 s3", "p2 s3", "p3 s2", "p3 s3", "p4 s1", "p4 s2", "p4 s3"]);
    }
    assert!(versions.len() >= 2);
}
