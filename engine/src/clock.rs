//! The one clock that engine and Python read; tests move it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix seconds of the system's clock plus a shift, or a standing time.
#[derive(Debug, Default)]
pub struct Clock {
    stopped: AtomicBool,
    /// The standing time, or the shift.
    value: AtomicI64,
}

impl Clock {
    /// The time, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        let value = self.value.load(Ordering::Acquire);
        if self.stopped.load(Ordering::Acquire) { value } else { system_now().saturating_add(value) }
    }

    /// The time, read once for all that came in one batch: reading it costs as much as a lookup.
    #[must_use]
    pub fn now_of(&self, batch: Option<Instant>) -> i64 {
        thread_local!(static LAST: Cell<Option<(Instant, i64)>> = const { Cell::new(None) });
        let Some(batch) = batch else { return self.now() };
        match LAST.get() {
            Some((read_for, now)) if read_for == batch => now,
            _ => {
                let now = self.now();
                LAST.set(Some((batch, now)));
                now
            }
        }
    }

    /// From now on the clock stands.
    pub fn stop_at(&self, now: i64) {
        self.value.store(now, Ordering::Release);
        self.stopped.store(true, Ordering::Release);
    }

    /// From now on the clock runs with the system's, so many seconds away.
    pub fn shift(&self, seconds: i64) {
        self.stopped.store(false, Ordering::Release);
        self.value.store(seconds, Ordering::Release);
    }
}

fn system_now() -> i64 {
    // Before 1970 there is no DNSSEC to be had.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
