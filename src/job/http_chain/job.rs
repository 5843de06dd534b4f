//! [`HttpChain`]: the job itself.

use serde_json::Value;

use super::config::HttpChainConfig;
use crate::job::{Attempt, ConfigError, Job, JobError, Repeat, Setup, Within, Work};

/// Calls a third party: for each item the same steps in their order.
#[derive(Debug)]
pub struct HttpChain {
    #[allow(dead_code, reason = "its steps come with the next commit")]
    config: HttpChainConfig,
}

impl Job for HttpChain {
    const NAME: &'static str = "http_chain";
    const REPEAT: Repeat = Repeat::Steps;
    const WORK: Work = Work::Io;

    type Config = HttpChainConfig;
    type Input = Value;
    type Output = Value;

    fn check(config: &Self::Config, within: &Within) -> Result<(), ConfigError> {
        config.check(within)
    }

    fn new(config: Self::Config, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self { config })
    }

    async fn run(&self, _: Value, _: &Attempt<'_>) -> Result<Value, JobError> {
        Err(JobError::stopped("the steps come with the next commit"))
    }
}
