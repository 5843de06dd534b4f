//! `item_timeout` and panics: a call under way is never dropped half-way.

use super::*;
use crate::outcome::Outcome;

/// Makes one call that takes `takes_ms`, then does what `then` says.
struct Paying(Value, Arc<Mutex<Option<Script>>>);

static SCRIPTS: Mutex<Vec<Option<Script>>> = Mutex::new(Vec::new());

impl Job for Paying {
    const NAME: &'static str = "paying";
    const REPEAT: Repeat = Repeat::Steps;
    type Config = Value;
    type Input = Value;
    type Output = Value;

    fn new(config: Value, _: &Setup) -> Result<Self, ConfigError> {
        let script = SCRIPTS.lock().unwrap()[config["script"].as_u64().unwrap() as usize].take();
        Ok(Self(config, Arc::new(Mutex::new(script))))
    }

    async fn run(&self, _: Value, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        let script = self.1.lock().unwrap().take().expect("one try");
        let once = StepRepeat::Once;
        let repeat = if self.0["keyed"] == true { KEYED } else { once };
        let answer = attempt.step("pay", 0, &policy(repeat), &script).await?;
        match self.0["then"].as_str() {
            Some("hang") => std::future::pending().await,
            Some("panic") => panic!("a mistake"),
            _ => Ok(answer.status.into()),
        }
    }
}

async fn outcome(bench: &Bench, lines: &[Line], mut config: Value) -> Outcome {
    let number = {
        let mut scripts = SCRIPTS.lock().unwrap();
        scripts.push(Some(bench.script(lines, Vec::new())));
        scripts.len() - 1
    };
    config["script"] = number.into();
    let worker = bench.worker::<Paying>(Some(Duration::from_secs(5)), config);
    let ended = worker.attempts(&bench.item, 0, None, &bench.desk).await.expect("an outcome");
    ended.outcome
}

fn name(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(failure) | Outcome::Unknown(failure) => &failure.error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_when_the_time_is_up_comes_to_its_end() {
    let bench = Bench::new();
    let slow = [Line::Slow(Duration::from_secs(60), 201)];
    assert_eq!(outcome(&bench, &slow, json!({})).await, Outcome::Succeeded(json!(201)));
    let row = bench.row().await;
    assert_eq!((row.state, row.answer.unwrap().status), (CallState::Answered, 201));
    // Its answer is kept even if the job does not come to its end.
    let bench = Bench::new();
    let ended = outcome(&bench, &slow, json!({ "then": "hang" })).await;
    assert!(matches!(&ended, Outcome::Failed(_)) && name(&ended) == "Item.TimedOut", "{ended:?}");
    assert_eq!(bench.row().await.state, CallState::Answered);
}

#[tokio::test(start_paused = true)]
async fn the_time_ends_a_wait_and_what_may_have_happened_is_unknown() {
    let bench = Bench::new();
    let ended = outcome(&bench, &[Line::With(503, "retry-after", "60")], json!({ "keyed": true })).await;
    assert!(matches!(&ended, Outcome::Unknown(_)) && name(&ended) == "Item.TimedOut", "{ended:?}");
    let bench = Bench::new();
    let ended = outcome(&bench, &[Line::With(429, "retry-after", "60")], json!({ "keyed": true })).await;
    assert!(matches!(&ended, Outcome::Failed(_)) && name(&ended) == "Item.TimedOut", "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_the_answer_is_a_failure_and_in_the_middle_of_a_call_unknown() {
    let ended = outcome(&Bench::new(), &[Line::Status(201)], json!({ "then": "panic" })).await;
    assert!(matches!(&ended, Outcome::Failed(_)) && name(&ended) == "Job.Panicked", "{ended:?}");
    // The script that runs out panics in the middle.
    let bench = Bench::new();
    let ended = outcome(&bench, &[], json!({})).await;
    assert!(matches!(&ended, Outcome::Unknown(_)) && name(&ended) == "Job.Panicked", "{ended:?}");
    assert_eq!(*bench.permits.told.lock().unwrap(), ["silent"]);
}
