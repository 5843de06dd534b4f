//! [`Throttled`]: the rates of a run, as its workflow says and as was asked for since.

use std::sync::Arc;

use super::control::Control;
use super::state::RunFolder;
use crate::error::Result;
use crate::permits::HostPermits;
use crate::rate::{AskedRates, Rates};

/// The fact that keeps what the workflow says.
pub(super) const RATES: &str = "rates";

/// Keeps the permits of a session at what was asked for.
#[derive(Debug)]
pub(super) struct Throttled {
    permits: Arc<HostPermits>,
    /// What the workflow says.
    said: Rates,
    asked: AskedRates,
}

impl Throttled {
    /// `asked` is what the permits were made with.
    pub fn new(permits: Arc<HostPermits>, said: Rates, asked: AskedRates) -> Self {
        Self { permits, said, asked }
    }

    /// Hears what is asked for now.
    pub fn hear(&mut self, asked: AskedRates) {
        if asked != self.asked {
            self.permits.set_rates(self.said.with(&asked));
            self.asked = asked;
        }
    }
}

impl RunFolder {
    /// Sets how fast others may be called, now and after a resume: the host of this name, or all that have no rate of their own.
    /// `None` is what the workflow says. Gives the rates that are in force then.
    ///
    /// # Errors
    /// The run's folder cannot be read or written.
    pub fn throttle_rate(&self, host: Option<&str>, limit: Option<f64>) -> Result<Rates> {
        Control::at(self.control_path()).ask(|wishes| wishes.rates.ask(host, limit))?;
        self.rates()
    }

    /// How fast others may be called, as the workflow says and as was asked for since.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn rates(&self) -> Result<Rates> {
        let said: Option<Rates> = self.look()?.fact(RATES)?;
        Ok(said.unwrap_or_default().with(&Control::at(self.control_path()).wishes().rates))
    }
}
