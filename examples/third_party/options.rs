//! [`Options`]: the command line, and what of it can be changed while it serves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use fanfold::units::{parse_duration, parse_rate};
use serde::{Deserialize, Serialize};

use crate::faults::RetryAfter;

/// A billing API on 127.0.0.1 to try ordered calls on: it makes customers, invoices and payments, knows a request again by its
/// Idempotency-Key if it is told to, keeps a rate, and misbehaves on demand. What arrived and what happened is in its own log.
///
/// With arguments behind `--` it serves and runs fanfold's command line in one process:
///
///   cargo run --release --example third_party -- -- run workflows/bill-customers.yaml
#[derive(Debug, Clone, Parser, Serialize, Deserialize)]
#[command(
    name = "third_party",
    max_term_width = 110,
    after_help = "\
It answers:
  PUT  /customers/{id}           makes or changes a customer; twice is as good as once
  POST /invoices                 makes an invoice: {\"customer\", \"cents\", \"after\", \"order\"}; `after` is the number of the
                                 customer's last invoice
  GET  /invoices/{id}            one invoice
  GET  /invoices?customer=&after=&order=   those that there are: {\"data\": [...]}
  GET  /orders?cursor=&limit=    pages of orders, the next one by `next` and by Link
  POST /payments                 makes a payment: {\"reference\", \"cents\"}; never known again, whatever key it has
  GET  /payments?reference=      those that there are
  POST /token                    a bearer token: OAuth2 client credentials, `fanfold` with the token of the API as its secret
  GET  /_log  /_control          what arrived and what happened; how it behaves
  POST /_control                 changes how it behaves, such as
    {\"seed\": 7, \"rules\": [{\"route\": \"POST /invoices\", \"fault\": \"drop_after\", \"probability\": 0.1}]}
    {\"outage\": {\"ms\": 5000, \"how\": \"refuse\"}}   or \"unavailable\", which is 503
    {\"mode\": \"draft\", \"key_ttl_ms\": 500, \"rate\": 20, \"retry_after\": \"date\", \"refuse_disorder\": true, \"reset\": true}
  Of a rule: fault drop_before drop_after late_effect delay_before delay_after throttle error_before error_after slow endless
  truncated gzip_bomb bad_utf8 not_json looping_cursor; skip: N, times: N, ms: N, status: N, retry_after: seconds date none"
)]
pub struct Options {
    /// The port; 0 takes a free one and prints the address [default: BILLING_PORT, else 9090]
    #[arg(long)]
    pub port: Option<u16>,
    /// When a request is known again by its Idempotency-Key
    #[arg(long, value_enum, default_value_t = Mode::StripeV1)]
    pub mode: Mode,
    /// How long a key is known, such as 500ms or 24h [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub key_ttl: Option<Duration>,
    /// Requests a second, such as 200/s; what is more gets 429 [default: no limit]
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// What a 429 says of how long to wait
    #[arg(long, value_enum, default_value_t = RetryAfter::Seconds)]
    pub retry_after: RetryAfter,
    /// How long after it was made an invoice is open; until then it is a draft
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0s")]
    pub opens_after: Duration,
    /// Refuse an invoice (422) whose `after` is not the number of the customer's last one; it is logged in any case
    #[arg(long)]
    pub refuse_disorder: bool,
    /// The bearer token that is asked for [default: BILLING_TOKEN, else test-token]
    #[arg(long)]
    pub token: Option<String>,
    /// Where customers, invoices, payments and keys are kept
    #[arg(long, value_name = "FILE", default_value = ".fanfold/third_party.db")]
    pub db: PathBuf,
    /// Forget everything that is kept there before serving
    #[arg(long)]
    pub fresh: bool,
    /// Append the log to this file as well, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// For benchmarks: nothing is kept in a file and nothing is logged
    #[arg(long)]
    pub quick: bool,
    /// Run fanfold with these arguments while serving, and end with its exit code
    #[arg(last = true, value_name = "FANFOLD ARGS")]
    #[serde(skip)]
    pub fanfold: Vec<String>,
}

/// When a request is known again by its Idempotency-Key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Never: every request is a new one
    None,
    /// The first answer is kept once the work began, also a 500; other parameters are refused with 400
    StripeV1,
    /// Only a success is kept; after an error the work is gone on with
    StripeV2,
    /// The IETF draft: 409 while the first one is worked on, 422 for other parameters
    Draft,
}

impl Options {
    pub fn port(&self) -> u16 {
        self.port.or_else(|| std::env::var("BILLING_PORT").ok()?.parse().ok()).unwrap_or(9090)
    }

    pub fn token(&self) -> String {
        let given = self.token.clone().or_else(|| std::env::var("BILLING_TOKEN").ok());
        given.filter(|token| !token.is_empty()).unwrap_or_else(|| "test-token".to_string())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s" | "0ms") { Ok(Duration::ZERO) } else { parse_duration(text) }
}
