//! `new`: a workflow that runs, made from a job's settings and a sample of the items.

use std::path::Path;

use clap::Args;
use serde_json::Value;

use super::{Surroundings, report};
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::observe::{JsonLines, say};
use crate::reader::{CsvGuess, Delimiter, Encoding, SourceFile};
use crate::storage::Storages;
use crate::workflow::{self, Workflow};

/// Writes NAME.yaml: a workflow with every setting of the job, most of the optional ones as comments, each with its meaning.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  fanfold new thumbnails --job image_resize --from photos/\n  fanfold new products --job csv_import --from products.csv"
)]
pub(super) struct New {
    /// The workflow's name; the file is NAME.yaml in the current folder
    name: String,
    /// The job
    #[arg(long, value_name = "JOB")]
    job: String,
    /// Where the items come from: a folder, s3://bucket/prefix/, or a .csv, .tsv, .json or .jsonl file, also compressed
    #[arg(long, value_name = "FILE")]
    from: Option<String>,
    /// With `--job csv_import`: the database; if it has a table called like the workflow, the columns are those of the table
    #[arg(long, value_name = "DATABASE")]
    database: Option<String>,
}

impl New {
    pub fn go(self, at: &Surroundings) -> Result<u8> {
        let Some(kind) = at.jobs.get(&self.job) else {
            let error = Error::refused(format!("there is no job `{}`", self.job));
            return Err(match nearest(&self.job, at.jobs.names()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("the jobs are: {}", at.jobs.names().collect::<Vec<_>>().join(", "))),
            });
        };
        let schema = workflow::schema(&at.jobs);
        let config = config_schema(&schema, kind.name).ok_or_else(|| Error::bug("a registered job has no schema"))?;
        let text = match (kind.name, &self.from, &self.database) {
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            ("csv_import", Some(from), database) => {
                super::new_import::text(&self.name, from, &self.items(at)?, database.as_deref(), at)?
            }
            (_, _, Some(_)) => {
                return Err(Error::refused("`--database` is for `--job csv_import --from FILE`"));
            }
            _ => self.text(&schema, config, at)?,
        };
        let path = at.here.join(format!("{}.yaml", self.name.strip_suffix(".yaml").unwrap_or(&self.name)));
        let shown = at.shown(&path).to_path_buf();
        // Checked before it is written: what `new` makes has no mistake.
        Workflow::parse(&text, &shown.display().to_string(), &at.here, &at.jobs)?;
        write_new(&path, &text)?;
        if at.json {
            JsonLines::line(&serde_json::json!({ "file": shown }));
        } else {
            report::data(shown.display());
            say(report::typed_here(&format!("next: look through it, then fanfold run {}", shown.display())));
        }
        Ok(0)
    }

    fn text(&self, schema: &Value, config: &Value, at: &Surroundings) -> Result<String> {
        let mut text = format!("fanfold: 1\nname: {}\n", self.name.strip_suffix(".yaml").unwrap_or(&self.name));
        if let Some(about) = first_sentence(config) {
            text.push_str(&format!("description: {}\n", quoted(&about)));
        }
        text.push_str("items:\n");
        text.push_str(&self.items(at)?);
        text.push_str("batch: { max_items: 100 }\nmax_concurrency: 100      # batches at once\ntolerated_failure: 0%     # or a count\njob:\n");
        text.push_str(&format!("  {}:\n", self.job));
        let required: Vec<&str> = config["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut set = false;
        for (name, property) in config["properties"].as_object().into_iter().flatten() {
            let example = example(schema, property, name);
            let about =
                property["description"].as_str().map(|text| format!("  # {}", text.replace('\n', " "))).unwrap_or_default();
            let comment = if has_own_example(property) || required.contains(&name.as_str()) { "" } else { "# " };
            set |= comment.is_empty();
            text.push_str(&format!("    {comment}{name}: {example}{about}\n"));
        }
        if config["properties"].as_object().is_none_or(serde_json::Map::is_empty) {
            text.truncate(text.len() - 1);
            text.push_str(" {}\n");
        } else if !set {
            text = text.replacen(&format!("  {}:\n", self.job), &format!("  {}: {{}}\n", self.job), 1);
        }
        Ok(text)
    }

    fn items(&self, at: &Surroundings) -> Result<String> {
        let from = self.from.as_deref().unwrap_or("items/");
        let remote = from.starts_with("s3://");
        if self.from.is_some() && !remote && !at.here.join(from).exists() {
            return Err(
                Error::refused(format!("there is no file or folder `{from}`")).hint("`--from` names where the items come from")
            );
        }
        let source = quoted(from);
        Ok(match kind_of(from, at, self.job == "csv_import") {
            "csv" => self.csv(from, at)?,
            kind => format!("  {kind}: {{ source: {source} }}\n"),
        })
    }

    /// A CSV file, as its first bytes look. One on S3 is looked at only for a job that is about rows.
    fn csv(&self, from: &str, at: &Surroundings) -> Result<String> {
        let remote = from.starts_with("s3://");
        let plain = CsvGuess { encoding: Encoding::Utf8, delimiter: Delimiter::Comma, names: None };
        let guess = if self.from.is_none() || remote && self.job != "csv_import" {
            plain
        } else {
            let path = if remote { from.to_string() } else { at.here.join(from).display().to_string() };
            let source: SourceFile = path.parse().map_err(Error::refused)?;
            let runtime = tokio::runtime::Runtime::new()
                .map_err(|error| Error::surroundings(format!("no threads can be started: {error}")))?;
            runtime.block_on(CsvGuess::of(&source, &Storages::new("sample")))?
        };
        let header = match &guess.names {
            None => "first_row".to_string(),
            Some(names) => {
                say(format_args!(
                    "note: the first row of `{from}` looks like data and is taken as a row; if it is a header: `header: first_row`"
                ));
                format!("[{}]", names.join(", "))
            }
        };
        let mut text = format!("  csv: {{ source: {}, header: {header}", quoted(from));
        if guess.delimiter != Delimiter::Comma {
            text.push_str(&format!(", delimiter: {}", guess.delimiter.word()));
        }
        if guess.encoding != Encoding::Utf8 {
            text.push_str(&format!(", encoding: {}", guess.encoding.word()));
        }
        Ok(text + " }\n")
    }
}

/// The kind of items that a source has, by its name; `rows` if the job is about rows, so that a file of any name has some.
fn kind_of(from: &str, at: &Surroundings, rows: bool) -> &'static str {
    let name = from.to_ascii_lowercase();
    let packed = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending));
    let name = packed.unwrap_or(&name);
    let is = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let file = at.here.join(from);
    // Other programs call a list of theirs so too.
    let is_report =
        || from.starts_with("s3://") || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"fileSchema\""));
    match () {
        () if is(&["/manifest.json"]) && is_report() => "inventory",
        () if is(&[".csv", ".tsv", ".tab", ".txt"]) => "csv",
        () if is(&[".jsonl", ".ndjson"]) => "jsonl",
        () if is(&[".json"]) => "json",
        () if rows && (file.is_file() || packed.is_some()) => "csv",
        () => "objects",
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::refused(format!("{} is there already", path.display())).hint("another name, or remove it first")
        }
        _ => Error::surroundings(format!("{} cannot be written: {error}", path.display())),
    })
}

fn config_schema<'a>(schema: &'a Value, job: &str) -> Option<&'a Value> {
    let property = resolved(schema, &schema["properties"]["job"])?;
    resolved(schema, &property["properties"][job])
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.strip_prefix('#')?),
        None => Some(schema),
    }
}

/// Whether an example was given for this very setting: then it belongs into a workflow though it may be left out. One of
/// fanfold's formats has an example by its type.
fn has_own_example(property: &Value) -> bool {
    let formats = [&property["format"], &property["anyOf"][0]["format"]];
    let by_type = formats.into_iter().filter_map(Value::as_str).any(|format| format.starts_with("fanfold-"));
    !property["examples"].is_null() && !by_type
}

/// A value that the setting takes: its example, its default, or one made from its type.
fn example(root: &Value, property: &Value, name: &str) -> String {
    let schema = resolved(root, property).unwrap_or(property);
    let given = [&property["examples"][0], &schema["examples"][0], &property["default"], &schema["default"]];
    if let Some(value) = given.into_iter().find(|value| !value.is_null()) {
        return scalar(value);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return scalar(first);
    }
    if let Some(first) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).and_then(|all| all.first()) {
        return if first["const"].is_null() { example(root, first, name) } else { scalar(&first["const"]) };
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str()).unwrap_or("string");
    match kind {
        "integer" | "number" => schema["minimum"].as_f64().map_or(1, |least| least.max(1.0) as i64).to_string(),
        "boolean" => "false".to_string(),
        "array" => "[]".to_string(),
        "object" => "{}".to_string(),
        _ if schema["format"] == "fanfold-location" => format!("{name}/"),
        _ => quoted(name),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// As YAML: plain where that is the same text.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    let first_fine = text.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '/' | '.' | '_'));
    let word = matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    if first_fine && !word && text.chars().all(plain) { text.to_string() } else { Value::from(text).to_string() }
}

fn first_sentence(schema: &Value) -> Option<String> {
    let text = schema["description"].as_str()?.replace('\n', " ");
    Some(text.split_inclusive(". ").next()?.trim().trim_end_matches('.').to_string())
}
