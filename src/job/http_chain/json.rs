//! [`read`]: the body of an answer as JSON, with every number exactly as it was written.

use std::borrow::Cow;

use serde_json::Value;

/// Digits that a float keeps whatever they are.
const KEPT: usize = 15;

/// Reads JSON; `None` if it is none.
///
/// A number that neither an integer of 64 bits nor a float holds exactly becomes a text of its digits: the amount or the id is then
/// what it was, where a float would be another one.
pub(super) fn read(text: &str) -> Option<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(&with_long_numbers_as_texts(text)).ok()
}

fn with_long_numbers_as_texts(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if !has_long_number(bytes) {
        return text.into();
    }
    let mut rewritten = String::with_capacity(text.len() + 16);
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = behind_text(bytes, at),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|byte| !is_of_number(*byte)).map_or(bytes.len(), |length| at + length);
                if !is_exact(&text[at..end]) {
                    rewritten.push_str(&text[copied..at]);
                    rewritten.push('"');
                    rewritten.push_str(&text[at..end]);
                    rewritten.push('"');
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    rewritten.push_str(&text[copied..]);
    rewritten.into()
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether there may be a number that is not kept: cheap, and in nearly every answer there is none.
fn has_long_number(bytes: &[u8]) -> bool {
    let (mut length, mut last) = (0, b' ');
    bytes.iter().any(|byte| {
        length = if is_of_number(*byte) { length + 1 } else { 0 };
        let has_exponent = matches!(byte, b'e' | b'E') && last.is_ascii_digit();
        last = *byte;
        length > KEPT || has_exponent
    })
}

/// The offset behind the quoted text that begins at `start`.
fn behind_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether the number is the same once it was read and written again.
fn is_exact(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    // What is no number stays as it is: whoever reads it says so.
    if serde_json::from_str::<serde::de::IgnoredAny>(number).is_err() {
        return true;
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits = significant(mantissa);
    match number.parse::<f64>() {
        Ok(float) if !float.is_finite() => false,
        // Zero, or too small to be anything else.
        Ok(0.0) => digits.is_empty(),
        Ok(_) if mantissa.contains('.') && digits.len() <= KEPT => true,
        Ok(float) if mantissa.len() == number.len() => mantissa.contains('.') && significant(&float.to_string()) == digits,
        Ok(float) => significant(format!("{float:e}").split('e').next().unwrap_or_default()) == digits,
        Err(_) => true,
    }
}

/// The digits without those that mean nothing: zeros in front, and behind the point at the end.
fn significant(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expression::{Expression, Params, Scope};

    #[test]
    fn numbers_are_what_was_written() {
        for (text, expected) in [
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("9007199254740993", json!(9_007_199_254_740_993_u64)),
            ("18446744073709551616", json!("18446744073709551616")),
            ("-9223372036854775809", json!("-9223372036854775809")),
            ("123456789012345678901234567890", json!("123456789012345678901234567890")),
            ("19.99", json!(19.99)),
            ("0.1", json!(0.1)),
            ("12345678901234.56", json!("12345678901234.56").as_str().and_then(|text| text.parse::<f64>().ok()).into()),
            ("12345678901234567.89", json!("12345678901234567.89")),
            ("0.30000000000000004", json!(0.300_000_000_000_000_04)),
            ("0.123456789012345678901", json!("0.123456789012345678901")),
            ("1e400", json!("1e400")),
            ("1e-400", json!("1e-400")),
            ("1e3", json!(1000.0)),
            ("1.0000000000000000000e2", json!(100.0)),
            ("[1.5,{\"a\":123456789012345678901}]", json!([1.5, { "a": "123456789012345678901" }])),
            ("\"123456789012345678901\"", json!("123456789012345678901")),
            (
                "{\"a\\\"123456789012345678901\":\"-12345678901234567890.5\\\\\"}",
                json!({ "a\"123456789012345678901": "-12345678901234567890.5\\" }),
            ),
            ("\u{feff}{}", json!({})),
            ("null", json!(null)),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in ["", "{", "1234567890123456789-0", "a", "12345678901234567890.", "{}x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn every_amount_of_money_is_exact_through_cents() {
        let expression = Expression::parse("{{ body.amount | cents }}").expect("well-formed");
        let params = Params::new(json!({}));
        for cents in 0..100_000_u64 {
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            for written in [format!("{{\"amount\":{amount}}}"), format!("{{\"amount\":\"{amount}\"}}")] {
                let body = read(&written).expect("JSON");
                assert_eq!(expression.evaluate(&Scope::params(&params).with("body", &body)), Ok(json!(cents)), "{written}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_number_keeps_its_digits(whole in 0_u64.., fraction in "[0-9]{0,22}") {
            let number = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
            let read = read(&number).expect("JSON");
            let shown = read.as_str().map_or_else(|| read.to_string(), str::to_string);
            proptest::prop_assert_eq!(significant(&shown), significant(&number));
        }
    }
}
