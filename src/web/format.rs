//! Numbers and times as people say them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1,204`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if 0 < position && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 device`, `2 devices`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `once`, `twice`, `1,204 times`.
pub(super) fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{} times", count(number)),
    }
}

/// `13 %`; never `0 %` of something nor `100 %` of less than all.
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return "0 %".to_owned();
    }
    let percent = (u128::from(part) * 100 + u128::from(whole) / 2) / u128::from(whole);
    match percent {
        0 => "less than 1 %".to_owned(),
        100.. if part < whole => "more than 99 %".to_owned(),
        _ => format!("{percent} %"),
    }
}

/// `just now`, `5 minutes ago`, `in 3 hours`.
pub(super) fn relative(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let text = span(seconds.unsigned_abs());
    match seconds {
        ..-44 => format!("in {text}"),
        -44..45 => "just now".to_owned(),
        45.. => format!("{text} ago"),
    }
}

/// `5 minutes`, `3 hours`, `12 days`: the largest unit, rounded.
pub(super) fn span(seconds: u64) -> String {
    let (number, one, many) = match seconds {
        0..45 => (seconds, "second", "seconds"),
        45..2_670 => ((seconds + 30) / 60, "minute", "minutes"),
        2_670..79_200 => ((seconds + 1_800) / 3_600, "hour", "hours"),
        _ => ((seconds + 43_200) / 86_400, "day", "days"),
    };
    counted(number, one, many)
}

/// The exact time on the wall: `2026-11-20 14:03:11 CET`.
pub(super) fn exact(at: Timestamp, time_zone: &TimeZone) -> String {
    at.to_zoned_datetime(time_zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// The time of day: `14:03:11`.
pub(super) fn clock_time(at: Timestamp, time_zone: &TimeZone) -> String {
    at.to_zoned_datetime(time_zone.clone()).strftime("%H:%M:%S").to_string()
}

/// Writes `text` so that it can stand in a query or a path (RFC 3986 section 2.1).
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(octet));
            }
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 12, 999, 1_000, 1_204_567].map(count), ["0", "12", "999", "1,000", "1,204,567"]);
        assert_eq!([1, 2, 3, 1_204].map(times), ["once", "twice", "3 times", "1,204 times"]);
    }

    #[test]
    fn a_share_is_honest_at_both_ends() {
        let shares = [(0, 0), (0, 9), (1, 1_000), (13, 100), (999, 1_000), (5, 5)].map(|(a, b)| share(a, b));
        assert_eq!(shares, ["0 %", "0 %", "less than 1 %", "13 %", "more than 99 %", "100 %"]);
        assert_eq!(share(u64::MAX, u64::MAX), "100 %", "absurd numbers don't overflow");
    }

    #[test]
    fn times_are_told_by_their_largest_unit() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let at = |seconds: i64| relative(now, Timestamp::from_second(now.as_second() - seconds).unwrap());
        assert_eq!(
            [0, 50, 300, 3_000, 86_400].map(at),
            ["just now", "1 minute ago", "5 minutes ago", "1 hour ago", "1 day ago"]
        );
        assert_eq!([-20, -600, -86_400].map(at), ["just now", "in 10 minutes", "in 1 day"]);
        assert_eq!(exact(now, &TimeZone::get("Europe/Berlin").unwrap()), "2026-11-20 13:00:00 CET");
    }

    #[test]
    fn a_text_stands_safely_in_an_address() {
        assert_eq!(percent_encoded("a b&c=<ü>/\n"), "a%20b%26c%3D%3C%C3%BC%3E%2F%0A");
    }
}
