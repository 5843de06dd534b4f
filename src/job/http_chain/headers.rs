//! [`Headers`]: the header fields of a request, the secret ones apart.

use std::collections::BTreeMap;
use std::fmt;

use super::config::{Auth, HttpChainConfig};
use crate::base64::{STANDARD, base64};
use crate::expression::{ExpressionError, Scope, Setting};

/// The header field of nearly all credentials.
const AUTHORIZATION: &str = "authorization";

/// A text that is never shown.
pub(super) struct Tainted(String);

impl Tainted {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// For a header field and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tainted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The header fields of a step, names in lowercase.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// The same for every item.
    fixed: Vec<(String, String)>,
    each: Vec<(String, Setting<Option<String>>)>,
    secret: Vec<(String, Tainted)>,
    secret_each: Vec<(String, Setting<Option<String>>)>,
}

/// A header field that cannot be: its setting and why.
pub(super) type Wrong = (String, ExpressionError);

impl Headers {
    /// Those of a step before those of the job; `scope` is what is known when a run starts, secrets among it.
    ///
    /// # Errors
    /// One that is the same for all items and cannot be worked out.
    pub fn new(
        job: &BTreeMap<String, Setting<Option<String>>>,
        step: &BTreeMap<String, Setting<Option<String>>>,
        scope: &Scope<'_>,
    ) -> Result<Self, Wrong> {
        let mut headers = Self::default();
        let is_own = |name: &str| step.keys().any(|own| own.eq_ignore_ascii_case(name));
        let inherited = job.iter().filter(|(name, _)| !is_own(name));
        for (name, setting) in inherited.chain(step) {
            headers.add(name, setting, scope).map_err(|error| (format!("headers.{name}"), error))?;
        }
        Ok(headers)
    }

    fn add(&mut self, name: &str, setting: &Setting<Option<String>>, scope: &Scope<'_>) -> Result<(), ExpressionError> {
        let names = setting.expression().map(|expression| expression.names()).unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        let is_secret = names.iter().any(|name| name.root() == "secrets");
        let is_same = names.iter().all(|name| ["params", "secrets"].contains(&name.root()));
        match (is_same, is_secret) {
            (true, true) => self.secret.extend(setting.get(scope)?.map(|value| (lower, Tainted(value)))),
            (true, false) => self.fixed.extend(setting.get(scope)?.map(|value| (lower, value))),
            (false, true) => self.secret_each.push((lower, setting.clone())),
            (false, false) => self.each.push((lower, setting.clone())),
        }
        Ok(())
    }

    /// Whether there is one of this name, in lowercase.
    pub fn has(&self, name: &str) -> bool {
        let open = self.each.iter().chain(&self.secret_each).map(|(name, _)| name);
        self.fixed.iter().map(|(name, _)| name).chain(self.secret.iter().map(|(name, _)| name)).chain(open).any(|own| own == name)
    }

    /// Those that anyone may see.
    ///
    /// # Errors
    /// A name of the setting and what is wrong with its expression.
    pub fn open(&self, scope: &Scope<'_>) -> Result<Vec<(String, String)>, Wrong> {
        let mut all = Vec::with_capacity(self.fixed.len() + self.each.len() + self.secret.len() + self.secret_each.len() + 4);
        all.extend(self.fixed.iter().cloned());
        render(&self.each, scope, &mut all)?;
        Ok(all)
    }

    /// The names of the secret ones.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().map(|(name, _)| name.as_str()).chain(self.secret_each.iter().map(|(name, _)| name.as_str()))
    }

    /// Adds the secret ones; `scope` knows the secrets.
    ///
    /// # Errors
    /// As of [`Headers::open`].
    pub fn add_secret(&self, scope: &Scope<'_>, to: &mut Vec<(String, String)>) -> Result<(), Wrong> {
        to.extend(self.secret.iter().map(|(name, value)| (name.clone(), value.0.clone())));
        render(&self.secret_each, scope, to)
    }
}

fn render(
    settings: &[(String, Setting<Option<String>>)],
    scope: &Scope<'_>,
    to: &mut Vec<(String, String)>,
) -> Result<(), Wrong> {
    for (name, setting) in settings {
        let value = setting.get(scope).map_err(|error| (format!("headers.{name}"), error))?;
        to.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(())
}

/// What says who sends a request.
#[derive(Debug)]
pub(super) enum Credentials {
    None,
    /// A header field that is the same for all items.
    Fixed(String, Tainted),
    /// One that is worked out for each.
    Each(String, Auth),
    /// A token that has to be fetched.
    Token,
}

impl Credentials {
    /// # Errors
    /// The setting that cannot be worked out, and why.
    pub fn new(config: &HttpChainConfig, scope: &Scope<'_>) -> Result<Self, Wrong> {
        let Some(auth) = &config.auth else { return Ok(Self::None) };
        let settings: &[&Setting<String>] = match auth {
            Auth::Bearer(token) => &[token],
            Auth::Basic(basic) => &[&basic.user, &basic.password],
            Auth::Header(header) => &[&header.value],
            Auth::Oauth2(_) => return Ok(Self::Token),
        };
        let names = |setting: &Setting<String>| setting.expression().map(|expression| expression.names()).unwrap_or_default();
        if settings.iter().any(|setting| names(setting).iter().any(|name| name.root() == "item")) {
            let name = match auth {
                Auth::Header(header) => header.name.to_ascii_lowercase(),
                _ => AUTHORIZATION.to_string(),
            };
            return Ok(Self::Each(name, auth.clone()));
        }
        let (name, value) = header(auth, scope).map_err(|error| ("auth".to_string(), error))?;
        Ok(Self::Fixed(name, Tainted(value)))
    }

    /// Adds the header field, unless the request has one of that name. A token is added by who has it.
    ///
    /// # Errors
    /// The setting that cannot be worked out, and why.
    pub fn add(&self, scope: &Scope<'_>, to: &mut Vec<(String, String)>) -> Result<(), Wrong> {
        let (name, value) = match self {
            Self::None | Self::Token => return Ok(()),
            Self::Fixed(name, value) => (name.clone(), value.0.clone()),
            Self::Each(_, auth) => header(auth, scope).map_err(|error| ("auth".to_string(), error))?,
        };
        if !to.iter().any(|(own, _)| *own == name) {
            to.push((name, value));
        }
        Ok(())
    }
}

fn header(auth: &Auth, scope: &Scope<'_>) -> Result<(String, String), ExpressionError> {
    let authorization = |value: String| (AUTHORIZATION.to_string(), value);
    Ok(match auth {
        Auth::Bearer(token) => authorization(format!("Bearer {}", token.get(scope)?)),
        Auth::Basic(basic) => {
            let both = format!("{}:{}", basic.user.get(scope)?, basic.password.get(scope)?);
            let padding = "=".repeat((3 - both.len() % 3) % 3);
            authorization(format!("Basic {}{padding}", base64(both.as_bytes(), STANDARD)))
        }
        Auth::Header(header) => (header.name.to_ascii_lowercase(), header.value.get(scope)?),
        Auth::Oauth2(_) => authorization(String::new()),
    })
}
