//! The only place that asks for the time.
//!
//! Never: another module reads the system clock; it takes a [`Clock`].

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};

/// A source of the present time.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    fn now_micros(&self) -> i64;
}

/// The clock of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    fn now_micros(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }
}

/// A clock that stands still until it is moved; for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `micros`.
    #[must_use]
    pub fn new(micros: i64) -> Self {
        Self { micros: AtomicI64::new(micros) }
    }

    /// Moves the clock by `micros`, backwards when negative.
    pub fn advance(&self, micros: i64) {
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }
}
