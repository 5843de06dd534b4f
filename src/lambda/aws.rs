//! [`KeptSecrets`]: secrets from Secrets Manager and the parameter store, each asked for once.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata};
use tokio::sync::{Mutex, OnceCell};

use crate::error::Error;
use crate::scrub::SHORTEST;
use crate::secrets::{SecretSource, Secrets};

/// What the names of parameters begin with.
const PARAMETER: &str = "ssm:";

/// Secrets that were asked for, for as long as the process lives. They are in no log and no message.
#[derive(Default)]
pub(super) struct KeptSecrets {
    config: OnceCell<SdkConfig>,
    known: Mutex<BTreeMap<String, String>>,
}

impl KeptSecrets {
    /// Those of the `declared` secrets that are `used`.
    ///
    /// # Errors
    /// Every secret that is missing or cannot be one, each with where it is looked for.
    pub async fn resolve(&self, declared: &BTreeMap<String, SecretSource>, used: &BTreeSet<String>) -> Result<Secrets, Error> {
        let (mut values, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, source) in declared.iter().filter(|(name, _)| used.contains(*name)) {
            match self.value(name, source).await {
                Ok(value) => drop(values.insert(name.clone(), value)),
                Err(error) => errors.push(error),
            }
        }
        match Error::all(errors) {
            Some(error) => Err(error),
            None => Ok(Secrets::new(values)),
        }
    }

    async fn value(&self, name: &str, source: &SecretSource) -> Result<String, Error> {
        let Some(place) = &source.aws else {
            let error = Error::surroundings(format!("the secret `{name}` is kept on the machine of the one who runs it only"));
            return Err(error.hint(format!("`secrets.{name}.aws: NAME`")));
        };
        let mut known = self.known.lock().await;
        if let Some(value) = known.get(place) {
            return Ok(value.clone());
        }
        let wrong = |what: &str| Error::surroundings(format!("`{place}`, which holds the secret `{name}`, {what}"));
        let found = match place.strip_prefix(PARAMETER) {
            Some(parameter) => self.parameter(parameter).await,
            None => self.secret(place).await,
        };
        let value = match found.map_err(|why| wrong(&format!("cannot be read: {why}")))? {
            None => return Err(wrong("is binary")),
            Some(value) if value.len() < SHORTEST => {
                return Err(wrong(&format!("has fewer than {SHORTEST} bytes, so it could not be kept out of what is shown")));
            }
            Some(value) => value,
        };
        known.insert(place.clone(), value.clone());
        Ok(value)
    }

    async fn config(&self) -> &SdkConfig {
        self.config.get_or_init(|| aws_config::load_defaults(BehaviorVersion::v2026_01_12())).await
    }

    async fn secret(&self, id: &str) -> Result<Option<String>, String> {
        let client = aws_sdk_secretsmanager::Client::new(self.config().await);
        match client.get_secret_value().secret_id(id).send().await {
            Ok(answer) => Ok(answer.secret_string),
            Err(error) => Err(said(error.code(), error.message(), || DisplayErrorContext(&error).to_string())),
        }
    }

    async fn parameter(&self, name: &str) -> Result<Option<String>, String> {
        let client = aws_sdk_ssm::Client::new(self.config().await);
        match client.get_parameter().name(name).with_decryption(true).send().await {
            Ok(answer) => Ok(answer.parameter.and_then(|parameter| parameter.value)),
            Err(error) => Err(said(error.code(), error.message(), || DisplayErrorContext(&error).to_string())),
        }
    }
}

/// The error in AWS's words, or that there was no answer.
fn said(code: Option<&str>, message: Option<&str>, other: impl FnOnce() -> String) -> String {
    match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_string(),
        _ => other(),
    }
}

impl std::fmt::Debug for KeptSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptSecrets")
    }
}
