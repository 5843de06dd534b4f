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
pub(super) fn write_date(out: &mut String, days: i32) {
    use std::fmt::Write;
    let (year, month, day) = civil(days);
    // Writing to a text cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
}

impl Moment {
    /// `2026-11-23T10:00:00Z`, or without zone `2026-11-23 10:00:00`; with six digits of a fraction if there is one.
    pub fn text(self) -> String {
        use std::fmt::Write;
        let days = self.micros.div_euclid(DAY_MICROS);
        let rest = self.micros.rem_euclid(DAY_MICROS);
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let mut text = String::with_capacity(27);
        write_date(&mut text, i32::try_from(days).unwrap_or_default());
        let between = if self.zoned { 'T' } else { ' ' };
        let _ = write!(text, "{between}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if micros != 0 {
            let _ = write!(text, ".{micros:06}");
        }
        if self.zoned {
            text.push('Z');
        }
        text
    }
}
