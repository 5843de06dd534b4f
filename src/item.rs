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

/// What one effect is: a call of a step of an item or of a lane. Two that differ in anything are two effects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect<'a> {
    pub workflow: &'a str,
    /// The run, where the item's key means something else in another one.
    pub run: Option<&'a str>,
    /// The item's key, or the lane's.
    pub item: &'a str,
    /// Whether it belongs to the lane of this name.
    pub lane: bool,
    pub step: &'a str,
    /// Which call of the step, from 0.
    pub call: u32,
    /// How often the key was made anew.
    pub generation: u32,
}

/// The key of one effect: SHA-256 over what it is, each name with its length in front, as 43 characters of base64url.
pub(crate) fn effect_key(effect: &Effect<'_>) -> String {
    use sha2::{Digest, Sha256};
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut hash = Sha256::new();
    for part in [effect.workflow, effect.item, effect.step].into_iter().chain(effect.run) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    if (effect.lane, effect.call, effect.generation) != (false, 0, 0) {
        // No name is this long.
        hash.update(u64::MAX.to_le_bytes());
        hash.update([u8::from(effect.lane)]);
        hash.update(effect.call.to_le_bytes());
        hash.update(effect.generation.to_le_bytes());
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
    use super::{Effect, effect_key};

    #[test]
    fn an_effect_key_is_stable_and_its_parts_do_not_run_into_each_other() {
        let effect = Effect { workflow: "bill", run: None, item: "o1", lane: false, step: "invoice", call: 0, generation: 0 };
        // It never changes: the other side knows it.
        assert_eq!(effect_key(&effect), "JCkweEJl5Bbyh5G-IIjcqqEAoyXnER77YL_iyxYX5kc");
        let keys = [
            effect,
            Effect { workflow: "bil", item: "lo1", ..effect },
            Effect { run: Some("r1"), ..effect },
            Effect { run: Some("r2"), ..effect },
            Effect { lane: true, ..effect },
            Effect { call: 1, ..effect },
            Effect { generation: 1, ..effect },
            Effect { run: Some("r1"), generation: 1, ..effect },
        ]
        .map(|effect| effect_key(&effect));
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(key.len(), 43);
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            assert!(!keys[..n].contains(key), "{n}");
        }
    }
}
