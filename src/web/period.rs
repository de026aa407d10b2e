//! The spans of time that a person can choose on a page, and what each is compared with.

use jiff::{SignedDuration, Timestamp, ToSpan};

use super::view::Times;
use crate::history::Span;

/// A span that ends now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Period {
    /// The current hour of the clock and the 23 before it.
    Day,
    /// Today and the six days before it.
    Week,
    /// Today and the 29 days before it.
    Month,
}

/// One of the links by which a span is chosen.
pub(super) struct PeriodLink {
    pub(super) address: String,
    pub(super) name: &'static str,
    pub(super) is_current: bool,
}

impl Period {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// The one of so many hours.
    pub(super) fn of_hours(hours: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.hours() == hours)
    }

    /// How it stands in an address.
    pub(super) const fn hours(self) -> u32 {
        match self {
            Self::Day => 24,
            Self::Week => 168,
            Self::Month => 720,
        }
    }

    /// How many days it has, where it is shown by the day.
    const fn days(self) -> Option<i64> {
        match self {
            Self::Day => None,
            Self::Week => Some(7),
            Self::Month => Some(30),
        }
    }

    /// What it is called after "the last".
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    /// What a number of it is compared with, after "against".
    pub(super) const fn compared_with(self) -> &'static str {
        match self {
            Self::Day => "the same hours a week ago",
            Self::Week => "the 7 days before",
            Self::Month => "the 30 days before",
        }
    }

    /// Whether it is drawn by the day, and not by the hour.
    pub(super) const fn is_by_day(self) -> bool {
        self.days().is_some()
    }

    /// Its moments: whole days of the wall for a week and a month.
    pub(super) fn span(self, times: &Times) -> Span {
        let Some(days) = self.days() else { return times.last_hours(24) };
        let today = times.now.to_zoned_datetime(times.time_zone.clone()).date();
        let first = today.checked_sub((days - 1).days()).unwrap_or(today);
        let from = first
            .to_zoned_datetime(times.time_zone.clone())
            .map_or(times.now, |midnight| midnight.timestamp());
        Span { from, until: times.last_hours(1).until }
    }

    /// What it is compared with: a span as long as this one, at the same times of the week (of the month, nearly).
    pub(super) fn before(self, times: &Times) -> Span {
        let earlier = |at: Timestamp| {
            let days = self.days().unwrap_or(7);
            at.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(at)
        };
        let span = self.span(times);
        Span { from: earlier(span.from), until: earlier(span.until) }
    }

    /// Links to `path` with each of the spans; `path` may have a query.
    pub(super) fn links(self, path: &str) -> Vec<PeriodLink> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let link = |period: Self| PeriodLink {
            address: format!("{path}{separator}hours={}", period.hours()),
            name: period.name(),
            is_current: period == self,
        };
        Self::ALL.into_iter().map(link).collect()
    }
}

/// What a span is compared with: one as long at the same times of the week, which ends before it begins (of more than a
/// week: so many whole days before).
pub(super) fn earlier(span: Span) -> Span {
    let seconds = span.until.as_second() - span.from.as_second();
    let days = (seconds.max(0) + 86_399) / 86_400;
    let back = SignedDuration::from_hours(24 * days.max(7));
    let at = |at: Timestamp| at.checked_sub(back).unwrap_or(Timestamp::UNIX_EPOCH);
    Span { from: at(span.from), until: at(span.until) }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[track_caller]
    fn check(period: Period, span: &str, before: &str) {
        let now = "2026-11-20T12:34:56Z".parse().unwrap();
        let times = Times { now, time_zone: TimeZone::get("Europe/Berlin").unwrap() };
        let shown = |span: Span| format!("{} {}", span.from, span.until);
        assert_eq!((&*shown(period.span(&times)), &*shown(period.before(&times))), (span, before));
    }

    #[test]
    fn days_begin_at_midnight_and_are_compared_with_the_same_times_of_the_week() {
        check(
            Period::Day,
            "2026-11-19T13:00:00Z 2026-11-20T13:00:00Z",
            "2026-11-12T13:00:00Z 2026-11-13T13:00:00Z",
        );
        check(
            Period::Week,
            "2026-11-13T23:00:00Z 2026-11-20T13:00:00Z",
            "2026-11-06T23:00:00Z 2026-11-13T13:00:00Z",
        );
        check(
            Period::Month,
            "2026-10-21T22:00:00Z 2026-11-20T13:00:00Z",
            "2026-09-21T22:00:00Z 2026-10-21T13:00:00Z",
        );
    }

    #[test]
    fn a_span_is_chosen_by_its_hours() {
        assert_eq!(Period::of_hours(168), Some(Period::Week));
        assert_eq!(Period::of_hours(5), None);
        let links = Period::Week.links("/companies?sort=name");
        assert_eq!(links[1].address, "/companies?sort=name&hours=168");
        assert_eq!(links.iter().map(|link| link.is_current).collect::<Vec<_>>(), [false, true, false]);
    }
}
