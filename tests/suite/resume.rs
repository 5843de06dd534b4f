//! `resume`: whatever kills a run, every item has one outcome in the end, and nothing recorded is done again.
//!
//! The judge is the log that the jobs write themselves, and what the record said at each kill.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::stage::{Stage, doing, finished, plain};

/// Ids that the log has this line for.
fn logged(stage: &Stage, what: &str) -> BTreeSet<String> {
    stage.times(what).into_keys().collect()
}

/// What is known at the moment of a kill.
struct Kill {
    /// Items whose outcome the record has.
    recorded: BTreeSet<String>,
    begun: BTreeMap<String, u32>,
}

/// Kills a run once to three times at random moments and resumes it; judges every kill.
struct Killing {
    stage: Stage,
    kills: Vec<Kill>,
    items: usize,
    random: fastrand::Rng,
}

impl Killing {
    fn new(seed: u64, job: &str) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let stage = Stage::new();
        let items = random.usize(20..120);
        stage.plain(items);
        let settings = format!(
            "batch: {{ max_items: {}, concurrency: {} }}\nmax_concurrency: {}",
            random.usize(1..20),
            random.usize(1..5),
            random.usize(1..6)
        );
        stage.flow_of(job, &format!("takes_ms: {}", random.usize(0..4)), &settings);
        Self { stage, kills: Vec::new(), items, random }
    }

    /// Runs until the log is so long, or for a moment if that is random too, and kills it.
    fn kill(&mut self, args: &[&str]) -> bool {
        let lines = self.stage.log().len();
        let wanted = lines + self.random.usize(0..self.items);
        let mut running = self.stage.spawn(args);
        let mut ended = false;
        if self.random.u8(0..8) == 0 {
            // While it begins or reads the list: nothing to see by.
            std::thread::sleep(std::time::Duration::from_micros(self.random.u64(0..30_000)));
        } else {
            self.stage.until("items", |stage| {
                ended = !running.is_running();
                ended || stage.log().len() >= wanted
            });
        }
        running.kill();
        let recorded = if self.stage.path(".fanfold/runs/x/run.db").exists() {
            self.stage.results("x").into_iter().filter(|(_, line)| line["status"] != "pending").map(|(id, _)| id).collect()
        } else {
            BTreeSet::new()
        };
        let crashed = |id: &String| !logged(&self.stage, "end").contains(id);
        let begun = self.stage.times("begin");
        let claimed: Vec<_> = recorded.iter().filter(|id| crashed(id)).collect();
        for id in claimed {
            // Only what an earlier recovery ended has an outcome without an end.
            assert_eq!(self.stage.results("x")[id]["error"], "Worker.Crashed", "{id} has an outcome and did not end");
        }
        self.kills.push(Kill { recorded, begun });
        ended
    }

    /// Ends it and judges; gives how many items had an outcome at a kill.
    fn judged(mut self, seed: u64) -> (Stage, usize) {
        println!("seed {seed}: {} items", self.items);
        for _ in 0..self.random.usize(1..4) {
            if self.kill(&["run", "flow.yaml", "--as", "x", "--json"]) {
                break;
            }
        }
        let last = finished(&self.stage.run(&["run", "flow.yaml", "--as", "x", "--json"]).lines());
        assert_eq!(last["items"]["total"], self.items, "seed {seed}");
        assert_eq!(last["items"]["pending"], 0, "seed {seed}");
        let (begun, results) = (self.stage.times("begin"), self.stage.results("x"));
        assert_eq!(results.len(), self.items, "seed {seed}");
        for kill in &self.kills {
            for id in &kill.recorded {
                assert_eq!(begun.get(id), kill.begun.get(id), "seed {seed}: {id} had an outcome and was begun again");
            }
        }
        let recorded = self.kills.iter().map(|kill| kill.recorded.len()).sum();
        (self.stage, recorded)
    }
}

fn kill_safe_runs(seeds: impl Iterator<Item = u64>) {
    let mut recorded = 0;
    for seed in seeds {
        let killing = Killing::new(seed, "note");
        let stage_items = killing.items;
        let (stage, known) = killing.judged(seed);
        recorded += known;
        let (ends, results) = (stage.times("end"), stage.results("x"));
        assert_eq!(results.len(), stage_items, "seed {seed}");
        for (id, line) in &results {
            // Not even three kills at one item make it fail: it would have to die alone twice.
            assert_eq!(line["status"], "succeeded", "seed {seed}: {line}");
            assert!(ends.contains_key(id), "seed {seed}: {id} succeeded and never ended");
        }
    }
    assert!(recorded > 0, "no kill came after an outcome was recorded: the test shows nothing");
}

fn kill_unsafe_runs(seeds: impl Iterator<Item = u64>) {
    let mut unknown = 0;
    for seed in seeds {
        let (stage, _) = Killing::new(seed, "note_unsafe").judged(seed);
        let (begun, ends) = (stage.times("begin"), logged(&stage, "end"));
        assert!(begun.values().all(|times| *times == 1), "seed {seed}: begun twice: {begun:?}");
        for (id, line) in stage.results("x") {
            match line["status"].as_str() {
                Some("succeeded") => assert!(ends.contains(&id), "seed {seed}: {id} succeeded and never ended"),
                Some("unknown") => {
                    unknown += 1;
                    assert_eq!(line["error"], "Worker.Crashed");
                }
                other => panic!("seed {seed}: {id} is {other:?}"),
            }
        }
    }
    assert!(unknown > 0, "no kill hit an item in flight: the test shows nothing");
}

#[test]
fn forty_runs_killed_at_random_moments_lose_nothing_and_repeat_nothing_recorded() {
    kill_safe_runs(seeds(40));
}

#[test]
fn what_must_not_be_repeated_is_begun_once_whatever_kills_it() {
    kill_unsafe_runs(seeds(12));
}

#[test]
#[ignore = "long: 200 killed runs take minutes"]
fn two_hundred_runs_killed_at_random_moments() {
    kill_safe_runs(seeds(200));
    kill_unsafe_runs(seeds(60));
}

/// Others each time; FANFOLD_SEED=n repeats one.
fn seeds(n: u64) -> impl Iterator<Item = u64> {
    let given = std::env::var("FANFOLD_SEED").ok().map(|seed| seed.parse().expect("FANFOLD_SEED is a number"));
    let first = given.unwrap_or_else(|| fastrand::u64(..1 << 40));
    first..first + if given.is_some() { 1 } else { n }
}

/// Runs or resumes until it ends by itself, and says how often it died.
fn deaths_until_it_ends(stage: &Stage) -> u32 {
    for deaths in 0..20 {
        if stage.run(&["run", "flow.yaml", "--as", "x", "--json"]).code.is_some() {
            return deaths;
        }
    }
    panic!("it dies again and again: {:?}", stage.log());
}

#[test]
fn an_item_that_kills_the_process_fails_after_four_deaths_and_takes_nobody_along() {
    let stage = Stage::new();
    let items = (0..200).map(|n| if n == 77 { doing(n, "abort") } else { plain(n) });
    stage.items(items).flow_of("note", "made: true", "batch: { max_items: 20 }");
    assert_eq!(deaths_until_it_ends(&stage), 4);
    assert_eq!(stage.ids("x", "succeeded").len(), 199);
    let crashed = &stage.results("x")["i77"];
    assert_eq!(
        (&crashed["error"], &crashed["attempts"], &crashed["status"]),
        (&json!("Worker.Crashed"), &json!(4), &json!("failed"))
    );
    assert_eq!(stage.times("begin")["i77"], 4);
    // With nothing beside it at its third: what that process had begun before, if anything was left, had ended.
    let log = stage.log();
    let last = log.iter().enumerate().filter(|(_, line)| *line == "begin i77").nth(2).unwrap().0;
    let made = log[..last].iter().rposition(|line| line == "made x").unwrap();
    let ids = |what| log[made..last].iter().filter_map(|line| line.strip_prefix(what)).collect::<BTreeSet<_>>();
    assert_eq!(ids("begin "), ids("end "));
    // It is failed, so a redrive takes it, and it has its chances again.
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["redrive", "x"])["items"]["succeeded"], 200);
}

#[test]
fn several_items_that_kill_each_fail_and_all_others_are_done() {
    let stage = Stage::new();
    stage.items((0..60).map(|n| if [3, 4, 40].contains(&n) { doing(n, "abort") } else { plain(n) })).flow(
        "batch: { max_items: 10, concurrency: 4 }
max_concurrency: 2",
    );
    let deaths = deaths_until_it_ends(&stage);
    assert!((8..=12).contains(&deaths), "{deaths}");
    assert_eq!(stage.ids("x", "failed"), ["i3", "i4", "i40"].map(String::from).into());
    assert_eq!(stage.ids("x", "succeeded").len(), 57);
}

#[test]
fn a_whole_batch_that_kills_the_process_loses_only_the_item_that_does_it() {
    let stage = Stage::new();
    stage.items((0..12).map(|n| if n == 5 { doing(n, "abort") } else { plain(n) })).flow_of(
        "note_whole",
        "",
        "batch: { max_items: 4 }",
    );
    assert_eq!(deaths_until_it_ends(&stage), 4);
    assert_eq!(stage.ids("x", "failed"), ["i5"].map(String::from).into());
}

#[test]
fn what_must_not_be_repeated_is_unknown_after_a_crash_and_stays_so() {
    let stage = Stage::new();
    stage.items([doing(0, "wait"), doing(1, "wait"), plain(2)]).flow_of("note_unsafe", "", "batch: { concurrency: 3 }");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    for line in ["begin i0", "begin i1", "end i2"] {
        stage.until_logged(line);
    }
    running.kill();
    stage.write("gate", "");
    let last = stage.finished(1, &["resume", "x"]);
    assert!(last["items"]["unknown"].as_u64().unwrap() >= 2, "{last}");
    assert_eq!(stage.finished(1, &["redrive", "x"])["items"], last["items"], "a redrive does not touch them");
    assert!(stage.times("begin").values().all(|times| *times == 1), "{:?}", stage.log());
    let line = &stage.results("x")["i0"];
    assert_eq!(line["cause"], "the process died while the item was in flight; its effect may have happened");
}

#[test]
fn a_second_process_on_the_same_run_is_refused() {
    let stage = Stage::new();
    stage.items([doing(0, "wait")]).flow("");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until_logged("begin i0");
    for args in [&["resume", "x"][..], &["redrive", "x"], &["run", "flow.yaml", "--as", "x"], &["prune", "x"]] {
        stage.run(args).ended(2).says("run x is being worked on by another process").says("test_jobs status x --follow");
    }
    stage.write("gate", "");
    running.wait().ended(0);
    assert_eq!(stage.log(), ["begin i0", "end i0"]);
}

#[test]
fn two_that_begin_one_run_at_once_do_it_once() {
    for _ in 0..8 {
        let stage = Stage::new();
        stage.plain(20).flow("");
        let both = [0, 1].map(|_| stage.spawn(&["run", "flow.yaml", "--as", "x"]));
        let codes = both.map(|running| running.wait().code.expect("an end"));
        assert!(codes.contains(&0) && codes.iter().all(|code| [0, 2].contains(code)), "{codes:?}");
        assert_eq!(stage.times("end").values().copied().collect::<Vec<_>>(), [1; 20]);
    }
}

#[test]
fn looking_at_a_run_keeps_nobody_off_it() {
    let stage = Stage::new();
    stage.plain(3).flow("");
    stage.run(&["run", "flow.yaml", "--as", "x", "--limit", "1"]).ended(3);
    // What `status` does to see whether someone works on it, as long as it may take.
    let looking = std::fs::File::open(stage.path(".fanfold/runs/x/lock")).unwrap();
    looking.lock_shared().unwrap();
    let running = stage.spawn(&["resume", "x"]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(30));
            drop(looking);
        });
        running.wait().ended(0);
    });
}

#[test]
fn the_first_signal_lets_what_is_in_flight_end_and_starts_nothing_new() {
    for signal in ["INT", "TERM"] {
        let stage = Stage::new();
        stage.items((0..40).map(|n| doing(n, "wait"))).flow(
            "max_concurrency: 1
batch: { max_items: 10, concurrency: 3 }",
        );
        let running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
        stage.until("three items", |stage| stage.log().len() == 3);
        running.signal(signal);
        // In flight stays in flight until the gate opens; the process says that it heard.
        stage.until("stopping", |stage| stage.path(".fanfold/runs/x/in-flight").exists());
        let mut running = running;
        running.until_said("stopping: what is in flight ends first");
        stage.write("gate", "");
        let done = running.wait().ended(3);
        let last = finished(&done.lines());
        assert_eq!((&last["status"], &last["stopped"]), (&json!("STOPPED"), &json!("asked to stop")), "{signal}");
        assert_eq!((&last["items"]["succeeded"], &last["items"]["pending"]), (&json!(3), &json!(37)), "{signal}");
        assert!(!stage.path(".fanfold/runs/x/in-flight").exists(), "a clean end leaves no marks");
        assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 40);
        assert_eq!(stage.times("begin").values().max(), Some(&1), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "wait"), plain(2)]).flow("");
    let mut running = stage.spawn(&["run", "flow.yaml", "--as", "x"]);
    stage.until_logged("begin i1");
    running.signal("INT");
    running.until_said("stopping: what is in flight ends first");
    running.signal("INT");
    // The gate is shut: it could not end otherwise.
    running.wait().ended(3).says("hint: test_jobs resume x");
    stage.write("gate", "");
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 3);
    assert_eq!(stage.times("begin")["i1"], 2);
}

#[test]
fn waiting_for_a_further_try_does_not_delay_a_stop() {
    let stage = Stage::new();
    stage.items([doing(0, "transient")]).flow("retry: { initial_interval: 1h, max_interval: 1h, jitter: none }");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
    stage.until_logged("begin i0");
    running.signal("TERM");
    let last = finished(&running.wait().ended(3).lines());
    assert_eq!(last["items"]["pending"], 1);
    stage.write("cure", "");
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 1);
}

#[test]
fn a_changed_source_is_refused_and_taken_again_once_it_is_put_back() {
    let stage = Stage::new();
    stage.plain(10).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "4"]);
    let path = stage.path("items.jsonl");
    let (before, modified) = (stage.read("items.jsonl"), std::fs::metadata(&path).unwrap().modified().unwrap());
    stage.write("items.jsonl", format!("{before}{{\"id\":\"i10\"}}\n"));
    let size = before.len();
    let lines = stage.json(4, &["resume", "x"]);
    let error = lines.iter().find(|line| line["event"] == "error").expect("an error");
    assert_eq!(error["message"], format!("`items.jsonl` has changed since the run began: {} bytes now, {size} then", size + 13));
    assert_eq!(error["hint"], "put the file back as it was, or start a new run");
    assert_eq!(finished(&lines)["items"]["pending"], 6, "nothing was done meanwhile");
    std::fs::remove_file(&path).unwrap();
    stage.run(&["resume", "x"]).ended(4).says("is gone since the run began");
    stage.write("items.jsonl", before);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 10);
    assert!(stage.times("end").values().all(|times| *times == 1));
}

#[test]
fn a_source_that_is_written_to_meanwhile_reaches_no_job_and_is_told() {
    let stage = Stage::new();
    let pad = "x".repeat(2000);
    stage
        .items((0..2000).map(|n| json!({ "id": format!("i{n}"), "what": if n == 0 { "wait" } else { "" }, "pad": pad })))
        .flow("max_concurrency: 1\nbatch: { max_items: 10, concurrency: 1 }");
    let running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
    stage.until_logged("begin i0");
    // Written into the same file: other items of the same number and the same length.
    let other = stage.read("items.jsonl").replace("\"i", "\"j");
    stage.write("items.jsonl", other).write("gate", "");
    let lines = running.wait().ended(4).lines();
    let error = lines.iter().find(|line| line["event"] == "error").expect("an error");
    assert!(
        error["message"].as_str().unwrap().starts_with("`items.jsonl` has changed since the run began: same size"),
        "{error}"
    );
    assert!(logged(&stage, "begin").iter().all(|id| id.starts_with('i')), "{:?}", stage.log());
    let last = finished(&lines);
    assert!(last["items"]["pending"].as_u64().unwrap() > 1000, "{last}");
}

#[test]
fn a_changed_workflow_is_told_and_not_taken() {
    let stage = Stage::new();
    stage.plain(10).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "x", "--limit", "4"]);
    stage.flow("tolerated_failure: 50%");
    stage
        .run(&["resume", "x"])
        .ended(0)
        .says("note: the workflow file was changed since the run began; the run goes on as it was begun");
    // One that is gone, or broken, stands in nobody's way.
    stage.plain(10).flow("");
    stage.finished(3, &["run", "flow.yaml", "--as", "y", "--limit", "4"]);
    stage.write("flow.yaml", "no workflow: at all");
    stage.run(&["resume", "y", "--limit", "1"]).ended(3);
    std::fs::remove_file(stage.path("flow.yaml")).unwrap();
    assert_eq!(stage.finished(0, &["resume", "y"])["items"]["succeeded"], 10);
}

#[test]
fn a_run_that_is_done_needs_nothing_to_be_resumed() {
    let stage = Stage::new();
    stage.items([plain(0), doing(1, "permanent")]).flow("");
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    std::fs::remove_file(stage.path("items.jsonl")).unwrap();
    let last = stage.finished(1, &["resume", "x"]);
    assert_eq!((&last["status"], &last["items"]["succeeded"]), (&json!("FAILED"), &json!(1)));
}

#[test]
fn a_run_killed_while_it_lists_is_listed_anew() {
    let stage = Stage::new();
    // A pipe is no regular file; a long list takes a while to be cut because each item's destination is asked for.
    stage.items((0..60_000).map(plain)).flow_of("note_to", "", "max_concurrency: 4");
    let mut running = stage.spawn(&["run", "flow.yaml", "--as", "x", "--json"]);
    assert!(running.line().contains("started"));
    running.kill();
    assert!(stage.log().is_empty(), "it was killed before the list was made");
    let status = &stage.json(0, &["status", "x"])[0];
    assert_eq!((&status["status"], &status["items"]["total"]), (&json!("STOPPED"), &json!(0)));
    stage.plain(7);
    assert_eq!(stage.finished(0, &["resume", "x"])["items"]["succeeded"], 7, "as it is when it is listed");
}

#[test]
fn throttled_and_limited_runs_keep_their_marks_straight() {
    let stage = Stage::new();
    stage.items((0..30).map(|n| if n == 9 { doing(n, "abort") } else { plain(n) })).flow("batch: { max_items: 5 }");
    let mut deaths = 0;
    for _ in 0..60 {
        let done = stage.run(&["run", "flow.yaml", "--as", "x", "--limit", "4", "--json"]);
        match done.code {
            None => deaths += 1,
            Some(3) => {
                let last = finished(&done.lines());
                assert_eq!(last["stopped"], "4 items were asked for (`--limit`)", "{last}");
            }
            Some(code) => {
                assert_eq!((code, deaths), (1, 4));
                assert_eq!(stage.ids("x", "failed"), ["i9"].map(String::from).into());
                return;
            }
        }
    }
    panic!("no end: {:?}", stage.log());
}

#[test]
fn what_a_kill_left_in_a_destination_goes_even_if_every_item_had_ended() {
    let stage = Stage::new();
    let photo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/samples/photos/abstract-roof-01.jpg");
    stage.write("photos/a.jpg", std::fs::read(photo).unwrap()).write(
        "flow.yaml",
        "fanfold: 1\nname: a\nitems: { objects: { source: photos } }\njob: { image_resize: { width: 9, destination: out } }\n",
    );
    let run = ["run", "flow.yaml", "--as", "left"];
    stage.run_fanfold(&run).ended(0);
    // As a kill between the last outcome and the end of the session leaves it.
    let record = rusqlite::Connection::open(stage.path(".fanfold/runs/left/run.db")).unwrap();
    let scratch: String = record.query_row("SELECT value FROM facts WHERE name = 'scratch'", [], |row| row.get(0)).unwrap();
    let scratch = format!("out/.fanfold-{}", scratch.trim_matches('"'));
    stage.write(&format!("{scratch}/7"), "half");
    record.execute("INSERT INTO facts VALUES ('session', '1')", []).unwrap();
    drop(record);
    stage.run_fanfold(&run).ended(0);
    assert!(!stage.path(&scratch).exists());
    assert!(stage.path("out/a.jpg").exists());
    stage.run_fanfold(&run).ended(0).says("done already");
}
