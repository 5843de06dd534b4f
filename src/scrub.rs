//! [`Needles`]: texts that must not be seen, taken out of other texts in every spelling they may have there.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::Finder;

/// The fewest bytes of a needle: a shorter one is found in everything.
pub(crate) const SHORTEST: usize = 4;

/// What stands where a needle was.
pub(crate) const HIDDEN: &str = "***";

/// Texts that must not be seen. One is also found where it is written with JSON's escapes or percent-encoded, in whatever manner,
/// and where these are inside each other.
#[derive(Clone, Default)]
pub(crate) struct Needles(Vec<Finder<'static>>);

impl Needles {
    /// These texts, but for those that are shorter than [`SHORTEST`].
    pub fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> = texts.into_iter().filter(|text| text.len() >= SHORTEST).collect();
        texts.sort();
        texts.dedup();
        Self(texts.iter().map(|text| Finder::new(text).into_owned()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with `***` where a needle was.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.scrub_bytes(text.as_bytes()) {
            None => Cow::Borrowed(text),
            // A needle begins and ends with a character, so what is left of a text is one.
            Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The same for bytes of any kind; `None` if there is no needle in them.
    pub fn scrub_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.is_empty() {
            return None;
        }
        let mut found = Vec::new();
        self.find(bytes, |range| range, &mut found);
        let mut readings = self.readings(bytes);
        let deeper =
            |reading: &Reading| self.readings(&reading.bytes).into_iter().map(|deep| deep.over(reading)).collect::<Vec<_>>();
        let deeper: Vec<Reading> = readings.iter().flat_map(deeper).collect();
        readings.extend(deeper);
        for reading in &readings {
            self.find(&reading.bytes, |range| reading.written(range), &mut found);
        }
        if found.is_empty() {
            return None;
        }
        found.sort_unstable_by_key(|range| (range.start, range.end));
        let mut scrubbed = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for range in found {
            if range.start > at || scrubbed.is_empty() {
                scrubbed.extend_from_slice(&bytes[at..range.start]);
                scrubbed.extend_from_slice(HIDDEN.as_bytes());
            }
            at = at.max(range.end);
        }
        scrubbed.extend_from_slice(&bytes[at..]);
        Some(scrubbed)
    }

    /// What the bytes are without one encoding, whichever they may have.
    fn readings(&self, bytes: &[u8]) -> Vec<Reading> {
        let has = |sign: u8| bytes.contains(&sign);
        let spaces = has(b'+') && self.0.iter().any(|needle| needle.needle().contains(&b' '));
        let json = has(b'\\').then(|| json(bytes));
        let path = has(b'%').then(|| percent(bytes, false));
        let form = spaces.then(|| percent(bytes, true));
        [json, path, form].into_iter().flatten().collect()
    }

    fn find(&self, bytes: &[u8], written: impl Fn(Range<usize>) -> Range<usize>, found: &mut Vec<Range<usize>>) {
        for needle in &self.0 {
            let length = needle.needle().len();
            found.extend(needle.find_iter(bytes).map(|at| written(at..at + length)));
        }
    }
}

/// Bytes as someone reads them who undoes an encoding, each with the place where it is written.
struct Reading {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Reading {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: Vec::with_capacity(bytes.len()), places: Vec::with_capacity(bytes.len()) }
    }

    fn push(&mut self, read: &[u8], place: Range<usize>) {
        self.bytes.extend_from_slice(read);
        self.places.extend(read.iter().map(|_| place.clone()));
    }

    fn written(&self, read: Range<usize>) -> Range<usize> {
        match (self.places.get(read.start), read.end.checked_sub(1).and_then(|last| self.places.get(last))) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }

    /// The same with the places of the text that `outer` was read from.
    fn over(mut self, outer: &Self) -> Self {
        self.places.iter_mut().for_each(|place| *place = outer.written(place.clone()));
        self
    }
}

/// Without JSON's escapes.
fn json(bytes: &[u8]) -> Reading {
    let mut reading = Reading::of(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let (read, length) = match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'u')) => escaped(bytes, at),
            (b'\\', Some(sign)) => {
                let read = match sign {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    other => *other,
                };
                (vec![read], 2)
            }
            (byte, _) => (vec![byte], 1),
        };
        reading.push(&read, at..at + length);
        at += length;
    }
    reading
}

/// The character that is written as `\uXXXX`, or as two of them, and how many bytes that are.
fn escaped(bytes: &[u8], at: usize) -> (Vec<u8>, usize) {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        u16::from_str_radix(std::str::from_utf8(&digits[2..]).ok()?, 16).ok()
    };
    let Some(first) = unit(at) else { return (vec![bytes[at]], 1) };
    let units: Vec<u16> = std::iter::once(first).chain(unit(at + 6)).collect();
    match char::decode_utf16(units).next() {
        Some(Ok(character)) => (character.to_string().into_bytes(), if character.len_utf16() == 2 { 12 } else { 6 }),
        _ => (vec![bytes[at]], 1),
    }
}

/// Without percent-encoding, as in a path or, with `+` for a space, as in a form.
fn percent(bytes: &[u8], form: bool) -> Reading {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut reading = Reading::of(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let (read, length) = match (bytes[at], hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (b'+', ..) if form => (b' ', 1),
            (byte, ..) => (byte, 1),
        };
        reading.push(&[read], at..at + length);
        at += length;
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrub(needles: &[&str], text: &str) -> String {
        Needles::new(needles.iter().map(ToString::to_string)).scrub(text).into_owned()
    }

    #[test]
    fn a_needle_is_found_in_every_spelling() {
        let needle = "pa\"ss/wörd+1 &";
        for written in [
            "pa\"ss/wörd+1 &",
            r#"pa\"ss/wörd+1 &"#,
            r#"pa\"ss\/w\u00f6rd+1 \u0026"#,
            "pa%22ss%2Fw%C3%B6rd%2B1%20%26",
            "pa%22ss/w%c3%b6rd%2b1%20&",
            "pa%22ss%2Fw%C3%B6rd%2B1+%26",
            "pa%22ss/wörd%2B1+%26",
            "pa%2522ss%252Fw%25C3%25B6rd%252B1%2520%2526",
            r#"pa\\\"ss\\/wörd+1 &"#,
        ] {
            assert_eq!(scrub(&[needle], &format!("a {written} b")), "a *** b", "{written}");
        }
        assert_eq!(scrub(&["key\u{1f511}"], r"key\ud83d\udd11!"), "***!");
    }

    #[test]
    fn the_longest_is_taken_whole_and_what_is_not_there_changes_nothing() {
        assert_eq!(scrub(&["token", "token-and-more"], "token-and-more, token"), "***, ***");
        assert_eq!(scrub(&["abcd", "cdef"], "xabcdefx"), "x***x");
        assert_eq!(scrub(&["abcd"], "abcdabcd abcd"), "*** ***");
        assert_eq!(scrub(&["abcd"], "%zz 100% \\ \\u12 \\ud800 %"), "%zz 100% \\ \\u12 \\ud800 %");
        assert_eq!(scrub(&["abc"], "abc"), "abc", "too short to be looked for");
        assert!(matches!(Needles::default().scrub("x"), Cow::Borrowed("x")));
        let bytes = Needles::new(["abcd".to_string()]).scrub_bytes(b"\xff abcd \xfe").unwrap();
        assert_eq!(bytes, b"\xff *** \xfe");
    }
}
