//! The rules of `rate` and `outage` that a schema cannot say: which hosts, and how they are written.

use super::check::Finding;
use crate::rate::{Outage, Rates};

pub(super) fn check_rate(rates: &Rates) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rates.hosts.keys().filter_map(|host| check_host(host)).collect();
    if rates.burst.is_some() && rates.limit.is_none() {
        let detail = "calls that may come at once are part of a limit, and there is none";
        findings.push(Finding::new("rate.burst", detail).hint("add `limit: 50/s`, or remove `burst`"));
    }
    findings
}

/// A host is named as it is in a URL, and nothing else of the URL.
fn check_host(host: &str) -> Option<Finding> {
    let bare = host.split_once("://").map_or(host, |(_, rest)| rest);
    let authority = bare.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = split_port(authority.rsplit_once('@').map_or(authority, |(_, name)| name));
    let lowercase = name.to_ascii_lowercase();
    let wanted = match port {
        Some(port) => format!("write `{lowercase}:{port}`"),
        None => format!("write `{lowercase}`"),
    };
    let said = |path: &str, what: &str| Finding::new(path, format!("a host is a name such as `api.example.com`, {what}"));
    let wrong = |what: &str| said(&format!("rate.hosts.{host}"), what);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.chars().all(is_part),
    };
    if host.contains('@') {
        // What stands in front of the sign may be a password, so it is not repeated.
        Some(said("rate.hosts", "without a user and a password").hint(wanted))
    } else if host.contains('*') {
        Some(wrong("each in full: `*` stands for nothing"))
    } else if !is_host {
        Some(wrong("made of letters, digits, `.` and `-`"))
    } else if host.contains("://") {
        Some(wrong("without a scheme").hint(wanted))
    } else if host != authority {
        Some(wrong("without a path: its rate is that of all its paths").hint(wanted))
    } else if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        Some(wrong("or `api.example.com:8443` with a port from 1 to 65535"))
    } else if name != lowercase {
        Some(wrong("in lowercase").hint(wanted))
    } else {
        None
    }
}

/// `name` and `port` of `name:port`; an IPv6 address stands in brackets.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

pub(super) fn check_outage(outage: &Outage) -> Vec<Finding> {
    if !outage.give_up_after.is_zero() {
        return Vec::new();
    }
    let detail = "after 0 seconds the run would stop at the first connection that is refused";
    vec![Finding::new("outage.give_up_after", detail).hint("write `2h`, which is the default")]
}
