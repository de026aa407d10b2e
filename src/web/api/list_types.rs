//! What the API says and takes about the revisions of lists and about lists that may be added.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{Who, timestamp};
use crate::command;
use crate::feed;
use crate::web::without::{self, Sum};

/// How far a download has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Progress {
    /// What has come, in octets.
    pub received: u64,
    /// What will come in all, when the server said so.
    pub expected: Option<u64>,
}

impl From<feed::Progress> for Progress {
    fn from(progress: feed::Progress) -> Self {
        let feed::Progress { received, expected } = progress;
        Self { received, expected }
    }
}

/// A kept revision of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Revision {
    /// What it is called by.
    pub id: String,
    /// When it was fetched or saved.
    pub fetched: String,
    /// How many rules it has; null when its lines were read in another way.
    pub rules: Option<u64>,
    /// How long its text is, in octets.
    pub size: u64,
    /// Where it came from, without what is secret in it.
    pub url: String,
    /// `in-force`, `kept`, or `waiting` for the person's word.
    pub state: RevisionState,
}

/// What becomes of a revision.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionState {
    /// It is in force.
    InForce,
    /// It may be put in force.
    Kept,
    /// It is not put in force unless the person accepts it.
    Waiting,
}

impl From<&feed::RevisionStatus> for Revision {
    fn from(status: &feed::RevisionStatus) -> Self {
        let feed::RevisionStatus { id, fetched, rules, size, url, state } = status;
        let state = match state {
            feed::RevisionState::InForce => RevisionState::InForce,
            feed::RevisionState::Kept => RevisionState::Kept,
            feed::RevisionState::Waiting => RevisionState::Waiting,
        };
        Self {
            id: id.clone(),
            fetched: timestamp(*fetched),
            rules: *rules,
            size: *size,
            url: url.clone(),
            state,
        }
    }
}

/// A newer text of a list that waits for the person's word.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Waiting {
    /// What it is called by.
    pub id: String,
    /// When it was fetched.
    pub fetched: String,
    /// How many rules it has.
    pub rules: u64,
    /// Why it waits, in a sentence.
    pub reason: String,
}

impl From<&feed::Waiting> for Waiting {
    fn from(waiting: &feed::Waiting) -> Self {
        let feed::Waiting { id, fetched, rules, reason } = waiting;
        Self { id: id.clone(), fetched: timestamp(*fetched), rules: *rules, reason: reason.clone() }
    }
}

/// A rule of a list that waits for the person's word.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct QuarantinedRule {
    /// The rule in its shortest form.
    pub rule: String,
    /// Its line in the list, from 1.
    pub line: u32,
    /// Why it waits.
    pub reason: String,
}

impl From<&feed::QuarantinedRule> for QuarantinedRule {
    fn from(held: &feed::QuarantinedRule) -> Self {
        Self { rule: held.rule.clone(), line: held.line, reason: held.reason.to_string() }
    }
}

/// What came and went between two revisions of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Diff {
    /// The older one.
    pub from: Revision,
    /// The newer one.
    pub to: Revision,
    /// Rules that only the newer one has: the first of them.
    pub came: Vec<DiffRule>,
    /// How many of those there are.
    pub came_total: u64,
    /// Rules that only the older one has: the first of them.
    pub went: Vec<DiffRule>,
    /// How many of those there are.
    pub went_total: u64,
}

/// A rule that only one of two revisions has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DiffRule {
    /// The rule in its shortest form.
    pub rule: String,
    /// Its line in the revision that has it, from 1.
    pub line: u32,
}

impl From<&feed::Diff> for Diff {
    fn from(diff: &feed::Diff) -> Self {
        let rules = |rules: &[feed::DiffRule]| {
            rules.iter().map(|told| DiffRule { rule: told.rule.clone(), line: told.line }).collect()
        };
        Self {
            from: (&diff.from).into(),
            to: (&diff.to).into(),
            came: rules(&diff.came),
            came_total: diff.came_total,
            went: rules(&diff.went),
            went_total: diff.went_total,
        }
    }
}

/// Well-known lists.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct KnownLists {
    /// Lists that go well together; adding one adds its lists.
    pub choices: Vec<Choice>,
    /// The lists.
    pub lists: Vec<KnownList>,
}

/// Lists that go well together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Choice {
    /// By which name it is added.
    pub name: String,
    /// For whom it is.
    pub about: String,
    /// The names of its lists.
    pub lists: Vec<String>,
}

/// A well-known list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct KnownList {
    /// By which name it is added.
    pub name: String,
    /// What its author calls it.
    pub title: String,
    /// What it is for.
    pub about: String,
    /// Its syntax.
    pub format: String,
    /// `block`, `allow` or `cname`.
    pub kind: String,
    /// Its licence as an SPDX expression, or `unknown`.
    pub licence: String,
    /// Where to read about it.
    pub homepage: String,
    /// `small`, `medium`, `large` or `huge`.
    pub size: String,
    /// `mild`, `normal`, `strict` or `special`.
    pub level: String,
}

impl From<&feed::KnownList> for KnownList {
    fn from(list: &feed::KnownList) -> Self {
        Self {
            name: list.name.clone(),
            title: list.title.clone(),
            about: list.about.clone(),
            format: list.format.clone(),
            kind: list.kind.clone(),
            licence: list.licence.clone(),
            homepage: list.homepage.clone(),
            size: list.size.clone(),
            level: list.level.clone(),
        }
    }
}

impl KnownLists {
    /// Those that a word is about, or all.
    pub(super) fn about(word: Option<&str>) -> Self {
        let known = feed::KnownLists::bundled();
        let choice = |choice: &feed::Choice| Choice {
            name: choice.name.clone(),
            about: choice.about.clone(),
            lists: choice.lists.clone(),
        };
        match word {
            Some(word) => Self {
                choices: Vec::new(),
                lists: known.with_word(word).into_iter().map(Into::into).collect(),
            },
            None => Self {
                choices: known.choices.iter().map(choice).collect(),
                lists: known.lists.iter().map(Into::into).collect(),
            },
        }
    }
}

/// A list to be added.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct NewList {
    /// The name of a well-known list or choice, a URL, or the absolute path of a file.
    pub what: String,
    /// What it is to be called.
    #[serde(default)]
    pub name: Option<String>,
    /// `block`, `allow` or `cname`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Its syntax.
    #[serde(default)]
    pub format: Option<String>,
    /// Whether plain names cover what is below them.
    #[serde(default)]
    pub subdomains: Option<bool>,
}

impl From<NewList> for command::NewList {
    fn from(list: NewList) -> Self {
        let NewList { what, name, kind, format, subdomains } = list;
        Self { what, name, kind, format, subdomains }
    }
}

/// To which revision of a list to return.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RollbackWish {
    /// The list.
    pub list: String,
    /// The revision; the one before the present one when left out.
    #[serde(default)]
    pub revision: Option<String>,
}

/// Which list is meant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ListWish {
    /// Its name.
    pub list: String,
}

/// What of a list is accepted: the newer text that waits, a rule that is held back, or all of those.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct AcceptWish {
    /// The list.
    pub list: String,
    /// The rule, as it is shown.
    #[serde(default)]
    pub rule: Option<String>,
    /// All rules, those that the list will have too.
    #[serde(default)]
    pub all_rules: bool,
}

/// What one list is good for: of the names that were blocked in the last seven days, what its rules speak of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ListWithout {
    /// All that would be blocked now.
    pub blocked: NamesAndHits,
    /// What would pass without the list.
    pub alone: NamesAndHits,
    /// What others block as well.
    pub shared: NamesAndHits,
    /// What would pass, those with the most hits first; at most 1,000.
    pub names: Vec<NameWithout>,
    /// Whether there were more names than the 10,000 with the most hits, which are looked at.
    pub is_cut: bool,
}

/// How many names, and how often they were blocked.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct NamesAndHits {
    /// How many names.
    pub names: u64,
    /// How often they were blocked.
    pub hits: u64,
}

/// A name that would pass without a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct NameWithout {
    /// The name.
    pub name: String,
    /// The tracker's name that hid behind it.
    pub behind: Option<String>,
    /// Whose it is.
    pub who: Who,
    /// How often it was blocked.
    pub hits: u64,
}

/// Names of a list without which they would pass, in an answer.
const NAMES_WITHOUT_MAX: usize = 1_000;

impl From<Sum> for NamesAndHits {
    fn from(Sum { names, hits }: Sum) -> Self {
        Self { names, hits }
    }
}

impl From<&without::WithoutList> for ListWithout {
    fn from(without: &without::WithoutList) -> Self {
        let name = |count: &crate::history::NameCount| NameWithout {
            name: count.name.to_string(),
            behind: count.behind.as_ref().map(ToString::to_string),
            who: (&count.attribution).into(),
            hits: count.totals.hits,
        };
        Self {
            blocked: without.blocked.into(),
            alone: without.alone.into(),
            shared: without.shared.into(),
            names: without.names.iter().take(NAMES_WITHOUT_MAX).map(name).collect(),
            is_cut: without.is_cut,
        }
    }
}
