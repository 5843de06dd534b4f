//! [`follow`]: watches an execution until it ends, as often as Step Functions likes to be asked.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use aws_sdk_sfn::types::MapRunStatus;

use super::execution::Execution;
use super::map_run::MapRun;
use super::run::AwsRun;
use super::trouble::Asked;
use crate::error::{Error, Result};
use crate::event::{Event, Observer, Progress};
use crate::outcome::Counts;

/// How often Step Functions is asked: its quota for `DescribeMapRun` is one a second.
const EVERY: Duration = Duration::from_secs(1);
/// The first questions come sooner: a small run is over in a moment. The quota allows a burst.
const FIRST: Duration = Duration::from_millis(250);
const FIRST_QUESTIONS: u32 = 5;
/// While the map run goes on, the execution itself is looked at every so many questions: who stops it also stops the map run.
const EXECUTION_EVERY: u32 = 10;
/// The longest wait after answers that did not come, and how long they may stay away.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);

/// Watches an execution until it ends; `None` if `leave` came first. The run itself is not concerned.
///
/// # Errors
/// AWS does not answer for a quarter of an hour, or refuses to.
pub(crate) async fn follow(
    run: &AwsRun,
    execution: &str,
    observer: &dyn Observer,
    leave: &CancellationToken,
) -> Result<Option<Execution>> {
    let mut watch = Watch { run, execution, observer, map_run: None, is_over: false, is_listed: false };
    let mut pace = Pace::default();
    loop {
        let asked = tokio::select! {
            asked = watch.ask(pace.questions) => asked,
            () = leave.cancelled() => return Ok(None),
        };
        let wait = match asked {
            Ok(Some(ended)) => return Ok(Some(ended)),
            Ok(None) => pace.answered(),
            Err(asked) if !asked.passes => return Err(asked.error),
            Err(asked) => pace.not_answered(asked.error, observer)?,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = leave.cancelled() => return Ok(None),
        }
    }
}

struct Watch<'a> {
    run: &'a AwsRun,
    execution: &'a str,
    observer: &'a dyn Observer,
    map_run: Option<String>,
    /// Whether the map run has ended.
    is_over: bool,
    is_listed: bool,
}

impl Watch<'_> {
    /// Asks the next question: one each time. Gives the execution once it has ended.
    async fn ask(&mut self, questions: u32) -> Result<Option<Execution>, Asked> {
        let clients = &self.run.clients;
        let knows_map_run = self.map_run.is_some();
        let look_at_execution =
            self.is_over || if knows_map_run { questions.is_multiple_of(EXECUTION_EVERY) } else { !questions.is_multiple_of(2) };
        if look_at_execution {
            let found = Execution::find(clients, self.execution).await?;
            // One that was just started may not be known everywhere.
            return Ok(found.filter(|execution| !execution.is_running()));
        }
        match &self.map_run {
            None => self.map_run = MapRun::arn_of(clients, self.execution).await?,
            Some(arn) => {
                let found = MapRun::describe(clients, arn).await?;
                self.is_over = found.status != MapRunStatus::Running;
                self.tell(&found);
            }
        }
        Ok(None)
    }

    fn tell(&mut self, found: &MapRun) {
        let counts = found.counts();
        if !self.is_listed && counts.total > 0 {
            self.is_listed = true;
            // What became of them is known once the gate has judged.
            let counts = Counts { total: counts.total, pending: counts.total, ..Counts::default() };
            self.observer.see(&Event::Listed { counts, batches: found.executions.total, lanes: None, calls: None });
        }
        if self.is_listed {
            self.observer.see(&Event::Progress(Progress { counts, attempts: 0, executions: Some(found.executions) }));
        }
    }
}

/// When the next question may be asked.
#[derive(Debug, Default)]
struct Pace {
    questions: u32,
    /// Since when there was no answer, and how often.
    silent: Option<(Instant, u32)>,
}

impl Pace {
    fn answered(&mut self) -> Duration {
        self.silent = None;
        self.questions += 1;
        if self.questions <= FIRST_QUESTIONS { FIRST } else { EVERY }
    }

    fn not_answered(&mut self, error: Error, observer: &dyn Observer) -> Result<Duration> {
        let (since, times) = *self.silent.get_or_insert((Instant::now(), 0));
        self.silent = Some((since, times + 1));
        if since.elapsed() > GIVE_UP_AFTER {
            return Err(error);
        }
        if times == 0 {
            observer.see(&Event::Warning(format!("{}; the run goes on, and is asked for again", error.detail())));
        }
        Ok((EVERY * 2_u32.saturating_pow(times.min(10) + 1)).min(LONGEST_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Unobserved;

    #[test]
    fn questions_come_once_a_second_and_seldom_where_nobody_answers() {
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..7).map(|_| pace.answered().as_millis()).collect();
        assert_eq!(waits, [250, 250, 250, 250, 250, 1000, 1000]);
        let mut silent = || pace.not_answered(Error::surroundings("throttled"), &Unobserved).unwrap().as_secs();
        assert_eq!((0..6).map(|_| silent()).collect::<Vec<_>>(), [2, 4, 8, 16, 30, 30]);
        assert_eq!(pace.answered(), EVERY);
        assert!(pace.silent.is_none());
    }
}
