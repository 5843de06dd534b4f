//! [`PostgresEncoder`]: values in PostgreSQL's binary form. What the server would round, cut or refuse is refused here, with its row.

use super::cell::{Cell, Moment};
use super::decimal::Decimal38;
use super::target::Encode;

/// Days and microseconds from 1970 to 2000, where PostgreSQL begins to count.
const DAYS: i32 = 10_957;
const MICROS: i64 = 946_684_800_000_000;

/// A type of PostgreSQL, as far as values of it are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PgType {
    Boolean,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// With the digits that it keeps, and those behind the point, if that is said.
    Numeric(Option<(u32, i32)>),
    /// With the characters that it takes, if that is said.
    Text(Option<usize>),
    Enum(Vec<String>),
    Bytea,
    Date,
    Timestamp,
    Timestamptz,
    Json,
    Jsonb,
    Uuid,
    /// With the number by which the server knows the elements' type.
    Array(Box<PgType>, u32),
    /// One that no value is written for.
    Other,
}

/// The table's columns.
#[derive(Debug)]
pub(super) struct PostgresEncoder {
    pub columns: Vec<(PgType, bool)>,
    pub staged: bool,
}

impl Encode for PostgresEncoder {
    fn begin(&self, item: u64, out: &mut Vec<u8>) {
        let own = if self.staged { 2 } else { 0 };
        out.extend_from_slice(&((self.columns.len() + own) as i16).to_be_bytes());
        if self.staged {
            out.extend_from_slice(&8i32.to_be_bytes());
            out.extend_from_slice(&item.to_be_bytes());
            out.extend_from_slice(&4i32.to_be_bytes());
            out.extend_from_slice(&0i32.to_be_bytes());
        }
    }

    fn keeps_texts(&self, column: usize) -> bool {
        matches!(self.columns[column].0, PgType::Text(None))
    }

    fn text(&self, text: &str, has_nul: bool, out: &mut Vec<u8>) -> bool {
        if !has_nul {
            field(out, text.as_bytes());
        }
        !has_nul
    }

    fn cell(&self, column: usize, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let (kind, not_null) = &self.columns[column];
        if *cell == Cell::Null && *not_null {
            return Err("has no value, and the table wants one (NOT NULL)".to_string());
        }
        value(kind, cell, out)
    }
}

fn value(kind: &PgType, cell: &Cell<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let range = |name: &str, least: i64, most: i64| format!("out of range, {name} is from {least} to {most}");
    match (kind, cell) {
        (_, Cell::Null) => out.extend_from_slice(&(-1i32).to_be_bytes()),
        (PgType::Boolean, Cell::Boolean(is)) => field(out, &[u8::from(*is)]),
        (PgType::Int2, Cell::Integer(number)) => {
            let number = i16::try_from(*number).map_err(|_| range("smallint", i16::MIN.into(), i16::MAX.into()))?;
            field(out, &number.to_be_bytes());
        }
        (PgType::Int4, Cell::Integer(number)) => {
            let number = i32::try_from(*number).map_err(|_| range("integer", i32::MIN.into(), i32::MAX.into()))?;
            field(out, &number.to_be_bytes());
        }
        (PgType::Int8, Cell::Integer(number)) => field(out, &number.to_be_bytes()),
        (PgType::Numeric(_), Cell::Integer(number)) => {
            return value(kind, &Cell::Decimal(Decimal38 { units: i128::from(*number), places: 0 }), out);
        }
        (PgType::Numeric(size), Cell::Decimal(number)) => numeric(*size, *number, out)?,
        (PgType::Float4, Cell::Float(number)) => {
            let small = *number as f32;
            if small.is_infinite() && number.is_finite() {
                return Err("too large for a real".to_string());
            }
            field(out, &small.to_be_bytes());
        }
        (PgType::Float8, Cell::Float(number)) => field(out, &number.to_be_bytes()),
        (PgType::Text(most), Cell::Text(text)) => {
            if text.len() > most.unwrap_or(usize::MAX) {
                let (length, most) = (text.chars().count(), most.unwrap_or(usize::MAX));
                if length > most {
                    return Err(format!("{length} characters long, the table takes {most}"));
                }
            }
            plain(text, out)?;
        }
        (PgType::Enum(values), Cell::Text(text)) => {
            if !values.iter().any(|value| *value == *text) {
                return Err(format!("none of the table's {}", crate::nearest::list(values.iter().map(String::as_str), 12)));
            }
            plain(text, out)?;
        }
        (PgType::Json, Cell::Text(text)) => plain(text, out)?,
        (PgType::Jsonb, Cell::Text(text)) => {
            if text.contains("\\u0000") {
                return Err("JSON with the character \\u0000, which PostgreSQL cannot keep".to_string());
            }
            sized(out, |out| {
                out.push(1);
                out.extend_from_slice(text.as_bytes());
                Ok(())
            })?;
        }
        (PgType::Bytea, Cell::Bytes(bytes)) => field(out, bytes),
        (PgType::Date, Cell::Date(days)) => field(out, &(days - DAYS).to_be_bytes()),
        (PgType::Timestamptz, Cell::Timestamp(Moment { zoned: false, .. })) => {
            return Err("without a zone, which the table wants; `zone: UTC` says which is meant".to_string());
        }
        (PgType::Timestamp | PgType::Timestamptz, Cell::Timestamp(moment)) => field(out, &(moment.micros - MICROS).to_be_bytes()),
        (PgType::Uuid, Cell::Uuid(uuid)) => field(out, &uuid.to_be_bytes()),
        (PgType::Array(of, oid), Cell::Array(cells)) => {
            sized(out, |out| {
                let has_null = cells.contains(&Cell::Null);
                let dimensions = i32::from(!cells.is_empty());
                out.extend_from_slice(&dimensions.to_be_bytes());
                out.extend_from_slice(&i32::from(has_null).to_be_bytes());
                out.extend_from_slice(&oid.to_be_bytes());
                if cells.is_empty() {
                    return Ok(());
                }
                out.extend_from_slice(&(cells.len() as i32).to_be_bytes());
                out.extend_from_slice(&1i32.to_be_bytes());
                cells
                    .iter()
                    .enumerate()
                    .try_for_each(|(at, cell)| value(of, cell, out).map_err(|wrong| format!("element {} is {wrong}", at + 1)))
            })?;
        }
        _ => return Err("not what the table's column takes".to_string()),
    }
    Ok(())
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    // No value is longer than a row, and no row longer than 8 MiB.
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn plain(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err("a text with a NUL character, which PostgreSQL cannot keep".to_string());
    }
    field(out, text.as_bytes());
    Ok(())
}

/// A value whose length is known once it is written.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) -> Result<(), String> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Groups of four decimal digits, those in front of the point and those behind it.
fn numeric(size: Option<(u32, i32)>, number: Decimal38, out: &mut Vec<u8>) -> Result<(), String> {
    if let Some((precision, scale)) = size {
        let trimmed = number.trimmed();
        if i32::from(trimmed.places) > scale {
            return Err(format!("a number with {} digits behind the point, the table keeps {scale}", trimmed.places));
        }
        let most = i64::from(precision) - i64::from(scale);
        if i64::from(number.whole_digits()) > most {
            return Err(format!("a number with {} digits in front of the point, the table keeps {most}", number.whole_digits()));
        }
    }
    let places = u32::from(number.places);
    let units = number.units.unsigned_abs();
    let mut groups = [0u16; 24];
    let mut first = 12;
    if let (Ok(mut short @ 0..10_000_000_000_000_000), 0..=16) = (u64::try_from(units), places) {
        // Nearly all numbers are short, and those are divided fast.
        short *= [1, 1000, 100, 10][places as usize % 4];
        let end = 12 + places.div_ceil(4) as usize;
        let mut at = end;
        while short > 0 {
            at -= 1;
            groups[at] = (short % 10_000) as u16;
            short /= 10_000;
        }
        write_numeric(number, &groups, (at.min(12), end), out);
        return Ok(());
    }
    let one = 10u128.pow(places);
    let (mut whole, fraction) = (units / one, units % one);
    while whole > 0 {
        first -= 1;
        groups[first] = (whole % 10_000) as u16;
        whole /= 10_000;
    }
    let mut end = 12;
    let (mut rest, mut left) = (fraction, places);
    while rest > 0 {
        if left >= 4 {
            let one = 10u128.pow(left - 4);
            groups[end] = (rest / one) as u16;
            rest %= one;
            left -= 4;
        } else {
            groups[end] = (rest * 10u128.pow(4 - left)) as u16;
            rest = 0;
        }
        end += 1;
    }
    write_numeric(number, &groups, (first, end), out);
    Ok(())
}

/// The groups from `first` to `end`; the point stands in front of the twelfth.
fn write_numeric(number: Decimal38, groups: &[u16; 24], (first, end): (usize, usize), out: &mut Vec<u8>) {
    let mut digits = &groups[first..end];
    let mut weight = 11 - first as i32;
    // Neither zeros in front nor behind are kept.
    while let Some((0, behind)) = digits.split_first() {
        digits = behind;
        weight -= 1;
    }
    while let Some((0, before)) = digits.split_last() {
        digits = before;
    }
    let sign: u16 = if number.units < 0 { 0x4000 } else { 0 };
    out.extend_from_slice(&(8 + 2 * digits.len() as i32).to_be_bytes());
    out.extend_from_slice(&(digits.len() as u16).to_be_bytes());
    out.extend_from_slice(&(if digits.is_empty() { 0 } else { weight as i16 }).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::from(number.places).to_be_bytes());
    digits.iter().for_each(|digit| out.extend_from_slice(&digit.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<i16> {
        let mut out = Vec::new();
        numeric(None, Decimal38::parse(text).unwrap(), &mut out).unwrap();
        out[4..].chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn numbers_are_groups_of_four_digits() {
        // Groups, weight of the first, sign, digits behind the point, the groups.
        assert_eq!(bytes("0"), [0, 0, 0, 0]);
        assert_eq!(bytes("19.99"), [2, 0, 0, 2, 19, 9900]);
        assert_eq!(bytes("-12345.00001"), [4, 1, 0x4000, 5, 1, 2345, 0, 1000]);
        assert_eq!(bytes("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(bytes("0.00005"), [1, -2, 0, 5, 5000]);
        assert_eq!(bytes("0.50"), [1, -1, 0, 2, 5000]);
        let long = bytes("12345678901234567890123456789012345678");
        assert_eq!(long, [10, 9, 0, 0, 12, 3456, 7890, 1234, 5678, 9012, 3456, 7890, 1234, 5678]);
        assert_eq!(bytes("0.12345678901234567890123456789012345678")[13], 7800);
        // Long by their zeros, and otherwise the same.
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let (places, wholes) = (random.u32(1..16), random.u32(1..6));
            let digits = random.u64(0..10u64.pow(places));
            let whole = random.u64(0..10u64.pow(wholes));
            let text = format!("{whole}.{digits:0>width$}", width = random.usize(1..12)).chars().take(17).collect::<String>();
            let long = format!("{text:0<33}");
            let (mut short, mut long) = (bytes(&text), bytes(&long));
            (short[3], long[3]) = (0, 0);
            assert_eq!(short, long, "{text}");
        }
    }

    #[test]
    fn what_the_server_would_round_or_cut_is_refused() {
        let refused = |kind: &PgType, cell: &Cell<'_>| value(kind, cell, &mut Vec::new()).unwrap_err();
        let decimal = |text: &str| Cell::Decimal(Decimal38::parse(text).unwrap());
        let size = PgType::Numeric(Some((6, 2)));
        assert!(refused(&size, &decimal("1.005")).contains("3 digits behind the point"));
        assert!(refused(&size, &decimal("10000")).contains("5 digits in front"));
        assert!(value(&size, &decimal("9999.9900"), &mut Vec::new()).is_ok());
        assert!(refused(&PgType::Int2, &Cell::Integer(32_768)).contains("smallint is from -32768 to 32767"));
        assert!(refused(&PgType::Text(Some(2)), &Cell::Text("äöü".into())).contains("3 characters"));
        assert!(value(&PgType::Text(Some(3)), &Cell::Text("äöü".into()), &mut Vec::new()).is_ok());
        assert!(refused(&PgType::Text(None), &Cell::Text("a\0".into())).contains("NUL"));
    }
}
