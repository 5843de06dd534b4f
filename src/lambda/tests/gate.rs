//! The gate over a bucket that is a folder.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::bucket::{BatchName, HandedItem, OutcomeLine, REPORT, RunBucket, RunReport, added_name, items_name, part_name};
use crate::lambda::{Gate, Verdict};
use crate::outcome::{Failure, ItemStatus, Outcome, RunStatus, Tolerance};
use crate::storage::{Location, Storages};

/// A run's files.
struct Stage {
    _folder: TempDir,
    storages: Storages,
    bucket: RunBucket,
}

fn succeeded() -> Outcome {
    Outcome::Succeeded(Value::Null)
}

fn failed(error: &str) -> Outcome {
    Outcome::Failed(Failure::new(error, "why"))
}

impl Stage {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let storages = Storages::new("gate");
        let bucket = RunBucket::at(&storages, &Location::Folder(folder.path().to_path_buf())).await.unwrap();
        bucket.put("begun", "").await.unwrap();
        Self { _folder: folder, storages, bucket }
    }

    /// Hands out items of a batch.
    async fn hand(&self, round: u32, indexes: &[u64]) {
        let item = |index: &u64| HandedItem { index: *index, key: Some(format!("k{index}")), value: json!({ "n": index }) };
        let items: Vec<HandedItem> = indexes.iter().map(item).collect();
        let name = format!("{}{}", BatchName { round, first: indexes[0] }.folder(), items_name(items.len()));
        self.bucket.put(&name, HandedItem::write_all(&items)).await.unwrap();
    }

    /// A worker of the batch that begins with `first` writes these outcomes.
    async fn tell(&self, round: u32, first: u64, at: i64, lines: Vec<OutcomeLine>) {
        let mut file = Vec::new();
        lines.iter().for_each(|line| line.write(&mut file));
        let name = format!("{}{}", BatchName { round, first }.folder(), part_name(at, "request", 0));
        self.bucket.put(&name, file).await.unwrap();
    }

    fn gate(&self) -> Gate<'_> {
        Gate {
            storages: &self.storages,
            bucket: &self.bucket,
            workflow: "w",
            run: "r",
            round: 0,
            tolerance: Tolerance::Count(0),
            named_keys: true,
            key: &|item| format!("k{}", item.index),
            until: Instant::now() + Duration::from_secs(600),
            now_ms: 7,
        }
    }

    async fn report(&self) -> RunReport {
        self.bucket.find_json(REPORT).await.unwrap().unwrap()
    }

    async fn failed(&self) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        for name in self.report().await.failed {
            let lines = OutcomeLine::read(&self.bucket.get(&name).await.unwrap(), &name).unwrap();
            all.extend(lines.into_iter().map(|line| (line.index, line.error.unwrap_or_default())));
        }
        all
    }
}

fn line(index: u64, outcome: &Outcome) -> OutcomeLine {
    OutcomeLine::new(index, format!("k{index}"), outcome, 1)
}

async fn verdict(gate: Gate<'_>) -> &'static str {
    match gate.judge(&Value::Null, None).await.unwrap() {
        Verdict::Judged { verdict, .. } => verdict,
        Verdict::Rest { .. } => "rest",
    }
}

#[tokio::test]
async fn items_decide_and_what_has_no_outcome_is_pending() {
    let stage = Stage::new().await;
    stage.hand(0, &[0, 1, 2]).await;
    stage.tell(0, 0, 1, vec![line(0, &succeeded()), line(1, &failed("Image.Truncated"))]).await;
    stage.hand(0, &[3, 4]).await;
    stage.tell(0, 3, 1, vec![line(3, &Outcome::Skipped("where".into())), line(4, &succeeded())]).await;
    assert_eq!(verdict(stage.gate()).await, "stopped");
    let report = stage.report().await;
    let items = report.items;
    assert_eq!((items.total, items.succeeded, items.failed, items.skipped, items.pending), (5, 2, 1, 1, 1));
    assert_eq!((report.status, report.batches, report.attempts, report.ended_ms), (RunStatus::Stopped, 2, 4, 7));
    assert_eq!(report.summary(), "5 items: 2 succeeded, 1 skipped, 1 failed, 1 pending; tolerated: 0");

    stage.tell(0, 0, 2, vec![line(2, &succeeded())]).await;
    assert_eq!(verdict(stage.gate()).await, "failed");
    assert_eq!(stage.failed().await, [(1, "Image.Truncated".to_string())]);
    assert_eq!(verdict(Gate { tolerance: Tolerance::Percent(20.0), ..stage.gate() }).await, "succeeded");
    assert_eq!(stage.report().await.errors, [("Image.Truncated".to_string(), 1)].into());
}

#[tokio::test]
async fn a_later_round_counts_and_what_it_has_not_done_is_pending() {
    let stage = Stage::new().await;
    stage.hand(0, &[0, 1, 2]).await;
    stage.tell(0, 0, 1, vec![line(0, &succeeded()), line(1, &failed("A")), line(2, &failed("B"))]).await;
    stage.hand(1, &[1, 2]).await;
    stage.tell(1, 1, 1, vec![line(1, &succeeded())]).await;
    assert_eq!(verdict(Gate { round: 1, ..stage.gate() }).await, "stopped");
    let items = stage.report().await.items;
    assert_eq!((items.total, items.succeeded, items.failed, items.pending), (3, 2, 0, 1));
    stage.tell(1, 1, 2, vec![line(2, &failed("C"))]).await;
    stage.hand(2, &[2]).await;
    stage.tell(2, 2, 1, vec![line(2, &succeeded())]).await;
    assert_eq!(verdict(Gate { round: 2, ..stage.gate() }).await, "succeeded");
    assert_eq!(stage.report().await.attempts, 6, "all tries of all rounds");
    assert_eq!(stage.failed().await, []);
}

#[tokio::test]
async fn the_later_one_of_two_of_one_key_or_one_destination_is_refused() {
    let stage = Stage::new().await;
    stage.hand(0, &[0, 1, 2]).await;
    let to = |index, to: &str| OutcomeLine { to: Some(to.into()), ..line(index, &succeeded()) };
    stage.tell(0, 0, 1, vec![to(0, "s3://t/a"), to(1, "s3://t/b"), to(2, "s3://t/a")]).await;
    stage.hand(0, &[3, 4, 5]).await;
    let called = |index, key: &str, outcome: &Outcome| OutcomeLine::new(index, key.into(), outcome, 1);
    let skipped = Outcome::Skipped("where".into());
    stage.tell(0, 3, 1, vec![called(3, "k1", &succeeded()), called(4, "k4", &skipped), called(5, "k4", &failed("D"))]).await;
    assert_eq!(verdict(stage.gate()).await, "failed");
    let refused = |index: u64| (index, "Item.Duplicate".to_string());
    assert_eq!(stage.failed().await, [(5, "D".to_string()), refused(2), refused(3)]);
    let items = stage.report().await.items;
    assert_eq!((items.total, items.succeeded, items.failed, items.skipped), (6, 2, 3, 1));
    let added = stage.bucket.added(0).await.unwrap();
    assert_eq!(added[&2].cause.as_deref(), Some("item 0 was written to the same place: `s3://t/a`"));
    assert_eq!(added[&3].cause.as_deref(), Some("item 1 is called the same: `k1`"));
    // Addresses are not looked at: no two objects have one.
    assert_eq!(verdict(Gate { named_keys: false, ..stage.gate() }).await, "failed");
    assert_eq!(stage.bucket.added(0).await.unwrap().len(), 1, "{}", added_name(0));
}

#[tokio::test]
async fn batches_that_overlap_count_each_item_once() {
    let stage = Stage::new().await;
    stage.hand(0, &[0, 1, 2]).await;
    stage.tell(0, 0, 1, vec![line(0, &succeeded()), line(1, &failed("A")), line(2, &failed("B"))]).await;
    // Resumed with batches that were cut in another way.
    stage.hand(0, &[2, 3, 4]).await;
    stage.tell(0, 2, 2, vec![line(2, &succeeded()), line(4, &succeeded())]).await;
    stage.hand(0, &[4, 5]).await;
    stage.tell(0, 4, 3, vec![line(4, &failed("C")), line(5, &succeeded())]).await;
    stage.hand(0, &[6]).await;
    stage.tell(0, 6, 3, vec![line(6, &succeeded())]).await;
    assert_eq!(verdict(stage.gate()).await, "stopped");
    let report = stage.report().await;
    let items = report.items;
    assert_eq!((items.total, items.succeeded, items.failed, items.pending), (7, 5, 1, 1));
    assert_eq!((report.batches, report.attempts), (4, 8));
    assert_eq!(stage.failed().await, [(1, "A".to_string())]);
}

#[tokio::test]
async fn doubles_are_found_where_a_whole_batch_was_redriven_and_what_is_unknown_stays_so() {
    let stage = Stage::new().await;
    let to = |index, outcome: &Outcome| OutcomeLine { to: Some("s3://t/x".into()), ..line(index, outcome) };
    stage.hand(0, &[0]).await;
    stage.tell(0, 0, 1, vec![to(0, &succeeded())]).await;
    stage.hand(0, &[1]).await;
    stage.tell(0, 1, 1, vec![line(1, &failed("A"))]).await;
    stage.hand(0, &[2]).await;
    let unknown = Outcome::Unknown(Failure::new("Http.NoAnswer", "why"));
    stage.tell(0, 2, 1, vec![OutcomeLine { key: "k0".into(), ..line(2, &unknown) }]).await;
    stage.hand(1, &[1]).await;
    stage.tell(1, 1, 2, vec![to(1, &succeeded())]).await;
    // A resume of the first round judges the redrive as well.
    assert_eq!(verdict(stage.gate()).await, "failed");
    assert_eq!(stage.failed().await, [(2, "Http.NoAnswer".to_string()), (1, "Item.Duplicate".to_string())]);
    let report = stage.report().await;
    assert_eq!((report.round, report.items.unknown, report.items.failed), (1, 1, 1));
    assert_eq!(stage.bucket.added(1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_gate_without_time_goes_on_where_it_was() {
    let stage = Stage::new().await;
    for first in 0..5 {
        stage.hand(0, &[first]).await;
        let key = if first == 4 { "k0".to_string() } else { format!("k{first}") };
        let outcome = if first == 2 { failed("A") } else { succeeded() };
        stage.tell(0, first, 1, vec![OutcomeLine::new(first, key, &outcome, 1)]).await;
    }
    let (mut rest, mut asked) = (None, 0);
    let items = loop {
        asked += 1;
        let hurried = Gate { until: Instant::now(), ..stage.gate() };
        match hurried.judge(&Value::Null, rest.take()).await.unwrap() {
            // As it comes through the state machine.
            Verdict::Rest { rest: fold, summary } => {
                assert_eq!(summary, format!("{asked} items read, more to read"));
                rest = Some(serde_json::from_str(&serde_json::to_string(&fold).unwrap()).unwrap());
            }
            Verdict::Judged { items, .. } => break items,
        }
    };
    assert_eq!(asked, 6);
    assert_eq!((items.total, items.of(ItemStatus::Succeeded), items.failed), (5, 3, 2));
    let mut found = stage.failed().await;
    found.sort();
    assert_eq!(found, [(2, "A".to_string()), (4, "Item.Duplicate".to_string())]);
}

#[tokio::test]
async fn a_file_that_no_worker_wrote_is_named() {
    let stage = Stage::new().await;
    stage.hand(0, &[0]).await;
    let name = format!("{}{}", BatchName { round: 0, first: 0 }.folder(), part_name(1, "r", 0));
    stage.bucket.put(&name, "{\"index\":0").await.unwrap();
    let error = stage.gate().judge(&Value::Null, None).await.unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("is not what a worker wrote"), "{error}");
}

#[tokio::test]
async fn what_an_earlier_gate_wrote_is_read_whole_or_not_at_all() {
    for damaged in ["", "xyz", "\u{1}\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0half a claim"] {
        let stage = Stage::new().await;
        stage.hand(0, &[0]).await;
        stage.tell(0, 0, 1, vec![line(0, &succeeded())]).await;
        let hurried = Gate { until: Instant::now(), ..stage.gate() };
        let Verdict::Rest { rest, .. } = hurried.judge(&Value::Null, None).await.unwrap() else { panic!("no time") };
        stage.bucket.put("gate/0000/claims-0000", damaged).await.unwrap();
        let error = stage.gate().judge(&Value::Null, Some(*rest)).await.unwrap_err().to_string();
        assert!(error.contains("claims-0000` is not what a gate wrote"), "{damaged:?}: {error}");
    }
}
