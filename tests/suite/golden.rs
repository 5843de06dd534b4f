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

/// A copy of the runs as `.fanfold` of a stage.
fn stage(version: &Path) -> Stage {
    let stage = Stage::new();
    for run in ["done", "stopped"] {
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
        for run in ["done", "stopped"] {
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
