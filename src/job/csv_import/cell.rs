//! [`Cell`]: a value of its kind, on its way into the database.

use std::borrow::Cow;

use super::decimal::Decimal38;

/// A value of its kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    Integer(i64),
    Decimal(Decimal38),
    Float(f64),
    Boolean(bool),
    /// Also the text of an enum or of JSON.
    Text(Cow<'a, str>),
    /// Days since 1970-01-01.
    Date(i32),
    Timestamp(Moment),
    Uuid(u128),
    Bytes(Vec<u8>),
    Array(Vec<Cell<'a>>),
}

/// A day and a time, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Microseconds since 1970-01-01 00:00:00, in UTC if the zone is known, else as the clock on the wall shows it.
    pub micros: i64,
    /// Whether the zone is known.
    pub zoned: bool,
}

pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// Year, month and day of a day since 1970-01-01.
pub(super) fn civil(days: i32) -> (i32, u8, u8) {
    const UNIX: i32 = 2_440_588;
    match time::Date::from_julian_day(days.saturating_add(UNIX)) {
        Ok(date) => (date.year(), u8::from(date.month()), date.day()),
        // No reader makes a day outside of the years -9999 to 9999.
        Err(_) => (0, 1, 1),
    }
}

/// Appends `2026-11-23`.
pub(super) fn write_date(out: &mut Vec<u8>, days: i32) {
    let (year, month, day) = civil(days);
    if year < 0 {
        out.push(b'-');
    }
    digits::<4>(out, year.unsigned_abs());
    out.push(b'-');
    digits::<2>(out, month.into());
    out.push(b'-');
    digits::<2>(out, day.into());
}

/// Appends a number with leading zeros. The general way of writing numbers takes longer than writing the whole row.
fn digits<const N: usize>(out: &mut Vec<u8>, mut number: u32) {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text);
}

/// Appends `6f9619ff-8b86-d011-b42d-00c04fc964ff`.
pub(super) fn write_uuid(out: &mut Vec<u8>, uuid: u128) {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    uuid::Uuid::from_u128(uuid).hyphenated().encode_lower(&mut text);
    out.extend_from_slice(&text);
}

impl Moment {
    /// Appends `2026-11-23T10:00:00Z`, or without zone `2026-11-23 10:00:00`; with six digits of a fraction if there is one.
    pub fn write(self, out: &mut Vec<u8>) {
        let days = self.micros.div_euclid(DAY_MICROS);
        let rest = self.micros.rem_euclid(DAY_MICROS);
        // Less than a day: neither has more than 32 bits.
        let (seconds, micros) = ((rest / 1_000_000) as u32, (rest % 1_000_000) as u32);
        write_date(out, i32::try_from(days).unwrap_or_default());
        out.push(if self.zoned { b'T' } else { b' ' });
        digits::<2>(out, seconds / 3600);
        out.push(b':');
        digits::<2>(out, seconds / 60 % 60);
        out.push(b':');
        digits::<2>(out, seconds % 60);
        if micros != 0 {
            out.push(b'.');
            digits::<6>(out, micros);
        }
        if self.zoned {
            out.push(b'Z');
        }
    }
}

/// A value as the text that a database without its type keeps, such as [`Moment::write`] gives it.
pub(super) fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut text = Vec::new();
    write(&mut text);
    String::from_utf8(text).unwrap_or_default()
}
