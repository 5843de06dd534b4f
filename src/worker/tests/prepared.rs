//! What a call needs is fetched before its turn is waited for, and its waits end with the run.

use super::*;

/// A script that needs something first, which takes this long and may not come.
struct Preparing {
    script: Script,
    takes: Duration,
    troubles: Mutex<Vec<JobError>>,
    refused: Mutex<Option<u16>>,
}

impl Preparing {
    fn new(script: Script, takes: Duration) -> Self {
        Self { script, takes, troubles: Mutex::default(), refused: Mutex::default() }
    }

    fn arrivals(&self) -> Vec<Duration> {
        self.script.arrivals.lock().unwrap().iter().map(|arrival| arrival.at).collect()
    }
}

impl Sender for Preparing {
    fn describe(&self, call: &Call<'_>) -> String {
        self.script.describe(call)
    }

    fn prepare<'a>(&'a self) -> Sent<'a, Result<(), JobError>> {
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            self.troubles.lock().unwrap().pop().map_or(Ok(()), Err)
        })
    }

    fn is_refused(&self, answer: &Answer) -> bool {
        self.refused.lock().unwrap().take_if(|refused| *refused == answer.status).is_some()
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Answer, NoAnswer>> {
        self.script.send(call)
    }

    fn probe<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Probed, NoAnswer>> {
        self.script.probe(call)
    }
}

const LONG: Duration = Duration::from_secs(2000);

#[tokio::test(start_paused = true)]
async fn what_takes_long_to_prepare_makes_no_turn_stale() {
    let bench = Bench::new();
    let sender = Preparing::new(bench.script(&[Line::Status(200)], Vec::new()), LONG);
    assert_eq!(status(&bench.step(&policy(KEYED), &sender).await), 200);
    assert_eq!(sender.arrivals().first().map(Duration::as_secs), Some(2000));
    assert_eq!(*bench.permits.told.lock().unwrap(), ["200"]);
    // A key that runs out meanwhile is seen.
    let bench = Bench::new();
    let sender = Preparing::new(bench.script(&[Line::Lost], Vec::new()), LONG);
    assert_eq!(error(&bench.step(&policy(KEYED), &sender).await), (JobErrorKind::Unknown, "Http.KeyExpired"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_is_prepared_and_nothing_is_sent() {
    let bench = Bench::new();
    let sender = Preparing::new(bench.script(&[], Vec::new()), LONG);
    let stop = bench.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    });
    assert_eq!(error(&bench.step(&policy(KEYED), &sender).await).0, JobErrorKind::Stopped);
    assert_eq!((sender.script.began.elapsed().as_secs(), sender.arrivals().len()), (5, 0));
    assert!(bench.permits.given.lock().unwrap().is_empty());
    // So does it a pause.
    let worker = bench.worker::<Idle>(None, json!({}));
    let item = ItemCalls::new(&worker, &bench.item, 0, None, &bench.desk);
    let services = TryCalls { item: &item, cancelled: &bench.cancelled };
    assert_eq!(services.pause(LONG).await.expect_err("the run stops").kind, JobErrorKind::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_prepared_is_retried_and_says_nothing_of_the_host() {
    let bench = Bench::new();
    let sender = Preparing::new(bench.script(&[Line::Status(200)], Vec::new()), Duration::ZERO);
    sender.troubles.lock().unwrap().push(JobError::transient("it answered 500"));
    assert_eq!(status(&bench.step(&policy(KEYED), &sender).await), 200);
    assert_eq!(*bench.permits.told.lock().unwrap(), ["200"]);
    // What was sent before may have happened.
    let bench = Bench::new();
    bench.die_after_start(&policy(KEYED)).await;
    let next = bench.again();
    let sender = Preparing::new(next.script(&[], Vec::new()), Duration::ZERO);
    *sender.troubles.lock().unwrap() = (0..4).map(|_| JobError::transient("it answered 500").named("Http.NoToken")).collect();
    assert_eq!(error(&next.step(&policy(KEYED), &sender).await), (JobErrorKind::Unknown, "Http.NoToken"));
    assert!(next.permits.told.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_prepared_and_is_refused_is_prepared_again() {
    let bench = Bench::new();
    let sender = Preparing::new(bench.script(&[Line::Status(401), Line::Status(200)], Vec::new()), Duration::ZERO);
    *sender.refused.lock().unwrap() = Some(401);
    assert_eq!(status(&bench.step(&policy(StepRepeat::Once), &sender).await), 200);
    assert_eq!(*bench.permits.told.lock().unwrap(), ["401", "200"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_got_a_new_turn_was_sent_when_that_came() {
    let bench = Bench::new();
    *bench.permits.stale.lock().unwrap() = 2;
    let script = bench.script(&[Line::Slow(LONG, 200)], Vec::new());
    let died = tokio::time::timeout(Duration::from_secs(1), bench.step(&policy(StepRepeat::Once), &script)).await;
    assert!(died.is_err());
    let row = bench.row().await;
    assert_eq!((row.state, row.last_ms - row.first_ms >= 99), (CallState::Started, true), "{row:?}");
}
