//! The job `http_chain`: calls a third party, step by step.

mod address;
mod chain;
mod check;
mod check_names;
mod check_step;
mod config;
mod errors;
mod fault;
mod fleet;
mod headers;
mod job;
mod json;
mod link;
mod network;
mod outgoing;
mod pages;
mod preview;
mod redaction;
mod request;
mod seen;
mod step;
mod steps;
mod token;
mod url_text;

pub use config::{Auth, BasicAuth, HeaderAuth, HttpChainConfig, OAuth2, Statuses};
pub use job::HttpChain;
pub use steps::{Idempotency, LinkRelation, OnUnknownConfig, OncePer, Paginate, Poll, Probe, StepConfig};
pub use url_text::UrlText;

#[cfg(test)]
mod tests;
