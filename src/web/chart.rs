//! Numbers over time, drawn on the server: bars by the hour or by the day, with axes that can be read on a phone.
//!
//! The picture is as wide as its place: what stands beside each other is placed by hundredths of the width, what stands
//! above each other by pixels, so that no text is ever stretched.

use askama::Template;
use jiff::Timestamp;
use jiff::ZonedDateTime;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use super::format::{self, percent_encoded};
use crate::history::{HourCount, Totals};

/// The height of the bars' place, in pixels.
pub(super) const PLOT_HEIGHT: u64 = 150;
/// The room above it, so that the topmost number is not cut off.
pub(super) const PLOT_TOP: u64 = 8;
/// At most so many steps of the axis.
const STEPS_MAX: u64 = 4;

/// Bars by the hour or by the day.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/chart.html")]
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// The summary that stands for the picture where it can't be seen.
    pub(super) summary: String,
    /// Round numbers beside the bars, from below.
    pub(super) numbers: Vec<NumberTick>,
    /// Times under the bars.
    pub(super) times: Vec<TimeTick>,
    /// What a bar is: `Hour` or `Day`.
    pub(super) unit: &'static str,
    /// Whether all questions are drawn behind the hits.
    pub(super) has_queries: bool,
}

/// One hour or day. `x` and `width` are of the width, the heights of [`PLOT_HEIGHT`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bar {
    pub(super) reach_x: Percent,
    pub(super) reach_width: Percent,
    pub(super) x: Percent,
    pub(super) width: Percent,
    /// When, in full.
    pub(super) time: String,
    pub(super) queries: String,
    pub(super) hits: String,
    pub(super) queries_height: u64,
    pub(super) hits_height: u64,
    /// Its questions one by one.
    pub(super) log: String,
}

/// A number on the axis.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NumberTick {
    pub(super) y: u64,
    pub(super) text: String,
}

/// A time on the axis.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TimeTick {
    pub(super) x: Percent,
    pub(super) text: String,
    /// Left out where there is little room.
    pub(super) is_fine: bool,
}

/// Hundredths of hundredths of a width.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Percent(u64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}%", self.0 / 100, self.0 % 100)
    }
}

impl Percent {
    /// `part` of `whole`.
    pub(super) fn of(part: u64, whole: u64) -> Self {
        Self(part.saturating_mul(10_000) / whole.max(1))
    }
}

/// Its own template has escaped what it shows.
impl askama::filters::HtmlSafe for Chart {}

/// A stretch of time that one bar stands for.
struct Stretch {
    from: Timestamp,
    until: Timestamp,
    totals: Totals,
}

/// Of whom the questions are that a chart leads to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Of<'a> {
    pub(super) device: Option<&'a str>,
    pub(super) company: Option<&'a str>,
}

impl Of<'_> {
    /// The log of a stretch of time.
    fn log(self, from: Timestamp, until: Timestamp) -> String {
        let mut address = format!("/log?from={from:.0}&until={until:.0}");
        for (key, value) in [("device", self.device), ("company", self.company)] {
            if let Some(value) = value {
                address.push_str(&format!("&{key}={}", percent_encoded(value)));
            }
        }
        address
    }
}

impl Chart {
    /// Bars by the hour.
    pub(super) fn by_hour(hours: &[HourCount], time_zone: &TimeZone, of: Of<'_>) -> Self {
        let stretches: Vec<Stretch> = hours.iter().map(|hour| stretch(hour.hour, hour.totals)).collect();
        let mut chart = Self::new("Hour", &stretches, of, |stretch| {
            let at = |at: Timestamp| at.to_zoned_datetime(time_zone.clone());
            let (from, until) = (at(stretch.from), at(stretch.until));
            format!("{}–{}", from.strftime("%a %H:%M"), until.strftime("%H:%M"))
        });
        let count = hours.len() as u64;
        let ticks = hours.iter().zip(0..).filter_map(|(hour, index)| {
            let on_wall = hour.hour.to_zoned_datetime(time_zone.clone());
            let is_shown = on_wall.hour() % 3 == 0;
            let is_fine = on_wall.hour() % 6 != 0;
            let text = on_wall.strftime("%H:%M").to_string();
            is_shown.then_some(TimeTick { x: Percent::of(index, count), text, is_fine })
        });
        chart.times = ticks.collect();
        chart
    }

    /// Bars by the day of the wall.
    pub(super) fn by_day(hours: &[HourCount], time_zone: &TimeZone, of: Of<'_>) -> Self {
        let mut days: Vec<(Date, Stretch)> = Vec::new();
        for hour in hours {
            let date = hour.hour.to_zoned_datetime(time_zone.clone()).date();
            let until = stretch(hour.hour, hour.totals).until;
            match days.last_mut() {
                Some((last, day)) if *last == date => {
                    day.until = until;
                    day.totals.queries += hour.totals.queries;
                    day.totals.hits += hour.totals.hits;
                }
                _ => days.push((date, Stretch { from: hour.hour, until, totals: hour.totals })),
            }
        }
        let (dates, stretches): (Vec<Date>, Vec<Stretch>) = days.into_iter().unzip();
        let on_wall =
            |stretch: &Stretch| -> ZonedDateTime { stretch.from.to_zoned_datetime(time_zone.clone()) };
        let mut chart =
            Self::new("Day", &stretches, of, |day| on_wall(day).strftime("%A, %B %-d").to_string());
        let (count, is_week) = (dates.len() as u64, dates.len() <= 8);
        let ticks = dates.iter().zip(0..).filter_map(|(date, index)| {
            let is_shown = is_week || date.weekday() == Weekday::Monday;
            let text = date.strftime(if is_week { "%a" } else { "%b %-d" }).to_string();
            // Under the middle of its bar.
            is_shown.then_some(TimeTick { x: Percent::of(2 * index + 1, 2 * count), text, is_fine: false })
        });
        chart.times = ticks.collect();
        chart
    }

    /// The same with its hits only, where nobody counted the rest.
    pub(super) fn hits_only(hours: &[(Timestamp, u64)], by_day: bool, zone: &TimeZone, of: Of<'_>) -> Self {
        let count = |(hour, hits): &(Timestamp, u64)| HourCount {
            hour: *hour,
            totals: Totals { queries: *hits, hits: *hits },
        };
        let hours: Vec<HourCount> = hours.iter().map(count).collect();
        let chart = if by_day { Self::by_day(&hours, zone, of) } else { Self::by_hour(&hours, zone, of) };
        let summary = format!("{} blocked.", chart_hits(&hours));
        Self { has_queries: false, summary, ..chart }
    }

    fn new(unit: &'static str, stretches: &[Stretch], of: Of<'_>, time: impl Fn(&Stretch) -> String) -> Self {
        let most = stretches.iter().map(|stretch| stretch.totals.queries).max().unwrap_or_default();
        let step = round_step(most);
        let top = most.div_ceil(step).max(1).saturating_mul(step);
        let height = |number: u64| scaled(number, top);
        let count = stretches.len() as u64;
        let bar = |(stretch, index): (&Stretch, u64)| Bar {
            reach_x: Percent::of(index, count),
            reach_width: Percent::of(1, count),
            x: Percent::of(10 * index + 1, 10 * count),
            width: Percent::of(8, 10 * count),
            time: time(stretch),
            queries: format::count(stretch.totals.queries),
            hits: format::count(stretch.totals.hits),
            queries_height: height(stretch.totals.queries),
            hits_height: height(stretch.totals.hits),
            log: of.log(stretch.from, stretch.until),
        };
        let queries = stretches.iter().map(|stretch| stretch.totals.queries).sum();
        let hits = stretches.iter().map(|stretch| stretch.totals.hits).sum();
        let all = format::counted(queries, "question", "questions");
        let steps = top / step;
        let numbers = (0..=steps).map(|index| NumberTick {
            y: PLOT_TOP + PLOT_HEIGHT - index * PLOT_HEIGHT / steps,
            text: short(index * step),
        });
        Self {
            bars: stretches.iter().zip(0..).map(bar).collect(),
            summary: format!("{} blocked of {all}.", format::count(hits)),
            numbers: numbers.collect(),
            times: Vec::new(),
            unit,
            has_queries: true,
        }
    }

    /// The lower end of the bars.
    pub(super) const fn base(&self) -> u64 {
        PLOT_TOP + PLOT_HEIGHT
    }
}

fn stretch(hour: Timestamp, totals: Totals) -> Stretch {
    let until = hour.checked_add(jiff::SignedDuration::from_hours(1)).unwrap_or(hour);
    Stretch { from: hour, until, totals }
}

fn chart_hits(hours: &[HourCount]) -> String {
    format::count(hours.iter().map(|hour| hour.totals.hits).sum())
}

/// A number's height; what is not nothing is at least a visible sliver.
fn scaled(number: u64, top: u64) -> u64 {
    match number {
        0 => 0,
        _ => (number.saturating_mul(PLOT_HEIGHT) / top.max(1)).clamp(2, PLOT_HEIGHT),
    }
}

/// The least of 1, 2, 5, 10, 20, 50, ... of which [`STEPS_MAX`] reach to `most`.
fn round_step(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if most <= step.saturating_mul(STEPS_MAX) {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// `950`, `12k`, `1.5M`: a round number where there is little room.
fn short(number: u64) -> String {
    let with_unit = |unit: u64, name: &str| match number % unit / (unit / 10) {
        0 => format!("{}{name}", number / unit),
        tenths => format!("{}.{tenths}{name}", number / unit),
    };
    match number {
        0..10_000 => format::count(number),
        10_000..1_000_000 => with_unit(1_000, "k"),
        _ => with_unit(1_000_000, "M"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, totals: &[(u64, u64)]) -> Vec<HourCount> {
        let from: Timestamp = from.parse().unwrap();
        let at = |hours: i64| Timestamp::from_second(from.as_second() + 3_600 * hours).unwrap();
        let count = |((queries, hits), index): (&(u64, u64), i64)| HourCount {
            hour: at(index),
            totals: Totals { queries: *queries, hits: *hits },
        };
        totals.iter().zip(0..).map(count).collect()
    }

    #[test]
    fn bars_show_even_a_single_hit() {
        let hours = hours("2026-11-20T00:00:00Z", &[(0, 0), (10_000, 1), (5_000, 5_000)]);
        let chart = Chart::by_hour(&hours, &TimeZone::UTC, Of::default());
        let heights: Vec<_> = chart.bars.iter().map(|bar| (bar.queries_height, bar.hits_height)).collect();
        assert_eq!(heights, [(0, 0), (150, 2), (75, 75)]);
        assert_eq!(chart.summary, "5,001 blocked of 15,000 questions.");
        assert_eq!(chart.bars[1].time, "Fri 01:00–02:00");
        assert_eq!(chart.bars[1].x.to_string(), "36.66%");
        assert!(Chart::by_hour(&[], &TimeZone::UTC, Of::default()).bars.is_empty());
    }

    #[test]
    fn a_bar_leads_to_its_questions() {
        let hours = hours("2026-11-20T00:00:00Z", &[(1, 1)]);
        let of = Of { device: Some("::1"), company: Some("A & B") };
        let chart = Chart::by_hour(&hours, &TimeZone::UTC, of);
        assert_eq!(
            chart.bars[0].log,
            "/log?from=2026-11-20T00:00:00Z&until=2026-11-20T01:00:00Z&device=%3A%3A1&company=A%20%26%20B"
        );
    }

    #[track_caller]
    fn check_axis(most: u64, expected: &str) {
        let chart =
            Chart::by_hour(&hours("2026-11-20T00:00:00Z", &[(most, 0)]), &TimeZone::UTC, Of::default());
        let texts: Vec<&str> = chart.numbers.iter().map(|tick| &*tick.text).collect();
        assert_eq!(texts.join(" "), expected);
        assert_eq!((chart.numbers[0].y, chart.numbers.last().unwrap().y), (158, 8));
    }

    #[test]
    fn the_axis_has_round_numbers() {
        check_axis(0, "0 1");
        check_axis(3, "0 1 2 3");
        check_axis(9, "0 5 10");
        check_axis(41, "0 20 40 60");
        check_axis(7_000, "0 2,000 4,000 6,000 8,000");
        check_axis(61_000, "0 20k 40k 60k 80k");
        check_axis(1_900_000, "0 500k 1M 1.5M 2M");
        assert_eq!(round_step(u64::MAX), 5_000_000_000_000_000_000);
    }

    #[test]
    fn days_are_those_of_the_wall() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let hours = hours("2026-11-19T21:00:00Z", &[(1, 1); 30]);
        let chart = Chart::by_day(&hours, &zone, Of::default());
        let bars: Vec<_> = chart.bars.iter().map(|bar| (&*bar.time, &*bar.queries)).collect();
        let days = ["Thursday, November 19", "Friday, November 20", "Saturday, November 21"];
        assert_eq!(bars, [(days[0], "2"), (days[1], "24"), (days[2], "4")]);
        assert_eq!(chart.bars[1].log, "/log?from=2026-11-19T23:00:00Z&until=2026-11-20T23:00:00Z");
        let ticks: Vec<_> = chart.times.iter().map(|tick| (&*tick.text, tick.x.to_string())).collect();
        assert_eq!(ticks[1], ("Fri", "50.00%".to_owned()));
        let only = Chart::hits_only(&[(hours[0].hour, 3)], true, &zone, Of::default());
        assert_eq!((&*only.summary, only.has_queries, only.bars.len()), ("3 blocked.", false, 1));
    }
}
