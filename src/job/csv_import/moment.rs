//! [`TimeFormat`]: how days and times are written, and reading them.

use super::cell::{DAY_MICROS, Moment};

/// One way to write a day, or a day and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeFormat {
    /// As ISO 8601 and databases write it: `2026-11-23`, behind it ` 10:00`, `T10:00:00.5`, `Z` or `+02:00`.
    Iso,
    /// Seconds since 1970, also with a fraction or before 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// A pattern of the user's.
    Pattern(Vec<Token>),
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Zone,
    /// Itself.
    Sign(char),
}

/// The words of a pattern, the longer ones first, each with the fewest and the most digits it stands for.
const WORDS: [(&str, Token, usize, usize); 10] = [
    ("YYYY", Token::Year, 4, 4),
    ("MM", Token::Month, 2, 2),
    ("M", Token::Month, 1, 2),
    ("DD", Token::Day, 2, 2),
    ("D", Token::Day, 1, 2),
    ("hh", Token::Hour, 2, 2),
    ("mm", Token::Minute, 2, 2),
    ("ss", Token::Second, 2, 2),
    ("fff", Token::Fraction, 1, 9),
    ("zz", Token::Zone, 0, 0),
];

/// A day and a time as they are written, and the zone's distance from UTC in seconds if one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    days: i32,
    micros: i64,
    offset: Option<i32>,
}

impl TimeFormat {
    /// Reads a format: `unix`, `unix_ms` or a pattern. With `times`, of days and times.
    pub fn of(text: &str, times: bool) -> Result<Self, String> {
        match text {
            "unix" if times => return Ok(Self::Unix),
            "unix_ms" if times => return Ok(Self::UnixMs),
            _ => {}
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            let known = WORDS.iter().find(|(word, ..)| rest.starts_with(word));
            let (token, length) = known.map_or((Token::Sign(sign), sign.len_utf8()), |(word, token, ..)| (*token, word.len()));
            if !matches!(token, Token::Sign(_)) && tokens.contains(&token) {
                return Err(format!("`{text}` names a part of a date twice"));
            }
            tokens.push(token);
            rest = &rest[length..];
        }
        let has = |token| tokens.contains(&token);
        if !(has(Token::Year) && has(Token::Month) && has(Token::Day)) {
            return Err(format!("`{text}` does not say how a date is written: expected YYYY, MM and DD, such as `DD.MM.YYYY`"));
        }
        let timed = [Token::Hour, Token::Minute, Token::Second, Token::Fraction, Token::Zone].into_iter().any(has);
        if timed && !times {
            return Err(format!("`{text}` has a time in it, a date has none"));
        }
        Ok(Self::Pattern(tokens))
    }

    /// Reads a text; `None` if it is not written so, or is no day of the calendar.
    pub fn read(&self, text: &str) -> Option<Written> {
        match self {
            Self::Iso => iso(text),
            Self::Unix => unix(text, 6),
            Self::UnixMs => unix(text, 3),
            Self::Pattern(tokens) => pattern(tokens, text),
        }
    }

    /// How it is written, for a message.
    pub fn shown(&self) -> String {
        match self {
            Self::Iso => "YYYY-MM-DD".to_string(),
            Self::Unix => "unix".to_string(),
            Self::UnixMs => "unix_ms".to_string(),
            Self::Pattern(tokens) => tokens
                .iter()
                .map(|token| match token {
                    Token::Sign(sign) => sign.to_string(),
                    token => WORDS.iter().find(|(_, known, ..)| known == token).map_or("", |(word, ..)| word).to_string(),
                })
                .collect(),
        }
    }
}

impl Written {
    /// The day, if no time is written.
    pub fn date(self) -> Option<i32> {
        (self.micros == 0 && self.offset.is_none()).then_some(self.days)
    }

    /// The moment; `zone` is that of texts that say none.
    pub fn moment(self, zone: Option<i32>) -> Moment {
        let local = i64::from(self.days) * DAY_MICROS + self.micros;
        match self.offset.or(zone) {
            Some(seconds) => Moment { micros: local - i64::from(seconds) * 1_000_000, zoned: true },
            None => Moment { micros: local, zoned: false },
        }
    }
}

/// `UTC`, `Z`, `+02:00`, `-0530` or `+02`, as seconds east of Greenwich.
pub(super) fn offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z" | "UTC") {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 if rest.is_ascii() => rest.split_at(2),
        5 => rest.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (digits(hours, 2, 2)?, digits(minutes, 2, 2)?);
    (hours <= 15 && minutes <= 59).then_some(sign * (hours as i32 * 3600 + minutes as i32 * 60))
}

fn digits(text: &str, fewest: usize, most: usize) -> Option<u32> {
    let fine = (fewest..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fine { text.parse().ok() } else { None }
}

/// Days since 1970 of a day of the calendar.
fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    const UNIX: i32 = 2_440_588;
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    Some(date.to_julian_day() - UNIX)
}

/// Microseconds since midnight. A leap second counts as the first of the next minute, as in databases.
fn clock(hour: u32, minute: u32, second: u32, micros: u32) -> Option<i64> {
    let fine = hour < 24 && minute < 60 && second <= 60;
    fine.then_some(((i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second)) * 1_000_000 + i64::from(micros))
}

/// Digits of a fraction of a second as microseconds. More digits than six would be lost.
fn fraction(text: &str) -> Option<u32> {
    let kept = text.trim_end_matches('0');
    if text.is_empty() || kept.len() > 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{kept:0<6}").parse().ok()
}

/// `2026-11-23T10:00:00Z`, as computers write it.
fn exact(text: &str) -> Option<Written> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0u32, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + u32::from(digit))
        })
    };
    let signs = [bytes[4], bytes[7], bytes[10], bytes[13], bytes[16], bytes[19]];
    if !matches!(&signs, b"--T::Z" | b"-- ::Z") {
        return None;
    }
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let micros = clock(number(11, 13)?, number(14, 16)?, number(17, 19)?, 0)?;
    Some(Written { days, micros, offset: Some(0) })
}

/// Whether it is such a moment, as it would be written again.
pub(super) fn is_exact(text: &str) -> bool {
    text.as_bytes().get(10) == Some(&b'T')
        && !text.as_bytes().starts_with(b"0000")
        && !text.ends_with("60Z")
        && exact(text).is_some()
}

fn iso(text: &str) -> Option<Written> {
    if let Some(written) = exact(text) {
        return Some(written);
    }
    let day = text.get(..10)?;
    let bytes = day.as_bytes();
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let days = days(digits(day.get(..4)?, 4, 4)?, digits(day.get(5..7)?, 2, 2)?, digits(day.get(8..)?, 2, 2)?)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Written { days, micros: 0, offset: None });
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let time = time.trim_end_matches(' ');
    let offset = if zone.is_empty() { None } else { Some(offset(zone)?) };
    let (time, part) = time.split_once('.').map_or((time, None), |(time, part)| (time, Some(part)));
    let mut parts = time.split(':');
    let (hour, minute) = (digits(parts.next()?, 2, 2)?, digits(parts.next()?, 2, 2)?);
    let second = parts.next().map(|second| digits(second, 2, 2));
    if parts.next().is_some() || (part.is_some() && second.is_none()) {
        return None;
    }
    let second = match second {
        Some(second) => second?,
        None => 0,
    };
    let micros = clock(hour, minute, second, part.map_or(Some(0), fraction)?)?;
    Some(Written { days, micros, offset })
}

/// A number of seconds (`shift` 6) or milliseconds (`shift` 3) since 1970.
fn unix(text: &str, shift: u32) -> Option<Written> {
    let number = super::decimal::Decimal38::parse(text).ok()?.trimmed();
    let places = u32::from(number.places);
    let micros = number.units.checked_mul(10i128.checked_pow(shift.checked_sub(places)?)?)?;
    let micros = i64::try_from(micros).ok()?;
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).ok()?;
    // The years that a calendar of four digits has.
    time::Date::from_julian_day(days.checked_add(2_440_588)?).ok()?;
    Some(Written { days, micros: micros.rem_euclid(DAY_MICROS), offset: Some(0) })
}

fn pattern(tokens: &[Token], text: &str) -> Option<Written> {
    let mut parts = [0u32; 6];
    let (mut micros, mut zone) = (0, None);
    let mut rest = text;
    for token in tokens {
        match token {
            Token::Sign(sign) => rest = rest.strip_prefix(*sign)?,
            Token::Zone => {
                zone = Some(offset(rest)?);
                rest = "";
            }
            token => {
                let (at, most) = match token {
                    Token::Year => (0, 4),
                    Token::Month => (1, 2),
                    Token::Day => (2, 2),
                    Token::Hour => (3, 2),
                    Token::Minute => (4, 2),
                    Token::Second => (5, 2),
                    _ => (6, 9),
                };
                let length = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                let part = &rest[..length];
                rest = &rest[length..];
                match parts.get_mut(at) {
                    Some(slot) => *slot = digits(part, if at == 0 { 4 } else { 1 }, most)?,
                    None => micros = fraction(part)?,
                }
            }
        }
    }
    let [year, month, day, hour, minute, second] = parts;
    if !rest.is_empty() {
        return None;
    }
    Some(Written { days: days(year, month, day)?, micros: clock(hour, minute, second, micros)?, offset: zone })
}

#[cfg(test)]
mod tests {
    use super::super::cell::written;
    use super::*;

    fn moment(format: &TimeFormat, text: &str) -> Option<String> {
        format.read(text).map(|found| written(|out| found.moment(None).write(out)))
    }

    #[test]
    fn iso_times_are_read_with_and_without_zone() {
        let iso = |text: &str| moment(&TimeFormat::Iso, text);
        assert_eq!(iso("2026-11-23T10:00:00Z").as_deref(), Some("2026-11-23T10:00:00Z"));
        assert_eq!(iso("2026-11-23 10:00:00.5+02:00").as_deref(), Some("2026-11-23T08:00:00.500000Z"));
        assert_eq!(iso("1905-01-02 03:04").as_deref(), Some("1905-01-02 03:04:00"));
        assert_eq!(iso("1969-12-31T23:59:59.999999Z").as_deref(), Some("1969-12-31T23:59:59.999999Z"));
        for wrong in [
            "2026-02-30",
            "2026-1-2",
            "2026-11-23T",
            "2026-11-23T25:00",
            "2026-11-23T10:00:00.1234567",
            "23.11.2026",
            "ä026-11-23",
        ] {
            assert_eq!(iso(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn patterns_and_seconds_since_1970_are_read() {
        let of = |format: &str, text: &str| moment(&TimeFormat::of(format, true).unwrap(), text);
        assert_eq!(of("DD.MM.YYYY", "05.07.1969").as_deref(), Some("1969-07-05 00:00:00"));
        assert_eq!(of("D/M/YYYY hh:mm", "5/7/1969 13:05").as_deref(), Some("1969-07-05 13:05:00"));
        assert_eq!(of("YYYYMMDDhhmmsszz", "20261123100000-0500").as_deref(), Some("2026-11-23T15:00:00Z"));
        assert_eq!(of("unix", "-1.5").as_deref(), Some("1969-12-31T23:59:58.500000Z"));
        assert_eq!(of("unix_ms", "1000").as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(of("unix", "99999999999999"), None);
        assert!(TimeFormat::of("YYYY-DD", true).is_err() && TimeFormat::of("YYYY-MM-DD hh", false).is_err());
        assert!(TimeFormat::of("YYYY-MM-DD DD", false).is_err());
        let zoned = TimeFormat::Iso.read("2026-01-01 00:00").unwrap().moment(offset("+02:00"));
        assert_eq!(written(|out| zoned.write(out)), "2025-12-31T22:00:00Z");
    }
}
