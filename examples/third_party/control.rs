//! `/_control` and `/_log`: changes how the third party behaves, and tells what it saw.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use crate::desk::Desk;
use crate::faults::{RetryAfter, Rule, Rules};
use crate::now_ms;
use crate::options::Mode;
use crate::rate::Bucket;

/// What is not said stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// All rules; those before are gone.
    rules: Option<Vec<Rule>>,
    /// What the rules draw from.
    seed: Option<u64>,
    mode: Option<Mode>,
    /// 0 is for ever.
    key_ttl_ms: Option<u64>,
    /// 0 is no limit.
    rate: Option<f64>,
    retry_after: Option<RetryAfter>,
    refuse_disorder: Option<bool>,
    opens_after_ms: Option<u64>,
    outage: Option<Outage>,
    /// Forgets everything that was made, all keys and the log.
    #[serde(default)]
    reset: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outage {
    ms: u64,
    #[serde(default)]
    how: How,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// No connection is taken.
    #[default]
    Refuse,
    /// 503.
    Unavailable,
}

#[derive(Debug, Deserialize)]
struct From {
    #[serde(default)]
    from: usize,
}

pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route(
            "/_control",
            get(|Shared(desk): Shared<Arc<Desk>>| async move { Json(desk.state().shown()) }).post(
                |Shared(desk): Shared<Arc<Desk>>, change: Bytes| async move {
                    match serde_json::from_slice(&change) {
                        Ok(change) => (StatusCode::OK, Json(desk.change(change))).into_response(),
                        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
                    }
                },
            ),
        )
        .route(
            "/_log",
            get(|Shared(desk): Shared<Arc<Desk>>, Query(From { from }): Query<From>| async move {
                ([("content-type", "application/x-ndjson")], desk.state().log.from(from))
            }),
        )
}

impl Desk {
    fn change(&self, change: Change) -> Value {
        let mut state = self.state();
        if change.reset {
            state.store.forget();
            state.log.forget();
        }
        if let Some(seed) = change.seed {
            state.seed = seed;
        }
        if let Some(rules) = change.rules {
            state.rules = Rules::new(rules, state.seed);
        }
        if let Some(rate) = change.rate {
            match &mut state.bucket {
                _ if rate <= 0.0 => state.bucket = None,
                Some(bucket) => bucket.change(rate),
                none => *none = Some(Bucket::new(rate)),
            }
        }
        let settings = &mut state.settings;
        settings.mode = change.mode.unwrap_or(settings.mode);
        settings.retry_after = change.retry_after.unwrap_or(settings.retry_after);
        settings.refuse_disorder = change.refuse_disorder.unwrap_or(settings.refuse_disorder);
        settings.opens_after_ms = change.opens_after_ms.unwrap_or(settings.opens_after_ms);
        if let Some(ttl) = change.key_ttl_ms {
            settings.key_ttl_ms = Some(ttl).filter(|ttl| *ttl > 0);
        }
        match change.outage {
            Some(Outage { ms, how: How::Unavailable }) => state.unavailable_until_ms = now_ms() + ms,
            Some(Outage { ms, how: How::Refuse }) => {
                self.closed.send_replace(Duration::from_millis(ms));
            }
            None => {}
        }
        state.shown()
    }
}
