//! What is said of an erasure.

use std::fmt::Write as _;

use crate::command::Erasure;
use crate::device::DeviceTable;
use crate::history::Erased;

/// What is to be erased, in words: `'TV', tracker.example and what is below it`.
pub(super) fn told(wish: &Erasure, devices: &DeviceTable) -> String {
    let mut parts = Vec::new();
    if let Some(key) = wish.device {
        let key = devices.same(key);
        parts.push(match devices.name_of(key) {
            Some(name) => format!("'{name}'"),
            None => key.to_string(),
        });
    }
    if let Some(name) = &wish.name {
        parts.push(format!("{name} and what is below it"));
    }
    if let Some(from) = wish.from {
        parts.push(format!("from {from}"));
    }
    if let Some(until) = wish.until {
        parts.push(format!("until {until}"));
    }
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

/// What went.
pub(super) fn outcome(what: &str, erased: &Erased) -> String {
    let Erased { queries, days, aside, .. } = erased;
    let mut text = match queries {
        0 => format!("The history has nothing of {what}."),
        _ => format!(
            "{} and {} of counts of {what} are gone from the history and from its file.",
            many(*queries, "question"),
            many(*days, "day")
        ),
    };
    for file in aside {
        let _ = write!(
            text,
            " {} was set aside and is left as it is; delete it to be rid of it.",
            file.display()
        );
    }
    text
}

fn many(number: u64, what: &str) -> String {
    let digits = number.to_string();
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|three| std::str::from_utf8(three).ok()).collect();
    format!("{} {what}{}", grouped.join(","), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_told() {
        let table = DeviceTable::default();
        let check = |wish: &Erasure, queries, days, expected: &str| {
            let erased = Erased { queries, days, ..Erased::default() };
            assert_eq!(outcome(&told(wish, &table), &erased), expected);
        };
        let tv = Erasure { device: "192.0.2.7".parse().ok(), ..Erasure::default() };
        check(
            &tv,
            1_204,
            3,
            "1,204 questions and 3 days of counts of 192.0.2.7 are gone from the history and from its file.",
        );
        check(&tv, 0, 0, "The history has nothing of 192.0.2.7.");
        check(
            &Erasure::default(),
            1_000_001,
            1,
            "1,000,001 questions and 1 day of counts of everything are gone from the history and from its file.",
        );
    }
}
