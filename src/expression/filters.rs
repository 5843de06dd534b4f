//! The filters and tests of expressions. All of them are pure: the same value in, the same value out, on every machine.

use minijinja::value::{Rest, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, filters, tests};
use sha2::{Digest, Sha256};
use time::{Date, Month, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::decimal::Decimal;

/// What may stand behind a `|`.
pub(super) const FILTERS: &[&str] = &[
    "abs", "basename", "cents", "date", "decimal", "default", "ext", "first", "int", "join", "last", "length", "lower", "max",
    "min", "replace", "round", "sha256", "sort", "split", "stem", "string", "sum", "trim", "unique", "upper",
];

/// What may stand behind an `is`.
pub(super) const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "float",
    "in",
    "integer",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "undefined",
];

/// How much one evaluation may do, in instructions.
const FUEL: u64 = 50_000;

pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    env.add_filter("abs", filters::abs);
    env.add_filter("first", filters::first);
    env.add_filter("last", filters::last);
    env.add_filter("length", filters::length);
    env.add_filter("max", filters::max);
    env.add_filter("min", filters::min);
    env.add_filter("round", filters::round);
    env.add_filter("sort", filters::sort);
    env.add_filter("sum", filters::sum);
    env.add_filter("unique", filters::unique);
    env.add_filter("basename", |value: &Jinja| Ok::<_, Error>(basename(&text(value)?).to_string()));
    env.add_filter("cents", |value: &Jinja| {
        let text = text(value)?;
        Decimal::parse(&text).and_then(|decimal| decimal.cents(&text)).map_err(wrong)
    });
    env.add_filter("date", date);
    env.add_filter("decimal", decimal);
    env.add_filter("default", default);
    env.add_filter("ext", |value: &Jinja| Ok::<_, Error>(split_name(basename(&text(value)?)).1.to_string()));
    env.add_filter("int", int);
    env.add_filter("join", join);
    env.add_filter("lower", |value: &Jinja| Ok::<_, Error>(text(value)?.to_lowercase()));
    env.add_filter("replace", |value: &Jinja, from: &str, to: &str| Ok::<_, Error>(text(value)?.replace(from, to)));
    env.add_filter("sha256", sha256);
    env.add_filter("split", split);
    env.add_filter("stem", |value: &Jinja| Ok::<_, Error>(split_name(basename(&text(value)?)).0.to_string()));
    env.add_filter("string", |value: &Jinja| text(value));
    env.add_filter("trim", |value: &Jinja| Ok::<_, Error>(text(value)?.trim().to_string()));
    env.add_filter("upper", |value: &Jinja| Ok::<_, Error>(text(value)?.to_uppercase()));
    env.add_test("boolean", tests::is_boolean);
    env.add_test("defined", tests::is_defined);
    env.add_test("divisibleby", tests::is_divisibleby);
    env.add_test("endingwith", tests::is_endingwith);
    env.add_test("even", tests::is_even);
    env.add_test("float", tests::is_float);
    env.add_test("in", tests::is_in);
    env.add_test("integer", tests::is_integer);
    env.add_test("mapping", tests::is_mapping);
    env.add_test("none", tests::is_none);
    env.add_test("number", tests::is_number);
    env.add_test("odd", tests::is_odd);
    env.add_test("sequence", tests::is_sequence);
    env.add_test("startingwith", tests::is_startingwith);
    env.add_test("string", tests::is_string);
    env.add_test("undefined", tests::is_undefined);
    env
}

pub(super) fn wrong(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// A value as text, in JSON's spellings: `true`, `null`, `[1,2]`; a text is itself.
fn text(value: &Jinja) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    match value.as_str() {
        Some(text) => Ok(text.to_string()),
        None => serde_json::to_string(value).map_err(|error| wrong(error.to_string())),
    }
}

fn default(value: &Jinja, other: Jinja) -> Jinja {
    if value.is_undefined() || value.is_none() { other } else { value.clone() }
}

fn int(value: &Jinja) -> Result<Jinja, Error> {
    let text = text(value)?;
    let whole = Decimal::parse(text.trim()).map_err(|_| wrong(format!("`{text}` is not an integer")))?;
    let whole = whole.with_places(0).ok_or_else(|| wrong(format!("`{text}` is not an integer, it has a fraction")))?.to_string();
    match (whole.parse::<i64>(), whole.parse::<u64>()) {
        (Ok(number), _) => Ok(Jinja::from(number)),
        (_, Ok(number)) => Ok(Jinja::from(number)),
        _ => Err(wrong(format!("`{text}` is too large for an integer, at most {}", u64::MAX))),
    }
}

/// The number as text, exactly; with an argument, with so many digits behind the point.
fn decimal(value: &Jinja, places: Option<usize>) -> Result<String, Error> {
    let text = text(value)?;
    let decimal = Decimal::parse(text.trim()).map_err(wrong)?;
    match places {
        None => Ok(decimal.to_string()),
        Some(places) if places > 100 => Err(wrong(format!("{places} digits behind the point are too many, at most 100"))),
        Some(places) => match decimal.with_places(places) {
            Some(decimal) => Ok(decimal.to_string()),
            None => Err(wrong(format!("`{text}` has more than {places} digits behind the point"))),
        },
    }
}

fn sha256(value: &Jinja) -> Result<String, Error> {
    use std::fmt::Write;
    let digest = Sha256::digest(text(value)?.as_bytes());
    Ok(digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

fn join(value: &Jinja, separator: Option<&str>) -> Result<String, Error> {
    let parts = value.try_iter()?.map(|part| text(&part)).collect::<Result<Vec<_>, _>>()?;
    Ok(parts.join(separator.unwrap_or_default()))
}

fn split(value: &Jinja, separator: Option<&str>) -> Result<Vec<String>, Error> {
    let text = text(value)?;
    match separator {
        Some("") => Err(wrong("`split` needs a separator that is not empty")),
        Some(separator) => Ok(text.split(separator).map(str::to_string).collect()),
        None => Ok(text.split_whitespace().map(str::to_string).collect()),
    }
}

/// A date, or the UTC date of a time, as `2026-11-23`. The argument says how the text is written: `DD.MM.YYYY`.
fn date(value: &Jinja, written: Rest<String>) -> Result<String, Error> {
    let text = text(value)?;
    let date = match written.as_slice() {
        [] => {
            let time = OffsetDateTime::parse(&text, &Rfc3339).ok().and_then(|time| time.checked_to_offset(UtcOffset::UTC));
            time.map(OffsetDateTime::date).or_else(|| read_date(&text, "YYYY-MM-DD"))
        }
        [pattern] => {
            if ["YYYY", "MM", "DD"].iter().any(|part| pattern.matches(part).count() != 1) {
                return Err(wrong(format!("`{pattern}` does not say how a date is written: expected YYYY, MM and DD once each")));
            }
            read_date(&text, pattern)
        }
        _ => return Err(wrong("`date` takes one argument, how the date is written")),
    };
    let pattern = written.first().map_or("YYYY-MM-DD", String::as_str);
    let date = date.ok_or_else(|| wrong(format!("`{text}` is not a date: expected `{pattern}`")))?;
    Ok(format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day()))
}

/// Reads a date written as `pattern` says: YYYY, MM and DD are digits, everything else is itself.
pub(crate) fn read_date(text: &str, pattern: &str) -> Option<Date> {
    let (mut year, mut month, mut day) = (None, None, None);
    let (mut text, mut pattern) = (text, pattern);
    while let Some(sign) = pattern.chars().next() {
        let (slot, part) = match pattern {
            p if p.starts_with("YYYY") => (&mut year, "YYYY"),
            p if p.starts_with("MM") => (&mut month, "MM"),
            p if p.starts_with("DD") => (&mut day, "DD"),
            _ => {
                text = text.strip_prefix(sign)?;
                pattern = &pattern[sign.len_utf8()..];
                continue;
            }
        };
        let digits = text.get(..part.len()).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        *slot = digits.parse::<u16>().ok();
        text = &text[part.len()..];
        pattern = &pattern[part.len()..];
    }
    let month = Month::try_from(u8::try_from(month?).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year?), month, u8::try_from(day?).ok()?).ok()?;
    text.is_empty().then_some(date)
}

/// What stands behind the last `/`.
fn basename(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// A file name as stem and extension, without the point between. A name that only begins with a point has no extension.
fn split_name(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(point) if point > 0 => (&name[..point], &name[point + 1..]),
        _ => (name, ""),
    }
}
