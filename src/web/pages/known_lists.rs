//! `/known-lists`: a form to add a list of one's own, and the well-known lists, which are added by a button.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::{Page, page};
use crate::feed::{Choice, KnownList, KnownLists, SourceStatus};
use crate::list::Format;
use crate::web::Web;
use crate::web::format;
use crate::web::view::{Frame, ListButton, Tab};

/// How many words of a search are looked at.
const WORDS_MAX: usize = 8;

/// The levels in the order in which they are shown, and what they mean for a home.
const LEVELS: [(&str, &str, &str); 4] = [
    ("mild", "Mild", "hardly ever breaks a site"),
    ("normal", "Normal", "now and then a name has to be allowed"),
    ("strict", "Strict", "breaks some sites and apps"),
    ("special", "For a purpose", "one maker’s devices, one kind of site"),
];

pub(super) static KNOWN: LazyLock<KnownLists> = LazyLock::new(KnownLists::bundled);

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Words that are to be part of what is shown.
    q: String,
}

#[derive(Template)]
#[template(path = "known_lists.html")]
pub(super) struct KnownListsPage {
    pub(super) frame: Frame,
    pub(super) formats: [&'static str; 9],
    /// What is searched for.
    pub(super) query: String,
    /// `107 lists`.
    pub(super) found: String,
    pub(super) choices: Vec<ChoiceRow>,
    pub(super) levels: Vec<LevelGroup>,
}

/// Lists that go well together.
pub(super) struct ChoiceRow {
    pub(super) name: String,
    pub(super) about: String,
    /// Their names, and whether they are there.
    pub(super) lists: Vec<(String, bool)>,
    /// `None`: all of them are there.
    pub(super) add: Option<ListButton>,
}

/// The lists of one level.
pub(super) struct LevelGroup {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) lists: Vec<KnownRow>,
}

/// One well-known list.
pub(super) struct KnownRow {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) about: String,
    pub(super) kind: Option<&'static str>,
    pub(super) licence: String,
    /// Only what a browser may open.
    pub(super) homepage: Option<String>,
    pub(super) size: &'static str,
    /// The name by which it is there already.
    pub(super) present: Option<String>,
    pub(super) add: Option<ListButton>,
}

/// Which lists are there, by name and by address: who added one by its address has it too.
pub(super) struct Present<'a> {
    names: HashSet<&'a str>,
    urls: Vec<(&'a str, &'a str)>,
}

impl<'a> Present<'a> {
    pub(super) fn new(lists: &'a [SourceStatus]) -> Self {
        let urls = |list: &'a SourceStatus| list.options.urls().map(|url| (url, &*list.options.name));
        Self {
            names: lists.iter().map(|list| &*list.options.name).collect(),
            urls: lists.iter().flat_map(urls).collect(),
        }
    }

    /// The name by which a list is there.
    fn name_of(&self, known: &KnownList) -> Option<&'a str> {
        let by_name = self.names.get(known.name.as_str()).copied();
        let by_url = || self.urls.iter().find(|(url, _)| known.urls.iter().any(|it| it == url));
        by_name.or_else(|| by_url().map(|(_, name)| *name))
    }
}

impl KnownRow {
    pub(super) fn new(known: &KnownList, present: &Present<'_>, back: &str) -> Self {
        let present = present.name_of(known).map(str::to_owned);
        let is_web = known.homepage.starts_with("https://") || known.homepage.starts_with("http://");
        Self {
            kind: match &*known.kind {
                "allow" => Some("allows"),
                "cname" => Some("blocks where answers lead to"),
                _ => None,
            },
            homepage: is_web.then(|| known.homepage.clone()),
            size: match &*known.size {
                "small" => "under 10,000",
                "medium" => "under 100,000",
                "large" => "under 500,000",
                _ => "500,000 or more",
            },
            add: present.is_none().then(|| add(&known.name, back)),
            present,
            name: known.name.clone(),
            title: known.title.clone(),
            about: known.about.clone(),
            licence: match known.licence.strip_prefix("LicenseRef-") {
                Some(own_name) => own_name.replace('-', " "),
                None => known.licence.clone(),
            },
        }
    }
}

impl ChoiceRow {
    pub(super) fn new(choice: &Choice, known: &KnownLists, present: &Present<'_>, back: &str) -> Self {
        let is_there = |name: &str| known.find(name).iter().any(|list| present.name_of(list).is_some());
        let lists: Vec<(String, bool)> =
            choice.lists.iter().map(|name| (name.clone(), is_there(name))).collect();
        Self {
            add: lists.iter().any(|(_, is_there)| !is_there).then(|| add(&choice.name, back)),
            name: choice.name.clone(),
            about: choice.about.clone(),
            lists,
        }
    }
}

fn add(what: &str, back: &str) -> ListButton {
    ListButton { fields: vec![("what", what.to_owned())], ..ListButton::new("add", "Add", what, back) }
}

/// The lists of `known` of which every word of `query` is a part, by level. A level that is not known goes with the special
/// ones.
pub(super) fn grouped(known: &KnownLists, query: &str, present: &Present<'_>, back: &str) -> Vec<LevelGroup> {
    let words = query.split_whitespace().take(WORDS_MAX);
    let mut found: Vec<&KnownList> = known.lists.iter().collect();
    for word in words {
        let with_word: HashSet<&str> = known.with_word(word).iter().map(|list| list.name.as_str()).collect();
        found.retain(|list| with_word.contains(list.name.as_str()));
    }
    let level = |list: &KnownList| LEVELS.iter().position(|(id, ..)| *id == list.level);
    let group = |(index, (id, title, about)): (usize, &(&'static str, &'static str, &'static str))| {
        let of_level = found.iter().filter(|list| level(list).unwrap_or(LEVELS.len() - 1) == index);
        let lists = of_level.map(|list| KnownRow::new(list, present, back)).collect();
        LevelGroup { id, title, about, lists }
    };
    let groups = LEVELS.iter().enumerate().map(group);
    groups.filter(|group| !group.lists.is_empty()).collect()
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let frame = Frame::new(&web, &uri, Tab::Lists);
    let lists = web.parts.feed.status();
    let present = Present::new(&lists);
    let query = asked.q.trim();
    let levels = grouped(&KNOWN, query, &present, &frame.here);
    let found: usize = levels.iter().map(|level| level.lists.len()).sum();
    let choices = KNOWN.choices.iter().filter(|_| query.is_empty());
    page(&KnownListsPage {
        formats: Format::ALL.map(Format::as_str),
        query: query.to_owned(),
        found: format::counted(u64::try_from(found).unwrap_or(u64::MAX), "list", "lists"),
        choices: choices.map(|choice| ChoiceRow::new(choice, &KNOWN, &present, &frame.here)).collect(),
        levels,
        frame,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Origin, SourceOptions};

    #[test]
    fn every_known_list_is_shown_once_and_found_by_words() {
        let names = |query: &str| -> Vec<String> {
            let groups = grouped(&KNOWN, query, &Present::new(&[]), "/");
            groups.into_iter().flat_map(|group| group.lists).map(|list| list.name).collect()
        };
        assert_eq!(names("").len(), KNOWN.lists.len());
        assert!(names("EasyPrivacy").contains(&"easyprivacy".to_owned()));
        assert!(names("trackers EASYPRIVACY browsers").contains(&"easyprivacy".to_owned()));
        assert!(names("easyprivacy no-such-word").is_empty());
    }

    #[test]
    fn what_is_there_is_marked_by_name_or_by_address() {
        let easyprivacy = KNOWN.find("easyprivacy")[0];
        let mut options = SourceOptions::new("mine", Origin::Url("https://lists.example/a".to_owned()));
        options.mirrors = vec![easyprivacy.urls[1].clone()];
        for (options, expected) in [
            (options, Some("mine")),
            (SourceOptions::new("easyprivacy", Origin::Inline("".into())), Some("easyprivacy")),
            (SourceOptions::new("other", Origin::Inline("".into())), None),
        ] {
            let lists = [SourceStatus::new(Arc::new(options))];
            let present = Present::new(&lists);
            let row = KnownRow::new(easyprivacy, &present, "/");
            assert_eq!((row.present.as_deref(), row.add.is_none()), (expected, expected.is_some()));
            let balanced = KNOWN.choices.iter().find(|choice| choice.name == "balanced").unwrap();
            let choice = ChoiceRow::new(balanced, &KNOWN, &present, "/");
            let is_there = choice.lists.iter().find(|(name, _)| name == "easyprivacy").unwrap().1;
            assert_eq!((is_there, choice.add.is_some()), (expected.is_some(), true));
        }
    }
}
