//! The worker on AWS: the real program as a Lambda function, with a runtime API and an S3 of our own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lambda_runtime::{Environment, batch, lines, statuses};
use crate::s3_server::{BUCKET, RESULTS, S3Server};
use crate::stage::{Stage, doing, plain};

/// `workflow.yaml`: a job of the tests over lines of a file, with these settings of its own.
fn workflow(stage: &Stage, job: &str, settings: &str) {
    stage.write(
        "workflow.yaml",
        format!(
            "fanfold: 1\nname: notes\nparams: {{ source: {{ type: path }} }}\n\
             items: {{ jsonl: {{ source: '{{{{ params.source }}}}' }}, key: '{{{{ item.id }}}}', where: '{{{{ item.what != \"leave\" }}}}' }}\n\
             {settings}\njob: {{ {job}: {{ log: log.txt }} }}\n"
        ),
    );
}

fn source() -> Value {
    json!({ "source": { "bucket": BUCKET, "key": "in/items.jsonl" } })
}

/// Items that do nothing wrong, from this number on.
fn items(first: usize, count: usize) -> impl Iterator<Item = Value> {
    (first..first + count).map(|n| json!({ "id": format!("i{n}"), "what": "" }))
}

fn counted(statuses: &BTreeMap<String, String>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    statuses.values().for_each(|status| *counts.entry(status.clone()).or_default() += 1);
    counts
}

async fn staged(settings: &str) -> (Stage, S3Server, Environment) {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    workflow(&stage, "note", settings);
    let environment = Environment::new(&stage, &s3).await;
    (stage, s3, environment)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_of_a_batch_has_its_outcome_in_the_bucket() {
    let (stage, s3, mut environment) =
        staged("retry: { max_retries: 1, initial_interval: 1ms }\nbatch: { max_bytes: 10KiB }").await;
    let long = json!({ "id": "long", "what": "", "text": "x".repeat(11_000) });
    let odd = [doing(90, "leave"), doing(91, "permanent"), doing(92, "unknown"), doing(93, "transient"), doing(94, "skip"), long];
    let event = batch(source(), 100, items(0, 90).chain(odd).chain([json!({ "what": "" }), json!({ "id": 7, "what": "" })]));
    let answer = environment.invoke(event.clone()).await.unwrap();
    let counts = json!({ "total": 98, "succeeded": 90, "skipped": 2, "failed": 5, "unknown": 1, "blocked": 0, "pending": 0 });
    assert_eq!(answer, json!({ "batch": 100, "counts": counts }));
    let found = statuses(&s3);
    assert_eq!((found.len(), &found["i90"][..], &found["i94"][..]), (98, "skipped", "skipped"));
    let line = |key: &str| lines(&s3).into_iter().find(|line| line["key"] == key).unwrap();
    assert_eq!(
        line("i90"),
        json!({ "index": 190, "key": "i90", "status": "skipped", "attempts": 0, "cause": "`items.where` is false" })
    );
    assert_eq!((&line("i93")["attempts"], &line("i93")["error"]), (&json!(2), &json!("Job.Transient")));
    assert_eq!(line("long")["error"], "Item.TooLarge");
    assert_eq!(line("s3://bucket/in/items.jsonl#196")["error"], "Item.InvalidKey");
    assert_eq!(line("7")["error"], "Item.Invalid");
    let names: Vec<String> = s3.all(RESULTS).into_keys().collect();
    assert!(names.iter().all(|name| name.starts_with("notes/r1/batches/0000/0000000100/")), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("/items-000098.json")), "{names:?}");
    // Asked for again, nothing is done again, and the answer is the same.
    let done = stage.log();
    assert_eq!(environment.invoke(event).await.unwrap(), answer);
    assert_eq!((stage.log(), statuses(&s3)), (done, found));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_lines_of_json_with_what_they_are_about_and_has_the_metrics() {
    let (_stage, _s3, mut environment) = staged("").await;
    environment.invoke(batch(source(), 0, items(0, 30).chain([doing(30, "permanent")]))).await.unwrap();
    let log = environment.log();
    let failed: Vec<&Value> = log.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(failed.len(), 1, "{log:?}");
    for (name, value) in
        [("run", "r1"), ("batch", "0/0"), ("item", "i30"), ("error", "Note.Never"), ("requestId", "00000000-req-0001")]
    {
        assert_eq!(failed[0][name], value, "{}", failed[0]);
    }
    let metrics = log.iter().find(|line| line.get("_aws").is_some()).expect("metrics");
    assert_eq!((&metrics["ItemsSucceeded"], &metrics["ItemsFailed"], &metrics["Attempts"]), (&json!(30), &json!(1), &json!(31)));
    assert_eq!(metrics["ItemDuration"].as_array().unwrap().len(), 31);
    assert_eq!(metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"], "fanfold");
    assert!(log.iter().all(|line| line.get("_aws").is_some() || line["timestamp"].is_string()), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_finished_is_not_done_again() {
    let (stage, s3, mut environment) = staged("batch: { concurrency: 4 }").await;
    stage.write("gate.yaml", "");
    let yaml = stage.read("workflow.yaml").replace("log: log.txt", "log: log.txt, gate: gate");
    stage.write("workflow.yaml", yaml);
    let waits = (20..24).map(|n| doing(n, "wait"));
    // Nothing is written because time is up.
    environment.timeout = Duration::from_secs(900);
    let event = batch(source(), 0, items(0, 20).chain(waits).chain(items(24, 6)));
    let reply = environment.hand_out(event.clone());
    // Four items hang; what came before is written within two seconds.
    stage.until("20 outcomes", |_| lines(&s3).len() == 20);
    environment.end();
    drop(reply);
    stage.write("gate", "");
    let child = environment.child(event).await;
    assert_eq!(child.ended.unwrap()["counts"]["succeeded"], 30);
    assert_eq!(counted(&statuses(&s3)), [("succeeded".to_string(), 30)].into());
    let began = stage.times("begin");
    for n in 0..30 {
        let times = if (20..24).contains(&n) { 2 } else { 1 };
        assert_eq!(began[&format!("i{n}")], times, "i{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changed_is_seen_and_nothing_of_it_is_done() {
    let (stage, s3, mut environment) = staged("").await;
    environment.invoke(batch(source(), 0, items(0, 10))).await.unwrap();
    let (done, found) = (stage.log(), statuses(&s3));
    let told = "the source is not the one that the run began with: ";
    let added = std::iter::once(json!({ "id": "new", "what": "" })).chain(items(0, 9));
    let (name, cause) = environment.invoke(batch(source(), 0, added)).await.unwrap_err();
    assert_eq!((name.as_str(), cause), ("Worker.Refused", format!("{told}item 0 was `i0` and is `new` now")));
    let changed = items(0, 9).chain([json!({ "id": "i9", "what": "", "price": 2 })]);
    let (name, cause) = environment.invoke(batch(source(), 0, changed)).await.unwrap_err();
    assert_eq!((name.as_str(), cause), ("Worker.Refused", format!("{told}item 9, `i9`, is not what it was")));
    // Called otherwise by another version of the workflow, it is the same item.
    let yaml = stage.read("workflow.yaml").replace("'{{ item.id }}'", "'new-{{ item.id }}'");
    stage.write("workflow.yaml", yaml);
    let mut environment = Environment::of(&stage, &s3, crate::stage::program("test_jobs"), 1).await;
    let answer = environment.invoke(batch(source(), 0, items(0, 10))).await.unwrap();
    assert_eq!((&answer["counts"]["total"], &answer["counts"]["succeeded"]), (&json!(10), &json!(10)));
    assert_eq!((stage.log(), statuses(&s3)), (done, found));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_kills_its_worker_is_found_and_its_neighbours_are_done() {
    let (stage, s3, mut environment) = staged("").await;
    let poisoned = |n: usize| if n == 17 || n == 40 { doing(n, "abort") } else { json!({ "id": format!("i{n}"), "what": "" }) };
    let child = environment.child(batch(source(), 0, (0..50).map(poisoned))).await;
    let counts = child.ended.expect("the child ends well")["counts"].clone();
    assert_eq!((&counts["succeeded"], &counts["failed"], &counts["pending"]), (&json!(48), &json!(2), &json!(0)));
    let found = statuses(&s3);
    assert_eq!(counted(&found), [("succeeded".to_string(), 48), ("failed".to_string(), 2)].into());
    let crashed: Vec<Value> = lines(&s3).into_iter().filter(|line| line["error"] == "Worker.Crashed").collect();
    assert_eq!(crashed.iter().map(|line| line["key"].as_str().unwrap()).collect::<Vec<_>>(), ["i17", "i40"]);
    // Two deaths beside others, then two alone for each of the two.
    let died = child.answers.iter().filter(|answer| answer.is_err()).count();
    assert!((6..=8).contains(&died), "{died} of {:?}", child.answers);
    assert!(stage.times("end").values().all(|times| *times <= 3), "{:?}", stage.times("end"));
    let marks =
        s3.all(RESULTS).into_keys().filter(|name| name.contains("/alone-00000000")).filter(|name| name.contains("17-")).count();
    assert_eq!(marks, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_with_one_batch_leave_one_outcome_of_each_item() {
    let (stage, s3, mut first) = staged("").await;
    let mut second = Environment::of(&stage, &s3, crate::stage::program("test_jobs"), 1).await;
    let event = batch(source(), 0, items(0, 40));
    let (one, other) = (first.hand_out(event.clone()), second.hand_out(event));
    let (one, other) = (first.answer(one).await.unwrap(), second.answer(other).await.unwrap());
    assert_eq!((&one["counts"]["succeeded"], &other["counts"]["succeeded"]), (&json!(40), &json!(40)));
    let mut each: BTreeMap<String, u32> = BTreeMap::new();
    lines(&s3).iter().for_each(|line| *each.entry(line["key"].as_str().unwrap().to_string()).or_default() += 1);
    assert!(each.len() == 40 && each.values().all(|times| *times <= 2), "{each:?}");
    let files = s3.all(RESULTS).into_keys().filter(|name| name.contains("items-")).count();
    assert_eq!(files, 1);
    // A third finds all of it, and says so.
    let third = first.invoke(batch(source(), 0, items(0, 40))).await.unwrap();
    assert_eq!(
        third["counts"],
        json!({ "total": 40, "succeeded": 40, "skipped": 0, "failed": 0, "unknown": 0, "blocked": 0, "pending": 0 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_time_for_is_given_back() {
    let (stage, s3, mut environment) = staged("batch: { concurrency: 2 }").await;
    let yaml = stage.read("workflow.yaml").replace("log: log.txt", "log: log.txt, takes_ms: 100");
    stage.write("workflow.yaml", yaml);
    environment.timeout = Duration::from_secs(3);
    let child = environment.child(batch(source(), 0, items(0, 100))).await;
    assert_eq!(child.ended.unwrap()["counts"]["succeeded"], 100);
    assert!(child.answers.len() >= 2, "{:?}", child.answers);
    let rest = child.answers[0].as_ref().unwrap();
    assert_eq!((&rest["rest"]["BatchInput"]["batch"], &rest["rest"]["BatchInput"]["asked"]), (&json!(0), &json!({ "again": 0 })));
    assert_eq!(counted(&statuses(&s3)), [("succeeded".to_string(), 100)].into());
    assert!(stage.times("begin").values().all(|times| *times == 1), "nothing is done twice");
    let files: Vec<_> = s3.all(RESULTS).into_keys().filter(|name| name.contains("items-")).collect();
    assert_eq!(files, ["notes/r1/batches/0000/0000000000/items-000100.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_never_ends_is_given_up_and_holds_nobody_up() {
    let (_stage, s3, mut environment) = staged("").await;
    environment.timeout = Duration::from_secs(2);
    let child = environment.child(batch(source(), 0, items(0, 20).chain([doing(20, "hang")]))).await;
    let counts = child.ended.expect("the child ends well")["counts"].clone();
    assert_eq!((&counts["succeeded"], &counts["failed"]), (&json!(20), &json!(1)));
    assert_eq!(lines(&s3).iter().find(|line| line["key"] == "i20").unwrap()["error"], "Worker.Crashed");
    let names: Vec<_> = child.answers.iter().filter_map(|answer| Some(answer.as_ref().err()?.0.clone())).collect();
    assert_eq!(names, ["Worker.TimedOut"; 4], "{:?}", child.answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_is_not_paid_for() {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    workflow(&stage, "asks", "");
    let mut environment = Environment::new(&stage, &s3).await;
    let asks = |n: usize| json!({ "id": format!("i{n}"), "what": "", "answers": if n < 5 { json!([]) } else { json!([429]) }, "retry_after": "600" });
    let answer = environment.invoke(batch(source(), 0, (0..40).map(asks))).await.unwrap();
    let until = answer["wait_until"].as_str().expect("a long pause");
    let until = time::OffsetDateTime::parse(until, &time::format_description::well_known::Rfc3339).unwrap();
    let wait = until - time::OffsetDateTime::now_utc();
    assert!(wait > time::Duration::seconds(560) && wait <= time::Duration::seconds(601), "{wait}");
    let rest = answer["rest"]["Items"].as_array().unwrap();
    let done = answer["counts"]["succeeded"].as_u64().unwrap();
    assert_eq!(rest.len() as u64 + done, 40, "{answer}");
    assert_eq!(statuses(&s3).len() as u64, done, "what was done is kept, the others have no outcome");
    assert_eq!(rest[rest.len() - 1], json!({ "index": 39, "value": asks(39) }));
    // An express child sits through what it has time for, and leaves the rest pending.
    let mut event = batch(source(), 100, (100..110).map(asks));
    event["Child"] = json!({ "name": "c", "started": answer["wait_until"], "ends_after": 20 });
    let mut environment = Environment::of(&stage, &s3, crate::stage::program("test_jobs"), 1).await;
    event["Child"]["started"] =
        json!(time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap());
    let answer = environment.invoke(event).await.unwrap();
    assert!(answer.get("rest").is_none() && answer["counts"]["pending"].as_u64() > Some(0), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_no_worker_was_given_are_pending_under_their_names() {
    let (_stage, s3, mut environment) = staged("").await;
    let mut event = batch(source(), 7, items(7, 2).chain([json!({ "what": "" })]));
    let (input, map) =
        (event["BatchInput"].take(), json!({ "ResultWriterDetails": { "Bucket": BUCKET, "Key": "map/manifest.json" } }));
    let files = json!({ "FAILED": [{ "Key": "map/FAILED_0.json", "Size": 1 }], "PENDING": [], "SUCCEEDED": [] });
    s3.put("map/manifest.json", json!({ "DestinationBucket": BUCKET, "ResultFiles": files }).to_string());
    s3.put("map/FAILED_0.json", json!([{ "Input": event.to_string(), "Status": "FAILED" }]).to_string());
    let [run, params, results] = ["run", "params", "results"].map(|name| input[name].clone());
    let gate = json!({ "Gate": { "run": run, "round": 0, "results": results, "params": params, "map": map } });
    let answer = environment.invoke(gate).await.unwrap();
    assert_eq!((&answer["verdict"], &answer["items"]["pending"]), (&json!("stopped"), &json!(3)), "{answer}");
    let all = s3.all(RESULTS);
    let handed: Vec<Value> = serde_json::from_slice(&all["notes/r1/batches/0000/0000000007/items-000003.json"]).unwrap();
    let keys: Vec<&Value> = handed.iter().map(|item| &item["key"]).collect();
    assert_eq!(keys, ["i7", "i8", "s3://bucket/in/items.jsonl#9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_waits_alone_while_its_worker_lives_is_not_suspected() {
    let (stage, s3) = (Stage::new(), S3Server::start().await);
    workflow(&stage, "asks", "");
    let asks = json!({ "id": "i0", "what": "", "answers": [429], "retry_after": "600" });
    let mut event = batch(source(), 0, [asks]);
    event["BatchInput"]["asked"]["again"] = json!(2);
    for name in 0..3 {
        // The next worker is another process, which has not heard of the pause.
        let mut environment = Environment::of(&stage, &s3, crate::stage::program("test_jobs"), name).await;
        let answer = environment.invoke(event.clone()).await.unwrap();
        assert_eq!((&answer["counts"]["pending"], &answer["rest"]["Items"]), (&json!(1), &event["Items"]), "{answer}");
    }
    assert!(lines(&s3).is_empty());
    let marks = |kind: &str| s3.all(RESULTS).into_keys().filter(|name| name.contains(kind)).count();
    assert_eq!((marks("/alone-0000000000-"), marks("/alive-0000000000-")), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_begin_says_why_and_is_not_asked_again() {
    let (stage, s3, mut environment) = staged("").await;
    let mut refused = async |event: Value| environment.invoke(event).await.expect_err("it cannot begin");
    let (name, cause) = refused(batch(json!({ "source": { "bucket": BUCKET, "key": "a" }, "other": 1 }), 0, items(0, 3))).await;
    assert_eq!((name.as_str(), cause.as_str()), ("Worker.Refused", "the stored param `other` is not declared"));
    let (name, _) = refused(batch(json!({}), 0, items(0, 3))).await;
    assert_eq!(name, "Worker.Refused");
    let (name, cause) = refused(json!({ "hello": 1 })).await;
    assert_eq!((name.as_str(), cause.starts_with("the event is not what a worker knows")), ("Worker.Refused", true));
    assert!(lines(&s3).is_empty() && stage.log().is_empty());
    // What every item needs is not there: what was done is kept, the others stay as they are.
    let child = environment.child(batch(source(), 0, items(0, 5).chain([doing(5, "full")]).chain(items(6, 100)))).await;
    let (name, cause) = child.ended.unwrap_err();
    assert_eq!((name.as_str(), cause.as_str()), ("Worker.Refused", "item `i5`: the disk of the partner is full"));
    let found = statuses(&s3);
    assert!(found.len() >= 5 && !found.contains_key("i5") && found.values().all(|status| status == "succeeded"), "{found:?}");
    stage.write("workflow.yaml", "fanfold: 1\nname: notes\n");
    let mut environment = Environment::of(&stage, &s3, crate::stage::program("test_jobs"), 1).await;
    let (name, cause) = environment.invoke(batch(source(), 0, [plain(0)])).await.unwrap_err();
    assert!(name == "Worker.Refused" && cause.contains("workflow.yaml"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_answered_in_few_bytes() {
    let (_stage, s3, mut environment) = staged("").await;
    // As many as fit into the input of a child, each failing with a long cause.
    let items = (0..1500).map(|n| json!({ "id": format!("i{n:05}"), "what": if n % 2 == 0 { "permanent" } else { "" }, "tries": 0, "pad": "x".repeat(80) }));
    let event = batch(source(), 0, items);
    assert!(event.to_string().len() < 256 * 1024);
    let answer = environment.invoke(event).await.unwrap();
    assert!(answer.to_string().len() < 1000, "{answer}");
    assert_eq!(counted(&statuses(&s3)), [("failed".to_string(), 750), ("succeeded".to_string(), 750)].into());
    let parts = s3.all(RESULTS).into_keys().filter(|name| name.ends_with(".jsonl")).count();
    assert!((2..=4).contains(&parts), "{parts} parts of about 1,000 lines");
    assert_eq!(
        environment.log().iter().filter(|line| line["level"] == "WARN").count(),
        21,
        "20 are told, and that there are more"
    );
}

#[test]
fn a_worker_that_nobody_started_says_who_does() {
    let stage = Stage::new();
    stage.run_fanfold(&["worker"]).ended(4).says("a worker is started by AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API, ");
}
