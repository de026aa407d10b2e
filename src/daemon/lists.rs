//! What a person wishes of the lists, granted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::running::{Running, refused};
use crate::command::{Done, NewList, Refused};
use crate::config::{AddedList, AddedLists, BUILT_IN_LIST, Config, DOH_LIST};
use crate::feed::{self, KnownLists, SourceOptions, SourceStatus};

/// The lists that were added, and the file that keeps them.
#[derive(Default)]
pub(super) struct Added {
    /// `None`: they live in memory.
    path: Option<PathBuf>,
    lists: AddedLists,
    problem: Option<String>,
}

impl Added {
    /// Reads the file; where it is broken, the copy of what it last said.
    pub(super) fn open(data_dir: Option<&Path>) -> Self {
        let path = data_dir.map(|data_dir| data_dir.join("lists.toml"));
        let mut added = Self { path, ..Self::default() };
        added.look();
        if let (Some(path), Some(_)) = (&added.path, &added.problem) {
            let last = std::fs::read_to_string(feed::last_good(path)).ok();
            if let Some(last) = last.and_then(|text| AddedLists::parse(&text, path).ok()) {
                added.lists = last;
            }
        }
        added
    }

    /// Reads the file anew. One that is broken changes nothing.
    pub(super) fn look(&mut self) {
        let Some(path) = &self.path else { return };
        let read = match std::fs::read_to_string(path) {
            Ok(text) => AddedLists::parse(&text, path).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(AddedLists::default()),
            Err(error) => Err(format!("{} can't be read: {error}", path.display())),
        };
        match read {
            Ok(lists) => (self.lists, self.problem) = (lists, None),
            Err(problem) => {
                warn!(%problem, "the added lists could not be read; what the file said before stays in force");
                self.problem = Some(format!(
                    "{problem}. What the file said of added lists before stays in force; mend it and reload."
                ));
            }
        }
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.problem.clone()
    }

    /// The lists of the configuration and those that were added; a name that the configuration has is its own.
    pub(super) fn with_configured(&self, config: &Config) -> Vec<SourceOptions> {
        let is_taken = |added: &&SourceOptions| config.lists.iter().any(|list| list.name == added.name);
        let added = self.lists.lists().iter().filter(|list| !is_taken(list));
        config.lists.iter().chain(added).cloned().collect()
    }

    fn file(&self) -> &Path {
        self.path.as_deref().unwrap_or_else(|| Path::new("lists.toml"))
    }

    /// A person may have edited the file: their words are read, and are never written over.
    fn look_before_writing(&mut self) -> Result<(), Refused> {
        self.look();
        match &self.problem {
            None => Ok(()),
            Some(problem) => Err(Refused::Failed(format!("{problem} Nothing was changed."))),
        }
    }

    fn save(&mut self, lists: AddedLists) -> Result<(), Refused> {
        if let Some(path) = &self.path {
            feed::replace_file(path, lists.text().as_bytes()).map_err(|error| {
                Refused::Failed(format!(
                    "{} could not be written ({error}); make room, or let the daemon write there. Nothing was changed.",
                    path.display()
                ))
            })?;
            // For a restart after the file was broken; without it the file itself still serves.
            let _ = feed::replace_file(&feed::last_good(path), lists.text().as_bytes());
        }
        self.lists = lists;
        Ok(())
    }
}

impl Running {
    pub(super) async fn add_lists(&self, wish: &NewList) -> Result<Done, Refused> {
        let config = self.config.lock().await;
        let mut added = self.added.lock().await;
        added.look_before_writing()?;
        let taken: Vec<Arc<str>> = added.with_configured(&config).into_iter().map(|list| list.name).collect();
        let wanted = wanted(wish)?;
        let is_new = |list: &&AddedList| !taken.iter().any(|name| **name == *list.name);
        let new: Vec<&AddedList> = wanted.iter().filter(is_new).collect();
        let names = new.iter().map(|list| format!("`{}`", list.name)).collect::<Vec<_>>().join(", ");
        match (new.as_slice(), wanted.as_slice()) {
            ([], [list]) => {
                return Err(Refused::Failed(format!(
                    "There is a list named `{}` already; give this one another name with --name.",
                    list.name
                )));
            }
            ([], _) => return Ok(Done("All of its lists are there already.".to_owned())),
            _ => {}
        }
        let mut lists = added.lists.clone();
        for list in &new {
            lists = lists.with(list, added.file()).map_err(|error| {
                let problems = error.problems.iter().map(|problem| problem.message.clone());
                Refused::Failed(format!("This can't be a list: {}.", problems.collect::<Vec<_>>().join("; ")))
            })?;
        }
        added.save(lists)?;
        self.reconfigure_feed(&config, &added).await;
        Ok(Done(match new.as_slice() {
            [_] => format!("{names} was added and is being fetched; `pixelsink lists` shows how it is."),
            _ => format!("{names} were added and are being fetched; `pixelsink lists` shows how they are."),
        }))
    }

    pub(super) async fn remove_list(&self, name: &str) -> Result<Done, Refused> {
        let config = self.config.lock().await;
        let mut added = self.added.lock().await;
        added.look_before_writing()?;
        let Some(without) = added.lists.without(name, added.file()) else {
            let file = config.own_rules_name();
            return Err(if config.lists.iter().any(|list| *list.name == *name) {
                Refused::Failed(format!("`{name}` stands in {file}; take it out there and reload."))
            } else if name == BUILT_IN_LIST {
                Refused::Failed(format!(
                    "`{name}` is built in; write `levels = []` under [builtin] in {file}."
                ))
            } else if name == DOH_LIST {
                Refused::Failed(format!(
                    "`{name}` is built in; write `doh_hosts = false` under [bypass] in {file}."
                ))
            } else {
                Refused::Unknown(format!("There is no list named `{name}`."))
            });
        };
        added.save(without.map_err(|error| Refused::Failed(error.to_string()))?)?;
        self.reconfigure_feed(&config, &added).await;
        Ok(Done(format!("`{name}` was removed. What was kept of it stays on the disk for 30 days.")))
    }

    pub(super) async fn accept_list(&self, list: &str) -> Result<Done, Refused> {
        let status = self.feed.status().into_iter().find(|status| *status.options.name == *list);
        let held_back = status.map_or(0, |status| status.quarantined_total);
        let status = self.feed.accept(list).await.map_err(|error| match refused(error) {
            Refused::Unknown(message) if 0 < held_back => Refused::Unknown(format!(
                "{message}; {held_back} of its rules are held back: accept one with `pixelsink lists accept {list} RULE`, or \
                 all with --all-rules"
            )),
            other => other,
        })?;
        Ok(Done(format!("The newer text of `{list}` was accepted: {} rules are in force.", status.rules)))
    }

    pub(super) async fn accept_rules(&self, list: &str, rule: Option<&str>) -> Result<Done, Refused> {
        match rule {
            Some(rule) => {
                self.feed.accept_rule(list, rule).await.map_err(refused)?;
                Ok(Done(format!("The rule {rule} of `{list}` was accepted and is in force.")))
            }
            None => {
                self.feed.accept_rules(list).await.map_err(refused)?;
                Ok(Done(format!("All rules of `{list}` were accepted, those that it will have too.")))
            }
        }
    }

    pub(super) async fn roll_back(&self, list: &str, revision: Option<&str>) -> Result<Done, Refused> {
        let status = self.feed.rollback(list, revision).await.map_err(refused)?;
        Ok(Done(format!(
            "`{list}` is held at its revision of {} with {} rules. `pixelsink lists follow {list}` lets it change again.",
            of(&status),
            status.rules
        )))
    }

    pub(super) async fn follow(&self, list: &str) -> Result<Done, Refused> {
        let status = self.feed.follow(list).await.map_err(refused)?;
        Ok(Done(format!("`{list}` follows its source again; its revision of {} is in force.", of(&status))))
    }
}

fn of(status: &SourceStatus) -> String {
    status.revision.map_or_else(|| "no date".to_owned(), |fetched| format!("{fetched:.0}"))
}

/// The lists that are meant: well-known ones, one at an address, or a file.
fn wanted(wish: &NewList) -> Result<Vec<AddedList>, Refused> {
    let NewList { what, name, kind, format, subdomains } = wish;
    let is_url = what.contains("://");
    if is_url || what.starts_with('/') {
        let own_name = what.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
        let own_name = own_name.split(['?', '#']).next().unwrap_or_default();
        let name = name.clone().unwrap_or_else(|| own_name.trim_end_matches(".txt").to_owned());
        let (kind, format, subdomains) = (kind.clone(), format.clone(), *subdomains);
        let urls = if is_url { vec![what.clone()] } else { Vec::new() };
        let path = (!is_url).then(|| what.clone());
        return Ok(vec![AddedList { name, urls, path, kind, format, subdomains }]);
    }
    let known = KnownLists::bundled();
    let found = known.find(what);
    if found.is_empty() {
        return Err(Refused::Unknown(format!(
            "`{what}` is no well-known list; `pixelsink lists known` shows them. Or give a URL or the path of a file."
        )));
    }
    if 1 < found.len() && name.is_some() {
        return Err(Refused::Failed(format!("`{what}` is several lists, which can't have one name.")));
    }
    let added = found.into_iter().map(|list| AddedList {
        name: name.clone().unwrap_or_else(|| list.name.clone()),
        urls: list.urls.clone(),
        path: None,
        kind: Some(kind.clone().unwrap_or_else(|| list.kind.clone())),
        format: Some(format.clone().unwrap_or_else(|| list.format.clone())),
        subdomains: Some(subdomains.unwrap_or(list.subdomains)),
    });
    Ok(added.collect())
}
