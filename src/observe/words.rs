//! Numbers and runs in words, the same wherever they are shown.

use std::time::Duration;

use super::out::shown;
use crate::event::{Event, Executions, Waiting};
use crate::lane::{Calls, Lanes};
use crate::outcome::{Counts, ItemStatus, Outcome};
use crate::rate::Rates;
use crate::report::Report;
pub(crate) use crate::units::count;
use crate::units::write_rate;

/// `1 item`, `2 items`
pub(crate) fn items(n: u64) -> String {
    if n == 1 { "1 item".to_string() } else { format!("{} items", count(n)) }
}

/// `1 batch`, `2 batches`
pub(crate) fn batches(n: u64) -> String {
    if n == 1 { "1 batch".to_string() } else { format!("{} batches", count(n)) }
}

/// `1 lane`, `2 lanes`
fn lanes(n: u64) -> String {
    if n == 1 { "1 lane".to_string() } else { format!("{} lanes", count(n)) }
}

/// ``1,000 items in 100 lanes, the longest has 57 (`c17`)``, or `1,000 items in 10 batches` where the order does not matter.
pub(crate) fn list(total: u64, in_batches: u64, in_lanes: Option<&Lanes>) -> String {
    let Some(plan) = in_lanes else { return format!("{} in {}", items(total), batches(in_batches)) };
    let ordered = format!("{} in {}", items(total - plan.without), lanes(plan.lanes));
    let longest = match plan.lanes {
        0 => String::new(),
        _ => format!(", the longest has {} (`{}`)", count(plan.longest), shown(&plan.longest_key)),
    };
    let without = match plan.without {
        0 => String::new(),
        n => format!("; {} in no lane", items(n)),
    };
    format!("{ordered}{longest}{without}")
}

/// `about 3,000 calls, at 50/s 60 s or more; the longest lane is 171 calls one after another`
pub(crate) fn calls(calls: &Calls) -> String {
    let number = |n: u64| if n == 1 { "1 call".to_string() } else { format!("{} calls", count(n)) };
    let time = calls.limit.map_or(String::new(), |limit| {
        let least = Duration::try_from_secs_f64(calls.total as f64 / limit).unwrap_or(Duration::MAX);
        format!(", at {} {} or more", crate::units::write_rate(limit), duration(least))
    });
    let longest = match calls.longest_lane {
        0 => String::new(),
        n => format!("; the longest lane is {} one after another", number(n)),
    };
    format!("about {}{time}{longest}", number(calls.total))
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `8,038 succeeded, 50 failed`: the states that there are.
pub(crate) fn describe(counts: &Counts) -> String {
    let parts: Vec<String> = ItemStatus::ALL
        .into_iter()
        .filter(|status| counts.of(*status) > 0)
        .map(|status| format!("{} {status}", count(counts.of(status))))
        .collect();
    if parts.is_empty() { "none".to_string() } else { parts.join(", ") }
}

/// `5,000 of 8,088 items, 50 of 81 executions, 1 of them failed`: how far a map run is.
pub(crate) fn far(counts: &Counts, children: &Executions) -> String {
    let failed = match children.failed + children.timed_out + children.aborted {
        0 => String::new(),
        failed => format!(", {} of them failed", count(failed)),
    };
    let executions = if children.total == 1 { "execution" } else { "executions" };
    let ended = count(children.ended());
    format!("{} of {}, {ended} of {} {executions}{failed}", count(counts.ended()), items(counts.total), count(children.total))
}

/// One line that adds up: `8,088 items: 8,038 succeeded, 50 failed; 81 batches, 8,088 tries, 8.2 s (986 items/s)`.
pub(crate) fn summary(report: &Report) -> String {
    let batches = report.lanes.as_ref().map_or_else(|| batches(report.batches), |plan| lanes(plan.lanes));
    let tries = if report.attempts == 1 { "1 try".to_string() } else { format!("{} tries", count(report.attempts)) };
    let seconds = report.elapsed.as_secs_f64();
    let ended = report.items.ended();
    let speed =
        if seconds > 0.0 && ended > 0 { format!(" ({} items/s)", count((ended as f64 / seconds) as u64)) } else { String::new() };
    format!("{}: {}; {batches}, {tries}, {}{speed}", items(report.items.total), describe(&report.items), duration(report.elapsed))
}

/// `failed: cats/7.jpg: Image.Truncated: … (1 try)`
pub(super) fn item_line(event: &Event) -> Option<String> {
    let Event::Item { key, outcome, attempts } = event else { return None };
    let failure = match outcome {
        Outcome::Failed(failure) | Outcome::Unknown(failure) => failure,
        _ => return None,
    };
    let tries = if *attempts > 1 { format!(" ({attempts} tries)") } else { String::new() };
    Some(format!("{}: {}: {}{tries}", outcome.status(), shown(&key.to_string()), shown(&failure.to_string())))
}

/// `at most 20/s to a host, 5/s to api.example.com`; nothing without a rate.
pub(crate) fn rate_words(rates: &Rates) -> Option<String> {
    let general = rates.limit.map(|limit| format!("{} to a host", write_rate(limit)));
    let own = rates.hosts.iter().map(|(host, rate)| format!("{} to {}", write_rate(rate.limit), shown(host)));
    let parts: Vec<String> = general.into_iter().chain(own).collect();
    (!parts.is_empty()).then(|| format!("at most {}", parts.join(", ")))
}

/// `api.example.com: away for 40 s (connection refused), 64 items wait; tried again in 8 s`
pub(super) fn waiting(waiting: &Waiting) -> String {
    let Waiting { host, why, away, lasted, left, calls, over } = waiting;
    let (host, why) = (shown(host), shown(why));
    match (over, away) {
        (true, true) => format!("{host}: back after {}", duration(*lasted)),
        (true, false) => format!("{host}: goes on after a pause of {}", duration(*lasted)),
        (false, _) => {
            let wait = if *calls == 1 { "waits" } else { "wait" };
            let items = items(*calls);
            let again = if left.is_zero() { "tried now".to_string() } else { format!("tried again in {}", duration(*left)) };
            if *away {
                format!("{host}: away for {} ({why}), {items} {wait}; {again}", duration(*lasted))
            } else {
                format!("{host}: paused {} ({why}), {items} {wait}", duration(*left))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_told_in_one_line() {
        let told = |away, over, left, calls| {
            let (host, lasted, left) = ("api.example.com".into(), Duration::from_secs(40), Duration::from_secs(left));
            let why = if away { "connection refused" } else { "429, Retry-After" }.to_string();
            waiting(&Waiting { host, why, away, lasted, left, calls, over })
        };
        assert_eq!(told(false, false, 12, 3120), "api.example.com: paused 12 s (429, Retry-After), 3,120 items wait");
        let line = "api.example.com: away for 40 s (connection refused), 64 items wait; tried again in 8.0 s";
        assert_eq!(told(true, false, 8, 64), line);
        assert_eq!(told(true, false, 0, 1), "api.example.com: away for 40 s (connection refused), 1 item waits; tried now");
        assert_eq!(told(true, true, 0, 0), "api.example.com: back after 40 s");
        assert_eq!(told(false, true, 0, 0), "api.example.com: goes on after a pause of 40 s");
    }

    #[test]
    fn numbers_are_grouped_and_times_have_their_unit() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(duration(Duration::from_millis(8249)), "8.2 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(7500)), "2 h 5 min");
        assert_eq!(items(1), "1 item");
    }
}
