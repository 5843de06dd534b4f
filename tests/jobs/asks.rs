//! A job that asks for the permit of a call and tells what its item says became of it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use fanfold::{Answer, Attempt, ConfigError, Job, JobError, NoAnswer, Setup};
use schemars::JsonSchema;
use serde::Deserialize;

/// Calls a host that is not there: permits are real, calls are not.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AsksConfig {
    /// The log: `call ID`, one line for each call.
    log: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
pub struct AsksItem {
    /// What it is called in the log.
    id: String,
    /// What is answered, one for each call: a status, or 0 for a host that cannot be reached. It calls until the answer is 200.
    answers: Vec<u16>,
    /// `Retry-After` of the answers but 200.
    retry_after: Option<String>,
}

pub struct Asks(AsksConfig);

impl Job for Asks {
    const NAME: &'static str = "asks";
    type Config = AsksConfig;
    type Input = AsksItem;
    type Output = ();

    fn new(config: AsksConfig, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self(config))
    }

    async fn run(&self, item: AsksItem, attempt: &Attempt<'_>) -> Result<(), JobError> {
        const HOST: &str = "api.example.com:443";
        for answer in item.answers.into_iter().chain(std::iter::repeat(200)) {
            attempt.permit(HOST).await?;
            let mut file = OpenOptions::new().append(true).create(true).open(&self.0.log).map_err(JobError::permanent)?;
            // In one piece: others write at the same time.
            file.write_all(format!("call {}\n", item.id).as_bytes()).map_err(JobError::permanent)?;
            let retry_after = item.retry_after.iter().filter(|_| answer != 200);
            let headers = retry_after.map(|wait| ("retry-after".to_string(), wait.clone())).collect();
            let answered = match answer {
                0 => Err(NoAnswer::NotSent("connection refused".into())),
                status => Ok(Answer { status, headers, body: Default::default() }),
            };
            attempt.heard(HOST, &answered);
            if answer == 200 {
                break;
            }
        }
        Ok(())
    }
}
