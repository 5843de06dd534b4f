//! One session of a run: from where it stands to its end, or to where it is stopped.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::params;
use tokio_util::sync::CancellationToken;

use super::bundle::Source;
use super::calls::RecordedCalls;
use super::control::Control;
use super::cut::{Cut, Cutter, LANES, Ordering};
use super::desk::LocalDesk;
use super::ending::will_finish;
use super::feeder::{Feeder, Wanted};
use super::lane_feeder::LaneFeeder;
use super::map_run::{Batches, MapRun};
use super::marks::Marks;
use super::rates::{RATES, Throttled};
use super::ready::Ready;
use super::record::{Record, set_fact};
use super::recorder::{Recorder, Stopping, now_ms};
use super::recover;
use super::run::{Run, fold};
use super::statuses::Statuses;
use super::stop::{StopRule, Why};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, Observer, Unobserved};
use crate::job::{AnyJob, JobError, Setup};
use crate::lane::{Calls, Lanes};
use crate::lanes::{LaneKey, Plan, bundles_for};
use crate::outcome::RunStatus;
use crate::permits::HostPermits;
use crate::reader::{self, Input, ItemsConfig, ItemsSource, Selection, SourceFile};
use crate::report::Report;
use crate::worker::{Clock, Discreet, Worker, WorkerSettings};
use crate::workflow::{OnFailure, Workflow};

/// The fact that there is a session. It is there while one goes on, and after one that was cut off: even if every item has ended,
/// there is something to put in order then.
pub(super) const GOING_ON: &str = "session";

/// The fact that the job was changed since it was seen that no two items have one destination. It is there until that is seen
/// again: a run that was refused for it, or killed before, is not resumed past it.
pub(super) const UNCLAIMED: &str = "unclaimed";

/// Hands out what is pending; says why that is not all, if so.
type Feed = Box<dyn FnOnce(&Batches) -> Result<Option<Why>> + Send>;

/// How a session is to go.
#[derive(Debug, Clone)]
pub struct Session {
    /// At most so many items in this session; the rest stays pending. Default all.
    pub limit: Option<u64>,
    /// Only the item with this key. Default all.
    pub only: Option<String>,
    /// Cancelled to stop the run: nothing new is started, what is in flight ends.
    pub stop: CancellationToken,
    /// Who sees what happens. Default nobody.
    pub observer: Arc<dyn Observer>,
}

impl Default for Session {
    fn default() -> Self {
        Self { limit: None, only: None, stop: CancellationToken::new(), observer: Arc::new(Unobserved) }
    }
}

impl Run {
    /// Goes on to the end of the run, or to where it is stopped.
    ///
    /// # Errors
    /// The input, the job or the surroundings are not as they must be. Whatever was done stays, and the run can be resumed.
    ///
    /// # Cancel safety
    /// Not cancel safe, but crash-safe: dropped half-way, the run is as after a crash. Cancel [`Session::stop`] instead.
    pub async fn go(mut self, session: Session) -> Result<Report> {
        session.observer.see(&Event::Started {
            run: self.id().to_string(),
            workflow: self.workflow_name().to_string(),
            resumed: self.resumed,
        });
        let setup = self.setup()?;
        let storages = setup.storages.clone();
        let observer = Arc::clone(&session.observer);
        let cut_off = self.record.fact::<i64>(GOING_ON)?.is_some();
        let number = self.begin_session()?;
        let ended = self.work(session, setup, number, cut_off).await;
        storages.sweep().await;
        let why = ended?;
        let report = self.end_session(number, why)?;
        observer.see(&Event::Finished(report.clone()));
        Ok(report)
    }

    fn begin_session(&mut self) -> Result<i64> {
        let will = self.kind.finishes && (self.input()?.is_none() || self.record.counts()?.pending > 0);
        Control::at(self.folder.control_path()).begin()?;
        let rates = &self.bound.settings.rate;
        self.record.write("be written", |db| {
            db.execute("INSERT INTO sessions (began_ms, last_ms) VALUES (?1, ?1)", params![now_ms()])?;
            let number = db.last_insert_rowid();
            db.execute("DELETE FROM facts WHERE name = 'stopped'", [])?;
            set_fact(db, GOING_ON, &number)?;
            if will {
                will_finish(db)?;
            }
            set_fact(db, RATES, rates)?;
            Ok(number)
        })
    }

    /// Works until nothing is left to do or it is stopped, and says why if so.
    async fn work(&mut self, session: Session, setup: Setup, number: i64, cut_off: bool) -> Result<Option<Why>> {
        let marks = self.recover(number)?;
        let listed = self.input()?;
        if listed.is_some() && self.record.counts()?.pending == 0 {
            // Nothing to do needs nothing: neither the source nor what the job opens. Only a session that was cut off may have left
            // something where the job writes, which is swept away once it is open; if it cannot be, it is not there to be swept.
            self.tell_list(&session, None)?;
            if self.is_unfinished()? {
                let job = self.make_job(&setup)?;
                job.ready().await.map_err(|error| unready(&error))?;
                self.finish(&job, &session).await?;
            } else if let (true, Ok(job)) = (cut_off && !self.kind.finishes, self.make_job(&setup)) {
                let _ = job.ready().await;
            }
            return marks.settle().map(|()| None).map_err(|error| self.unwritable(&error));
        }
        let job = self.make_job(&setup)?;
        let input = match listed {
            Some(input) => input,
            None => match self.list(&setup, &job, &session).await? {
                Ok(input) => input,
                Err(why) => return Ok(Some(why)),
            },
        };
        if self.record.fact::<bool>(UNCLAIMED)?.is_some() {
            self.claim_again(&job, &input, &session).await?;
        }
        job.ready().await.map_err(|error| unready(&error))?;
        for warning in warnings(&input) {
            session.observer.see(&Event::Warning(warning));
        }
        self.tell_list(&session, Some(&job))?;
        let marks = Arc::new(marks);
        let discreet = Discreet::new(self.bound.settings.redact.clone(), Arc::clone(&setup.secrets));
        let why = self.map(&session, Arc::clone(&job), input, Arc::clone(&marks), number, discreet).await?;
        if !matches!(why, Some(Why::Trouble(_))) && self.is_unfinished()? {
            self.finish(&job, &session).await?;
        }
        match (marks.settle(), &why) {
            // The first trouble is the one to tell.
            (Ok(()), _) | (Err(_), Some(Why::Trouble(_))) => Ok(why),
            (Err(error), _) => Err(self.unwritable(&error)),
        }
    }

    /// Puts right what a crash left behind, as the job that was going on means it, and begins the marks of a session.
    pub(super) fn recover(&mut self, number: i64) -> Result<Marks> {
        let (marks, left) = Marks::open(&self.folder.marks_path()).map_err(|error| self.unwritable(&error))?;
        recover::after_crash(&mut self.record, &marks, &left, self.kind.repeat, number)?;
        Ok(marks)
    }

    /// Tells what there is to do; `job` makes the calls, if any.
    fn tell_list(&self, session: &Session, job: Option<&Arc<dyn AnyJob>>) -> Result<()> {
        let (counts, batches) = (self.record.counts()?, self.record.batch_count()?);
        let lanes: Option<Lanes> = self.record.fact(LANES)?;
        let is_new = counts.ended() == 0;
        // Where nothing is done yet, those in no lane are known to need no call.
        let items = counts.pending - lanes.as_ref().filter(|_| is_new).map_or(0, |plan| plan.without);
        let each = job.map_or((0, 0), |job| (job.calls(), if is_new { job.calls_per_lane() } else { 0 }));
        let calls = Calls::of(items, lanes.as_ref(), each, &self.bound.settings.rate);
        session.observer.see(&Event::Listed { counts, batches, lanes, calls });
        Ok(())
    }

    fn make_job(&self, setup: &Setup) -> Result<Arc<dyn AnyJob>> {
        let config = self.bound.settings.job.config.clone();
        self.kind.make(config, setup).map_err(|error| self.workflow.place_config_error(&error))
    }

    /// Freezes the list and cuts it into batches.
    async fn list(&mut self, setup: &Setup, job: &Arc<dyn AnyJob>, session: &Session) -> Result<Result<Input, Why>> {
        let settings = &self.bound.settings;
        let shown = as_written(&settings.items, &self.workflow);
        let order = Ordering::of(&self.bound);
        let folder = self.folder.path().to_path_buf();
        // Every record is looked at when the list is cut; lanes are made of one that is counted.
        let input = match &order {
            Some(_) => reader::freeze(&settings.items, &setup.storages, &folder, &shown).await?,
            None => reader::freeze_uncounted(&settings.items, &setup.storages, &folder, &shown).await?,
        };
        let selection = Selection::new(&settings.items, &input, &self.bound.params);
        let open = input.open(self.folder.path())?;
        let cutter = Cutter::of(&settings.batch);
        let params = self.bound.params.clone();
        let publisher = self.kind.publishes.then(|| Arc::clone(job));
        let stop = session.stop.clone();
        // A second door to the record, so that the run keeps its own while another thread writes.
        let mut record = Record::open(&self.folder.record_path())?;
        let cut = move || {
            let publisher = publisher.as_ref();
            let order = order.as_ref();
            let cut =
                Cut { input: &open, selection: &selection, params: &params, publisher, folder: &folder, order, stop: &stop };
            cut.write(&mut record, cutter)
        };
        match join(tokio::task::spawn_blocking(cut).await)? {
            Err(Why::Trouble(error)) => Err(error),
            other => Ok(other),
        }
    }

    /// A job that was changed may name its results otherwise: still no two items may have one destination.
    async fn claim_again(&mut self, job: &Arc<dyn AnyJob>, input: &Input, session: &Session) -> Result<()> {
        if self.kind.publishes {
            self.claim_all(job, input, session).await?;
        }
        self.record.write("be written", |db| db.execute("DELETE FROM facts WHERE name = ?1", [UNCLAIMED]).map(drop))
    }

    async fn claim_all(&self, job: &Arc<dyn AnyJob>, input: &Input, session: &Session) -> Result<()> {
        let selection = Selection::new(&self.bound.settings.items, input, &self.bound.params);
        let (open, params, job, stop) =
            (input.open(self.folder.path())?, self.bound.params.clone(), Arc::clone(job), session.stop.clone());
        let folder = self.folder.path().to_path_buf();
        let claim = move || {
            let publisher = Some(&job);
            let cut = Cut {
                input: &open,
                selection: &selection,
                params: &params,
                publisher,
                folder: &folder,
                order: None,
                stop: &stop,
            };
            cut.claim_all()
        };
        match join(tokio::task::spawn_blocking(claim).await)? {
            Ok(()) => Ok(()),
            Err(Why::Trouble(error)) => Err(error),
            Err(why) => Err(Error::new(ErrorKind::Stopped, why.to_string())),
        }
    }

    async fn map(
        &mut self,
        session: &Session,
        job: Arc<dyn AnyJob>,
        input: Input,
        marks: Arc<Marks>,
        number: i64,
        discreet: Discreet,
    ) -> Result<Option<Why>> {
        let settings = &self.bound.settings;
        let why = Arc::new(Mutex::new(None));
        // Stops this session; the caller's token is the user's wish.
        let stop = session.stop.child_token();
        let stopping = Stopping {
            rule: StopRule::new(settings.stop.after, settings.stop.if_first),
            token: stop.clone(),
            why: Arc::clone(&why),
        };
        let path = self.folder.record_path();
        let one_by_one = self.record.has_crashed()?;
        let control = Control::at(self.folder.control_path());
        let asked = control.wishes().rates;
        let observer = Arc::clone(&session.observer);
        let permits = Arc::new(HostPermits::shared(settings.rate.with(&asked), &settings.outage, observer));
        let (recorder, notes) = Recorder::start(Record::open(&path)?, number, stopping, Arc::clone(&session.observer))?;
        let worker_settings = WorkerSettings {
            workflow: self.workflow.name.as_str().into(),
            run: self.id().into(),
            params: self.bound.params.clone(),
            retry: settings.retry.clone(),
            item_timeout: settings.item_timeout,
            concurrency: settings.batch.concurrency,
            clock: Clock::of_this_machine(),
            ledger: Arc::new(RecordedCalls::new(Record::look(&path)?, notes.clone())?),
            permits: Arc::clone(&permits) as _,
        };
        let desk = Arc::new(LocalDesk { marks, one_by_one, notes, stop: stop.clone(), why: Arc::clone(&why), discreet });
        let feed = self.feed(&input, Wanted { limit: session.limit, only: session.only.clone() }, &desk)?;
        let map_run = MapRun {
            worker: Arc::new(Worker::new(&self.kind, job, worker_settings, stop.clone())),
            desk,
            control,
            max_concurrency: settings.max_concurrency,
            throttled: Throttled::new(permits, settings.rate.clone(), asked),
            stop,
        };
        let worked = map_run.work(feed).await;
        recorder.finish().await?;
        let first = why.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What stopped the session first is told; what came of it is not.
        match (first, worked) {
            (Some(why), _) => Ok(Some(why)),
            (None, Err(error)) => Ok(Some(Why::Trouble(error))),
            (None, Ok(why)) => Ok(why.or_else(|| session.stop.is_cancelled().then_some(Why::Asked))),
        }
    }

    /// What hands out the pending items: by batches, or by lanes if they are in order.
    fn feed(&self, input: &Input, wanted: Wanted, desk: &Arc<LocalDesk>) -> Result<Feed> {
        let settings = &self.bound.settings;
        let record = Record::look(&self.folder.record_path())?;
        let selection = Selection::new(&settings.items, input, &self.bound.params);
        let ready = Ready { selection, cutter: Cutter::of(&settings.batch) };
        let input = input.open(self.folder.path())?;
        let (stop, desk) = (desk.stop.clone(), Arc::clone(desk));
        let Some(order) = &settings.order else {
            let feeder = Feeder { record, input, ready, wanted, desk, stop, takes_rows: self.kind.takes_rows };
            return Ok(Box::new(move |batches| feeder.feed(batches)));
        };
        let source = Source {
            plan: Plan::open(self.folder.path())?,
            input,
            ready,
            key: LaneKey::new(&order.by, &self.bound.params),
            statuses: Statuses::load(&record)?,
            record: Mutex::new(record),
            goes_on: order.on_failure == OnFailure::Continue,
            desk,
        };
        let bundles = bundles_for(source.plan.items(), settings.max_concurrency);
        let feeder = LaneFeeder { source: Arc::new(source), wanted, at_once: order.concurrency as usize, bundles, stop };
        Ok(Box::new(move |batches| feeder.feed(batches)))
    }

    fn end_session(&mut self, number: i64, why: Option<Why>) -> Result<Report> {
        let told = why.as_ref().map(ToString::to_string);
        let written = self.record.write("be written", |db| {
            db.execute("UPDATE sessions SET last_ms = ?2 WHERE id = ?1", params![number, now_ms()])?;
            db.execute("DELETE FROM facts WHERE name = ?1", [GOING_ON])?;
            match &told {
                Some(told) => set_fact(db, "stopped", told),
                None => Ok(()),
            }
        });
        match why {
            // The first trouble is the one to tell; a full disk makes more of them.
            Some(Why::Trouble(error)) => return Err(error),
            _ => written?,
        }
        let mut report = fold(self.folder.id(), &self.record)?;
        if report.status == RunStatus::Running {
            report.status = RunStatus::Stopped;
        }
        Ok(report)
    }

    fn unwritable(&self, error: &std::io::Error) -> Error {
        Error::surroundings(format!("the run's folder {} cannot be written: {error}", self.folder.path().display()))
    }
}

/// Nothing was done yet: what every item needs is not there.
fn unready(error: &JobError) -> Error {
    Error::surroundings(error.cause()).hint("put it right, then resume")
}

/// What the user should know of the list before anything is done.
fn warnings(input: &Input) -> Vec<String> {
    let count = input.count();
    let mut warnings = Vec::new();
    if count == 0 {
        warnings.push(format!("there is nothing in `{}`", input.source()));
    }
    if input.is_cut() {
        warnings.push(format!("{count} items read, more not read (`items.limit`)"));
    }
    warnings.extend(input.doubts());
    warnings
}

/// The source as messages and keys call it: a file below the workflow's folder by its path from there, the same on every machine.
pub(super) fn as_written(items: &ItemsConfig, workflow: &Workflow) -> String {
    let path = match &items.source {
        ItemsSource::Inventory(inventory) => &inventory.source,
        ItemsSource::Csv(csv) => &csv.source,
        ItemsSource::Json(json) => &json.source,
        ItemsSource::Jsonl(jsonl) => &jsonl.source,
        ItemsSource::Objects(_) => return items.source.to_string(),
    };
    match path {
        SourceFile::Path(path) => path.strip_prefix(&workflow.base).unwrap_or(path).display().to_string(),
        SourceFile::S3 { .. } => items.source.to_string(),
        SourceFile::Stdin => "stdin".to_string(),
    }
}

/// The result of a thread's work. A panic there is a mistake of ours.
pub(super) fn join<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T> {
    joined.map_err(|error| Error::bug(format!("a thread of the run ended by itself: {error}")))
}
