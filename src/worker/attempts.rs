//! The attempts at one item, and at a whole batch for the jobs that take one: run, judge, wait, again.

use std::pin::pin;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Waits;
use super::calls::{ItemCalls, TryCalls};
use super::desk::{Begun, tell};
use super::{Desk, Ended, LaneContext, Worker, panics};
use crate::batch::Batch;
use crate::expression::Scope;
use crate::item::Item;
use crate::job::{Attempt, JobError, JobErrorKind, Repeat};
use crate::limits::OUTPUT_BYTES;
use crate::outcome::{Failure, Outcome};
use crate::units::write_duration;

/// What one try at an item came to.
pub(super) enum Judged {
    Ended(Outcome),
    /// The same, and no later item of its lane may be begun.
    EndedLane(Outcome),
    /// Another try may succeed, not before this long if the job said so.
    Again {
        failure: Failure,
        not_before: Option<Duration>,
        stops_lane: bool,
    },
    /// The run stops; the item stays pending.
    Surroundings(JobError),
    /// The same, for a reason that is known already.
    Stopped,
}

impl Worker {
    /// Runs one item to its outcome. `None`: it stays pending, because the run stops.
    pub(super) async fn attempts(&self, item: &Item, redrive: u32, lane: Option<&LaneContext>, desk: &dyn Desk) -> Option<Ended> {
        let calls = ItemCalls::new(self, item, redrive, lane, desk);
        let mut waits = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.one_try(&calls, attempts).await {
                Judged::Ended(outcome) => return Some(Ended { outcome, attempts, stops_lane: false }),
                Judged::EndedLane(outcome) => return Some(Ended { outcome, attempts, stops_lane: true }),
                Judged::Stopped => return None,
                Judged::Surroundings(error) => {
                    desk.surroundings(item, error);
                    return None;
                }
                Judged::Again { failure, not_before, stops_lane } => {
                    let waits = waits.get_or_insert_with(|| Waits::new(&self.settings.retry));
                    let Some(wait) = waits.next(fastrand::f64()) else {
                        return Some(Ended { outcome: Outcome::Failed(failure), attempts, stops_lane });
                    };
                    if !self.wait(wait.max(not_before.unwrap_or_default())).await {
                        return None;
                    }
                }
            }
        }
    }

    async fn one_try(&self, calls: &ItemCalls<'_>, number: u32) -> Judged {
        let Some(deadline) = self.deadline() else {
            let services = TryCalls { item: calls, cancelled: &self.never };
            let attempt = self.attempt(&services, number, None);
            return self.judge(panics::catch(self.job.run(&attempt)).await, calls);
        };
        let cancelled = CancellationToken::new();
        let services = TryCalls { item: calls, cancelled: &cancelled };
        let attempt = self.attempt(&services, number, Some(deadline));
        let mut run = pin!(panics::catch(self.job.run(&attempt)));
        if let Ok(answer) = tokio::time::timeout_at(deadline, &mut run).await {
            return self.judge(answer, calls);
        }
        // Work that goes on elsewhere looks at this before it publishes anything, and steps send nothing more.
        cancelled.cancel();
        if !calls.are_idle() {
            // A call under way has a time of its own, and comes to its end: dropped half-way it would be unknown.
            tokio::select! {
                biased;
                answer = &mut run => return self.judge(answer, calls),
                () = calls.idle() => {}
            }
        }
        Self::ended_early(self.timed_out(), calls)
    }

    /// When the time of a try that begins now is up. A time that no clock can tell is none.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.settings.item_timeout.and_then(|limit| Instant::now().checked_add(limit))
    }

    /// Runs all items of the batch together, again those that may succeed, until each has ended or the run stops.
    pub(super) async fn run_whole(&self, batch: &Batch, desk: &dyn Desk) {
        // The semaphore is never closed.
        let _permit = self.in_flight.acquire().await;
        if self.stop.is_cancelled() {
            return;
        }
        let Some(marks) = self.mark_whole(batch, desk).await else { return };
        let mut kept = true;
        let calls = |item| ItemCalls::new(self, item, batch.redrive_of(item.index), None, desk);
        let mut left: Vec<ItemCalls<'_>> = batch.items.iter().map(calls).collect();
        let mut waits = Waits::new(&self.settings.retry);
        let mut number = 0;
        while !left.is_empty() {
            number += 1;
            let answers = self.try_whole(&left, number).await;
            let mut again = Vec::new();
            let mut longest = Duration::ZERO;
            for (calls, answer) in left.into_iter().zip(answers) {
                let item = calls.item;
                match answer {
                    // Whole batches have no lanes.
                    Judged::Ended(outcome) | Judged::EndedLane(outcome) => {
                        kept &= tell(desk, item, Ended { outcome, attempts: number, stops_lane: false }, self.repeat).await;
                    }
                    Judged::Surroundings(error) => desk.surroundings(item, error),
                    Judged::Stopped => {}
                    Judged::Again { failure, not_before, .. } => {
                        longest = longest.max(not_before.unwrap_or_default());
                        again.push((calls, failure));
                    }
                }
            }
            if again.is_empty() {
                break;
            }
            match waits.next(fastrand::f64()) {
                Some(wait) => {
                    left = again.into_iter().map(|(calls, _)| calls).collect();
                    if !self.wait(wait.max(longest)).await {
                        break;
                    }
                }
                None => {
                    for (calls, failure) in again {
                        let item = calls.item;
                        let ended = Ended { outcome: Outcome::Failed(failure), attempts: number, stops_lane: false };
                        kept &= tell(desk, item, ended, self.repeat).await;
                    }
                    break;
                }
            }
        }
        if kept {
            for mark in marks {
                desk.left(mark);
            }
        }
    }

    /// Marks every item of the batch. `None`: nothing may be started any more, and nothing is marked.
    async fn mark_whole(&self, batch: &Batch, desk: &dyn Desk) -> Option<Vec<usize>> {
        match desk.beginning(batch, self.repeat) {
            Begun::Together(mark) => return Some(vec![mark]),
            Begun::Stopped => return None,
            Begun::Unmarked => return Some(Vec::new()),
            Begun::Each => {}
        }
        let mut marks = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            match desk.starting(item, self.repeat).await {
                Some(mark) => marks.push(mark),
                None => {
                    marks.into_iter().for_each(|mark| desk.left(mark));
                    return None;
                }
            }
        }
        Some(marks)
    }

    async fn try_whole(&self, calls: &[ItemCalls<'_>], number: u32) -> Vec<Judged> {
        let cancelled = CancellationToken::new();
        let deadline = self.deadline();
        let services: Vec<_> = calls.iter().map(|item| TryCalls { item, cancelled: &cancelled }).collect();
        let attempts = services.iter().map(|services| self.attempt(services, number, deadline)).collect();
        let mut work = pin!(panics::catch(self.job.run_batch(attempts)));
        let answers = match deadline {
            None => work.await,
            Some(deadline) => match tokio::time::timeout_at(deadline, &mut work).await {
                Ok(answers) => answers,
                Err(_) => {
                    cancelled.cancel();
                    let idle = async {
                        for item in calls {
                            item.idle().await;
                        }
                    };
                    let are_idle = calls.iter().all(ItemCalls::are_idle);
                    tokio::select! {
                        biased;
                        answers = &mut work, if !are_idle => answers,
                        () = idle => return calls.iter().map(|_| Judged::Ended(self.timed_out())).collect(),
                    }
                }
            },
        };
        match answers {
            Ok(answers) => calls.iter().zip(answers).map(|(item, answer)| self.judge(Ok(answer), item)).collect(),
            Err(panic) => calls.iter().map(|item| self.judge(Err(panic.clone()), item)).collect(),
        }
    }

    fn attempt<'a>(&'a self, services: &'a TryCalls<'a>, number: u32, deadline: Option<Instant>) -> Attempt<'a> {
        let ItemCalls { item, redrive, lane, .. } = *services.item;
        let previous = lane.map_or(&Value::Null, |lane| &lane.previous);
        Attempt {
            number,
            redrive,
            item,
            scope: Scope::params(&self.settings.params).with_item(&item.value),
            workflow: &self.settings.workflow,
            run: &self.settings.run,
            deadline,
            cancelled: services.cancelled,
            cores: &self.cores,
            previous,
            services,
        }
    }

    fn judge(&self, answer: Result<Result<Value, JobError>, String>, calls: &ItemCalls<'_>) -> Judged {
        let error = match answer {
            Ok(Ok(output)) => return Judged::Ended(checked(output)),
            Ok(Err(error)) => error,
            Err(panic) if calls.are_in_doubt() => {
                return Self::ended_early(Outcome::Unknown(Failure::new("Job.Panicked", panic)), calls);
            }
            Err(panic) => return Self::ended_early(self.panicked(panic), calls),
        };
        Self::judge_error(error)
    }

    /// What an error of the job means.
    pub(super) fn judge_error(error: JobError) -> Judged {
        let failure = Failure::new(error.name(), error.cause());
        let stops_lane = error.stops_lane;
        let ended = if stops_lane { Judged::EndedLane } else { Judged::Ended };
        match error.kind {
            JobErrorKind::Transient => Judged::Again { failure, not_before: None, stops_lane },
            JobErrorKind::Throttled(not_before) => Judged::Again { failure, not_before, stops_lane },
            JobErrorKind::Permanent => ended(Outcome::Failed(failure)),
            JobErrorKind::Unknown => ended(Outcome::Unknown(failure)),
            JobErrorKind::Skipped => ended(Outcome::Skipped(failure.cause)),
            JobErrorKind::Surroundings => Judged::Surroundings(error),
            JobErrorKind::Stopped => Judged::Stopped,
        }
    }

    /// An item that did not come to its own end ends its lane too, if what it was at is done once for the lane: the next item would
    /// do that again.
    fn ended_early(outcome: Outcome, calls: &ItemCalls<'_>) -> Judged {
        if calls.are_at_lanes_step() { Judged::EndedLane(outcome) } else { Judged::Ended(outcome) }
    }

    /// An item that did not come to its own end: failed, unless it may have had an effect that must not be repeated.
    fn cut_off(&self, failure: Failure) -> Outcome {
        match self.repeat {
            Repeat::Safe | Repeat::Keyed | Repeat::Steps | Repeat::Recorded => Outcome::Failed(failure),
            Repeat::Unsafe => Outcome::Unknown(failure),
        }
    }

    pub(super) fn panicked(&self, panic: String) -> Outcome {
        self.cut_off(Failure::new("Job.Panicked", panic))
    }

    pub(super) fn timed_out(&self) -> Outcome {
        let limit = self.settings.item_timeout.unwrap_or_default();
        self.cut_off(Failure::new("Item.TimedOut", format!("not done within `item_timeout`, {}", write_duration(limit))))
    }

    /// Waits, or less if the run stops: then `false`.
    pub(super) async fn wait(&self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }
}

fn checked(output: Value) -> Outcome {
    // Most outputs are far below the limit; only a large one is written out to be measured.
    if matches!(output, Value::Null | Value::Bool(_) | Value::Number(_)) {
        return Outcome::Succeeded(output);
    }
    let bytes = crate::item::json_len(&output);
    if bytes > OUTPUT_BYTES {
        let cause = format!("the output has {bytes} bytes of JSON, at most {OUTPUT_BYTES} are kept");
        return Outcome::Failed(Failure::new("Output.TooLarge", cause));
    }
    Outcome::Succeeded(output)
}
