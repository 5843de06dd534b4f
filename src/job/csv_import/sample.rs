//! The columns of a workflow that `fanfold new` writes: guessed from a sample of the items, or taken from the live table.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::database::Database;
use super::decimal::{Decimal38, NumberFormat};
use super::kind::Kind;
use super::layout::LiveColumn;
use super::moment::TimeFormat;
use super::read::Reader;
use super::target::Driver;
use crate::job::{ConfigError, JobError};

/// The longest name that a column gets, in bytes: PostgreSQL cuts off what is behind 63.
const NAME_BYTES: usize = 56;

/// Digits from which on a number is more likely a name, such as a telephone's.
const NAME_DIGITS: usize = 10;

/// The columns of a live table; none if there is no such table.
///
/// # Errors
/// The database cannot be reached.
pub(crate) async fn live_columns(database: &str, schema: Option<&str>, table: &str) -> Result<Vec<LiveColumn>, JobError> {
    async fn look<D: Driver>(driver: D, schema: Option<&str>, table: &str) -> Result<Vec<LiveColumn>, JobError> {
        let driver = Arc::new(driver);
        let mut connection = driver.connect().await?;
        Ok(driver.look(&mut connection, schema, table).await?)
    }
    let refused = |error: ConfigError| JobError::surroundings(error.detail);
    match Database::parse(database).map_err(refused)? {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(path) if !path.exists() => Ok(Vec::new()),
        #[cfg(feature = "sqlite")]
        Database::Sqlite(path) => look(super::sqlite::Sqlite::new(path), schema, table).await,
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => look(super::postgres::Postgres::new(&url, 1)?, schema, table).await,
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        _ => Err(JobError::surroundings("this program was built without this kind of database")),
    }
}

/// A line of YAML for every column of the items, the kinds guessed so that nothing is lost: what might be a name stays a text.
pub(crate) fn columns_of_items(items: &[Value]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut line_of = |name| {
        let column = free_name(&column_name(name), &taken);
        taken.insert(column.clone());
        line(&column, name, &guess(items, name))
    };
    names(items).into_iter().map(&mut line_of).collect()
}

/// A line of YAML for every column of the live table that takes a value.
pub(crate) fn columns_of_table(live: &[LiveColumn], items: &[Value]) -> Vec<String> {
    let names = names(items);
    let column = |live: &LiveColumn| {
        let called = |name: &&&str| column_name(name) == column_name(&live.name);
        let found = names.iter().find(|name| **name == live.name).or_else(|| names.iter().find(called)).copied();
        let mut settings = vec![format!("type: {}", live.kind.word())];
        settings.extend(live.of.map(|of| format!("of: {}", of.word())));
        if !live.values.is_empty() {
            settings.push(format!("values: {}", Value::from(live.values.clone())));
        }
        let guessed = found.map(|name| guess(items, name)).unwrap_or_default();
        settings.extend(guessed.into_iter().filter(|setting| setting.starts_with("format: ") && guessed_for(live.kind, setting)));
        match found {
            Some(name) => line(&live.name, name, &settings),
            None if live.not_null && !live.filled => {
                format!(
                    "{}  # {}, which nothing in the items is called like",
                    line(&live.name, &live.name, &settings),
                    live.shown
                )
            }
            None => format!(
                "# {}  # {}, which nothing in the items is called like",
                line(&live.name, &live.name, &settings),
                live.shown
            ),
        }
    };
    live.iter().filter(|live| !live.computed).map(column).collect()
}

/// A format of dates helps no number.
fn guessed_for(kind: Kind, format: &str) -> bool {
    let of_dates = format.contains("YYYY");
    match kind {
        Kind::Date | Kind::Timestamp => of_dates,
        Kind::Decimal | Kind::Float | Kind::Integer => !of_dates,
        _ => false,
    }
}

/// Every name that an item has, in the order in which they come first.
fn names(items: &[Value]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let all = items.iter().filter_map(Value::as_object).flat_map(|map| map.keys()).map(String::as_str);
    all.filter(|name| seen.insert(*name)).collect()
}

/// A name that no other column has: of two names that differ only in what a column cannot have both are columns.
fn free_name(name: &str, taken: &HashSet<String>) -> String {
    let name = &name[..name.floor_char_boundary(NAME_BYTES)];
    let mut names = std::iter::once(name.to_string()).chain((2..).map(|number| format!("{name}_{number}")));
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

/// `Order No.` as `order_no`.
fn column_name(name: &str) -> String {
    let mut column = String::new();
    for sign in name.chars() {
        match sign {
            sign if sign.is_alphanumeric() => column.extend(sign.to_lowercase()),
            _ if !column.is_empty() && !column.ends_with('_') => column.push('_'),
            _ => {}
        }
    }
    let column = column.trim_end_matches('_').to_string();
    if column.is_empty() { "column".to_string() } else { column }
}

fn line(column: &str, from: &str, settings: &[String]) -> String {
    let mut settings = settings.to_vec();
    if column != from {
        settings.insert(1, format!("column: {}", Value::from(from)));
    }
    let plain = |text: &str| {
        let word = matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
        text.starts_with(|sign: char| sign.is_ascii_alphabetic())
            && text.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
            && !word
    };
    let column = if plain(column) { column.to_string() } else { Value::from(column).to_string() };
    match settings.as_slice() {
        [only] => format!("{column}: {}", only.trim_start_matches("type: ")),
        several => format!("{column}: {{ {} }}", several.join(", ")),
    }
}

/// The settings of a column, the type first.
fn guess(items: &[Value], name: &str) -> Vec<String> {
    let values: Vec<&Value> = items.iter().filter_map(|item| item.get(name)).filter(|value| !value.is_null()).collect();
    if values.is_empty() {
        return vec!["type: text".to_string()];
    }
    if values.iter().any(|value| !value.is_string()) {
        let all = |is: fn(&&&Value) -> bool| values.iter().all(|value| is(&value));
        let kind = match () {
            () if all(|value| value.is_boolean()) => Kind::Boolean,
            () if all(|value| value.is_i64()) => Kind::Integer,
            () if all(|value| value.is_number()) => Kind::Decimal,
            () if all(|value| value.is_string() || value.is_number() || value.is_boolean()) => Kind::Text,
            () => Kind::Json,
        };
        return vec![format!("type: {}", kind.word())];
    }
    let texts: Vec<&str> = values.iter().filter_map(|value| value.as_str()).filter(|text| !text.is_empty()).collect();
    guess_of_texts(&texts).into_iter().collect::<Option<Vec<_>>>().unwrap_or_else(|| vec!["type: text".to_string()])
}

/// `[None]` if only a text keeps all of them.
fn guess_of_texts(texts: &[&str]) -> Vec<Option<String>> {
    let of = |kind: Kind| Some(format!("type: {}", kind.word()));
    let all = |reader: &Reader| texts.iter().all(|text| reader.text(Cow::Borrowed(text)).is_ok());
    if texts.is_empty() {
        return vec![None];
    }
    // What begins with a zero, or is as long as a telephone's number, is a name.
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let is_number = |text: &&str| {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let padded = unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.as_bytes()[1].is_ascii_digit();
        !padded
            && unsigned.starts_with(|sign: char| sign.is_ascii_digit())
            && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
    };
    if texts.iter().all(is_number) {
        let whole = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if texts.iter().all(whole) {
            return if texts.iter().all(|text| digits(text) < NAME_DIGITS) { vec![of(Kind::Integer)] } else { vec![None] };
        }
        for example in ["1234.56", "1234,56", "1.234,56", "1,234.56"] {
            let Some(format) = NumberFormat::of(example) else { continue };
            let fits = |text: &&str| format.plain(text).is_some_and(|plain| Decimal38::parse(&plain).is_ok());
            if texts.iter().all(fits) {
                return match example {
                    "1234.56" => vec![of(Kind::Decimal)],
                    _ => vec![of(Kind::Decimal), Some(format!("format: \"{example}\""))],
                };
            }
        }
    }
    if texts.iter().all(|text| matches!(text.to_lowercase().as_str(), "true" | "false" | "yes" | "no")) {
        return vec![of(Kind::Boolean)];
    }
    if all(&Reader::Uuid) {
        return vec![of(Kind::Uuid)];
    }
    if all(&Reader::Date(vec![TimeFormat::Iso])) {
        return vec![of(Kind::Date)];
    }
    let dates: Vec<&str> = ["DD.MM.YYYY", "YYYY/MM/DD", "DD/MM/YYYY", "MM/DD/YYYY"]
        .into_iter()
        .filter(|format| TimeFormat::of(format, false).is_ok_and(|format| all(&Reader::Date(vec![format]))))
        .collect();
    // A date that could be read in two ways is not read in either.
    if let [only] = dates.as_slice() {
        return vec![of(Kind::Date), Some(format!("format: {only}"))];
    }
    if all(&Reader::Timestamp { formats: vec![TimeFormat::Iso], zone: None }) {
        return vec![of(Kind::Timestamp)];
    }
    vec![None]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_guessed_so_that_nothing_is_lost() {
        let items = |values: &[&str]| values.iter().map(|value| json!({ "Order No.": value })).collect::<Vec<_>>();
        for (values, expected) in [
            (&["1", "22", ""][..], "type: integer"),
            (&["1", "007"], "type: text"),
            (&["0171234567", "0"], "type: text"),
            (&["4915112345678"], "type: text"),
            (&["1.5", "2"], "type: decimal"),
            (&["1,5", "2"], "type: decimal, format: \"1234,56\""),
            (&["1.234,50", "2"], "type: decimal, format: \"1.234,56\""),
            (&["yes", "No"], "type: boolean"),
            (&["2026-11-23", "1905-01-01"], "type: date"),
            (&["23.11.2026"], "type: date, format: DD.MM.YYYY"),
            (&["01/02/2026"], "type: text"),
            (&["01/02/2026", "13/02/2026"], "type: date, format: DD/MM/YYYY"),
            (&["2026-11-23T10:00:00Z"], "type: timestamp"),
            (&["6f9619ff-8b86-d011-b42d-00c04fc964ff"], "type: uuid"),
            (&["", ""], "type: text"),
            (&["a", "1"], "type: text"),
        ] {
            assert_eq!(guess(&items(values), "Order No.").join(", "), expected, "{values:?}");
        }
        assert_eq!(columns_of_items(&items(&["1"])), ["order_no: { type: integer, column: \"Order No.\" }"]);
        let alike = json!({ "Order No.": "1", "order_no": "x", "ORDER-NO": "", "!": "", "?": "", &"n".repeat(70): "" });
        let more = json!({ "late": 1 });
        assert_eq!(
            columns_of_items(&[alike, more]),
            [
                "order_no: { type: integer, column: \"Order No.\" }",
                "order_no_2: { type: text, column: \"order_no\" }",
                "order_no_3: { type: text, column: \"ORDER-NO\" }",
                "column: { type: text, column: \"!\" }",
                "column_2: { type: text, column: \"?\" }",
                &format!("{}: {{ type: text, column: {:?} }}", "n".repeat(56), "n".repeat(70)),
                "late: integer",
            ]
        );
    }
}
