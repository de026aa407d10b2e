//! Durations and sizes, as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Reads `90s`, `5m`, `24h`, `14d`, `1h 30m`. A day is 24 hours.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is not a duration; expected one such as `90s`, `5m`, `24h` or `14d`");
    let span: Span = text.parse().map_err(|_| expected())?;
    let days = SpanRelativeTo::days_are_24_hours();
    span.to_duration(days).ok().and_then(|duration| duration.try_into().ok()).ok_or_else(expected)
}

/// Reads `512KiB`, `64MiB`, `1GiB`, or a plain number of octets.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => u32::MAX,
    };
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1_u64.checked_shl(shift)?));
    size.ok_or_else(|| format!("`{text}` is not a size; expected one such as `512KiB`, `64MiB` or `1GiB`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        for (text, seconds) in
            [("90s", 90), ("5m", 300), ("24h", 86_400), ("14d", 1_209_600), ("1h 30m", 5_400)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, octets) in [("0", 0), ("512KiB", 524_288), ("64 MiB", 67_108_864), ("1GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(octets), "{text}");
        }
        for text in ["", "5", "m", "-5m", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "MiB", "1MB", "99999999999GiB", "-1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
