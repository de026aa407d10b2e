//! Which product and company a name belongs to.
//!
//! The catalogue is a text that people review (`blocklists/trackers.txt`; its format is told in
//! `blocklists/README.md`). It names trackers and grades their names; it never knows who asked for them. A name that the
//! catalogue does not have belongs to its registrable domain (Public Suffix List).

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{DomainName, NameError, NameRef};

/// The catalogue that is built in.
pub const BUILT_IN: &str = include_str!("../../blocklists/trackers.txt");

/// What a tracker is there for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    ConversionPixel,
    EmailOpenPixel,
    WebAnalytics,
    SessionReplay,
    AdvertisingExchange,
    MobileSdk,
    SmartTvTelemetry,
    DeviceTelemetry,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::ConversionPixel,
        Self::EmailOpenPixel,
        Self::WebAnalytics,
        Self::SessionReplay,
        Self::AdvertisingExchange,
        Self::MobileSdk,
        Self::SmartTvTelemetry,
        Self::DeviceTelemetry,
    ];

    /// The word for it in the catalogue and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConversionPixel => "conversion-pixel",
            Self::EmailOpenPixel => "email-open-pixel",
            Self::WebAnalytics => "web-analytics",
            Self::SessionReplay => "session-replay",
            Self::AdvertisingExchange => "advertising-exchange",
            Self::MobileSdk => "mobile-sdk",
            Self::SmartTvTelemetry => "smart-tv-telemetry",
            Self::DeviceTelemetry => "device-telemetry",
        }
    }

    /// The word for it on the page.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConversionPixel => "conversion pixel",
            Self::EmailOpenPixel => "e-mail open pixel",
            Self::WebAnalytics => "web analytics",
            Self::SessionReplay => "session replay",
            Self::AdvertisingExchange => "advertising exchange",
            Self::MobileSdk => "mobile SDK",
            Self::SmartTvTelemetry => "smart-TV telemetry",
            Self::DeviceTelemetry => "device telemetry",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

/// What else a tracker's name is used for, which decides whether it is blocked unasked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Tracking only.
    Pixel,
    /// Click or unsubscribe links too.
    Links,
    /// Functions of sites, apps or devices too.
    Shared,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Pixel, Self::Links, Self::Shared];

    /// The word for it in the catalogue and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pixel => "pixel",
            Self::Links => "links",
            Self::Shared => "shared",
        }
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|level| level.as_str() == word).ok_or(())
    }
}

/// One product of one company.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tracker {
    /// The product.
    pub product: String,
    /// The company that it belongs to.
    pub company: String,
    /// The group that the company belongs to.
    pub parent: Option<String>,
    /// What it is there for.
    pub kind: Kind,
    /// What it reports about a person, in one sentence.
    pub reports: Option<String>,
}

/// One name of the catalogue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The name.
    pub name: DomainName,
    /// Whether it stands for that name only; otherwise for everything below it too.
    pub exact: bool,
    /// What else the name is used for.
    pub level: Level,
    /// Its line in the catalogue, from 1.
    pub line: u32,
    /// Whose it is: an index into [`Catalogue::trackers`].
    pub tracker: usize,
}

/// Names and the trackers that they belong to.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    trackers: Vec<Arc<Tracker>>,
    entries: Vec<Entry>,
    by_name: HashMap<DomainName, usize>,
}

/// Whose a name is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Attribution {
    /// A tracker of the catalogue.
    Tracker(Arc<Tracker>),
    /// Nobody that the catalogue knows; the registrable domain (or the name itself, where there is none).
    Domain(DomainName),
}

impl Attribution {
    /// The company behind it; the domain where nobody knows one. It stands in the page's addresses too.
    pub fn company(&self) -> String {
        match self {
            Self::Tracker(tracker) => tracker.company.clone(),
            Self::Domain(domain) => domain.to_string(),
        }
    }
}

impl Catalogue {
    /// Reads a catalogue. Lines that can't be read are left out and told.
    pub fn parse(text: &str) -> (Self, Vec<CatalogueError>) {
        let mut catalogue = Self::default();
        let mut errors = Vec::new();
        let mut stanza = None;
        for (line, number) in text.lines().zip(1..) {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(problem) = catalogue.read_line(line, number, &mut stanza) {
                errors.push(CatalogueError { line: number, problem });
            }
        }
        if let Some(stanza) = stanza {
            catalogue.close(stanza, &mut errors);
        }
        (catalogue, errors)
    }

    fn read_line(&mut self, line: &str, number: u32, stanza: &mut Option<Stanza>) -> Result<(), Problem> {
        if let Some(product) = line.strip_prefix('[') {
            let product = product.strip_suffix(']').ok_or(Problem::Header)?.trim();
            if let Some(before) = stanza.replace(Stanza::new(product, number)) {
                let mut errors = Vec::new();
                self.close(before, &mut errors);
                // One problem a line is enough; the header's own can't fail any more.
                return errors.pop().map_or(Ok(()), |error| Err(error.problem));
            }
            return Ok(());
        }
        let stanza = stanza.as_mut().ok_or(Problem::NoHeader)?;
        let (word, value) = line.split_once(char::is_whitespace).ok_or(Problem::NoValue)?;
        let value = value.trim();
        match word {
            "company" => set(&mut stanza.company, value.to_owned()),
            "parent" => set(&mut stanza.parent, value.to_owned()),
            "reports" => set(&mut stanza.reports, value.to_owned()),
            "kind" => set(&mut stanza.kind, value.parse().map_err(|()| Problem::Kind(value.to_owned()))?),
            _ => {
                let level = word.parse().map_err(|()| Problem::Word(word.to_owned()))?;
                let (exact, name) = match value.strip_prefix('=') {
                    Some(name) => (true, name),
                    None => (false, value),
                };
                let name = DomainName::parse(name).map_err(|error| Problem::Name(value.to_owned(), error))?;
                stanza.names.push((name, exact, level, number));
                Ok(())
            }
        }
    }

    fn close(&mut self, stanza: Stanza, errors: &mut Vec<CatalogueError>) {
        let Stanza { product, line, company, parent, kind, reports, names } = stanza;
        let (Some(company), Some(kind)) = (company, kind) else {
            errors.push(CatalogueError { line, problem: Problem::Incomplete(product) });
            return;
        };
        let tracker = self.trackers.len();
        self.trackers.push(Arc::new(Tracker { product, company, parent, kind, reports }));
        for (name, exact, level, line) in names {
            if self.by_name.contains_key(&name) {
                errors.push(CatalogueError { line, problem: Problem::Twice(name.to_string()) });
                continue;
            }
            self.by_name.insert(name.clone(), self.entries.len());
            self.entries.push(Entry { name, exact, level, line, tracker });
        }
    }

    /// All trackers.
    pub fn trackers(&self) -> &[Arc<Tracker>] {
        &self.trackers
    }

    /// All names, in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whose `name` is: the most specific entry that covers it decides.
    pub fn attribute(&self, name: NameRef<'_>) -> Attribution {
        let covering = name.ancestors().find_map(|ancestor| {
            let entry = self.entries.get(*self.by_name.get(ancestor.as_wire())?)?;
            (!entry.exact || ancestor == name).then_some(entry)
        });
        match covering.and_then(|entry| self.trackers.get(entry.tracker)) {
            Some(tracker) => Attribution::Tracker(Arc::clone(tracker)),
            None => Attribution::Domain(registrable_domain(name)),
        }
    }
}

/// The registrable domain of `name`, or `name` itself where it has none.
pub fn registrable_domain(name: NameRef<'_>) -> DomainName {
    let text = name.to_string();
    let domain = psl::domain_str(&text).and_then(|domain| DomainName::parse(domain).ok());
    domain.unwrap_or_else(|| name.to_owned())
}

/// A stanza while it is being read.
struct Stanza {
    product: String,
    line: u32,
    company: Option<String>,
    parent: Option<String>,
    kind: Option<Kind>,
    reports: Option<String>,
    names: Vec<(DomainName, bool, Level, u32)>,
}

impl Stanza {
    fn new(product: &str, line: u32) -> Self {
        let product = product.to_owned();
        Self { product, line, company: None, parent: None, kind: None, reports: None, names: Vec::new() }
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Problem> {
    if field.replace(value).is_some() { Err(Problem::Again) } else { Ok(()) }
}

/// A line of the catalogue that can't be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct CatalogueError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line of the catalogue.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Problem {
    Header,
    NoHeader,
    NoValue,
    Again,
    Kind(String),
    Word(String),
    Name(String, NameError),
    Twice(String),
    Incomplete(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("a product stands between `[` and `]`"),
            Self::NoHeader => f.write_str("this line stands before the first `[product]`"),
            Self::NoValue => f.write_str("expected a word and a value"),
            Self::Again => f.write_str("this word has been said already for the product"),
            Self::Kind(kind) => write!(f, "`{kind}` is not a kind of tracker"),
            Self::Word(word) => {
                write!(f, "`{word}` is none of company, parent, kind, reports, pixel, links, shared")
            }
            Self::Name(name, error) => write!(f, "`{name}`: {error}"),
            Self::Twice(name) => write!(f, "`{name}` stands in the catalogue already"),
            Self::Incomplete(product) => write!(f, "`{product}` has no company or no kind"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
# comment
[Meta Pixel]
company Meta
kind    conversion-pixel
reports What you buy.
pixel   pixel.meta.example   # why
shared  =connect.meta.example

[Opens]
company Mailer
parent  Group
kind    email-open-pixel
links   t.mailer.example
";

    #[track_caller]
    fn check(name: &str, expected: &str) {
        let (catalogue, errors) = Catalogue::parse(TEXT);
        assert_eq!(errors, []);
        let name = DomainName::parse(name).unwrap();
        let found = match catalogue.attribute(name.as_ref()) {
            Attribution::Tracker(tracker) => format!("{} of {}", tracker.product, tracker.company),
            Attribution::Domain(domain) => domain.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_name_belongs_to_its_most_specific_entry() {
        check("pixel.meta.example", "Meta Pixel of Meta");
        check("a.pixel.meta.example", "Meta Pixel of Meta");
        check("connect.meta.example", "Meta Pixel of Meta");
        check("a.connect.meta.example", "meta.example");
        check("x.y.shop.co.uk", "shop.co.uk");
        check("co.uk", "co.uk");
    }

    #[test]
    fn every_entry_keeps_its_line_and_level() {
        let (catalogue, _) = Catalogue::parse(TEXT);
        let lines: Vec<_> = catalogue.entries().iter().map(|entry| (entry.line, entry.level)).collect();
        assert_eq!(lines, [(6, Level::Pixel), (7, Level::Shared), (13, Level::Links)]);
        assert_eq!(catalogue.trackers()[1].parent.as_deref(), Some("Group"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let text = "x y\n[A]\nkind nonsense\npixel a..b\nwhat a.example\n[B]\ncompany B\ncompany B\n\
                    kind mobile-sdk\npixel b.example\npixel b.example\npixel";
        let (catalogue, errors) = Catalogue::parse(text);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(errors.join("\n"), @r"
        line 1: this line stands before the first `[product]`
        line 3: `nonsense` is not a kind of tracker
        line 4: `a..b`: a label is empty or longer than 63 octets
        line 5: `what` is none of company, parent, kind, reports, pixel, links, shared
        line 6: `A` has no company or no kind
        line 8: this word has been said already for the product
        line 12: expected a word and a value
        line 11: `b.example` stands in the catalogue already
        ");
        assert_eq!(catalogue.entries().len(), 1);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            Catalogue::parse(&text);
        }
    }
}
