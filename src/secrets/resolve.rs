//! [`resolve`]: looks secrets up where they are kept on this machine, all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::{SecretSource, Secrets};
use crate::error::{Error, ErrorKind};
use crate::scrub::SHORTEST;

/// Looks up those of the `declared` secrets that are `used`; `variable` gives the value of an environment variable.
///
/// # Errors
/// Every secret that is missing or cannot be one, each with its variable: what is in the way are the surroundings.
pub(crate) fn resolve(
    declared: &BTreeMap<String, SecretSource>,
    used: &BTreeSet<String>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Secrets, Error> {
    let mut values = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, source) in declared.iter().filter(|(name, _)| used.contains(*name)) {
        match value(name, source, &variable) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(error) => errors.push(error),
        }
    }
    match Error::all(errors) {
        Some(error) => Err(error),
        None => Ok(Secrets::new(values)),
    }
}

fn value(name: &str, source: &SecretSource, variable: &impl Fn(&str) -> Option<OsString>) -> Result<String, Error> {
    let Some(env) = &source.env else {
        let error = Error::surroundings(format!("the secret `{name}` is kept on AWS only, this run is on this machine"));
        return Err(error.hint(format!("`secrets.{name}.env: {}`", name.to_ascii_uppercase())));
    };
    let wrong = |what: &str| {
        Error::new(ErrorKind::Surroundings, format!("the environment variable `{env}`, which holds the secret `{name}`, {what}"))
    };
    let value = variable(env).ok_or_else(|| wrong("is not set").hint(format!("export {env}=…")))?;
    match value.into_string() {
        Err(_) => Err(wrong("is not UTF-8")),
        Ok(value) if value.is_empty() => Err(wrong("is empty").hint(format!("export {env}=…"))),
        Ok(value) if value.len() < SHORTEST => {
            Err(wrong(&format!("has fewer than {SHORTEST} bytes, so it could not be kept out of what is shown")))
        }
        Ok(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(env: &str) -> SecretSource {
        SecretSource { env: (!env.is_empty()).then(|| env.to_string()), aws: Some("x".to_string()) }
    }

    #[test]
    fn every_secret_that_is_missing_is_told_and_one_that_is_not_used_is_not_needed() {
        let declared = BTreeMap::from(
            [("a", "A"), ("b", "B"), ("c", "C"), ("d", ""), ("e", "E"), ("unused", "UNUSED")]
                .map(|(name, env)| (name.to_string(), source(env))),
        );
        let used: BTreeSet<String> = ["a", "b", "c", "d", "e"].map(str::to_string).into();
        let variable = |name: &str| match name {
            "A" => Some("value of a".into()),
            "C" => Some("".into()),
            "E" => Some("abc".into()),
            _ => None,
        };
        let error = resolve(&declared, &used, variable).unwrap_err();
        let told: Vec<String> = error.each().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "the environment variable `B`, which holds the secret `b`, is not set; hint: export B=…",
                "the environment variable `C`, which holds the secret `c`, is empty; hint: export C=…",
                "the secret `d` is kept on AWS only, this run is on this machine; hint: `secrets.d.env: D`",
                "the environment variable `E`, which holds the secret `e`, has fewer than 4 bytes, so it could not be kept out of what \
                 is shown",
            ]
        );
        assert_eq!(error.exit_code(), 4);
        let secrets = resolve(&declared, &["a".to_string()].into(), variable).unwrap();
        assert_eq!(secrets.value(), &serde_json::json!({ "a": "value of a" }));
    }
}
