//! `order:`: in a lane one item at a time, in input order, each with what the one before gave; whatever stops, fails or kills a run.
//!
//! The judge is the log that the jobs write themselves.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::stage::{Stage, finished};

/// Items of lanes: `lanes[n]` is the lane of item n.
fn items(lanes: &[String]) -> Vec<Value> {
    lanes.iter().enumerate().map(|(n, lane)| json!({ "id": format!("i{n}"), "lane": lane })).collect()
}

const ORDER: &str = "order: { by: \"{{ item.lane }}\" }";
const CONTINUE: &str = "order: { by: \"{{ item.lane }}\", on_failure: continue }";

/// What the log says: `(what, id, previous)`.
fn entries(stage: &Stage) -> Vec<(String, String, Option<Value>)> {
    let entry = |line: &String| {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().map(str::to_string);
        let (what, id) = (word().unwrap(), word().unwrap_or_default());
        (what, id, word().map(|text| serde_json::from_str(&text).unwrap()))
    };
    stage.log().iter().map(entry).collect()
}

/// Judges the log of a run whose items all succeed: in every lane one at a time and in order, each with the output of the one before;
/// only a kill makes anything begin again, and nothing is ever left out.
#[track_caller]
fn judge(stage: &Stage, items: &[Value], what: &str) {
    let mut lanes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for item in items {
        lanes.entry(item["lane"].as_str().unwrap()).or_default().push(item["id"].as_str().unwrap());
    }
    let place: BTreeMap<&str, (&str, usize)> =
        lanes.iter().flat_map(|(lane, ids)| ids.iter().enumerate().map(|(n, id)| (*id, (*lane, n)))).collect();
    // Of each lane: the item in flight, and how many were begun at most.
    let mut in_flight: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for (did, id, previous) in entries(stage) {
        if did == "kill" {
            in_flight.clear();
            next.clear();
            continue;
        }
        let (lane, n) = place[id.as_str()];
        match did.as_str() {
            "begin" => {
                assert_eq!(in_flight.insert(lane, Some(n)).flatten(), None, "{what}: two at once in {lane}: {id}");
                let most = begun.entry(lane).or_default();
                assert!(n <= *most, "{what}: {id} was begun before one that comes before it");
                *most = (*most).max(n + 1);
                if let Some(expected) = next.insert(lane, Some(n + 1)).flatten() {
                    assert_eq!(n, expected, "{what}: {lane} did not go on with the next one");
                }
                let expected = n.checked_sub(1).map_or(Value::Null, |before| json!(lanes[lane][before]));
                let before = previous.expect("the log says what was before");
                assert_eq!(before.get("id").cloned().unwrap_or_default(), expected, "{what}: {id} got another `previous`");
            }
            "end" => assert_eq!(in_flight.insert(lane, None).flatten(), Some(n), "{what}: {id}"),
            other => panic!("{what}: {other}"),
        }
    }
    for (lane, ids) in &lanes {
        assert_eq!(begun.get(lane), Some(&ids.len()), "{what}: {lane}");
    }
}

/// Lanes of different lengths, mixed.
fn mixed(random: &mut fastrand::Rng, items: usize, lanes: usize) -> Vec<String> {
    (0..items).map(|_| format!("c{}", random.usize(0..lanes).min(random.usize(0..lanes)))).collect()
}

#[test]
fn every_lane_comes_in_order_and_the_largest_first() {
    let stage = Stage::new();
    let lanes = mixed(&mut fastrand::Rng::with_seed(1), 400, 30);
    let items = items(&lanes);
    stage.items(items.clone());
    stage.flow_of("note", "echo: true, previous: true", &format!("{ORDER}\nmax_concurrency: 3"));
    let lines = stage.json(0, &["run", "flow.yaml"]);
    judge(&stage, &items, "a run");
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    lanes.iter().for_each(|lane| *sizes.entry(lane).or_default() += 1);
    let (longest, size) = sizes.iter().max_by_key(|(_, size)| **size).unwrap();
    let listed = &lines.iter().find(|line| line["event"] == "listed").unwrap()["lanes"];
    assert_eq!(
        (&listed["lanes"], &listed["longest"], &listed["longest_key"]),
        (&json!(sizes.len()), &json!(size), &json!(longest))
    );
    let last = finished(&lines);
    assert_eq!(last["items"]["succeeded"], 400);
    assert_eq!(last["batches"], listed["bundles"]);
}

#[test]
fn one_by_one_the_lanes_come_largest_first_and_each_whole() {
    let stage = Stage::new();
    let lanes = mixed(&mut fastrand::Rng::with_seed(2), 100, 12);
    let settings = "order: { by: \"{{ item.lane }}\", concurrency: 1 }\nmax_concurrency: 1";
    stage.items(items(&lanes)).flow_of("note", "previous: true", settings);
    stage.finished(0, &["run", "flow.yaml"]);
    let mut sizes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    lanes.iter().enumerate().for_each(|(n, lane)| sizes.entry(lane).or_default().push(n));
    let mut expected: Vec<Vec<usize>> = sizes.into_values().collect();
    expected.sort_by_key(|items| (std::cmp::Reverse(items.len()), items[0]));
    let expected: Vec<String> = expected.concat().into_iter().map(|n| format!("i{n}")).collect();
    assert_eq!(begun(&stage), expected);
}

#[test]
fn people_are_told_how_long_the_longest_lane_is() {
    let stage = Stage::new();
    let lanes: Vec<String> = (0..30).map(|n| if n % 3 == 0 { "c17".to_string() } else { format!("c{}", n % 7 + 100) }).collect();
    stage.items(items(&lanes)).flow(ORDER);
    stage.run(&["run", "flow.yaml", "--dry-run"]).ended(0).says("30 items in 8 lanes, the longest has 10 (`c17`), 0 left out");
    stage
        .run(&["run", "flow.yaml"])
        .ended(0)
        .says("30 items in 8 lanes, the longest has 10 (`c17`): 30 pending")
        .says("; 8 lanes, ");
    stage.run(&["status"]).ended(0);
}

#[test]
fn how_many_calls_there_are_and_how_long_they_take_is_told_before() {
    let stage = Stage::new();
    let lanes: Vec<String> = (0..30).map(|n| if n % 3 == 0 { "c17".to_string() } else { format!("c{}", n % 7 + 100) }).collect();
    stage.items(items(&lanes)).write(
        "flow.yaml",
        "fanfold: 1\nname: calls\nitems: { jsonl: { source: items.jsonl } }\norder: { by: \"{{ item.lane }}\" }\nrate: { limit: 2/s }\n\
         job:\n  http_chain:\n    base_url: \"http://127.0.0.1:9\"\n    steps:\n\
         \x20     - { name: customer, once_per: lane, get: \"/customers/{{ item.lane }}\" }\n\
         \x20     - { name: a, get: \"/a/{{ item.id }}\" }\n      - { name: b, get: /b }\n",
    );
    let told = "about 68 calls, at 2/s 34 s or more; the longest lane is 21 calls one after another";
    stage.run(&["run", "flow.yaml", "--dry-run"]).ended(0).says(told);
    let preview = &stage.json(0, &["run", "flow.yaml", "--dry-run"])[0]["preview"];
    assert_eq!(preview["calls"], json!({ "total": 68, "longest_lane": 21, "limit": 2.0 }));
}

#[test]
fn a_run_in_order_survives_kills_at_any_moment() {
    for seed in 0..12 {
        kill_and_judge(seed);
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_run_in_order_survives_hundreds_of_kills() {
    for seed in 100..300 {
        kill_and_judge(seed);
    }
}

/// Kills a run a few times at random moments, resumes it, and judges the log.
fn kill_and_judge(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let stage = Stage::new();
    let count = random.usize(30..200);
    let most = random.usize(1..20);
    let items = items(&mixed(&mut random, count, most));
    stage.items(items.clone());
    let settings = format!(
        "order: {{ by: \"{{{{ item.lane }}}}\", concurrency: {} }}\nmax_concurrency: {}",
        random.usize(1..5),
        random.usize(1..6)
    );
    stage.flow_of("note", &format!("echo: true, previous: true, takes_ms: {}", random.usize(0..4)), &settings);
    for _ in 0..random.usize(1..5) {
        let lines = stage.log().len();
        let wanted = lines + random.usize(0..count);
        let mut running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
        let mut ended = false;
        if random.u8(0..5) == 0 {
            // While it begins, reads the list or plans: nothing to see by.
            std::thread::sleep(std::time::Duration::from_micros(random.u64(0..30_000)));
        } else {
            stage.until("items", |stage| {
                ended = !running.is_running();
                ended || stage.log().len() >= wanted
            });
        }
        running.kill();
        let known = if stage.path(".fanfold/runs/x/run.db").exists() { stage.ids("x", "succeeded") } else { Default::default() };
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(stage.path("log.txt")).unwrap();
        log.write_all(b"kill\n").unwrap();
        let before = stage.times("end");
        assert!(known.iter().all(|id| before.contains_key(id)), "seed {seed}: an outcome without an end");
        if ended {
            break;
        }
    }
    let last = finished(&stage.run(&["run", "flow.yaml", "--as", "x", "--json"]).lines());
    assert_eq!(last["items"]["succeeded"], count, "seed {seed}: {last}");
    judge(&stage, &items, &format!("seed {seed}"));
}

/// Three lanes; item 4, in the middle of lane `a`, does `what`.
fn with_one(what: &str) -> Vec<Value> {
    let mut items = items(&["a", "b", "a", "b", "a", "c", "a", "b", "a", "a"].map(String::from));
    items[4]["what"] = json!(what);
    items
}

fn begun(stage: &Stage) -> Vec<String> {
    entries(stage).into_iter().filter(|(what, ..)| what == "begin").map(|(_, id, _)| id).collect()
}

/// What the item got as `previous` when it was begun last.
fn previous(stage: &Stage, id: &str) -> Value {
    let found = entries(stage).into_iter().rfind(|(what, found, _)| what == "begin" && found == id);
    found.and_then(|(_, _, previous)| previous).expect(id)["id"].clone()
}

#[test]
fn what_is_behind_a_failed_item_is_blocked_and_a_redrive_goes_on_exactly_there() {
    let stage = Stage::new();
    stage.items(with_one("permanent"));
    stage.flow_of("note", "echo: true, previous: true", &format!("{ORDER}\ntolerated_failure: 4"));
    let last = stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    assert_eq!((&last["items"]["failed"], &last["items"]["blocked"]), (&json!(1), &json!(3)));
    let results = stage.results("x");
    assert_eq!(results["i6"]["cause"], "behind `items.jsonl#4`, which failed: Note.Never");
    assert_eq!(results["i9"]["cause"], results["i6"]["cause"]);
    assert_eq!(stage.ids("x", "succeeded").len(), 6);
    assert!(!begun(&stage).contains(&"i6".to_string()));
    // Still wrong: the same again, and nothing that was done is done again.
    let before = begun(&stage).len();
    let last = stage.finished(0, &["redrive", "x"]);
    assert_eq!((&last["items"]["failed"], &last["items"]["blocked"]), (&json!(1), &json!(3)));
    assert_eq!(begun(&stage)[before..], ["i4"]);
    stage.write("cure", "");
    let last = stage.finished(0, &["redrive", "x"]);
    assert_eq!(last["items"]["succeeded"], 10);
    assert_eq!(begun(&stage)[before + 1..], ["i4", "i6", "i8", "i9"]);
    assert_eq!((previous(&stage, "i4"), previous(&stage, "i6")), (json!("i2"), json!("i4")));
}

#[test]
fn a_lane_that_continues_hands_on_what_succeeded_last() {
    let stage = Stage::new();
    stage.items(with_one("permanent"));
    stage.flow_of("note", "echo: true, previous: true", &format!("{CONTINUE}\ntolerated_failure: 1"));
    let last = stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    assert_eq!((&last["items"]["failed"], &last["items"]["succeeded"]), (&json!(1), &json!(9)));
    assert_eq!(previous(&stage, "i6"), "i2");
    // Its lane went on: running it now needs to be asked for.
    stage
        .run(&["redrive", "x"])
        .ended(2)
        .says("1 failed item would run out of order: its lane went on behind it; hint: test_jobs redrive x --out-of-order");
    assert_eq!(stage.ids("x", "failed").len(), 1);
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["redrive", "x", "--out-of-order"])["items"]["succeeded"], 10);
    assert_eq!(begun(&stage).last().unwrap(), "i4");
    assert_eq!(previous(&stage, "i4"), "i2");
}

#[test]
fn the_last_failed_item_of_a_lane_is_redriven_without_more_words() {
    let stage = Stage::new();
    let mut items = with_one("");
    items[9]["what"] = json!("permanent");
    stage.items(items).flow_of("note", "echo: true, previous: true", &format!("{CONTINUE}\ntolerated_failure: 1"));
    stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["redrive", "x"])["items"]["succeeded"], 10);
    assert_eq!(previous(&stage, "i9"), "i8");
}

#[test]
fn an_unknown_stops_its_lane_whatever_is_said_and_no_redrive_frees_it() {
    for order in [ORDER, CONTINUE] {
        let stage = Stage::new();
        stage.items(with_one("unknown")).flow_of("note", "echo: true, previous: true", &format!("{order}\ntolerated_failure: 9"));
        let last = stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
        assert_eq!((&last["items"]["unknown"], &last["items"]["blocked"]), (&json!(1), &json!(3)));
        assert_eq!(stage.results("x")["i8"]["cause"], "behind `items.jsonl#4`, which is unknown: Job.Unknown");
        let before = begun(&stage);
        stage.write("cure", "");
        stage.run(&["redrive", "x"]).ended(0).says("0 items to redrive");
        assert_eq!(begun(&stage), before);
        assert_eq!(stage.ids("x", "blocked").len(), 3);
    }
}

#[test]
fn a_skipped_item_is_passed_and_gives_nothing() {
    let stage = Stage::new();
    stage.items(with_one("skip")).flow_of("note", "echo: true, previous: true", ORDER);
    let last = stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    assert_eq!((&last["items"]["skipped"], &last["items"]["succeeded"]), (&json!(1), &json!(9)));
    assert_eq!(previous(&stage, "i6"), "i2");
}

#[test]
fn a_kill_between_a_failure_and_what_it_blocks_is_made_good() {
    let stage = Stage::new();
    stage.items(with_one("permanent"));
    stage.flow_of("note", "echo: true, previous: true", &format!("{ORDER}\ntolerated_failure: 4"));
    // As far as the failure, and not one further.
    for (limit, ended) in [("8", 8), ("1", 9)] {
        stage.run(&["run", "flow.yaml", "--as", "x", "--limit", limit]).ended(3);
        assert_eq!(stage.results("x").values().filter(|line| line["status"] != "pending").count(), ended);
    }
    let begun_before = begun(&stage);
    let last = stage.finished(0, &["resume", "x"]);
    assert_eq!((&last["items"]["failed"], &last["items"]["blocked"]), (&json!(1), &json!(3)));
    assert!(begun(&stage).iter().filter(|id| ["i6", "i8", "i9"].contains(&id.as_str())).count() == 0, "{begun_before:?}");
    assert_eq!(stage.results("x")["i9"]["cause"], "behind `items.jsonl#4`, which failed: Note.Never");
}

#[test]
fn items_in_no_lane_end_by_themselves() {
    let stage = Stage::new();
    let lines =
        "{\"id\":\"i0\",\"lane\":\"a\"}\n{ broken\n{\"id\":\"i2\",\"lane\":null,\"out\":true}\n{\"id\":\"i3\",\"lane\":\"a\"}\n";
    stage.write("items.jsonl", lines);
    let where_ = "items: { jsonl: { source: items.jsonl }, where: \"{{ not item.out }}\" }"
        .replace("item.out", "(item.out | default(false))");
    stage.flow_of("note", "echo: true, previous: true", &format!("{ORDER}\n{where_}\ntolerated_failure: 1"));
    stage.run(&["run", "flow.yaml", "--as", "x"]).ended(0).says("2 items in 1 lane, the longest has 2 (`a`); 2 items in no lane");
    let last = stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    let counts = ["succeeded", "skipped", "failed", "blocked"].map(|name| last["items"][name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1, 0]);
    assert_eq!(previous(&stage, "i3"), "i0");
}

#[test]
fn an_item_without_a_lane_refuses_the_run_with_its_place() {
    let stage = Stage::new();
    let mut items = items(&["a", "b", "a"].map(String::from));
    items[1]["lane"] = json!("");
    stage.items(items).flow(ORDER);
    let said = stage.run(&["run", "flow.yaml"]).ended(2);
    said.says(
        "the item `items.jsonl#1` has no lane: `order.by`: `{{ item.lane }}` gives an empty text (items.jsonl:2:1); hint: leave",
    );
    assert!(stage.log().is_empty());
    assert!(std::fs::read_dir(stage.path(".fanfold/runs")).unwrap().next().is_none(), "nothing is left of it");
}

#[test]
fn a_limit_pauses_lanes_and_only_the_next_of_a_lane_can_be_done_alone() {
    let stage = Stage::new();
    let all = with_one("");
    stage.items(all.clone()).flow_of("note", "echo: true, previous: true", ORDER);
    stage.run(&["run", "flow.yaml", "--as", "x", "--limit", "3"]).ended(3).says("3 items were asked for");
    assert_eq!(begun(&stage), ["i0", "i2", "i4"]);
    stage
        .run(&["resume", "x", "--only", "items.jsonl#8"])
        .ended(2)
        .says("`items.jsonl#8` cannot be done alone: `items.jsonl#6` is before it in its lane and is pending");
    stage.run(&["resume", "x", "--only", "items.jsonl#7000"]).ended(2).says("no pending item has the key");
    stage.run(&["resume", "x", "--only", "items.jsonl#6"]).ended(3).says("only `items.jsonl#6` was asked for");
    assert_eq!(begun(&stage)[3..], ["i6"]);
    stage.finished(0, &["resume", "x"]);
    judge(&stage, &all, "in pieces");
}

#[test]
fn a_crash_of_an_unsafe_item_stops_its_lane() {
    let stage = Stage::new();
    stage.items(with_one("abort")).flow_of(
        "note_unsafe",
        "echo: true, previous: true",
        &format!("{ORDER}\ntolerated_failure: 9"),
    );
    assert_eq!(stage.run(&["run", "flow.yaml", "--as", "x"]).code, None);
    let last = stage.finished(0, &["resume", "x"]);
    // What else was in flight beside it is unknown too.
    assert!(stage.ids("x", "unknown").contains("i4"));
    assert!(["i6", "i8", "i9"].iter().all(|id| stage.ids("x", "blocked").contains(*id)), "{last}");
    assert!(entries(&stage).iter().all(|(_, id, _)| !["i6", "i8", "i9"].contains(&id.as_str())));
}

#[test]
fn a_poison_item_is_alone_in_the_end_its_lane_waits_and_then_goes_on() {
    let stage = Stage::new();
    let all = with_one("abort");
    stage.items(all.clone()).flow_of("note", "echo: true, previous: true", &format!("{ORDER}\ntolerated_failure: 9"));
    for _ in 0..3 {
        assert_eq!(stage.run(&["run", "flow.yaml", "--as", "x"]).code, None);
    }
    // The third time it was killed with nothing beside it, behind what comes before it.
    assert_eq!(entries(&stage).last().unwrap().1, "i4");
    assert!(["i0", "i2"].iter().all(|id| stage.ids("x", "succeeded").contains(*id)));
    stage.write("cure", "");
    stage.finished(0, &["resume", "x"]);
    assert_eq!(stage.ids("x", "succeeded").len(), 10);
    assert_eq!((previous(&stage, "i6"), previous(&stage, "i9")), (json!("i4"), json!("i8")));
}

#[test]
fn a_poison_item_is_given_up_and_what_is_behind_it_is_blocked() {
    let stage = Stage::new();
    stage.items(with_one("abort")).flow_of("note", "echo: true, previous: true", &format!("{ORDER}\ntolerated_failure: 9"));
    for _ in 0..4 {
        assert_eq!(stage.run(&["run", "flow.yaml", "--as", "x"]).code, None);
    }
    let last = stage.finished(0, &["resume", "x"]);
    assert_eq!((&last["items"]["failed"], &last["items"]["blocked"]), (&json!(1), &json!(3)));
    assert_eq!(stage.results("x")["i6"]["cause"], "behind `items.jsonl#4`, which failed: Worker.Crashed");
}

#[test]
fn what_cannot_be_in_order_is_refused() {
    let stage = Stage::new();
    stage.items(with_one("")).flow_of("note_whole", "", ORDER);
    stage
        .run(&["check", "flow.yaml"])
        .ended(2)
        .says("`order`: the job `note_whole` takes whole batches at once, so nothing in them comes in order (flow.yaml:");
    stage.flow(&format!("{ORDER}\ntolerated_failure: 9"));
    stage.finished(0, &["run", "flow.yaml", "--as", "x"]);
    stage.run(&["redrive", "x", "--batch", "5"]).ended(2).says("`--batch` is for runs without `order:`");
    stage.flow(&format!("{CONTINUE}\ntolerated_failure: 9"));
    stage.run(&["redrive", "x", "--accept"]).ended(2).says("the changed workflow has another `order`");
}

#[test]
fn jobs_for_the_processor_and_those_that_publish_work_in_order() {
    for job in ["note_cpu", "note_to"] {
        let stage = Stage::new();
        let all = items(&mixed(&mut fastrand::Rng::with_seed(3), 60, 5));
        stage.items(all.clone()).flow_of(job, "echo: true, previous: true", ORDER);
        stage.finished(0, &["run", "flow.yaml"]);
        judge(&stage, &all, job);
    }
}

#[test]
fn a_stop_leaves_what_was_not_begun_pending() {
    let stage = Stage::new();
    let mut all = with_one("");
    all[2]["what"] = json!("wait");
    stage.items(all.clone()).flow_of("note", "echo: true, previous: true", ORDER);
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
    stage.until("the second of the lane begins, the others are done", |stage| {
        begun(stage).contains(&"i2".to_string()) && stage.times("end").len() == 5
    });
    running.signal("TERM");
    stage.write("gate", "");
    running.wait().ended(3);
    assert_eq!(stage.ids("x", "pending").len(), 4, "the one in flight ended, those behind it did not begin");
    stage.finished(0, &["resume", "x"]);
    judge(&stage, &all, "stopped");
}
