//! How an upstream is: what it answered, how fast, and whether it is left alone for a while.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::upstream::TryError;
use crate::clock::Clock;

/// An upstream is taken for down, and that is told, after so many tries in a row without an answer; a single lost
/// question may be the fault of a name whose own servers are slow.
const FAILURES_TO_BE_DOWN: u32 = 2;
/// A try that is silent for a multiple of this counts as as many failures.
const FAILURE_LEN: Duration = Duration::from_secs(2);
/// What is told of an upstream is told again after this long at the earliest: an SD card keeps the log.
const LOG_PAUSE: Duration = Duration::from_secs(60);
/// An upstream that failed is left alone for so long; each further failure doubles it, up to the second value.
const DOWN_FIRST: Duration = Duration::from_secs(2);
const DOWN_MAX: Duration = Duration::from_secs(30);

/// Where the buckets of latencies end, in microseconds: from a server in the house to a try that is given up.
pub const UPSTREAM_LATENCY_BOUNDS_US: [u32; 11] =
    [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000];
/// How many latencies lie in each bucket; the last one has no end.
type Latencies<N> = [N; UPSTREAM_LATENCY_BOUNDS_US.len() + 1];

pub(super) struct Health {
    label: Arc<str>,
    clock: Arc<dyn Clock>,
    started: Instant,
    answered: AtomicU64,
    failed: AtomicU64,
    latency_sum_us: AtomicU64,
    latencies: Latencies<AtomicU64>,
    /// Smoothed; zero before the first answer.
    latency_us: AtomicU32,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Whether it was silent for longer than others are, and has not answered since.
    is_doubted: AtomicBool,
    /// Milliseconds since `started`, as all that follow.
    down_until_ms: AtomicU64,
    asked_ms: AtomicU64,
    answered_ms: AtomicU64,
    /// When something was last told of it.
    told_ms: AtomicU64,
    is_probed: AtomicBool,
    problem: Mutex<String>,
}

/// Counts of an upstream, and what is wrong with it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct HealthStatus {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) latency_us: Option<u32>,
    pub(super) latency_sum_us: u64,
    pub(super) latencies: Latencies<u64>,
    pub(super) problem: Option<String>,
}

impl Health {
    pub(super) fn new(label: Arc<str>, clock: Arc<dyn Clock>) -> Self {
        Self {
            label,
            started: clock.instant(),
            clock,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            latency_sum_us: AtomicU64::new(0),
            latencies: Latencies::default(),
            latency_us: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            is_doubted: AtomicBool::new(false),
            down_until_ms: AtomicU64::new(0),
            asked_ms: AtomicU64::new(0),
            answered_ms: AtomicU64::new(0),
            told_ms: AtomicU64::new(0),
            is_probed: AtomicBool::new(false),
            problem: Mutex::new(String::new()),
        }
    }

    /// When it is, in milliseconds since it is known.
    pub(super) fn now_ms(&self) -> u64 {
        millis(self.clock.instant().saturating_duration_since(self.started))
    }

    pub(super) fn note_asked(&self) {
        self.asked_ms.store(self.now_ms().max(1), Ordering::Relaxed);
    }

    pub(super) fn note_answer(&self, latency: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let latency = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX).max(1);
        self.latency_sum_us.fetch_add(latency.into(), Ordering::Relaxed);
        let bucket = UPSTREAM_LATENCY_BOUNDS_US.iter().filter(|&&bound| bound < latency).count();
        if let Some(latencies) = self.latencies.get(bucket) {
            latencies.fetch_add(1, Ordering::Relaxed);
        }
        let smoothed = match self.latency_us.load(Ordering::Relaxed) {
            0 => latency,
            before => before - before / 8 + latency / 8,
        };
        self.latency_us.store(smoothed.max(1), Ordering::Relaxed);
        let failures = self.failures.swap(0, Ordering::Relaxed);
        self.is_doubted.store(false, Ordering::Relaxed);
        self.down_until_ms.store(0, Ordering::Relaxed);
        self.answered_ms.store(self.now_ms().max(1), Ordering::Relaxed);
        if FAILURES_TO_BE_DOWN <= failures && self.may_tell() {
            info!(upstream = %self.label, "the upstream answers again");
        }
    }

    /// A try that gave no answer, after it was waited for so long.
    pub(super) fn note_failure(&self, error: &TryError, silence: Duration) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        // An error that it tells is an answer, and our own lack of sockets is not its fault.
        if !error.is_silence() {
            return;
        }
        let before = self.failures.load(Ordering::Relaxed);
        // A wrong certificate is no accident: once is enough.
        let new = silence.as_millis() / FAILURE_LEN.as_millis();
        let failures = before.saturating_add(u32::try_from(new).unwrap_or(u32::MAX).max(1));
        let failures = if error.is_lasting() { failures.max(FAILURES_TO_BE_DOWN) } else { failures };
        self.failures.store(failures, Ordering::Relaxed);
        let down = DOWN_FIRST.saturating_mul(1 << (failures - 1).min(8)).min(DOWN_MAX);
        self.leave_alone(down);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        if before < FAILURES_TO_BE_DOWN && FAILURES_TO_BE_DOWN <= failures && self.may_tell() {
            warn!(upstream = %self.label, %error, "the upstream fails; others are asked before it for a while");
        }
    }

    /// It is silent though it was asked at `since_ms`: unless it answered others since, others are asked before it until it does.
    /// Gives back whether they are.
    pub(super) fn doubt(&self, since_ms: u64) -> bool {
        if since_ms < self.answered_ms.load(Ordering::Relaxed) {
            return false;
        }
        self.is_doubted.store(true, Ordering::Relaxed);
        self.leave_alone(DOWN_FIRST);
        true
    }

    fn leave_alone(&self, how_long: Duration) {
        self.down_until_ms.fetch_max(self.now_ms().saturating_add(millis(how_long)), Ordering::Relaxed);
    }

    /// Whether others are asked before it.
    pub(super) fn is_failing(&self) -> bool {
        self.is_doubted.load(Ordering::Relaxed) || 0 < self.failures.load(Ordering::Relaxed)
    }

    /// How long it is still left alone, in milliseconds.
    pub(super) fn down_for_ms(&self) -> u64 {
        self.down_until_ms.load(Ordering::Relaxed).saturating_sub(self.now_ms())
    }

    /// The smoothed time to an answer; the longest there is before the first one.
    pub(super) fn latency_or_max(&self) -> u32 {
        match self.latency_us.load(Ordering::Relaxed) {
            0 => u32::MAX,
            latency => latency,
        }
    }

    /// Whether it was not asked for so long, or never.
    pub(super) fn is_unasked_for(&self, how_long: Duration) -> bool {
        let asked = self.asked_ms.load(Ordering::Relaxed);
        asked == 0 || asked.saturating_add(millis(how_long)) <= self.now_ms()
    }

    /// Takes the right to ask it for its own sake; one at a time has it, until it is given back.
    pub(super) fn begin_probe(&self) -> bool {
        !self.is_probed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn end_probe(&self) {
        self.is_probed.store(false, Ordering::Relaxed);
    }

    /// Whether enough time has passed since something was told; if so, it counts as told now.
    pub(super) fn may_tell(&self) -> bool {
        let (now, told) = (self.now_ms(), self.told_ms.load(Ordering::Relaxed));
        let may = told == 0 || told.saturating_add(millis(LOG_PAUSE)) <= now;
        if may {
            self.told_ms.store(now.max(1), Ordering::Relaxed);
        }
        may
    }

    pub(super) fn status(&self) -> HealthStatus {
        let latency_us = self.latency_us.load(Ordering::Relaxed);
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        HealthStatus {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            latency_us: (latency_us != 0).then_some(latency_us),
            latency_sum_us: self.latency_sum_us.load(Ordering::Relaxed),
            latencies: self.latencies.each_ref().map(|latencies| latencies.load(Ordering::Relaxed)),
            problem: (FAILURES_TO_BE_DOWN <= self.failures.load(Ordering::Relaxed)).then_some(problem),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testkit::ManualClock;
    use super::*;

    fn health() -> (Health, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new());
        (Health::new("udp://192.0.2.1:53".into(), Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    #[test]
    fn a_failing_upstream_is_left_alone_ever_longer_until_it_answers() {
        let (health, clock) = health();
        for expected in [2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            health.note_failure(&TryError::TimedOut, Duration::from_secs(2));
            assert_eq!(health.down_for_ms(), expected);
            clock.pass(Duration::from_millis(expected));
            assert!(health.is_failing(), "until it answers");
        }
        assert_eq!(health.status().problem.as_deref(), Some("no answer in time"));
        health.note_answer(Duration::from_millis(7));
        assert!(!health.is_failing() && health.down_for_ms() == 0);
        let status = health.status();
        assert_eq!((status.answered, status.failed, status.latency_us), (1, 6, Some(7_000)));
        assert_eq!(status.problem, None);
    }

    #[test]
    fn silence_is_doubted_only_where_nothing_else_was_answered_meanwhile() {
        let (health, clock) = health();
        clock.pass(Duration::from_secs(1));
        let asked = health.now_ms();
        clock.pass(Duration::from_secs(1));
        health.note_answer(Duration::from_millis(1));
        assert!(!health.doubt(asked) && !health.is_failing());
        clock.pass(Duration::from_secs(1));
        assert!(health.doubt(health.now_ms()) && health.is_failing());
        assert_eq!(health.status().problem, None, "a doubt is not told");
    }

    #[test]
    fn a_wrong_certificate_is_told_at_once() {
        let (health, _clock) = health();
        health.note_failure(&TryError::Untrusted("its certificate is for another".into()), Duration::ZERO);
        assert!(health.status().problem.is_some_and(|problem| problem.contains("another")));
    }
}
