//! The rules of `secrets` and `redact` that a schema cannot say.

use std::collections::BTreeMap;

use super::check::{Finding, is_name};
use super::names::Known;
use super::roots::Roots;
use super::shape::is_expression;
use crate::expression::Name;
use crate::secrets::SecretSource;

pub(super) fn check_secrets(secrets: &BTreeMap<String, SecretSource>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, source) in secrets {
        let path = format!("secrets.{name}");
        if !is_name(name) {
            findings.push(Finding::new(&path, "a secret is named by a letter, then letters, digits and `_`, at most 64"));
        } else if source.env.is_none() && source.aws.is_none() {
            let detail = "it is not said where it is kept: expected `env`, `aws` or both";
            findings.push(Finding::new(&path, detail).hint(format!("write `{{ env: {} }}`", name.to_ascii_uppercase())));
        }
        if !source.env.as_deref().is_none_or(is_variable) {
            // It may be the secret itself, so it is not repeated.
            let detail = "expected the name of an environment variable, which has letters, digits and `_`";
            findings.push(Finding::new(&format!("{path}.env"), detail).hint("the secret itself never stands in a workflow"));
        }
    }
    findings
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `paths` as they are written: paths into the item, or not.
pub(super) fn check_redact(paths: &[String], known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, text) in paths.iter().enumerate() {
        let place = format!("redact[{index}]");
        let wrong = |detail: String| Finding::new(&place, detail);
        if is_expression(text) {
            let inner = text.replace("{{", "").replace("}}", "");
            findings
                .push(wrong(format!("expected a path, found the expression `{text}`")).hint(format!("write `{}`", inner.trim())));
            continue;
        }
        let finding = match Name::parse(text) {
            None => wrong(format!("`{text}` is not a path, such as `item.email` or `item.lines.card`")),
            Some(name) => match (name.root(), name.attribute()) {
                ("item", Some(attribute)) => match known.attribute(attribute, 0) {
                    Ok(()) => continue,
                    Err(error) => {
                        let finding = wrong(error.detail().to_string());
                        error.hint_text().into_iter().fold(finding, Finding::hint)
                    }
                },
                ("item", None) => wrong("`item` is all of it, results would show nothing".to_string())
                    .hint("name the attributes, such as `item.email`"),
                ("body", Some(_)) => wrong(format!("`{text}` is of an answer, here parts of the item are named"))
                    .hint("a job that makes calls has a `redact` of its own"),
                (root, _) if Roots::is_one(root) => wrong(format!("`{text}` is not of the item")),
                _ => wrong(format!("`{text}` is not of the item")).hint(format!("did you mean `item.{text}`?")),
            },
        };
        findings.push(finding);
    }
    findings
}
