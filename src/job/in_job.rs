//! Whether this thread is inside a job just now: a panic there belongs to an item, not to fanfold.

use std::cell::{Cell, RefCell};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` as part of a job. A panic leaves the mark as it was before.
pub(crate) fn enter<R>(work: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            INSIDE.set(self.0);
        }
    }
    let _back = Back(INSIDE.replace(true));
    work()
}

/// Whether this thread is inside a job.
pub(crate) fn is() -> bool {
    INSIDE.get()
}

/// Keeps where a panic happened, as `file:line`, until its item is recorded.
pub(crate) fn set_place(place: Option<String>) {
    PANICKED_AT.set(place);
}

/// Where the last panic of this thread happened; given once.
pub(crate) fn take_place() -> Option<String> {
    PANICKED_AT.take()
}
