//! The job `http_chain`: calls a third party, step by step.

mod address;
mod check;
mod check_names;
mod check_step;
mod config;
mod job;
mod steps;
mod url_text;

pub use config::{Auth, BasicAuth, HeaderAuth, HttpChainConfig, OAuth2, Statuses};
pub use job::HttpChain;
pub use steps::{Idempotency, LinkRelation, OnUnknownConfig, OncePer, Paginate, Poll, Probe, StepConfig};
pub use url_text::UrlText;
