//! Weeks as ISO 8601 counts them, from Monday to Sunday, on the clock of the wall.

use std::fmt;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::{Timestamp, ToSpan};

use crate::history::Span;
use crate::web::view::Times;

/// A week: `2026-W47`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::web) struct Week {
    monday: Date,
}

/// Which week is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::web) enum Wanted {
    /// The last one that is over if anything happened in it, the present one otherwise.
    Latest,
    /// The last one that is over.
    Last,
    /// The present one.
    This,
    /// This one.
    Week(Week),
}

impl Wanted {
    /// `last`, `this`, or a week such as `2026-W47`; nothing is [`Self::Latest`].
    pub(in crate::web) fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::Latest),
            "last" => Some(Self::Last),
            "this" => Some(Self::This),
            _ => Week::parse(text).map(Self::Week),
        }
    }
}

impl Week {
    /// Reads `2026-W47`.
    fn parse(text: &str) -> Option<Self> {
        let (year, week) = text.split_once("-W").or_else(|| text.split_once("-w"))?;
        let date = ISOWeekDate::new(year.parse().ok()?, week.parse().ok()?, Weekday::Monday).ok()?;
        Some(Self { monday: date.date() })
    }

    /// The week of a moment.
    pub(super) fn of(at: Timestamp, times: &Times) -> Self {
        let date = times.on_wall(at).date();
        let monday = date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days());
        Self { monday: monday.unwrap_or(date) }
    }

    /// So many weeks later, or earlier.
    pub(super) fn plus(self, weeks: i64) -> Self {
        Self { monday: self.monday.checked_add((7 * weeks).days()).unwrap_or(self.monday) }
    }

    /// Its moments.
    pub(super) fn span(self, times: &Times) -> Span {
        let midnight = |date: Date| {
            date.to_zoned_datetime(times.time_zone.clone()).map_or(times.now, |midnight| midnight.timestamp())
        };
        Span { from: midnight(self.monday), until: midnight(self.plus(1).monday) }
    }

    /// `November 16 to 22, 2026`.
    pub(super) fn days(self) -> String {
        let sunday = self.monday.checked_add(6.days()).unwrap_or(self.monday);
        let from =
            self.monday.strftime(if self.monday.year() == sunday.year() { "%B %-d" } else { "%B %-d, %Y" });
        let until =
            sunday.strftime(if self.monday.month() == sunday.month() { "%-d, %Y" } else { "%B %-d, %Y" });
        format!("{from} to {until}")
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.monday.iso_week_date();
        write!(f, "{:04}-W{:02}", date.year(), date.week())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[track_caller]
    fn check(text: &str, days: &str, span: &str) {
        let times = Times {
            now: "2026-11-20T12:34:56Z".parse().unwrap(),
            time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        };
        let Some(Wanted::Week(week)) = Wanted::parse(text) else { panic!("{text}") };
        let found = week.span(&times);
        assert_eq!((&*week.days(), &*format!("{} {}", found.from, found.until)), (days, span));
        assert_eq!(week.to_string(), text);
    }

    #[test]
    fn weeks_begin_on_monday_at_midnight_of_the_wall() {
        check("2026-W47", "November 16 to 22, 2026", "2026-11-15T23:00:00Z 2026-11-22T23:00:00Z");
        check("2026-W44", "October 26 to November 1, 2026", "2026-10-25T23:00:00Z 2026-11-01T23:00:00Z");
        // The clocks go back on Sunday.
        check("2026-W43", "October 19 to 25, 2026", "2026-10-18T22:00:00Z 2026-10-25T23:00:00Z");
        check(
            "2026-W53",
            "December 28, 2026 to January 3, 2027",
            "2026-12-27T23:00:00Z 2027-01-03T23:00:00Z",
        );
    }

    #[test]
    fn a_week_is_named_or_meant() {
        let times = Times { now: "2027-01-03T12:00:00Z".parse().unwrap(), time_zone: TimeZone::UTC };
        let week = Week::of(times.now, &times);
        assert_eq!((week.to_string(), week.plus(1).to_string()), ("2026-W53".into(), "2027-W01".into()));
        assert_eq!(Wanted::parse("last"), Some(Wanted::Last));
        assert_eq!(Wanted::parse(""), Some(Wanted::Latest));
        for wrong in ["2027-W53", "2026-W0", "2026-47", "W47", "yesterday", "99999-W01"] {
            assert_eq!(Wanted::parse(wrong), None, "{wrong}");
        }
    }
}
