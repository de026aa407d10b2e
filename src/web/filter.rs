//! Which questions are wanted, as it stands in an address: the same words for the log, the API and live events.

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use super::errors::Failure;
use super::view::Times;
use crate::device::DeviceKey;
use crate::event::{QueryEvent, VerdictKind, qtype_number};
use crate::history::EventFilter;
use crate::tracker::Attribution;

/// How many rows an answer has unless it is asked for more.
const ROWS_DEFAULT: u32 = 50;
/// How many rows an answer has at most.
const ROWS_MAX: u32 = 1_000;

/// What is said of a question, as it is told to people.
pub(super) const VERDICTS: [(&str, VerdictKind); 3] =
    [("blocked", VerdictKind::Block), ("allowed", VerdictKind::Allow), ("passed", VerdictKind::Pass)];

/// Which questions are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct AskedEvents {
    /// Those of one device only: its MAC or IP address.
    pub(super) device: Option<String>,
    /// Blocked ones only.
    pub(super) hits_only: bool,
    /// Those of which this was said: `blocked`, `allowed` (by a rule) or `passed` (no rule speaks of the name).
    pub(super) verdict: Option<String>,
    /// Those for this type: `A`, `AAAA`, `HTTPS`, `TYPE65280`, ...
    #[serde(rename = "type")]
    pub(super) qtype: Option<String>,
    /// Those for names of this company (or of this domain, where the catalogue knows no company).
    pub(super) company: Option<String>,
    /// Those from this moment on: RFC 3339; a time on the daemon's clock such as `2026-11-20T14:00`; or how long ago: `5m`,
    /// `2h`, `3d`.
    pub(super) from: Option<String>,
    /// Those before this moment, likewise.
    pub(super) until: Option<String>,
    /// For names that contain this text.
    pub(super) name_contains: Option<String>,
    /// Those before the one with this `id`.
    pub(super) before: Option<i64>,
    /// At most so many.
    pub(super) limit: Option<u32>,
}

impl AskedEvents {
    pub(super) fn filter(self, times: &Times) -> Result<EventFilter, Failure> {
        let set = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|it| !it.is_empty());
        let name = set(self.name_contains).map(|name| name.to_ascii_lowercase());
        Ok(EventFilter {
            device: device_key(self.device.as_deref())?,
            hits_only: self.hits_only,
            verdict: set(self.verdict).map(|word| verdict(&word)).transpose()?,
            qtype: set(self.qtype).map(|word| qtype(&word)).transpose()?,
            company: set(self.company),
            from: set(self.from).map(|text| moment(&text, times)).transpose()?,
            until: set(self.until).map(|text| moment(&text, times)).transpose()?,
            name_contains: name,
            before: self.before,
            limit: rows(self.limit),
            patience: None,
        })
    }
}

/// How many rows are wanted.
pub(super) fn rows(limit: Option<u32>) -> u32 {
    limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX)
}

/// The device that is meant, if one is.
pub(super) fn device_key(text: Option<&str>) -> Result<Option<DeviceKey>, Failure> {
    let key = text.filter(|text| !text.is_empty()).map(|text| text.parse::<DeviceKey>()).transpose();
    key.map_err(|error| Failure::bad_request(format!("`device`: {error}.")))
}

fn verdict(word: &str) -> Result<VerdictKind, Failure> {
    let found = VERDICTS.into_iter().find(|(known, _)| *known == word).map(|(_, kind)| kind);
    found.ok_or_else(|| {
        Failure::bad_request(format!("`{word}` is no verdict; there are `blocked`, `allowed` and `passed`."))
    })
}

fn qtype(word: &str) -> Result<u16, Failure> {
    qtype_number(word).ok_or_else(|| {
        Failure::bad_request(format!(
            "`{word}` is no type that is known by name; write `TYPE` and its number."
        ))
    })
}

/// A moment as a person, a browser's form or a program writes it.
pub(super) fn moment(text: &str, times: &Times) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(on_wall) = text.parse::<DateTime>() {
        let at = on_wall.to_zoned_datetime(times.time_zone.clone()).map(|zoned| zoned.timestamp());
        return at.map_err(|error| Failure::bad_request(format!("`{text}` is not a time here: {error}.")));
    }
    let ago = ago(text).and_then(|ago| times.now.checked_sub(ago).ok());
    ago.ok_or_else(|| {
        let message = format!("`{text}` is not a time. Write 2026-11-20T14:00, or how long ago: 5m, 2h, 3d.");
        Failure::bad_request(message)
    })
}

/// `5m`: how long ago.
fn ago(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(SignedDuration::from_secs(i64::from(number.parse::<u32>().ok()?) * seconds))
}

/// Whether an event that just happened is wanted. Whose it is is looked up only where that matters.
pub(super) fn is_wanted(
    filter: &EventFilter,
    event: &QueryEvent,
    whose: impl FnOnce(&QueryEvent) -> Attribution,
) -> bool {
    filter.device.is_none_or(|device| event.device.key == device)
        && (!filter.hits_only || event.is_hit())
        && filter.verdict.is_none_or(|verdict| event.verdict_kind() == verdict)
        && filter.qtype.is_none_or(|qtype| event.qtype == qtype)
        && filter.from.is_none_or(|from| from <= event.at)
        && filter.until.is_none_or(|until| event.at < until)
        && filter.name_contains.as_ref().is_none_or(|text| event.name.to_string().contains(text))
        && filter.company.as_ref().is_none_or(|company| whose(event).company() == *company)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::device::Device;
    use crate::event::Answered;
    use crate::name::DomainName;
    use crate::policy::Verdict;

    fn times() -> Times {
        let now = "2026-11-20T12:34:56Z".parse().unwrap();
        Times { now, time_zone: TimeZone::get("Europe/Berlin").unwrap() }
    }

    #[track_caller]
    fn check_moment(text: &str, expected: Option<&str>) {
        let at = moment(text, &times()).ok().map(|at| at.to_string());
        assert_eq!(at.as_deref(), expected, "{text}");
    }

    #[test]
    fn a_moment_can_be_written_in_three_ways() {
        check_moment("2026-11-20T14:00:00Z", Some("2026-11-20T14:00:00Z"));
        check_moment("2026-11-20T14:00:00+01:00", Some("2026-11-20T13:00:00Z"));
        check_moment("2026-11-20T14:00", Some("2026-11-20T13:00:00Z"));
        check_moment("2026-11-20", Some("2026-11-19T23:00:00Z"));
        check_moment("5m", Some("2026-11-20T12:29:56Z"));
        check_moment("3d", Some("2026-11-17T12:34:56Z"));
        for wrong in ["", "m", "5", "-5m", "5 m", "5w", "yesterday", "99999999999d", "4294967295d", "ä"] {
            check_moment(wrong, None);
        }
    }

    #[track_caller]
    fn check(address: &[(&str, &str)], is_wanted_now: bool) {
        let mut asked = AskedEvents::default();
        for (key, value) in address {
            let field = match *key {
                "device" => &mut asked.device,
                "verdict" => &mut asked.verdict,
                "type" => &mut asked.qtype,
                "company" => &mut asked.company,
                "from" => &mut asked.from,
                "until" => &mut asked.until,
                _ => &mut asked.name_contains,
            };
            *field = Some((*value).to_owned());
        }
        let event = QueryEvent {
            at: times().now,
            device: Device { key: "192.0.2.1".parse().unwrap(), name: "TV".into() },
            name: DomainName::parse("a.pixel.example").unwrap(),
            behind: None,
            qtype: 28,
            verdict: Verdict::Pass,
            answered: Answered::Cache,
            rcode: 0,
            latency_us: 1,
        };
        let whose = |event: &QueryEvent| Attribution::Domain(event.name.clone());
        let filter = asked.filter(&times()).unwrap();
        assert_eq!(is_wanted(&filter, &event, whose), is_wanted_now, "{address:?}");
    }

    #[test]
    fn live_events_are_filtered_as_those_of_the_log() {
        check(&[], true);
        for (key, wanted, unwanted) in [
            ("device", "192.0.2.1", "192.0.2.2"),
            ("verdict", "passed", "blocked"),
            ("type", "AAAA", "A"),
            ("type", "type28", "TYPE1"),
            ("company", "a.pixel.example", "pixel.example"),
            ("from", "5m", "2026-11-20T12:34:57Z"),
            ("until", "2026-11-20T12:34:57Z", "0s"),
            ("name", " PIXEL ", "beacon"),
        ] {
            check(&[(key, wanted)], true);
            check(&[(key, unwanted)], false);
        }
        check(&[("verdict", "passed"), ("type", "A")], false);
    }

    #[test]
    fn what_can_not_be_meant_is_refused_in_words() {
        let refused = |asked: AskedEvents| asked.filter(&times()).unwrap_err().message;
        let some = |text: &str| Some(text.to_owned());
        let verdict = refused(AskedEvents { verdict: some("maybe"), ..AskedEvents::default() });
        assert_eq!(verdict, "`maybe` is no verdict; there are `blocked`, `allowed` and `passed`.");
        let qtype = refused(AskedEvents { qtype: some("AAAAA"), ..AskedEvents::default() });
        assert_eq!(qtype, "`AAAAA` is no type that is known by name; write `TYPE` and its number.");
        let from = refused(AskedEvents { from: some("soon"), ..AskedEvents::default() });
        assert!(from.starts_with("`soon` is not a time."), "{from}");
    }
}
