//! `stop` and `throttle`, from another process; how much is worked on at once.

use serde_json::{Value, json};

use crate::stage::{Stage, doing, finished};

/// A wish is heard within 200 ms, and nothing shows that it was: this is long enough on a busy machine as well.
const HEARD: std::time::Duration = std::time::Duration::from_millis(1500);

/// The most items that were in flight at once.
fn most_at_once(stage: &Stage) -> usize {
    let (mut now, mut most) = (0, 0);
    for line in stage.log() {
        match line.split_once(' ') {
            Some(("begin", _)) => now += 1,
            Some(("end", _)) => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

#[test]
fn another_process_stops_a_run_and_waits_until_it_has() {
    let stage = Stage::new();
    stage.items((0..30).map(|n| doing(n, "wait"))).flow("max_concurrency: 1\nbatch: { max_items: 5, concurrency: 2 }");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
    stage.until("two in flight", |stage| stage.log().len() == 2);
    let mut stopping = stage.spawn(&["stop", "x", "--json"]);
    stopping.until_said("asked; waiting for what is in flight");
    stage.until("the wish", |stage| stage.path(".fanfold/runs/x/control.json").exists());
    // Then it no longer begins anything, and what is in flight ends.
    std::thread::sleep(HEARD);
    stage.write("gate", "");
    let last = finished(&running.wait().ended(3).lines());
    assert_eq!((&last["stopped"], &last["status"]), (&json!("asked to stop"), &json!("STOPPED")));
    let told = &stopping.wait().ended(0).lines()[0];
    assert_eq!((&told["status"], &told["items"]), (&json!("STOPPED"), &last["items"]));
    assert_eq!(stage.times("begin").len(), stage.times("end").len(), "nothing was cut off");
    // An old wish does not stop a resume.
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 30);
    assert_eq!(stage.times("begin").values().max(), Some(&1));
}

#[test]
fn stopping_what_nobody_works_on_says_so() {
    let stage = Stage::new();
    stage.plain(3).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "1"]);
    stage.run(&["stop", "x"]).ended(0).says("no process is working on run x").says("test_jobs resume x");
    stage.run(&["stop", "y"]).ended(2).says("there is no run `y`");
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 3);
}

#[test]
fn a_stop_is_heard_while_items_are_taken_one_by_one_after_crashes() {
    let stage = Stage::new();
    // i1 is in flight at two deaths, and so runs alone afterwards; i2 runs beside nothing before it.
    stage.items([doing(0, "abort"), doing(1, "wait"), doing(2, "wait")]).flow("batch: { concurrency: 3 }");
    for _ in 0..2 {
        assert_eq!(stage.run(&["run", "flow.yaml", "--as", "x"]).code, None);
    }
    stage.write("cure", "");
    let begun = stage.log().len();
    let running = stage.spawn(&["resume", "x", "--json"]);
    // All three are suspects: i0 is done alone, then i1 waits alone.
    stage.until("i1 alone", |stage| stage.log()[begun..].contains(&"begin i1".to_string()));
    let mut stopping = stage.spawn(&["stop", "x"]);
    stopping.until_said("asked; waiting");
    std::thread::sleep(HEARD);
    stage.write("gate", "");
    let last = finished(&running.wait().ended(3).lines());
    assert_eq!(last["items"]["pending"], 1, "the third is not begun any more");
    stopping.wait().ended(0);
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 3);
}

#[test]
fn no_more_is_in_flight_than_the_workflow_says() {
    for (batches, items) in [(1, 1), (2, 3), (5, 1)] {
        let stage = Stage::new();
        stage.plain(80).flow_of(
            "note",
            "takes_ms: 3",
            &format!("batch: {{ max_items: 4, concurrency: {items} }}\nmax_concurrency: {batches}"),
        );
        stage.finished(0, &["run", "flow.yaml"]);
        let most = most_at_once(&stage);
        assert!(most <= batches * items, "{most} at once, {batches} × {items} allowed");
        assert!(batches * items == 1 || most > 1, "nothing at once");
    }
}

#[test]
fn a_job_that_computes_is_not_begun_a_thousand_times_at_once() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let stage = Stage::new();
    stage.plain(cores * 80).flow_of("note_cpu", "takes_ms: 5", "batch: { max_items: 10 }\nmax_concurrency: 1000");
    stage.finished(0, &["run", "flow.yaml"]);
    let most = most_at_once(&stage);
    assert!(most <= cores * 32, "{most} items in flight on {cores} cores");
}

#[test]
fn throttled_it_works_on_less_at_once_and_stays_so_after_a_resume() {
    let stage = Stage::new();
    stage.items((0..60).map(|n| doing(n, "wait"))).flow("batch: { max_items: 2, concurrency: 1 }\nmax_concurrency: 6");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
    stage.until("six in flight", |stage| stage.log().len() == 6);
    stage.run(&["throttle", "x", "--concurrency", "1"]).ended(0).says("at most 1 batch at once, from now on");
    std::thread::sleep(HEARD);
    running.signal("TERM");
    let mut running = running;
    running.until_said("stopping");
    stage.write("gate", "");
    running.wait().ended(3);
    assert_eq!(most_at_once(&stage), 6);
    std::fs::remove_file(stage.path("log.txt")).unwrap();
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 60);
    assert_eq!(most_at_once(&stage), 1);
    let told = stage.json(0, &["throttle", "x", "--concurrency", "3"]);
    assert_eq!(told, [json!({ "run": "x", "concurrency": 3 })]);
    stage.run(&["throttle", "x", "--concurrency", "0"]).ended(2);
    stage.run(&["throttle", "x"]).ended(2);
}

#[test]
fn a_run_that_is_going_on_can_be_throttled_up_as_well() {
    let stage = Stage::new();
    stage.items((0..20).map(|n| doing(n, "wait"))).flow("batch: { max_items: 1 }\nmax_concurrency: 1");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until("one in flight", |stage| stage.log().len() == 1);
    stage.run(&["throttle", "x", "--concurrency", "4"]).ended(0);
    stage.until("four in flight", |stage| stage.log().len() == 4);
    stage.write("gate", "");
    running.wait().ended(0);
    assert_eq!(most_at_once(&stage), 4);
}

#[test]
fn a_file_of_wishes_that_is_none_is_no_wish() {
    let stage = Stage::new();
    stage.plain(3).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "1"]);
    stage.write(".fanfold/runs/x/control.json", "{ half");
    let last: Value = stage.finished(0, &["resume", "x"]);
    assert_eq!(last["items"]["succeeded"], 3);
}
