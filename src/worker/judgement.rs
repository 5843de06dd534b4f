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

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(1000);
    const WAIT: Duration = Duration::from_secs(30);

    fn policy(repeat: &str) -> StepPolicy<'static> {
        let (repeat, on_unknown) = match repeat {
            "safe" => (StepRepeat::Safe, OnUnknown::RetrySameKey),
            "idempotent" => (StepRepeat::Idempotent, OnUnknown::RetrySameKey),
            "keyed" => (StepRepeat::Keyed { ttl: Some(TTL) }, OnUnknown::RetrySameKey),
            "once" => (StepRepeat::Once, OnUnknown::Hold),
            other => panic!("{other}"),
        };
        StepPolicy {
            host: "h:80",
            repeat,
            on_unknown,
            probe: None,
            retry: None,
            expected: &[200, 418],
            retried: &[202, 404],
            once_per_lane: false,
            fresh: false,
            family: "Http",
        }
    }

    fn row(state: CallState, answered: Option<u16>) -> CallRow {
        let answer = answered.map(|status| Arc::new(Answer { status, headers: Vec::new(), body: bytes::Bytes::new() }));
        let (step, key, sent) = ("s".into(), "k".into(), "POST".into());
        let (owner, call, lane, generation, redrive) = (0, 0, false, 0, 1);
        CallRow {
            owner,
            step,
            call,
            item: 0,
            lane,
            state,
            generation,
            redrive,
            key,
            starts: 1,
            unheard: 0,
            first_ms: 0,
            last_ms: 0,
            sent,
            answer,
        }
    }

    /// Each line: what was heard, then the verdict on a safe, an idempotent, a keyed and a once-only step.
    const VERDICTS: &str = "
        200       | Give               | Give               | Give               | Give
        201       | Give               | Give               | Give               | Give
        302       | Give               | Give               | Give               | Give
        202 asked | Unsettled Always   | Unsettled Always   | Unsettled Always   | Give
        400       | Give               | Give               | Give               | Give
        401       | Give               | Give               | Give               | Give
        422       | Give               | Give               | Give               | Give
        418 asked | Give               | Give               | Give               | Give
        404 asked | Renew              | Renew              | Renew              | Renew
        409       | Give               | Give               | Unsettled Always   | Give
        408       | Unsettled Always   | Unsettled Always   | Unsettled Always   | Unsettled Always
        425       | Again Always       | Again Always       | Again Always       | Again Always
        429       | Again Never        | Again Never        | Again Never        | Again Never
        500       | Unsettled Always   | Unsettled Always   | Unsettled Always   | Unsettled Always
        500 x3    | Unsettled Always   | Unsettled Always   | Stored             | Unsettled Always
        501       | Unsettled Always   | Unsettled Always   | Unsettled Always   | Unsettled Always
        502       | Unsettled IfHostAnswers | Unsettled IfHostAnswers | Unsettled IfHostAnswers | Unsettled IfHostAnswers
        503 x3    | Unsettled IfHostAnswers | Unsettled IfHostAnswers | Unsettled IfHostAnswers | Unsettled IfHostAnswers
        504       | Unsettled IfHostAnswers | Unsettled IfHostAnswers | Unsettled IfHostAnswers | Unsettled IfHostAnswers
        refused connection | Again IfHostAnswers | Again IfHostAnswers | Again IfHostAnswers | Again IfHostAnswers
        lost      | Unsettled Always   | Unsettled Always   | Unsettled Always   | Unsettled Always
        timed out | Unsettled Always   | Unsettled Always   | Unsettled Always   | Unsettled Always
        unusable 200 | Useless         | Useless            | Useless            | Useless
        unusable 400 | RefusedUnread   | RefusedUnread      | RefusedUnread      | RefusedUnread
        unusable 404 | Renew           | Renew              | Renew              | Renew
        unusable 500 | Unsettled Always | Unsettled Always  | Unsettled Always   | Unsettled Always
        unusable 429 | Again Never     | Again Never        | Again Never        | Again Never
        surroundings | Surroundings    | Surroundings       | Surroundings       | Surroundings
        not allowed | NotAllowed       | NotAllowed         | NotAllowed         | NotAllowed
    ";

    #[test]
    fn every_answer_on_every_kind_of_step() {
        let cause = String::new;
        for line in VERDICTS.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut cells = line.split('|').map(str::trim);
            let what = cells.next().unwrap();
            let words: Vec<&str> = what.split(' ').collect();
            let heard = match words.as_slice() {
                ["refused", "connection"] => Err(NoAnswer::NotSent(cause())),
                ["lost"] => Err(NoAnswer::Lost(cause())),
                ["timed", "out"] => Err(NoAnswer::TimedOut(cause())),
                ["unusable", status] => Err(NoAnswer::Unusable { status: status.parse().unwrap(), cause: cause() }),
                ["surroundings"] => Err(NoAnswer::Surroundings(cause())),
                ["not", "allowed"] => Err(NoAnswer::Refused(cause())),
                [status, ..] => Ok(row(CallState::Started, status.parse().ok()).answer.unwrap()),
                [] => unreachable!(),
            };
            let same = if what.ends_with(" x3") { 3 } else { 1 };
            for kind in ["safe", "idempotent", "keyed", "once"] {
                let verdict = format!("{:?}", judge(&policy(kind), &heard, same)).replace(['(', ')'], " ");
                assert_eq!(Some(verdict.trim()), cells.next(), "{what} on {kind}");
            }
            assert_eq!(cells.next(), None);
        }
    }

    #[test]
    fn what_is_kept_of_a_call_says_whether_it_is_sent() {
        use CallState::{Answered, NotSent, Started};
        // The row was written when its item had been redriven once.
        for (kind, state, status, same_redrive, next_redrive) in [
            ("once", NotSent, None, Kept::Send, Kept::Send),
            ("once", NotSent, Some(429), Kept::Send, Kept::Send),
            ("once", Answered, Some(201), Kept::Give, Kept::Give),
            ("once", Answered, Some(304), Kept::Give, Kept::Give),
            ("once", Answered, Some(418), Kept::Give, Kept::Give),
            ("once", Answered, Some(400), Kept::Give, Kept::Renew),
            ("keyed", Answered, Some(422), Kept::Give, Kept::Renew),
            ("once", Answered, Some(409), Kept::Give, Kept::Renew),
            ("keyed", Answered, Some(409), Kept::Give, Kept::Doubt),
            ("once", Answered, Some(500), Kept::Give, Kept::Doubt),
            ("once", Started, None, Kept::Doubt, Kept::Doubt),
            ("keyed", Started, Some(500), Kept::Doubt, Kept::Doubt),
            ("safe", Answered, Some(200), Kept::Give, Kept::Give),
        ] {
            let row = row(state, status);
            assert_eq!(kept(&policy(kind), &row, 1), same_redrive, "{kind} {state:?} {status:?}");
            assert_eq!(kept(&policy(kind), &row, 2), next_redrive, "{kind} {state:?} {status:?}, redriven");
        }
        let fresh = |kind| StepPolicy { fresh: true, ..policy(kind) };
        assert_eq!(kept(&fresh("safe"), &row(Answered, Some(200)), 1), Kept::Send);
        assert_eq!(kept(&fresh("once"), &row(Answered, Some(200)), 1), Kept::Give, "only what has no effect is asked anew");
        let died = |unheard| CallRow { unheard, ..row(Started, None) };
        assert_eq!(kept(&policy("keyed"), &died(7), 1), Kept::Doubt);
        assert_eq!(kept(&policy("keyed"), &died(8), 1), Kept::Crashed);
        assert_eq!(kept(&policy("keyed"), &died(8), 2), Kept::Doubt, "a redrive gives it another chance");
    }

    #[test]
    fn a_doubt_is_settled_as_the_step_says_while_its_key_lives() {
        let probe = OnUnknown::Probe { wait: WAIT };
        let alive = 899_999;
        for (kind, on_unknown, fallback, now_ms, wanted) in [
            ("safe", OnUnknown::Hold, None, 0, Doubt::Resend),
            ("idempotent", OnUnknown::RetrySameKey, None, i64::MAX, Doubt::Resend),
            ("idempotent", OnUnknown::Hold, None, 0, Doubt::Hold),
            ("idempotent", probe, None, 0, Doubt::Probe(WAIT)),
            ("keyed", OnUnknown::RetrySameKey, None, alive, Doubt::Resend),
            ("keyed", OnUnknown::RetrySameKey, Some(WAIT), alive, Doubt::Resend),
            // A tenth before its time is up.
            ("keyed", OnUnknown::RetrySameKey, None, alive + 1, Doubt::KeyExpired),
            ("keyed", OnUnknown::RetrySameKey, Some(WAIT), alive + 1, Doubt::Probe(WAIT)),
            ("keyed", OnUnknown::Hold, Some(WAIT), 0, Doubt::Hold),
            ("keyed", probe, None, alive + 1, Doubt::Probe(WAIT)),
            // A clock that was set back a little, and one that says nothing any more.
            ("keyed", OnUnknown::RetrySameKey, None, -60_000, Doubt::Resend),
            ("keyed", OnUnknown::RetrySameKey, None, -60_001, Doubt::KeyExpired),
            ("once", OnUnknown::Hold, None, 0, Doubt::Hold),
            ("once", probe, None, 0, Doubt::Probe(WAIT)),
            ("once", OnUnknown::RetrySameKey, None, 0, Doubt::Hold),
            ("once", OnUnknown::RetrySameKey, Some(WAIT), 0, Doubt::Probe(WAIT)),
        ] {
            let policy = StepPolicy { on_unknown, probe: fallback, ..policy(kind) };
            let found = doubt(&policy, &row(CallState::Started, None), now_ms);
            assert_eq!(found, wanted, "{kind} {on_unknown:?} {fallback:?} at {now_ms}");
        }
        let for_ever = StepPolicy { repeat: StepRepeat::Keyed { ttl: None }, ..policy("keyed") };
        assert_eq!(doubt(&for_ever, &row(CallState::Started, None), i64::MAX), Doubt::Resend);
    }

    #[test]
    fn retries_that_are_used_up_end_a_call_by_what_may_have_happened() {
        use CallState::{NotSent, Started};
        for (kind, state, status, wanted) in [
            ("safe", Started, Some(500), UsedUp::Give),
            ("safe", Started, None, UsedUp::Failed),
            ("idempotent", Started, Some(503), UsedUp::Give),
            ("idempotent", Started, None, UsedUp::Failed),
            ("keyed", Started, Some(500), UsedUp::Unknown),
            ("keyed", Started, Some(409), UsedUp::Unknown),
            ("keyed", Started, None, UsedUp::Unknown),
            ("keyed", Started, Some(202), UsedUp::Settle),
            ("keyed", NotSent, None, UsedUp::Failed),
            ("keyed", NotSent, Some(425), UsedUp::Give),
            ("once", NotSent, None, UsedUp::Failed),
            ("once", NotSent, Some(404), UsedUp::Give),
            ("once", Started, None, UsedUp::Unknown),
        ] {
            assert_eq!(used_up(&policy(kind), state, status), wanted, "{kind} {state:?} {status:?}");
        }
    }
}
