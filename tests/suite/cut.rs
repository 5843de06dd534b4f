//! A record that lost something: it is an older state of the run or an error, never a wrong count.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::stage::{Stage, doing, finished, plain};

const ITEMS: usize = 60;

/// A run that was killed with most of its items done, and its folder as the kill left it.
fn killed() -> Stage {
    let stage = Stage::new();
    let items = (0..ITEMS).map(|n| match n {
        7 => doing(n, "permanent"),
        59 => doing(n, "wait"),
        _ => plain(n),
    });
    stage.items(items).flow_of("note", "echo: true", "batch: { max_items: 9 }\ntolerated_failure: 100%");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until("recorded", |stage| {
        stage.path(".fanfold/runs/x/run.db").exists() && stage.json(0, &["status", "x"])[0]["items"]["pending"] == 1
    });
    running.kill();
    assert!(stage.path(".fanfold/runs/x/run.db-wal").exists(), "the end of the record is beside it");
    stage.write("gate", "");
    stage
}

/// A copy of the run's folder in a state folder of its own, with this done to it.
fn copy(stage: &Stage, state: &str, change: impl FnOnce(&Path)) {
    let (from, to) = (stage.path(".fanfold/runs/x"), stage.path(state).join("runs/x"));
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The memory of a process that is gone: made anew.
        if entry.file_name() != "run.db-shm" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    change(&to);
}

fn cut(file: &Path, length: u64) {
    fs::File::options().write(true).open(file).unwrap().set_len(length).unwrap();
}

#[test]
fn a_record_cut_anywhere_is_an_older_state_or_an_error() {
    let stage = killed();
    let size = |name: &str| fs::metadata(stage.path(".fanfold/runs/x").join(name)).unwrap().len();
    let (whole, log) = (size("run.db"), size("run.db-wal"));
    let mut cuts: Vec<(&str, u64)> = (0..12).map(|n| ("run.db-wal", log * n / 12 + n % 3)).collect();
    cuts.extend((0..8).map(|n| ("run.db", whole * n / 8)));
    cuts.extend([("run.db", 1), ("run.db", 100), ("run.db", whole - 1)]);
    let (mut older, mut refused) = (0, 0);
    for (number, (name, length)) in cuts.into_iter().enumerate() {
        let state = format!("cut-{number}");
        copy(&stage, &state, |run| cut(&run.join(name), length));
        let status = stage.run(&["status", "x", "--json", "--state-dir", &state]);
        let done = stage.run(&["resume", "x", "--json", "--state-dir", &state]);
        let what = format!("{name} cut at {length}: {} {}", done.out, done.err);
        match done.code {
            Some(0) => {
                let before = &status.ended(0).lines()[0]["items"];
                assert!(before["succeeded"].as_u64().unwrap() <= ITEMS as u64 - 2, "{before}, {what}");
                let items = &finished(&done.lines())["items"];
                assert_eq!(
                    (&items["total"], &items["succeeded"], &items["failed"]),
                    (&json!(ITEMS), &json!(ITEMS - 1), &json!(1)),
                    "{what}"
                );
                older += 1;
            }
            Some(2 | 4) => {
                assert!(done.err.contains("run.db") && done.err.contains("hint: "), "{what}");
                refused += 1;
            }
            _ => panic!("{what}"),
        }
    }
    assert!(older >= 12 && refused >= 5, "{older} older states, {refused} errors");
}

#[test]
fn the_end_of_the_record_lost_or_damaged_is_an_older_state() {
    let stage = killed();
    let wal = |run: &Path| run.join("run.db-wal");
    let flipped = |at: u64| {
        move |run: &Path| {
            let mut bytes = fs::read(run.join("run.db-wal")).unwrap();
            let at = bytes.len() * at as usize / 10;
            bytes[at] ^= 0x55;
            fs::write(run.join("run.db-wal"), bytes).unwrap();
        }
    };
    copy(&stage, "none", |run| fs::remove_file(wal(run)).unwrap());
    copy(&stage, "flip-1", flipped(1));
    copy(&stage, "flip-6", flipped(6));
    copy(&stage, "flip-9", flipped(9));
    for state in ["none", "flip-1", "flip-6", "flip-9"] {
        let last = stage.finished(0, &["resume", "x", "--state-dir", state]);
        assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(ITEMS - 1), &json!(1)), "{state}");
    }
}

#[test]
fn marks_that_are_torn_or_nonsense_do_no_harm() {
    let stage = killed();
    let marks: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("torn", vec![1, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0]),
        ("wild", vec![0xff; 800]),
        ("words", b"not marks at all".to_vec()),
    ];
    for (state, bytes) in marks {
        copy(&stage, state, |run| fs::write(run.join("in-flight"), bytes).unwrap());
        let last = stage.finished(0, &["resume", "x", "--state-dir", state]);
        assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(ITEMS - 1), &json!(1)), "{state}");
    }
}
