//! [`TestCase`]: what `fanfold test` plays, without the network and without secrets, in virtual time.
//!
//! Nothing in a test is an expression: `{{` is plain text there.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::check::Finding;
use super::settings::optional_duration;
use crate::units::{DurationText, write_duration};

/// One test of a workflow: these items, these answers, and what has to come of them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TestCase {
    /// What it shows. No two tests of a workflow have one name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Params that are not as their defaults say, written as behind `-p`. Relative paths are relative to the workflow file.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The items, in place of those that `items` names. They are selected and called as `items` says.
    #[schemars(length(min = 1))]
    pub items: Vec<Value>,
    /// What answers the requests of each step, in the order in which they are sent. A request too many fails the test.
    #[serde(default)]
    pub answers: BTreeMap<String, Vec<TestAnswer>>,
    /// What has to come of it. What is not said may be anything.
    pub assert: TestAssert,
}

/// What comes of one request: an answer, which has a `status`, or none, by `drop`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["status"] }, { "required": ["drop"] }]))]
#[non_exhaustive]
pub struct TestAnswer {
    /// The HTTP status.
    #[serde(default)]
    #[schemars(range(min = 200, max = 599), with = "u16")]
    pub status: Option<u16>,
    /// Header fields.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, as JSON.
    #[serde(default, deserialize_with = "given")]
    pub json: Option<Value>,
    /// The body, as text.
    #[serde(default)]
    #[schemars(with = "String")]
    pub text: Option<String>,
    /// There is no answer.
    #[serde(default)]
    #[schemars(with = "Dropped")]
    pub drop: Option<Dropped>,
    /// How long it takes, in virtual time. Default `0s`.
    #[serde(default, deserialize_with = "optional_duration")]
    #[schemars(with = "DurationText")]
    pub takes: Option<Duration>,
    /// So many requests one after another get it. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub repeat: u32,
}

/// Why a request gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// The connection is refused: it is never sent.
    Before,
    /// It is sent, and the connection breaks: it may have had its effect.
    After,
}

/// What has to come of a test.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TestAssert {
    /// How many items ended in a way (`succeeded: 2`), or how an item ended, by its key (`o1: failed`).
    #[schemars(with = "BTreeMap<String, CountOrStatus>")]
    pub outcomes: BTreeMap<String, Value>,
    /// The error names of items that failed or are unknown, by their keys: `o1: Http.Status.404`.
    pub errors: BTreeMap<String, String>,
    /// The outputs of items that succeeded, by their keys. Of a mapping only what is named is looked at.
    pub outputs: BTreeMap<String, Value>,
    /// How many requests each step sent.
    pub calls: BTreeMap<String, u64>,
    /// What each step sent: what every request of it has to be like, or a list with one for each. Of a mapping only what is
    /// named is looked at.
    #[schemars(with = "BTreeMap<String, OneOrEach>")]
    pub sent: BTreeMap<String, Value>,
    /// It takes at least so long, in virtual time.
    #[serde(deserialize_with = "optional_duration")]
    #[schemars(with = "DurationText")]
    pub waited_at_least: Option<Duration>,
    /// It takes at most so long, in virtual time.
    #[serde(deserialize_with = "optional_duration")]
    #[schemars(with = "DurationText")]
    pub waited_at_most: Option<Duration>,
}

/// How many, or how.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only the schema sees it")]
enum CountOrStatus {
    Count(u64),
    Status(Status),
}

/// How an item ended.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only the schema sees it")]
enum Status {
    Succeeded,
    Skipped,
    Failed,
    Unknown,
    Blocked,
    Pending,
}

/// The words of [`Status`].
const STATUSES: [&str; 6] = ["succeeded", "skipped", "failed", "unknown", "blocked", "pending"];

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only the schema sees it")]
enum OneOrEach {
    One(TestRequest),
    Each(Vec<TestRequest>),
}

/// What a request has to be like.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema sees it")]
struct TestRequest {
    /// The method, in capitals.
    #[schemars(with = "Option<String>", default)]
    method: (),
    /// The whole URL.
    #[schemars(with = "Option<String>", default)]
    url: (),
    /// The path of the URL.
    #[schemars(with = "Option<String>", default)]
    path: (),
    /// Parameters of the query.
    #[schemars(default)]
    query: BTreeMap<String, String>,
    /// Header fields, names in lowercase.
    #[schemars(default)]
    headers: BTreeMap<String, String>,
    /// The body, if it is JSON.
    #[schemars(default)]
    json: Option<Value>,
    /// The body, if it is not.
    #[schemars(with = "Option<String>", default)]
    text: (),
}

fn one() -> u32 {
    1
}

/// Whatever is there, `null` as well.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What is wrong with tests beyond their shape.
pub(super) fn check(cases: &[TestCase]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let path = format!("tests[{index}]");
        if cases[..index].iter().any(|earlier| earlier.name == case.name) {
            let detail = format!("there is another test called `{}`", case.name);
            findings.push(Finding::new(&format!("{path}.name"), detail).hint("give each a name of its own"));
        }
        for (step, answers) in &case.answers {
            let at = |index: usize| format!("{path}.answers.{step}[{index}]");
            findings.extend(answers.iter().enumerate().filter_map(|(index, answer)| check_answer(&at(index), answer)));
        }
        findings.extend(check_assert(&format!("{path}.assert"), &case.assert));
    }
    findings
}

fn check_answer(path: &str, answer: &TestAnswer) -> Option<Finding> {
    let parts = [("headers", !answer.headers.is_empty()), ("json", answer.json.is_some()), ("text", answer.text.is_some())];
    let mut there = parts.into_iter().filter(|(_, there)| *there).map(|(name, _)| name);
    if answer.drop.is_some() {
        let part = there.next()?;
        return Some(
            Finding::new(&format!("{path}.{part}"), "there is no answer with `drop`").hint("remove it, or write a `status`"),
        );
    }
    let both = answer.json.is_some() && answer.text.is_some();
    both.then(|| Finding::new(&format!("{path}.text"), "an answer has one body, and there is `json`").hint("remove one of them"))
}

fn check_assert(path: &str, assert: &TestAssert) -> Vec<Finding> {
    let mut findings = Vec::new();
    if *assert == TestAssert::default() {
        findings.push(Finding::new(path, "nothing is asserted").hint("such as `{ outcomes: { succeeded: 1 } }`"));
    }
    for (name, expected) in &assert.outcomes {
        let at = format!("{path}.outcomes.{name}");
        if expected.is_number() && !STATUSES.contains(&name.as_str()) {
            let detail = format!("a count is of items that are one of {}", crate::nearest::list(STATUSES, STATUSES.len()));
            let finding = Finding::new(&at, detail);
            findings.push(match crate::nearest::nearest(name, STATUSES) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")),
                None => finding.hint(format!("how the item `{name}` ended is a word: `{name}: succeeded`")),
            });
        }
    }
    if let (Some(least), Some(most)) = (assert.waited_at_least, assert.waited_at_most)
        && most < least
    {
        let (least, most) = (write_duration(least), write_duration(most));
        findings.push(Finding::new(
            &format!("{path}.waited_at_most"),
            format!("no time is at most {most} and at least {least}, which `waited_at_least` says"),
        ));
    }
    findings
}
