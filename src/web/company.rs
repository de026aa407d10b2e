//! Companies as pages show them: rows of a table, how much more than before, and what for.

use std::cmp::Reverse;

use askama::Template;

use super::format::{self, percent_encoded};
use crate::history::{CompanyCount, DeviceCount, Span, TrackerCount};
use crate::tracker::{Attribution, Kind};

/// From so many hits on, in either span, a change is told in hundredths: of fewer, it is chance.
const CHANGE_HITS_MIN: u64 = 10;
/// A change of fewer hundredths than this is none.
const CHANGE_PERCENT_MIN: u64 = 5;

/// A company, leading to its page.
#[derive(Clone, Debug, Eq, PartialEq, Template)]
#[template(path = "pieces/company.html")]
pub(super) struct CompanyLink {
    pub(super) name: String,
    pub(super) encoded: String,
}

impl From<&str> for CompanyLink {
    fn from(name: &str) -> Self {
        Self { encoded: percent_encoded(name), name: name.to_owned() }
    }
}

impl From<&Attribution> for CompanyLink {
    fn from(attribution: &Attribution) -> Self {
        attribution.company().as_str().into()
    }
}

impl askama::filters::HtmlSafe for CompanyLink {}

/// How much more or less than before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// Nothing is known of before, or both are so few that a difference would be chance.
    Unknown,
    /// There was none before.
    New,
    /// There is none now.
    Gone,
    /// By fewer hundredths than are worth a word.
    Same,
    /// Up by so many hundredths.
    Up(u64),
    /// So many times as many.
    Times(u64),
    /// Down by so many hundredths.
    Down(u64),
}

impl Change {
    /// From `before` to `now`.
    pub(super) fn of(now: u64, before: u64) -> Self {
        if before == 0 {
            return if now == 0 { Self::Unknown } else { Self::New };
        }
        if now == 0 {
            return Self::Gone;
        }
        if now.max(before) < CHANGE_HITS_MIN {
            return Self::Unknown;
        }
        let percent = (now.abs_diff(before).saturating_mul(100) + before / 2) / before;
        match percent {
            0..CHANGE_PERCENT_MIN => Self::Same,
            _ if now < before => Self::Down(percent.min(99)),
            CHANGE_PERCENT_MIN..200 => Self::Up(percent),
            _ => Self::Times((now + before / 2) / before),
        }
    }

    /// In words: `up 30 %`. `None` where there is nothing to say.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Unknown => None,
            Self::New => Some("new".to_owned()),
            Self::Gone => Some("none this time".to_owned()),
            Self::Same => Some("about the same".to_owned()),
            Self::Up(percent) => Some(format!("up {percent} %")),
            Self::Times(times) => Some(format!("{} times as many", format::count(times))),
            Self::Down(percent) => Some(format!("down {percent} %")),
        }
    }

    /// For a class of the style sheet.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::New | Self::Up(_) | Self::Times(_) => "up",
            Self::Gone | Self::Down(_) => "down",
            Self::Same | Self::Unknown => "same",
        }
    }
}

/// Whether a span can be compared with the one before: something was counted since before that began. Of a home that is
/// looked at for three days, everything would be "new" or "up".
pub(super) fn is_comparable<'a>(devices: impl IntoIterator<Item = &'a DeviceCount>, before: Span) -> bool {
    devices.into_iter().any(|device| device.first_seen <= before.from)
}

/// One company in a table.
#[derive(Clone, Debug)]
pub(super) struct CompanyRow {
    pub(super) company: CompanyLink,
    /// The products that were met, those with the most hits first; empty where the catalogue knows nobody.
    pub(super) products: String,
    /// What for, in a word each.
    pub(super) kinds: String,
    pub(super) hits: String,
    pub(super) share: String,
    /// Its hits in hundredths of those of the first.
    pub(super) percent: u64,
    pub(super) devices: String,
    pub(super) change: Option<String>,
    pub(super) change_word: &'static str,
    /// How many of the hits hid behind somebody else's name.
    pub(super) cloaked: Option<String>,
}

impl CompanyRow {
    /// Rows for companies, their meters against the largest. `all_hits` is what their shares are of.
    pub(super) fn all(companies: &[CompanyCount], all_hits: u64, is_comparable: bool) -> Vec<Self> {
        let most = companies.iter().map(|company| company.hits).max().unwrap_or(1).max(1);
        companies.iter().map(|company| Self::new(company, most, all_hits, is_comparable)).collect()
    }

    fn new(company: &CompanyCount, most: u64, all_hits: u64, is_comparable: bool) -> Self {
        let change = change_of(company, is_comparable);
        let cloaked = (0 < company.cloaked).then(|| format::count(company.cloaked));
        Self {
            company: company.name.as_str().into(),
            products: products(company),
            kinds: kinds_of(company).iter().map(|kind| kind.label()).collect::<Vec<_>>().join(", "),
            hits: format::count(company.hits),
            share: format::share(company.hits, all_hits),
            percent: (company.hits.saturating_mul(100) / most).clamp(1, 100),
            devices: format::counted(company.devices, "device", "devices"),
            change: change.text(),
            change_word: change.word(),
            cloaked,
        }
    }
}

/// How much more than before, where that is known.
pub(super) fn change_of(company: &CompanyCount, is_comparable: bool) -> Change {
    if is_comparable { Change::of(company.hits, company.hits_before) } else { Change::Unknown }
}

/// How many products a row names.
const PRODUCTS_SHOWN: usize = 3;

fn products(company: &CompanyCount) -> String {
    let product = |count: &TrackerCount| match &count.attribution {
        Attribution::Tracker(tracker) => Some(tracker.product.clone()),
        Attribution::Domain(_) => None,
    };
    let names: Vec<String> = company.trackers.iter().filter_map(product).collect();
    let more = names.len().saturating_sub(PRODUCTS_SHOWN);
    let shown = names.iter().take(PRODUCTS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// What a company's trackers are there for, those with the most hits first.
pub(super) fn kinds_of(company: &CompanyCount) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for count in &company.trackers {
        if let Attribution::Tracker(tracker) = &count.attribution
            && !kinds.contains(&tracker.kind)
        {
            kinds.push(tracker.kind);
        }
    }
    kinds
}

/// What tracking was for, in a table.
#[derive(Clone, Debug)]
pub(super) struct KindRow {
    pub(super) label: &'static str,
    pub(super) hits: String,
    pub(super) share: String,
    /// Hundredths of all hits.
    pub(super) percent: u64,
}

impl KindRow {
    /// The hits of each kind, the most first; those of names that no catalogue knows last.
    pub(super) fn all(companies: &[CompanyCount]) -> Vec<Self> {
        let mut sums: Vec<(Option<Kind>, u64)> = Vec::new();
        for tracker in companies.iter().flat_map(|company| &company.trackers) {
            let kind = match &tracker.attribution {
                Attribution::Tracker(tracker) => Some(tracker.kind),
                Attribution::Domain(_) => None,
            };
            match sums.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, hits)) => *hits += tracker.hits,
                None => sums.push((kind, tracker.hits)),
            }
        }
        sums.sort_by_key(|(kind, hits)| (kind.is_none(), Reverse(*hits), *kind));
        let all = sums.iter().map(|(_, hits)| hits).sum();
        let row = |(kind, hits): &(Option<Kind>, u64)| Self {
            label: kind.map_or("not in the catalogue", Kind::label),
            hits: format::count(*hits),
            share: format::share(*hits, all),
            percent: (hits.saturating_mul(100) / all.max(1)).clamp(1, 100),
        };
        sums.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::DomainName;
    use crate::tracker::Tracker;

    #[track_caller]
    fn check(now: u64, before: u64, expected: Option<&str>) {
        assert_eq!(Change::of(now, before).text().as_deref(), expected, "{before} -> {now}");
    }

    #[test]
    fn a_change_is_told_only_where_it_is_one() {
        check(130, 100, Some("up 30 %"));
        check(70, 100, Some("down 30 %"));
        check(103, 100, Some("about the same"));
        check(1_000, 100, Some("10 times as many"));
        check(1, 1_000, Some("down 99 %"));
        check(0, 100, Some("none this time"));
        check(7, 0, Some("new"));
        check(9, 4, None);
        check(0, 0, None);
        check(u64::MAX, 1, Some("18,446,744,073,709,551,615 times as many"));
    }

    fn tracker(product: &str, kind: Kind, hits: u64) -> TrackerCount {
        let tracker = Tracker {
            product: product.to_owned(),
            company: "Meta".to_owned(),
            parent: None,
            kind,
            reports: None,
            privacy: None,
        };
        TrackerCount { attribution: Attribution::Tracker(Arc::new(tracker)), hits, devices: 1 }
    }

    fn company(trackers: Vec<TrackerCount>) -> CompanyCount {
        let hits = trackers.iter().map(|tracker| tracker.hits).sum();
        CompanyCount { name: "Meta".to_owned(), trackers, hits, hits_before: 0, cloaked: 2, devices: 1 }
    }

    #[test]
    fn a_row_says_what_for_and_how_much() {
        let of = |product, hits| tracker(product, Kind::ConversionPixel, hits);
        let count = company(vec![of("A", 50), tracker("B", Kind::MobileSdk, 30), of("C", 15), of("D", 5)]);
        let rows = CompanyRow::all(&[count], 200, true);
        assert_eq!(rows[0].products, "A, B, C and 1 more");
        assert_eq!(rows[0].kinds, "conversion pixel, mobile SDK");
        assert_eq!((&*rows[0].share, rows[0].percent, rows[0].change.as_deref()), ("50 %", 100, Some("new")));
        assert_eq!(rows[0].cloaked.as_deref(), Some("2"));
        let unknown = CompanyRow::all(&[company(vec![of("A", 50)])], 200, false);
        assert_eq!(unknown[0].change, None);
    }

    #[test]
    fn kinds_are_summed_and_strangers_come_last() {
        let domain = Attribution::Domain(DomainName::parse("x.example").unwrap());
        let strange = TrackerCount { attribution: domain, hits: 60, devices: 1 };
        let known = company(vec![tracker("A", Kind::MobileSdk, 10), tracker("B", Kind::WebAnalytics, 30)]);
        let rows = KindRow::all(&[company(vec![strange]), known]);
        let told: Vec<_> = rows.iter().map(|row| (row.label, &*row.hits, &*row.share)).collect();
        assert_eq!(
            told,
            [
                ("web analytics", "30", "30 %"),
                ("mobile SDK", "10", "10 %"),
                ("not in the catalogue", "60", "60 %")
            ]
        );
    }
}
