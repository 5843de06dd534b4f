//! Steps: the calls to others that a job makes through its [`Attempt`], kept in the ledger and never repeated blindly.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, JobError};
use crate::call::{Answer, NoAnswer};
use crate::retry::Retry;

/// What sending a call twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepRepeat {
    /// It has no effect (GET): sent again whenever there is no answer.
    Safe,
    /// It has an effect, and twice is as good as once (PUT, DELETE).
    Idempotent,
    /// It has an effect and carries [`Call::key`], by which the other side knows it again, for so long after it was first sent.
    /// `None`: for ever.
    Keyed {
        /// How long the other side remembers a key.
        ttl: Option<Duration>,
    },
    /// It has an effect, and every time it is sent is one more (POST without a key).
    Once,
}

/// What to do when an effect may have happened and there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Send it again with the same key: for idempotent and keyed calls.
    RetrySameKey,
    /// Ask [`Sender::probe`] after this time.
    Probe {
        /// How long after it was sent an effect may still land.
        wait: Duration,
    },
    /// The item is unknown; a person decides by `fanfold resolve`.
    Hold,
}

/// How a step is called.
#[derive(Debug, Clone)]
pub struct StepPolicy<'a> {
    /// Who is called, as `name:port` in lowercase: whose rate it is.
    pub host: &'a str,
    /// What sending it twice means.
    pub repeat: StepRepeat,
    /// What to do about an unknown. A key whose time has run out is never retried: then it is a probe, if there is one, or hold.
    pub on_unknown: OnUnknown,
    /// Whether there is a [`Sender::probe`] to fall back to, and how long after sending an effect may still land.
    pub probe: Option<Duration>,
    /// When and how often to try again; `None`: as the workflow's `retry` says.
    pub retry: Option<&'a Retry>,
    /// Statuses that the job takes as they are, whatever they usually mean: they are never retried.
    pub expected: &'a [u16],
    /// Statuses that are tried again though they usually are not.
    pub retried: &'a [u16],
    /// Done once for the whole lane, from its first item.
    pub once_per_lane: bool,
    /// Send it although an answer is kept: that one said "not yet". Only for [`StepRepeat::Safe`].
    pub fresh: bool,
    /// What error names begin with: `Http` gives `Http.NoAnswer`.
    pub family: &'a str,
}

/// One sending of a call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The idempotency key: the same for every sending of this call that means the same effect. 43 characters of base64url.
    pub key: &'a str,
    /// Which sending this is, from 1.
    pub number: u32,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// The effect is there; this stands for the answer that was lost.
    Happened(Answer),
    /// It is not there.
    DidNotHappen,
}

/// What is awaited of a sender.
pub type Sent<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Sends the request of one call.
pub trait Sender: Send + Sync {
    /// What will be sent, for people: method, URL and the start of the body, without secrets. Kept before it is sent.
    fn describe(&self, call: &Call<'_>) -> String;

    /// Sends it once and waits for the whole answer.
    ///
    /// # Cancel safety
    /// Never dropped once it was begun, except when the process ends.
    fn send<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Answer, NoAnswer>>;

    /// Asks whether the effect of this call is there. Asked only with [`OnUnknown::Probe`] or [`StepPolicy::probe`]; a permit is held.
    fn probe<'a>(&'a self, call: Call<'a>) -> Sent<'a, Result<Probed, NoAnswer>>;
}

/// What an attempt lets a job do beside computing: implemented by the worker.
pub(crate) trait Services: Send + Sync {
    fn step<'a>(
        &'a self,
        step: &'a str,
        call: u32,
        policy: &'a StepPolicy<'a>,
        sender: &'a dyn Sender,
    ) -> Sent<'a, Result<Arc<Answer>, JobError>>;

    fn permit<'a>(&'a self, host: &'a str) -> Sent<'a, Result<(), JobError>>;

    /// What became of a call made with [`Services::permit`].
    fn heard(&self, host: &str, answer: &Result<Answer, NoAnswer>);
}

impl Attempt<'_> {
    /// Makes call number `call` (from 0) of the step `step`, or gives the answer that is kept of it.
    ///
    /// It waits for a permit, writes START, sends, writes DONE with the answer, and tries again where that is safe. An answer that
    /// comes back is for the job to judge: it may be a refusal.
    ///
    /// # Errors
    /// To be passed on as they are: the call failed for good, an effect is unknown, or the run stops.
    ///
    /// # Cancel safety
    /// Not cancel safe: a request under way would be unknown.
    pub async fn step(
        &self,
        step: &str,
        call: u32,
        policy: &StepPolicy<'_>,
        sender: &dyn Sender,
    ) -> Result<Arc<Answer>, JobError> {
        self.services.step(step, call, policy, sender).await
    }

    /// Waits for the turn of one call that is no step, such as one for a token.
    ///
    /// # Errors
    /// To be passed on: the run stops.
    pub async fn permit(&self, host: &str) -> Result<(), JobError> {
        self.services.permit(host).await
    }

    /// Tells what became of a call made with [`Attempt::permit`], so that everyone who calls the host knows.
    pub fn heard(&self, host: &str, answer: &Result<Answer, NoAnswer>) {
        self.services.heard(host, answer);
    }
}

/// Makes no calls, for tests of jobs that make none.
#[cfg(test)]
pub(crate) struct NoServices;

#[cfg(test)]
impl Services for NoServices {
    fn step<'a>(
        &'a self,
        _: &'a str,
        _: u32,
        _: &'a StepPolicy<'a>,
        _: &'a dyn Sender,
    ) -> Sent<'a, Result<Arc<Answer>, JobError>> {
        Box::pin(std::future::ready(Err(JobError::stopped("no steps here"))))
    }

    fn permit<'a>(&'a self, _: &'a str) -> Sent<'a, Result<(), JobError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn heard(&self, _: &str, _: &Result<Answer, NoAnswer>) {}
}
