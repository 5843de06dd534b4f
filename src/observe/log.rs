//! [`Log`]: lines of JSON on stdout, as Lambda keeps them: one object a line, each with its time and level.

use std::time::SystemTime;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How much a line matters, in Lambda's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Writes lines that all say what they are about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Map<String, Value>);

impl Log {
    /// The same with one thing more in every line.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut about = self.0.clone();
        about.insert(name.to_string(), value.into());
        Self(about)
    }

    /// Writes a line.
    pub fn line(&self, level: Level, message: &str) {
        super::out::data(Value::Object(self.object(level, message, SystemTime::now())));
    }

    /// Writes an object that is a line of its own.
    pub fn object_line(object: &Value) {
        super::out::data(object);
    }

    fn object(&self, level: Level, message: &str, now: SystemTime) -> Map<String, Value> {
        let now = OffsetDateTime::from(now);
        let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
        let mut object = Map::new();
        object.insert("timestamp".to_string(), now.format(&Rfc3339).unwrap_or_default().into());
        object.insert("level".to_string(), level.word().into());
        object.insert("message".to_string(), message.into());
        object.extend(self.0.clone());
        object
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_says_when_how_much_it_matters_and_what_it_is_about() {
        let log = Log::default().with("run", "r1").with("batch", "0/100");
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_440_000_123_456);
        assert_eq!(
            Value::Object(log.object(Level::Warn, "x \"y\"\nz", now)).to_string(),
            r#"{"timestamp":"2026-11-23T13:20:00.123Z","level":"WARN","message":"x \"y\"\nz","run":"r1","batch":"0/100"}"#
        );
    }
}
