//! Workflow files: YAML in, checked settings out. Every mistake is told at once, each with its place and the nearest right name.
//!
//! [`Workflow`] is a file that was read and checked, [`Bound`] a workflow with the params of one run filled in.
//!
//! # Why
//! The Rust types of the settings are the only declaration (2026-11-23). Their JSON Schema is what editors get from
//! [`schema`](fn@schema), and it is also what a file is checked against, value by value, while its places are still known; serde
//! sees only values that fit. So a doc comment, a range or a default is written once, and a job from outside is checked as
//! precisely as the built-in ones.

mod aws;
mod check;
mod decode;
mod hosts;
mod keys;
mod leaf;
mod names;
mod params;
mod places;
mod roots;
mod schema;
mod secrecy;
mod settings;
mod shape;
mod tests;
mod tree;
mod warning;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::expression::Params;
use crate::job::{JobKind, Jobs, Keys, Within};
pub use aws::{Architecture, AwsSettings, ExecutionType, RoleSettings, VpcSettings};
use decode::{Decoder, Field};
use names::Known;
pub use params::{Param, ParamType};
pub use schema::schema;
use settings::FileFields;
pub use settings::{BatchSettings, JobSettings, OnFailure, OrderSettings, Settings, StopRule};
pub use tests::{Dropped, TestAnswer, TestAssert, TestCase};
use tree::{LONGEST_FILE, Node, NodeKind, Spot};
use warning::Doubt;
pub use warning::Warning;

/// How many mistakes of a file are told.
const MOST_TOLD: usize = 200;

/// What every object of a folder or bucket has, as Step Functions lists them.
const OBJECT_ATTRIBUTES: &[&str] = &["Key", "Size", "Etag", "LastModified", "StorageClass"];

/// A workflow file, read and checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Workflow {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What may differ from run to run, in the order of the file.
    pub params: Vec<Param>,
    /// Its text. Together with `file` and `base` it gives the same workflow again: [`Workflow::parse`].
    pub text: String,
    /// The file as the user named it.
    pub file: Arc<str>,
    /// The folder that relative paths in it are relative to, absolute.
    pub base: PathBuf,
    root: Arc<Node>,
    schema: Arc<Value>,
    known: Known,
    warnings: Vec<Warning>,
    /// The job, if it is one of the program's.
    job: Option<JobKind>,
}

/// A workflow with the params of one run filled in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bound {
    /// The value of every param; paths are absolute. What is stored with a run.
    pub params: Params,
    /// What the workflow says, without expressions but those over what is not known yet.
    pub settings: Settings,
    /// The secrets that it names somewhere: only these are needed.
    pub secrets: BTreeSet<String>,
}

impl Workflow {
    /// Reads and checks a workflow file.
    ///
    /// Whatever can be checked without the params of a run is; with a default for every param that is everything.
    ///
    /// # Errors
    /// Every mistake of the file, in its order ([`Error::each`]); a file that cannot be read.
    pub fn load(path: &Path, jobs: &Jobs) -> Result<Self> {
        let file: Arc<str> = path.display().to_string().into();
        let bytes = read(path)?;
        let text = tree::text(&bytes, &file)?;
        let absolute = std::path::absolute(path)
            .map_err(|error| Error::surroundings(format!("the working directory cannot be found: {error}")))?;
        let folder = absolute.parent().unwrap_or(&absolute);
        // Without links, so that `../` in the file means the folder above its own.
        let base = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        Self::parse(&text, &file, &base, jobs)
    }

    /// Checks the text of a workflow. `file` is what it is called in messages, `base` the absolute path of the folder that
    /// relative paths in it are relative to.
    ///
    /// # Errors
    /// Every mistake of the text, in its order ([`Error::each`]).
    pub fn parse(text: &str, file: &str, base: &Path, jobs: &Jobs) -> Result<Self> {
        let file: Arc<str> = file.into();
        let (root, mut errors) = tree::parse(text, &file)?;
        check_version(&root, &file)?;
        let (params, wrong_params) = params::declared(&root, &file, base);
        errors.extend(wrong_params);
        let scalar = |key| root.get(key).and_then(|entry| entry.value.scalar()).map(|scalar| scalar.text.clone());
        let mut workflow = Self {
            name: scalar("name").unwrap_or_default(),
            description: scalar("description"),
            known: known(&root),
            warnings: Vec::new(),
            job: job_of(&root, jobs),
            params,
            text: text.to_string(),
            base: base.to_path_buf(),
            schema: Arc::new(schema::strict(jobs)),
            root: Arc::new(root),
            file,
        };
        let defaults = workflow.params.iter().filter_map(|param| Some((param.name.clone(), param.default.clone()?)));
        let decoded = workflow.decode(&Params::new(Value::Object(defaults.collect())));
        workflow.warnings = workflow.warn(&decoded);
        errors.extend(decoded.errors);
        errors.extend(params::in_tests(&workflow.root, &workflow.params, &workflow.file, base));
        match all(errors) {
            Some(error) => Err(error),
            None => Ok(workflow),
        }
    }

    /// Fills in the params of a run: `given` are the names and texts of `-p`, relative paths in them are relative to `cwd`.
    ///
    /// # Errors
    /// Every param that is missing, unknown or of another type, and everything that does not fit with these values.
    pub fn bind(&self, given: &[(String, String)], cwd: &Path) -> Result<Bound> {
        let (values, errors) = params::given(&self.params, given, cwd, &self.file);
        match Error::all(errors) {
            Some(error) => Err(error),
            None => self.fill(Params::new(values)),
        }
    }

    /// Fills in the params that were stored with a run: [`Bound::params`] of back then.
    ///
    /// # Errors
    /// As those of [`Workflow::bind`].
    pub fn rebind(&self, params: &Value) -> Result<Bound> {
        match Error::all(params::stored(&self.params, params)) {
            Some(error) => Err(error),
            None => self.fill(Params::new(params.clone())),
        }
    }

    /// What is allowed in the file and most likely not meant, in its order.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What `fanfold test` plays, in the order of the file.
    pub fn tests(&self) -> Vec<TestCase> {
        let decoded = self.decode(&Params::new(Value::Object(serde_json::Map::new())));
        decoded.section("tests").unwrap_or_default()
    }

    /// Fills in the params of a test; those that it does not give have their defaults.
    ///
    /// # Errors
    /// As those of [`Workflow::bind`].
    pub fn bind_test(&self, test: &TestCase) -> Result<Bound> {
        let given: Vec<_> = test.params.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
        self.bind(&given, &self.base)
    }

    fn fill(&self, params: Params) -> Result<Bound> {
        let Decoded { value, errors, secrets, .. } = self.decode(&params);
        if let Some(error) = all(errors) {
            return Err(error);
        }
        let fields = check::typed::<FileFields>("", &value.unwrap_or_default()).map_err(|finding| self.told(finding))?;
        match fields.settings() {
            Some(settings) => Ok(Bound { params, settings, secrets }),
            None => Err(Error::refused("`job` needs one job").at(Some(self.place_of("job")))),
        }
    }

    fn decode(&self, params: &Params) -> Decoded {
        let mut decoder = Decoder {
            schema: &self.schema,
            file: &self.file,
            base: &self.base,
            known: &self.known,
            params,
            errors: Vec::new(),
            doubts: Vec::new(),
            secrets: BTreeSet::new(),
            open: false,
            sections: Vec::new(),
        };
        let value = decoder.value(&self.root, &self.schema, &Field::root());
        let Decoder { mut errors, sections, secrets, doubts, .. } = decoder;
        let findings = sections.iter().flat_map(|(name, value)| check::section(name, value, &self.known));
        errors.extend(findings.map(|finding| self.told(finding)));
        errors.extend(check::together(&self.root).into_iter().map(|finding| self.told(finding)));
        errors.extend(sections.iter().filter(|(name, _)| name == "job").flat_map(|(_, value)| self.check_job(value)));
        Decoded { value, errors, secrets, sections, doubts }
    }

    /// The job, if it is one of the program's.
    pub(crate) fn job(&self) -> Option<&JobKind> {
        self.job.as_ref()
    }

    /// What the job may know of the workflow around it.
    pub(crate) fn within(&self) -> Within {
        let has = |name| self.root.get(name).is_some();
        let items = self.root.get("items").map(|entry| entry.value.entries()).unwrap_or_default();
        let key = items.iter().find(|entry| entry.key == "key").and_then(|entry| entry.value.scalar());
        let objects = items.iter().any(|entry| matches!(entry.key.as_str(), "objects" | "inventory"));
        let keys = match key {
            Some(key) if key.text == "position" => Keys::Position,
            None if !objects => Keys::Unsaid,
            _ => Keys::Named,
        };
        Within { ordered: has("order"), keys }
    }

    /// What only the job's own types can say of its settings.
    fn check_job(&self, section: &Value) -> Vec<Error> {
        let Some(job) = &self.job else { return Vec::new() };
        let checked = section.get(job.name).map_or(Ok(()), |config| job.check(config, &self.within()));
        let mut errors = checked.map_or_else(|error| self.config_errors(&error), |()| Vec::new());
        if job.whole_batch && self.root.get("order").is_some() {
            let detail =
                format!("`order`: the job `{}` takes whole batches at once, so nothing in them comes in order", job.name);
            errors.push(Error::refused(detail).at(Some(self.place_of("order"))).hint("remove `order`"));
        }
        errors
    }
}

impl Decoded {
    /// A top-level setting as its type, if it is there and has no mistake.
    fn section<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let (_, value) = self.sections.iter().find(|(found, _)| found == name)?;
        T::deserialize(value).ok()
    }
}

/// What came of reading a file over the params of a run.
struct Decoded {
    /// The whole file as JSON; nothing if there are mistakes.
    value: Option<Value>,
    errors: Vec<Error>,
    /// The secrets that are named somewhere.
    secrets: BTreeSet<String>,
    /// The top-level settings that are known already and have no mistake.
    sections: Vec<(String, Value)>,
    /// What is most likely not meant.
    doubts: Vec<Doubt>,
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |error: std::io::Error| {
        use std::io::ErrorKind::{IsADirectory, NotFound};
        match error.kind() {
            NotFound => Error::refused(format!("there is no file `{}`", path.display())),
            IsADirectory => Error::refused(format!("`{}` is a folder, expected a workflow file", path.display())),
            _ => Error::surroundings(format!("`{}` cannot be read: {error}", path.display())),
        }
    };
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to know.
    std::fs::File::open(path).and_then(|file| file.take(LONGEST_FILE as u64 + 1).read_to_end(&mut bytes)).map_err(wrong)?;
    Ok(bytes)
}

/// The version comes first: another one may mean anything.
fn check_version(root: &Node, file: &Arc<str>) -> Result<()> {
    if !matches!(root.kind, NodeKind::Map(_)) {
        let detail = format!("a workflow is a mapping, found {}", leaf::found(root));
        return Err(Error::refused(detail).at(Some(root.at.in_file(file))).hint("begin with `fanfold: 1`"));
    }
    let Some(version) = root.get("fanfold") else {
        let error =
            Error::refused("`fanfold` is missing, the version of the workflow format").at(Some(Spot::START.in_file(file)));
        return Err(error.hint("begin with `fanfold: 1`"));
    };
    if version.value.scalar().is_some_and(|scalar| scalar.plain && scalar.text == "1") {
        return Ok(());
    }
    let detail = format!("`fanfold`: this version knows workflow format `1`, found {}", leaf::found(&version.value));
    Err(Error::refused(detail).at(Some(version.value.at.in_file(file))))
}

fn job_of(root: &Node, jobs: &Jobs) -> Option<JobKind> {
    let job = root.get("job")?.value.entries().first()?;
    jobs.get(&job.key).copied()
}

fn known(root: &Node) -> Known {
    let keys = |name| root.get(name).map(|entry| entry.value.entries()).unwrap_or_default();
    let objects = keys("items").iter().any(|entry| entry.key == "objects");
    let names = |section| keys(section).iter().map(|entry| entry.key.clone()).collect();
    Known {
        params: names("params"),
        item: objects.then_some(OBJECT_ATTRIBUTES),
        ordered: root.get("order").is_some(),
        secrets: names("secrets"),
        job: keys("job").first().map(|entry| entry.key.clone()).unwrap_or_default(),
    }
}

/// Every mistake once, in the order of the file. Nobody reads more than [`MOST_TOLD`]; how many there are is told.
fn all(mut errors: Vec<Error>) -> Option<Error> {
    errors.sort_by(|a, b| a.place().cmp(&b.place()));
    errors.dedup_by(|a, b| a.to_string() == b.to_string());
    if errors.len() > MOST_TOLD {
        let more = errors.len() - MOST_TOLD;
        errors.truncate(MOST_TOLD);
        errors.push(Error::refused(format!("{more} more mistakes are not shown")));
    }
    Error::all(errors)
}
