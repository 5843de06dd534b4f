//! [`Rates`]: how fast others may be called; [`Outage`]: how long to wait for one that is away.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How fast one host may be called. Every call counts: retries, polls, pages, calls for a token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls in a time, such as `50/s`, `600/m` or `1000/h`: in any second no more than this and `burst`.
    #[serde(with = "crate::units::rate")]
    #[schemars(with = "crate::units::RateText")]
    pub limit: f64,
    /// Calls that may come at once after a pause. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub burst: u32,
}

/// How fast others may be called, each host for itself. Without a rate there is no limit but what the host itself says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Calls to one host in a time, such as `50/s`, `600/m` or `1000/h`: in any second no more than this and `burst`.
    #[serde(with = "crate::units::optional_rate")]
    #[schemars(with = "crate::units::RateText")]
    pub limit: Option<f64>,
    /// Calls that may come at once after a pause. Default 1.
    #[schemars(range(min = 1, max = 100_000), with = "u32")]
    pub burst: Option<u32>,
    /// Hosts that differ, by name (`api.example.com`, or `api.example.com:8443` for a port of its own).
    pub hosts: BTreeMap<String, Rate>,
}

impl Rates {
    /// The rate of a host, given as `name:port`.
    pub fn of(&self, host: &str) -> Option<Rate> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let own = self.hosts.get(host).or_else(|| self.hosts.get(name)).copied();
        own.or_else(|| self.limit.map(|limit| Rate { limit, burst: self.burst.unwrap_or(1) }))
    }
}

/// What happens while a host is away: it is asked again with growing pauses, one call at a time, and nothing fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outage {
    /// How long a host may be away before the run stops, resumable. Default 2h.
    #[serde(with = "crate::units::duration")]
    #[schemars(with = "crate::units::DurationText")]
    pub give_up_after: Duration,
}

impl Default for Outage {
    fn default() -> Self {
        Self { give_up_after: Duration::from_secs(7200) }
    }
}

fn one() -> u32 {
    1
}
