//! Well-known lists by name: `blocklists/known-lists.toml`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

const BUNDLED: &str = include_str!("../../blocklists/known-lists.toml");

/// All of them.
#[derive(Clone, Debug, Deserialize)]
pub struct KnownLists {
    /// Each list once.
    #[serde(rename = "list")]
    pub lists: Vec<KnownList>,
    /// Lists that go well together.
    #[serde(rename = "choice", default)]
    pub choices: Vec<Choice>,
}

/// One list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct KnownList {
    /// The word that a person types.
    pub name: String,
    /// What its author calls it.
    pub title: String,
    /// What it is for.
    pub about: String,
    /// Where it is; the first is asked first.
    pub urls: Vec<String>,
    /// Its syntax.
    pub format: String,
    /// `block`, `allow` or `cname`.
    pub kind: String,
    /// Whether plain names cover what is below them.
    #[serde(default)]
    pub subdomains: bool,
    /// An SPDX expression, or `unknown`.
    pub licence: String,
    /// Where to read about it.
    pub homepage: String,
    /// `small`, `medium`, `large` or `huge`.
    pub size: String,
    /// `mild`, `normal`, `strict` or `special`.
    pub level: String,
}

/// Lists that go well together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Choice {
    /// The word that a person types.
    pub name: String,
    /// For whom it is.
    pub about: String,
    /// The names of its lists.
    pub lists: Vec<String>,
}

impl KnownLists {
    /// Those that this program knows. Empty only when the bundled file is wrong, which a test rules out.
    pub fn bundled() -> Self {
        toml::from_str(BUNDLED).unwrap_or(Self { lists: Vec::new(), choices: Vec::new() })
    }

    /// The list of this name, or the lists of the choice of this name; empty when there is neither.
    pub fn find(&self, name: &str) -> Vec<&KnownList> {
        let is_named = |name: &str| self.lists.iter().find(|list| list.name == name);
        match self.choices.iter().find(|choice| choice.name == name) {
            Some(choice) => choice.lists.iter().filter_map(|name| is_named(name)).collect(),
            None => is_named(name).into_iter().collect(),
        }
    }

    /// Those of whose name, title, purpose or level a word is part.
    pub fn with_word(&self, word: &str) -> Vec<&KnownList> {
        let word = word.to_lowercase();
        let has = |list: &&KnownList| {
            [&list.name, &list.title, &list.about, &list.level]
                .iter()
                .any(|text| text.to_lowercase().contains(&word))
        };
        self.lists.iter().filter(has).collect()
    }
}

/// The well-known list that comes from this address.
pub(super) fn known_at(url: &str) -> Option<&'static KnownList> {
    static BY_URL: LazyLock<HashMap<String, KnownList>> = LazyLock::new(|| {
        let lists = KnownLists::bundled().lists.into_iter();
        lists.flat_map(|list| list.urls.clone().into_iter().map(move |url| (url, list.clone()))).collect()
    });
    BY_URL.get(url)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::feed::SourceKind;

    #[test]
    fn what_is_bundled_can_be_added() {
        let known: KnownLists = toml::from_str(BUNDLED).unwrap();
        let names =
            known.lists.iter().map(|list| &list.name).chain(known.choices.iter().map(|choice| &choice.name));
        let names: Vec<_> = names.collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name is there twice");
        for list in &known.lists {
            assert!(list.kind.parse::<SourceKind>().is_ok(), "{}", list.name);
            assert!(
                !list.urls.is_empty() && list.urls.iter().all(|url| url.starts_with("https://")),
                "{}",
                list.name
            );
        }
        for choice in &known.choices {
            assert_eq!(known.find(&choice.name).len(), choice.lists.len(), "{}", choice.name);
        }
        assert_eq!(known.find("easyprivacy").len(), 1);
        assert!(known.find("nothing").is_empty());
        assert!(known.with_word("EasyPrivacy").iter().any(|list| list.name == "easyprivacy"));
    }
}
