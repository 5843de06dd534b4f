//! [`Clock`]: one time for everyone who shares a host's state.

use std::time::Duration;

use tokio::time::Instant;

/// What time it is, since some beginning that is long past.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// Tokio's time since this instant: virtual in tests.
    Tokio(Instant),
    /// The time since the machine was started, the same for all of its processes. It goes on while the machine sleeps.
    Machine,
}

/// The beginning of a clock of our own is a day past, so that zero is never and a grain before the beginning is a time as well.
const PAST: Duration = Duration::from_secs(86_400);

impl Clock {
    pub fn tokio() -> Self {
        Self::Tokio(Instant::now())
    }

    pub fn now(self) -> Duration {
        match self {
            Self::Tokio(began) => PAST + began.elapsed(),
            Self::Machine => machine(),
        }
    }
}

fn machine() -> Duration {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    // Neither field can be negative: the clock begins at zero.
    let time = rustix::time::clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// A number that tells one start of the machine from another, so that times of an earlier one are not believed. Where the
/// system does not tell it, 0: then only times that cannot be are not believed.
pub(super) fn boot() -> u64 {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // FNV-1a.
    id.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
