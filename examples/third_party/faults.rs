//! [`Rules`]: which requests are treated badly, and how.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A way of treating a request badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The connection is closed, and nothing happened.
    DropBefore,
    /// It happens, and the connection is closed in place of an answer.
    DropAfter,
    /// The connection is closed, and it happens `ms` later.
    LateEffect,
    /// Nothing happens for `ms`, then it does and is answered.
    DelayBefore,
    /// It happens, and is answered `ms` later.
    DelayAfter,
    /// 429.
    Throttle,
    /// `status`, 503 if none is given, and nothing happened.
    ErrorBefore,
    /// It happens, and is answered by `status`, 500 if none is given.
    ErrorAfter,
    /// It happens; the body of the answer takes `ms`.
    Slow,
    /// It happens; the body of the answer never ends.
    Endless,
    /// It happens; the body of the answer is shorter than its Content-Length.
    Truncated,
    /// It happens; the body of the answer is 256 MiB of blanks, as gzip.
    GzipBomb,
    /// It happens; the body of the answer is not UTF-8.
    BadUtf8,
    /// It happens; the body of the answer is a page.
    NotJson,
    /// Pages go round in a circle.
    LoopingCursor,
}

/// What a 429 says of how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Retry-After in seconds
    Seconds,
    /// Retry-After as an HTTP date
    Date,
    /// Nothing
    None,
}

/// Requests that are treated badly.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which: `POST /invoices`, `GET /invoices/{id}` or `*`.
    #[serde(default = "every")]
    pub route: String,
    pub fault: Fault,
    /// The share of them, 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// So many are let by first.
    #[serde(default)]
    pub skip: u64,
    /// At most so many.
    #[serde(default = "without_end")]
    pub times: u64,
    #[serde(default = "one_second")]
    pub ms: u64,
    pub status: Option<u16>,
    pub retry_after: Option<RetryAfter>,
    /// What a 429 asks for.
    #[serde(default = "one")]
    pub seconds: u64,
}

/// All rules, with a draw of their own each: whether one of them strikes does not depend on the others.
#[derive(Debug, Default)]
pub struct Rules(Vec<(Rule, fastrand::Rng)>);

impl Rules {
    pub fn new(rules: Vec<Rule>, seed: u64) -> Self {
        let draw = |number: usize| fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number as u64);
        Self(rules.into_iter().enumerate().map(|(number, rule)| (rule, draw(number))).collect())
    }

    pub fn all(&self) -> Vec<&Rule> {
        self.0.iter().map(|(rule, _)| rule).collect()
    }

    /// The rule that strikes this request, if one does. `route` is such as `GET /invoices/{id}`.
    pub fn strike(&mut self, route: &str) -> Option<Rule> {
        for (rule, draw) in &mut self.0 {
            if rule.route != "*" && rule.route != route {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 && draw.f64() < rule.probability {
                rule.times -= 1;
                return Some(rule.clone());
            }
        }
        None
    }
}

fn every() -> String {
    "*".to_string()
}

fn always() -> f64 {
    1.0
}

fn without_end() -> u64 {
    u64::MAX
}

fn one_second() -> u64 {
    1000
}

fn one() -> u64 {
    1
}
