//! [`Outgoing`]: one call on its way: what is secret is added as late as this.

use std::sync::Arc;

use url::Url;

use super::job::HttpChain;
use super::request::Request;
use super::seen::{self, Seen, Wants};
use super::step::Step;
use super::token::Token;
use super::url_text::Target;
use crate::call::{Answer, NoAnswer};
use crate::expression::Scope;
use crate::job::{Attempt, Call, JobError, JobErrorKind, Probed, Sender, Sent, Wire, WireRequest};

/// One call of a step for one item.
pub(super) struct Outgoing<'a> {
    pub chain: &'a HttpChain,
    pub wire: &'a dyn Wire,
    pub step: &'a Step,
    pub attempt: &'a Attempt<'a>,
    /// Without secrets.
    pub scope: Scope<'a>,
    pub call: u32,
    pub request: Request,
}

impl Outgoing<'_> {
    async fn send_once(&self, key: &str) -> Result<Answer, NoAnswer> {
        let mut request = self.wire_request(&self.request.target)?;
        if let Some(name) = &self.step.key_header {
            request.headers.push((name.clone(), key.to_string()));
        }
        request.method.clone_from(&self.step.method);
        request.headers.extend(self.request.headers.iter().cloned());
        request.body = self.request.body.clone();
        self.exchange(request).await
    }

    /// A request with what is secret in it and nothing else yet; GET.
    fn wire_request(&self, target: &Target) -> Result<WireRequest, NoAnswer> {
        let wrong = |(setting, error): (String, _)| NoAnswer::Refused(format!("`{setting}`: {error}"));
        let mut headers = Vec::with_capacity(self.request.headers.len() + 3);
        if target.named {
            let scope = self.scope.with("secrets", self.chain.secrets.value());
            self.step.headers.add_secret(&scope, &mut headers).map_err(wrong)?;
            // A header field of the step takes the place of `auth`.
            let has = |name: &str| self.step.headers.has(name);
            let mut auth = Vec::new();
            self.chain.credentials.add(&scope, &mut auth).map_err(wrong)?;
            headers.extend(auth.into_iter().filter(|(name, _)| !has(name)));
            if !headers.is_empty() || self.chain.tokens.is_some() {
                self.chain.may_carry_secrets(&target.url)?;
            }
        }
        Ok(WireRequest {
            step: self.step.name.clone(),
            call: self.call,
            method: "GET".to_string(),
            url: target.url.clone(),
            headers,
            body: Default::default(),
            timeout: self.step.timeout,
            max_response: self.step.max_response,
        })
    }

    /// Sends it with the token that it needs, with a new one if that was refused, and takes out of the answer what is not to be kept.
    async fn exchange(&self, mut request: WireRequest) -> Result<Answer, NoAnswer> {
        let host = super::request::host(&request.url);
        let is_ours = request.url.origin() == self.request.target.url.origin() && self.request.target.named;
        let tokens = self.chain.tokens.as_ref().filter(|_| is_ours && !self.step.headers.has("authorization"));
        let Some(tokens) = tokens else { return self.sent(request).await };
        let token = tokens.get(self.attempt, self.wire, &self.chain.secrets, None).await.map_err(not_sent)?;
        let again = request.clone();
        with_token(&mut request, &token);
        let answer = self.sent(request).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // A refusal has no effect, so the same call may be made again, as a call of its own to everyone who counts them.
        let token = tokens.get(self.attempt, self.wire, &self.chain.secrets, Some(&token)).await.map_err(not_sent)?;
        let refused = Ok(answer);
        self.attempt.heard(&host, &refused);
        self.attempt.permit(&host).await.map_err(not_sent)?;
        let mut request = again;
        with_token(&mut request, &token);
        self.sent(request).await
    }

    async fn sent(&self, request: WireRequest) -> Result<Answer, NoAnswer> {
        let answer = self.wire.exchange(request).await;
        match answer {
            Ok(answer) => Ok(self.chain.redaction.apply(answer, &self.chain.secrets)),
            // What is everybody's trouble with a host of the workflow is this item's alone with a host that the item named.
            Err(NoAnswer::Surroundings(why)) if !self.request.target.named => Err(NoAnswer::Refused(why)),
            Err(other) => Err(other),
        }
    }

    async fn ask(&self) -> Result<Probed, NoAnswer> {
        let Some(probe) = &self.step.probe else {
            return Err(NoAnswer::Refused("there is no `probe`".to_string()));
        };
        let target = probe
            .get
            .render(self.chain.base.as_ref(), &self.scope)
            .map_err(|why| NoAnswer::Refused(format!("`probe.get`: {why}")))?;
        let mut request = self.wire_request(&target)?;
        request.headers.extend(self.request.headers.iter().filter(|(name, _)| name != "content-type").cloned());
        let answer = self.exchange(request).await?;
        let status = answer.status;
        let says_nothing = |cause: String| NoAnswer::Unusable { status, cause };
        if !matches!(status, 200..300 | 404 | 410) {
            return Err(says_nothing(format!("the probe says nothing: {}", seen::start(&answer.body))));
        }
        let expressions = probe.found.expression().into_iter();
        let captured = probe.capture.iter().map(Wants::of_template).fold(Wants::of(expressions), Wants::and);
        let seen = Seen::new(&answer, Wants { body: captured.body || probe.capture.is_none(), ..captured });
        let scope = seen.scope(self.scope);
        let found = probe.found.get(&scope).map_err(|error| says_nothing(format!("`probe.found`: {error}")))?;
        if !found {
            return Ok(Probed::DidNotHappen);
        }
        let Some(capture) = &probe.capture else { return Ok(Probed::Happened(answer)) };
        let body = capture.evaluate(&scope).map_err(|error| says_nothing(format!("`probe.capture`: {error}")))?;
        Ok(Probed::Happened(Answer { status: 200, body: body.to_string().into(), ..answer }))
    }
}

impl Sender for Outgoing<'_> {
    fn describe(&self, call: &Call<'_>) -> String {
        let mut text = format!("{} {}", self.step.method, self.request.target.url);
        if let Some(header) = &self.step.key_header {
            text.push_str(&format!(" {header}: {}", call.key));
        }
        if !self.request.body.is_empty() {
            text.push(' ');
            text.push_str(&seen::start(&self.request.body));
        }
        self.chain.secrets.scrub(&text).into_owned()
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Answer, NoAnswer>> {
        Box::pin(self.send_once(call.key))
    }

    fn probe<'a>(&'a self, _: Call<'a>) -> Sent<'a, Result<Probed, NoAnswer>> {
        Box::pin(self.ask())
    }
}

fn with_token(request: &mut WireRequest, token: &Arc<Token>) {
    request.headers.push(("authorization".to_string(), token.authorization()));
}

/// There is no token, or no turn: nothing was sent.
fn not_sent(error: JobError) -> NoAnswer {
    match error.kind {
        JobErrorKind::Surroundings => NoAnswer::Surroundings(error.cause().to_string()),
        _ => NoAnswer::NotSent(error.cause().to_string()),
    }
}

/// Where an answer sends a request on to; `None` if it does not. An error says why it is not gone there.
pub(super) fn redirected(step: &Step, answer: &Answer, from: &Url) -> Option<Result<Url, String>> {
    let follows = step.is_safe() && matches!(step.method.as_str(), "GET" | "HEAD") && !step.expects(answer.status);
    let location = answer.header("location").filter(|_| follows && matches!(answer.status, 301 | 302 | 303 | 307 | 308))?;
    Some(match from.join(location) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(format!("the redirect leads to `{}`, which is not http", url.scheme())),
        Err(error) => Err(format!("the redirect leads to no URL: {error}")),
    })
}
