//! Devices that fell silent though they are there: they may ask somebody else by now.
//!
//! A phone that sleeps is silent too, and so is a television at night. So a device counts as silent only where that is not its way:
//! it has asked nothing for more than twice as long as it ever kept quiet in the last two weeks, and for six hours at least; it used to
//! ask, on five of these days and 200 questions in all; and the kernel was sure for an hour and until a while ago that it is there. Who
//! was away and comes home asks at once, long before that hour is over.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use super::Web;
use super::view::Times;
use crate::device::{DeviceKey, Presence};
use crate::history::{DeviceCount, HistoryError, HourCount};

/// The least silence that is worth a word.
pub const SILENCE_MIN: Duration = Duration::from_secs(6 * 3_600);
/// How far back is looked for what is usual.
pub const SILENCE_LOOKED_BACK: Duration = Duration::from_secs(HOURS as u64 * 3_600);
const HOURS: u32 = 14 * 24;
/// Who asked on fewer days, or less, has no habits yet.
const DAYS_MIN: usize = 5;
const QUESTIONS_MIN: u64 = 200;
/// How long it must have been there.
const PRESENT_MIN: Duration = Duration::from_secs(3_600);
/// And until when: it is knocked at each half hour.
const PRESENT_AGO_MAX: Duration = Duration::from_secs(75 * 60);

/// For how long a device has been silent that is there and is not wont to be; `None`: nothing is strange. `hours`: what it asked in the
/// last two weeks.
pub(super) fn silence(
    hours: &[HourCount],
    last_seen: Timestamp,
    presence: Presence,
    now: Timestamp,
) -> Option<Duration> {
    let silent = silent_for(last_seen, now);
    let Presence { lasting, ago } = presence;
    if silent < SILENCE_MIN || lasting < PRESENT_MIN || PRESENT_AGO_MAX < ago {
        return None;
    }
    let asked = hours.iter().filter(|hour| 0 < hour.totals.queries);
    let at: BTreeSet<i64> = asked.clone().map(|hour| hour.hour.as_second().div_euclid(3_600)).collect();
    let days: BTreeSet<i64> = at.iter().map(|hour| hour.div_euclid(24)).collect();
    let questions: u64 = asked.map(|hour| hour.totals.queries).sum();
    if days.len() < DAYS_MIN || questions < QUESTIONS_MIN {
        return None;
    }
    let pauses = at.iter().zip(at.iter().skip(1)).map(|(before, after)| after.abs_diff(*before));
    let longest = Duration::from_secs(pauses.max().unwrap_or_default() * 3_600);
    (longest.saturating_mul(2) < silent).then_some(silent)
}

fn silent_for(last_seen: Timestamp, now: Timestamp) -> Duration {
    let secs = now.as_second().saturating_sub(last_seen.as_second());
    Duration::from_secs(u64::try_from(secs).unwrap_or_default())
}

/// Those of `counts` that fell silent, and for how long.
pub(super) async fn silent(
    web: &Web,
    counts: &[DeviceCount],
) -> Result<HashMap<DeviceKey, Duration>, HistoryError> {
    let times = Times::new(web);
    let (now, gateways) = (web.parts.clock.now(), (web.parts.about)().gateways);
    let mut silent = HashMap::new();
    for DeviceCount { device, last_seen, .. } in counts {
        if !(SILENCE_MIN..SILENCE_LOOKED_BACK).contains(&silent_for(*last_seen, now)) {
            continue;
        }
        let known = web.parts.devices.current().find_key(device.key).cloned();
        // A router that hands out this machine's address, as it should, has nothing to ask any more.
        let Some(known) = known.filter(|known| !known.addresses.iter().any(|it| gateways.contains(it)))
        else {
            continue;
        };
        let Some(presence) = (web.parts.presence)(&known.keys) else { continue };
        let hours = web.parts.history.hours(times.last_hours(HOURS), Some(device.key)).await?;
        if let Some(duration) = silence(&hours, *last_seen, presence, now) {
            silent.insert(device.key, duration);
        }
    }
    Ok(silent)
}

/// `9 hours`, `3 days`.
pub(super) fn words(silence: Duration) -> String {
    let hours = silence.as_secs() / 3_600;
    match hours {
        0..48 => super::format::counted(hours, "hour", "hours"),
        _ => super::format::counted(hours / 24, "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Totals;

    const THERE: Presence =
        Presence { lasting: Duration::from_secs(4 * 3_600), ago: Duration::from_secs(20 * 60) };

    /// What is said of a device that asked so much in hours of the day (of the last `days` days) for which `asks` holds, and then nothing for
    /// `silent` hours.
    #[track_caller]
    fn check(days: i64, asks: fn(i64) -> u64, silent: i64, presence: Presence, expected: Option<u64>) {
        let last = 20_000 * 24 + 12;
        let hour = |hour: i64| HourCount {
            hour: Timestamp::from_second(hour * 3_600).unwrap(),
            totals: Totals { queries: asks(hour.rem_euclid(24)), ..Totals::default() },
        };
        let hours: Vec<HourCount> = (last - days * 24..=last).map(hour).collect();
        let last_asked = hours.iter().rfind(|hour| 0 < hour.totals.queries).unwrap().hour;
        let now = last_asked + Duration::from_secs(u64::try_from(silent).unwrap() * 3_600);
        let found = silence(&hours, last_asked, presence, now);
        assert_eq!(found, expected.map(|hours| Duration::from_secs(hours * 3_600)));
    }

    const ALWAYS: fn(i64) -> u64 = |_| 10;
    /// Not between midnight and eight.
    const BY_DAY: fn(i64) -> u64 = |hour| if (8..24).contains(&hour) { 10 } else { 0 };
    const EVENINGS: fn(i64) -> u64 = |hour| if (11..13).contains(&hour) { 30 } else { 0 };

    #[test]
    fn who_always_asked_is_missed_after_six_hours() {
        check(14, ALWAYS, 5, THERE, None);
        check(14, ALWAYS, 6, THERE, Some(6));
        check(14, ALWAYS, 100, THERE, Some(100));
    }

    #[test]
    fn who_sleeps_may_sleep_twice_as_long() {
        check(14, BY_DAY, 9, THERE, None);
        check(14, BY_DAY, 18, THERE, None);
        check(14, BY_DAY, 19, THERE, Some(19));
        check(14, EVENINGS, 45, THERE, None);
        check(14, EVENINGS, 47, THERE, Some(47));
    }

    #[test]
    fn who_has_no_habits_is_not_missed() {
        check(3, ALWAYS, 24, THERE, None);
        check(5, ALWAYS, 24, THERE, Some(24));
        check(14, |hour| u64::from(hour % 4 == 0), 24, THERE, None);
    }

    #[test]
    fn who_is_not_there_is_not_missed() {
        let hour = Duration::from_secs(3_600);
        check(14, ALWAYS, 24, Presence { ago: 2 * hour, ..THERE }, None);
        check(14, ALWAYS, 24, Presence { lasting: hour / 2, ..THERE }, None);
        check(14, ALWAYS, 24, Presence { lasting: hour, ago: hour }, Some(24));
    }

    #[test]
    fn a_clock_that_jumps_back_misses_nobody() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let later = now + Duration::from_secs(1_000_000);
        assert_eq!(silence(&[], later, THERE, now), None);
    }

    #[test]
    fn silence_is_told_in_hours_and_days() {
        let hours = |hours: u64| words(Duration::from_secs(hours * 3_600));
        assert_eq!([hours(6), hours(47), hours(49)], ["6 hours", "47 hours", "2 days"]);
    }
}
