//! Whether an expression names only what is known where it stands.

use super::roots::Roots;
use crate::expression::{Expression, ExpressionError, Name};
use crate::nearest::{list, nearest};

/// How many names are listed in a message.
const LISTED: usize = 12;

/// What expressions may name in a workflow.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The declared params.
    pub params: Vec<String>,
    /// The attributes that every item has, where the source decides them.
    pub item: Option<&'static [&'static str]>,
    /// Whether there are lanes, so that an item may have a previous one.
    pub ordered: bool,
    /// The declared secrets.
    pub secrets: Vec<String>,
    /// The name of the job.
    pub job: String,
}

impl Known {
    /// Checks the names of `expression`, which may begin with `roots`; `settings_with` lists the job's settings that know a name.
    pub fn check(
        &self,
        expression: &Expression,
        roots: Roots,
        settings_with: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<(), ExpressionError> {
        for name in expression.names() {
            match (name.root(), name.attribute()) {
                (root, _) if !Roots::is_one(root) => return Err(self.unknown(root, roots, name.offset())),
                (root, _) if !roots.has(root) => {
                    let detail = self.not_here(root, roots, &settings_with(root));
                    return Err(ExpressionError::new(name.offset(), detail));
                }
                ("params", Some(attribute)) => self.param(attribute, name.offset())?,
                ("item", Some(attribute)) => self.attribute(attribute, name.offset())?,
                ("secrets", attribute) => self.secret(attribute, &name)?,
                ("previous", _) if !self.ordered => {
                    let detail = "`previous` is what came of the item before in the lane, and without `order` there are no lanes";
                    return Err(ExpressionError::new(name.offset(), detail).hint("add `order: { by: \"{{ item.… }}\" }`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Why a name that other settings know is not known in this one.
    fn not_here(&self, root: &str, roots: Roots, elsewhere: &[String]) -> String {
        let known_in = list(elsewhere.iter().map(String::as_str), LISTED);
        let here = list(roots.names(), LISTED);
        match root {
            "item" => format!("`item` is not known here, only {here}: the setting is the same for all items"),
            "status" | "headers" | "body" | "pages" if !elsewhere.is_empty() => {
                format!("`{root}` is known only after the answer: in {known_in}")
            }
            "secrets" if !elsewhere.is_empty() => {
                format!("`secrets` may be named only where they are neither kept nor shown: in {known_in}")
            }
            _ if elsewhere.is_empty() => {
                format!("`{root}` is not known here, only {here}; no setting of the job `{}` knows it", self.job)
            }
            _ => format!("`{root}` is not known here, only {here}; it is known in {known_in}"),
        }
    }

    fn param(&self, name: &str, offset: usize) -> Result<(), ExpressionError> {
        if self.params.iter().any(|param| param == name) {
            return Ok(());
        }
        let params = || self.params.iter().map(String::as_str);
        let error = ExpressionError::new(offset, format!("there is no param `{name}`"));
        Err(match (nearest(name, params()), self.params.is_empty()) {
            (Some(near), _) => error.hint(format!("did you mean `params.{near}`?")),
            (None, true) => error.hint(format!("declare it: `params: {{ {name}: {{ type: text }} }}`")),
            (None, false) => error.hint(format!("params are {}", list(params(), LISTED))),
        })
    }

    /// A secret is named in full, so that it is known before anything runs which ones are needed.
    fn secret(&self, named: Option<&str>, name: &Name) -> Result<(), ExpressionError> {
        let secrets = || self.secrets.iter().map(String::as_str);
        let wrong = |detail: String| ExpressionError::new(name.offset(), detail);
        let Some(secret) = named else {
            let example = self.secrets.first().map_or("api_token", String::as_str);
            return Err(wrong("`secrets` needs the name of one".to_string()).hint(format!("such as `secrets.{example}`")));
        };
        if name.to_string() != format!("secrets.{secret}") && name.to_string() != format!("secrets['{secret}']") {
            return Err(wrong(format!("`secrets.{secret}` is a text, there is nothing in it to name")));
        }
        if secrets().any(|declared| declared == secret) {
            return Ok(());
        }
        let error = wrong(format!("there is no secret `{secret}`"));
        Err(match nearest(secret, secrets()) {
            Some(near) => error.hint(format!("did you mean `secrets.{near}`?")),
            None => error.hint(format!("declare it: `secrets: {{ {secret}: {{ env: {} }} }}`", secret.to_ascii_uppercase())),
        })
    }

    /// Whether an item has this attribute, as far as the source decides it.
    pub fn attribute(&self, name: &str, offset: usize) -> Result<(), ExpressionError> {
        let Some(attributes) = self.item.filter(|attributes| !attributes.contains(&name)) else {
            return Ok(());
        };
        let names = || attributes.iter().copied();
        let error =
            ExpressionError::new(offset, format!("an item of `objects` has no `{name}`, it has {}", list(names(), LISTED)));
        Err(match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean `item.{near}`?")),
            None => error,
        })
    }

    fn unknown(&self, root: &str, roots: Roots, offset: usize) -> ExpressionError {
        let detail = format!("`{root}` is not known here, only {}", list(roots.names(), LISTED));
        let error = ExpressionError::new(offset, detail);
        if let Some(near) = nearest(root, roots.names()) {
            return error.hint(format!("did you mean `{near}`?"));
        }
        if self.params.iter().any(|param| param == root) {
            return error.hint(format!("did you mean `params.{root}`?"));
        }
        match self.item.into_iter().flatten().find(|attribute| roots.has("item") && **attribute == root) {
            Some(attribute) => error.hint(format!("did you mean `item.{attribute}`?")),
            None => error,
        }
    }
}
