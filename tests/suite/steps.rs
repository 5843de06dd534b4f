//! Steps: nothing is lost and nothing is repeated blindly, whatever kills a run, and a person decides what is unknown.
//!
//! The judge is the third party's own log: a line for every request that arrived and one for every effect.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use crate::stage::{Running, Stage, finished, program};

/// What each item does at `s2` of three steps.
fn doing(n: usize, what: &str) -> Value {
    json!({ "id": format!("i{n}"), "at": "s2", "what": what })
}

fn flow(stage: &Stage, repeat: &str, on_unknown: &str, settings: &str) {
    stage.write(
        "flow.yaml",
        format!(
            "fanfold: 1\nname: pays\nitems: {{ jsonl: {{ source: items.jsonl }}, key: \"{{{{ item.id }}}}\" }}\n\
             retry: {{ initial_interval: 1ms, max_retries: 2 }}\nstop: {{ if_first: 0 }}\n\
             job: {{ pay: {{ log: log.txt, cure: cure, gate: gate, steps: 3, repeat: {repeat}, on_unknown: {on_unknown}, {settings} }} }}\n"
        ),
    );
}

/// How often each line of this kind came, by item and step.
fn times(stage: &Stage, what: &str) -> BTreeMap<(String, String), u32> {
    let mut times = BTreeMap::new();
    for line in stage.log() {
        let words: Vec<&str> = line.split(' ').collect();
        if let [found, id, step, ..] = words[..]
            && found == what
        {
            *times.entry((id.to_string(), step.to_string())).or_default() += 1;
        }
    }
    times
}

fn effects(stage: &Stage, id: &str, step: &str) -> u32 {
    times(stage, "effect").get(&(id.to_string(), step.to_string())).copied().unwrap_or(0)
}

fn keys(stage: &Stage, id: &str, step: &str) -> Vec<String> {
    let start = format!("arrived {id} {step} ");
    stage.log().iter().filter_map(|line| line.strip_prefix(&start).map(str::to_string)).collect()
}

/// Runs one item that does this, lets it be killed by it, cures it and resumes it.
fn killed(repeat: &str, on_unknown: &str, what: &str) -> (Stage, Value) {
    let stage = Stage::new();
    stage.items([doing(0, what)]);
    flow(&stage, repeat, on_unknown, "");
    assert_eq!(stage.run(&["run", "flow.yaml", "--as", "x"]).code, None, "it was to die");
    stage.write("cure", "");
    let last = finished(&stage.run(&["resume", "x", "--json"]).lines());
    (stage, last["items"].clone())
}

#[test]
fn a_run_killed_in_the_middle_of_a_call_goes_on_there() {
    for (repeat, on_unknown, before, after) in [
        // Whether it is unknown, and how often the effect happened: killed before it arrived, and after.
        ("keyed", "retry", (0, 1), (0, 1)),
        ("once", "probe", (0, 1), (0, 1)),
        ("once", "hold", (1, 0), (1, 1)),
        ("keyed", "hold", (1, 0), (1, 1)),
        ("idempotent", "retry", (0, 1), (0, 2)),
        ("safe", "retry", (0, 1), (0, 2)),
    ] {
        for (what, (unknown, effect)) in [("abort before", before), ("abort after", after)] {
            let (stage, items) = killed(repeat, on_unknown, what);
            let told = format!("{repeat} {on_unknown} {what}: {items}, {:?}", stage.log());
            assert_eq!((&items["unknown"], &items["succeeded"]), (&json!(unknown), &json!(1 - unknown)), "{told}");
            assert_eq!(effects(&stage, "i0", "s2"), effect, "{told}");
            // An answer is on its way into the record when the next call is sent; of what has no effect nobody waits for that.
            let sent = keys(&stage, "i0", "s1").len();
            assert!(sent == 1 || repeat == "safe" && sent == 2, "what was answered is not sent again: {told}");
            assert_eq!(effects(&stage, "i0", "s3"), 1 - unknown, "{told}");
        }
    }
}

#[test]
fn an_unknown_call_is_shown_and_named_with_what_was_sent() {
    let stage = Stage::new();
    stage.items([doing(0, "lost"), doing(1, ""), json!({ "id": "it's i2", "at": "s1", "what": "break" })]);
    flow(&stage, "once", "hold", "");
    let done = stage.run(&["run", "flow.yaml", "--as", "x"]).ended(1);
    let done = done.says("unknown: i0 at `s2`; hint: test_jobs resolve x i0 s2 --happened JSON, --did-not-happen or --give-up");
    done.says(r"test_jobs resolve x 'it'\''s i2' s1 --happened JSON");
    stage.run(&["status", "x"]).ended(0).says("unknown: i0 at `s2`");
    let unknown = stage.run(&["results", "x", "--unknown"]).ended(0).lines();
    assert_eq!(unknown.len(), 2);
    assert_eq!((&unknown[0]["error"], &unknown[1]["error"]), (&json!("Pay.NoAnswer"), &json!("Pay.Status.500")));
    assert_eq!(unknown[0]["cause"], "step `s2`: connection reset; its effect may have happened");
    let call = &unknown[0]["calls"][0];
    assert_eq!((&call["step"], &call["call"], &call["starts"]), (&json!("s2"), &json!(0), &json!(1)));
    assert_eq!((&call["sent"], call.get("status")), (&json!("POST /s2 for i0, sending 1"), None));
    assert_eq!(call["key"].as_str(), keys(&stage, "i0", "s2").first().map(String::as_str));
    assert!(call["first_sent"].as_str().unwrap().ends_with('Z') && call["last_sent"] == call["first_sent"], "{call}");
    assert_eq!(unknown[1]["calls"][0]["status"], 500);
    assert!(stage.results("x")["i1"].get("calls").is_none());
    // Neither resume nor redrive touches it.
    stage.write("cure", "");
    let before = times(&stage, "arrived");
    stage.finished(1, &["resume", "x"]);
    stage.finished(1, &["redrive", "x"]);
    assert_eq!(times(&stage, "arrived"), before);
    stage.run(&["prune", "x"]).ended(2).says("calls of run x are unknown, and what was sent is needed to decide them");
}

/// One item that is unknown at `s2`.
fn unknown() -> Stage {
    let stage = Stage::new();
    stage.items([doing(0, "lost"), doing(1, ""), doing(2, "refuse")]);
    flow(&stage, "once", "hold", "");
    stage.run(&["run", "flow.yaml", "--as", "x"]).ended(1);
    stage.write("cure", "");
    stage
}

#[test]
fn what_happened_is_taken_for_the_answer_and_the_item_goes_on() {
    let stage = unknown();
    let done = stage.run(&["resolve", "x", "i0", "s2", "--happened", "{\"step\": \"by hand\"}"]).ended(0);
    done.says("item `i0`, step `s2`: happened; the item is pending\nhint: test_jobs resume x\n");
    assert_eq!(stage.json(0, &["status", "x"])[0]["status"], "STOPPED");
    let last = stage.finished(1, &["resume", "x"]);
    assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(2), &json!(1)));
    assert_eq!(stage.results("x")["i0"]["output"], json!(["s1", "by hand", "s3"]));
    assert_eq!(keys(&stage, "i0", "s2").len(), 1);
}

#[test]
fn what_did_not_happen_is_sent_again_under_a_new_key() {
    let stage = unknown();
    let told = &stage.json(0, &["resolve", "x", "i0", "s2", "--did-not-happen"])[0];
    assert_eq!(told, &json!({ "run": "x", "item": "i0", "step": "s2", "call": 0, "status": "pending", "unblocked": 0 }));
    stage.finished(1, &["resume", "x"]);
    let keys_of_s2 = keys(&stage, "i0", "s2");
    assert_eq!(keys_of_s2.len(), 2);
    assert_ne!(keys_of_s2[0], keys_of_s2[1]);
    assert_eq!((keys(&stage, "i0", "s1").len(), keys(&stage, "i0", "s3").len()), (1, 1));
    assert_eq!(stage.results("x")["i0"]["status"], "succeeded");
}

#[test]
fn what_is_given_up_is_failed_and_no_redrive_touches_it() {
    let stage = unknown();
    let done = stage.run(&["resolve", "x", "i0", "s2", "--give-up"]).ended(0);
    done.says("item `i0`, step `s2`: given up; the item is failed").says("hint: test_jobs status x");
    let line = &stage.results("x")["i0"];
    assert_eq!((&line["status"], &line["error"]), (&json!("failed"), &json!("Item.GivenUp")));
    assert_eq!(
        line["cause"],
        "given up by `fanfold resolve`; it was unknown: step `s2`: connection reset; its effect may have happened"
    );
    let last = stage.finished(1, &["redrive", "x"]);
    assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(2), &json!(1)));
    assert_eq!(keys(&stage, "i0", "s2").len(), 1);
}

#[test]
fn resolve_says_what_an_item_is_that_is_not_unknown() {
    let stage = unknown();
    for (args, told) in [
        (&["i1", "s2"][..], "item `i1` is not unknown, it is succeeded"),
        (&["i2", "s2"], "item `i2` is not unknown, it is failed"),
        (&["i9", "s2"], "no item of run x has the key `i9`; hint: test_jobs results x --unknown shows the keys"),
        (&["i0", "s3"], "item `i0` is not unknown at step `s3`, but at `s2`"),
        (&["i0", "s2", "--call", "1"], "item `i0` is not unknown at step `s2`, call 1, but at `s2`"),
        (&["i0"], "item `i0` is unknown at `s2`, and no step was named; hint: test_jobs resolve x i0 s2"),
    ] {
        let args = [&["resolve", "x"], args, &["--did-not-happen"]].concat();
        stage.run(&args).ended(2).says(told);
    }
    assert_eq!(stage.run(&["resolve", "x", "i0", "s2"]).code, Some(2));
    assert_eq!(stage.run(&["resolve", "x", "i0", "s2", "--give-up", "--did-not-happen"]).code, Some(2));
    stage.run(&["resolve", "x", "i0", "s2", "--happened", "{id: 7}"]).ended(2).says("not JSON");
    assert_eq!(stage.json(0, &["status", "x"])[0]["items"]["unknown"], 1, "nothing was changed");
}

#[test]
fn while_a_session_is_going_on_nothing_is_resolved() {
    let stage = Stage::new();
    stage.items([doing(0, "lost"), doing(1, "wait")]);
    flow(&stage, "once", "hold", "");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until("i1 waits", |stage| stage.log().iter().any(|line| line == "waits i1 s2"));
    stage.run(&["resolve", "x", "i0", "s2", "--give-up"]).ended(2).says("is being worked on by another process");
    stage.write("gate", "");
    running.wait().ended(1);
    stage.run(&["resolve", "x", "i0", "s2", "--give-up"]).ended(0);
}

#[test]
fn an_item_of_a_job_without_steps_is_resolved_as_a_whole() {
    let stage = Stage::new();
    stage.items((0..3).map(|n| json!({ "id": format!("i{n}"), "what": "unknown" }))).flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    stage.write("cure", "");
    stage.run(&["resolve", "x", "items.jsonl#0", "s1", "--give-up"]).ended(2).says("is unknown as a whole, not at a step `s1`");
    stage
        .run(&["resolve", "x", "items.jsonl#0", "--happened", "7"])
        .ended(0)
        .says("item `items.jsonl#0`: happened; the item is succeeded");
    stage.run(&["resolve", "x", "items.jsonl#1", "--did-not-happen"]).ended(0);
    stage.run(&["resolve", "x", "items.jsonl#2", "--give-up"]).ended(0).says("hint: test_jobs resume x");
    stage.finished(1, &["resume", "x"]);
    let results = stage.results("x");
    assert_eq!((&results["i0"]["output"], &results["i1"]["status"]), (&json!(7), &json!("succeeded")));
    assert_eq!((results["i2"]["error"].as_str(), &stage.times("begin")["i1"]), (Some("Item.GivenUp"), &2));
}

/// Three items in one lane, of which the first is unknown at this step; `s1` is done once for the lane.
fn lane(at: &str) -> Stage {
    let stage = Stage::new();
    let first = json!({ "id": "i0", "lane": "a", "at": at, "what": "lost" });
    stage.items([
        first,
        json!({ "id": "i1", "lane": "a" }),
        json!({ "id": "i2", "lane": "a" }),
        json!({ "id": "i3", "lane": "b" }),
    ]);
    flow(&stage, "once", "hold", "once_per_lane: true");
    stage.write("flow.yaml", format!("order: {{ by: \"{{{{ item.lane }}}}\" }}\n{}", stage.read("flow.yaml")));
    let items = stage.finished(1, &["run", "flow.yaml", "--as", "x"])["items"].clone();
    assert_eq!((&items["unknown"], &items["blocked"], &items["succeeded"]), (&json!(1), &json!(2), &json!(1)));
    stage.write("cure", "");
    stage
}

#[test]
fn what_is_blocked_behind_an_unknown_item_goes_on_with_it() {
    for (at, how, sent) in
        [("s2", &["--happened", "{}"][..], 1), ("s2", &["--did-not-happen"], 2), ("s1", &["--did-not-happen"], 2)]
    {
        let stage = lane(at);
        let told = &stage.json(0, &[&["resolve", "x", "i0", at], how].concat())[0];
        assert_eq!((&told["status"], &told["unblocked"]), (&json!("pending"), &json!(2)));
        assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 4);
        assert_eq!(keys(&stage, "i0", at).len(), sent);
        let of_lanes: u32 = times(&stage, "arrived").iter().filter(|((_, step), _)| step == "s1").map(|(_, times)| times).sum();
        assert_eq!(of_lanes, 2 + u32::from(at == "s1"), "once for each lane, and again where it did not happen");
        let ends: Vec<String> = stage.log().into_iter().filter(|line| line.starts_with("end ") && line != "end i3").collect();
        assert_eq!(ends, ["end i0", "end i1", "end i2"]);
    }
}

#[test]
fn behind_an_item_that_was_given_up_a_redrive_goes_on() {
    let stage = lane("s2");
    stage.run(&["resolve", "x", "i0", "s2", "--give-up"]).ended(0).says("hint: test_jobs redrive x runs what is blocked");
    let items = stage.finished(1, &["redrive", "x"])["items"].clone();
    assert_eq!((&items["succeeded"], &items["failed"]), (&json!(3), &json!(1)), "{items}");
    assert_eq!(keys(&stage, "i0", "s2").len(), 1);
    stage.run(&["redrive", "x"]).ended(1).says("0 items to redrive");
}

#[test]
fn a_redrive_sends_what_was_refused_under_a_new_key_and_nothing_that_was_answered() {
    let stage = unknown();
    stage.finished(1, &["redrive", "x"]);
    let sent = keys(&stage, "i2", "s2");
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0], sent[1]);
    assert_eq!((keys(&stage, "i2", "s1").len(), keys(&stage, "i2", "s3").len()), (1, 1));
    // What succeeded needs its calls no more, and what was pruned cannot go on.
    stage.run(&["resolve", "x", "i0", "s2", "--give-up"]).ended(0);
    stage.run(&["prune", "x"]).ended(0);
    stage.run(&["redrive", "x"]).ended(2).says("the items' data of run x was removed by `prune`");
}

#[test]
fn a_call_that_kills_the_process_eight_times_is_given_up() {
    let stage = Stage::new();
    stage.items([doing(0, "abort before"), doing(1, "")]);
    flow(&stage, "keyed", "retry", "");
    for _ in 0..8 {
        assert_eq!(stage.run(&["run", "flow.yaml", "--as", "x"]).code, None);
    }
    let last = stage.finished(1, &["resume", "x"]);
    assert_eq!((&last["items"]["unknown"], &last["items"]["succeeded"]), (&json!(1), &json!(1)));
    let line = &stage.results("x")["i0"];
    assert_eq!(line["error"], "Worker.Crashed");
    assert_eq!(
        line["cause"],
        "step `s2`: the process died 8 times in a row with this call under way; its effect may have happened"
    );
}

#[test]
fn what_cannot_be_recorded_is_not_sent() {
    let stage = Stage::new();
    stage.items((0..400).map(|n| doing(n, "")));
    flow(&stage, "once", "hold", "pad: 2000");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$0\" || exit 99; exec \"$@\"", "700"]).arg(program("test_jobs"));
    command.args(["run", "flow.yaml", "--as", "x"]).current_dir(stage.path("")).env("NO_COLOR", "1");
    let done = Running::of(command).wait().ended(4);
    assert!(done.err.contains("cannot be written"), "{}", done.err);
    let before = times(&stage, "effect");
    assert!(!before.is_empty());
    // Only what was under way when the disk was full may be unknown, and each of it is reported.
    let last = finished(&stage.run(&["resume", "x", "--json"]).lines());
    let unknown = last["items"]["unknown"].as_u64().unwrap();
    assert_eq!(last["items"]["succeeded"].as_u64().unwrap() + unknown, 400);
    assert!(unknown <= 16 * 64, "{last}");
    assert!(times(&stage, "effect").values().all(|times| *times == 1), "nothing is repeated");
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_no_effect_repeated() {
    for (seed, (repeat, on_unknown)) in
        [("keyed", "retry"), ("once", "hold"), ("once", "probe"), ("keyed", "retry")].into_iter().enumerate()
    {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let stage = Stage::new();
        let items = 60;
        stage.items((0..items).map(|n| json!({ "id": format!("i{n}") })));
        flow(&stage, repeat, on_unknown, "takes_ms: 2");
        let mut ends = 0;
        for _ in 0..6 {
            let wanted = stage.log().len() + random.usize(1..items * 3);
            let mut running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
            stage.until("requests", |stage| !running.is_running() || stage.log().len() >= wanted);
            ends += u32::from(!running.is_running());
            running.kill();
        }
        let last = finished(&stage.run(&["run", "flow.yaml", "--as", "x", "--json"]).lines());
        let told = format!("seed {seed}, {repeat} {on_unknown}, {ends} ends: {last}");
        assert_eq!(last["items"]["pending"], 0, "{told}");
        assert_eq!((&last["items"]["failed"], &last["items"]["total"]), (&json!(0), &json!(items)), "{told}");
        let effects = times(&stage, "effect");
        assert!(effects.values().all(|times| *times == 1), "{told}: {effects:?}");
        for (id, line) in stage.results("x") {
            if line["status"] == "succeeded" {
                assert!((1..=3).all(|n| effects.contains_key(&(id.clone(), format!("s{n}")))), "{told}: {id}");
            } else {
                assert_eq!((&line["status"], on_unknown), (&json!("unknown"), "hold"), "{told}: {line}");
                assert_eq!(line["calls"].as_array().map(Vec::len), Some(1), "{told}: {line}");
            }
        }
    }
}
