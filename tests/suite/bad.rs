//! Broken workflows: every file of `tests/workflows/bad/` holds one mistake (or says so), and begins with its message word for word.
//!
//! The comment lines `# expect: …` in front of a file are its messages, in order; `# params: a=b` are the `-p` of the run it is
//! bound for. `FANFOLD_BLESS=1 cargo test --test suite bad` writes the messages anew, to be read in the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fanfold::expression::Template;
use fanfold::{Attempt, ConfigError, Error, Job, JobError, Jobs, Setting, Setup, Within, Workflow};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// A job that has a setting of every kind.
pub struct Everything;

/// Does nothing, with every kind of setting.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema and serde see the fields")]
pub struct EverythingConfig {
    /// A text.
    text: String,
    /// For each item.
    #[serde(default = "target")]
    target: Setting<String>,
    /// How wide.
    #[schemars(range(min = 1, max = 65_535))]
    width: Option<u32>,
    /// How much.
    share: Option<f64>,
    /// Whether.
    strict: Option<bool>,
    /// How it is fitted.
    fit: Option<Fit>,
    /// Which ones.
    #[serde(default)]
    names: Vec<String>,
    /// What happens.
    action: Option<Action>,
    /// Anything.
    json: Option<Setting<Value>>,
    /// What is called, one after another.
    #[serde(default)]
    steps: Vec<Step>,
}

/// A call.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema and serde see the fields")]
pub struct Step {
    /// What it is called.
    name: String,
    /// What is sent beside the body.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "secrets"]))]
    headers: BTreeMap<String, Setting<String>>,
    /// What is sent.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps"]))]
    json: Option<Template>,
    /// What is kept of the answer.
    #[serde(default)]
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    capture: BTreeMap<String, Template>,
    /// Ask again.
    poll: Option<Poll>,
    /// Where it is.
    #[schemars(extend("format" = "fanfold-url"))]
    url: Option<String>,
}

/// Ask again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema and serde see the fields")]
pub struct Poll {
    /// Until this is so.
    #[schemars(extend("x-fanfold-scope" = ["params", "item", "previous", "steps", "status", "headers", "body"]))]
    until: Setting<bool>,
}

fn target() -> Setting<String> {
    Setting::literal(String::new())
}

/// How it is fitted.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// All of it is seen.
    Contain,
    /// All is covered.
    Cover,
}

/// What happens.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema and serde see the fields")]
pub enum Action {
    /// It is read.
    Get {
        /// From where.
        path: String,
    },
    /// It is written.
    Put {
        /// To where.
        path: String,
        /// How much.
        size: u32,
    },
}

impl Job for Everything {
    const NAME: &'static str = "everything";
    type Config = EverythingConfig;
    type Input = Value;
    type Output = ();

    /// A step names only those before it.
    fn check(config: &EverythingConfig, _: &Within) -> Result<(), ConfigError> {
        let mut errors = Vec::new();
        for (index, step) in config.steps.iter().enumerate() {
            for (path, expression) in step.json.iter().flat_map(Template::expressions) {
                for name in expression.names().iter().filter(|name| name.root() == "steps") {
                    if !config.steps[..index].iter().any(|earlier| Some(earlier.name.as_str()) == name.attribute()) {
                        errors.push(ConfigError::new(
                            format!("steps[{index}].json.{path}"),
                            format!("`{name}`: there is no such step before"),
                        ));
                    }
                }
            }
        }
        errors.into_iter().reduce(ConfigError::and).map_or(Ok(()), Err)
    }

    fn new(_: EverythingConfig, _: &Setup) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    async fn run(&self, _: Value, _: &Attempt<'_>) -> Result<(), JobError> {
        Ok(())
    }
}

pub fn jobs() -> Jobs {
    Jobs::builtin().with::<Everything>()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workflows/bad")
}

fn messages(name: &str, bytes: &[u8], given: &[(String, String)]) -> Vec<String> {
    let told = |error: Error| error.each().map(ToString::to_string).collect();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // What is not UTF-8 is refused on the way in.
        Err(_) => {
            return Workflow::load(&folder().join(name), &jobs()).map_or_else(|error| relative(told(error)), |_| Vec::new());
        }
    };
    match Workflow::parse(text, name, Path::new("/srv/flows"), &jobs()) {
        Err(error) => told(error),
        Ok(workflow) => workflow.bind(given, Path::new("/home/ada")).map_or_else(told, |_| Vec::new()),
    }
}

fn relative(messages: Vec<String>) -> Vec<String> {
    let folder = format!("{}/", folder().display());
    messages.into_iter().map(|message| message.replace(&folder, "")).collect()
}

/// Writes the messages in front of a file, until the places in them take those very lines into account.
fn bless_file(path: &Path, bytes: &[u8], params: &[String], given: &[(String, String)]) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let is_head = |line: &&[u8]| line.starts_with(b"# expect: ") || line.starts_with(b"# params: ");
    let body: Vec<u8> = bytes.split_inclusive(|byte| *byte == b'\n').skip_while(is_head).flatten().copied().collect();
    let mut blessed = bytes.to_vec();
    for _ in 0..3 {
        let expects = messages(name, &blessed, given).into_iter().map(|line| format!("# expect: {line}\n"));
        let head: String = params.iter().map(|line| format!("# params: {line}\n")).chain(expects).collect();
        blessed = [head.as_bytes(), &body].concat();
        fs::write(path, &blessed).unwrap();
    }
}

#[test]
fn every_mistake_has_its_message() {
    let bless = std::env::var_os("FANFOLD_BLESS").is_some();
    let mut paths: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 60, "{} files are too few", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let head = |prefix: &str| -> Vec<String> {
            let lines = text.lines().take_while(|line| line.starts_with("# "));
            lines.filter_map(|line| line.strip_prefix(prefix)).map(str::to_string).collect()
        };
        let given: Vec<(String, String)> = head("# params: ")
            .iter()
            .flat_map(|line| line.split(' '))
            .filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_string(), value.to_string())))
            .collect();
        let found = messages(name, &bytes, &given);
        let expected = head("# expect: ");
        if found != expected {
            wrong.push(format!("{name}\n  expected {expected:#?}\n  found    {found:#?}"));
            if bless {
                bless_file(&path, &bytes, &head("# params: "), &given);
            }
        }
        assert!(!found.is_empty(), "{name} has no mistake");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
