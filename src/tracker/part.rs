//! One catalogue by itself, as it is written or was downloaded.
//!
//! The format of the text that people write is told in `blocklists/README.md`.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt;

use super::{Entry, Kind, Tracker};
use crate::name::{DomainName, NameError};

/// The longest product, company or sentence, in characters: a page has to show them.
pub(super) const VALUE_LEN_MAX: usize = 200;
/// The longest address of a page, in octets.
const URL_LEN_MAX: usize = 500;

/// What is known of a company, said once for all of its products.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Company {
    /// The group that it belongs to.
    pub parent: Option<String>,
    /// Where it tells what it does with data, or how to object.
    pub privacy: Option<String>,
}

/// One catalogue by itself: products, companies and names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Part {
    /// The products as they stand there, without what they inherit from their companies.
    pub(super) products: Vec<Tracker>,
    /// The companies of which something is said, by their names.
    pub(super) companies: BTreeMap<String, Company>,
    /// The names; [`Entry::tracker`] is an index into `products`.
    pub(super) entries: Vec<Entry>,
}

impl Part {
    /// Reads a text. Lines that can't be read are left out and told.
    pub fn parse(text: &str) -> (Self, Vec<CatalogueError>) {
        let mut reader = Reader::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(problem) = reader.read_line(line, number) {
                reader.errors.push(CatalogueError { line: number, problem });
            }
        }
        reader.close();
        reader.errors.sort_by_key(|error| error.line);
        (reader.part, reader.errors)
    }

    /// Its names, in the order of the text; [`Entry::tracker`] counts its products.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it says of companies, by their names.
    pub fn company_facts(&self) -> impl Iterator<Item = (&str, &Company)> {
        self.companies.iter().map(|(name, facts)| (name.as_str(), facts))
    }

    /// How many names it has.
    pub fn names(&self) -> usize {
        self.entries.len()
    }

    /// How many products it has.
    pub fn products(&self) -> usize {
        self.products.len()
    }

    /// How many companies its products belong to.
    pub fn companies(&self) -> usize {
        self.products.iter().map(|product| &product.company).collect::<HashSet<_>>().len()
    }
}

/// Reads line by line.
#[derive(Default)]
struct Reader {
    part: Part,
    names: HashSet<DomainName>,
    stanza: Option<Stanza>,
    /// Whether the last header could not be read: what stands below it is nobody's, and was told with it.
    is_lost: bool,
    errors: Vec<CatalogueError>,
}

/// A stanza while it is being read.
enum Stanza {
    Product(Product),
    Company { name: String, facts: Company },
}

struct Product {
    product: String,
    line: u32,
    company: Option<String>,
    parent: Option<String>,
    kind: Option<Kind>,
    reports: Option<String>,
    privacy: Option<String>,
    names: Vec<(DomainName, bool, super::Level, u32)>,
}

impl Reader {
    fn read_line(&mut self, line: &str, number: u32) -> Result<(), Problem> {
        if line.starts_with(['[', '{']) {
            self.close();
            self.is_lost = true;
            self.stanza = Some(self.header(line, number)?);
            self.is_lost = false;
            return Ok(());
        }
        if self.is_lost {
            return Ok(());
        }
        let stanza = self.stanza.as_mut().ok_or(Problem::NoHeader)?;
        let (word, value) = line.split_once(char::is_whitespace).ok_or(Problem::NoValue)?;
        let value = value.trim();
        match stanza {
            Stanza::Product(product) => product.read(word, value, number),
            Stanza::Company { facts, .. } => match word {
                "parent" => set(&mut facts.parent, text(value)?),
                "privacy" => set(&mut facts.privacy, privacy_page(value)?),
                _ => Err(Problem::CompanyWord(word.to_owned())),
            },
        }
    }

    fn header(&self, line: &str, number: u32) -> Result<Stanza, Problem> {
        if let Some(product) = line.strip_prefix('[') {
            let product = product.strip_suffix(']').ok_or(Problem::Header)?;
            return Ok(Stanza::Product(Product::new(text(product)?, number)));
        }
        let name = line.strip_prefix('{').and_then(|name| name.strip_suffix('}')).ok_or(Problem::Header)?;
        let name = text(name)?;
        if self.part.companies.contains_key(&name) {
            return Err(Problem::CompanyTwice(name));
        }
        Ok(Stanza::Company { name, facts: Company::default() })
    }

    /// Takes over the stanza that was read to its end.
    fn close(&mut self) {
        match self.stanza.take() {
            None => {}
            Some(Stanza::Company { name, facts }) => {
                self.part.companies.insert(name, facts);
            }
            Some(Stanza::Product(product)) => self.close_product(product),
        }
    }

    fn close_product(&mut self, stanza: Product) {
        let Product { product, line, company, parent, kind, reports, privacy, names } = stanza;
        let (Some(company), Some(kind)) = (company, kind) else {
            self.errors.push(CatalogueError { line, problem: Problem::Incomplete(product) });
            return;
        };
        let tracker = self.part.products.len();
        self.part.products.push(Tracker { product, company, parent, kind, reports, privacy });
        for (name, exact, level, line) in names {
            if !self.names.insert(name.clone()) {
                self.errors.push(CatalogueError { line, problem: Problem::Twice(name.to_string()) });
                continue;
            }
            self.part.entries.push(Entry { name, exact, level, line, tracker });
        }
    }
}

impl Product {
    fn new(product: String, line: u32) -> Self {
        let names = Vec::new();
        Self { product, line, company: None, parent: None, kind: None, reports: None, privacy: None, names }
    }

    fn read(&mut self, word: &str, value: &str, number: u32) -> Result<(), Problem> {
        match word {
            "company" => set(&mut self.company, text(value)?),
            "parent" => set(&mut self.parent, text(value)?),
            "reports" => set(&mut self.reports, text(value)?),
            "privacy" => set(&mut self.privacy, privacy_page(value)?),
            "kind" => set(&mut self.kind, value.parse().map_err(|()| Problem::Kind(value.to_owned()))?),
            _ => {
                let level = word.parse().map_err(|()| Problem::Word(word.to_owned()))?;
                let (exact, name) = match value.strip_prefix('=') {
                    Some(name) => (true, name),
                    None => (false, value),
                };
                let name = DomainName::parse(name).map_err(|error| Problem::Name(value.to_owned(), error))?;
                self.names.push((name, exact, level, number));
                Ok(())
            }
        }
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Problem> {
    if field.replace(value).is_some() { Err(Problem::Again) } else { Ok(()) }
}

fn text(value: &str) -> Result<String, Problem> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Problem::NoValue);
    }
    if VALUE_LEN_MAX < value.chars().count() {
        return Err(Problem::Long);
    }
    if value.chars().any(char::is_control) {
        return Err(Problem::Control);
    }
    Ok(value.to_owned())
}

fn privacy_page(value: &str) -> Result<String, Problem> {
    if is_https(value) { Ok(value.to_owned()) } else { Err(Problem::Privacy(value.to_owned())) }
}

/// Whether `value` is an address that a page may link to: `https` only, with a host that is a name and no password.
pub(super) fn is_https(value: &str) -> bool {
    let Some(rest) = value.strip_prefix("https://") else { return false };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest.get(..end).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`');
    value.len() <= URL_LEN_MAX
        && value.chars().all(is_plain)
        && host.contains('.')
        && DomainName::parse(host).is_ok()
}

/// A line of a catalogue that can't be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct CatalogueError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a line of a catalogue.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Problem {
    Header,
    NoHeader,
    NoValue,
    Again,
    Long,
    Control,
    Kind(String),
    Word(String),
    CompanyWord(String),
    Privacy(String),
    Name(String, NameError),
    Twice(String),
    CompanyTwice(String),
    Incomplete(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => {
                f.write_str("a product stands between `[` and `]`, a company between `{` and `}`")
            }
            Self::NoHeader => f.write_str("this line stands before the first `[product]` or `{company}`"),
            Self::NoValue => f.write_str("expected a word and a value"),
            Self::Again => f.write_str("this word has been said already for the product or company"),
            Self::Long => write!(f, "this is longer than {VALUE_LEN_MAX} characters"),
            Self::Control => f.write_str("this has a control character in it"),
            Self::Kind(kind) => {
                let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                write!(f, "`{kind}` is not a kind of tracker; expected one of {}", kinds.join(", "))
            }
            Self::Word(word) => {
                write!(f, "`{word}` is none of company, parent, kind, reports, privacy, pixel, links, shared")
            }
            Self::CompanyWord(word) => write!(f, "`{word}` is none of parent, privacy, which a company has"),
            Self::Privacy(page) => {
                write!(f, "`{page}` is not the address of a page; expected one that begins with `https://`")
            }
            Self::Name(name, error) => write!(f, "`{name}`: {error}"),
            Self::Twice(name) => write!(f, "`{name}` stands in the catalogue already"),
            Self::CompanyTwice(name) => write!(f, "the company `{name}` stands in the catalogue already"),
            Self::Incomplete(product) => write!(f, "`{product}` has no company or no kind"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mistakes_are_told_with_their_line() {
        let text = "x y\n[A]\nkind nonsense\npixel a..b\nwhat a.example\n[B]\ncompany B\ncompany B\n\
                    kind mobile-sdk\npixel b.example\npixel b.example\npixel\nprivacy http://b.example/\n\
                    {B}\nparent C\nkind other\n{B}\n{C\nprivacy https://\n[]";
        let (part, errors) = Part::parse(text);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(errors.join("\n"), @r"
        line 1: this line stands before the first `[product]` or `{company}`
        line 2: `A` has no company or no kind
        line 3: `nonsense` is not a kind of tracker; expected one of conversion-pixel, email-open-pixel, web-analytics, session-replay, advertising-exchange, mobile-sdk, smart-tv-telemetry, device-telemetry, other
        line 4: `a..b`: a label is empty or longer than 63 octets
        line 5: `what` is none of company, parent, kind, reports, privacy, pixel, links, shared
        line 8: this word has been said already for the product or company
        line 11: `b.example` stands in the catalogue already
        line 12: expected a word and a value
        line 13: `http://b.example/` is not the address of a page; expected one that begins with `https://`
        line 16: `kind` is none of parent, privacy, which a company has
        line 17: the company `B` stands in the catalogue already
        line 18: a product stands between `[` and `]`, a company between `{` and `}`
        line 20: expected a word and a value
        ");
        assert_eq!((part.names(), part.products(), part.companies()), (1, 1, 1));
    }

    #[test]
    fn only_a_page_that_a_browser_may_be_led_to_is_one() {
        for good in ["https://a.example", "https://a.example/privacy?b=c#d", "https://www.a.example/en-US/"] {
            assert!(is_https(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///a",
            "https://localhost/",
            "https://me@a.example/",
            "https://a.example:99/",
            "http://a.example/",
            "javascript:alert(1)",
            "https://a.example/\"onload=x",
            "https://a.example/a b",
            "https://ä.example/",
        ] {
            assert!(!is_https(bad), "{bad}");
        }
        assert!(!is_https(&format!("https://a.example/{}", "a".repeat(URL_LEN_MAX))));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text: String) {
            Part::parse(&text);
        }
    }
}
