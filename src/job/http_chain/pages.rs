//! [`Pages`]: what was fetched page by page; [`next`]: where the page that follows is.

use serde_json::Value;
use url::Url;

use super::link;
use super::seen::Seen;
use super::steps::Paginate;
use crate::call::Answer;
use crate::expression::{ExpressionError, Scope, Template, kind};

/// The most bytes that all pages of a step may have together, if they are gathered.
const MOST: usize = 64 << 20;

/// What is wrong with a page.
pub(super) enum Wrong {
    /// The setting whose expression cannot be worked out, and why.
    Expression(&'static str, ExpressionError),
    /// The setting whose expression gives something else than is meant, and what.
    Value(&'static str, String),
    TooMuch(String),
}

/// What was fetched so far.
pub(super) struct Pages<'a> {
    items: Option<&'a Template>,
    /// Nobody names it.
    unused: bool,
    values: Vec<Value>,
    bytes: usize,
}

impl<'a> Pages<'a> {
    pub fn new(paginate: &'a Paginate, is_named: bool) -> Self {
        Self { items: paginate.items.as_ref(), unused: !is_named, values: Vec::new(), bytes: 0 }
    }

    /// Adds a page, whose body has so many bytes.
    pub fn add(&mut self, seen: &Seen, scope: &Scope<'_>, bytes: usize) -> Result<(), Wrong> {
        if self.unused {
            return Ok(());
        }
        self.bytes += bytes;
        if self.bytes > MOST {
            return Err(Wrong::TooMuch(format!("the pages have more than {MOST} bytes together")));
        }
        match self.items {
            None => self.values.push(seen.body().clone()),
            Some(items) => match items.evaluate(scope).map_err(|error| Wrong::Expression("paginate.items", error))? {
                Value::Array(items) => self.values.extend(items),
                Value::Null => {}
                other => return Err(Wrong::Value("paginate.items", format!("expected a list, found {}", kind(&other)))),
            },
        }
        Ok(())
    }

    pub fn into_value(self) -> Value {
        Value::Array(self.values)
    }
}

/// Where the page that follows is; `None` if there is none. `first` is where the first one was, `last` where this one was.
pub(super) fn next(
    paginate: &Paginate,
    scope: &Scope<'_>,
    answer: &Answer,
    first: &Url,
    last: &Url,
) -> Result<Option<Url>, Wrong> {
    if let (Some(cursor), Some(name)) = (&paginate.cursor, &paginate.query) {
        let Some(cursor) = text("paginate.cursor", cursor, scope)? else { return Ok(None) };
        let mut url = first.clone();
        url.query_pairs_mut().append_pair(name, &cursor);
        return Ok(Some(url));
    }
    if let Some(next_url) = &paginate.next_url {
        let Some(next_url) = text("paginate.next_url", next_url, scope)? else { return Ok(None) };
        return joined("paginate.next_url", last, &next_url).map(Some);
    }
    let mut links = answer.headers.iter().filter(|(name, _)| name == "link");
    match links.find_map(|(_, value)| link::next(value)) {
        Some(target) => joined("paginate.link", last, target).map(Some),
        None => Ok(None),
    }
}

/// What names the next page; `None` if there is none.
fn text(setting: &'static str, template: &Template, scope: &Scope<'_>) -> Result<Option<String>, Wrong> {
    match template.evaluate(scope).map_err(|error| Wrong::Expression(setting, error))? {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(Wrong::Value(setting, format!("expected a text or a number, found {}", kind(&other)))),
    }
}

fn joined(setting: &'static str, last: &Url, target: &str) -> Result<Url, Wrong> {
    match last.join(target) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(Wrong::Value(setting, format!("it leads to `{}`, which is not http", url.scheme()))),
        Err(error) => Err(Wrong::Value(setting, format!("it is no URL: {error}"))),
    }
}
