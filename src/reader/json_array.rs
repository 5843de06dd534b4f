//! The elements of an array somewhere in a JSON document, one at a time: the document is never in memory.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Pointer;

/// Why the elements cannot be had.
#[derive(Debug)]
pub(super) enum ArrayError<E> {
    /// The document is not JSON; in serde_json's words, with the line and the column.
    Syntax(serde_json::Error),
    /// There is no array at the pointer; a lowercase fragment.
    NoArray(String),
    /// Who takes the elements has failed.
    Taker(E),
}

/// Hands each element of the array at `pointer` to `take`, as compact JSON; `take` says whether it wants more. The document is
/// read to its end in any case.
pub(super) fn elements<E>(
    document: impl Read,
    pointer: &Pointer,
    take: impl FnMut(&[u8]) -> Result<bool, E>,
) -> Result<(), ArrayError<E>> {
    let mut search = Search { take, wants: true, found: false, no_array: None, failed: None, line: Vec::new() };
    let mut deserializer = serde_json::Deserializer::from_reader(document);
    let walked = Walk { search: &mut search, rest: pointer.parts(), at: 0, pointer }.deserialize(&mut deserializer);
    let ended = walked.and_then(|()| deserializer.end());
    match (search.failed, search.no_array, ended) {
        (Some(error), ..) => Err(ArrayError::Taker(error)),
        (_, Some(no_array), _) => Err(ArrayError::NoArray(no_array)),
        (_, _, Err(error)) => Err(ArrayError::Syntax(error)),
        (_, _, Ok(())) if search.found => Ok(()),
        _ => Err(ArrayError::NoArray(format!("nothing is at `{pointer}`"))),
    }
}

struct Search<T, E> {
    take: T,
    wants: bool,
    found: bool,
    no_array: Option<String>,
    failed: Option<E>,
    line: Vec<u8>,
}

/// What is left of the way to the array.
struct Walk<'s, T, E> {
    search: &'s mut Search<T, E>,
    rest: &'s [String],
    /// How many parts of the pointer are behind.
    at: usize,
    pointer: &'s Pointer,
}

impl<T, E> Walk<'_, T, E> {
    /// Stops everything; what is wrong is kept beside serde's own error.
    fn no_array<F: serde::de::Error>(self, found: &str) -> Result<(), F> {
        let here: String = self.pointer.parts()[..self.at].iter().map(|part| format!("/{part}")).collect();
        let place = if here.is_empty() { "the document".to_string() } else { format!("`{here}`") };
        self.search.no_array = Some(match self.rest.first() {
            None => format!("{place} is {found}, not an array"),
            Some(part) => format!("{place} is {found}, so there is no `{part}` in it"),
        });
        Err(F::custom("no array"))
    }
}

impl<'de, T: FnMut(&[u8]) -> Result<bool, E>, E> DeserializeSeed<'de> for Walk<'_, T, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FnMut(&[u8]) -> Result<bool, E>, E> Visitor<'de> for Walk<'_, T, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Some((part, rest)) = self.rest.split_first() else {
            self.search.found = true;
            while self.search.wants {
                let Some(element) = array.next_element::<Box<RawValue>>()? else { return Ok(()) };
                compact(element.get().as_bytes(), &mut self.search.line);
                match (self.search.take)(&self.search.line) {
                    Ok(wants) => self.search.wants = wants,
                    Err(error) => {
                        self.search.failed = Some(error);
                        return Err(A::Error::custom("stopped"));
                    }
                }
            }
            while array.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let Ok(wanted) = part.parse::<usize>() else { return self.no_array("an array") };
        let mut index = 0;
        loop {
            let more = if index == wanted {
                let walk = Walk { search: &mut *self.search, rest, at: self.at + 1, pointer: self.pointer };
                array.next_element_seed(walk)?.is_some()
            } else {
                array.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
            index += 1;
        }
        if index > wanted { Ok(()) } else { self.no_array(&format!("an array of {index}")) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut names: Vec<String> = Vec::new();
        let mut found = false;
        while let Some(name) = object.next_key::<String>()? {
            match self.rest.split_first() {
                Some((part, _)) if *part == name && found => {
                    self.search.no_array = Some(format!("`{name}` of `{}` is there twice", self.pointer));
                    return Err(A::Error::custom("ambiguous"));
                }
                Some((part, rest)) if *part == name => {
                    found = true;
                    object.next_value_seed(Walk { search: &mut *self.search, rest, at: self.at + 1, pointer: self.pointer })?;
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
            if names.len() < 10 {
                names.push(name);
            }
        }
        if found {
            return Ok(());
        }
        let names = crate::nearest::list(names.iter().map(String::as_str), 9);
        self.no_array(&if names.is_empty() { "an empty object".to_string() } else { format!("an object with {names}") })
    }

    fn visit_str<F: serde::de::Error>(self, _: &str) -> Result<(), F> {
        self.no_array("a text")
    }

    fn visit_bool<F: serde::de::Error>(self, value: bool) -> Result<(), F> {
        self.no_array(&value.to_string())
    }

    fn visit_u64<F: serde::de::Error>(self, _: u64) -> Result<(), F> {
        self.no_array("a number")
    }

    fn visit_i64<F: serde::de::Error>(self, _: i64) -> Result<(), F> {
        self.no_array("a number")
    }

    fn visit_f64<F: serde::de::Error>(self, _: f64) -> Result<(), F> {
        self.no_array("a number")
    }

    fn visit_unit<F: serde::de::Error>(self) -> Result<(), F> {
        self.no_array("null")
    }
}

/// Takes out the white space between tokens: numbers and texts stay as they are written, and no line break is left.
fn compact(json: &[u8], line: &mut Vec<u8>) {
    line.clear();
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_text = byte == b'"';
        }
        line.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, pointer: &str, limit: usize) -> Result<Vec<String>, String> {
        let pointer = serde_json::from_value(serde_json::json!(pointer)).unwrap();
        let mut lines = Vec::new();
        let read = elements(document.as_bytes(), &pointer, |line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            Ok::<_, ()>(lines.len() < limit)
        });
        match read {
            Ok(()) => Ok(lines),
            Err(ArrayError::NoArray(text)) => Err(text),
            Err(ArrayError::Syntax(error)) => Err(error.to_string()),
            Err(ArrayError::Taker(())) => Err("taker".into()),
        }
    }

    #[test]
    fn elements_come_as_written_without_white_space() {
        let document = "{\"a\": {\"b\": [1.10, {\"x\" :\n \"a \\\" b\"}, null, [ ]]}, \"z\": 1}";
        assert_eq!(read(document, "/a/b", 9).unwrap(), ["1.10", "{\"x\":\"a \\\" b\"}", "null", "[]"]);
        assert_eq!(read(document, "/a/b", 2).unwrap().len(), 2);
        assert_eq!(read("[[1],[2,3]]", "/1", 9).unwrap(), ["2", "3"]);
        assert_eq!(read("{\"a/b\":{\"~\":[1]}}", "/a~1b/~0", 9).unwrap(), ["1"]);
        assert_eq!(read(" [ ] ", "", 9).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_array_is_said_with_what_is_there() {
        for (document, pointer, message) in [
            ("{\"orders\":[], \"meta\":1}", "", "the document is an object with `orders`, `meta`, not an array"),
            ("{\"orders\":[]}", "/order", "the document is an object with `orders`, so there is no `order` in it"),
            ("{\"a\":{\"b\":\"x\"}}", "/a/b", "`/a/b` is a text, not an array"),
            ("{\"a\":3}", "/a/b", "`/a` is a number, so there is no `b` in it"),
            ("[[1]]", "/5", "the document is an array of 1, so there is no `5` in it"),
            ("[]", "/x", "the document is an array, so there is no `x` in it"),
            ("{\"a\":[1],\"a\":[2]}", "/a", "`a` of `/a` is there twice"),
            ("null", "", "the document is null, not an array"),
            ("[1,2", "", "EOF while parsing a list at line 1 column 4"),
            ("[1,]", "", "trailing comma at line 1 column 4"),
            ("[1] x", "", "trailing characters at line 1 column 5"),
            ("", "", "EOF while parsing a value at line 1 column 0"),
        ] {
            assert_eq!(read(document, pointer, 9), Err(message.to_string()), "{document}");
        }
    }
}
