//! What time it is.
//!
//! The one place that asks the operating system. Everything else is handed a [`Clock`], so that tests own the time.

use std::time::Instant;

use jiff::Timestamp;

/// A source of time. The daemon uses the system's; tests set their own.
pub trait Clock: Send + Sync {
    /// The wall-clock time, for what people read and what is kept. It may jump.
    fn now(&self) -> Timestamp;

    /// A time that never goes back, for TTLs and timeouts.
    fn instant(&self) -> Instant;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}
