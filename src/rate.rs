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
    #[serde(with = "crate::units::optional_rate", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "crate::units::RateText")]
    pub limit: Option<f64>,
    /// Calls that may come at once after a pause. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), with = "u32")]
    pub burst: Option<u32>,
    /// Hosts that differ, by name (`api.example.com`, or `api.example.com:8443` for a port of its own).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Rate>,
}

impl Rates {
    /// The rate of a host, given as `name:port`.
    pub fn of(&self, host: &str) -> Option<Rate> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let own = self.hosts.get(host).or_else(|| self.hosts.get(name)).copied();
        own.or_else(|| self.limit.map(|limit| Rate { limit, burst: self.burst.unwrap_or(1) }))
    }

    /// These, with other limits in place of some. Bursts stay.
    pub(crate) fn with(&self, asked: &AskedRates) -> Self {
        let mut rates = self.clone();
        rates.limit = asked.limit.map(|limit| limit.0).or(rates.limit);
        for (host, limit) in &asked.hosts {
            let burst = self.of(host).map_or(self.burst.unwrap_or(1), |rate| rate.burst);
            rates.hosts.insert(host.clone(), Rate { limit: limit.0, burst });
        }
        rates
    }

    /// What each of so many has of them, if nobody may have more than its share. A burst is shared as well: each has at least one call.
    pub(crate) fn share(&self, of: u32) -> Self {
        let of = of.max(1);
        let share = |rate: Rate| Rate { limit: rate.limit / f64::from(of), burst: (rate.burst / of).max(1) };
        let hosts = self.hosts.iter().map(|(host, rate)| (host.clone(), share(*rate))).collect();
        let (limit, burst) = (self.limit.map(|limit| limit / f64::from(of)), self.burst.map(|burst| (burst / of).max(1)));
        Self { limit, burst, hosts }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.limit.is_none() && self.hosts.is_empty()
    }
}

/// Limits that were asked for while a run went on, by `fanfold throttle --rate`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AskedRates {
    /// That of all hosts which have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    /// Those of single hosts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    hosts: BTreeMap<String, Limit>,
}

/// Calls a second, written as `50/s`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Limit(#[serde(with = "crate::units::rate")] f64);

impl AskedRates {
    /// Asks for a limit of one host or of all that have none of their own; `None` takes back what was asked.
    pub fn ask(&mut self, host: Option<&str>, limit: Option<f64>) {
        match (host, limit.map(Limit)) {
            (None, limit) => self.limit = limit,
            (Some(host), Some(limit)) => drop(self.hosts.insert(host.to_ascii_lowercase(), limit)),
            (Some(host), None) => drop(self.hosts.remove(&host.to_ascii_lowercase())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_were_written() {
        let own = [("own.example.com".to_string(), Rate { limit: 5.0, burst: 9 })].into();
        for rates in [Rates::default(), Rates { limit: Some(50.0), burst: Some(3), hosts: own }] {
            let json = serde_json::to_string(&rates).unwrap();
            assert_eq!(serde_json::from_str::<Rates>(&json).unwrap(), rates, "{json}");
        }
    }

    #[test]
    fn what_is_asked_for_stands_in_place_of_the_workflows_limit_until_it_is_taken_back() {
        let own = [("own.example.com".to_string(), Rate { limit: 5.0, burst: 9 })].into();
        let said = Rates { limit: Some(50.0), burst: Some(3), hosts: own };
        let rate = |rates: &Rates, host| rates.of(host).map(|rate| (rate.limit, rate.burst));
        let mut asked = AskedRates::default();
        assert_eq!(said.with(&asked), said);
        asked.ask(None, Some(20.0));
        asked.ask(Some("A.example.com:8443"), Some(100.0));
        let json = serde_json::to_string(&asked).unwrap();
        assert_eq!(json, r#"{"limit":"20/s","hosts":{"a.example.com:8443":"100/s"}}"#);
        let rates = said.with(&serde_json::from_str(&json).unwrap());
        assert_eq!(rate(&rates, "a.example.com:443"), Some((20.0, 3)));
        assert_eq!(rate(&rates, "a.example.com:8443"), Some((100.0, 3)));
        assert_eq!(rate(&rates, "own.example.com:443"), Some((5.0, 9)));
        asked.ask(Some("own.example.com"), Some(7.0));
        assert_eq!(rate(&said.with(&asked), "own.example.com:443"), Some((7.0, 9)));
        for host in [None, Some("a.example.com:8443"), Some("own.example.com")] {
            asked.ask(host, None);
        }
        assert_eq!(said.with(&asked), said);
    }

    #[test]
    fn all_shares_together_are_the_rate() {
        let own = [("own.example.com".to_string(), Rate { limit: 5.0, burst: 9 })].into();
        let share = Rates { limit: Some(50.0), burst: Some(3), hosts: own }.share(4);
        let own = [("own.example.com".to_string(), Rate { limit: 1.25, burst: 2 })].into();
        assert_eq!(share, Rates { limit: Some(12.5), burst: Some(1), hosts: own });
        assert_eq!(Rates::default().share(100), Rates::default());
    }

    #[test]
    fn rates_come_back_as_they_were_kept() {
        for rates in [Rates::default(), Rates { limit: Some(0.5), burst: Some(3), ..Rates::default() }] {
            let kept = serde_json::to_string(&rates).unwrap();
            assert_eq!(serde_json::from_str::<Rates>(&kept).unwrap(), rates, "{kept}");
        }
    }
}
