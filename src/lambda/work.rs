//! [`Work`]: one invocation for a batch: what has an outcome is left, the others are done and written down, the rest is given back.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::desk::LambdaDesk;
use super::event::{Answer, Asked, BatchEvent, Rest};
use super::figures::{About, Figures};
use super::parts::{EVERY, Parts};
use super::refused::Refused;
use super::same::differs;
use super::served::{Prepared, Served};
use super::time::{Time, now_ms};
use super::waits::LongPause;
use crate::batch::{Batch, too_large};
use crate::bucket::{
    BatchFiles, BatchName, BatchOutcomes, HandedItem, OutcomeLine, RunBucket, alive_name, alone_name, items_name,
};
use crate::item::Item;
use crate::ledger::Memory;
use crate::observe::{Level, Log};
use crate::outcome::{Counts, Failure, ItemStatus, Outcome};
use crate::units::write_duration;
use crate::worker::{Clock, Discreet, Worker, WorkerSettings};

/// Workers that died with the batch, after which its items are run one by one.
const DEATHS_UNTIL_ALONE: u32 = 2;

/// Workers that died with an item that was run alone, after which it is given up. One would be no proof.
const ALONE_UNTIL_FAILED: usize = 2;

/// One invocation.
pub(super) struct Invocation {
    pub request: String,
    pub time: Time,
    pub log: Log,
}

/// How working came to its end.
enum Ended {
    /// Every item has ended, or nothing is begun any more, and what was under way has ended. With the pause that went on when that
    /// was so, if any.
    Itself(Option<LongPause>),
    /// Everybody waits for hosts that are not to be called for long.
    Paused(LongPause),
    /// Time was up while items were under way: they were given up.
    CutOff,
}

/// The items of a batch, by what is to be done with them.
struct Sorted {
    /// Those that have no outcome and may be worked beside others.
    together: Vec<Item>,
    /// Those that are worked one by one.
    alone: Vec<Suspect>,
    /// Those that have no outcome and need no worker.
    unworked: Vec<(Item, Outcome)>,
    /// What each item is called.
    keys: Vec<String>,
    /// Whether an item was given up for all the workers that died with it.
    gave_up: bool,
}

/// An item that is worked alone.
struct Suspect {
    /// Workers that died with it when it was alone.
    deaths: usize,
    /// How often it was alone.
    times: u32,
    item: Item,
}

/// Works a batch, or what of it has no outcome yet.
pub(super) struct Work<'a> {
    pub event: BatchEvent,
    pub invocation: &'a Invocation,
    prepared: Arc<Prepared>,
    bucket: RunBucket,
    name: BatchName,
    log: Log,
}

impl<'a> Work<'a> {
    /// Opens what the batch needs.
    ///
    /// # Errors
    /// The worker cannot begin at all.
    pub async fn open(served: &Served, event: BatchEvent, invocation: &'a Invocation) -> Result<Self, Refused> {
        let prepared = served.prepared(&event).await?;
        let input = &event.input;
        let bucket = RunBucket::open(served.storages().await, &input.results.bucket, &input.results.prefix).await;
        let bucket = bucket.map_err(|error| Refused::new(error.to_string()))?;
        let first = input.batch.or_else(|| event.items.first().map(|item| item.index)).unwrap_or(0);
        let name = BatchName { round: input.round, first };
        let log = invocation.log.with("run", input.run.as_str()).with("batch", name.to_string());
        Ok(Self { event, invocation, prepared, bucket, name, log })
    }

    /// Works it and gives the answer.
    ///
    /// # Errors
    /// Nothing can be said of the items that have no outcome yet, but what to do: see [`Refused`].
    pub async fn go(self, workflow: &str) -> Result<Answer, Refused> {
        let files = self.bucket.files(self.name).await.map_err(|error| Refused::interrupted(&error))?;
        let known = self.bucket.outcomes(&files).await.map_err(|error| Refused::interrupted(&error))?;
        let sorted = self.sort(&files, &known);
        self.compare(&files, &sorted.keys).await?;
        self.write_items(&files, &sorted.keys).await?;
        self.prepared.waits.begin(self.log.clone());
        let stop = CancellationToken::new();
        let desk = Arc::new(self.desk(stop.clone()));
        let gave_up = sorted.gave_up;
        let to_do = sorted.together.len() + sorted.alone.len();
        self.log.line(Level::Info, &format!("{} items, {to_do} to do", self.event.items.len()));
        let ended = self.work(sorted, &desk, &stop, workflow).await;
        desk.flush().await;
        self.take_back(&desk, &ended).await;
        let trouble = desk.trouble();
        let (done, figures) = desk.take();
        let rest = self.rest(&known, &done);
        let counts = self.counts(known, &done, rest.len());
        self.tell(workflow, figures, &counts);
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        self.answer(ended, counts, rest, &done, gave_up)
    }

    /// What is to be done with each item.
    fn sort(&self, files: &BatchFiles, known: &BatchOutcomes) -> Sorted {
        let settings = &self.prepared.bound.settings;
        let most = usize::try_from(settings.batch.max_bytes).unwrap_or(usize::MAX);
        let one_by_one = self.event.input.asked.again >= DEATHS_UNTIL_ALONE;
        let mut sorted =
            Sorted { together: Vec::new(), alone: Vec::new(), unworked: Vec::new(), keys: Vec::new(), gave_up: false };
        for HandedItem { index, value, .. } in &self.event.items {
            let selection = &self.prepared.selection;
            let (key, invalid) = match selection.key(value, *index) {
                Ok(key) => (key, None),
                Err(failure) => (selection.position(*index), Some(failure)),
            };
            sorted.keys.push(key.to_string());
            let item = Item { index: *index, key, value: value.clone() };
            if let Some(line) = known.of(*index) {
                if Some(&line.key) != sorted.keys.last() {
                    let told =
                        format!("item {index} has its outcome as `{}` and is `{}` now: it is left as it is", line.key, item.key);
                    self.log.line(Level::Warn, &told);
                }
                continue;
            }
            let large = || too_large(crate::item::json_len(value), most).map(Outcome::Failed);
            let ended = invalid.map(Outcome::Failed).or_else(|| selection.left_out(value)).or_else(large);
            let (times, deaths) = (files.times_alone(*index), files.deaths_alone(*index));
            match ended {
                Some(outcome) => sorted.unworked.push((item, outcome)),
                None if deaths >= ALONE_UNTIL_FAILED => {
                    let cause = format!("the worker died {deaths} times while it worked this item and no other");
                    sorted.unworked.push((item, Outcome::Failed(Failure::new("Worker.Crashed", cause))));
                    sorted.gave_up = true;
                }
                None if one_by_one || deaths > 0 => sorted.alone.push(Suspect { deaths, times, item }),
                None => sorted.together.push(item),
            }
        }
        // Those that were suspected least come first: if one of them is the end of this worker, the others are done.
        sorted.alone.sort_by_key(|suspect| (suspect.deaths, suspect.item.index));
        sorted
    }

    /// Makes sure that the items are those that an earlier worker was handed.
    async fn compare(&self, files: &BatchFiles, keys: &[String]) -> Result<(), Refused> {
        if files.items.is_none() {
            return Ok(());
        }
        let written = self.bucket.items(files).await.map_err(|error| Refused::interrupted(&error))?;
        match differs(&self.prepared.bound.settings.items, &written, &self.event.items, keys) {
            Some(how) => Err(Refused::new(format!("the source is not the one that the run began with: {how}"))),
            None => Ok(()),
        }
    }

    /// Writes down which items there are, unless an earlier worker did.
    async fn write_items(&self, files: &BatchFiles, keys: &[String]) -> Result<(), Refused> {
        let items = &self.event.items;
        if items.is_empty() || files.items.as_ref().is_some_and(|(_, count)| *count >= items.len() as u64) {
            return Ok(());
        }
        let keyed = |(item, key): (&HandedItem, &String)| HandedItem { key: Some(key.clone()), ..item.clone() };
        let keyed: Vec<HandedItem> = items.iter().zip(keys).map(keyed).collect();
        let name = format!("{}{}", self.name.folder(), items_name(items.len()));
        self.bucket.put_new(&name, HandedItem::write_all(&keyed)).await.map_err(|error| Refused::interrupted(&error))
    }

    fn desk(&self, stop: CancellationToken) -> LambdaDesk {
        let Prepared { bound, kind, job, secrets, .. } = &*self.prepared;
        let Invocation { request, time, .. } = self.invocation;
        let parts = Parts::new(self.bucket.clone(), self.name, time.began_ms, request);
        let discreet = Discreet::new(bound.settings.redact.clone(), Arc::clone(secrets));
        let publisher = kind.publishes.then(|| Arc::clone(job));
        LambdaDesk::new(parts, discreet, publisher, bound.params.clone(), stop, self.log.clone())
    }

    fn worker(&self, workflow: &str, stop: CancellationToken) -> Worker {
        let Prepared { bound, kind, job, waits, .. } = &*self.prepared;
        let settings = WorkerSettings {
            workflow: workflow.into(),
            // Of the run, not of the execution: an effect that is asked for again has the same key.
            run: self.event.input.run.as_str().into(),
            params: bound.params.clone(),
            retry: bound.settings.retry.clone(),
            item_timeout: bound.settings.item_timeout,
            concurrency: bound.settings.batch.concurrency,
            clock: Clock::of_this_machine(),
            ledger: Arc::new(Memory::default()),
            permits: Arc::clone(waits) as _,
        };
        Worker::new(kind, Arc::clone(job), settings, stop)
    }

    /// Works the items to the end of all of them, or of the time that there is.
    async fn work(&self, sorted: Sorted, desk: &Arc<LambdaDesk>, stop: &CancellationToken, workflow: &str) -> Ended {
        for (item, outcome) in sorted.unworked {
            desk.ended_unworked(&item, outcome);
        }
        if sorted.gave_up && self.invocation.time.can_go_on_at(tokio::time::Instant::now()) {
            // The others are asked for as if no worker had died.
            return Ended::Itself(None);
        }
        let worker = self.worker(workflow, stop.clone());
        let time = self.invocation.time;
        // On a task of its own: a job that keeps its thread busy keeps no outcome from being written.
        let flushing = tokio::spawn(flush_now_and_then(Arc::clone(desk)));
        let mut working = pin!(async {
            worker.run(&self.batch(sorted.together), &**desk).await;
            for Suspect { times, item, .. } in sorted.alone {
                if stop.is_cancelled() || !self.mark(desk, &item, times + 1).await {
                    break;
                }
                worker.run(&self.batch(vec![item]), &**desk).await;
            }
        });
        // A pause that a child of a few minutes can sit through costs less than its end.
        let sat_through = (!time.is_standard()).then_some(time.last_begin);
        let mut pause = pin!(self.prepared.waits.long_pause(|| desk.in_flight(), sat_through));
        let mut last_begin = pin!(tokio::time::sleep_until(time.last_begin));
        let mut ended = Ended::Itself(None);
        let mut cut = pin!(tokio::time::sleep_until(time.end));
        loop {
            tokio::select! {
                () = &mut working => break,
                found = &mut pause, if !matches!(ended, Ended::Paused(_)) => {
                    ended = Ended::Paused(found);
                    stop.cancel();
                }
                () = &mut last_begin, if !stop.is_cancelled() => {
                    ended = Ended::Itself(self.prepared.waits.pause());
                    stop.cancel();
                }
                () = &mut cut => {
                    ended = Ended::CutOff;
                    break;
                }
            }
        }
        flushing.abort();
        ended
    }

    fn batch(&self, items: Vec<Item>) -> Batch {
        let round = self.name.round;
        let redriven = if round == 0 { HashMap::new() } else { items.iter().map(|item| (item.index, round)).collect() };
        Batch { id: self.name.first, items, redriven: Arc::new(redriven) }
    }

    /// Marks an item before it is run alone. What ended before it is written down first: it must not be suspected.
    async fn mark(&self, desk: &LambdaDesk, item: &Item, times: u32) -> bool {
        if !desk.flush().await {
            return false;
        }
        let name = format!("{}{}", self.name.folder(), alone_name(item.index, times));
        match self.bucket.put(&name, Vec::new()).await {
            Ok(()) => {
                desk.marked(item.index, times);
                true
            }
            Err(error) => {
                desk.stop_for(Refused::interrupted(&error));
                false
            }
        }
    }

    /// Takes the marks of items back that have no outcome though this worker lives: it stopped for another reason. One that had all the
    /// time of a worker for itself and did not end is suspected as if the worker had died.
    async fn take_back(&self, desk: &LambdaDesk, ended: &Ended) {
        if matches!(ended, Ended::CutOff) && !desk.has_outcomes() {
            return;
        }
        for (index, times) in desk.without_outcome() {
            let name = format!("{}{}", self.name.folder(), alive_name(index, times));
            if let Err(error) = self.bucket.put(&name, Vec::new()).await {
                desk.stop_for(Refused::interrupted(&error));
            }
        }
    }

    /// The items that have no outcome yet.
    fn rest(&self, known: &BatchOutcomes, done: &HashMap<u64, OutcomeLine>) -> Vec<HandedItem> {
        let has_ended = |item: &HandedItem| done.contains_key(&item.index) || known.of(item.index).is_some();
        self.event.items.iter().filter(|item| !has_ended(item)).cloned().collect()
    }

    /// How the whole batch stands, whoever did which part of it.
    fn counts(&self, mut known: BatchOutcomes, done: &HashMap<u64, OutcomeLine>, pending: usize) -> Counts {
        done.values().for_each(|line| known.take(line.clone()));
        let mut counts = Counts::pending((known.len() + pending) as u64);
        known.into_lines().for_each(|line| counts.shift(ItemStatus::Pending, line.status, 1));
        counts
    }

    fn tell(&self, workflow: &str, figures: Figures, counts: &Counts) {
        let Invocation { request, time, .. } = self.invocation;
        self.log.line(Level::Info, &format!("{} items ended, {} pending", figures.ended.ended(), counts.pending));
        let about = About { workflow, run: &self.event.input.run, batch: self.name.to_string(), request };
        Log::object_line(&figures.line(&about, time.began.elapsed(), self.prepared.waits.waited(), now_ms()));
    }

    fn answer(
        self,
        ended: Ended,
        counts: Counts,
        rest: Vec<HandedItem>,
        done: &HashMap<u64, OutcomeLine>,
        gave_up: bool,
    ) -> Result<Answer, Refused> {
        let answer = Answer::of(self.name.first, counts);
        if rest.is_empty() {
            return Ok(answer);
        }
        let now = tokio::time::Instant::now();
        let mut asked = self.event.input.asked;
        if gave_up {
            asked.again = 0;
        }
        let mut wait_until = now;
        match ended {
            // Asked for again as after a death: if it never gets further, it is seen which item takes so long.
            Ended::CutOff if done.is_empty() => return Err(Refused::timed_out()),
            Ended::CutOff | Ended::Itself(None) => asked.away_since = None,
            Ended::Paused(pause) | Ended::Itself(Some(pause)) => {
                wait_until = pause.until;
                let succeeded = done.values().any(|line| line.status == ItemStatus::Succeeded);
                asked = self.away(asked, pause, succeeded)?;
            }
        }
        if !self.invocation.time.can_go_on_at(wait_until) {
            self.log.line(Level::Warn, &format!("{} items stay pending: the child ends", rest.len()));
            return Ok(answer);
        }
        let wait = i64::try_from(wait_until.saturating_duration_since(now).as_millis()).unwrap_or(i64::MAX);
        let rest = Rest { items: rest, wait_until_ms: now_ms().saturating_add(wait), asked };
        Ok(answer.with(rest, self.event.raw))
    }

    /// How long everybody who is called has been away: no longer than `outage.give_up_after`, over all workers of the batch.
    fn away(&self, asked: Asked, pause: LongPause, succeeded: bool) -> Result<Asked, Refused> {
        let Some(since) = pause.away_since else { return Ok(Asked { away_since: None, ..asked }) };
        let since = now_ms().saturating_sub(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX));
        let since = asked.away_since.filter(|_| !succeeded).map_or(since, |before| before.min(since));
        let limit = self.prepared.bound.settings.outage.give_up_after;
        if now_ms().saturating_sub(since) >= i64::try_from(limit.as_millis()).unwrap_or(i64::MAX) {
            let cause = format!("who is called has been away for {}", write_duration(limit));
            return Err(Refused::new(cause));
        }
        Ok(Asked { away_since: Some(since), ..asked })
    }
}

async fn flush_now_and_then(desk: Arc<LambdaDesk>) {
    loop {
        tokio::select! {
            () = desk.full.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        desk.flush().await;
    }
}
