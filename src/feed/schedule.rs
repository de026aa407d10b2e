//! When a source is looked for next. Pure: time and chance are handed in.

use std::time::Duration;

use jiff::Timestamp;

/// The first retry after a failure, and the shortest interval that is kept to, so that no server is hammered.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(60);
/// Waits are made up to this part longer by chance, so that a neighbourhood that lost its power together does not ask
/// together.
const JITTER_PART: u32 = 10;

/// How long until the next look after a success at `checked`.
///
/// A success that lies in the future was noted by a clock that was wrong; nothing follows from it.
pub(super) fn after_success(checked: Timestamp, now: Timestamp, refresh: Duration, chance: u64) -> Duration {
    let interval = jittered(refresh.max(RETRY_MIN), chance);
    match Duration::try_from(now.duration_since(checked)) {
        Ok(passed) => interval.saturating_sub(passed),
        Err(_) => Duration::ZERO,
    }
}

/// How long until the next look after `failures` in a row, the last one with or without a word from the server.
pub(super) fn after_failure(
    failures: u32,
    refresh: Duration,
    retry_after: Option<Duration>,
    chance: u64,
) -> Duration {
    let longest = refresh.max(RETRY_MIN);
    let doubled = RETRY_MIN.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let wait = jittered(doubled, chance).max(retry_after.unwrap_or_default());
    wait.min(longest)
}

fn jittered(wait: Duration, chance: u64) -> Duration {
    // A thousand steps are as good as any number of them.
    let thousandth = u32::try_from(chance % 1000).unwrap_or_default();
    wait.saturating_add((wait / (1000 * JITTER_PART)).saturating_mul(thousandth))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_restart_does_not_download_again_what_is_fresh() {
        let now = at("2026-01-02T12:00:00Z");
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(after_success(now, now, DAY, 0), DAY);
        assert_eq!(after_success(at("2026-01-02T09:00:00Z"), now, DAY, 0), hours(21));
        assert_eq!(after_success(at("2025-12-24T09:00:00Z"), now, DAY, 0), Duration::ZERO);
        assert_eq!(
            after_success(at("2036-01-01T00:00:00Z"), now, DAY, 0),
            Duration::ZERO,
            "the clock was wrong"
        );
        assert_eq!(after_success(now, now, Duration::ZERO, 0), RETRY_MIN);
        let latest = after_success(now, now, DAY, 999);
        assert!(DAY + hours(2) < latest && latest < DAY + hours(3), "{latest:?}");
    }

    #[test]
    fn a_failed_source_is_tried_again_after_a_minute_then_less_and_less_often() {
        let wait = |failures, retry_after: Option<u64>| {
            after_failure(failures, DAY, retry_after.map(Duration::from_secs), 0).as_secs()
        };
        assert_eq!([1, 2, 3, 4].map(|failures| wait(failures, None)), [60, 120, 240, 480]);
        assert_eq!(wait(20, None), 86_400);
        assert_eq!(wait(u32::MAX, None), 86_400);
        assert_eq!(wait(1, Some(600)), 600);
        assert_eq!(wait(4, Some(1)), 480);
        assert_eq!(wait(1, Some(u64::MAX)), 86_400, "a server can't put itself out of reach for ever");
    }
}
