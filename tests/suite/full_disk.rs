//! A disk that is full stops a run with exit 4, whenever it happens, and a resume does the rest.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::stage::{Done, Running, Stage, finished, program};

/// A kilobyte each, kept as output: the record grows.
fn large_items(stage: &Stage, n: usize) {
    stage.items((0..n).map(|n| json!({ "id": format!("i{n}"), "pad": "x".repeat(1000) })));
}

/// Runs the program with no file of its own above so many blocks: what is written beyond fails, as on a full disk. The signal that
/// would end it is ignored, by it as well.
fn limited(stage: &Stage, blocks: u32, args: &[&str]) -> Done {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\" || exit 99; exec \"$@\""])
        .arg(blocks.to_string())
        .arg(program("test_jobs"));
    command.args(args).current_dir(stage.path("")).env("NO_COLOR", "1");
    Running::of(command).wait()
}

#[test]
fn wherever_it_is_full_the_run_stops_resumable_and_no_count_is_wrong() {
    let (mut stopped, mut went_on) = (0, 0);
    for blocks in [1, 24, 64, 96, 170, 400, 1100, 2000] {
        let stage = Stage::new();
        large_items(&stage, 1500);
        stage.flow_of("note", "echo: true", "");
        let args = ["run", "flow.yaml", "--as", "x", "--json"];
        let done = limited(&stage, blocks, &args);
        assert_eq!(done.code, Some(4), "at {blocks}: {} {}", done.out, done.err);
        let recorded: BTreeSet<String> = if stage.run(&["results", "x", "--state-dir", ".fanfold"]).code == Some(0) {
            went_on += 1;
            let all = stage.results("x");
            let last = finished(&done.lines());
            assert_eq!(last["status"], "STOPPED", "at {blocks}");
            all.into_iter().filter(|(_, line)| line["status"] != "pending").map(|(id, _)| id).collect()
        } else {
            BTreeSet::new()
        };
        let ends = stage.times("end");
        assert!(recorded.iter().all(|id| ends.contains_key(id)), "at {blocks}: an outcome that did not happen");
        stopped += usize::from(!recorded.is_empty());
        // Still full: still nothing lost, and nobody is taken to have crashed.
        for _ in 0..3 {
            assert_eq!(limited(&stage, blocks, &args).code, Some(4), "at {blocks}");
        }
        let last = stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
        assert_eq!(last["items"]["succeeded"], 1500, "at {blocks}");
        let again = stage.times("end");
        assert!(recorded.iter().all(|id| again[id] == 1), "at {blocks}: what was recorded was done again");
    }
    assert!(stopped >= 2 && went_on > stopped, "{stopped} stopped in the middle, {went_on} after the beginning");
}

#[test]
fn what_must_not_be_repeated_and_could_not_be_recorded_is_unknown() {
    let stage = Stage::new();
    large_items(&stage, 600);
    stage.flow_of("note_unsafe", "echo: true", "tolerated_failure: 100%");
    assert_eq!(limited(&stage, 400, &["run", "flow.yaml", "--as", "x"]).code, Some(4));
    let last = stage.finished(0, &["resume", "x"]);
    let unknown = last["items"]["unknown"].as_u64().unwrap();
    assert!(unknown > 0 && unknown < 600 && last["items"]["pending"] == 0, "{last}");
    assert!(stage.times("begin").values().all(|times| *times == 1), "nothing is begun twice");
}

/// The real thing, in a mount namespace of its own that leaves nothing behind.
#[test]
#[ignore = "needs a user namespace or root: mounts a small tmpfs"]
fn a_small_disk_that_is_full_is_emptied_and_the_run_goes_on() {
    let stage = Stage::new();
    large_items(&stage, 1500);
    stage.flow_of("note", "echo: true", "");
    std::fs::create_dir(stage.path("disk")).unwrap();
    let script = r#"
        mount -t tmpfs -o size=1536k none disk || exit 99
        head -c 1000000 /dev/zero > disk/other
        "$0" run flow.yaml --as x --json --state-dir disk/state; echo "code $?"
        rm disk/other; mount -o remount,size=20m disk
        "$0" resume x --json --state-dir disk/state; echo "code $?"
    "#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script]).arg(program("test_jobs")).current_dir(stage.path("")).env("NO_COLOR", "1");
    let done = Running::of(command).wait();
    let ends: Vec<&str> = done.out.lines().filter(|line| line.starts_with("code ")).collect();
    assert_eq!(ends, ["code 4", "code 0"], "{} {}", done.out, done.err);
    assert!(done.err.contains("make room on the disk; what is recorded stays, and the run can be resumed"), "{}", done.err);
    let finishes: Vec<Value> =
        done.out.lines().filter(|line| line.contains("\"finished\"")).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(finishes[1]["items"]["succeeded"], 1500);
    assert!(finishes[0]["items"]["succeeded"].as_u64().unwrap() < 1500);
}
