//! The job on a stage: an item, secrets, and services that send every call once and remember its answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::HttpChain;
use crate::call::{Answer, NoAnswer};
use crate::expression::{Params, Scope};
use crate::item::{Item, ItemKey};
use crate::job::{Attempt, Call, ConfigError, Job, JobError, Kept, Sender, Sent, Services, Setup, StepPolicy, Within};
use crate::secrets::Secrets;
use crate::storage::Storages;

/// The secrets that the stage knows, by name.
pub const SECRETS: [(&str, &str); 3] = [("token", "s3cr3t-token/\"ü"), ("user", "ada-secret"), ("password", "p4ss:w0rd+x")];

pub fn setup() -> Setup {
    let secrets = SECRETS.map(|(name, value)| (name.to_string(), value.to_string()));
    Setup {
        workflow: "stage".into(),
        run: "run".into(),
        params: Arc::new(json!({})),
        source: None,
        storages: Storages::new("stage"),
        within: Within::default(),
        succeeded: 0,
        secrets: Arc::new(Secrets::new(BTreeMap::from(secrets))),
        wire: None,
        one_of_many: false,
    }
}

/// Makes the job; what cannot be is told as it is.
pub fn job(config: Value) -> Result<HttpChain, ConfigError> {
    let config = serde_json::from_value(config).expect("settings of their types");
    let within = Within { ordered: true, ..Within::default() };
    HttpChain::check(&config, &within)?;
    HttpChain::new(config, &setup())
}

/// Sends every call once, unless it is kept.
#[derive(Default)]
pub struct Once {
    pub kept: Mutex<HashMap<(String, u32), Arc<Answer>>>,
    /// What was described, asked for and heard.
    pub said: Mutex<Vec<String>>,
}

impl Once {
    fn say(&self, what: String) {
        self.said.lock().expect("not poisoned").push(what);
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("not poisoned").clone()
    }
}

impl Services for Once {
    fn step<'a>(
        &'a self,
        step: &'a str,
        call: u32,
        policy: &'a StepPolicy<'a>,
        sender: &'a dyn Sender,
    ) -> Sent<'a, Result<Arc<Answer>, JobError>> {
        Box::pin(async move {
            let known = self.kept.lock().expect("not poisoned").get(&(step.to_string(), call)).cloned();
            if let Some(known) = known.filter(|_| !policy.fresh) {
                return Ok(known);
            }
            let sending = Call { key: "the-key", number: 1 };
            self.say(format!("{step} {call}: {}", sender.describe(&sending)));
            let answer = loop {
                sender.prepare().await?;
                self.say(format!("turn {step}"));
                let answer = sender.send(sending).await.map_err(|none| match none {
                    NoAnswer::Surroundings(why) => JobError::surroundings(why),
                    other => JobError::permanent(format!("{other:?}")).named("Stage.NoAnswer"),
                })?;
                if !sender.is_refused(&answer) {
                    break answer;
                }
            };
            let answer = Arc::new(answer);
            self.kept.lock().expect("not poisoned").insert((step.to_string(), call), Arc::clone(&answer));
            Ok(answer)
        })
    }

    fn kept<'a>(&'a self, step: &'a str, call: u32, _: bool) -> Sent<'a, Result<Option<Kept>, JobError>> {
        let answer = self.kept.lock().expect("not poisoned").get(&(step.to_string(), call)).cloned();
        let sent = "POST http://sent.example/a?b=1 idempotency-key: k {}".into();
        Box::pin(std::future::ready(Ok(answer.map(|answer| Kept { sent, answer }))))
    }

    fn permit<'a>(&'a self, host: &'a str) -> Sent<'a, Result<(), JobError>> {
        self.say(format!("permit {host}"));
        Box::pin(std::future::ready(Ok(())))
    }

    fn pause<'a>(&'a self, wait: Duration) -> Sent<'a, Result<(), JobError>> {
        self.say(format!("pause {wait:?}"));
        Box::pin(std::future::ready(Ok(())))
    }

    fn heard(&self, host: &str, answer: &Result<Answer, NoAnswer>) {
        let heard = answer.as_ref().map(|answer| answer.status).map_err(|_| "nothing");
        self.say(format!("heard {heard:?} from {host}"));
    }
}

/// Runs one item.
pub async fn run(job: &HttpChain, services: &Once, item: Value) -> Result<Value, JobError> {
    run_with(job, services, item, &Value::Null, 0).await
}

/// The same with what the item before it gave, and how often it was redriven.
pub async fn run_with(job: &HttpChain, services: &Once, item: Value, previous: &Value, redrive: u32) -> Result<Value, JobError> {
    run_by(job, services, item, previous, redrive).await
}

/// The same by other services.
pub async fn run_by(
    job: &HttpChain,
    services: &dyn Services,
    item: Value,
    previous: &Value,
    redrive: u32,
) -> Result<Value, JobError> {
    let item = Item { index: 0, key: ItemKey::Name("one".to_string()), value: item };
    let params = Params::new(json!({}));
    let (never, cores) = (CancellationToken::new(), Arc::new(Semaphore::new(1)));
    let attempt = Attempt {
        number: 1,
        redrive,
        item: &item,
        scope: Scope::params(&params).with_item(&item.value),
        workflow: "stage",
        run: "run",
        deadline: None,
        cancelled: &never,
        cores: &cores,
        previous,
        services,
    };
    job.run(item.value.clone(), &attempt).await
}
