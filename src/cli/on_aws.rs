//! What the verbs do with runs on AWS, in one place: `without_aws.rs` stands here in programs that were built without.

pub(super) use super::aws_look::{follow_run, prune, results, status, status_of_all, stop, throttle};
pub(super) use super::aws_run::{is_there, newest, redrive, resume, run};
