//! Runs on AWS as people and programs meet them: begun, followed, stopped, resumed, redriven, looked at.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::aws_server::{AwsServer, EXECUTION};
use crate::stage::{Done, Running, Stage, finished};

const FLOW: &str = "fanfold: 1
name: thumbs
params:
  source: { type: path, default: \"s3://photos/2026/\" }
  destination: { type: path, default: \"s3://thumbs/\" }
  width: { type: integer, default: 128 }
items: { objects: { source: \"{{ params.source }}\" } }
redact: [item.Etag]
job: { image_resize: { width: \"{{ params.width }}\", destination: \"{{ params.destination }}\" } }
";

/// A folder with the workflow, and AWS with it deployed and so many photos.
pub struct Cloud {
    pub stage: Stage,
    pub aws: AwsServer,
}

impl Cloud {
    pub async fn new(items: usize) -> Self {
        let (stage, aws) = (Stage::new(), AwsServer::start().await);
        stage.write("thumbs.yaml", FLOW);
        let cloud = Self { stage, aws };
        cloud.deploy(FLOW);
        cloud.aws.state().items = (0..items)
            .map(|n| json!({ "Key": format!("{n}.jpg"), "Size": 1000, "Etag": format!("etag-of-{n:04}"), "StorageClass": "STANDARD" }))
            .collect();
        cloud
    }

    pub fn deploy(&self, text: &str) {
        self.aws.s3.put("thumbs/deployments/d0/deployment.json", json!({ "workflow": text, "params": {} }).to_string());
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command_of(Path::new(env!("CARGO_BIN_EXE_fanfold")), args);
        command.envs(self.aws.environment());
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        let command = self.command(args);
        tokio::task::block_in_place(|| Running::of(command).wait())
    }

    pub fn json(&self, code: i32, args: &[&str]) -> Vec<Value> {
        self.run(&[args, &["--json"]].concat()).ended(code).lines()
    }

    /// The indexes of the items with this status.
    pub fn indexes(&self, run: &str, status: &str) -> BTreeSet<u64> {
        let lines = self.run(&["results", run, &format!("--{status}")]).ended(0).lines();
        lines.iter().map(|line| line["index"].as_u64().unwrap()).collect()
    }

    /// The input of the execution of this name.
    pub fn input(&self, name: &str) -> Value {
        let state = self.aws.state();
        let one = state.executions.iter().find(|one| one.name == name);
        one.unwrap_or_else(|| panic!("no {name}: {:?}", state.executions)).input.clone()
    }
}

fn is_run_id(id: &str) -> bool {
    id.len() == "20261123-8f3c".len() && id.as_bytes()[8] == b'-'
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_its_id_first_and_ends_as_one_here() {
    let cloud = Cloud::new(5).await;
    cloud.aws.state().failing.insert(3, "Image.Truncated");
    let done = cloud.run(&["run", "thumbs.yaml", "--on", "aws"]).ended(1);
    let id = done.out.trim().to_string();
    assert!(is_run_id(&id), "{id}");
    let done = done.says("5 items, 3 batches").says("5 items: 4 succeeded, 1 failed; 3 batches, 5 tries");
    let done = done.says("failed: 1 item not done, more than `tolerated_failure` allows");
    done.says(&format!("fanfold redrive {id}"));
    let params = json!({ "source": { "bucket": "photos", "prefix": "2026/" }, "destination": "s3://thumbs/", "width": 128 });
    assert_eq!(cloud.input(&id), json!({ "params": params }));

    let lines = cloud.run(&["results", &id]).ended(0).lines();
    assert_eq!(lines.iter().map(|line| line["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let item = |n: usize| json!({ "Key": format!("{n}.jpg"), "Size": 1000, "Etag": "***", "StorageClass": "STANDARD" });
    let shown = json!({
        "key": "0.jpg", "index": 0, "status": "succeeded", "attempts": 1, "output": { "width": 128, "etag": "***" }, "item": item(0),
    });
    assert_eq!(lines[0], shown, "what is redacted is not shown");
    assert_eq!(lines[3]["cause"], "\"3.jpg\" of \"***\" ends early");
    assert_eq!(cloud.indexes(&id, "failed"), [3].into());
    cloud.run(&["results", &id, "--format", "csv"]).ended(2).says("`--format jsonl` has the rows as objects");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_are_told_has_the_fields_of_a_run_here() {
    let cloud = Cloud::new(4).await;
    let lines = cloud.json(0, &["run", "thumbs.yaml", "--on", "aws", "-p", "width=64"]);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events[..2], ["started", "listed"], "{events:?}");
    let id = lines[0]["run"].as_str().unwrap();
    let there = finished(&lines);
    assert_eq!((&there["run"], &there["items"]["succeeded"], &there["batches"]), (&json!(id), &json!(4), &json!(2)));
    let progress = lines.iter().find(|line| line["event"] == "progress").expect("progress");
    assert_eq!(progress["executions"]["total"], 2);
    let before: Vec<_> = lines.iter().filter(|line| line["event"] == "listed" || line["event"] == "progress").collect();
    assert!(before.iter().all(|line| line["items"]["succeeded"].as_u64().is_none_or(|n| n == 0)), "the gate says it: {before:?}");
    assert_eq!(cloud.input(id)["params"]["width"], 64);

    // The same fields as of a run on this machine.
    let stage = Stage::new();
    let here = stage.plain(2).flow("").finished(0, &["run", "flow.yaml"]);
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(fields(&here), fields(&there));
    let one = |lines: Vec<Value>| fields(&lines[0]);
    let of_aws = one(cloud.run(&["results", id]).ended(0).lines());
    let of_here = one(stage.run(&["results"]).ended(0).lines());
    assert_eq!(of_here.union(&BTreeSet::from(["output".to_string()])).cloned().collect::<BTreeSet<_>>(), of_aws);

    let status = &cloud.json(0, &["status", id])[0];
    assert_eq!((&status["status"], &status["on"]["region"]), (&json!("SUCCEEDED"), &json!("eu-west-1")));
    assert_eq!(status["on"]["map_run"]["item_counts"]["total"], 4);
    assert_eq!(status["on"]["execution"]["arn"], format!("{EXECUTION}:{id}"));
    let told = cloud.run(&["status"]).ended(0).out;
    assert_eq!(
        told.trim(),
        format!("{id}  thumbs  SUCCEEDED  4 items: 4 succeeded; 2 batches, 4 tries, 30 s (0 items/s); on AWS, eu-west-1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_begins_a_run_goes_on_with_it_or_does_nothing() {
    let cloud = Cloud::new(4).await;
    let named = ["run", "thumbs.yaml", "--on", "aws", "--as", "2026-W47"];
    cloud.aws.state().broken = Some(("States.ItemReaderFailed", "Access Denied"));
    let done = cloud.run(&named).ended(4);
    done.says("error: the execution failed: States.ItemReaderFailed: Access Denied; hint: the items cannot be read");
    cloud.aws.state().broken = None;
    assert_eq!(cloud.run(&named).ended(0).out, "2026-W47\n");
    assert_eq!(cloud.input("2026-W47-resume-1")["resume"], json!({ "run": "2026-W47" }));
    cloud.run(&named).ended(0).says("run 2026-W47 is done already; nothing to do");
    assert_eq!(cloud.aws.times("StartExecution"), 2);
    let other = [&named[..], &["-p", "width=64"]].concat();
    cloud.run(&other).ended(2).says("the run `2026-W47` was begun with other params: `width` is 128");
    // The process died before it had started anything: as if it had never been there.
    let forgotten = cloud.stage.read(".fanfold/aws/2026-W47.json").replace("2026-W47", "2026-W48");
    cloud.stage.write(".fanfold/aws/2026-W48.json", forgotten);
    let told = cloud.run(&["status"]).ended(0).out;
    assert!(told.contains("2026-W48  thumbs  STOPPED (it was never begun, or its executions and its report are gone)"), "{told}");
    cloud.run(&["run", "thumbs.yaml", "--on", "aws", "--as", "2026-W48"]).ended(0);
    cloud.run(&["run", "thumbs.yaml", "--as", "2026-W47"]).ended(2).says("the run `2026-W47` is one on AWS");
    cloud.run(&["run", "thumbs.yaml", "--on", "aws", "--as", "a b"]).ended(2).says("`a b` cannot name a run on AWS");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_deployed_or_otherwise_is_said_with_the_command() {
    let cloud = Cloud::new(4).await;
    let run = ["run", "thumbs.yaml", "--on", "aws"];
    for (params, said) in [
        (vec!["-p", "destination=s3://other/"], "the roles on AWS were made for another value of `destination`"),
        (vec!["-p", "destination=out/"], "is a path of this machine, which AWS cannot reach"),
        (vec!["--limit", "3"], "`--limit` is for runs on this machine"),
        (vec!["--only", "3.jpg"], "`--only` is for runs on this machine"),
        (vec!["--dry-run"], "`--dry-run` is for this machine"),
    ] {
        cloud.run(&[&run[..], &params].concat()).ended(2).says(said);
    }
    cloud
        .run(&[&run[..], &["-p", "destination=s3://other/"]].concat())
        .ended(2)
        .says("hint: fanfold deploy thumbs.yaml -p destination=s3://other/");
    cloud.deploy(&FLOW.replace("128", "96"));
    cloud.run(&run).ended(2).says("`thumbs` on AWS is not what `thumbs.yaml` says now; hint: fanfold deploy thumbs.yaml");
    cloud.aws.state().outputs.clear();
    cloud.run(&run).ended(2).says("`thumbs` is not on AWS in eu-west-1; hint: fanfold deploy thumbs.yaml");
    assert_eq!(cloud.aws.times("StartExecution"), 0);
    cloud.aws.state().outputs.insert("ResultsBucket", "bucket".into());
    cloud.aws.state().stack_status = "CREATE_IN_PROGRESS";
    cloud.run(&run).ended(4).says("the stack `fanfold-thumbs` is CREATE_IN_PROGRESS");
    assert!(cloud.run(&["status"]).ended(0).err.contains("no runs in"), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_killed_or_leaves_changes_nothing() {
    let cloud = Cloud::new(6).await;
    cloud.aws.state().hold_after = Some(2);
    let mut follower = Running::of(cloud.command(&["run", "thumbs.yaml", "--on", "aws"]));
    let id = tokio::task::block_in_place(|| {
        let id = follower.line();
        follower.until_said("6 items, 3 batches");
        follower.signal("KILL");
        follower.wait();
        id
    });
    let mut follower = Running::of(cloud.command(&["status", "--follow"]));
    let left = tokio::task::block_in_place(|| {
        follower.until_said("6 items, 3 batches");
        follower.signal("INT");
        follower.wait()
    });
    left.ended(0).says(&format!("run {id} goes on on AWS; hint: fanfold status {id} --follow"));
    let told = &cloud.json(0, &["status", &id])[0]["items"];
    assert_eq!(*told, json!({ "total": 6, "ended": 2, "pending": 4 }), "how they ended nobody knows yet");
    let status = cloud.run(&["status", &id]).ended(0).out;
    assert_eq!(status.trim(), format!("{id}  thumbs  RUNNING  2 of 6 items, 1 of 3 executions; on AWS, eu-west-1"));
    for (verb, said) in [("resume", "is going on: the execution"), ("redrive", "is going on"), ("prune", "is going on")] {
        cloud.run(&[verb, &id]).ended(2).says(said);
    }
    cloud.run(&["results", &id]).ended(0).says("the run is going on: 2 items of it were handed to workers so far");
    cloud.aws.state().hold_after = None;
    cloud.run(&["status", &id, "--follow"]).ended(0).says("6 items: 6 succeeded");
    assert_eq!(cloud.aws.times("StartExecution"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_is_resumed_and_does_only_what_is_pending() {
    let cloud = Cloud::new(7).await;
    cloud.aws.state().hold_after = Some(3);
    let mut follower = Running::of(cloud.command(&["run", "thumbs.yaml", "--on", "aws"]));
    let id = tokio::task::block_in_place(|| follower.line());
    tokio::task::block_in_place(|| follower.until_said("7 items, 4 batches"));
    let stopped = cloud.run(&["stop", &id]).ended(0).says("children that are at work end by themselves");
    stopped.says(&format!("stopped (by `fanfold stop`): 3 of 7 items done, nothing lost; hint: fanfold resume {id}"));
    tokio::task::block_in_place(|| follower.wait()).ended(3).says("stopped (by `fanfold stop`): 3 of 7 items done");
    cloud.run(&["stop", &id]).ended(0).says(&format!("no execution of run {id} is running"));
    assert_eq!(cloud.indexes(&id, "succeeded"), [0, 1, 2].into());
    cloud.run(&["results", &id]).ended(0).says("the run was stopped: 4 items of it were handed to workers so far");
    cloud.run(&["prune", &id]).ended(2).says("4 items are pending");

    cloud.aws.state().hold_after = None;
    let done = finished(&cloud.json(0, &["resume", &id]));
    assert_eq!((&done["status"], &done["items"]["succeeded"]), (&json!("SUCCEEDED"), &json!(7)));
    assert_eq!(cloud.input(&format!("{id}-resume-1"))["resume"], json!({ "run": id }));
    assert_eq!(cloud.indexes(&id, "succeeded"), (0..7).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_does_exactly_what_failed_in_batches_of_its_own() {
    let cloud = Cloud::new(7).await;
    cloud.aws.state().failing.extend([(1, "Image.Truncated"), (4, "Image.Truncated"), (5, "Job.TimedOut")]);
    let id = finished(&cloud.json(1, &["run", "thumbs.yaml", "--on", "aws"]))["run"].as_str().unwrap().to_string();
    cloud.aws.state().failing.remove(&1);
    let done = cloud.run(&["redrive", &id, "--batch", "1"]).ended(1).says("3 items to redrive");
    done.says("7 items: 5 succeeded, 2 failed");
    let redrive = cloud.input(&format!("{id}-redrive-1"));
    let key = format!("thumbs/{id}/redrive/0001/items.jsonl");
    let expected = json!({ "run": id, "round": 1, "items": { "bucket": "bucket", "key": key }, "batch": 1 });
    assert_eq!(redrive["redrive"], expected);
    assert_eq!(redrive["params"], cloud.input(&id)["params"], "with the params that the run was begun with");
    let file = String::from_utf8(cloud.aws.s3.get(&key).unwrap().to_vec()).unwrap();
    let handed: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(handed.iter().map(|line| (&line["index"], &line["key"])).collect::<Vec<_>>()[0], (&json!(1), &json!("1.jpg")));
    assert_eq!(handed[0]["value"]["Etag"], "etag-of-0001", "workers are given the items as they are");
    assert_eq!(cloud.indexes(&id, "failed"), [4, 5].into());
    let tries = |index: usize| cloud.run(&["results", &id]).ended(0).lines()[index]["attempts"].clone();
    assert_eq!((tries(0), tries(1)), (json!(1), json!(2)));

    // Stopped in the middle: the same round is resumed.
    cloud.aws.state().failing.clear();
    cloud.aws.state().hold_after = Some(1);
    let mut follower = Running::of(cloud.command(&["redrive", &id]));
    tokio::task::block_in_place(|| follower.until_said("2 items, 1 batch"));
    cloud.run(&["stop", &id]).ended(0).says("6 of 7 items done");
    tokio::task::block_in_place(|| follower.wait()).ended(3);
    cloud.aws.state().hold_after = None;
    cloud.run(&["resume", &id]).ended(0).says("7 items: 7 succeeded");
    assert_eq!(cloud.input(&format!("{id}-resume-1"))["redrive"]["round"], 2);
    cloud.run(&["redrive", &id]).ended(2).says(&format!("nothing of run {id} failed or is blocked"));
    for (option, said) in [
        ("--accept", "takes what is deployed now"),
        ("--out-of-order", "workflows with `order`"),
        ("--items=x.csv", "`--items` is for"),
    ] {
        cloud.run(&["redrive", &id, option]).ended(2).says(said);
    }
    cloud.run(&["resolve", &id, "1.jpg", "pay", "--give-up"]).ended(2).says("workers on AWS keep no ledger of calls yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn items_with_the_key_of_another_one_are_not_redriven() {
    let cloud = Cloud::new(4).await;
    cloud.aws.state().doubles.insert(2);
    cloud.aws.state().failing.insert(3, "Image.Truncated");
    let id = finished(&cloud.json(1, &["run", "thumbs.yaml", "--on", "aws"]))["run"].as_str().unwrap().to_string();
    let lines = cloud.run(&["results", &id, "--failed"]).ended(0).lines();
    let errors: Vec<_> = lines.iter().map(|line| (line["index"].as_u64().unwrap(), line["error"].as_str().unwrap())).collect();
    assert_eq!(errors, [(2, "Item.Duplicate"), (3, "Image.Truncated")], "what the gate says comes before what the worker said");
    cloud.aws.state().failing.clear();
    let redriven = cloud.run(&["redrive", &id]).ended(1).says("1 item to redrive");
    redriven.says("1 item with the key or destination of another one: not redriven");
    let again = cloud.run(&["redrive", &id]).ended(2);
    again.says("failed or is blocked but items that have the key or destination of another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_never_done_again() {
    let cloud = Cloud::new(4).await;
    cloud.aws.state().failing.insert(2, "Job.Unknown");
    let done = cloud.run(&["run", "thumbs.yaml", "--on", "aws"]).ended(1);
    let id = done.out.trim().to_string();
    done.says(&format!("hint: fanfold results {id} --unknown shows what is to be looked up at the other side"));
    assert_eq!(cloud.indexes(&id, "unknown"), [2].into());
    cloud.run(&["redrive", &id]).ended(2).says(&format!("nothing of run {id} failed or is blocked"));
    assert_eq!(cloud.aws.times("StartExecution"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_was_started_by_hand_is_a_run_like_any_other() {
    let cloud = Cloud::new(4).await;
    // As EventBridge names them.
    let name = "8f507cfc-0f5c-4b25-9a8f-8f507cfc1234_1b2c3d4e-0f5c-4b25-9a8f-8f507cfc5678";
    cloud.aws.state().failing.insert(2, "Image.Truncated");
    cloud.aws.begin(name, json!({}));
    let arn = format!("{EXECUTION}:{name}");
    cloud.run(&["status", &arn, "--follow"]).ended(0).says("4 items: 3 succeeded, 1 failed");
    assert_eq!(cloud.indexes(&arn, "failed"), [2].into());
    assert!(cloud.run(&["status"]).ended(0).out.starts_with(name), "it is remembered");
    cloud.aws.state().failing.clear();
    cloud.run(&["redrive", name]).ended(0).says("4 items: 4 succeeded");
    let redriven = cloud.aws.state().executions.last().unwrap().clone();
    assert!(redriven.name.len() <= 80 && redriven.name.ends_with("-redrive-1"), "{}", redriven.name);
    // By the ARN of a later execution, from another machine.
    let elsewhere = Stage::new();
    let mut command =
        elsewhere.command_of(Path::new(env!("CARGO_BIN_EXE_fanfold")), &["status", &format!("{EXECUTION}:{}", redriven.name)]);
    command.envs(cloud.aws.environment());
    let told = tokio::task::block_in_place(|| Running::of(command).wait()).ended(0).out;
    assert!(told.starts_with(&format!("{name}  thumbs  SUCCEEDED")), "{told}");
    cloud.run(&["status", &format!("{EXECUTION}:nobody")]).ended(2).says("there is no execution");
    cloud.run(&["status", &format!("{EXECUTION}/Map:0a1b")]).ended(2).says("is a child execution, one batch of a run");
    cloud.run(&["status", "arn:aws:s3:::bucket"]).ended(2).says("is not the ARN of an execution");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_asks_too_often_waits_and_goes_on() {
    let cloud = Cloud::new(2).await;
    cloud.aws.state().hold_after = Some(1);
    let mut follower = Running::of(cloud.command(&["run", "thumbs.yaml", "--on", "aws"]));
    tokio::task::block_in_place(|| follower.until_said("2 items, 1 batch"));
    cloud.aws.state().throttle = 6;
    tokio::task::block_in_place(|| follower.until_said("the run goes on, and is asked for again"));
    cloud.aws.state().hold_after = None;
    tokio::task::block_in_place(|| follower.wait())
        .ended(0)
        .says("ThrottlingException: Rate exceeded")
        .says("2 items: 2 succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_workers_could_not_begin_is_said() {
    let cloud = Cloud::new(2).await;
    cloud.aws.state().refused = Some("the secret `token` is missing");
    let done = cloud.run(&["run", "thumbs.yaml", "--on", "aws"]).ended(3);
    let id = done.out.trim().to_string();
    done.says("stopped (Worker.Refused: the secret `token` is missing): 0 of 2 items done, nothing lost");
    let status = cloud.run(&["status", &id]).ended(0).out;
    assert!(status.contains("STOPPED (Worker.Refused: the secret `token` is missing)"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_throttled_while_it_goes_on_and_never_above_its_rate() {
    let cloud = Cloud::new(4).await;
    cloud.aws.state().hold_after = Some(2);
    cloud.aws.begin("R", json!({}));
    let arn = format!("{EXECUTION}:R");
    cloud
        .run(&["throttle", &arn, "--concurrency", "7"])
        .ended(0)
        .says("run R: at most 7 batches at once from now on, 100 before");
    assert_eq!(cloud.aws.state().executions[0].concurrency, 7);
    cloud.run(&["throttle", "R", "--rate", "5/s"]).ended(2).says("each worker has its share of `rate`");
    cloud.run(&["throttle", "R"]).ended(2).says("`--concurrency 10`");
    cloud.deploy(&format!("{FLOW}rate: {{ limit: 50/s }}\nmax_concurrency: 5\n"));
    cloud.run(&["throttle", "R", "--concurrency", "6"]).ended(2).says("`rate` was shared between 5 children");
    cloud.run(&["throttle", "R", "--concurrency", "5"]).ended(0);
    cloud.run(&["stop", "R"]).ended(0);
    cloud.run(&["throttle", "R", "--concurrency", "5"]).ended(2).says("no execution of run R is running");
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_leaves_keys_and_outcomes_and_nothing_of_the_items() {
    let cloud = Cloud::new(5).await;
    cloud.aws.state().failing.extend([(1, "Image.Truncated"), (2, "Image.Truncated")]);
    let id = finished(&cloud.json(1, &["run", "thumbs.yaml", "--on", "aws"]))["run"].as_str().unwrap().to_string();
    cloud.run(&["redrive", &id]).ended(1);
    cloud.aws.s3.put(&format!("thumbs/{id}/map/0a1b/SUCCEEDED_0.json"), "[{\"Input\":\"etag-of-0000\"}]");
    let told = &cloud.json(0, &["prune", &id])[0];
    assert!(told["freed_bytes"].as_u64().unwrap() > 100, "{told}");
    for key in cloud.aws.s3.keys(&format!("thumbs/{id}/")) {
        let text = String::from_utf8(cloud.aws.s3.get(&key).unwrap().to_vec()).unwrap();
        // Causes are a part of the outcome.
        let data = text.replace("etag-of-0001\\\" ends early", "").replace("etag-of-0002\\\" ends early", "");
        assert!(!data.contains("etag-of") && !data.contains("width"), "{key}: {text}");
    }
    let lines = cloud.run(&["results", &id]).ended(0).lines();
    let all: Vec<_> = lines.iter().map(|line| (line["key"].as_str().unwrap(), line["status"].as_str().unwrap())).collect();
    assert_eq!(
        all,
        [("0.jpg", "succeeded"), ("1.jpg", "failed"), ("2.jpg", "failed"), ("3.jpg", "succeeded"), ("4.jpg", "succeeded")]
    );
    assert!(lines.iter().all(|line| line["item"].is_null() && line["output"].is_null()));
    cloud.run(&["redrive", &id]).ended(2).says("the data of run").says("were removed");
    assert_eq!(cloud.json(0, &["prune", &id])[0]["freed_bytes"], 0, "again it does nothing");
}
