//! Places at which tests kill the process: what comes back after that is what would come back after any `kill -9` there.
//!
//! Only in builds with debug assertions. In a release build [`point`] is nothing, and the environment is not asked.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// Every crash point, in the order in which a call with an effect passes them.
#[cfg(debug_assertions)]
pub(crate) const POINTS: &[&str] = &[
    "before permit",
    "after permit",
    "before start",
    "after start",
    "before send",
    "after send",
    "after done noted",
    "after done durable",
    "before outcome",
    "after outcome",
    "after outcome durable",
];

/// Those that an import passes.
#[cfg(debug_assertions)]
const IMPORT_POINTS: &[&str] = &[
    "before rows written",
    "after rows written",
    "after emptied",
    "before merged",
    "after merged",
    "after amended",
    "before tidied",
    "after tidied",
];

/// The end of the process if the environment says so: `FANFOLD_CRASH_AT=NAME:N` is SIGKILL by its own hand when the point of this
/// name, one of [`POINTS`] or [`IMPORT_POINTS`], is passed for the Nth time, from 1.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    static PASSED: AtomicU64 = AtomicU64::new(0);
    debug_assert!(POINTS.contains(&name) || IMPORT_POINTS.contains(&name), "`{name}` is not a crash point");
    if let Some((chosen, nth)) = chosen()
        && chosen == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        // It does not come back; if it did, the test would see a run that goes on.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn point(_: &str) {}

/// The point that was chosen and how often it is passed, told once.
#[cfg(debug_assertions)]
fn chosen() -> Option<&'static (String, u64)> {
    static CHOSEN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    let read = || {
        let text = std::env::var("FANFOLD_CRASH_AT").ok()?;
        let (name, nth) = text.rsplit_once(':')?;
        Some((name.to_string(), nth.parse().ok()?))
    };
    CHOSEN.get_or_init(read).as_ref()
}
