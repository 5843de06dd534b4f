//! What is to be done about a call: decided from how its step is called, what is kept of it, what was heard and the time, and from
//! nothing else.

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Answer, NoAnswer};
use crate::job::{OnUnknown, StepPolicy, StepRepeat};
use crate::ledger::{CallRow, CallState};

/// Processes that may die in a row with a call under way before it is given up: by then it is the call that kills them.
const DEATHS: u32 = 8;

/// The same 5xx with the same body so often under one key is what the other side has stored: it will never be another.
const STORED: u32 = 3;

/// How far a clock may have been set back between two processes before it says nothing of a key's age, in milliseconds.
const SET_BACK_MS: i64 = 60_000;

/// What is to be done about a call when its item comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The answer that is kept is given back; nothing is sent.
    Give,
    /// Nothing of it is under way: it is sent.
    Send,
    /// It was refused for good in an earlier run of the item: it is sent under a new key.
    Renew,
    /// It may have had its effect: see [`doubt`].
    Doubt,
    /// The process died with it again and again.
    Crashed,
}

/// What one sending of a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer settles it: it is kept and given back.
    Give,
    /// This sending had no effect: it is sent again.
    Again(Eats),
    /// It was refused without an effect, and the step says to try again: under a new key.
    Renew,
    /// It may have had its effect: see [`doubt`].
    Unsettled(Eats),
    /// The answer of an effect that may have happened cannot be kept: nothing is tried again by itself.
    Useless,
    /// The other side keeps an error under this key and will give no other answer.
    Stored,
    /// It was refused without an effect, and the answer cannot be kept.
    RefusedUnread,
    /// It was not sent, and is for no item.
    Surroundings,
    /// It was not sent and may not be.
    NotAllowed,
}

/// Whether a try that came to nothing uses one of the retries up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eats {
    Never,
    /// If the host answers others: then it was the call's own failure.
    IfHostAnswers,
    Always,
}

/// What is done about a call that may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is sent again: twice is as good as once.
    Resend,
    /// The other side is asked, so long after it was sent.
    Probe(Duration),
    /// It is unknown.
    Hold,
    /// It is unknown, because the time of its key has run out.
    KeyExpired,
}

/// How a call ends whose retries are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsedUp {
    /// The last answer is kept as the call's answer, and given back.
    Settle,
    /// The last answer is given back for the job to judge; a redrive sends again.
    Give,
    Failed,
    Unknown,
}

/// Looks at what is kept of a call. `redrive` is how often its item was redriven by now.
pub(super) fn kept(policy: &StepPolicy<'_>, row: &CallRow, redrive: u32) -> Kept {
    match (row.state, &row.answer) {
        (CallState::NotSent, _) | (CallState::Answered, None) => Kept::Send,
        (CallState::Answered, _) if policy.fresh && policy.repeat == StepRepeat::Safe => Kept::Send,
        (CallState::Answered, Some(answer)) => match Meaning::of(policy, answer.status) {
            Meaning::Success => Kept::Give,
            _ if row.redrive >= redrive => Kept::Give,
            Meaning::Refusal => Kept::Renew,
            // It was taken as it was by a step that expected it, and is no longer.
            _ => Kept::Doubt,
        },
        (CallState::Started, _) if row.unheard >= DEATHS && row.redrive >= redrive => Kept::Crashed,
        (CallState::Started, _) => Kept::Doubt,
    }
}

/// Judges one sending. `same` is how often in a row this very answer came by now.
pub(super) fn judge(policy: &StepPolicy<'_>, heard: &Result<Arc<Answer>, NoAnswer>, same: u32) -> Verdict {
    match heard {
        Ok(answer) => judge_status(policy, answer.status, same),
        Err(NoAnswer::NotSent(_)) => Verdict::Again(Eats::IfHostAnswers),
        Err(NoAnswer::Lost(_) | NoAnswer::TimedOut(_)) => Verdict::Unsettled(Eats::Always),
        Err(NoAnswer::Unusable { status, .. }) => match judge_status(policy, *status, 0) {
            Verdict::Give if Meaning::of(policy, *status) == Meaning::Refusal => Verdict::RefusedUnread,
            Verdict::Give => Verdict::Useless,
            other => other,
        },
        Err(NoAnswer::Surroundings(_)) => Verdict::Surroundings,
        Err(NoAnswer::Refused(_)) => Verdict::NotAllowed,
    }
}

fn judge_status(policy: &StepPolicy<'_>, status: u16, same: u32) -> Verdict {
    let is_retried = policy.retried.contains(&status);
    match Meaning::of(policy, status) {
        // Where twice is one too many an effect that happened is not asked for again.
        Meaning::Success if is_retried && !policy.expected.contains(&status) && policy.repeat != StepRepeat::Once => {
            Verdict::Unsettled(Eats::Always)
        }
        Meaning::Refusal if is_retried => Verdict::Renew,
        Meaning::Success | Meaning::Refusal => Verdict::Give,
        Meaning::SlowDown => Verdict::Again(Eats::Never),
        Meaning::TooEarly => Verdict::Again(Eats::Always),
        Meaning::Away => Verdict::Unsettled(Eats::IfHostAnswers),
        Meaning::Broken if is_keyed(policy) && same >= STORED => Verdict::Stored,
        Meaning::Broken | Meaning::Late => Verdict::Unsettled(Eats::Always),
    }
}

/// What is done about a call that may have had its effect. `now_ms` is in milliseconds since 1970.
pub(super) fn doubt(policy: &StepPolicy<'_>, row: &CallRow, now_ms: i64) -> Doubt {
    if policy.repeat == StepRepeat::Safe {
        return Doubt::Resend;
    }
    let expired = matches!(policy.repeat, StepRepeat::Keyed { ttl: Some(ttl) } if is_past(ttl, row.first_ms, now_ms));
    match (policy.on_unknown, policy.probe) {
        (OnUnknown::RetrySameKey, _) if !expired && policy.repeat != StepRepeat::Once => Doubt::Resend,
        (OnUnknown::Probe { wait }, _) | (OnUnknown::RetrySameKey, Some(wait)) => Doubt::Probe(wait),
        (OnUnknown::RetrySameKey, None) if expired => Doubt::KeyExpired,
        (OnUnknown::RetrySameKey | OnUnknown::Hold, _) => Doubt::Hold,
    }
}

/// How a call ends that is not tried again, as it stands by now. `status` is that of the last answer, if that is what came last.
pub(super) fn used_up(policy: &StepPolicy<'_>, state: CallState, status: Option<u16>) -> UsedUp {
    match (policy.repeat, status) {
        (_, Some(status)) if Meaning::of(policy, status) == Meaning::Success => UsedUp::Settle,
        (StepRepeat::Keyed { .. } | StepRepeat::Once, _) if state == CallState::Started => UsedUp::Unknown,
        (_, Some(_)) => UsedUp::Give,
        (_, None) => UsedUp::Failed,
    }
}

/// Whether a key of this age is not to be relied upon: its time is up, less a margin of a tenth.
fn is_past(ttl: Duration, first_ms: i64, now_ms: i64) -> bool {
    let age = now_ms.saturating_sub(first_ms);
    age < -SET_BACK_MS || u128::from(age.max(0).unsigned_abs()) * 10 >= ttl.as_millis() * 9
}

fn is_keyed(policy: &StepPolicy<'_>) -> bool {
    matches!(policy.repeat, StepRepeat::Keyed { .. })
}

/// What a status says of the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It happened, or the job takes the answer for one.
    Success,
    /// It did not happen, and the same request will not make it happen.
    Refusal,
    /// Not now (429): nothing was done.
    SlowDown,
    /// Not yet (425): nothing was done.
    TooEarly,
    /// The host, or what stands in front of it, is away (502 to 504).
    Away,
    /// The request broke something (any other 5xx): who knows when.
    Broken,
    /// It came in too slowly (408), or the first of this key is still under way (409).
    Late,
}

impl Meaning {
    fn of(policy: &StepPolicy<'_>, status: u16) -> Self {
        match status {
            _ if policy.expected.contains(&status) => Self::Success,
            ..400 => Self::Success,
            408 => Self::Late,
            409 if is_keyed(policy) => Self::Late,
            425 => Self::TooEarly,
            429 => Self::SlowDown,
            400..500 => Self::Refusal,
            502..=504 => Self::Away,
            _ => Self::Broken,
        }
    }
}
