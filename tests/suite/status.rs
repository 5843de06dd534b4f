//! `status`: how runs stand, seen from another process.

use serde_json::{Value, json};

use crate::stage::{Stage, doing, plain};

#[test]
fn all_runs_are_listed_oldest_first_with_what_the_run_itself_said() {
    let stage = Stage::new();
    let done = stage.run(&["status"]).ended(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", "no runs in .fanfold\n"));
    stage.items([plain(0), doing(1, "permanent"), plain(2)]).flow("");
    let mut told = vec![
        stage.finished(3, &["run", "flow.yaml", "--as", "b", "--limit", "1"]),
        stage.finished(1, &["run", "flow.yaml", "--as", "a"]),
    ];
    for report in &mut told {
        report.as_object_mut().unwrap().remove("event");
    }
    assert_eq!(stage.json(0, &["status"]), told);
    assert_eq!(stage.json(0, &["status", "a"]), told[1..]);
    let done = stage.run(&["status"]).ended(0);
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with("b  notes  STOPPED  3 items: 1 succeeded, 2 pending; 1 batch, 1 try,"), "{}", lines[0]);
    assert!(lines[1].starts_with("a  notes  FAILED  3 items: 2 succeeded, 1 failed; 1 batch, 3 tries,"), "{}", lines[1]);
    stage.run(&["status", "c"]).ended(2).says("there is no run `c`").says("hint: the nearest is `");
}

#[test]
fn a_run_that_is_going_on_is_running_and_one_that_died_is_stopped() {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "wait")]).flow("");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until("recorded", |stage| {
        stage.path(".fanfold/runs/x/run.db").exists() && stage.json(0, &["status", "x"])[0]["items"]["succeeded"] == 1
    });
    let status = &stage.json(0, &["status", "x"])[0];
    assert_eq!((&status["status"], &status["items"]["pending"]), (&json!("RUNNING"), &json!(1)));
    running.kill();
    let status = &stage.json(0, &["status", "x"])[0];
    assert_eq!(
        (&status["status"], &status["items"]["succeeded"], &status["items"]["pending"]),
        (&json!("STOPPED"), &json!(1), &json!(1))
    );
}

#[test]
fn following_it_shows_it_until_it_ends() {
    let stage = Stage::new();
    stage.items([doing(0, "wait")]).flow("");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until_logged("begin i0");
    let mut following = stage.spawn(&["status", "--follow", "--json"]);
    let first: Value = serde_json::from_str(&following.line()).unwrap();
    assert_eq!((&first["event"], &first["items"]["pending"]), (&json!("listed"), &json!(1)));
    stage.write("gate", "");
    running.wait().ended(0);
    assert_eq!(crate::stage::finished(&following.wait().ended(0).lines())["status"], "SUCCEEDED");
    // Of one that is over there is nothing more to follow.
    stage.run(&["status", "x", "--follow"]).ended(0).says("1 item: 1 succeeded");
}

#[test]
fn one_damaged_record_does_not_hide_the_other_runs() {
    let stage = Stage::new();
    stage.plain(2).flow("");
    for name in ["a", "b", "c"] {
        stage.finished(0, &["run", "flow.yaml", "--as", name]);
    }
    stage.write(".fanfold/runs/b/run.db", [7; 4096]);
    let done = stage.run(&["status"]).ended(4).says("hint: the file is damaged; restore it from a copy");
    assert_eq!(done.out.lines().map(|line| &line[..1]).collect::<Vec<_>>(), ["a", "c"]);
    stage.run(&["resume", "b"]).ended(4).says("the file is damaged");
}
