//! The words and signs of an expression, each with its place: what the rewriting works on.

use super::error::ExpressionError;

/// One word or sign of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    pub text: &'t str,
    /// In bytes from the start of the whole text.
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Text,
    Number,
    Sign,
}

impl Token<'_> {
    pub fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

/// Splits what follows a `{{` up to its `}}`. Returns the tokens and the offset behind the `}}`.
pub(super) fn tokens(text: &str, start: usize) -> Result<(Vec<Token<'_>>, usize), ExpressionError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut braces = 0usize;
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'}' && braces == 0 && bytes.get(at + 1) == Some(&b'}') {
            return Ok((tokens, at + 2));
        }
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, run(bytes, at, |b| b.is_ascii_alphanumeric() || b == b'_')),
            b'0'..=b'9' => (Kind::Number, number(bytes, at, tokens.last())),
            b'"' | b'\'' => (Kind::Text, quoted(text, at)?),
            b'{' => {
                braces += 1;
                (Kind::Sign, at + 1)
            }
            b'}' => {
                braces = braces.saturating_sub(1);
                (Kind::Sign, at + 1)
            }
            b'/' | b'*' if bytes.get(at + 1) == Some(&byte) => (Kind::Sign, at + 2),
            b'=' | b'!' | b'<' | b'>' if bytes.get(at + 1) == Some(&b'=') => (Kind::Sign, at + 2),
            b'%' if bytes.get(at + 1) == Some(&b'}') => {
                return Err(ExpressionError::new(at, "`{% %}` is not known here, only `{{ }}`"));
            }
            b'+' | b'-' | b'/' | b'*' | b'%' | b'.' | b',' | b':' | b'|' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b'=' => {
                (Kind::Sign, at + 1)
            }
            b'~' => {
                let error = ExpressionError::new(at, "`~` is not known in an expression");
                return Err(error.hint("write the parts side by side, `{{ a }}{{ b }}`, or `[a, b] | join`"));
            }
            _ => {
                let found = text[at..].chars().next().unwrap_or_default();
                return Err(ExpressionError::new(at, format!("`{}` cannot be in an expression", found.escape_debug())));
            }
        };
        if kind == Kind::Number && bytes.get(end).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            return Err(ExpressionError::new(at, "a number in an expression is digits only"));
        }
        tokens.push(Token { kind, text: &text[at..end], offset: at });
        at = end;
    }
    let error = ExpressionError::new(start.saturating_sub(2), "`{{` is not closed");
    Err(error.hint("end the expression with `}}`; two braces meant as text are `{{ '{{' }}`"))
}

fn run(bytes: &[u8], start: usize, part: impl Fn(u8) -> bool) -> usize {
    bytes[start..].iter().position(|byte| !part(*byte)).map_or(bytes.len(), |length| start + length)
}

/// The end of a number. Behind a point only digits belong to it: `item.lines.0.sku` has no fraction.
fn number(bytes: &[u8], start: usize, before: Option<&Token<'_>>) -> usize {
    let end = run(bytes, start, |b| b.is_ascii_digit() || b == b'_');
    if before.is_some_and(|token| token.is(".")) {
        return end;
    }
    let mut end = end;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = run(bytes, end + 1, |b| b.is_ascii_digit());
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let digits = if matches!(bytes.get(end + 1), Some(b'+' | b'-')) { end + 2 } else { end + 1 };
        if bytes.get(digits).is_some_and(u8::is_ascii_digit) {
            end = run(bytes, digits, |b| b.is_ascii_digit());
        }
    }
    end
}

fn quoted(text: &str, start: usize) -> Result<usize, ExpressionError> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if byte == bytes[start] => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(ExpressionError::new(start, "the quoted text in the expression is not closed"))
}
