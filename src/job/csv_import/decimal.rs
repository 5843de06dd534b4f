//! [`Decimal38`]: a number of up to 38 digits, exactly; and how people write numbers.

/// The most digits of a number.
const MOST_DIGITS: u32 = 38;

/// A number of up to 38 digits: `units` divided by ten to the power of `places`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal38 {
    pub units: i128,
    /// Digits behind the point, at most 38.
    pub places: u8,
}

/// How a number is written: what stands between thousands and in front of the fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberFormat {
    pub thousands: Option<u8>,
    pub point: u8,
}

impl NumberFormat {
    pub const PLAIN: Self = Self { thousands: None, point: b'.' };

    /// The formats by their example.
    const ALL: [(&'static str, Self); 6] = [
        ("1234.56", Self::PLAIN),
        ("1234,56", Self { thousands: None, point: b',' }),
        ("1.234,56", Self { thousands: Some(b'.'), point: b',' }),
        ("1,234.56", Self { thousands: Some(b','), point: b'.' }),
        ("1 234,56", Self { thousands: Some(b' '), point: b',' }),
        ("1'234.56", Self { thousands: Some(b'\''), point: b'.' }),
    ];

    /// The format that this example shows.
    pub fn of(example: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == example).map(|(_, format)| *format)
    }

    /// The examples.
    pub fn examples() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(example, _)| *example)
    }

    /// The text as a computer writes numbers: nothing between thousands, a point in front of the fraction.
    ///
    /// Thousands must stand in threes, so that `1,5` is never read as 15.
    pub fn plain(self, text: &str) -> Option<String> {
        let (whole, fraction) = match text.split_once(char::from(self.point)) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        // A point is in front of a fraction in no other format but its own: `1.250` is 1250 to whoever writes `1,5`.
        let is_stray = |byte: u8| byte == b'.' && self.thousands != Some(b'.');
        if self.point != b'.' && (whole.bytes().any(is_stray) || fraction.is_some_and(|fraction| fraction.contains('.'))) {
            return None;
        }
        let mut plain = String::with_capacity(text.len());
        match self.thousands.map(char::from).filter(|sign| whole.contains(*sign)) {
            Some(sign) => {
                let mut groups = whole.split(sign);
                let first = groups.next().unwrap_or_default();
                let digits = first.strip_prefix(['-', '+']).unwrap_or(first).len();
                if !(1..=3).contains(&digits) {
                    return None;
                }
                plain.push_str(first);
                for group in groups {
                    if group.len() != 3 {
                        return None;
                    }
                    plain.push_str(group);
                }
            }
            None => plain.push_str(whole),
        }
        if let Some(fraction) = fraction {
            plain.push('.');
            plain.push_str(fraction);
        }
        Some(plain)
    }
}

impl Decimal38 {
    /// Reads digits with a sign, at most one point and an exponent.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "not a decimal number";
        const LONG: &str = "more than 38 digits";
        let bytes = text.as_bytes();
        let (negative, digits) = match bytes.first() {
            Some(b'-') => (true, &bytes[1..]),
            Some(b'+') => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        if let Some(number) = Self::short(negative, digits) {
            return Ok(number);
        }
        let (mut units, mut places, mut point, mut seen, mut count) = (0i128, 0i32, false, false, 0);
        let mut exponent = 0i32;
        for (at, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    seen = true;
                    if units != 0 || *byte != b'0' {
                        count += 1;
                        if count > MOST_DIGITS {
                            return Err(LONG);
                        }
                    }
                    units = units * 10 + i128::from(byte - b'0');
                    places += i32::from(point);
                    if places > MOST_DIGITS as i32 {
                        return Err(LONG);
                    }
                }
                b'.' if !point => point = true,
                b'e' | b'E' if seen => {
                    let rest = std::str::from_utf8(&digits[at + 1..]).map_err(|_| WRONG)?;
                    exponent = rest.parse::<i16>().map_err(|_| WRONG)?.into();
                    break;
                }
                _ => return Err(WRONG),
            }
        }
        if !seen {
            return Err(WRONG);
        }
        places -= exponent;
        while places > MOST_DIGITS as i32 && units % 10 == 0 {
            if units == 0 {
                places = 0;
            } else {
                units /= 10;
                places -= 1;
            }
        }
        while places < 0 {
            units = units.checked_mul(10).filter(|units| units.unsigned_abs() < 10u128.pow(MOST_DIGITS)).ok_or(LONG)?;
            places += 1;
        }
        let places = u8::try_from(places).ok().filter(|places| u32::from(*places) <= MOST_DIGITS).ok_or(LONG)?;
        Ok(Self { units: if negative { -units } else { units }, places })
    }

    /// A number of up to 18 digits without an exponent, as nearly all are.
    fn short(negative: bool, digits: &[u8]) -> Option<Self> {
        if digits.len() > 19 {
            return None;
        }
        let (mut units, mut point) = (0u64, None);
        for (at, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => units = units * 10 + u64::from(byte - b'0'),
                b'.' if point.is_none() => point = Some(at),
                _ => return None,
            }
        }
        let places = point.map_or(0, |at| digits.len() - at - 1);
        let count = digits.len() - usize::from(point.is_some());
        let fine = (1..=18).contains(&count);
        fine.then(|| Self { units: if negative { -i128::from(units) } else { i128::from(units) }, places: places as u8 })
    }

    /// Appends it as digits, with all its places.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut text = [b'0'; 40];
        let (mut at, mut count) = (text.len(), 0);
        let mut digit = |digit: u8| {
            if count == usize::from(self.places) && count > 0 {
                at -= 1;
                text[at] = b'.';
            }
            at -= 1;
            text[at] = b'0' + digit;
            count += 1;
            count > usize::from(self.places)
        };
        let mut large = self.units.unsigned_abs();
        while large > u128::from(u64::MAX) {
            digit((large % 10) as u8);
            large /= 10;
        }
        // Nearly all numbers are small, and dividing those is fast.
        let mut small = large as u64;
        while !digit((small % 10) as u8) || small >= 10 {
            small /= 10;
        }
        if self.units < 0 {
            out.push(b'-');
        }
        out.extend_from_slice(&text[at..]);
    }

    /// The same number without zeros at the end of the fraction.
    pub fn trimmed(mut self) -> Self {
        while self.places > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.places -= 1;
        }
        self
    }

    /// Digits in front of the point.
    pub fn whole_digits(self) -> u32 {
        let whole = self.units.unsigned_abs() / 10u128.pow(u32::from(self.places));
        whole.checked_ilog10().map_or(0, |log| log + 1)
    }

    /// Digits that matter.
    pub fn digits(self) -> u32 {
        self.trimmed().units.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
    }

    /// As an integer, if it is one.
    pub fn integer(self) -> Option<i64> {
        let trimmed = self.trimmed();
        if trimmed.places == 0 { i64::try_from(trimmed.units).ok() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::written;
    use super::*;

    fn read(text: &str) -> Result<String, &'static str> {
        Decimal38::parse(text).map(|number| written(|out| number.write(out)))
    }

    #[test]
    fn short_numbers_are_read_as_long_ones() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..20_000 {
            let text: String =
                (0..random.usize(0..22)).map(|_| char::from(random.choice(*b"0123456789.-").unwrap_or(b'0'))).collect();
            let (negative, digits) = text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
            let Some(short) = Decimal38::short(negative, digits.as_bytes()) else { continue };
            // An exponent sends it the long way.
            assert_eq!(Decimal38::parse(&format!("{text}e0")), Ok(short), "{text}");
        }
    }

    #[test]
    fn decimals_of_38_digits_come_back_as_they_were() {
        let long = "12345678901234567890123456789012345678";
        for text in ["0", "19.99", "-0.05", "9007199254740993", long, "0.12345678901234567890123456789012345678"] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        for (text, expected) in
            [("1e3", "1000"), ("1.5e-3", "0.0015"), ("+7", "7"), (".5", "0.5"), ("1.", "1"), ("007", "7"), ("-0", "0")]
        {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
        for wrong in ["", "-", ".", "1e", "e1", "1,5", "1 2", "0x1", "NaN", "1..2", &format!("{long}9"), "1e99", "1e-99"] {
            assert!(Decimal38::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn thousands_stand_in_threes() {
        let read = |example: &str, text: &str| NumberFormat::of(example).unwrap().plain(text);
        assert_eq!(read("1.234,56", "-1.234.567,8").as_deref(), Some("-1234567.8"));
        assert_eq!(read("1.234,56", "5,5").as_deref(), Some("5.5"));
        assert_eq!(read("1,234.56", "1,5"), None);
        assert_eq!(read("1.234,56", "1.5"), None);
        assert_eq!((read("1234,56", "1.250"), read("1 234,56", "1.250"), read("1234,56", "1,2.5")), (None, None, None));
        assert_eq!(read("1 234,56", "12 345").as_deref(), Some("12345"));
        assert!(NumberFormat::of("1.5").is_none());
    }
}
