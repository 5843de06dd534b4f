//! What of a chain many workers can do that share no ledger, and what they cannot do yet.

use super::config::HttpChainConfig;
use super::steps::{OnUnknownConfig, StepConfig};
use crate::job::{ConfigError, Fleet};

impl HttpChainConfig {
    /// What the chain needs of others on AWS.
    ///
    /// # Errors
    /// Everything that needs a ledger of the whole fleet, or a file of this machine.
    pub(super) fn fleet(&self) -> Result<Fleet, ConfigError> {
        let mut wrong: Vec<ConfigError> =
            self.steps.iter().enumerate().flat_map(|(index, step)| step.refused(&format!("steps[{index}]"))).collect();
        if self.ca_file.is_some() {
            let error = ConfigError::new("ca_file", "a file of this machine, which the workers on AWS do not have");
            wrong.push(error.hint("remove it, or run it here: `fanfold run`"));
        }
        match wrong.into_iter().reduce(ConfigError::and) {
            Some(error) => Err(error),
            None => Ok(Fleet::default().calling(u32::try_from(self.steps.len()).unwrap_or(u32::MAX))),
        }
    }
}

impl StepConfig {
    fn refused(&self, path: &str) -> Vec<ConfigError> {
        let name = &self.name;
        let here = "run it here: `fanfold run`";
        let mut wrong = Vec::new();
        if self.once_per.is_some() {
            let detail = "lanes cannot be on AWS yet, so that nothing can be once for a lane";
            wrong.push(ConfigError::new(format!("{path}.once_per"), detail).hint(here));
        }
        let decides = match self.on_unknown {
            Some(OnUnknownConfig::Hold) => Some("hold"),
            Some(OnUnknownConfig::Probe) => Some("probe"),
            Some(OnUnknownConfig::RetrySameKey) | None => None,
        };
        if let Some(word) = decides {
            let detail = format!("`{word}` needs a ledger that all workers share, which there is not on AWS yet");
            wrong.push(ConfigError::new(format!("{path}.on_unknown"), detail).hint(here));
        }
        if self.probe.is_some() {
            let detail = "a probe needs a ledger that all workers share, which there is not on AWS yet";
            wrong.push(ConfigError::new(format!("{path}.probe"), detail).hint(here));
        }
        let repeatable = self.is_safe() || self.is_idempotent() || self.idempotency.is_some();
        if !repeatable && decides.is_none() && self.probe.is_none() {
            let method = self.request().map_or("request", |(_, method, _)| method);
            let detail = format!(
                "the {method} of `{name}` has an effect and no key; AWS may run a worker twice, and without a shared ledger it would be \
                 sent twice"
            );
            let error = ConfigError::new(path.to_string(), detail);
            wrong.push(
                error.hint("add `idempotency: { header: Idempotency-Key, ttl: 24h }` if the partner knows keys, or run it here"),
            );
        }
        wrong
    }
}
