//! [`HttpChain`]: the job itself, made once and shared by everything that runs at once.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use url::Url;

use super::address;
use super::config::{Auth, HttpChainConfig};
use super::errors::ERRORS;
use super::headers::{Credentials, Wrong};
use super::network::{Network, NetworkSettings};
use super::redaction::Redaction;
use super::step::Step;
use super::steps::OncePer;
use super::token::Tokens;
use crate::call::NoAnswer;
use crate::expression::{Params, Scope, Template};
use crate::job::{Attempt, ConfigError, Fleet, Job, JobError, Repeat, Setup, Wire, Within, Work};
use crate::secrets::Secrets;

/// Calls a third party: for each item the same steps in their order.
pub struct HttpChain {
    pub(super) steps: Vec<Step>,
    pub(super) base: Option<Url>,
    pub(super) credentials: Credentials,
    pub(super) tokens: Option<Tokens>,
    pub(super) redaction: Redaction,
    pub(super) secrets: Arc<Secrets>,
    pub(super) redirects: u32,
    pub(super) output: Option<Template>,
    allow_http: bool,
    network: NetworkSettings,
    wire: OnceLock<Arc<dyn Wire>>,
}

impl HttpChain {
    /// What requests are sent by: made when it is needed first, and kept.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub(super) fn wire(&self) -> Result<&Arc<dyn Wire>, JobError> {
        if let Some(wire) = self.wire.get() {
            return Ok(wire);
        }
        let network: Arc<dyn Wire> = Arc::new(Network::new(&self.network)?);
        Ok(self.wire.get_or_init(|| network))
    }

    /// Whether secrets may be sent there.
    ///
    /// # Errors
    /// Everyone on the way could read them, and the workflow does not allow that.
    pub(super) fn may_carry_secrets(&self, url: &Url) -> Result<(), NoAnswer> {
        if url.scheme() == "http" && !self.allow_http && !address::is_loopback(url) {
            let host = url.host_str().unwrap_or_default();
            return Err(NoAnswer::Refused(format!("`http://{host}` would carry secrets over plain http to another machine")));
        }
        Ok(())
    }
}

impl Job for HttpChain {
    const NAME: &'static str = "http_chain";
    const REPEAT: Repeat = Repeat::Steps;
    const WORK: Work = Work::Io;
    const ERRORS: &'static [(&'static str, &'static str)] = ERRORS;

    type Config = HttpChainConfig;
    type Input = Value;
    type Output = Value;

    fn check(config: &Self::Config, within: &Within) -> Result<(), ConfigError> {
        config.check(within)
    }

    fn fleet(config: &Self::Config) -> Result<Fleet, ConfigError> {
        config.fleet()
    }

    fn new(config: Self::Config, setup: &Setup) -> Result<Self, ConfigError> {
        let params = Params::new(setup.params().clone());
        let scope = Scope::params(&params).with("secrets", setup.secrets.value());
        let wrong = |(setting, error): Wrong| ConfigError::new(setting, error.to_string());
        let base = match &config.base_url {
            Some(text) => Some(Url::parse(text).map_err(|error| ConfigError::new("base_url", error.to_string()))?),
            None => None,
        };
        let mut steps = Vec::with_capacity(config.steps.len());
        for (index, step) in config.steps.iter().enumerate() {
            let made = Step::new(&config, step, base.as_ref(), &scope);
            steps.extend(made.map_err(|(setting, error)| wrong((format!("steps[{index}].{setting}"), error)))?);
        }
        let tokens = match &config.auth {
            Some(Auth::Oauth2(oauth)) => Tokens::new(oauth, config.timeout, &scope).map_err(wrong)?,
            _ => None,
        };
        let wire = setup.wire.clone().map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self {
            steps,
            base,
            credentials: Credentials::new(&config, &scope).map_err(wrong)?,
            tokens,
            redaction: Redaction::new(&config.redact),
            secrets: Arc::clone(&setup.secrets),
            redirects: config.redirects,
            allow_http: config.allow_http,
            network: NetworkSettings { ca_file: config.ca_file, allow_link_local: config.allow_link_local },
            output: config.output,
            wire,
        })
    }

    async fn ready(&self) -> Result<(), JobError> {
        self.wire().map(drop)
    }

    fn preview(&self, _: &Value, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        self.first_request(scope)
    }

    fn steps(config: &Self::Config) -> Vec<(String, bool)> {
        let with_effect = config.steps.iter().filter(|step| !step.is_safe());
        with_effect.map(|step| (step.name.clone(), step.once_per == Some(OncePer::Lane))).collect()
    }

    fn calls(&self) -> u32 {
        self.certain_calls(false)
    }

    fn calls_per_lane(&self) -> u32 {
        self.certain_calls(true)
    }

    async fn run(&self, _: Value, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        self.chain(attempt).await
    }
}

impl fmt::Debug for HttpChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpChain").field("steps", &self.steps).finish_non_exhaustive()
    }
}
