//! Whether a workflow fits into the quotas of an account, asked before anything is made.

use super::clients::Clients;
use super::trouble::trouble;
use crate::error::{Error, Result};
use crate::workflow::{Settings, Workflow};

/// The quota of functions that run at once in an account and region.
const CONCURRENT: &str = "L-B99A9384";

/// How many of them Lambda leaves to functions that have none reserved (AWS Lambda quotas, checked 2026-10-07; hard).
const UNRESERVED: u32 = 100;

/// Holds a workflow against the quotas. What is given back is for people: what could not be asked.
///
/// # Errors
/// What does not fit, at its place, with what would.
pub(super) async fn fits(clients: &Clients, workflow: &Workflow, settings: &Settings) -> Result<Option<String>> {
    let asked = clients.quotas.get_service_quota().service_code("lambda").quota_code(CONCURRENT).send().await;
    let quota = match asked {
        Ok(answer) => answer.quota.and_then(|quota| quota.value),
        Err(error) => {
            let error = trouble("the quotas of the account cannot be read", &error);
            return Ok(Some(format!("{}; how many functions may run at once ({CONCURRENT}) was not checked", error.detail())));
        }
    };
    let Some(quota) = quota.map(|quota| quota as u32) else { return Ok(None) };
    match misfit(quota, settings) {
        Some((detail, hint)) => Err(Error::refused(detail).at(Some(workflow.place_of("max_concurrency"))).hint(hint)),
        None => Ok(None),
    }
}

/// What does not fit, and what to do about it.
fn misfit(quota: u32, settings: &Settings) -> Option<(String, String)> {
    let wanted = settings.max_concurrency;
    let reserved = !settings.rate.is_empty();
    let most = if reserved { quota.saturating_sub(UNRESERVED) } else { quota };
    if wanted <= most {
        return None;
    }
    let why = if reserved {
        format!(
            "with a `rate` they are kept for this workflow alone, and {UNRESERVED} of the {quota} functions that may run at once have to be left"
        )
    } else {
        format!("at most {quota} functions may run at once in this account and region: the others would be throttled")
    };
    let more = format!("more by Service Quotas, Lambda, {CONCURRENT}");
    let hint = if most == 0 { more } else { format!("`max_concurrency: {most}`, or {more}") };
    Some((format!("`max_concurrency: {wanted}` does not fit into the quotas: {why}"), hint))
}

/// US dollars for a GB-second of a worker in us-east-1, x86_64 and arm64 (AWS Lambda pricing, checked 2026-10-07).
const GB_SECOND: [f64; 2] = [0.000_016_666_7, 0.000_013_333_4];

/// What a rate costs where each child has its share of it: mostly waiting. `None` without a rate.
pub(super) fn idle(settings: &Settings) -> Option<String> {
    let hosts = settings.rate.hosts.values().map(|rate| rate.limit);
    let slowest = hosts.chain(settings.rate.limit).reduce(f64::min)?;
    let children = f64::from(settings.max_concurrency);
    let wait = children / slowest;
    let prices = GB_SECOND[usize::from(settings.aws.architecture == crate::workflow::Architecture::Arm64)];
    let price = 1000.0 * wait * (settings.aws.memory_mib() as f64 / 1024.0) * prices;
    Some(format!(
        "each of {} children has its share of {}: it waits {wait:.1} s for each call, and 1,000 calls cost about ${price:.4} of \
         workers' time, most of it waiting; fewer children or less `aws.memory` make it cheaper",
        crate::units::count(settings.max_concurrency.into()),
        crate::units::write_rate(slowest)
    ))
}
