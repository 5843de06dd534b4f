//! The rate of calls: throttled from another process, shared by runs; what is waited for is shown.

use serde_json::{Value, json};

use crate::stage::Stage;

fn asks(n: usize, answers: &[u16]) -> Value {
    json!({ "id": format!("i{n}"), "answers": answers })
}

/// `flow.yaml` with the job that calls, one item at a time in each of eight batches.
fn flow(stage: &Stage, settings: &str) {
    let text = format!(
        "fanfold: 1\nname: asks\nitems: {{ jsonl: {{ source: items.jsonl }} }}\nbatch: {{ max_items: 1 }}\nmax_concurrency: 8\n\
         {settings}\njob: {{ asks: {{ log: log.txt }} }}\n"
    );
    stage.write("flow.yaml", text);
}

#[test]
fn the_rate_is_throttled_while_it_goes_on_and_kept_for_later() {
    let stage = Stage::new();
    stage.items((0..20).map(|n| asks(n, &[])));
    flow(&stage, "rate: { limit: 1/h }");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until("the first call", |stage| stage.log().len() == 1);
    assert!(stage.run(&["status", "x"]).ended(0).out.ends_with("; at most 1/h to a host\n"));
    let told = stage.run(&["throttle", "x", "--rate", "2000/s", "--rate", "other.example.com=600/m"]).ended(0);
    told.says("run x: at most 2000/s to a host, 10/s to other.example.com, from now on");
    running.wait().ended(0);
    assert_eq!(stage.times("call").values().sum::<u32>(), 20);
    let status = &stage.json(0, &["status", "x"])[0];
    let rate = json!({ "limit": "2000/s", "hosts": { "other.example.com": { "limit": "10/s", "burst": 1 } } });
    assert_eq!(status["rate"], rate);
    let told = stage.json(0, &["throttle", "x", "--rate", "workflow", "--rate", "other.example.com=workflow"]);
    assert_eq!(told, [json!({ "run": "x", "rate": { "limit": "1/h" } })]);
    for wrong in ["20", "=20/s", "a=fast", "0/s", "none"] {
        stage.run(&["throttle", "x", "--rate", wrong]).ended(2);
    }
}

#[test]
fn two_runs_keep_the_lower_rate() {
    let stage = Stage::new();
    stage.items((0..3).map(|n| asks(n, &[])));
    flow(&stage, "rate: { limit: 1/h }");
    let slow = stage.spawn(&["run", "flow.yaml", "--as", "slow"]);
    stage.until("the first call", |stage| stage.log().len() == 1);
    flow(&stage, "");
    let free = stage.spawn(&["run", "flow.yaml", "--as", "free"]);
    stage.until("the other run", |stage| stage.path(".fanfold/runs/free/in-flight").exists());
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(stage.log().len(), 1, "a run without a rate keeps that of the other");
    // The other is gone, by a kill: nobody has said goodbye.
    slow.signal("KILL");
    free.wait().ended(0);
    assert_eq!(stage.log().len(), 4);
}

#[test]
fn a_pause_and_an_outage_are_shown() {
    let stage = Stage::new();
    let mut first = asks(0, &[429]);
    first["retry_after"] = "3".into();
    stage.items([first].into_iter().chain((1..4).map(|n| asks(n, &[]))));
    // One call at first, and so slowly after it that the answer is heard before the next.
    flow(&stage, "rate: { limit: 2/s }");
    let lines = stage.json(0, &["run", "flow.yaml"]);
    let waits: Vec<_> = lines.iter().filter(|line| line["event"] == "waiting").collect();
    assert_eq!((&waits[0]["host"], &waits[0]["why"]), (&json!("api.example.com"), &json!("429, Retry-After")));
    assert_eq!(waits.last().unwrap()["over"], true);
    let done = stage.run(&["run", "flow.yaml"]).ended(0);
    done.says("api.example.com: paused ").says(" s (429, Retry-After), ").says("wait");
    stage.items([asks(0, &[0, 0, 0]), asks(1, &[])]);
    let done = stage.run(&["run", "flow.yaml"]).ended(0);
    done.says("api.example.com: away for ").says(" s (connection refused), ").says("api.example.com: back after ");
}

#[test]
fn a_host_that_stays_away_stops_the_run_resumable() {
    let stage = Stage::new();
    stage.items([asks(0, &[0; 50]), asks(1, &[])]);
    flow(&stage, "outage: { give_up_after: 1s }\nrate: { limit: 20/s }");
    let done = stage.run(&["run", "flow.yaml", "--as", "x"]).ended(3);
    done.says("api.example.com has been away for 1s: ").says("resume x");
    stage.items([asks(0, &[]), asks(1, &[])]);
}

#[test]
fn a_folder_that_cannot_be_shared_stops_the_run_before_any_call() {
    let stage = Stage::new();
    stage.items([asks(0, &[])]).write("rates", "");
    flow(&stage, "rate: { limit: 20/s }");
    let done = stage.run(&["run", "flow.yaml", "--as", "x"]).ended(4);
    done.says("runs cannot share their rates through ").says("name another folder by `FANFOLD_RATE_DIR`");
    assert!(stage.log().is_empty());
    std::fs::remove_file(stage.path("rates")).unwrap();
    stage.run(&["resume", "x"]).ended(0);
}
