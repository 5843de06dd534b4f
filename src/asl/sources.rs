//! `ItemReader` and `ResultWriter`: where the items come from and where the results go.

use super::check::{Around, Checker, is_placeholder};
use super::document::{Entry, Node};
use super::fields::{Field, Is, both, jsonata, path};
use super::rule;

const LIST: &str = "arn:aws:states:::s3:listObjectsV2";
const GET: &str = "arn:aws:states:::s3:getObject";
const PUT: &str = "arn:aws:states:::s3:putObject";

/// The most items that `MaxItems` can name.
const MOST_ITEMS: u64 = 100_000_000;

/// The most bytes of the names of a CSV file's columns.
const HEADER_BYTES: usize = 10 * 1024;

const READER: &[Field] = &[
    both("Resource", Is::Text),
    path("Parameters", Is::Template),
    jsonata("Arguments", Is::Template),
    both("ReaderConfig", Is::Object),
];
const CONFIG: &[Field] = &[
    both("InputType", Is::Word(&["CSV", "JSON", "JSONL", "PARQUET", "MANIFEST"], rule::INPUT_TYPE)),
    both("Transformation", Is::Word(&["NONE", "LOAD_AND_FLATTEN"], rule::TRANSFORMATION)),
    both("ManifestType", Is::Word(&["S3_INVENTORY", "ATHENA_DATA"], rule::MANIFEST)),
    both("CSVHeaderLocation", Is::Word(&["FIRST_ROW", "GIVEN"], rule::CSV_HEADER)),
    both("CSVHeaders", Is::Texts),
    both("CSVDelimiter", Is::Word(&["COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"], rule::DELIMITER)),
    both("ItemsPointer", Is::Text),
    both("MaxItems", Is::Whole(0, MOST_ITEMS, rule::MAX_ITEMS)),
    path("MaxItemsPath", Is::Reference),
];
const S3: &[Field] = &[
    both("Bucket", Is::Any),
    both("Bucket.$", Is::Any),
    both("ExpectedBucketOwner", Is::Any),
    both("ExpectedBucketOwner.$", Is::Any),
];
const LISTED: &[Field] = &[both("Prefix", Is::Any), both("Prefix.$", Is::Any)];
const READ: &[Field] = &[both("Key", Is::Any), both("Key.$", Is::Any), both("VersionId", Is::Any), both("VersionId.$", Is::Any)];

const WRITER: &[Field] = &[
    both("Resource", Is::Text),
    path("Parameters", Is::Template),
    jsonata("Arguments", Is::Template),
    both("WriterConfig", Is::Object),
];
const WRITER_CONFIG: &[Field] = &[
    both("Transformation", Is::Word(&["NONE", "COMPACT", "FLATTEN"], rule::TRANSFORMATION)),
    both("OutputType", Is::Word(&["JSON", "JSONL"], rule::OUTPUT_TYPE)),
];

impl Checker {
    /// Checks an `ItemReader`.
    pub fn reader(&mut self, node: &Node, of: &str, around: Around) {
        let name = format!("`ItemReader` of {of}");
        if !self.fields(node, &name, &[READER], around) {
            return;
        }
        self.required(node, &name, &["Resource"]);
        let Some(resource) = node.get("Resource").filter(|node| !node.text().is_some_and(is_placeholder)) else { return };
        let lists = match resource.text() {
            Some(text) if is_resource(text, LIST) => true,
            Some(text) if is_resource(text, GET) => false,
            Some(text) => {
                let told = self.tell(rule::READER, resource.at, format!("`Resource` of {name} is `{text}`"));
                return told.meant(text, &[LIST, GET]);
            }
            None => return,
        };
        self.reader_parameters(node, &name, lists, around);
        let nothing = Node { at: node.at, kind: super::document::Kind::Map(Vec::new()) };
        let config = node.get("ReaderConfig").unwrap_or(&nothing);
        if self.fields(config, &format!("`ReaderConfig` of {of}"), &[CONFIG], around) {
            self.never_both(config, &["MaxItems"]);
            self.input_type(config, node, lists);
            self.csv(config);
            self.pointer(config);
        }
    }

    fn reader_parameters(&mut self, node: &Node, name: &str, lists: bool, around: Around) {
        let called = if around.jsonata { "Arguments" } else { "Parameters" };
        let needed: &[&str] = if lists { &["Bucket"] } else { &["Bucket", "Key"] };
        let Some(parameters) = node.get(called) else {
            self.tell(rule::READER_PARAMETERS, node.at, format!("{name} has no `{called}`"))
                .hint(format!("add `\"{called}\": {{ \"{}\": … }}`", needed.join("\": …, \"")));
            return;
        };
        if parameters.text().is_some() {
            return;
        }
        let own = if lists { LISTED } else { READ };
        if !self.fields(parameters, &format!("`{called}` of {name}"), &[S3, own], around) {
            return;
        }
        for key in needed {
            if !parameters.has(key) && !parameters.has(&format!("{key}.$")) {
                self.tell(rule::READER_PARAMETERS, parameters.at, format!("{name} does not say which `{key}`"))
                    .hint(format!("add `\"{key}\": …` to `{called}`"));
            }
        }
        if let Some(prefix) = parameters.get("Prefix").and_then(|node| Some((node.text()?, node.at))) {
            let (text, at) = prefix;
            if lists && !text.is_empty() && !text.ends_with('/') && !is_placeholder(text) && !text.starts_with("{%") {
                self.tell(rule::PREFIX, at, format!("the prefix `{text}` also reads `{text}-old/…` and `{text}2/…`"))
                    .hint(format!("write `{text}/` for a folder"));
            }
        }
    }

    fn input_type(&mut self, config: &Node, reader: &Node, lists: bool) {
        let kind = config.text_of("InputType");
        let flattens = config.text_of("Transformation") == Some("LOAD_AND_FLATTEN");
        let at = |key: &str| config.entry(key).map_or(config.at, |entry| entry.key_at);
        match config.text_of("ManifestType") {
            Some("S3_INVENTORY") if kind.is_some() => {
                self.tell(rule::MANIFEST, at("InputType"), "an S3 inventory is read without `InputType`").hint("remove it");
                return;
            }
            Some("ATHENA_DATA") if !kind.is_some_and(|kind| ["CSV", "JSONL", "PARQUET"].contains(&kind)) => {
                self.tell(rule::MANIFEST, at("ManifestType"), "a manifest of Athena needs `InputType` CSV, JSONL or PARQUET");
                return;
            }
            Some(_) => return,
            None => {}
        }
        if lists {
            match (kind, flattens) {
                (Some("MANIFEST"), true) => {
                    self.tell(rule::LISTED_TYPE, at("InputType"), "a `MANIFEST` cannot be loaded from listed objects")
                        .hint("read the manifest itself by `getObject`");
                }
                (Some(kind), false) => {
                    let detail =
                        format!("objects are listed, their contents are not read, so `\"InputType\": \"{kind}\"` means nothing");
                    self.tell(rule::LISTED_TYPE, at("InputType"), detail)
                        .hint("add `\"Transformation\": \"LOAD_AND_FLATTEN\"`, or remove it");
                }
                (None, true) => {
                    self.tell(rule::LISTED_TYPE, at("Transformation"), "`LOAD_AND_FLATTEN` needs to know the `InputType`")
                        .hint("add `\"InputType\": \"CSV\"`, `JSON`, `JSONL` or `PARQUET`");
                }
                _ => {}
            }
        } else if kind.is_none() && !config.has("InputType") {
            self.tell(rule::INPUT_TYPE, config.at, "a file is read, and no `InputType` says what it is")
                .hint("add `\"ReaderConfig\": { \"InputType\": \"JSON\" }`, or `CSV`, `JSONL`, `PARQUET`, `MANIFEST`");
        }
        if kind == Some("PARQUET") {
            let parameters = reader.get("Parameters").or_else(|| reader.get("Arguments"));
            let version = parameters.and_then(|node| node.entry("VersionId").or_else(|| node.entry("VersionId.$")));
            if let Some(entry) = version {
                self.tell(rule::VERSION_ID, entry.key_at, "a Parquet file cannot be read by `VersionId`").hint("remove it");
            }
        }
    }

    fn csv(&mut self, config: &Node) {
        let kind = config.text_of("InputType");
        let is_csv = matches!(kind, Some("CSV" | "MANIFEST")) || config.has("ManifestType");
        let csv = |entry: &&Entry| entry.key.starts_with("CSV");
        if let (Some(kind), false) = (kind, is_csv) {
            for entry in config.entries().iter().filter(csv) {
                let detail = format!("`{}` is for CSV files, the `InputType` is `{kind}`", entry.key);
                self.tell(rule::CSV_ONLY, entry.key_at, detail).hint("remove it");
            }
            return;
        }
        let headers = config.entry("CSVHeaders");
        match (config.text_of("CSVHeaderLocation"), headers) {
            (None, _) if kind == Some("CSV") && !config.has("CSVHeaderLocation") => {
                self.tell(rule::CSV_HEADER, config.at, "nothing says where the header of the CSV file is")
                    .hint("add `\"CSVHeaderLocation\": \"FIRST_ROW\"`");
            }
            (Some("GIVEN"), None) => {
                let at = config.entry("CSVHeaderLocation").map_or(config.at, |entry| entry.key_at);
                self.tell(rule::CSV_HEADER, at, "the header is `GIVEN`, and there are no `CSVHeaders`")
                    .hint("add `\"CSVHeaders\": [\"…\"]`");
            }
            (Some("FIRST_ROW"), Some(headers)) => {
                self.tell(rule::CSV_HEADER, headers.key_at, "`CSVHeaders` beside a header in the `FIRST_ROW`")
                    .hint("remove them, or `\"CSVHeaderLocation\": \"GIVEN\"`");
            }
            _ => {}
        }
        let Some(headers) = headers else { return };
        let names = headers.value.elements();
        for (index, node) in names.iter().enumerate() {
            if let Some(name) = node.text().filter(|name| names[..index].iter().any(|one| one.text() == Some(name))) {
                self.tell(rule::HEADER_TWICE, node.at, format!("`CSVHeaders` has `{name}` twice")).hint("give one another name");
            }
        }
        let bytes: usize = names.iter().filter_map(Node::text).map(str::len).sum();
        if bytes > HEADER_BYTES {
            let detail = format!("`CSVHeaders` have {bytes} bytes, at most {HEADER_BYTES} (10 KB) are allowed");
            self.tell(rule::HEADER_SIZE, headers.key_at, detail).hint("shorten the names");
        }
    }

    fn pointer(&mut self, config: &Node) {
        let Some(entry) = config.entry("ItemsPointer") else { return };
        if let Some(kind) = config.text_of("InputType").filter(|kind| *kind != "JSON") {
            let detail = format!("`ItemsPointer` is for JSON files, the `InputType` is `{kind}`");
            return self.tell(rule::POINTER, entry.key_at, detail).hint("remove it");
        }
        let text = entry.value.text().filter(|text| !text.is_empty() && !text.starts_with('/') && !is_placeholder(text));
        if let Some(text) = text.filter(|text| !text.starts_with("{%")) {
            self.tell(rule::POINTER, entry.value.at, format!("`ItemsPointer`: `{text}` is not a JSON Pointer"))
                .hint(format!("did you mean `/{}`?", text.trim_start_matches("$.").replace('.', "/")));
        }
    }

    /// Checks a `ResultWriter`.
    pub fn writer(&mut self, node: &Node, of: &str, around: Around) {
        let name = format!("`ResultWriter` of {of}");
        if !self.fields(node, &name, &[WRITER], around) {
            return;
        }
        let called = if around.jsonata { "Arguments" } else { "Parameters" };
        let (resource, parameters) = (node.get("Resource"), node.get(called));
        match (resource, parameters, node.get("WriterConfig")) {
            (None, None, None) => {
                self.tell(rule::WRITER, node.at, format!("{name} says nothing: it is taken, and fails every run"))
                    .hint("add `Resource` and `Parameters`, or remove it");
            }
            (Some(resource), None, _) => {
                self.tell(rule::WRITER, resource.at, format!("{name} does not say where to: `{called}` is missing"))
                    .hint(format!("add `\"{called}\": {{ \"Bucket\": …, \"Prefix\": … }}`"));
            }
            (None, Some(parameters), _) => {
                self.tell(rule::WRITER, parameters.at, format!("{name} has `{called}` and no `Resource`"))
                    .hint(format!("add `\"Resource\": \"{PUT}\"`"));
            }
            _ => {}
        }
        if let Some((text, at)) = resource.and_then(|node| Some((node.text()?, node.at)))
            && !is_resource(text, PUT)
            && !is_placeholder(text)
        {
            self.tell(rule::WRITER_RESOURCE, at, format!("`Resource` of {name} is `{text}`")).hint(format!("write `{PUT}`"));
        }
        if let Some(parameters) = parameters.filter(|parameters| parameters.text().is_none()) {
            let known = self.fields(parameters, &format!("`{called}` of {name}"), &[S3, LISTED], around);
            if known && !parameters.has("Bucket") && !parameters.has("Bucket.$") {
                self.tell(rule::WRITER_RESOURCE, parameters.at, format!("{name} does not say which `Bucket`"))
                    .hint(format!("add `\"Bucket\": …` to `{called}`"));
            }
        }
        if let Some(config) = node.get("WriterConfig") {
            self.fields(config, &format!("`WriterConfig` of {of}"), &[WRITER_CONFIG], around);
        }
    }
}

/// Whether it is this resource, in whichever partition.
fn is_resource(text: &str, resource: &str) -> bool {
    let behind = |text: &str| text.split_once(":states:::").map(|(_, name)| name.to_string());
    text.starts_with("arn:") && behind(text) == behind(resource)
}
