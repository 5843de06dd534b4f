//! The same workflow here and on AWS, which ministack and SeaweedFS play: every item ends alike, whatever happens to the workers.
//! `tests/engines.sh` starts them and runs this, one test after the other.

use std::time::Instant;

use serde_json::{Value, json};

use crate::aws_rig::{Rig, outcomes};
use crate::import_shop::Shop;
use crate::partner::Partner;
use crate::stage::{Running, Stage, doing, finished, plain};

/// How many photos; the benchmark takes 8,088.
fn photos() -> usize {
    std::env::var("FANFOLD_TEST_PHOTOS").map_or(800, |n| n.parse().expect("a number"))
}

/// `photos/` of the stage: the sample's, again and again; of 8,088, 50 are cut off.
fn write_photos(rig: &Rig, n: usize) -> Vec<usize> {
    let samples = crate::workflows::sample_photos();
    let damaged: Vec<_> = (0..n * 50 / 8088).map(|at| 7 + at * (n / 60).max(1)).collect();
    for at in 0..n {
        let photo = &samples[at % samples.len()];
        let end = if damaged.contains(&at) { photo.len() / 2 } else { photo.len() };
        rig.stage.write(&format!("photos/{at:05}.jpg"), &photo[..end]);
    }
    damaged
}

/// `resize.yaml`: the workflow that comes with fanfold, under the rig's name.
fn resize(rig: &Rig, batch: usize, tolerated: &str) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/resize-photos.yaml")).unwrap();
    let text = text
        .replace("name: resize-photos", &format!("name: {}-{batch}", rig.name))
        .replace("max_items: 100", &format!("max_items: {batch}"))
        .replace("tolerated_failure: 0%", &format!("tolerated_failure: {tolerated}"));
    rig.stage.write("resize.yaml", text);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn photos_end_alike_here_and_there_at_any_batch_size() {
    let rig = Rig::new("photos");
    let n = photos();
    let damaged = write_photos(&rig, n);
    rig.upload("photos", "in/");
    let source = format!("source=s3://{}/in/", rig.name);
    let destination = format!("destination=s3://{}/thumbs/", rig.name);
    let given = ["resize.yaml", "-p", &source, "-p", &destination];

    resize(&rig, 100, "0%");
    let last = finished(&rig.stage.json(1, &[&["run", "--as", "here"], &given[..]].concat()));
    assert_eq!(last["items"]["failed"], damaged.len());
    let here = outcomes(&rig.stage, "here");
    let thumbs = rig.call("s3", "list_objects_v2", json!({ "Bucket": rig.name, "Prefix": "thumbs/" }));

    for (batch, run) in [(100, "there-100"), (10, "there-10")] {
        resize(&rig, batch, "0%");
        rig.deploy(&given);
        let (before, began) = (rig.workers(), Instant::now());
        let last = rig.run(1, &[&given[..], &["--as", run]].concat());
        let workers = rig.workers() - before;
        println!("{n} photos, batch {batch}: {workers} invocations, {:.1} s", began.elapsed().as_secs_f64());
        assert_eq!(workers, n.div_ceil(batch));
        assert_eq!(last["status"], "FAILED");
        assert_eq!(outcomes(&rig.stage, run), here, "batch {batch}");
    }
    let again = rig.call("s3", "list_objects_v2", json!({ "Bucket": rig.name, "Prefix": "thumbs/" }));
    let names = |listed: &Value| {
        let each = listed["Contents"].as_array().expect("objects").iter();
        each.map(|object| (object["Key"].clone(), object["ETag"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(&again), names(&thumbs), "the same thumbnails, byte for byte");

    // Within the tolerance it is a success, with the same items failed.
    resize(&rig, 100, "1%");
    rig.deploy(&given);
    assert_eq!(rig.run(0, &[&given[..], &["--as", "tolerant"]].concat())["status"], "SUCCEEDED");
    assert_eq!(outcomes(&rig.stage, "tolerant"), here);

    // The damaged ones are repaired: redrive touches them and no others.
    let samples = crate::workflows::sample_photos();
    std::fs::remove_dir_all(rig.stage.path("photos")).unwrap();
    for at in &damaged {
        rig.stage.write(&format!("photos/{at:05}.jpg"), &samples[at % samples.len()]);
    }
    rig.upload("photos", "in/");
    let before = rig.workers();
    let last = finished(&rig.stage.json(0, &["redrive", "there-100"]));
    assert_eq!(last["items"]["succeeded"], n);
    let touched: u64 =
        rig.invocations().iter().filter(|line| line["kind"] == "worker").skip(before).map(|l| l["items"].as_u64().unwrap()).sum();
    assert_eq!(touched, damaged.len() as u64);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn each_way_to_end_is_the_same_here_and_there() {
    let rig = Rig::new("ways");
    let ways = ["", "permanent", "skip", "transient", "panic", "unknown", "throttled", "key", "big"];
    let items = (0..45).map(|n| match ways[n % ways.len()] {
        "transient" => json!({ "id": format!("i{n}"), "what": "transient", "tries": 2 }),
        "throttled" => json!({ "id": format!("i{n}"), "what": "throttled", "tries": 1 }),
        what => doing(n, what),
    });
    let settings = "batch: { max_items: 7 }\nretry: { initial_interval: 10ms, max_retries: 3, jitter: none }";
    rig.notes(items, "echo: true", settings);
    let here = finished(&rig.stage.json(1, &["run", "flow.yaml", "--as", "here"]));
    rig.deploy(&["flow.yaml"]);
    let there = rig.run(1, &["flow.yaml", "--as", "there"]);
    assert_eq!(there["items"], here["items"]);
    let (there, here) = (outcomes(&rig.stage, "there"), outcomes(&rig.stage, "here"));
    assert_eq!((there.len(), here.len()), (45, 45));
    for (there, here) in there.into_iter().zip(here) {
        if here["item"]["what"] == "key" {
            // Of items called by their position, calls have the keys of their run.
            assert!(there["output"].is_string() && there["output"] != here["output"], "{there}");
            continue;
        }
        assert_eq!(there, here);
    }
}

/// Deploys `note` over so many items, lets it go wrong, and prints what it cost. Each item has one outcome, and succeeds.
fn survives(what: &str, n: usize, settings: &str, begin: impl FnOnce(&Rig)) -> Rig {
    let rig = Rig::new(what);
    rig.notes((0..n).map(plain), "takes_ms: 100", settings);
    rig.deploy(&["flow.yaml"]);
    begin(&rig);
    let began = Instant::now();
    let last = rig.run(0, &["flow.yaml", "--as", &rig.name]);
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(last["items"]["succeeded"], n);
    let lines = outcomes(&rig.stage, &rig.name);
    assert_eq!(lines.iter().map(|line| line["index"].as_u64().unwrap()).collect::<Vec<_>>(), (0..n as u64).collect::<Vec<_>>());
    let repeats: u32 = rig.stage.times("end").values().map(|times| times - 1).sum();
    let begun: u32 = rig.stage.times("begin").values().sum();
    println!("{what}: {n} items, {} invocations, {seconds:.1} s, {begun} tries begun, {repeats} items done again", rig.workers());
    rig
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn workers_that_are_killed_lose_nothing() {
    let rig = survives("killed", 60, "batch: { max_items: 20, concurrency: 2 }", |rig| {
        rig.fault("kill", json!({ "times": 4, "after": 0.6 }));
    });
    assert_eq!(rig.ended("killed"), 4);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn workers_that_run_out_of_time_lose_nothing() {
    let rig = survives("late", 40, "batch: { max_items: 10, concurrency: 2 }\naws: { timeout: 30s }", |rig| {
        rig.fault("freeze", json!({ "times": 2, "after": 0.3 }));
    });
    assert_eq!(rig.ended("Sandbox.Timedout"), 2);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn workers_that_are_throttled_are_asked_again() {
    let rig = survives("throttled", 40, "batch: { max_items: 10 }", |rig| {
        let name = rig.function();
        rig.call("lambda", "put_function_concurrency", json!({ "FunctionName": name, "ReservedConcurrentExecutions": 1 }));
    });
    assert_eq!(rig.workers(), 4, "a throttled call runs nothing");
    assert!(rig.throttled() > 0);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn workers_that_run_twice_at_once_give_one_outcome_each() {
    let rig = survives("twice", 40, "batch: { max_items: 10, concurrency: 2 }", |rig| {
        rig.fault("twice", json!({ "times": 4 }));
    });
    assert_eq!(rig.workers(), 8);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn an_item_that_takes_all_memory_or_the_process_fails_alone() {
    let rig = Rig::new("poison");
    let items = (0..30).map(|n| match n {
        4 => doing(n, "memory"),
        17 => doing(n, "abort"),
        _ => plain(n),
    });
    rig.notes(items, "takes_ms: 20", "batch: { max_items: 10, concurrency: 2 }\naws: { memory: 256MiB }");
    rig.deploy(&["flow.yaml"]);
    let began = Instant::now();
    let last = rig.run(1, &["flow.yaml", "--as", &rig.name]);
    let begun: u32 = rig.stage.times("begin").values().sum();
    println!("poison: 30 items, {} invocations, {:.1} s, {begun} tries begun", rig.workers(), began.elapsed().as_secs_f64());
    assert_eq!((&last["items"]["succeeded"], &last["items"]["failed"]), (&json!(28), &json!(2)));
    for line in outcomes(&rig.stage, &rig.name) {
        let poison = [4, 17].contains(&line["index"].as_u64().unwrap());
        assert_eq!(line["error"], if poison { json!("Worker.Crashed") } else { Value::Null }, "{line}");
    }
    assert!(rig.ended("memory") >= 2);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn a_run_is_stopped_and_goes_on() {
    let rig = Rig::new("stopped");
    let items = (0..40).map(|n| if n >= 20 { doing(n, "wait") } else { plain(n) });
    rig.notes(items, "", "batch: { max_items: 10, concurrency: 10 }\nmax_concurrency: 1");
    rig.deploy(&["flow.yaml"]);
    let running = rig.stage.spawn(&["run", "flow.yaml", "--on", "aws", "--as", &rig.name, "--json"]);
    rig.stage.until_logged("begin i20");
    rig.stage.run(&["stop", &rig.name]).ended(0);
    rig.stage.write("gate", "");
    running.wait().ended(3);
    let last = finished(&rig.stage.json(0, &["resume", &rig.name]));
    assert_eq!(last["items"]["succeeded"], 40);
    let ends = rig.stage.times("end");
    assert!((0..20).all(|n| ends[&format!("i{n}")] == 1), "what was done is not done again: {ends:?}");
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn an_execution_that_others_start_ends_with_the_same_totals_and_gate() {
    let rig = Rig::new("by-hand");
    rig.notes((0..30).map(|n| if n < 3 { doing(n, "permanent") } else { plain(n) }), "", "batch: { max_items: 10 }");
    rig.deploy(&["flow.yaml"]);
    let ours = rig.run(1, &["flow.yaml", "--as", "ours"]);

    let machine = format!("arn:aws:states:{}:000000000000:stateMachine:{}:live", std::env::var("AWS_REGION").unwrap(), rig.name);
    let started =
        rig.call("stepfunctions", "start_execution", json!({ "stateMachineArn": machine, "name": "theirs", "input": "{}" }));
    let execution = started["executionArn"].as_str().unwrap();
    let ended = loop {
        let now = rig.call("stepfunctions", "describe_execution", json!({ "executionArn": execution }));
        if now["status"] != "RUNNING" {
            break now;
        }
    };
    assert_eq!((&ended["status"], &ended["error"]), (&json!("FAILED"), &json!("Fanfold.BeyondTolerance")));
    // Looked at from a machine that never heard of it.
    let elsewhere = Stage::new();
    assert_eq!(outcomes(&elsewhere, execution), outcomes(&rig.stage, "ours"));
    let status = elsewhere.json(0, &["status", execution]);
    assert_eq!(status.last().unwrap()["items"], ours["items"]);
}

/// What a worker is given, field by field.
#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn a_worker_is_given_what_is_documented() {
    let rig = Rig::new("shape");
    rig.notes((0..5).map(plain), "", "batch: { max_items: 3 }");
    rig.deploy(&["flow.yaml"]);
    rig.watch_event();
    rig.run(0, &["flow.yaml", "--as", &rig.name]);
    let mut event = rig.event();
    let child = event["Child"].take();
    let bucket = event["BatchInput"]["results"]["bucket"].take();
    assert!(bucket.as_str().is_some_and(|name| !name.is_empty()) && child["name"].is_string() && child["started"].is_string());
    let first = event["Items"][0]["index"].as_u64().unwrap();
    let items: Vec<_> = (first..(first + 3).min(5)).map(|n| json!({ "index": n, "value": { "id": format!("i{n}") } })).collect();
    assert_eq!(
        event,
        json!({
            "BatchInput": {
                "run": rig.name,
                "round": 0,
                "params": {},
                "results": { "bucket": null, "prefix": format!("{0}/{0}/", rig.name) },
                "asked": { "again": 0 },
            },
            "Items": items,
            "Child": null,
        })
    );
}

/// A workflow that comes with fanfold, under the rig's name and at a place of the stage.
fn shipped(rig: &Rig, name: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows");
    let text = std::fs::read_to_string(format!("{folder}/{name}.yaml")).unwrap();
    let text = text.replace(&format!("name: {name}"), &format!("name: {}", rig.name));
    // Nobody speaks TLS here. Strict rows, and rows with a conflict key, are refused on AWS.
    let text = text
        .replace("    base_url:", "    allow_http: true\n    base_url:")
        .replace("header: first_row", "header: first_row, strict: false");
    rig.stage.write("flow.yaml", text.replace("    mode: upsert\n    conflict_key: [sku]\n", "    mode: append\n"));
}

/// Both runs speak to one partner: since the items are named, the second sends the keys of the first, and nothing happens twice.
#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn partners_are_notified_alike_here_and_there() {
    let rig = Rig::new("partners");
    let partner = Partner::start(&rig.stage, &[]);
    shipped(&rig, "notify-partners");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/partners.jsonl");
    rig.put("partners.jsonl", &std::fs::read_to_string(samples).unwrap());
    // It may be there from another test.
    rig.secret("billing/api-token", "test-token");
    let partners = format!("partners=s3://{}/partners.jsonl", rig.name);
    let given = ["flow.yaml", "-p", &partners, "-p", "api=http://api.example.com"];
    rig.reach(&partner.url);

    let mut command = rig.stage.command(&[&["run"], &given[..], &["--as", "here"]].concat());
    Running::of({
        command.env("BILLING_TOKEN", "test-token").env("HTTP_PROXY", &partner.url).env("NO_PROXY", "127.0.0.1");
        command
    })
    .wait()
    .ended(0);
    let before = partner.logged("effect").len();
    rig.deploy(&given);
    let last = rig.run(0, &[&given[..], &["--as", "there"]].concat());
    assert_eq!(last["items"]["succeeded"], 40);
    assert_eq!(outcomes(&rig.stage, "there"), outcomes(&rig.stage, "here"));
    assert_eq!((before, partner.logged("effect").len()), (80, 80), "no notice twice");
}

#[test]
#[ignore = "needs ministack, SeaweedFS and PostgreSQL"]
fn rows_are_imported_alike_here_and_there() {
    let rig = Rig::new("import");
    shipped(&rig, "import-products");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/products.csv");
    rig.put("products.csv", &std::fs::read_to_string(samples).unwrap());
    let source = format!("source=s3://{}/products.csv", rig.name);
    let run = |there: bool| {
        let shop = Shop::postgres();
        // An address of this machine would be refused.
        let database = shop.url.as_ref().expect("a server").replace("127.0.0.1", "db.example.com");
        let database = format!("database={database}?hostaddr=127.0.0.1&sslmode=disable");
        let given = ["flow.yaml", "-p", &source, "-p", &database, "--as", if there { "there" } else { "here" }];
        let last = if there {
            rig.deploy(&given[..5]);
            rig.run(0, &given)
        } else {
            finished(&rig.stage.json(0, &[&["run"], &given[..]].concat()))
        };
        (last["items"].clone(), outcomes(&rig.stage, given[6]), shop.sql("SELECT * FROM products ORDER BY sku"))
    };
    let (here, there) = (run(false), run(true));
    assert!(!here.2.is_empty());
    assert_eq!(there, here);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn a_run_keeps_the_version_that_it_began_with() {
    let rig = Rig::new("versions");
    let items = || [doing(0, "wait"), plain(1)];
    let settings = "batch: { max_items: 1 }\nmax_concurrency: 1";
    let echoes = |run: &str| outcomes(&rig.stage, run).iter().map(|line| !line["output"].is_null()).collect::<Vec<_>>();
    rig.notes(items(), "echo: true", settings);
    rig.deploy(&["flow.yaml"]);
    let running = rig.stage.spawn(&["run", "flow.yaml", "--on", "aws", "--as", "first", "--json"]);
    rig.stage.until_logged("begin i0");

    rig.notes(items(), "echo: false", settings);
    rig.deploy(&["flow.yaml"]);
    rig.stage.write("gate", "");
    running.wait().ended(0);
    assert_eq!(echoes("first"), [true, true], "also what was begun after the second deployment");
    rig.run(0, &["flow.yaml", "--as", "second"]);
    assert_eq!(echoes("second"), [false, false]);

    rig.stage.run(&["deploy", "flow.yaml", "--rollback"]).ended(0);
    rig.notes(items(), "echo: true", settings);
    rig.run(0, &["flow.yaml", "--as", "third"]);
    assert_eq!(echoes("third"), [true, true]);
}

#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn a_run_is_throttled_while_it_goes_on() {
    let rig = Rig::new("slower");
    rig.notes((0..8).map(|n| doing(n, "wait")), "", "batch: { max_items: 1 }\nmax_concurrency: 1");
    rig.deploy(&["flow.yaml"]);
    let running = rig.stage.spawn(&["run", "flow.yaml", "--on", "aws", "--as", &rig.name, "--json"]);
    rig.stage.until_logged("begin i0");
    rig.stage.run(&["throttle", &rig.name, "--concurrency", "3"]).ended(0);
    rig.stage.until("three at once", |stage| stage.log().len() == 3);
    rig.stage.write("gate", "");
    running.wait().ended(0);
}

/// A pause that is longer than a worker sits through: Step Functions waits, and nobody is paid.
#[test]
#[ignore = "needs ministack and SeaweedFS"]
fn a_long_pause_is_waited_for_without_a_worker() {
    let rig = Rig::new("pause");
    let partner = Partner::start(&rig.stage, &[]);
    rig.reach(&partner.url);
    rig.secret("billing/api-token", "test-token");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/samples/partners.jsonl");
    let first: Vec<_> = std::fs::read_to_string(samples).unwrap().lines().take(6).map(str::to_string).collect();
    rig.put("partners.jsonl", &first.join("\n"));
    shipped(&rig, "notify-partners");
    let partners = format!("partners=s3://{}/partners.jsonl", rig.name);
    let given = ["flow.yaml", "-p", &partners, "-p", "api=http://api.example.com"];
    rig.deploy(&given);
    // The first call is told to come again after half a minute.
    partner.control(&json!({ "rules": [{ "route": "PUT /customers/{id}", "fault": "throttle", "seconds": 30, "times": 1 }] }));
    let last = rig.run(0, &[&given[..], &["--as", &rig.name]].concat());
    assert_eq!(last["items"]["succeeded"], 6);
    let workers: Vec<_> = rig.invocations().into_iter().filter(|line| line["kind"] == "worker").collect();
    let billed: u64 = workers.iter().map(|line| line["ms"].as_u64().unwrap()).sum();
    println!("pause: 6 items, {} invocations, {:.1} s of them", workers.len(), billed as f64 / 1e3);
    assert!(workers.len() == 2 && workers[0]["answer"]["wait_until"].is_string(), "{workers:#?}");
    assert!(billed < 20_000, "{billed} ms of workers in a pause of 30 s");
    assert_eq!(partner.logged("effect").len(), 12, "each once");
}
