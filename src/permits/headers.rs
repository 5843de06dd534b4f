//! What a host says in its header fields about when it may be called again. A field that is not well formed says nothing.

use std::time::{Duration, SystemTime};

/// The longest that a host can make us wait; more is a mistake of its own.
const MOST: Duration = Duration::from_secs(86_400);

/// Resets above this are seconds since 1970, not seconds from now; above the second, milliseconds since 1970.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLIS: f64 = 1e12;

/// Header fields, names in lowercase.
pub(super) type Fields = [(String, String)];

/// How long `Retry-After` says, as seconds or as a date. `now` is for answers that do not tell when they were made.
pub(super) fn retry_after(fields: &Fields, now: SystemTime) -> Option<Duration> {
    values(fields, "retry-after").filter_map(|value| seconds(value).or_else(|| until(fields, value, now))).max().and_then(capped)
}

/// How long until an answer of 429 may be followed by the next call, as far as rate limit fields say it.
pub(super) fn reset(fields: &Fields, now: SystemTime) -> Option<Duration> {
    used_up(fields, now).or_else(|| quotas(fields, now).filter_map(|quota| capped(quota.reset)).min())
}

/// How long until the next call, if this answer was the last that the host would give for now.
pub(super) fn used_up(fields: &Fields, now: SystemTime) -> Option<Duration> {
    // Of several quotas that are used up the last to be given anew rules.
    quotas(fields, now).filter(|quota| quota.left == 0.0).map(|quota| quota.reset).max().and_then(capped)
}

/// What is left of a quota, and when it is given anew.
struct Quota {
    left: f64,
    reset: Duration,
}

fn quotas(fields: &Fields, now: SystemTime) -> impl Iterator<Item = Quota> {
    // Most answers have none of these fields, and all answers are looked at.
    let any = fields.iter().any(|(name, _)| name.contains("ratelimit") || name.starts_with("x-rate-limit"));
    let listed = any.then(|| values(fields, "ratelimit").flat_map(listed)).into_iter().flatten();
    let pairs = ["ratelimit", "x-ratelimit", "x-rate-limit"].into_iter().filter(move |_| any).filter_map(move |family| {
        let left = number(first(fields, &format!("{family}-remaining"))?)?;
        let reset = first(fields, &format!("{family}-reset"))?;
        let reset = number(reset).and_then(|reset| moment(fields, reset, now)).or_else(|| until(fields, reset, now))?;
        Some(Quota { left, reset })
    });
    listed.chain(pairs)
}

/// `"name";r=0;t=30, "other";r=5;t=1`, and in older drafts `limit=100, remaining=0, reset=30`.
fn listed(value: &str) -> Vec<Quota> {
    let members = split(value, ',');
    let mut quotas = Vec::new();
    let (mut left, mut reset) = (None, None);
    for member in &members {
        let mut params = split(member, ';').into_iter();
        let name = params.next().unwrap_or_default();
        match name.split_once('=') {
            Some(("remaining", value)) => left = number(value),
            Some(("reset", value)) => reset = seconds(value),
            Some(_) => {}
            None => {
                let (mut r, mut t) = (None, None);
                for param in params {
                    match param.split_once('=') {
                        Some(("r", value)) => r = number(value),
                        Some(("t", value)) => t = seconds(value),
                        _ => {}
                    }
                }
                quotas.extend(r.zip(t).map(|(left, reset)| Quota { left, reset }));
            }
        }
    }
    quotas.extend(left.zip(reset).map(|(left, reset)| Quota { left, reset }));
    quotas
}

/// Splits where the separator is not in quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .map(str::trim)
    .collect()
}

fn values<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.trim())
}

fn first<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    values(fields, name).next()
}

/// Digits, perhaps with a fraction: no sign, no exponent. A list gives its first element, without its parameters.
fn number(text: &str) -> Option<f64> {
    let text = text.split([',', ';']).next()?.trim();
    let fine = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if fine { text.parse().ok() } else { None }
}

fn seconds(text: &str) -> Option<Duration> {
    number(text).map(span)
}

fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.min(MOST.as_secs_f64()))
}

/// A number of seconds from now, or of seconds or milliseconds since 1970.
fn moment(fields: &Fields, reset: f64, now: SystemTime) -> Option<Duration> {
    let since_1970 = match reset {
        _ if reset < EPOCH_SECONDS => return Some(span(reset)),
        _ if reset < EPOCH_MILLIS => reset,
        _ => reset / 1000.0,
    };
    let base = made(fields, now).duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64();
    Some(span((since_1970 - base).max(0.0)))
}

/// The time until a date, counted from when the answer was made.
fn until(fields: &Fields, date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(made(fields, now)).unwrap_or_default())
}

/// When the answer was made by the clock of its maker: ours may be wrong.
fn made(fields: &Fields, now: SystemTime) -> SystemTime {
    first(fields, "date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now)
}

/// At most a day. None at all is no hint: who is told to come back at once would do so for ever.
fn capped(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then(|| wait.min(MOST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_784_728_800)
    }

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn secs(n: u64) -> Option<Duration> {
        Some(Duration::from_secs(n))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_clock_of_the_host() {
        let after = |value: &str| retry_after(&fields(&[("retry-after", value)]), now());
        assert_eq!(after("120"), secs(120));
        assert_eq!(after(" 1.5 "), Some(Duration::from_millis(1500)));
        assert_eq!(after("99999999999999999999"), secs(86_400));
        let in_a_minute = httpdate::fmt_http_date(now() + Duration::from_secs(60));
        assert_eq!(after(&in_a_minute), secs(60));
        // Its clock is an hour behind ours.
        let made = httpdate::fmt_http_date(now() - Duration::from_secs(3600));
        let date = httpdate::fmt_http_date(now() - Duration::from_secs(3590));
        assert_eq!(retry_after(&fields(&[("date", &made), ("retry-after", &date)]), now()), secs(10));
        for nothing in ["", "0", "-5", "soon", "1e3", "12 s", "0x10", ".5", "1.2.3", "Thu, 32 Foo 2026 00:00:00 GMT", &made] {
            assert_eq!(after(nothing), None, "{nothing:?}");
        }
        assert_eq!(retry_after(&fields(&[("retry-after", "x"), ("retry-after", "3")]), now()), secs(3));
    }

    #[test]
    fn rate_limit_fields_of_all_drafts_and_the_usual_ones_are_understood() {
        let up = |all: &[(&str, &str)]| used_up(&fields(all), now());
        assert_eq!(up(&[("ratelimit", r#""default";r=0;t=30"#)]), secs(30));
        assert_eq!(up(&[("ratelimit", r#""a;r=9,b";r=0;t=3, "daily";r=0;t=60, "x";r=5;t=900"#)]), secs(60));
        assert_eq!(up(&[("ratelimit", r#""default";r=50;t=30"#)]), None);
        assert_eq!(up(&[("ratelimit", "limit=100, remaining=0, reset=7")]), secs(7));
        assert_eq!(up(&[("ratelimit-limit", "10, 10;w=1"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "4")]), secs(4));
        assert_eq!(up(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "9")]), secs(9));
        assert_eq!(up(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1784728830")]), secs(30));
        assert_eq!(up(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1784728830000")]), secs(30));
        assert_eq!(up(&[("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1784728860")]), secs(60));
        assert_eq!(up(&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "9")]), None);
        assert_eq!(up(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1784728000")]), None);
        assert_eq!(up(&[("ratelimit", r#""default";r=;t=30"#), ("x-ratelimit-remaining", "0")]), None);
        // After a 429 the soonest is tried, if none says that it is used up.
        let all = fields(&[("ratelimit", r#""burst";r=1;t=2, "daily";r=900;t=80000"#)]);
        assert_eq!(reset(&all, now()), secs(2));
    }

    proptest! {
        #[test]
        fn whatever_is_said_it_is_at_most_a_day_and_never_nothing(
            all in proptest::collection::vec(
                ("(date|retry-after|ratelimit|ratelimit-(remaining|reset)|x-ratelimit-(remaining|reset))",
                 "([0-9]{0,22}|[ -~]{0,40}|\"[a-z]*\";r=[0-9]{0,3};t=[0-9.]{0,12}|[A-Z][a-z]{2}, [0-9]{2} (Nov|Dec) [0-9]{4} 1[0-9]:00:00 GMT)"),
                0..6),
        ) {
            for wait in [retry_after(&all, now()), reset(&all, now()), used_up(&all, now())].into_iter().flatten() {
                prop_assert!(wait > Duration::ZERO && wait <= MOST);
            }
        }

        #[test]
        fn seconds_are_what_they_say(n in 1u64..86_400, junk in "[a-z;]{1,5}") {
            prop_assert_eq!(retry_after(&fields(&[("retry-after", &n.to_string())]), now()), secs(n));
            prop_assert_eq!(retry_after(&fields(&[("retry-after", &format!("{junk}{n}"))]), now()), None);
        }
    }
}
