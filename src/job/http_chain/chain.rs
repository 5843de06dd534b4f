//! The steps of one item, one after another.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::job::HttpChain;
use super::outgoing::{Outgoing, redirected};
use super::pages::{self, Pages};
use super::request::Request;
use super::seen::{self, Seen};
use super::step::Step;
use super::steps::{Paginate, Poll};
use crate::call::Answer;
use crate::expression::{ExpressionError, Scope};
use crate::job::{Attempt, JobError};
use crate::units::write_duration;

/// Calls of a step that belong to one page: more than there can be redirects.
const CALLS_A_PAGE: u32 = 32;

impl HttpChain {
    /// Does every step, and gives what is kept of the item.
    pub(super) async fn chain(&self, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        let mut steps = Value::Object(Map::with_capacity(self.steps.len()));
        for step in &self.steps {
            let captured = self.step(step, &steps, attempt).await;
            let captured = captured.map_err(|error| if step.once_per_lane { error.stopping_lane() } else { error })?;
            if let Value::Object(steps) = &mut steps {
                steps.insert(step.name.clone(), captured);
            }
        }
        let Some(output) = &self.output else { return Ok(Value::Null) };
        let scope = attempt.scope().with("previous", attempt.previous()).with("steps", &steps);
        output.evaluate(&scope).map_err(|error| JobError::permanent(format!("`output`: {error}")).named("Http.OutputFailed"))
    }

    /// Does one step, and gives what it captures.
    async fn step(&self, step: &Step, steps: &Value, attempt: &Attempt<'_>) -> Result<Value, JobError> {
        let scope = attempt.scope().with("previous", attempt.previous()).with("steps", steps);
        if let Some(when) = &step.when {
            let is_done = when.get(&scope).map_err(|error| super::request::invalid(step, "when", &error))?;
            if !is_done {
                let nothing = step.captures.iter().map(|(name, _)| (name.clone(), Value::Null));
                return Ok(Value::Object(nothing.collect()));
            }
        }
        let visit = Visit { chain: self, step, scope, attempt };
        let request = Request::new(step, self.base.as_ref(), &scope)?;
        match (&step.poll, &step.paginate) {
            (Some(poll), _) => visit.poll(poll, request).await,
            (None, Some(paginate)) => visit.pages(paginate, request).await,
            (None, None) => {
                let (answer, request) = visit.fetch(0, request, false).await?;
                visit.judge(&answer, &request)?;
                visit.capture(&answer, &Seen::new(&answer, step.wants), None)
            }
        }
    }
}

/// One step of one item.
struct Visit<'a> {
    chain: &'a HttpChain,
    step: &'a Step,
    scope: Scope<'a>,
    attempt: &'a Attempt<'a>,
}

impl Visit<'_> {
    /// Makes one call, and follows where its answer leads; gives the last answer and the request that it answers.
    ///
    /// Every redirect is a call of its own, with its own turn at the host where it leads.
    async fn fetch(&self, call: u32, request: Request, fresh: bool) -> Result<(Arc<Answer>, Request), JobError> {
        // Where a redirect of an earlier run led may be gone by now: then it is asked for anew.
        let again = (!fresh && self.attempt.redrive() > 0).then(|| request.clone());
        let (answer, last) = self.follow(call, request, fresh).await?;
        match again {
            Some(first) if !self.step.expects(answer.status) && last.target != first.target => {
                self.follow(call, first, true).await
            }
            _ => Ok((answer, last)),
        }
    }

    async fn follow(&self, call: u32, request: Request, fresh: bool) -> Result<(Arc<Answer>, Request), JobError> {
        let Self { chain, step, scope, attempt } = *self;
        let mut outgoing = Outgoing { chain, wire: &**chain.wire()?, step, attempt, scope, call, request };
        for followed in 0.. {
            let answer = attempt.step(&step.name, outgoing.call, &step.policy(&outgoing.request.host, fresh), &outgoing).await?;
            let from = &outgoing.request.target.url;
            let next = match redirected(step, &answer, from) {
                Some(next) if chain.redirects > 0 => next,
                _ => return Ok((answer, outgoing.request)),
            };
            let wrong = |name: &str, why: String| Err(self.failed(name, why));
            match next {
                Ok(_) if followed == chain.redirects => {
                    return wrong(
                        "Http.TooManyRedirects",
                        format!("more than {followed} redirects, the last from {}", shown(from)),
                    );
                }
                Ok(next) => outgoing = Outgoing { call: outgoing.call + 1, request: outgoing.request.at(next), ..outgoing },
                Err(why) => return wrong("Http.InvalidUrl", why),
            }
        }
        Err(self.failed("Http.TooManyRedirects", "no end of redirects".to_string()))
    }

    /// Whether the answer is one that the step expects.
    fn judge(&self, answer: &Answer, request: &Request) -> Result<(), JobError> {
        let (step, status) = (self.step, answer.status);
        if step.expects(status) {
            return Ok(());
        }
        let expected = step.expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut cause = format!("{} {} answered {status}, expected {expected}", step.method, shown(&request.target.url));
        let start = match (answer.header("location"), seen::start(&answer.body)) {
            (Some(location), start) if (300..400).contains(&status) && start.is_empty() => format!("it leads to {location}"),
            (_, start) => start,
        };
        if !start.is_empty() {
            cause.push_str(": ");
            cause.push_str(&start);
        }
        Err(self.failed(&format!("Http.Status.{status}"), cause))
    }

    /// What the step captures of its last answer.
    fn capture(&self, answer: &Answer, seen: &Seen, pages: Option<&Value>) -> Result<Value, JobError> {
        self.readable(seen)?;
        let scope = seen.scope(self.scope);
        let scope = pages.map_or(scope, |pages| scope.with("pages", pages));
        let mut captured = Map::with_capacity(self.step.captures.len());
        for (name, template) in &self.step.captures {
            let value =
                template.evaluate(&scope).map_err(|error| self.not_captured(&format!("capture.{name}"), &error, answer, seen))?;
            captured.insert(name.clone(), value);
        }
        Ok(Value::Object(captured))
    }

    /// Asks until an answer is as it should be.
    async fn poll(&self, poll: &Poll, request: Request) -> Result<Value, JobError> {
        let end = Instant::now() + poll.timeout;
        let mut fresh = false;
        loop {
            let (answer, request) = self.fetch(0, request.clone(), fresh).await?;
            self.judge(&answer, &request)?;
            let seen = Seen::new(&answer, self.step.wants);
            self.readable(&seen)?;
            let until = poll.until.get(&seen.scope(self.scope));
            if until.map_err(|error| self.not_captured("poll.until", &error, &answer, &seen))? {
                return self.capture(&answer, &seen, None);
            }
            if Instant::now() + poll.every > end {
                let timeout = write_duration(poll.timeout);
                let cause = format!("`poll.until` was not met within {timeout}; the last answer: {}", seen::start(&answer.body));
                return Err(self.failed("Http.PollTimeout", cause));
            }
            tokio::time::sleep(poll.every).await;
            fresh = true;
        }
    }

    /// Fetches one page after another.
    async fn pages(&self, paginate: &Paginate, first: Request) -> Result<Value, JobError> {
        let mut known = HashSet::new();
        let mut gathered = Pages::new(paginate, self.step.wants.pages);
        let mut request = first.clone();
        for page in 0..paginate.max_pages {
            let (answer, last) = self.fetch(page * CALLS_A_PAGE, request, false).await?;
            self.judge(&answer, &last)?;
            let seen = Seen::new(&answer, self.step.wants);
            self.readable(&seen)?;
            let scope = seen.scope(self.scope);
            gathered.add(&seen, &scope, answer.body.len()).map_err(|wrong| self.wrong_page(wrong, &answer, &seen))?;
            let next = pages::next(paginate, &scope, &answer, &first.target.url, &last.target.url);
            let Some(next) = next.map_err(|wrong| self.wrong_page(wrong, &answer, &seen))? else {
                return self.capture(&answer, &seen, Some(&gathered.into_value()));
            };
            if !known.insert(next.to_string()) {
                let cause = format!("page {} leads to {}, which was fetched already", page + 1, shown(&next));
                return Err(self.failed("Http.CursorRepeated", cause));
            }
            request = last.at(next);
        }
        Err(self.failed("Http.TooManyPages", format!("there are more than {} pages, `paginate.max_pages`", paginate.max_pages)))
    }

    fn wrong_page(&self, wrong: pages::Wrong, answer: &Answer, seen: &Seen) -> JobError {
        match wrong {
            pages::Wrong::Expression(setting, error) => self.not_captured(setting, &error, answer, seen),
            pages::Wrong::Value(setting, why) => self.failed("Http.CaptureFailed", format!("`{setting}`: {why}")),
            pages::Wrong::TooMuch(why) => self.failed("Http.TooManyPages", why),
        }
    }

    fn readable(&self, seen: &Seen) -> Result<(), JobError> {
        match seen.is_unreadable {
            false => Ok(()),
            true => Err(self.failed("Http.BadBody", "the body is not UTF-8, so that nothing can be taken from it".to_string())),
        }
    }

    fn not_captured(&self, setting: &str, error: &ExpressionError, answer: &Answer, seen: &Seen) -> JobError {
        let mut cause = format!("`{setting}`: {error}");
        if seen.body().is_string() && self.step.wants.body {
            cause.push_str(&match seen::start(&answer.body) {
                start if start.is_empty() => "; the body is empty".to_string(),
                start => format!("; the body is not JSON: {start}"),
            });
        }
        self.failed("Http.CaptureFailed", cause)
    }

    fn failed(&self, name: &str, why: String) -> JobError {
        let why = format!("step `{}`: {why}", self.step.name);
        JobError::permanent(self.chain.secrets.scrub(&why).into_owned()).named(name)
    }
}

/// A URL without what stands behind `?`: that may be long, and nobody's business.
fn shown(url: &Url) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}
