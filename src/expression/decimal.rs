//! Decimal numbers kept exactly, digit by digit: money never passes through a float.

/// A decimal number: a sign, digits, and how many of them stand behind the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Without leading zeros; empty is zero.
    digits: String,
    places: usize,
}

impl Decimal {
    /// Reads `19.99`, `-3` or `+0.5`: digits with at most one point among them; no exponent, no thousands separator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a decimal number: expected digits with at most one point, such as `19.99`");
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !number(whole) || !number(fraction) {
            return Err(wrong());
        }
        let fraction = if unsigned.contains('.') { fraction } else { "" };
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0').to_string();
        Ok(Self { negative: text.starts_with('-') && !digits.is_empty(), digits, places: fraction.len() })
    }

    /// The same value with exactly so many digits behind the point; `None` if digits other than 0 would be lost.
    pub fn with_places(&self, places: usize) -> Option<Self> {
        let mut digits = self.digits.clone();
        if places >= self.places {
            if !digits.is_empty() {
                digits.extend(std::iter::repeat_n('0', places - self.places));
            }
        } else {
            for _ in places..self.places {
                match digits.pop() {
                    None | Some('0') => {}
                    Some(_) => return None,
                }
            }
        }
        Some(Self { negative: self.negative, digits, places })
    }

    /// Whether both are the same number, however many zeros are written.
    pub fn is_same(&self, other: &Self) -> bool {
        let places = self.places.max(other.places);
        self.with_places(places) == other.with_places(places)
    }

    /// The value in hundredths, such as cents.
    pub fn cents(&self, text: &str) -> Result<i64, String> {
        let cents = self.with_places(2).ok_or_else(|| format!("`{text}` has more than two digits behind the point"))?;
        let digits = if cents.digits.is_empty() { "0" } else { &cents.digits };
        let sign = if cents.negative { "-" } else { "" };
        format!("{sign}{digits}").parse().map_err(|_| format!("`{text}` is too large for cents"))
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let padded = format!("{:0>width$}", self.digits, width = self.places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - self.places);
        let sign = if self.negative { "-" } else { "" };
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(text: &str) -> Result<i64, String> {
        Decimal::parse(text)?.cents(text)
    }

    #[test]
    fn every_price_up_to_a_thousand_is_exact() {
        for expected in 0..100_000i64 {
            let text = format!("{}.{:02}", expected / 100, expected % 100);
            assert_eq!(cents(&text), Ok(expected), "{text}");
            assert_eq!(Decimal::parse(&text).map(|decimal| decimal.to_string()), Ok(text));
        }
    }

    #[test]
    fn odd_spellings_are_read_or_refused() {
        assert_eq!(cents("7"), Ok(700));
        assert_eq!(cents("7.5"), Ok(750));
        assert_eq!(cents("-0.05"), Ok(-5));
        assert_eq!(cents("-0.00"), Ok(0));
        assert_eq!(cents("1.230"), Ok(123));
        assert_eq!(cents("92233720368547758.07"), Ok(i64::MAX));
        for wrong in ["", ".", "1.", ".5", "1,50", "1.2.3", "1e3", " 1", "١", "0.001", "92233720368547758.08", "--1"] {
            assert!(cents(wrong).is_err(), "{wrong}");
        }
        let places = |text: &str, places| Decimal::parse(text).ok().and_then(|d| d.with_places(places)).map(|d| d.to_string());
        assert_eq!(places("0.5", 3).as_deref(), Some("0.500"));
        assert_eq!(places("007", 0).as_deref(), Some("7"));
        assert_eq!(places("0.05", 1), None);
        assert_eq!(places("-0.50", 1).as_deref(), Some("-0.5"));
    }
}
