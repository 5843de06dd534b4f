//! The encoding of keys where text has no room for every character: in S3's listings and in its inventories.

/// Takes back S3's URL encoding, in which `+` is a space; whether the result is not UTF-8, and then it is the text as it was.
pub(crate) fn decode_key(text: &str) -> (String, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, tail @ ..]) => match (char::from(*high).to_digit(16), char::from(*low).to_digit(16)) {
                (Some(high), Some(low)) => {
                    rest = tail;
                    (high << 4 | low) as u8
                }
                _ => b'%',
            },
            _ => *first,
        });
    }
    match String::from_utf8(bytes) {
        Ok(key) => (key, false),
        Err(_) => (text.to_string(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::decode_key;

    #[test]
    fn the_encoding_of_keys_is_taken_back() {
        assert_eq!(decode_key("a/b+c%2Bd%C3%BC%01.jpg"), ("a/b c+dü\u{1}.jpg".to_string(), false));
        assert_eq!(decode_key("100%"), ("100%".to_string(), false));
        assert_eq!(decode_key("%zz%4"), ("%zz%4".to_string(), false));
        assert_eq!(decode_key("a%FF"), ("a%FF".to_string(), true));
    }
}
