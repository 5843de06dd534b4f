//! Works compiled expressions out. The only file that knows the engine behind them.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Object, Serde, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, State};
use serde_json::Value;

use super::error::ExpressionError;
use super::filters;
use super::name::{Name, kind, no_attribute};
use super::scope::Scope;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = filters::environment();
    env.add_function("_name", |state: &State, index: usize| match looked_up(state, index) {
        value if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError).with_source(Missing::Name(index))),
        value => Ok(value),
    });
    env.add_function("_number", |state: &State, index: usize| match looked_up(state, index) {
        value if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError).with_source(Missing::Name(index))),
        value if value.as_str().is_some() => Err(Error::from(ErrorKind::InvalidOperation).with_source(Missing::Number(index))),
        value => Ok(value),
    });
    env.add_function("_try_name", looked_up);
    env.add_function("_at", |value: &Jinja, key: &Jinja| match at(value, key)? {
        found if found.is_undefined() => Err(Error::from(ErrorKind::UndefinedError).with_source(Missing::key(value, key))),
        found => Ok(found),
    });
    env.add_function("_try_at", at);
    env
});

fn looked_up(state: &State, index: usize) -> Jinja {
    state.lookup("names").and_then(|names| names.get_item_by_index(index).ok()).unwrap_or_default()
}

fn at(value: &Jinja, key: &Jinja) -> Result<Jinja, Error> {
    if value.is_undefined() || value.is_none() { Ok(value.clone()) } else { value.get_item(key) }
}

/// What a look-up did not find.
#[derive(Debug)]
enum Missing {
    Name(usize),
    /// It is there, and it is a text where a number is meant.
    Number(usize),
    Key(ExpressionError),
}

impl Missing {
    fn key(value: &Jinja, key: &Jinja) -> Self {
        let json = |value| serde_json::to_value(value).unwrap_or_default();
        Self::Key(match (json(value), json(key)) {
            (Value::Object(map), Value::String(name)) => no_attribute(0, "…", &name, map.keys().map(String::as_str)),
            (Value::Array(list), key) => ExpressionError::new(0, format!("a list of {} elements has no `[{key}]`", list.len())),
            (value, key) => ExpressionError::new(0, format!("{} has no `[{key}]`", kind(&value))),
        })
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(index) => write!(f, "name {index} is not there"),
            Self::Number(index) => write!(f, "name {index} is a text"),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Missing {}

/// A compiled expression that is more than one path.
pub(super) struct Program(minijinja::Expression<'static, 'static>);

impl Program {
    /// `original` is what the user wrote between the braces, `offset` where it begins, `rewritten` what is run.
    pub fn compile(original: &str, offset: usize, rewritten: String) -> Result<Self, ExpressionError> {
        // The engine's places are right in the original only, so that is what has to be well-formed.
        let refused = |error: &Error, offset: usize| {
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
            ExpressionError::new(offset, format!("the expression is not well-formed: {detail}"))
        };
        if let Err(error) = ENVIRONMENT.compile_expression(original) {
            return Err(refused(&error, offset + error.range().map_or(0, |range| range.start.min(original.len()))));
        }
        match ENVIRONMENT.compile_expression_owned(rewritten) {
            Ok(expression) => Ok(Self(expression)),
            Err(error) => Err(refused(&error, offset)),
        }
    }

    pub fn run(&self, names: &[Name], offset: usize, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        let values = names.iter().map(|name| name.resolve(scope).map_or(Jinja::UNDEFINED, |value| Jinja::from(Serde(value))));
        let found =
            self.0.eval(Jinja::from_object(Names(values.collect()))).map_err(|error| told(&error, names, offset, scope))?;
        if found.is_undefined() {
            return Err(ExpressionError::new(offset, "the expression gives nothing").hint("add `| default(…)`"));
        }
        if found.is_number() && f64::try_from(found.clone()).is_ok_and(|number| !number.is_finite()) {
            return Err(ExpressionError::new(offset, format!("the expression gives {found}, which is no number of JSON")));
        }
        serde_json::to_value(&found)
            .map_err(|error| ExpressionError::new(offset, format!("the expression gives no JSON: {error}")))
    }
}

/// The only variable there is: the values of the expression's names, in their order.
#[derive(Debug)]
struct Names(Vec<Jinja>);

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        (key.as_str() == Some("names")).then(|| Jinja::from(self.0.clone()))
    }
}

fn told(error: &Error, names: &[Name], offset: usize, scope: &Scope<'_>) -> ExpressionError {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        match inner.downcast_ref::<Missing>() {
            Some(Missing::Name(index)) => {
                if let Some(Err(error)) = names.get(*index).map(|name| name.resolve(scope)) {
                    return error;
                }
            }
            Some(Missing::Number(index)) => {
                if let Some(name) = names.get(*index) {
                    let error = ExpressionError::new(name.offset(), format!("`{name}` is a text where a number is meant"));
                    return error.hint(format!("`{name} | int`; an amount of money in cents is `{name} | cents`"));
                }
            }
            Some(Missing::Key(error)) => {
                let told = ExpressionError::new(offset, error.detail());
                return match error.hint_text() {
                    Some(hint) => told.hint(hint),
                    None => told,
                };
            }
            None => {}
        }
        source = inner.source();
    }
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => ExpressionError::new(offset, "the expression does too much work"),
        (_, Some(detail)) => ExpressionError::new(offset, detail),
        (kind, None) => ExpressionError::new(offset, kind.to_string()),
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}
