//! What AWS cannot do, or the fleet of workers cannot do yet: refused with its place and the reason, never done by halves.

use super::given::{Given, only_param};
use crate::error::Error;
use crate::job::Fleet;
use crate::reader::{CsvConfig, Encoding, ItemsSource, SourceFile, Versions};
use crate::storage::Location;
use crate::units::write_rate;
use crate::workflow::{ParamType, Workflow};

/// What to do about what only a run on this machine can do.
const HERE: &str = "run it here: `fanfold run`";

/// The most characters of a name: that of a function has at most 64, of which `fanfold-` takes 8.
const MOST_OF_A_NAME: usize = 56;

/// A share below this many calls a second would leave workers asleep, and paid for.
const LEAST_SHARE: f64 = 0.1;

/// Settings of the Map that an execution can give, by a path into its input; all others of it are fixed in the definition.
const BY_PATH: &[&str] = &["max_concurrency", "batch.max_items", "items.limit"];

/// Settings that are part of the definition itself, each with why no path can give it.
const LITERAL: &[(&str, &str)] = &[
    ("batch.max_bytes", "a size with a unit cannot be read from the input of an execution"),
    ("items.csv.delimiter", "the delimiter is a word of the definition"),
    ("items.csv.header", "the header is a part of the definition"),
    ("items.json.pointer", "the pointer is a part of the definition"),
    ("aws.region", "where it runs is asked before any param is known"),
    ("aws.execution_type", "what the children are is a part of the definition"),
];

/// Everything of the workflow that is refused, and what its job needs.
pub(super) fn refusals(workflow: &Workflow, given: &Given) -> (Vec<Error>, Fleet) {
    let mut refusals = Refusals { workflow, wrong: Vec::new() };
    for (path, detail) in [
        ("order", "lanes need a ledger that all workers share, which there is not on AWS yet"),
        ("stop", "on AWS nobody can stop a run by what its items came to yet"),
    ] {
        if workflow.says(path) {
            refusals.tell(path, detail, HERE);
        }
    }
    let letters = workflow.name.chars().count();
    if letters > MOST_OF_A_NAME {
        let detail = format!(
            "`{}` has {letters} characters, on AWS at most {MOST_OF_A_NAME}: the function is called `fanfold-NAME`",
            workflow.name
        );
        refusals.tell("name", detail, "a shorter name");
    }
    refusals.expressions();
    refusals.source(given);
    refusals.secrets(given);
    refusals.rate(given);
    let settings = &given.bound.settings;
    let fleet = workflow.job().map(|job| job.fleet(settings.job.config.clone(), &workflow.within()));
    let fleet = match fleet {
        Some(Ok(fleet)) => fleet,
        Some(Err(error)) => {
            refusals.wrong.extend(workflow.place_config_error(&error).each().cloned());
            Fleet::default()
        }
        None => Fleet::default(),
    };
    refusals.wrong.sort_by(|a, b| a.place().cmp(&b.place()));
    (refusals.wrong, fleet)
}

struct Refusals<'a> {
    workflow: &'a Workflow,
    wrong: Vec<Error>,
}

impl Refusals<'_> {
    fn tell(&mut self, path: &str, detail: impl std::fmt::Display, hint: impl Into<String>) {
        let error = Error::refused(format!("`{path}`: {detail}")).at(Some(self.workflow.place_of(path))).hint(hint);
        self.wrong.push(error);
    }

    /// Settings of the Map are literals or exactly one param.
    fn expressions(&mut self) {
        for path in BY_PATH {
            let text = self.workflow.expression_at(path).filter(|text| only_param(text).is_none());
            if let Some(text) = text {
                let detail = format!("on AWS it is a number or exactly one param, found `{text}`");
                self.tell(path, detail, "write `\"{{ params.NAME }}\"`");
            }
        }
        for (path, why) in LITERAL {
            if self.workflow.expression_at(path).is_some() {
                self.tell(path, format!("on AWS it cannot be an expression: {why}"), "write the value itself");
            }
        }
    }

    fn source(&mut self, given: &Given) {
        let source = &given.bound.settings.items.source;
        let path = format!("items.{}.source", source.word());
        if let Some(text) = self.workflow.expression_at(&path) {
            let param = only_param(text).and_then(|name| self.workflow.params.iter().find(|param| param.name == name));
            match param {
                None => {
                    let detail = format!("on AWS it is an address or exactly one param, found `{text}`");
                    return self.tell(&path, detail, "write `\"{{ params.NAME }}\"`, and give the whole address");
                }
                Some(param) if param.kind != ParamType::Path => {
                    let detail = format!("the param `{}` is of `type: {}`, on AWS it has to be a path", param.name, param.kind);
                    return self.tell(&path, detail, format!("`{}: {{ type: path }}`", param.name));
                }
                Some(_) => {}
            }
        }
        match source {
            ItemsSource::Objects(objects) => {
                if let Location::Folder(folder) = &objects.source {
                    let detail = format!("`{}` is a folder of this machine, AWS reads from S3", folder.display());
                    self.tell(&path, detail, "`s3://bucket/prefix/`, or a param of `type: path`");
                }
            }
            ItemsSource::Csv(csv) => {
                self.file(&path, &csv.source);
                self.csv(csv);
            }
            ItemsSource::Json(json) => self.file(&path, &json.source),
            ItemsSource::Jsonl(jsonl) => self.file(&path, &jsonl.source),
            ItemsSource::Inventory(inventory) => {
                self.file(&path, &inventory.source);
                if inventory.versions == Versions::Current {
                    let detail = "Step Functions takes every row of an inventory, delete markers and older versions too";
                    self.tell("items.inventory.versions", detail, "write `versions: all`, or run it here: `fanfold run`");
                }
            }
        }
    }

    fn file(&mut self, path: &str, file: &SourceFile) {
        match file {
            SourceFile::Stdin => self.tell(path, "standard input is not there on AWS", "put the file on S3: `s3://bucket/key`"),
            SourceFile::Path(file) => {
                let detail = format!("`{}` is a file of this machine, AWS reads from S3", file.display());
                self.tell(path, detail, "`s3://bucket/key`, or a param of `type: path`");
            }
            SourceFile::S3 { key, .. } if file.has_glob() => {
                let detail = format!("`{key}` stands for several files, Step Functions reads one");
                self.tell(path, detail, "one file for each execution, or run it here: `fanfold run`");
            }
            SourceFile::S3 { key, .. } if key.ends_with(".zst") => {
                let detail =
                    "Step Functions knows files compressed with zstd by the ending `.zstd`, and takes `.zst` for plain text";
                self.tell(path, detail, format!("rename it to `{}d`", key.rsplit('/').next().unwrap_or(key)));
            }
            SourceFile::S3 { .. } => {}
        }
    }

    fn csv(&mut self, csv: &CsvConfig) {
        if csv.strict {
            let detail =
                "strict rows cannot be on AWS: Step Functions fills up short rows and cuts long ones, and nobody is told";
            self.tell("items.csv.strict", detail, "write `strict: false` to take that, or run it here: `fanfold run`");
        }
        if csv.encoding != Encoding::Utf8 {
            let detail = format!("Step Functions reads UTF-8 only, found {}", csv.encoding.name());
            self.tell("items.csv.encoding", detail, "put the file as UTF-8 on S3");
        }
        for (path, is_set, detail) in [
            (
                "items.csv.null",
                !csv.null.is_empty(),
                "what stood in quotes is not known on AWS, so that no text can be told from null",
            ),
            ("items.csv.trim", csv.trim, "what stood in quotes is not known on AWS, so that spaces cannot be told apart"),
            (
                "items.csv.max_row_bytes",
                self.workflow.says("items.csv.max_row_bytes"),
                "Step Functions has a limit of its own, 8 MB",
            ),
        ] {
            if is_set {
                self.tell(path, detail, HERE);
            }
        }
    }

    fn secrets(&mut self, given: &Given) {
        for name in &given.bound.secrets {
            let source = given.bound.settings.secrets.get(name);
            if source.is_some_and(|source| source.aws.is_none()) {
                let detail = "it is not said where the secret is kept on AWS";
                self.tell(
                    &format!("secrets.{name}"),
                    detail,
                    "add `aws: NAME`, a secret of Secrets Manager, or `aws: \"ssm:/NAME\"`, a parameter",
                );
            }
        }
    }

    /// Each of the children has its share of a rate, whether it uses it or not.
    fn rate(&mut self, given: &Given) {
        let settings = &given.bound.settings;
        let children = f64::from(settings.max_concurrency);
        let hosts = settings.rate.hosts.iter().map(|(name, rate)| (format!("rate.hosts.{name}.limit"), rate.limit));
        let all = settings.rate.limit.map(|limit| ("rate.limit".to_string(), limit));
        for (path, limit) in all.into_iter().chain(hosts) {
            let share = limit / children;
            if share < LEAST_SHARE {
                let most = (limit / LEAST_SHARE).floor();
                let detail = format!(
                    "{} for {} children at once is one call in {:.0} s for each, on AWS at least one in 10 s is needed",
                    write_rate(limit),
                    settings.max_concurrency,
                    1.0 / share
                );
                let hint = if most < 1.0 { HERE.to_string() } else { format!("`max_concurrency: {most:.0}`") };
                self.tell(&path, detail, hint);
            }
        }
    }
}
