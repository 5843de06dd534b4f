//! [`Retry`]: when and how often an item is tried again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When and how often to try again. The fields mean what they mean in a retrier of Step Functions.
///
/// With the defaults the waits are drawn from 0–500 ms, 0–1 s, 0–2 s, 0–4 s and 0–8 s: at most 6 tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The longest first wait. Default 500ms.
    #[serde(with = "crate::units::duration")]
    #[schemars(with = "crate::units::DurationText")]
    pub initial_interval: Duration,
    /// How often to try *again*: 5 means at most 6 tries. Default 5; 0 never tries again.
    #[schemars(range(max = 1000))]
    pub max_retries: u32,
    /// What each wait is multiplied by to give the next one. At least 1; default 2.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub backoff_rate: f64,
    /// No wait is longer. Default 30s.
    #[serde(with = "crate::units::duration")]
    #[schemars(with = "crate::units::DurationText")]
    pub max_interval: Duration,
    /// Whether each wait is drawn between 0 and its length (`full`) or is exactly its length (`none`). Default full.
    pub jitter: Jitter,
}

/// How a wait is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// Drawn evenly between 0 and its length.
    Full,
    /// Exactly its length.
    None,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_millis(500),
            max_retries: 5,
            backoff_rate: 2.0,
            max_interval: Duration::from_secs(30),
            jitter: Jitter::Full,
        }
    }
}
