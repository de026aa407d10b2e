//! Questions and hits by the hour, drawn as bars on the server.

use askama::Template;
use jiff::tz::TimeZone;

use super::format;
use crate::history::HourCount;

/// Questions and hits by the hour, as bars.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/chart.html")]
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// The summary that stands for the picture where it can't be seen.
    pub(super) summary: String,
    /// The number that the tallest bar stands for.
    pub(super) highest: String,
    /// Hours under the bars, evenly spaced.
    pub(super) ticks: Vec<String>,
}

/// One hour. Heights are of [`CHART_HEIGHT`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) hour: String,
    pub(super) queries: String,
    pub(super) hits: String,
    pub(super) queries_height: u64,
    pub(super) hits_height: u64,
}

/// The height of the chart's coordinates.
pub(super) const CHART_HEIGHT: u64 = 100;
/// The width of an hour in the chart's coordinates.
pub(super) const BAR_PITCH: usize = 10;

/// Its own template has escaped what it shows.
impl askama::filters::HtmlSafe for Chart {}

impl Chart {
    pub(super) fn new(hours: &[HourCount], time_zone: &TimeZone) -> Self {
        let most = hours.iter().map(|hour| hour.totals.queries).max().unwrap_or_default();
        // What is not nothing is at least a visible sliver.
        let height = |number: u64| match (number, most) {
            (0, _) | (_, 0) => 0,
            _ => (number.saturating_mul(CHART_HEIGHT) / most).clamp(2, CHART_HEIGHT),
        };
        let bar = |(index, hour): (usize, &HourCount)| Bar {
            x: index * BAR_PITCH,
            hour: format::hour(hour.hour, time_zone),
            queries: format::count(hour.totals.queries),
            hits: format::count(hour.totals.hits),
            queries_height: height(hour.totals.queries),
            hits_height: height(hour.totals.hits),
        };
        let bars: Vec<Bar> = hours.iter().enumerate().map(bar).collect();
        let queries = hours.iter().map(|hour| hour.totals.queries).sum();
        let hits = hours.iter().map(|hour| hour.totals.hits).sum();
        let summary = format!(
            "The last {} hours: {} blocked of {}, by the hour.",
            hours.len(),
            format::count(hits),
            format::counted(queries, "question", "questions")
        );
        let mut ticks: Vec<String> = bars.iter().step_by(6).map(|bar| bar.hour.clone()).collect();
        ticks.push("now".to_owned());
        Self { bars, summary, highest: format::count(most), ticks }
    }

    pub(super) fn width(&self) -> usize {
        self.bars.len() * BAR_PITCH
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::history::Totals;

    #[test]
    fn bars_show_even_a_single_hit() {
        let hour =
            |queries, hits| HourCount { hour: Timestamp::UNIX_EPOCH, totals: Totals { queries, hits } };
        let chart = Chart::new(&[hour(0, 0), hour(10_000, 1), hour(5_000, 5_000)], &TimeZone::UTC);
        let heights: Vec<_> = chart.bars.iter().map(|bar| (bar.queries_height, bar.hits_height)).collect();
        assert_eq!(heights, [(0, 0), (100, 2), (50, 50)]);
        assert_eq!(chart.summary, "The last 3 hours: 5,001 blocked of 15,000 questions, by the hour.");
        assert_eq!(Chart::new(&[], &TimeZone::UTC).width(), 0);
    }
}
