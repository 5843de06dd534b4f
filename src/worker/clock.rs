//! [`Clock`]: the time of day as the ledger keeps it, the one place of the worker that asks for it.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970. Within a process it never goes back, whatever is done to the clock of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
    began_ms: i64,
    /// Whether the machine's clock is looked at again: it goes on while the machine sleeps.
    is_real: bool,
}

impl Clock {
    /// The clock of this machine.
    pub fn of_this_machine() -> Self {
        Self { began: Instant::now(), began_ms: machine_ms(), is_real: true }
    }

    /// A clock that begins at this time and goes as tokio's time goes, which may be a virtual one.
    pub fn beginning_at(began_ms: i64) -> Self {
        Self { began: Instant::now(), began_ms, is_real: false }
    }

    /// Now.
    pub fn now_ms(&self) -> i64 {
        let since = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let steady = self.began_ms.saturating_add(since);
        if self.is_real { steady.max(machine_ms()) } else { steady }
    }
}

fn machine_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_goes_as_the_virtual_time_goes() {
        let clock = Clock::beginning_at(1_000);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now_ms(), 3_601_000);
        assert!(Clock::of_this_machine().now_ms() > 1_700_000_000_000);
    }
}
