//! Which product and company a name belongs to.
//!
//! A catalogue is a text that people review (`blocklists/trackers.txt`; its format is told in `blocklists/README.md`).
//! Several are put together: the person's own, the built-in one, and public ones that the person had downloaded
//! (`public`), the former stronger than the latter. They name trackers and grade their names; they never know who asked
//! for them. A name that none of them has belongs to its registrable domain (Public Suffix List).

mod doh;
mod kind;
mod live;
mod part;
mod public;

pub use self::doh::{doh_hosts, is_doh_host};
pub use self::kind::{Kind, Level};
pub use self::live::LiveCatalogue;
pub use self::part::{CatalogueError, Company, Part, Problem};
pub use self::public::{PublicCatalogue, PublicError};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::name::{DomainName, NameRef, suffix};

/// The catalogue that is built in.
pub const BUILT_IN: &str = include_str!("../../blocklists/trackers.txt");

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
    /// Where the company tells what it does with data, or how to object: an `https` address.
    pub privacy: Option<String>,
}

/// One name of a catalogue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The name.
    pub name: DomainName,
    /// Whether it stands for that name only; otherwise for everything below it too.
    pub exact: bool,
    /// What else the name is used for.
    pub level: Level,
    /// Its line in the text, from 1; 0 in a catalogue that has no lines.
    pub line: u32,
    /// Whose it is: an index into [`Catalogue::trackers`].
    pub tracker: usize,
}

impl Entry {
    /// Whether a person judged its level. Public catalogues have no levels; their names count as shared.
    pub const fn is_graded(&self) -> bool {
        self.line != 0
    }
}

/// Names and the trackers that they belong to.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    trackers: Vec<Arc<Tracker>>,
    entries: Vec<Entry>,
    /// For each part, the strongest first: where a name stands in `entries`.
    layers: Vec<HashMap<DomainName, usize>>,
    generation: u64,
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
    /// Reads a text that is all of the catalogue. Lines that can't be read are left out and told.
    pub fn parse(text: &str) -> (Self, Vec<CatalogueError>) {
        let (part, errors) = Part::parse(text);
        (Self::new(&[&part], &[]), errors)
    }

    /// Puts catalogues together: those that people wrote, the strongest first, then public ones.
    ///
    /// A name belongs to the first part that covers it, and there to its most specific entry. What a stronger part says
    /// of a product or company counts for the names of weaker ones too; public ones only add what nobody has said. A
    /// company of a public one that goes by another name is known by its domains.
    pub fn new(written: &[&Part], public: &[&Part]) -> Self {
        let mut joined = Joined::default();
        for part in written {
            for (name, facts) in &part.companies {
                joined.companies.entry(key(name)).or_insert_with(|| facts.clone());
            }
        }
        written.iter().for_each(|part| joined.add_written(part));
        let owners = joined.owners();
        for part in public {
            for (name, Company { parent, privacy }) in &part.companies {
                let known = joined.companies.entry(key(name)).or_default();
                known.parent = known.parent.take().or_else(|| parent.clone());
                known.privacy = known.privacy.take().or_else(|| privacy.clone());
            }
            joined.add_public(part, &owners);
        }
        joined.finish()
    }

    /// All trackers.
    pub fn trackers(&self) -> &[Arc<Tracker>] {
        &self.trackers
    }

    /// All names, part by part in the order of the text.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Which one it is since the start, so that what was found in it can be remembered.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whose `name` is: the most specific entry that covers it decides, in the first part that has one.
    pub fn attribute(&self, name: NameRef<'_>) -> Attribution {
        let covering = self.layers.iter().find_map(|layer| {
            name.ancestors().find_map(|ancestor| {
                let entry = self.entries.get(*layer.get(ancestor.as_wire())?)?;
                (!entry.exact || ancestor == name).then_some(entry)
            })
        });
        match covering.and_then(|entry| self.trackers.get(entry.tracker)) {
            Some(tracker) => Attribution::Tracker(Arc::clone(tracker)),
            None => Attribution::Domain(registrable_domain(name)),
        }
    }
}

/// The registrable domain of `name`, or `name` itself where it has none.
pub fn registrable_domain(name: NameRef<'_>) -> DomainName {
    suffix::registrable_domain(name).unwrap_or(name).to_owned()
}

/// By what products and companies are the same, however they are written.
fn key(name: &str) -> String {
    name.to_lowercase()
}

/// Which company has all known names of a registrable domain; `None` where several share it.
type Owners = HashMap<DomainName, Option<String>>;

/// A catalogue while it is being put together.
#[derive(Default)]
struct Joined {
    trackers: Vec<Tracker>,
    companies: HashMap<String, Company>,
    entries: Vec<Entry>,
    layers: Vec<HashMap<DomainName, usize>>,
}

impl Joined {
    /// Adds a part that a person wrote. A product that a stronger part has as well is what that part says of it.
    fn add_written(&mut self, part: &Part) {
        let mut stronger: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, tracker) in self.trackers.iter().enumerate() {
            stronger.entry(key(&tracker.product)).or_default().push(index);
        }
        let own: HashSet<(String, Kind)> =
            part.products.iter().map(|product| (key(&product.product), product.kind)).collect();
        let mut places = Vec::with_capacity(part.products.len());
        for product in &part.products {
            let name = key(&product.product);
            let said = stronger.get(&name).and_then(|said| {
                let kind = |index: &&usize| self.trackers.get(**index).map(|tracker| tracker.kind);
                // Products of one name are told apart by their kinds; a kind that the part has not corrects another.
                let same = said.iter().find(|index| kind(index) == Some(product.kind));
                same.or_else(|| {
                    said.iter()
                        .find(|index| kind(index).is_some_and(|kind| !own.contains(&(name.clone(), kind))))
                })
            });
            places.push(match said {
                Some(index) => *index,
                None => self.add_tracker(product.clone()),
            });
        }
        self.add_entries(part, &places);
    }

    /// Adds a public part. Its products are those of stronger parts where product and company are the same.
    fn add_public(&mut self, part: &Part, owners: &Owners) {
        let aliases = self.aliases(part, owners);
        let mut known: HashMap<(String, String), usize> = HashMap::new();
        for (index, tracker) in self.trackers.iter().enumerate() {
            known.entry((key(&tracker.product), key(&tracker.company))).or_insert(index);
        }
        let mut places = Vec::with_capacity(part.products.len());
        for product in &part.products {
            let company = aliases.get(&key(&product.company)).unwrap_or(&product.company).clone();
            let same = known.get(&(key(&product.product), key(&company))).copied();
            places.push(match same {
                Some(index) => index,
                None => self.add_tracker(Tracker { company, ..product.clone() }),
            });
        }
        self.add_entries(part, &places);
    }

    fn add_tracker(&mut self, tracker: Tracker) -> usize {
        self.trackers.push(tracker);
        self.trackers.len() - 1
    }

    fn add_entries(&mut self, part: &Part, places: &[usize]) {
        let mut layer = HashMap::with_capacity(part.entries.len());
        for entry in &part.entries {
            let Some(tracker) = places.get(entry.tracker) else { continue };
            layer.entry(entry.name.clone()).or_insert(self.entries.len());
            self.entries.push(Entry { tracker: *tracker, ..entry.clone() });
        }
        self.layers.push(layer);
    }

    /// Who has which domain, by all names so far.
    fn owners(&self) -> Owners {
        let mut owners = Owners::new();
        for entry in &self.entries {
            let Some(tracker) = self.trackers.get(entry.tracker) else { continue };
            let owner = owners
                .entry(registrable_domain(entry.name.as_ref()))
                .or_insert_with(|| Some(tracker.company.clone()));
            if owner.as_ref().is_some_and(|owner| *owner != tracker.company) {
                *owner = None;
            }
        }
        owners
    }

    /// What companies of a public part are called here: the same written in another way, or whoever is
    /// known to have most of their domains. One domain of many proves nothing.
    fn aliases(&self, part: &Part, owners: &Owners) -> HashMap<String, String> {
        let mut aliases: HashMap<String, String> =
            self.trackers.iter().map(|tracker| (key(&tracker.company), tracker.company.clone())).collect();
        let mut votes: HashMap<String, (usize, HashMap<&str, usize>)> = HashMap::new();
        for entry in &part.entries {
            let company = part.products.get(entry.tracker).map(|product| key(&product.company));
            let Some(company) = company.filter(|company| !aliases.contains_key(company)) else { continue };
            let (all, votes) = votes.entry(company).or_default();
            *all += 1;
            if let Some(Some(owner)) = owners.get(&registrable_domain(entry.name.as_ref())) {
                *votes.entry(owner).or_default() += 1;
            }
        }
        for (company, (all, votes)) in votes {
            let most = votes.into_iter().find(|(_, votes)| all < votes * 2);
            if let Some((owner, _)) = most {
                aliases.insert(company, owner.to_owned());
            }
        }
        aliases
    }

    /// Lets products inherit what their companies say.
    fn finish(self) -> Catalogue {
        let Self { trackers, companies, entries, layers } = self;
        let inherit = |mut tracker: Tracker| {
            if let Some(Company { parent, privacy }) = companies.get(&key(&tracker.company)) {
                tracker.parent = tracker.parent.take().or_else(|| parent.clone());
                tracker.privacy = tracker.privacy.take().or_else(|| privacy.clone());
            }
            Arc::new(tracker)
        };
        let trackers = trackers.into_iter().map(inherit).collect();
        Catalogue { trackers, entries, layers, generation: 0 }
    }
}

#[cfg(test)]
mod tests {
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

{Meta}
privacy https://meta.example/privacy#choices

{Mailer}
parent  Another
";

    fn part(text: &str) -> Part {
        let (part, errors) = Part::parse(text);
        assert_eq!(errors, []);
        part
    }

    fn shown(catalogue: &Catalogue, name: &str) -> String {
        let name = DomainName::parse(name).unwrap();
        match catalogue.attribute(name.as_ref()) {
            Attribution::Tracker(tracker) => {
                let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
                let (parent, privacy) = (or_none(&tracker.parent), or_none(&tracker.privacy));
                format!("{} of {}, {parent}, {privacy}", tracker.product, tracker.company)
            }
            Attribution::Domain(domain) => domain.to_string(),
        }
    }

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(shown(&Catalogue::new(&[&part(TEXT)], &[]), name), expected);
    }

    #[test]
    fn a_name_belongs_to_its_most_specific_entry() {
        let pixel = "Meta Pixel of Meta, -, https://meta.example/privacy#choices";
        check("pixel.meta.example", pixel);
        check("a.pixel.meta.example", pixel);
        check("connect.meta.example", pixel);
        check("a.connect.meta.example", "meta.example");
        check("x.y.shop.co.uk", "shop.co.uk");
        check("co.uk", "co.uk");
        check("t.mailer.example", "Opens of Mailer, Group, -");
    }

    #[test]
    fn every_entry_keeps_its_line_and_level() {
        let (catalogue, _) = Catalogue::parse(TEXT);
        let lines: Vec<_> = catalogue.entries().iter().map(|entry| (entry.line, entry.level)).collect();
        assert_eq!(lines, [(6, Level::Pixel), (7, Level::Shared), (13, Level::Links)]);
    }

    #[test]
    fn the_stronger_part_wins_and_the_rest_stays() {
        let own = "[Meta Pixel]\ncompany Facebook\nkind session-replay\npixel own.example\n\
                   [Mine]\ncompany Me\nkind other\npixel meta.example\n{Mailer}\nprivacy https://mailer.example/";
        let catalogue = Catalogue::new(&[&part(own), &part(TEXT)], &[]);
        let check = |name, expected: &str| assert_eq!(shown(&catalogue, name), expected);
        check("own.example", "Meta Pixel of Facebook, -, -");
        // A wider name of the person's own covers narrower ones that are built in.
        check("pixel.meta.example", "Mine of Me, -, -");
        check("t.mailer.example", "Opens of Mailer, Group, https://mailer.example/");
        let facts = "[Meta Pixel]\ncompany Facebook\nkind session-replay";
        let catalogue = Catalogue::new(&[&part(facts), &part(TEXT)], &[]);
        assert_eq!(shown(&catalogue, "pixel.meta.example"), "Meta Pixel of Facebook, -, -");
    }

    #[test]
    fn products_of_one_name_are_told_apart_by_their_kinds() {
        let built_in =
            "[A]\ncompany A\nkind other\npixel a.example\n[A]\ncompany A\nkind mobile-sdk\npixel b.example";
        let own = "[A]\ncompany Own\nkind mobile-sdk";
        let catalogue = Catalogue::new(&[&part(own), &part(built_in)], &[]);
        assert_eq!(shown(&catalogue, "a.example"), "A of A, -, -");
        assert_eq!(shown(&catalogue, "b.example"), "A of Own, -, -");
    }

    #[test]
    fn a_public_part_only_adds() {
        let public = "[meta pixel]\ncompany Facebook, Inc.\nkind other\npixel pixel.meta.example\npixel x.meta.example\n\
                      pixel facebook.example\n[Other]\ncompany Stranger\nkind other\npixel other.example\n\
                      pixel stranger.example\npixel y.meta.example\n\
                      {Stranger}\nparent Nobody\n{Meta}\nprivacy https://other.example/\nparent Holding";
        let catalogue = Catalogue::new(&[&part(TEXT)], &[&part(public)]);
        let check = |name, expected: &str| assert_eq!(shown(&catalogue, name), expected);
        let page = "https://meta.example/privacy#choices";
        check("pixel.meta.example", &format!("Meta Pixel of Meta, Holding, {page}"));
        check("facebook.example", &format!("Meta Pixel of Meta, Holding, {page}"));
        // Of Stranger's domains one is known to be Meta's, which is not most of them.
        check("a.other.example", "Other of Stranger, Nobody, -");
        check("y.meta.example", "Other of Stranger, Nobody, -");
    }
}
