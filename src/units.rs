//! Values with their unit: `30s`, `256KiB`, `5%`, and how they look in a JSON Schema.
//!
//! Every text is one number and one unit, without a space, as in `500ms`; [`parse_duration`] and [`parse_bytes`] say what was
//! found and what is allowed. The `…Text` types stand for these texts in a schema: their `format` (`fanfold-duration`,
//! `fanfold-bytes`, `fanfold-tolerance`) is what `workflow/` checks values by.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Reads `500ms`, `30s`, `15m`, `2h` or `7d`.
///
/// # Errors
/// What was found and what is allowed, as a lowercase fragment.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: expected a number and a unit, one of ms, s, m, h, d, such as `30s`");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// Writes a duration in its largest unit that needs no fraction, down to milliseconds.
pub fn write_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

/// Reads `1000B`, `64KiB`, `256KiB`, `10MiB` or `1GiB`.
///
/// # Errors
/// What was found and what is allowed, as a lowercase fragment.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: expected a number and a unit, one of B, KiB, MiB, GiB, such as `256KiB`");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let size = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return Err(wrong()),
    };
    let bytes = number * size;
    if bytes.fract() != 0.0 || bytes > 9e15 { Err(wrong()) } else { Ok(bytes as u64) }
}

/// Reads `5%` or `0.5%` as 5 or 0.5.
///
/// # Errors
/// What was found and what is allowed, as a lowercase fragment.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    match split(text) {
        Some((number, "%")) if number <= 100.0 => Ok(number),
        _ => Err(format!("`{text}` is not a percentage: expected a number from 0 to 100 and a percent sign, such as `1%`")),
    }
}

/// Reads `50/s`, `600/m` or `1000/h` as calls a second.
///
/// # Errors
/// What was found and what is allowed, as a lowercase fragment.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a rate: expected a number and a time, one of /s, /m, /h, such as `50/s`");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "/s" => 1.0,
        "/m" => 60.0,
        "/h" => 3600.0,
        _ => return Err(wrong()),
    };
    let rate = number / seconds;
    // Slower than a call a day is a mistake; faster than a million a second is no limit.
    if (1.0 / 86_400.0..=1e6).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("`{text}`: a rate is at least one call a day and at most 1000000/s"))
    }
}

/// Writes a rate by the second, the minute or the hour, whichever needs no fraction.
pub fn write_rate(per_second: f64) -> String {
    for (unit, seconds) in [("/s", 1.0), ("/m", 60.0), ("/h", 3600.0)] {
        let number = per_second * seconds;
        if (number - number.round()).abs() < 1e-6 && number >= 1.0 {
            return format!("{}{unit}", number.round());
        }
    }
    format!("{per_second}/s")
}

/// `1,234,567`
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The number in front and the unit behind it. Digits and one point only: no sign, no exponent, no space.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    Some((number, &text[end..]))
}

/// Durations in serde's words, for `#[serde(with = "…")]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `30s`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::write_duration(*value))
    }

    /// Reads `30s`.
    ///
    /// # Errors
    /// A text that is not a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(de::Error::custom)
    }
}

/// Rates in serde's words, for `#[serde(with = "…")]`.
pub mod rate {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `50/s`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::write_rate(*value))
    }

    /// Reads `50/s`.
    ///
    /// # Errors
    /// A text that is not a rate.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_rate(&text).map_err(de::Error::custom)
    }
}

/// The same for a rate that may be missing.
pub mod optional_rate {
    use serde::{Deserializer, Serializer};

    /// Writes `50/s`, or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(rate) => super::rate::serialize(rate, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads `50/s`.
    ///
    /// # Errors
    /// A text that is not a rate.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        super::rate::deserialize(deserializer).map(Some)
    }
}

macro_rules! text_schema {
    ($(#[$doc:meta])* $name:ident, $format:literal, $pattern:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern, "examples": [$example] })
            }
        }
    };
}

text_schema!(
    /// The schema of a duration such as `30s`.
    DurationText, "fanfold-duration", r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", "30s"
);
text_schema!(
    /// The schema of a size such as `256KiB`.
    BytesText, "fanfold-bytes", r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB)$", "256KiB"
);
text_schema!(
    /// The schema of a percentage such as `1%`.
    PercentText, "fanfold-percent", r"^[0-9]+(\.[0-9]+)?%$", "1%"
);

text_schema!(
    /// The schema of a rate such as `50/s`.
    RateText, "fanfold-rate", r"^[0-9]+(\.[0-9]+)?/(s|m|h)$", "50/s"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_by_the_second_and_written_without_fractions() {
        assert_eq!(parse_rate("50/s"), Ok(50.0));
        assert_eq!(parse_rate("600/m"), Ok(10.0));
        assert_eq!(write_rate(50.0), "50/s");
        assert_eq!(write_rate(0.5), "30/m");
        assert_eq!(write_rate(1.0 / 3600.0), "1/h");
        for wrong in ["", "50", "50/d", "0/s", "-1/s", "2000000/s", "5 /s", "/s"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn units_are_read_and_written() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(write_duration(Duration::from_secs(5400)), "90m");
        assert_eq!(write_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(parse_bytes("256KiB"), Ok(262_144));
        assert_eq!(parse_percent("0.5%"), Ok(0.5));
        for wrong in ["", "30", "s", "-1s", "1 s", "1e3s", "30S", "30sec", "1..5s", "٣s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["256KB", "256", "0.3B", "1KiBx"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        assert!(parse_percent("101%").is_err());
    }
}
