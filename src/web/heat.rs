//! When it happens: hits by the hour of each weekday, as a grid, and in words.

use askama::Template;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::chart::Percent;
use super::format;
use crate::history::HourCount;

/// The height of a weekday's row, in pixels.
pub(super) const ROW_HEIGHT: u64 = 20;
/// How dark a field can be.
const SHADES: u64 = 5;
/// From so many hits on it is said when they mostly come; of fewer, it is chance.
const PATTERN_HITS_MIN: u64 = 20;

const WEEKDAYS: [(Weekday, &str, &str); 7] = [
    (Weekday::Monday, "Mon", "Monday"),
    (Weekday::Tuesday, "Tue", "Tuesday"),
    (Weekday::Wednesday, "Wed", "Wednesday"),
    (Weekday::Thursday, "Thu", "Thursday"),
    (Weekday::Friday, "Fri", "Friday"),
    (Weekday::Saturday, "Sat", "Saturday"),
    (Weekday::Sunday, "Sun", "Sunday"),
];

/// The parts of a day, six hours each.
pub(super) const PARTS: [(&str, &str); 4] = [
    ("at night", "Night"),
    ("in the morning", "Morning"),
    ("in the afternoon", "Afternoon"),
    ("in the evening", "Evening"),
];

/// How many hits came in each hour of each weekday, on the clock of the wall.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Rhythm {
    hits: [[u64; 24]; 7],
}

impl Rhythm {
    /// Sums up hours.
    pub(super) fn new(hours: &[HourCount], time_zone: &TimeZone) -> Self {
        let mut rhythm = Self::default();
        for hour in hours {
            let on_wall = hour.hour.to_zoned_datetime(time_zone.clone());
            let weekday = usize::try_from(on_wall.weekday().to_monday_zero_offset()).unwrap_or_default();
            let of_day = usize::try_from(on_wall.hour()).unwrap_or_default();
            if let Some(hits) = rhythm.hits.get_mut(weekday).and_then(|day| day.get_mut(of_day)) {
                *hits += hour.totals.hits;
            }
        }
        rhythm
    }

    /// All hits.
    pub(super) fn total(&self) -> u64 {
        self.hits.iter().flatten().sum()
    }

    /// Hits by the hour of the day.
    pub(super) fn by_hour(&self) -> [u64; 24] {
        let mut sums = [0; 24];
        for day in &self.hits {
            for (sum, hits) in sums.iter_mut().zip(day) {
                *sum += hits;
            }
        }
        sums
    }

    /// Hits of each weekday.
    pub(super) fn by_weekday(&self) -> [(&'static str, u64); 7] {
        let mut sums = WEEKDAYS.map(|(_, _, name)| (name, 0));
        for ((_, sum), day) in sums.iter_mut().zip(&self.hits) {
            *sum = day.iter().sum();
        }
        sums
    }

    /// `mostly at night`: the part of the day in which more than half of the hits came, if there is one.
    pub(super) fn mostly(&self) -> Option<&'static str> {
        let total = self.total();
        let by_hour = self.by_hour();
        let parts = by_hour.chunks(6).map(|part| part.iter().sum::<u64>());
        let found = PARTS.iter().zip(parts).find(|(_, hits)| total < hits.saturating_mul(2));
        found.filter(|_| PATTERN_HITS_MIN <= total).map(|((words, _), _)| *words)
    }

    /// The hour of the week with the most hits.
    fn busiest(&self) -> Option<(&'static str, usize, u64)> {
        let days = WEEKDAYS.iter().zip(&self.hits);
        let fields = days.flat_map(|((_, _, name), day)| {
            day.iter().enumerate().map(move |(hour, hits)| (*name, hour, *hits))
        });
        // The first of several.
        let busiest = fields.reduce(|most, field| if most.2 < field.2 { field } else { most });
        busiest.filter(|(_, _, hits)| 0 < *hits)
    }
}

/// A grid of weekdays and hours.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/heat.html")]
pub(super) struct Heat {
    /// What the grid says, in a sentence.
    pub(super) summary: String,
    pub(super) rows: Vec<HeatRow>,
    pub(super) hours: Vec<(Percent, String)>,
}

/// One weekday.
#[derive(Clone, Debug)]
pub(super) struct HeatRow {
    pub(super) y: u64,
    pub(super) short: &'static str,
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
    /// Its hits in each of [`PARTS`].
    pub(super) parts: Vec<String>,
}

/// One hour of a weekday.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) x: Percent,
    pub(super) shade: u64,
    pub(super) title: String,
}

/// Its own template has escaped what it shows.
impl askama::filters::HtmlSafe for Heat {}

impl Heat {
    pub(super) fn new(rhythm: &Rhythm) -> Self {
        let most = rhythm.hits.iter().flatten().copied().max().unwrap_or_default();
        let field = |name: &str, hour: u64, hits: u64| Field {
            x: Percent::of(hour, 24),
            // What is not nothing is not blank.
            shade: hits.saturating_mul(SHADES).div_ceil(most.max(1)),
            title: format!("{name} {hour:02}:00–{:02}:00: {} blocked", hour + 1, format::count(hits)),
        };
        let row = |(((_, short, name), day), index): (((_, _, _), &[u64; 24]), u64)| HeatRow {
            y: index * ROW_HEIGHT,
            short,
            name,
            fields: day.iter().zip(0..).map(|(hits, hour)| field(name, hour, *hits)).collect(),
            parts: day.chunks(6).map(|part| format::count(part.iter().sum())).collect(),
        };
        let hour = |hour: u64| (Percent::of(hour, 24), format!("{hour:02}:00"));
        Self {
            summary: summary(rhythm),
            rows: WEEKDAYS.into_iter().zip(&rhythm.hits).zip(0..).map(row).collect(),
            hours: [0, 6, 12, 18].map(hour).into(),
        }
    }

    pub(super) const fn height(&self) -> u64 {
        ROW_HEIGHT * 7
    }
}

fn summary(rhythm: &Rhythm) -> String {
    let Some((weekday, hour, hits)) = rhythm.busiest() else {
        return "Nothing was blocked in these weeks.".to_owned();
    };
    let mostly = rhythm.mostly().map(|mostly| format!("Mostly {mostly}. ")).unwrap_or_default();
    let hits = format::count(hits);
    format!("{mostly}The most came on {weekday}s between {hour:02}:00 and {:02}:00: {hits}.", hour + 1)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::history::Totals;

    fn hour(at: &str, hits: u64) -> HourCount {
        let hour: Timestamp = at.parse().unwrap();
        HourCount { hour, totals: Totals { queries: hits, hits } }
    }

    #[test]
    fn hours_are_those_of_the_wall() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // 23:30 UTC on a Friday is Saturday night in Berlin.
        let rhythm =
            Rhythm::new(&[hour("2026-11-20T23:00:00Z", 30), hour("2026-11-27T23:00:00Z", 10)], &zone);
        assert_eq!(rhythm.by_hour()[0], 40);
        assert_eq!(rhythm.by_weekday()[5], ("Saturday", 40));
        assert_eq!(rhythm.mostly(), Some("at night"));
        let heat = Heat::new(&rhythm);
        assert_eq!(heat.summary, "Mostly at night. The most came on Saturdays between 00:00 and 01:00: 40.");
        assert_eq!((heat.rows[5].fields[0].shade, heat.rows[5].fields[1].shade), (5, 0));
        assert_eq!(heat.rows[5].fields[0].title, "Saturday 00:00–01:00: 40 blocked");
        assert_eq!(heat.rows[5].parts, ["40", "0", "0", "0"]);
    }

    #[test]
    fn few_hits_make_no_pattern_and_even_ones_neither() {
        let few = Rhythm::new(&[hour("2026-11-20T12:00:00Z", 19)], &TimeZone::UTC);
        assert_eq!(few.mostly(), None);
        let even = [hour("2026-11-20T01:00:00Z", 50), hour("2026-11-20T13:00:00Z", 50)];
        assert_eq!(Rhythm::new(&even, &TimeZone::UTC).mostly(), None);
        assert_eq!(Heat::new(&Rhythm::default()).summary, "Nothing was blocked in these weeks.");
        let sliver = Rhythm::new(
            &[hour("2026-11-20T01:00:00Z", 1), hour("2026-11-20T02:00:00Z", 999)],
            &TimeZone::UTC,
        );
        assert_eq!(Heat::new(&sliver).rows[4].fields[1].shade, 1);
    }
}
