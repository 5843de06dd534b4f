//! [`Item`]: one element of the dataset, and [`ItemKey`], its identity.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// One element of the dataset: an object of a folder or bucket, a row, a JSON value.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its place in the input, from 0.
    pub index: u64,
    /// Its identity.
    pub key: ItemKey,
    /// The element as Step Functions would hand it to a child execution.
    pub value: Value,
}

/// What an item is called: its address, or what it is about.
///
/// Unique within a run. An address is `source#index`; objects and `items.key` give a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ItemKey {
    /// The position in a source that has no better name for its elements.
    Position {
        /// The file's name as the user wrote it.
        source: Arc<str>,
        /// The element's index in the input, from 0.
        index: u64,
    },
    /// A name: an object's key, or the value of `items.key`.
    Name(String),
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position { source, index } => write!(f, "{source}#{index}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// How many bytes the value has as compact JSON.
pub(crate) fn json_len(value: &Value) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Neither a JSON value nor the counter can fail to be written.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// The key of one effect: SHA-256 over the names, each with its length in front, as 43 characters of base64url.
///
/// With `run` it is that of this run alone.
pub(crate) fn effect_key(workflow: &str, run: Option<&str>, item: &str, step: &str) -> String {
    use sha2::{Digest, Sha256};
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut hash = Sha256::new();
    for part in [workflow, item, step].into_iter().chain(run) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut text = String::with_capacity(43);
    for chunk in digest.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * position)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::effect_key;

    #[test]
    fn an_effect_key_is_stable_and_its_parts_do_not_run_into_each_other() {
        let key = effect_key("bill", None, "o1", "invoice");
        assert_eq!(key.len(), 43);
        assert_eq!(key, effect_key("bill", None, "o1", "invoice"));
        assert_ne!(key, effect_key("bil", None, "lo1", "invoice"));
        assert_ne!(key, effect_key("bill", Some("r1"), "o1", "invoice"));
        assert_ne!(effect_key("bill", Some("r2"), "o1", "invoice"), effect_key("bill", Some("r1"), "o1", "invoice"));
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
}
