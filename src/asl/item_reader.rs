//! The `ItemReader` of a workflow: where its items come from, as Step Functions reads them.

use super::definition::{ItemReader, ObjectName, ReaderConfig};
use super::given::{Given, only_param};
use crate::reader::{Delimiter, Header, ItemsSource, SourceFile};
use crate::storage::Location;
use crate::workflow::Workflow;

const LIST: &str = "arn:aws:states:::s3:listObjectsV2";
const GET: &str = "arn:aws:states:::s3:getObject";

/// The param that the items' source is, if it is one.
pub(super) fn source_param<'w>(workflow: &'w Workflow, given: &Given) -> Option<&'w str> {
    let path = format!("items.{}.source", given.bound.settings.items.source.word());
    workflow.expression_at(&path).and_then(only_param)
}

/// The reader of a workflow of which nothing is refused.
pub(super) fn item_reader(workflow: &Workflow, given: &Given) -> ItemReader {
    let items = &given.bound.settings.items;
    let lists = matches!(items.source, ItemsSource::Objects(_));
    let parameters = match source_param(workflow, given) {
        Some(name) => {
            let path = |part: &str| Some(format!("$.params.{name}.{part}"));
            let (prefix_path, key_path) = if lists { (path("prefix"), None) } else { (None, path("key")) };
            ObjectName { bucket_path: path("bucket"), prefix_path, key_path, ..ObjectName::default() }
        }
        None => literal(&items.source),
    };
    let max_items_path = workflow.expression_at("items.limit").and_then(only_param).map(|name| format!("$.params.{name}"));
    let limit = ReaderConfig {
        max_items: items.limit.map(std::num::NonZeroU64::get).filter(|_| max_items_path.is_none()),
        max_items_path,
        ..ReaderConfig::default()
    };
    let config = match &items.source {
        ItemsSource::Objects(_) => limit,
        ItemsSource::Csv(csv) => {
            let (location, headers) = match &csv.header {
                Header::FirstRow => ("FIRST_ROW", Vec::new()),
                Header::Names(names) => ("GIVEN", names.clone()),
            };
            ReaderConfig {
                input_type: Some("CSV"),
                csv_header_location: Some(location),
                csv_headers: headers,
                csv_delimiter: Some(delimiter(csv.delimiter)),
                ..limit
            }
        }
        ItemsSource::Json(json) => {
            let pointer = json.pointer.to_string();
            ReaderConfig { input_type: Some("JSON"), items_pointer: Some(pointer).filter(|text| !text.is_empty()), ..limit }
        }
        ItemsSource::Jsonl(_) => ReaderConfig { input_type: Some("JSONL"), ..limit },
        ItemsSource::Inventory(_) => ReaderConfig { manifest_type: Some("S3_INVENTORY"), ..limit },
    };
    let reader_config = Some(config).filter(|config| *config != ReaderConfig::default());
    ItemReader { resource: if lists { LIST } else { GET }, reader_config, parameters }
}

/// The reader of the items of a redrive, whose file the execution names.
pub(super) fn items_of_a_redrive() -> ItemReader {
    ItemReader {
        resource: GET,
        reader_config: Some(ReaderConfig { input_type: Some("JSONL"), ..ReaderConfig::default() }),
        parameters: ObjectName {
            bucket_path: Some("$.items.bucket".into()),
            key_path: Some("$.items.key".into()),
            ..ObjectName::default()
        },
    }
}

fn literal(source: &ItemsSource) -> ObjectName {
    let name = |bucket: &String| ObjectName { bucket: Some(bucket.clone()), ..ObjectName::default() };
    let file = match source {
        ItemsSource::Objects(objects) => {
            return match &objects.source {
                Location::S3 { bucket, prefix } => ObjectName { prefix: Some(prefix.clone()), ..name(bucket) },
                Location::Folder(_) => ObjectName::default(),
            };
        }
        ItemsSource::Csv(csv) => &csv.source,
        ItemsSource::Json(json) => &json.source,
        ItemsSource::Jsonl(jsonl) => &jsonl.source,
        ItemsSource::Inventory(inventory) => &inventory.source,
    };
    match file {
        SourceFile::S3 { bucket, key } => ObjectName { key: Some(key.clone()), ..name(bucket) },
        SourceFile::Path(_) | SourceFile::Stdin => ObjectName::default(),
    }
}

fn delimiter(delimiter: Delimiter) -> &'static str {
    match delimiter {
        Delimiter::Comma => "COMMA",
        Delimiter::Pipe => "PIPE",
        Delimiter::Semicolon => "SEMICOLON",
        Delimiter::Space => "SPACE",
        Delimiter::Tab => "TAB",
    }
}
