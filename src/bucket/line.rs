//! [`OutcomeLine`]: how one item ended, as a worker writes it; [`HandedItem`]: an item that a worker was handed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::outcome::{Failure, ItemStatus, Outcome};

/// How one item ended: a line of JSON. A record: other versions read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutcomeLine {
    pub key: String,
    pub index: u64,
    pub status: ItemStatus,
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Where it was written to, of a job that publishes: no two items may be written to one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl OutcomeLine {
    /// The line of an item that ended so.
    pub fn new(index: u64, key: String, outcome: &Outcome, attempts: u32) -> Self {
        let line = Self { status: outcome.status(), attempts, ..Self::pending(index, Some(key)) };
        match outcome {
            Outcome::Succeeded(Value::Null) => line,
            // A JSON value cannot fail to be written.
            Outcome::Succeeded(output) => Self { output: serde_json::value::to_raw_value(output).ok(), ..line },
            Outcome::Skipped(why) | Outcome::Blocked(why) => Self { cause: Some(why.clone()), ..line },
            Outcome::Failed(Failure { error, cause }) | Outcome::Unknown(Failure { error, cause }) => {
                Self { error: Some(error.clone()), cause: Some(cause.clone()), ..line }
            }
        }
    }

    /// The line of an item that has not ended; its key may not be known.
    pub fn pending(index: u64, key: Option<String>) -> Self {
        let key = key.unwrap_or_else(|| format!("#{index}"));
        let (error, cause, output, to) = (None, None, None, None);
        Self { key, index, status: ItemStatus::Pending, attempts: 0, error, cause, output, to }
    }

    /// Whether this says more of what was done than an earlier line of the same item: an effect that was seen once happened, whatever
    /// another worker that did the same says.
    pub fn is_more_than(&self, other: &Self) -> bool {
        rank(self.status) > rank(other.status)
    }

    /// Adds it to the end of a file.
    pub fn write(&self, file: &mut Vec<u8>) {
        // Texts and numbers cannot fail to be written into memory.
        let _ = serde_json::to_writer(&mut *file, self);
        file.push(b'\n');
    }

    /// The lines of a file.
    ///
    /// # Errors
    /// It is not what a worker wrote; `address` says where.
    pub fn read(file: &Bytes, address: &str) -> Result<Vec<Self>> {
        serde_json::Deserializer::from_slice(file)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| not_ours(address, &error))
    }
}

/// How much an outcome says: done, maybe done, left out, not done.
fn rank(status: ItemStatus) -> u8 {
    match status {
        ItemStatus::Succeeded => 5,
        ItemStatus::Unknown => 4,
        ItemStatus::Skipped => 3,
        ItemStatus::Failed => 2,
        ItemStatus::Blocked => 1,
        ItemStatus::Pending => 0,
    }
}

/// An item that a worker was handed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HandedItem {
    pub index: u64,
    /// What it is called, as far as a worker found that out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Null once it was pruned.
    #[serde(default)]
    pub value: Value,
}

impl HandedItem {
    /// The file that says which items were handed out.
    pub fn write_all(items: &[Self]) -> Bytes {
        // Values cannot fail to be written.
        serde_json::to_vec(items).unwrap_or_default().into()
    }

    /// The items of such a file.
    ///
    /// # Errors
    /// It is not what a worker wrote; `address` says where.
    pub fn read_all(file: &Bytes, address: &str) -> Result<Vec<Self>> {
        serde_json::from_slice(file).map_err(|error| not_ours(address, &error))
    }
}

fn not_ours(address: &str, error: &serde_json::Error) -> Error {
    Error::surroundings(format!("`{address}` is not what a worker wrote: {error}")).hint("remove it if it is not needed")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was_written() {
        let outcomes = [
            Outcome::Succeeded(json!({ "width": 128 })),
            Outcome::Succeeded(Value::Null),
            Outcome::Skipped("left out by `where`".into()),
            Outcome::Failed(Failure::new("Image.Truncated", "ends early")),
            Outcome::Unknown(Failure::new("Http.NoAnswer", "no answer")),
        ];
        let mut file = Vec::new();
        for (index, outcome) in (0..).zip(&outcomes) {
            OutcomeLine::new(index, format!("k{index}"), outcome, 1).write(&mut file);
        }
        let text = String::from_utf8(file.clone()).unwrap();
        assert_eq!(
            text.lines().next(),
            Some(r#"{"key":"k0","index":0,"status":"succeeded","attempts":1,"output":{"width":128}}"#)
        );
        let lines = OutcomeLine::read(&file.into(), "part").unwrap();
        let words: Vec<_> = lines.iter().map(|line| (line.status.word(), line.error.as_deref().unwrap_or_default())).collect();
        let expected =
            [("succeeded", ""), ("succeeded", ""), ("skipped", ""), ("failed", "Image.Truncated"), ("unknown", "Http.NoAnswer")];
        assert_eq!(words, expected);
        let torn = Bytes::from_static(b"{\"index\":0,\"key\"");
        assert!(
            OutcomeLine::read(&torn, "s3://b/part").unwrap_err().to_string().contains("`s3://b/part` is not what a worker wrote")
        );
    }
}
