//! What would be sent: the first request of an item, for people.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::headers::Credentials;
use super::job::HttpChain;
use super::request::{Request, invalid};
use super::step::Step;
use crate::expression::Scope;
use crate::job::JobError;
use crate::scrub::HIDDEN;

/// The most bytes of a body that are shown.
const SHOWN: usize = 4096;

impl HttpChain {
    /// How many steps make a call for every item, or for every lane.
    pub(super) fn certain_calls(&self, per_lane: bool) -> u32 {
        let certain = self.steps.iter().filter(|step| step.when.is_none() && step.once_per_lane == per_lane);
        u32::try_from(certain.count()).unwrap_or(u32::MAX)
    }

    /// The first request that would be sent for an item, with `***` for what is secret; `None` if all steps are left out.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn first_request(&self, scope: &Scope<'_>) -> Result<Option<String>, JobError> {
        // Steps that were left out captured null; nothing is known of the item before.
        let mut steps = Map::new();
        for step in &self.steps {
            let before = Value::Object(steps);
            let scope = scope.with("previous", &Value::Null).with("steps", &before);
            let is_done = match &step.when {
                Some(when) => when.get(&scope).map_err(|error| invalid(step, "when", &error))?,
                None => true,
            };
            if is_done {
                return Ok(Some(self.shown(step, &Request::new(step, self.base.as_ref(), &scope)?)));
            }
            let nothing = step.captures.iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
            steps = match before {
                Value::Object(steps) => steps,
                _ => Map::new(),
            };
            steps.insert(step.name.clone(), Value::Object(nothing));
        }
        Ok(None)
    }

    /// As it would go out, line by line.
    fn shown(&self, step: &Step, request: &Request) -> String {
        let mut text = format!("{} {}", step.method, request.target.url);
        let mut line = |name: &str, value: &str| {
            // Nothing is wrong with writing to a text.
            let _ = write!(text, "\n{name}: {value}");
        };
        if request.target.named {
            let auth = match &self.credentials {
                Credentials::None => None,
                Credentials::Fixed(name, _) => Some(name.as_str()),
                Credentials::Each(name, _) => Some(name.as_str()),
                Credentials::Token => Some("authorization"),
            };
            auth.into_iter()
                .filter(|name| !step.headers.has(name))
                .chain(step.headers.secret_names())
                .for_each(|name| line(name, HIDDEN));
        }
        step.key_header.iter().for_each(|name| line(name, "(the key of this call)"));
        request.headers.iter().for_each(|(name, value)| line(name, value));
        if !request.body.is_empty() {
            let shown = String::from_utf8_lossy(&request.body[..request.body.len().min(SHOWN)]);
            let more = if request.body.len() > SHOWN { "…" } else { "" };
            let _ = write!(text, "\n\n{shown}{more}");
        }
        self.secrets.scrub(&text).into_owned()
    }
}
