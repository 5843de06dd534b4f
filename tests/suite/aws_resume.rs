//! Which round of a run on AWS is open: what is resumed, what is redriven, and what is refused since it would do items again.

use serde_json::json;

use crate::aws_runs::Cloud;
use crate::stage::{Running, finished};

impl Cloud {
    /// Does so many items of what `args` begin, then stops it; gives the run.
    fn stopped_after(&self, items: usize, args: &[&str]) -> String {
        self.aws.state().hold_after = Some(items);
        let mut follower = Running::of(self.command(args));
        tokio::task::block_in_place(|| {
            let id = follower.line();
            follower.until_said(" pending");
            self.run(&["stop", &id]).ended(0);
            follower.wait().ended(3);
            self.aws.state().hold_after = None;
            id
        })
    }

    fn started(&self) -> usize {
        self.aws.times("StartExecution")
    }
}

const RUN: [&str; 3] = ["run", "thumbs.yaml", "--on"];

fn run_on_aws<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], &["aws"], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_pending_items_is_resumed_before_it_is_redriven() {
    let cloud = Cloud::new(7).await;
    cloud.aws.state().failing.insert(1, "Image.Truncated");
    let id = cloud.stopped_after(3, &run_on_aws(&[]));
    let refused = cloud.run(&["redrive", &id]).ended(2);
    refused.says(&format!("run {id} is not at its end: items of its input are pending; hint: fanfold resume {id}"));
    // So it is where the gate said it.
    cloud.aws.state().refused = Some("the secret `token` is missing");
    cloud.run(&["resume", &id]).ended(3);
    cloud.run(&["redrive", &id]).ended(2).says("items of its input are pending");
    assert_eq!(cloud.started(), 2);
    cloud.aws.state().refused = None;
    cloud.run(&["resume", &id]).ended(1).says("7 items: 6 succeeded, 1 failed");
    cloud.aws.state().failing.clear();
    cloud.run(&["redrive", &id]).ended(0).says("7 items: 7 succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_never_gone_on_with_in_another_bucket() {
    let cloud = Cloud::new(4).await;
    let stopped = cloud.stopped_after(2, &run_on_aws(&[]));
    cloud.aws.state().failing.insert(1, "Image.Truncated");
    let failed = cloud.run(&run_on_aws(&[])).ended(1).out.trim().to_string();
    cloud.aws.state().outputs.insert("ResultsBucket", "newer".into());
    for (verb, id) in [("resume", &stopped), ("redrive", &failed)] {
        let refused = cloud.run(&[verb, id]).ended(2);
        let refused = refused.says(&format!("run {id} is in the bucket `bucket`, `thumbs` on AWS has another one now, `newer`"));
        refused.says("hint: set `aws.results_bucket: bucket` in the workflow and deploy it");
    }
    assert_eq!(cloud.started(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_redrive_is_resumed_before_the_next_one() {
    let cloud = Cloud::new(7).await;
    cloud.aws.state().failing.extend((0..5).map(|index| (index, "Image.Truncated")));
    let id = cloud.run(&run_on_aws(&[])).ended(1).out.trim().to_string();
    // Nothing of it was handed out yet.
    let redrive = ["redrive", &id];
    cloud.stopped_after(0, &redrive);
    let told = cloud.run(&["status", &id]).ended(0).out;
    assert!(told.contains("7 items: 2 succeeded, 5 pending"), "{told}");
    assert_eq!(cloud.indexes(&id, "pending"), (0..5).collect());
    let refused = cloud.run(&redrive).ended(2);
    refused.says(&format!("run {id} is not at its end: items of redrive 1 of it are pending; hint: fanfold resume {id}"));
    // Some of it.
    cloud.stopped_after(3, &["resume", &id]);
    assert_eq!(cloud.indexes(&id, "pending"), [3, 4].into());
    cloud.run(&redrive).ended(2).says("items of redrive 1 of it are pending");
    // The machine itself failed.
    cloud.aws.state().broken = Some(("States.ItemReaderFailed", "Access Denied"));
    cloud.run(&["resume", &id]).ended(4);
    cloud.aws.state().broken = None;
    cloud.run(&redrive).ended(2).says("items of redrive 1 of it are pending");
    cloud.aws.state().failing.clear();
    assert_eq!(finished(&cloud.json(1, &["resume", &id]))["items"]["failed"], 3, "those that ended before are not done again");
    for n in 1..=3 {
        assert_eq!(cloud.input(&format!("{id}-resume-{n}"))["redrive"], cloud.input(&format!("{id}-redrive-1"))["redrive"]);
    }
    cloud.run(&redrive).ended(0).says("3 items to redrive").says("7 items: 7 succeeded");
    assert_eq!(cloud.input(&format!("{id}-redrive-2"))["redrive"]["round"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_called_as_a_resume_of_another_one_is_left_alone() {
    let cloud = Cloud::new(4).await;
    for name in ["q-resume-1", "q-redrive-12"] {
        cloud.run(&run_on_aws(&["--as", name])).ended(2).says(&format!("`{name}` cannot name a run on AWS")).says("`q`");
    }
    cloud.aws.state().failing.insert(1, "Image.Truncated");
    cloud.stopped_after(2, &run_on_aws(&["--as", "q"]));
    for name in ["q-resume-1", "q-redrive-1"] {
        cloud.aws.begin(name, json!({}));
    }
    let told = cloud.run(&["status", "q"]).ended(0).out;
    assert!(told.starts_with("q  thumbs  STOPPED (by `fanfold stop`)"), "{told}");
    cloud.run(&["resume", "q"]).ended(1).says("4 items: 3 succeeded, 1 failed");
    assert_eq!(cloud.input("q-resume-2")["resume"], json!({ "run": "q" }));
    cloud.aws.state().failing.clear();
    cloud.run(&["redrive", "q"]).ended(0).says("4 items: 4 succeeded");
    assert_eq!(cloud.input("q-redrive-2")["redrive"]["run"], "q");
    let arn = format!("{}:q-resume-1", crate::aws_server::EXECUTION);
    assert!(cloud.run(&["status", &arn]).ended(0).out.starts_with("q-resume-1  thumbs  RUNNING"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_never_gone_on_with_in_other_batches() {
    let cloud = Cloud::new(7).await;
    cloud.aws.state().failing.insert(0, "Image.Truncated");
    let id = cloud.stopped_after(3, &run_on_aws(&[]));
    let was = cloud.aws.state().machine.clone();
    cloud.aws.state().machine["States"]["Map"]["ItemBatcher"]["MaxItemsPerBatch"] = 20.into();
    let refused = cloud.run(&["resume", &id]).ended(2).says("what is deployed now reads or cuts the items of run");
    refused.says("`ItemBatcher` of the state `Map` differs; hint: deploy it with `items` and `batch` as they were");
    assert_eq!(cloud.started(), 1);
    cloud.aws.state().machine = was;
    cloud.run(&["resume", &id]).ended(1);
    // A redrive has batches of its own.
    cloud.aws.state().machine["States"]["Map"]["ItemBatcher"]["MaxItemsPerBatch"] = 20.into();
    cloud.stopped_after(0, &["redrive", &id]);
    cloud.aws.state().failing.clear();
    cloud.run(&["resume", &id]).ended(0).says("7 items: 7 succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_never_gone_on_with_over_another_file() {
    let cloud = Cloud::new(4).await;
    let flow = "fanfold: 1\nname: thumbs\nparams: { source: { type: path, default: \"s3://bucket/lists/photos.jsonl\" } }\n\
                items: { jsonl: { source: \"{{ params.source }}\" } }\njob: { image_resize: { width: 64, destination: s3://thumbs/ } }\n";
    cloud.stage.write("thumbs.yaml", flow);
    cloud.deploy(flow);
    cloud.aws.s3.put("lists/photos.jsonl", "{\"Key\":\"0.jpg\"}\n");
    let id = cloud.stopped_after(2, &run_on_aws(&[]));
    cloud.aws.s3.put("lists/photos.jsonl", "{\"Key\":\"new.jpg\"}\n{\"Key\":\"0.jpg\"}\n");
    let refused = cloud.run(&["resume", &id]).ended(4);
    refused.says("`s3://bucket/lists/photos.jsonl` has changed since the run began: it had 16 bytes, now it has 34");
    cloud.aws.s3.put("lists/photos.jsonl", "{\"Key\":\"1.jpg\"}\n");
    cloud.run(&["resume", &id]).ended(4).says("its bytes are others; hint: put the file back as it was");
    assert_eq!(cloud.started(), 1);
    cloud.aws.s3.put("lists/photos.jsonl", "{\"Key\":\"0.jpg\"}\n");
    cloud.run(&["resume", &id]).ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_started_where_nothing_is_pending() {
    let cloud = Cloud::new(4).await;
    cloud.aws.state().failing.insert(1, "Image.Truncated");
    let id = cloud.run(&run_on_aws(&[])).ended(1).out.trim().to_string();
    let done = cloud.run(&["resume", &id]).ended(1).says(&format!("nothing of run {id} is pending; nothing to do"));
    done.says("4 items: 3 succeeded, 1 failed");
    cloud.run(&["redrive", &id, "--batch", "0"]).ended(2).says("a batch has at least 1; hint: `--batch 1`");
    assert_eq!(cloud.started(), 1);
    // A worker that was still at it when the gate judged.
    let line = json!({ "index": 1, "key": "1.jpg", "status": "succeeded", "attempts": 1 });
    cloud.aws.s3.put(&format!("thumbs/{id}/batches/0000/0000000000/9999999999999-late-0000.jsonl"), format!("{line}\n"));
    let hint = format!("hint: fanfold resume {id} has it judged again");
    cloud.run(&["redrive", &id]).ended(2).says("workers ended after it was judged").says(&hint);
    cloud.aws.state().failing.clear();
    cloud.run(&["resume", &id]).ended(0).says("4 items: 4 succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_an_item_and_no_sign_of_pruning() {
    let cloud = Cloud::new(4).await;
    cloud.aws.state().items[1] = json!(null);
    cloud.aws.state().failing.insert(1, "Item.Invalid");
    let id = cloud.run(&run_on_aws(&[])).ended(1).out.trim().to_string();
    cloud.run(&["redrive", &id]).ended(1).says("1 item to redrive");
    cloud.run(&["prune", &id]).ended(0);
    cloud.run(&["redrive", &id]).ended(2).says("the data of run").says("were removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_name_everything_that_was_deployed() {
    let cloud = Cloud::new(2).await;
    let text = cloud.stage.read("thumbs.yaml");
    let deployment = json!({ "workflow": text, "params": { "source": "s3://photos/2026/" } }).to_string();
    cloud.aws.s3.put("thumbs/deployments/d0/deployment.json", deployment);
    let other = cloud.run(&run_on_aws(&["-p", "destination=s3://other/"])).ended(2);
    let other = other.says("the roles on AWS were made for another value of `destination`: buckets and prefixes are bound");
    other.says("hint: fanfold deploy thumbs.yaml -p source=s3://photos/2026/ -p destination=s3://other/");
    cloud.stage.write("thumbs.yaml", text.replace("128", "96"));
    cloud.run(&run_on_aws(&[])).ended(2).says("hint: fanfold deploy thumbs.yaml -p source=s3://photos/2026/");
    cloud.stage.write("thumbs.yaml", text);
    // Nobody was handed the last items.
    let id = cloud.stopped_after(0, &run_on_aws(&[]));
    cloud.run(&["results", &id, "--pending"]).ended(0).says("0 items of it were handed to workers so far, 2 to nobody yet");
    cloud.aws.state().broken = Some(("States.Runtime", "no bucket"));
    let broken = cloud.run(&run_on_aws(&["--as", "x"])).ended(4);
    broken.says("params that the machine cannot read stay as they are in a resume: start a new execution");
}
