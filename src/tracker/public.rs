//! Public catalogues, which a person may have downloaded: which there are, and how their files are read.
//!
//! None of them is part of this program: each stays under the licence of its authors, who neither made nor endorse it.
//! What they say is read for its facts only (name, product, company, category); nothing in them blocks anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::part::{VALUE_LEN_MAX, is_https};
use super::{Entry, Kind, Level, Part, Tracker};
use crate::name::DomainName;
use crate::name::suffix::registrable_domain;

/// More names than any of them has by a factor of ten; what stands beyond is left out.
const NAMES_MAX: usize = 100_000;

/// One of the public catalogues.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PublicCatalogue {
    /// AdGuard's companies database.
    AdGuard,
    /// Ghostery's tracker database.
    Ghostery,
    /// Disconnect's tracking protection lists.
    Disconnect,
    /// DuckDuckGo's tracker blocklists.
    DuckDuckGo,
}

impl PublicCatalogue {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AdGuard, Self::Ghostery, Self::Disconnect, Self::DuckDuckGo];

    /// The word for it in the configuration, the API and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdGuard => "adguard",
            Self::Ghostery => "ghostery",
            Self::Disconnect => "disconnect",
            Self::DuckDuckGo => "duckduckgo",
        }
    }

    /// What its authors call it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::AdGuard => "AdGuard companiesdb",
            Self::Ghostery => "Ghostery trackerdb",
            Self::Disconnect => "Disconnect tracking protection",
            Self::DuckDuckGo => "DuckDuckGo tracker blocklists",
        }
    }

    /// What it has, for people.
    pub const fn about(self) -> &'static str {
        match self {
            Self::AdGuard => "About 5,000 domains with product, category and company.",
            Self::Ghostery => "About 5,000 domains with product, category, company and its privacy policy.",
            Self::Disconnect => "About 4,500 domains with category and company.",
            Self::DuckDuckGo => "Domains that sites in the United States and Europe load most, with company.",
        }
    }

    /// Its licence (SPDX).
    pub const fn licence(self) -> &'static str {
        match self {
            Self::AdGuard => "CC-BY-SA-4.0",
            Self::Ghostery | Self::Disconnect | Self::DuckDuckGo => "CC-BY-NC-SA-4.0",
        }
    }

    /// What the licence asks of whoever uses it, for people.
    pub const fn terms(self) -> &'static str {
        match self {
            Self::AdGuard => {
                "You may use and share it, commercially too, if you name its authors and share what you make of it alike."
            }
            Self::Ghostery | Self::Disconnect | Self::DuckDuckGo => {
                "You may use and share it for purposes that are not commercial only, if you name its authors and share \
                 what you make of it alike."
            }
        }
    }

    /// Where to read about it.
    pub const fn homepage(self) -> &'static str {
        match self {
            Self::AdGuard => "https://github.com/AdguardTeam/companiesdb",
            Self::Ghostery => "https://github.com/ghostery/trackerdb",
            Self::Disconnect => "https://github.com/disconnectme/disconnect-tracking-protection",
            Self::DuckDuckGo => "https://github.com/duckduckgo/tracker-blocklists",
        }
    }

    /// The files that it is made of.
    pub const fn urls(self) -> &'static [&'static str] {
        match self {
            Self::AdGuard => &[
                "https://raw.githubusercontent.com/AdguardTeam/companiesdb/main/dist/trackers.json",
                "https://raw.githubusercontent.com/AdguardTeam/companiesdb/main/dist/companies.json",
            ],
            Self::Ghostery => &["https://cdn.jsdelivr.net/npm/@ghostery/trackerdb/dist/trackerdb.json"],
            Self::Disconnect => &[
                "https://raw.githubusercontent.com/disconnectme/disconnect-tracking-protection/master/services.json",
            ],
            Self::DuckDuckGo => &[
                "https://raw.githubusercontent.com/duckduckgo/tracker-blocklists/main/web/v6/extension-tds.json",
            ],
        }
    }

    /// Reads its files, which are those of [`Self::urls`] in that order.
    ///
    /// # Errors
    /// When a file is missing, is not what it should be, or names nobody.
    pub fn read(self, files: &[&[u8]]) -> Result<Part, PublicError> {
        let file = |index: usize| files.get(index).copied().ok_or(PublicError::Missing);
        let mut builder = Builder::default();
        match self {
            Self::AdGuard => builder.add_adguard(&json(file(0)?)?, &json(file(1)?)?),
            Self::Ghostery => builder.add_ghostery(&json(file(0)?)?),
            Self::Disconnect => builder.add_disconnect(&json(file(0)?)?),
            Self::DuckDuckGo => builder.add_duckduckgo(&json(file(0)?)?),
        }
        let part = builder.part;
        if part.entries.is_empty() { Err(PublicError::Empty) } else { Ok(part) }
    }
}

impl FromStr for PublicCatalogue {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|catalogue| catalogue.as_str() == word).ok_or(())
    }
}

/// Why the files of a public catalogue can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PublicError {
    /// There are fewer than it is made of.
    #[error("one of its files is missing")]
    Missing,
    /// It is not JSON, or not in the form that it was in when this program was written.
    #[error("it is not in the form that was expected ({0}); perhaps a newer pixelsink can read it")]
    Form(#[from] serde_json::Error),
    /// It has no name.
    #[error("it names no domain; perhaps its form has changed")]
    Empty,
}

fn json<T: DeserializeOwned>(file: &[u8]) -> Result<T, PublicError> {
    Ok(serde_json::from_slice(file)?)
}

#[derive(Deserialize)]
struct AdGuardTrackers {
    categories: BTreeMap<String, String>,
    trackers: BTreeMap<String, AdGuardTracker>,
    #[serde(rename = "trackerDomains")]
    domains: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct AdGuardTracker {
    name: String,
    #[serde(rename = "categoryId")]
    category: Option<u32>,
    #[serde(rename = "companyId")]
    company: Option<String>,
}

#[derive(Deserialize)]
struct AdGuardCompanies {
    companies: BTreeMap<String, Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Ghostery {
    organizations: BTreeMap<String, GhosteryOrganization>,
    patterns: BTreeMap<String, GhosteryPattern>,
    domains: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct GhosteryOrganization {
    name: String,
    privacy_policy_url: Option<String>,
}

#[derive(Deserialize)]
struct GhosteryPattern {
    name: String,
    category: Option<String>,
    organization: Option<String>,
}

/// The domains of each of a company's sites; other words stand among them.
type DisconnectSites = BTreeMap<String, serde_json::Value>;

#[derive(Deserialize)]
struct Disconnect {
    /// The companies of each category.
    categories: BTreeMap<String, Vec<BTreeMap<String, DisconnectSites>>>,
}

#[derive(Deserialize)]
struct DuckDuckGo {
    trackers: BTreeMap<String, DuckDuckGoTracker>,
}

#[derive(Deserialize)]
struct DuckDuckGoTracker {
    owner: Option<DuckDuckGoOwner>,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Deserialize)]
struct DuckDuckGoOwner {
    name: String,
    #[serde(rename = "displayName")]
    display_name: Option<String>,
}

/// A part while it is being filled.
#[derive(Default)]
struct Builder {
    part: Part,
    products: HashMap<(String, String, Kind), usize>,
    names: HashSet<DomainName>,
}

impl Builder {
    fn add_adguard(&mut self, trackers: &AdGuardTrackers, companies: &AdGuardCompanies) {
        for (domain, id) in &trackers.domains {
            let Some(tracker) = trackers.trackers.get(id) else { continue };
            let company = tracker.company.as_ref().and_then(|id| companies.companies.get(id));
            let company = company.map_or(&tracker.name, |company| &company.name);
            let category = tracker.category.and_then(|id| trackers.categories.get(&id.to_string()));
            self.add(domain, &tracker.name, company, category.map_or(Kind::Other, |word| kind(word)));
        }
    }

    fn add_ghostery(&mut self, ghostery: &Ghostery) {
        for (domain, id) in &ghostery.domains {
            let Some(pattern) = ghostery.patterns.get(id) else { continue };
            let organization = pattern.organization.as_ref().and_then(|id| ghostery.organizations.get(id));
            let company = organization.map_or(&pattern.name, |organization| &organization.name);
            self.add(domain, &pattern.name, company, pattern.category.as_deref().map_or(Kind::Other, kind));
            let privacy = organization.and_then(|organization| organization.privacy_policy_url.as_deref());
            let privacy = privacy.map(str::trim).filter(|page| is_https(page));
            if let (Some(company), Some(privacy)) = (tidy(company), privacy) {
                self.part.companies.entry(company).or_default().privacy = Some(privacy.to_owned());
            }
        }
    }

    fn add_disconnect(&mut self, disconnect: &Disconnect) {
        for (category, companies) in &disconnect.categories {
            for (company, sites) in companies.iter().flatten() {
                let domains = sites.values().filter_map(|domains| domains.as_array()).flatten();
                for domain in domains.filter_map(|domain| domain.as_str()) {
                    self.add(domain, company, company, kind(category));
                }
            }
        }
    }

    fn add_duckduckgo(&mut self, duckduckgo: &DuckDuckGo) {
        for (domain, DuckDuckGoTracker { owner, categories }) in &duckduckgo.trackers {
            let Some(owner) = owner else { continue };
            let company = owner.display_name.as_deref().unwrap_or(&owner.name);
            let kinds = categories.iter().map(|category| kind(category));
            // What says most comes first; a tracker often has several.
            let kind = kinds.min_by_key(|kind| {
                let order = [
                    Kind::SessionReplay,
                    Kind::ConversionPixel,
                    Kind::WebAnalytics,
                    Kind::AdvertisingExchange,
                ];
                order.iter().position(|known| known == kind).unwrap_or(order.len())
            });
            self.add(domain, company, company, kind.unwrap_or(Kind::Other));
        }
    }

    /// Adds a name unless it has been said already or is none.
    fn add(&mut self, domain: &str, product: &str, company: &str, kind: Kind) {
        if NAMES_MAX <= self.part.entries.len() {
            return;
        }
        let Ok(name) = DomainName::parse(domain) else { return };
        let (Some(product), Some(company)) = (tidy(product), tidy(company)) else { return };
        // A public suffix is nobody's.
        if registrable_domain(name.as_ref()).is_none() || !self.names.insert(name.clone()) {
            return;
        }
        let products = &mut self.part.products;
        let tracker = *self.products.entry((product.clone(), company.clone(), kind)).or_insert_with(|| {
            products.push(Tracker { product, company, parent: None, kind, reports: None, privacy: None });
            products.len() - 1
        });
        self.part.entries.push(Entry { name, exact: false, level: Level::Shared, line: 0, tracker });
    }
}

/// A name as a page can show it; `None` when nothing is left of it.
fn tidy(text: &str) -> Option<String> {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let tidy: String = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = tidy.chars().take(VALUE_LEN_MAX).collect();
    (!tidy.is_empty()).then_some(tidy)
}

/// What their words for categories are here.
fn kind(category: &str) -> Kind {
    match category {
        "advertising" | "pornvertising" | "Advertising" | "Ad Motivated Tracking" | "Ad Fraud" => {
            Kind::AdvertisingExchange
        }
        "site_analytics" | "Analytics" | "Audience Measurement" | "Third-Party Analytics Marketing" => {
            Kind::WebAnalytics
        }
        "mobile_analytics" => Kind::MobileSdk,
        "telemetry" => Kind::DeviceTelemetry,
        "email" | "Email" | "EmailAggressive" => Kind::EmailOpenPixel,
        "Action Pixels" => Kind::ConversionPixel,
        "Session Replay" => Kind::SessionReplay,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(catalogue: PublicCatalogue, files: &[&str], expected: &[&str]) {
        let files: Vec<&[u8]> = files.iter().map(|file| file.as_bytes()).collect();
        let part = catalogue.read(&files).unwrap();
        let shown = |entry: &Entry| {
            let tracker = &part.products[entry.tracker];
            let privacy = part.companies.get(&tracker.company).and_then(|company| company.privacy.clone());
            let kind = tracker.kind.as_str();
            format!("{} {} {} {kind} {privacy:?}", entry.name, tracker.product, tracker.company)
        };
        assert_eq!(part.entries.iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_form_is_read() {
        check(
            PublicCatalogue::AdGuard,
            &[
                r#"{"timeUpdated": "x", "categories": {"4": "advertising"}, "trackers": {
                    "a": {"name": "A\nPixel", "categoryId": 4, "url": null, "companyId": "a"},
                    "b": {"name": "B", "categoryId": 99, "companyId": "gone"}},
                    "trackerDomains": {"a.example": "a", "b.example": "b", "c.example": "c", "com": "a", "a..b": "a"}}"#,
                r#"{"companies": {"a": {"name": "A Inc."}}}"#,
            ],
            &["a.example A Pixel A Inc. advertising-exchange None", "b.example B B other None"],
        );
        check(
            PublicCatalogue::Ghostery,
            &[r#"{"categories": {}, "organizations": {
                "a": {"name": "A", "privacy_policy_url": "https://a.example/privacy"},
                "b": {"name": "B", "privacy_policy_url": "javascript:alert(1)"}},
                "patterns": {"p": {"name": "P", "category": "site_analytics", "organization": "a"},
                             "q": {"name": "Q", "category": "new", "organization": "b"},
                             "r": {"name": "R", "category": null, "organization": null}},
                "domains": {"p.example": "p", "q.example": "q", "r.example": "r"}, "filters": {}}"#],
            &[
                "p.example P A web-analytics Some(\"https://a.example/privacy\")",
                "q.example Q B other None",
                "r.example R R other None",
            ],
        );
        check(
            PublicCatalogue::Disconnect,
            &[r#"{"license": "x", "categories": {"Email": [{"A": {"https://a.example/": ["a.example"],
                "performance": "true"}}], "Content": [{"A": {"https://a.example/": ["a.example", "b.example"]}}]}}"#],
            &["a.example A A other None", "b.example A A other None"],
        );
        check(
            PublicCatalogue::DuckDuckGo,
            &[r#"{"trackers": {"a.example": {"owner": {"name": "A, Inc.", "displayName": "A"},
                "categories": ["Advertising", "Session Replay"]}, "b.example": {"owner": {"name": "B"}},
                "c.example": {"owner": null}}}"#],
            &["a.example A A session-replay None", "b.example B B other None"],
        );
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for catalogue in PublicCatalogue::ALL {
            for file in ["", "<html>", "[]", "{}", "{\"trackers\": 1}"] {
                assert!(catalogue.read(&[file.as_bytes(), b"{\"companies\":{}}"]).is_err(), "{file}");
            }
            assert!(catalogue.read(&[]).is_err());
            assert_eq!(catalogue.as_str().parse(), Ok(catalogue));
            assert!(catalogue.urls().iter().all(|url| is_https(url)) && is_https(catalogue.homepage()));
        }
        let empty = PublicCatalogue::DuckDuckGo.read(&[b"{\"trackers\": {}}"]);
        assert!(matches!(empty, Err(PublicError::Empty)));
    }

    proptest! {
        #[test]
        fn reading_never_panics(file: Vec<u8>, product: String, domain: String) {
            for catalogue in PublicCatalogue::ALL {
                let _ = catalogue.read(&[&file, &file]);
            }
            let text = serde_json::json!({"trackers": {domain: {"owner": {"name": product}}}}).to_string();
            if let Ok(part) = PublicCatalogue::DuckDuckGo.read(&[text.as_bytes()]) {
                prop_assert!(part.products.iter().all(|product| product.product.chars().count() <= VALUE_LEN_MAX));
            }
        }
    }
}
