//! [`Planner`]: takes every item of the input once and writes which follow which.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::key::{LaneKey, NoLane};
use super::numbers::NumbersWriter;
use super::pack::{Packer, bundles_for};
use super::plan::{INDEX, ITEMS, Lane, OTHERS};
use super::sort::Sorter;
use crate::error::{Error, Result};
use crate::lane::Lanes;
use crate::reader::{Judged, OpenInput, Position, Row, Selection};
use crate::redact::Redact;

/// Memory for sorting, in bytes. A merge takes as many once more.
const MEMORY: usize = 64 << 20;

/// Items without a lane that are named; the others are counted.
const NAMED: usize = 3;

/// Takes the items of an input in their order.
pub(crate) struct Planner {
    folder: PathBuf,
    memory: usize,
    key: LaneKey,
    selection: Selection,
    /// 128 bits of a SHA-256 of the key: two different keys are never taken for one. Then the index and where the item begins.
    items: Sorter<32>,
    others: NumbersWriter<2>,
    refused: Vec<Error>,
    more_refused: u64,
}

impl Planner {
    /// `folder` is that of the run.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(folder: &Path, key: LaneKey, selection: Selection) -> Result<Self> {
        Self::with_memory(folder, key, selection, MEMORY)
    }

    pub(super) fn with_memory(folder: &Path, key: LaneKey, selection: Selection, memory: usize) -> Result<Self> {
        Ok(Self {
            folder: folder.to_path_buf(),
            memory,
            key,
            selection,
            items: Sorter::new(folder, "lanes.sort", memory),
            others: NumbersWriter::new(folder, OTHERS)?,
            refused: Vec::new(),
            more_refused: 0,
        })
    }

    /// Takes the next item; `value` is what the row holds, or nothing if it is damaged.
    ///
    /// # Errors
    /// The folder cannot be written. An item without a lane is told at the end.
    pub fn take(&mut self, row: &Row<'_>, value: Option<&Value>) -> Result<()> {
        // An item that is damaged or left out is nobody's, and nothing waits for it.
        let Some(value) = value.filter(|value| !matches!(self.selection.judge(value), Ok(Judged::LeftOut(_)))) else {
            return self.others.push([row.index, row.offset]);
        };
        match self.key.of(value) {
            Ok(name) => self.items.push(record(&name, row.position())),
            Err(why) => {
                self.refuse(row, value, why);
                Ok(())
            }
        }
    }

    fn refuse(&mut self, row: &Row<'_>, value: &Value, why: NoLane) {
        if self.refused.len() == NAMED {
            self.more_refused += 1;
            return;
        }
        let key = self.selection.key(value, row.index).unwrap_or_else(|_| self.selection.key_of_invalid(row));
        let error = Error::refused(format!("the item `{key}` has no lane: {}", why.detail)).at(row.place());
        self.refused.push(match why.hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }

    /// Writes the plan: `input` is what the items were taken from. What is redacted is not shown in the name of a lane either.
    ///
    /// # Errors
    /// Every item that has no lane, the first few named; the folder cannot be written.
    pub fn finish(mut self, input: &OpenInput, max_concurrency: u32, redact: &Redact) -> Result<Lanes> {
        if self.more_refused > 0 {
            let more = if self.more_refused == 1 { "item has".to_string() } else { "items have".to_string() };
            self.refused.push(Error::refused(format!("{} more {more} no lane", self.more_refused)));
        }
        if let Some(error) = Error::all(self.refused) {
            return Err(error);
        }
        let (lanes, items) = group(&self.folder, self.items, self.memory)?;
        let mut packer = Packer::new(items, bundles_for(items, max_concurrency));
        let mut index = NumbersWriter::<3>::new(&self.folder, INDEX)?;
        let mut sorted = lanes.finish()?;
        let mut longest = None;
        while let Some(record) = sorted.next()? {
            let (lane, offset) = lane(&record);
            longest = longest.or(Some((lane, offset)));
            packer.begins_new(lane.count);
            index.push([lane.start, lane.count, lane.first])?;
        }
        let longest_key = match longest {
            None => String::new(),
            Some((lane, offset)) => name(&self.key, input, Position { index: lane.first, offset }, redact)?,
        };
        Ok(Lanes {
            without: self.others.finish()?,
            lanes: index.finish()?,
            longest: longest.map_or(0, |(lane, _)| lane.count),
            longest_key,
            bundles: packer.bundles(),
        })
    }
}

/// The lane of the item at this place, as it may be shown.
fn name(key: &LaneKey, input: &OpenInput, at: Position, redact: &Redact) -> Result<String> {
    let Ok(mut value) = input.single_rows()?.at(at)?.value() else { return Ok(String::new()) };
    let name = key.name(&value).unwrap_or_default();
    Ok(redact.hide(&mut value).scrub(&name).into_owned())
}

/// Writes the items lane after lane, and gives the lanes to be sorted.
fn group(folder: &Path, items: Sorter<32>, memory: usize) -> Result<(Sorter<32>, u64)> {
    let mut lanes = Sorter::new(folder, "lanes.sort", memory);
    let mut writer = NumbersWriter::<2>::new(folder, ITEMS)?;
    let mut sorted = items.finish()?;
    let mut open: Option<([u8; 16], Lane, u64)> = None;
    while let Some(record) = sorted.next()? {
        let (hash, [index, offset]) = split(&record);
        match &mut open {
            Some((of, lane, _)) if *of == hash => lane.count += 1,
            _ => {
                if let Some((_, lane, offset)) = open {
                    lanes.push(lane_record(&lane, offset))?;
                }
                open = Some((hash, Lane { start: writer.count, count: 1, first: index }, offset));
            }
        }
        writer.push([index, offset])?;
    }
    if let Some((_, lane, offset)) = open {
        lanes.push(lane_record(&lane, offset))?;
    }
    Ok((lanes, writer.finish()?))
}

fn record(name: &str, at: Position) -> [u8; 32] {
    let mut record = [0; 32];
    record[..16].copy_from_slice(&Sha256::digest(name.as_bytes())[..16]);
    record[16..24].copy_from_slice(&at.index.to_be_bytes());
    record[24..].copy_from_slice(&at.offset.to_be_bytes());
    record
}

fn split(record: &[u8; 32]) -> ([u8; 16], [u64; 2]) {
    let mut hash = [0; 16];
    hash.copy_from_slice(&record[..16]);
    (hash, [number(record, 16), number(record, 24)])
}

/// The largest first, then the one that begins first; and where its first item begins.
fn lane_record(lane: &Lane, offset: u64) -> [u8; 32] {
    let mut record = [0; 32];
    for (n, number) in [u64::MAX - lane.count, lane.first, lane.start, offset].into_iter().enumerate() {
        record[n * 8..n * 8 + 8].copy_from_slice(&number.to_be_bytes());
    }
    record
}

fn lane(record: &[u8; 32]) -> (Lane, u64) {
    let lane = Lane { count: u64::MAX - number(record, 0), first: number(record, 8), start: number(record, 16) };
    (lane, number(record, 24))
}

fn number(record: &[u8; 32], at: usize) -> u64 {
    record[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::expression::Params;
    use crate::lanes::Plan;
    use crate::reader::{self, ItemsConfig};
    use crate::storage::Storages;

    /// A file of lines, planned.
    fn planned(lines: &str, memory: usize) -> (tempfile::TempDir, Result<Lanes>) {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("items.jsonl");
        std::fs::write(&source, lines).unwrap();
        let config: ItemsConfig =
            serde_json::from_value(json!({ "jsonl": { "source": source }, "where": "{{ not item.out | default(false) }}" }))
                .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let input = runtime.block_on(reader::freeze(&config, &Storages::new("x"), folder.path(), "items.jsonl")).unwrap();
        let params = Params::new(json!({}));
        let key = LaneKey::new(&serde_json::from_value(json!("{{ item.k }}")).unwrap(), &params);
        let open = input.open(folder.path()).unwrap();
        let selection = Selection::new(&config, &input, &params);
        let mut planner = Planner::with_memory(folder.path(), key, selection, memory).unwrap();
        let mut rows = open.rows(Position::START).unwrap();
        while let Some(row) = rows.next().unwrap() {
            planner.take(&row, row.value().ok().as_ref()).unwrap();
        }
        let lanes = planner.finish(&open, 2, &Redact::default());
        if let Ok(lanes) = &lanes {
            judge(lines, &open, &Plan::open(folder.path()).unwrap(), lanes);
        }
        (folder, lanes)
    }

    /// What the plan must be, worked out in memory.
    fn judge(lines: &str, input: &OpenInput, plan: &Plan, lanes: &Lanes) {
        let mut expected: HashMap<String, Vec<u64>> = HashMap::new();
        let mut others = Vec::new();
        for (index, line) in lines.lines().enumerate() {
            match serde_json::from_str::<Value>(line) {
                Ok(item) if item["out"] != true => {
                    let key = item["k"].as_str().map_or_else(|| item["k"].to_string(), str::to_string);
                    expected.entry(key).or_default().push(index as u64);
                }
                _ => others.push(index as u64),
            }
        }
        let mut found = Vec::new();
        let mut single = input.single_rows().unwrap();
        loop {
            let page = plan.some_lanes(found.len() as u64).unwrap();
            if page.is_empty() {
                break;
            }
            for lane in page {
                let mut items = Vec::new();
                loop {
                    let some = plan.some_items(&lane, items.len() as u64, 7).unwrap();
                    if some.is_empty() {
                        break;
                    }
                    for at in &some {
                        assert_eq!(single.at(*at).unwrap().position(), *at, "it begins where the plan says");
                    }
                    items.extend(some.into_iter().map(|at| at.index));
                }
                assert_eq!(lane.first, items[0]);
                assert_eq!(plan.lane_of(*items.last().unwrap()).unwrap(), Some(lane));
                found.push(items);
            }
        }
        let mut sorted: Vec<Vec<u64>> = expected.into_values().collect();
        sorted.sort_by_key(|items| (std::cmp::Reverse(items.len()), items[0]));
        assert_eq!(found, sorted);
        assert_eq!(plan.some_others(0).unwrap().iter().map(|at| at.index).collect::<Vec<_>>(), others);
        assert_eq!(lanes.without, others.len() as u64);
        assert_eq!(lanes.lanes, sorted.len() as u64);
        assert_eq!(lanes.longest, sorted.first().map_or(0, |items| items.len() as u64));
        assert!(lanes.bundles <= lanes.lanes && (lanes.bundles > 0) == (lanes.lanes > 0));
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            20 => (0..9u32).prop_map(|k| json!({ "k": format!("c{k}") }).to_string()),
            5 => "[a-z\\u{e4}]{1,12}".prop_map(|k| json!({ "k": k, "more": "x".repeat(100) }).to_string()),
            2 => (0..3u32).prop_map(|k| json!({ "k": k }).to_string()),
            1 => Just("{ no json".to_string()),
            1 => Just(json!({ "k": null, "out": true }).to_string()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_item_is_in_its_lane_in_input_order_and_the_largest_lane_is_first(
            lines in proptest::collection::vec(line(), 0..300),
            memory in 32..4000usize,
        ) {
            let lines: String = lines.into_iter().map(|line| line + "\n").collect();
            let (_folder, lanes) = planned(&lines, memory);
            prop_assert!(lanes.is_ok());
        }
    }

    #[test]
    fn the_first_items_without_a_lane_are_named_and_the_others_counted() {
        let lines = "{\"k\":\"a\"}\n{\"k\":null}\n{\"k\":\" \"}\n{\"x\":1}\n{\"k\":null}\n";
        let (folder, lanes) = planned(lines, 1000);
        let told: Vec<String> = lanes.unwrap_err().each().map(ToString::to_string).collect();
        let hint = "leave such items out by `items.where`, or give them a lane: `{{ item.k or 'none' }}`";
        assert_eq!(
            told,
            [
                format!(
                    "the item `items.jsonl#1` has no lane: `order.by`: `{{{{ item.k }}}}` gives null (items.jsonl:2:1); hint: {hint}"
                ),
                format!(
                    "the item `items.jsonl#2` has no lane: `order.by`: `{{{{ item.k }}}}` gives an empty text (items.jsonl:3:1); hint: {hint}"
                ),
                "the item `items.jsonl#3` has no lane: `order.by`: `item` has no `k`, it has `x` (items.jsonl:4:1)".to_string(),
                "1 more item has no lane".to_string(),
            ]
        );
        assert!(!folder.path().join("lanes.index").exists());
    }
}
