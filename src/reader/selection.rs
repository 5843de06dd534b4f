//! [`Selection`]: which items of a source count, and what they are called.

use std::sync::Arc;

use serde_json::Value;

use super::input::Format;
use super::{Globs, Input, ItemsConfig, ItemsSource, KeyConfig, ObjectsConfig, Row, Versions};
use crate::expression::{Expression, Params, Scope, Setting};
use crate::storage::Location;
use crate::{Failure, ItemKey, Outcome};

/// The longest key that `items.key` may give, in bytes.
const KEY_LIMIT: usize = 4096;

/// Which items of a source count, and what they are called. Cheap to ask, the same answer every time.
#[derive(Debug, Clone)]
pub struct Selection {
    matching: Option<Globs>,
    exclude: Option<Globs>,
    condition: Option<Setting<bool>>,
    key: Option<Expression>,
    params: Params,
    /// The files of the source, each with the index of its first item.
    files: Vec<(u64, Arc<str>)>,
    /// Whether only the latest version of an object counts, of an inventory.
    current: bool,
    /// Whether the rows say themselves what they are called.
    has_item_names: bool,
    address: Address,
}

/// What an item without a name of its own is called.
#[derive(Debug, Clone)]
enum Address {
    /// By its `Key`; on S3 behind the bucket.
    Object { bucket: Option<String> },
    /// By its `Key` behind its `Bucket`.
    OwnBucket,
    /// By its place: `source#index`.
    Place,
}

/// Whether an item counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It does.
    Selected,
    /// It is skipped, for this reason.
    LeftOut(String),
}

impl Selection {
    /// The selection of a workflow's `items:` over its frozen source.
    pub fn new(config: &ItemsConfig, input: &Input, params: &Params) -> Self {
        let address = match &input.format {
            Format::Objects { bucket } => Address::Object { bucket: bucket.clone() },
            Format::Inventory { bucket } => Address::Object { bucket: Some(bucket.clone()) },
            _ => Address::Place,
        };
        let files = match input.parts.as_slice() {
            [] => vec![(0, input.source().into())],
            parts => parts.iter().map(|part| (part.index, part.source.as_str().into())).collect(),
        };
        Self { has_item_names: input.has_item_names(), ..Self::of(config, params, files, address) }
    }

    /// The same over items that are given by hand, of the kind that the source has.
    pub(crate) fn in_hand(config: &ItemsConfig, params: &Params) -> Self {
        let objects = matches!(config.source, ItemsSource::Objects(_) | ItemsSource::Inventory(_));
        let address = if objects { Address::Object { bucket: None } } else { Address::Place };
        Self::of(config, params, vec![(0, "items".into())], address)
    }

    /// The same over items that somebody else reads from a source on S3, as Step Functions does.
    pub(crate) fn elsewhere(config: &ItemsConfig, params: &Params) -> Self {
        let address = match &config.source {
            ItemsSource::Objects(ObjectsConfig { source: Location::S3 { bucket, .. } }) => {
                Address::Object { bucket: Some(bucket.clone()) }
            }
            ItemsSource::Objects(_) => Address::Object { bucket: None },
            ItemsSource::Inventory(_) => Address::OwnBucket,
            _ => Address::Place,
        };
        Self::of(config, params, vec![(0, config.source.to_string().into())], address)
    }

    fn of(config: &ItemsConfig, params: &Params, files: Vec<(u64, Arc<str>)>, address: Address) -> Self {
        Self {
            matching: config.matching.clone(),
            exclude: config.exclude.clone(),
            condition: config.condition.clone(),
            key: match &config.key {
                KeyConfig::Position => None,
                KeyConfig::Named(expression) => Some(expression.clone()),
            },
            params: params.clone(),
            files,
            current: matches!(&config.source, ItemsSource::Inventory(inventory) if inventory.versions == Versions::Current),
            has_item_names: false,
            address,
        }
    }

    /// Whether the items are named by the workflow (`items.key`), or by the rows themselves (`_fanfold_item`).
    pub fn has_named_keys(&self) -> bool {
        self.key.is_some() || self.has_item_names
    }

    /// Whether there is anything to judge: without globs, `where` and S3 folder placeholders every item counts.
    pub fn is_everything(&self) -> bool {
        let is_s3 = matches!(self.address, Address::Object { bucket: Some(_) } | Address::OwnBucket);
        self.matching.is_none() && self.exclude.is_none() && self.condition.is_none() && !is_s3 && !self.current
    }

    /// Whether the item counts.
    ///
    /// # Errors
    /// `Item.Invalid` if `where` cannot be worked out for it.
    pub fn judge(&self, item: &Value) -> Result<Judged, Failure> {
        let left_out = |reason: &str| Ok(Judged::LeftOut(reason.to_string()));
        let is_s3 = match &self.address {
            Address::Object { bucket } => Some(bucket.is_some()),
            Address::OwnBucket => Some(true),
            Address::Place => None,
        };
        if let Some(is_s3) = is_s3 {
            let key = item.get("Key").and_then(Value::as_str).unwrap_or_default();
            let is_empty = || item.get("Size").is_some_and(|size| *size == 0 || *size == "0");
            if is_s3 && key.ends_with('/') && is_empty() {
                return left_out("a folder placeholder");
            }
            let says = |name: &str, word: &str| {
                item.get(name).and_then(Value::as_str).is_some_and(|text| text.eq_ignore_ascii_case(word))
            };
            if self.current && says("IsDeleteMarker", "true") {
                return left_out("a delete marker");
            }
            if self.current && says("IsLatest", "false") {
                return left_out("not the latest version");
            }
            if self.matching.as_ref().is_some_and(|globs| !globs.is_match(key)) {
                return left_out("does not match `items.match`");
            }
            if self.exclude.as_ref().is_some_and(|globs| globs.is_match(key)) {
                return left_out("matches `items.exclude`");
            }
        }
        match self.condition.as_ref().map(|condition| condition.get(&self.scope(item))) {
            None | Some(Ok(true)) => Ok(Judged::Selected),
            Some(Ok(false)) => left_out("`items.where` is false"),
            Some(Err(error)) => Err(Failure::new("Item.Invalid", format!("`items.where`: {error}"))),
        }
    }

    /// How the item ended, if it does not count or it cannot be told whether it does.
    pub(crate) fn left_out(&self, item: &Value) -> Option<Outcome> {
        match self.judge(item) {
            Err(failure) => Some(Outcome::Failed(failure)),
            Ok(Judged::LeftOut(why)) => Some(Outcome::Skipped(why)),
            Ok(Judged::Selected) => None,
        }
    }

    /// What the item of this row is called: as `items.key` says, else as the row itself does in a column `_fanfold_item`, else by
    /// its address.
    ///
    /// # Errors
    /// Those of [`Selection::key`].
    pub fn key_of(&self, row: &Row<'_>, item: &Value) -> Result<ItemKey, Failure> {
        match self.own_name(row) {
            Some(name) if self.key.is_none() => Ok(ItemKey::Name(name)),
            _ => self.key(item, row.index),
        }
    }

    fn own_name(&self, row: &Row<'_>) -> Option<String> {
        row.item_name().filter(|_| self.has_item_names)
    }

    /// What the item with this index is called, whatever its row says.
    ///
    /// # Errors
    /// `Item.InvalidKey` if `items.key` gives it no text and no integer.
    pub fn key(&self, item: &Value, index: u64) -> Result<ItemKey, Failure> {
        let Some(expression) = &self.key else {
            let text = |name: &str| item.get(name).and_then(Value::as_str);
            // Of an inventory, an object may be there in several versions.
            let version = text("VersionId").filter(|version| !version.is_empty()).map(|version| format!("?versionId={version}"));
            let version = version.filter(|_| !self.current).unwrap_or_default();
            return Ok(match (&self.address, text("Key")) {
                (Address::Object { bucket: Some(bucket) }, Some(key)) => ItemKey::Name(format!("{bucket}/{key}{version}")),
                (Address::Object { bucket: None }, Some(key)) => ItemKey::Name(format!("{key}{version}")),
                (Address::OwnBucket, Some(key)) => {
                    ItemKey::Name(format!("{}/{key}{version}", text("Bucket").unwrap_or_default()))
                }
                _ => self.position(index),
            });
        };
        let invalid = |what: String| Failure::new("Item.InvalidKey", format!("`items.key`: {what}"));
        let found = expression.evaluate(&self.scope(item)).map_err(|error| invalid(error.to_string()))?;
        let text = expression.text();
        match found {
            Value::String(name) if name.trim().is_empty() => Err(invalid(format!("`{text}` gives an empty text"))),
            Value::String(name) if name.len() > KEY_LIMIT => {
                Err(invalid(format!("`{text}` gives {} bytes, at most {KEY_LIMIT}", name.len())))
            }
            Value::String(name) => Ok(ItemKey::Name(name)),
            Value::Number(number) if !number.is_f64() => Ok(ItemKey::Name(number.to_string())),
            other => Err(invalid(format!("`{text}` gives {other}: expected a text or an integer"))),
        }
    }

    /// The same; one that `items.key` gives no name is called by its place.
    #[cfg(feature = "lambda")]
    pub(crate) fn called(&self, item: &Value, index: u64) -> ItemKey {
        self.key(item, index).unwrap_or_else(|_| self.position(index))
    }

    /// What a record is called that is no valid item: an object by its name as far as it can be shown, else by its place.
    pub fn key_of_invalid(&self, row: &Row<'_>) -> ItemKey {
        match (&self.address, row.invalid_name()) {
            (Address::Object { bucket: Some(bucket) }, Some(name)) => ItemKey::Name(format!("{bucket}/{name}")),
            (Address::Object { bucket: None }, Some(name)) => ItemKey::Name(name.into_owned()),
            _ => self.own_name(row).map_or_else(|| self.position(row.index), ItemKey::Name),
        }
    }

    /// What an item is called by its place.
    pub(crate) fn position(&self, index: u64) -> ItemKey {
        let (first, source) = &self.files[self.files.partition_point(|(first, _)| *first <= index).saturating_sub(1)];
        ItemKey::Position { source: Arc::clone(source), index: index - first }
    }

    fn scope<'s>(&'s self, item: &'s Value) -> Scope<'s> {
        Scope::params(&self.params).with_item(item)
    }
}
