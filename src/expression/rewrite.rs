//! Finds the paths of an expression and puts calls in their place, so that looking them up stays ours.
//!
//! `item.lines[0].sku | upper` becomes `_name(0) | upper`, and what is looked up in a computed value, `item.lines[params.n].sku`,
//! becomes `_at(_at(_name(0), _name(1)), "sku")`. Three promises need it: an attribute of null is null, an attribute that is not
//! there is an error with the names that are, and only what is named is converted, however large the item is.

use super::error::ExpressionError;
use super::filters::{FILTERS, TESTS};
use super::name::{Name, Step};
use super::scan::{Kind, Token};
use crate::nearest::{list, nearest};

/// The most brackets inside each other.
const DEPTH: usize = 32;

/// An expression with calls in place of its paths.
pub(super) struct Rewritten {
    pub source: String,
    pub names: Vec<Name>,
    /// The whole expression is one path, `names[0]`.
    pub plain: bool,
    /// What may make a binary fraction of a number, and where: a product with a power of ten, a quotient, a rounding.
    pub fraction: Option<(String, usize)>,
}

pub(super) fn rewrite(tokens: &[Token<'_>]) -> Result<Rewritten, ExpressionError> {
    let mut rewriter = Rewriter { tokens, at: 0, depth: 0, source: String::new(), names: Vec::new() };
    rewriter.until(None)?;
    let plain = rewriter.source.trim() == "_name(0)";
    Ok(Rewritten { source: rewriter.source, names: rewriter.names, plain, fraction: fraction(tokens) })
}

/// Where amounts lose their exactness. Products of counts are left alone.
fn fraction(tokens: &[Token<'_>]) -> Option<(String, usize)> {
    let is_scale = |token: Option<&Token<'_>>| {
        token.is_some_and(|token| {
            token.kind == Kind::Number && (token.text.contains(['.', 'e', 'E']) || ["10", "100", "1000"].contains(&token.text))
        })
    };
    tokens.iter().enumerate().find_map(|(at, token)| {
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let loses = match token.text {
            "/" => true,
            "*" => is_scale(before) || is_scale(tokens.get(at + 1)),
            "+" | "-" => [before, tokens.get(at + 1)]
                .into_iter()
                .flatten()
                .any(|token| token.kind == Kind::Number && token.text.contains('.')),
            "round" => before.is_some_and(|token| token.is("|")),
            _ => false,
        };
        (loses && token.kind != Kind::Text).then(|| (token.text.to_string(), token.offset))
    })
}

struct Rewriter<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    depth: usize,
    source: String,
    names: Vec<Name>,
}

impl<'t> Rewriter<'t> {
    fn peek(&self, ahead: usize) -> Option<Token<'t>> {
        self.tokens.get(self.at + ahead).copied()
    }

    fn peek_is(&self, ahead: usize, sign: &str) -> bool {
        self.peek(ahead).is_some_and(|token| token.is(sign))
    }

    fn copy(&mut self) {
        if let Some(token) = self.peek(0) {
            self.source.push(' ');
            self.source.push_str(token.text);
            self.at += 1;
        }
    }

    /// Everything up to `closer`, and `closer` itself, or up to the end.
    fn until(&mut self, closer: Option<&str>) -> Result<(), ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH {
            let offset = self.peek(0).map_or(0, |token| token.offset);
            return Err(ExpressionError::new(offset, format!("more than {DEPTH} brackets inside each other")));
        }
        while let Some(token) = self.peek(0) {
            if closer.is_some_and(|closer| token.is(closer)) {
                self.copy();
                break;
            }
            self.part(token)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn part(&mut self, token: Token<'t>) -> Result<(), ExpressionError> {
        let start = self.source.len();
        match token.kind {
            Kind::Word => match token.text {
                "is" => return self.test(),
                "and" | "or" | "not" | "in" | "if" | "else" => {
                    self.copy();
                    return Ok(());
                }
                "true" | "false" | "none" | "True" | "False" | "None" => self.copy(),
                "null" => {
                    self.source.push_str(" none");
                    self.at += 1;
                }
                _ if self.peek_is(1, "=") => {
                    self.copy();
                    return Ok(());
                }
                _ if self.peek_is(1, "(") => {
                    let error = ExpressionError::new(token.offset, format!("there is no function `{}`", token.text));
                    return Err(error.hint("expressions have filters: `{{ value | filter }}`"));
                }
                _ => self.path(token)?,
            },
            Kind::Text | Kind::Number => self.copy(),
            Kind::Sign => match token.text {
                "|" => return self.filter(),
                "(" | "[" | "{" => {
                    self.copy();
                    self.until(Some(match token.text {
                        "(" => ")",
                        "[" => "]",
                        _ => "}",
                    }))?;
                }
                _ => {
                    self.copy();
                    return Ok(());
                }
            },
        }
        self.lookups(start)
    }

    /// A path as far as it is written out: words behind points, texts and numbers in brackets.
    fn path(&mut self, first: Token<'t>) -> Result<(), ExpressionError> {
        let mut steps = Vec::new();
        let first_at = self.at;
        self.at += 1;
        loop {
            let (step, length) = match (self.peek(0), self.peek(1), self.peek(2)) {
                (Some(point), Some(name), _) if point.is(".") && name.kind == Kind::Word => {
                    (Step::Attribute(name.text.to_string()), 2)
                }
                (Some(point), Some(index), _) if point.is(".") && index.kind == Kind::Number => match index.text.parse() {
                    Ok(index) => (Step::Index(index), 2),
                    Err(_) => break,
                },
                (Some(open), Some(key), Some(close)) if open.is("[") && close.is("]") => match key.kind {
                    Kind::Text if !key.text.contains('\\') => (Step::Attribute(key.text[1..key.text.len() - 1].to_string()), 3),
                    Kind::Number => match key.text.parse() {
                        Ok(index) => (Step::Index(index), 3),
                        Err(_) => break,
                    },
                    _ => break,
                },
                _ => break,
            };
            steps.push(step);
            self.at += length;
        }
        if let (true, Some(Step::Attribute(method))) = (self.peek_is(0, "("), steps.last()) {
            let error = ExpressionError::new(first.offset, format!("there is no method `{method}`"));
            return Err(match FILTERS.contains(&method.as_str()) {
                true => error.hint(format!("it is a filter: `| {method}`")),
                false => error.hint("expressions have filters: `{{ value | filter }}`"),
            });
        }
        let counted = self.is_counted(first_at);
        let index = self.names.len();
        self.names.push(Name { root: first.text.to_string(), steps, offset: first.offset });
        let call = match (self.guarded(), counted) {
            (true, _) => "_try_name",
            (false, true) => "_number",
            (false, false) => "_name",
        };
        self.source.push_str(&format!(" {call}({index})"));
        Ok(())
    }

    /// Whether only a number makes sense for the path that began at `first_at`. The engine would repeat a text that is multiplied, and
    /// say of any text that it is more than 100.
    fn is_counted(&self, first_at: usize) -> bool {
        let before = |back: usize| first_at.checked_sub(back).and_then(|at| self.tokens.get(at).copied());
        let is_times = |token: Option<Token<'_>>| token.is_some_and(|token| token.is("*"));
        let compares =
            |token: Option<Token<'_>>| token.is_some_and(|token| ["<", ">", "<=", ">="].iter().any(|sign| token.is(sign)));
        let is_number = |token: Option<Token<'_>>| token.is_some_and(|token| token.kind == Kind::Number);
        let minus = usize::from(self.peek_is(1, "-"));
        let by_what_follows = is_times(self.peek(0)) || (compares(self.peek(0)) && is_number(self.peek(1 + minus)));
        let by_what_stands_before = is_times(before(1)) || (compares(before(1)) && is_number(before(2)));
        by_what_follows || (by_what_stands_before && !self.goes_on())
    }

    /// Whether what comes next makes something else of the value before it is calculated with.
    fn goes_on(&self) -> bool {
        ["|", ".", "["].iter().any(|sign| self.peek_is(0, sign))
    }

    /// Whether what comes next deals with a value that is not there.
    fn guarded(&self) -> bool {
        let word = |ahead, words: &[&str]| self.peek(ahead).is_some_and(|t| t.kind == Kind::Word && words.contains(&t.text));
        (self.peek_is(0, "|") && word(1, &["default"]))
            || (word(0, &["is"])
                && (word(1, &["defined", "undefined"]) || (word(1, &["not"]) && word(2, &["defined", "undefined"]))))
    }

    /// `.name` and `[key]` behind a value that is computed.
    fn lookups(&mut self, start: usize) -> Result<(), ExpressionError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(point), Some(name)) if point.is(".") && name.kind == Kind::Word => {
                    self.source.push_str(&format!(", \"{}\")", name.text));
                    self.at += 2;
                }
                (Some(open), Some(_)) if open.is("[") => {
                    if self.is_slice() {
                        self.copy();
                        self.until(Some("]"))?;
                        continue;
                    }
                    self.at += 1;
                    self.source.push(',');
                    self.until(Some("]"))?;
                    if self.source.ends_with(']') {
                        self.source.pop();
                    }
                    self.source.push(')');
                }
                (Some(open), _) if open.is("(") => {
                    return Err(ExpressionError::new(open.offset, "there are no functions and methods in an expression")
                        .hint("expressions have filters: `{{ value | filter }}`"));
                }
                _ => return Ok(()),
            }
            let call = if self.guarded() { " _try_at(" } else { " _at(" };
            self.source.insert_str(start, call);
        }
    }

    /// Whether the bracket that opens here holds a `:` of its own.
    fn is_slice(&self) -> bool {
        let mut depth = 0;
        for token in &self.tokens[self.at..] {
            if token.kind == Kind::Sign {
                match token.text {
                    "[" | "(" | "{" => depth += 1,
                    "]" | ")" | "}" => depth -= 1,
                    ":" if depth == 1 => return true,
                    _ => {}
                }
                if depth == 0 {
                    return false;
                }
            }
        }
        false
    }

    fn filter(&mut self) -> Result<(), ExpressionError> {
        self.copy();
        self.known(FILTERS, "filter")?;
        if self.peek_is(0, "(") {
            self.copy();
            self.until(Some(")"))?;
        }
        Ok(())
    }

    fn test(&mut self) -> Result<(), ExpressionError> {
        self.copy();
        if self.peek(0).is_some_and(|token| token.is_word("not")) {
            self.copy();
        }
        self.known(TESTS, "test")
    }

    fn known(&mut self, names: &[&str], what: &str) -> Result<(), ExpressionError> {
        let Some(token) = self.peek(0).filter(|token| token.kind == Kind::Word) else {
            return Ok(());
        };
        if token.is_word("null") {
            self.source.push_str(" none");
            self.at += 1;
        } else if names.contains(&token.text) {
            self.copy();
        } else {
            let error = ExpressionError::new(token.offset, format!("there is no {what} `{}`", token.text));
            return Err(match nearest(token.text, names.iter().copied()) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error.hint(format!("{what}s are {}", list(names.iter().copied(), names.len()))),
            });
        }
        Ok(())
    }
}
