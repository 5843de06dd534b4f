//! [`HostPermits`]: a dispenser for each host that is called.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::clock::Clock;
use super::dispenser::Host;
use super::shared::SharedFile;
use super::state::HostState;
use super::store::Store;
use super::waiting::Teller;
use super::{Heard, NoPermit, Permit, Permits, Turn};
use crate::event::Observer;
use crate::rate::{Outage, Rates};

/// Gives permits for all hosts, each by its own dispenser, which begins with the first call. They end with this value.
#[derive(Debug)]
pub(crate) struct HostPermits {
    kept: Kept,
    /// Which part of the time between two calls the first one waits.
    phase: Option<f64>,
    give_up_after: Duration,
    observer: Arc<dyn Observer>,
    rates: RwLock<Rates>,
    hosts: RwLock<HashMap<String, Serving>>,
}

/// Where the states of the hosts are kept.
#[derive(Debug)]
enum Kept {
    /// In this process, by tokio's time.
    InMemory(Clock),
    /// In a folder of this machine; `None` is the usual one.
    Shared(Option<PathBuf>),
}

/// A host and its task.
#[derive(Debug)]
struct Serving {
    host: Arc<Host>,
    task: AbortHandle,
}

impl HostPermits {
    /// Permits shared with all runs of the user on this machine. `observer` is told what is waited for.
    pub fn shared(rates: Rates, outage: &Outage, observer: Arc<dyn Observer>) -> Self {
        Self::new(Kept::Shared(None), None, rates, outage, observer)
    }

    /// Permits of this process alone, by tokio's time.
    pub fn in_memory(rates: Rates, outage: &Outage, observer: Arc<dyn Observer>) -> Self {
        Self::new(Kept::InMemory(Clock::tokio()), None, rates, outage, observer)
    }

    /// The same of one process of many, each of which has its share of the rate: they begin with nothing saved up, each at a time of its
    /// own. `phase`, from 0 to 1, is the part of the time between two calls that the first call to a host waits.
    pub fn of_many(shares: Rates, phase: f64, outage: &Outage, observer: Arc<dyn Observer>) -> Self {
        Self::new(Kept::InMemory(Clock::tokio()), Some(phase), shares, outage, observer)
    }

    #[cfg(test)]
    pub fn shared_in(folder: PathBuf, rates: Rates, outage: &Outage, observer: Arc<dyn Observer>) -> Self {
        Self::new(Kept::Shared(Some(folder)), None, rates, outage, observer)
    }

    fn new(kept: Kept, phase: Option<f64>, rates: Rates, outage: &Outage, observer: Arc<dyn Observer>) -> Self {
        let (rates, hosts) = (RwLock::new(rates), RwLock::default());
        Self { kept, phase, give_up_after: outage.give_up_after, observer, rates, hosts }
    }

    /// Other rates from now on.
    pub fn set_rates(&self, rates: Rates) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
        let rates = self.rates.read().unwrap_or_else(PoisonError::into_inner);
        for (name, serving) in &*self.hosts.read().unwrap_or_else(PoisonError::into_inner) {
            serving.host.set_rate(rates.of(name));
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        if let Some(serving) = self.hosts.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(&serving.host);
        }
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let serving = hosts.entry(name.to_string()).or_insert_with(|| self.serve(name));
        Arc::clone(&serving.host)
    }

    fn serve(&self, name: &str) -> Serving {
        let own = self.rates.read().unwrap_or_else(PoisonError::into_inner).of(name);
        let (clock, store) = match &self.kept {
            Kept::InMemory(clock) => {
                let began = own.zip(self.phase).map(|(rate, phase)| HostState::nothing_saved(rate, phase, clock.now()));
                (*clock, Store::Memory(began.unwrap_or_default()))
            }
            Kept::Shared(top) => (Clock::Machine, Store::Shared(Box::new(SharedFile::new(top.clone(), name)))),
        };
        let teller = Teller::new(name, Arc::clone(&self.observer));
        let host = Arc::new(Host::new(name, clock, own, self.give_up_after, teller));
        let task = tokio::spawn(Arc::clone(&host).serve(store)).abort_handle();
        Serving { host, task }
    }
}

impl Permits for HostPermits {
    fn permit<'a>(&'a self, host: &'a str, turn: Turn) -> BoxFuture<'a, Result<Permit, NoPermit>> {
        let host = self.host(host);
        async move { host.permit(turn).await }.boxed()
    }

    fn heard(&self, host: &str, heard: Heard<'_>) {
        self.host(host).heard(heard);
    }

    fn has_answered_since(&self, host: &str, since: Instant) -> bool {
        self.host(host).has_answered_since(since)
    }
}

impl Drop for HostPermits {
    fn drop(&mut self) {
        for serving in self.hosts.get_mut().unwrap_or_else(PoisonError::into_inner).values() {
            serving.task.abort();
        }
    }
}
