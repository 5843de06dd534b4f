//! Runs on AWS in a program that was built without it: there are none.

use std::io::Write;
use std::path::Path;

use super::Surroundings;
use crate::error::{Error, Result};
use crate::outcome::ItemStatus;
use crate::workflow::Workflow;

fn none<T>() -> Result<T> {
    Err(Error::refused("this program was built without AWS").hint("build it with the feature `aws`"))
}

pub(super) fn is_there(run: &str, _: &Surroundings) -> Result<bool> {
    Ok(run.starts_with("arn:"))
}

pub(super) fn newest(_: &Surroundings) -> Result<Option<(String, i64)>> {
    Ok(None)
}

pub(super) fn run(_: &Workflow, _: &Path, _: &[(String, String)], _: Option<&str>, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn resume(_: &str, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn redrive(_: &str, _: Option<u32>, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn status(_: &str, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn status_of_all(_: &Surroundings) -> Result<Vec<Error>> {
    Ok(Vec::new())
}

pub(super) fn follow_run(_: &str, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn results(_: &str, _: Option<&[ItemStatus]>, _: &mut dyn Write, _: &Surroundings) -> Result<()> {
    none()
}

pub(super) fn stop(_: &str, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn throttle(_: &str, _: Option<u32>, _: bool, _: &Surroundings) -> Result<u8> {
    none()
}

pub(super) fn prune(_: &str, _: &Surroundings) -> Result<u8> {
    none()
}
