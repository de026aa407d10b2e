//! The person's own rules: those of the configuration and those of the file that the page writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Mark, Replaced};
use super::rules_file::RulesFile;
use super::{FeedError, FeedOptions, OwnChange, OwnRuleStatus};
use crate::list::{Action, OwnRule};
use crate::policy::Rules;
use crate::ruleset::{BuildOptions, Builder, Precedence, Ruleset, SourceId};

/// What explanations call the page's file.
const PAGE: &str = "own rules";
/// A file of rules larger than this was not written by a person, in octets.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// What is shown of the own rules.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnView {
    pub(super) rules: Vec<OwnRuleStatus>,
    pub(super) problem: Option<String>,
}

/// The person's own rules.
#[derive(Clone, Debug)]
pub(super) struct Own {
    configured: Vec<(Action, OwnRule, u32)>,
    configured_in: Arc<str>,
    /// The page's file; `None`: its rules live in memory.
    path: Option<PathBuf>,
    /// What the file said when it could last be read.
    page: RulesFile,
    mark: Option<Mark>,
    /// What the file looked like when it was found empty: it may be in the middle of being saved.
    emptied: Option<Mark>,
    problem: Option<String>,
}

impl Own {
    /// Reads the file; where it is broken, the copy of what it last said.
    pub(super) fn open(options: &FeedOptions) -> Self {
        if let Some(data_dir) = &options.data_dir {
            // Where it can't be made, each thing that is to be kept there tells of it.
            let _ = std::fs::create_dir_all(data_dir);
        }
        let mut own = Self {
            configured: options.own.clone(),
            configured_in: Arc::clone(&options.own_file),
            path: options.data_dir.as_deref().map(path_in),
            page: RulesFile::default(),
            mark: None,
            emptied: None,
            problem: None,
        };
        own.look();
        if let (Some(path), Some(_)) = (&own.path, &own.problem) {
            let last = disk::read_bounded(&last_good(path), SIZE_MAX).ok();
            let last = last.and_then(|content| RulesFile::parse(String::from_utf8(content).ok()?).ok());
            if let Some(last) = last {
                own.page = last;
            }
        }
        own
    }

    /// Takes over what the configuration says now.
    pub(super) fn configure(&mut self, options: &FeedOptions) {
        if options.data_dir.as_deref().map(path_in) == self.path {
            self.configured.clone_from(&options.own);
            self.configured_in = Arc::clone(&options.own_file);
        } else {
            *self = Self::open(options);
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Reads the file when it changed; whether there is something new.
    ///
    /// A file that is gone has no rules: that is how a person takes them all back. One that is broken changes nothing.
    /// One that is empty is believed when it is found so twice, since many an editor empties a file before it writes.
    pub(super) fn look(&mut self) -> bool {
        let Some(path) = self.path.clone() else { return false };
        let mark = Mark::of(&path).ok();
        if mark == self.mark && self.problem.is_none() {
            return false;
        }
        let emptied = mark.filter(|mark| mark.is_empty() && !self.page.rules().is_empty());
        if emptied.is_some() && emptied != self.emptied {
            self.emptied = emptied;
            return false;
        }
        self.emptied = None;
        self.mark = mark;
        let before = self.problem.take();
        let mut is_gone = false;
        let content = match disk::read_bounded(&path, SIZE_MAX) {
            Ok(content) => {
                String::from_utf8(content).map_err(|_| "is not UTF-8; save it as UTF-8".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                is_gone = true;
                Ok(RulesFile::default().text().to_owned())
            }
            Err(error) => Err(format!("can't be read: {error}")),
        };
        let read = content
            .and_then(|text| RulesFile::parse(text).map_err(|fault| fault.to_string()))
            .map_err(|what| format!("{}: {what}", path.display()));
        match read {
            Ok(page) => {
                let changed = page != self.page;
                self.page = page;
                // Who deleted it by mistake finds the copy; an empty file says that no rules are wanted.
                if changed && !is_gone {
                    self.keep_last_good(&path);
                }
                changed || before.is_some()
            }
            Err(problem) => {
                if before.as_ref() != Some(&problem) {
                    tracing::warn!(%problem, "the own rules could not be read; those in force stay");
                }
                self.problem = Some(problem);
                self.problem != before
            }
        }
    }

    /// Whether it must be looked at again soon.
    pub(super) const fn is_unsettled(&self) -> bool {
        self.emptied.is_some()
    }

    /// Writes a rule into the page's file.
    pub(super) fn write(&mut self, action: Action, rule: &OwnRule) -> Result<OwnChange, FeedError> {
        self.look_before_writing()?;
        let configured = self.configured.iter().filter(|(_, known, _)| known == rule);
        let on_page = self.page.rules().iter().any(|(_, known, _)| known == rule);
        let said_by_configuration = !on_page
            && configured.clone().next().is_some()
            && configured.clone().all(|&(written, _, _)| written == action);
        if self.page.says(action, rule) || said_by_configuration {
            return Ok(OwnChange::Unchanged);
        }
        let page = self.page.with(action, rule).map_err(|fault| FeedError::OwnRules(fault.to_string()))?;
        self.save(page)?;
        Ok(OwnChange::Written)
    }

    /// Takes a rule out of the page's file.
    pub(super) fn forget(&mut self, rule: &OwnRule) -> Result<OwnChange, FeedError> {
        self.look_before_writing()?;
        match self.page.without(rule) {
            None => Ok(OwnChange::Absent),
            Some(page) => {
                self.save(page.map_err(|fault| FeedError::OwnRules(fault.to_string()))?)?;
                Ok(OwnChange::Removed)
            }
        }
    }

    /// All own rules, compiled. Where file and configuration contradict each other, the file's newer word counts.
    pub(super) fn compile(&self) -> Rules {
        let mut builder =
            Builder::new(BuildOptions { precedence: Precedence::SpecificFirst, spill_dir: None });
        let page = self.page.rules();
        let overruled = |action: Action, rule: &OwnRule| {
            page.iter().any(|(written, known, _)| known == rule && *written != action)
        };
        let configured = self.configured.iter().filter(|(action, rule, _)| !overruled(*action, rule));
        let page = page.iter().map(|written| (SourceId(0), written));
        for (source, (action, rule, line)) in page.chain(configured.map(|written| (SourceId(1), written))) {
            // One that can't be compiled was refused when it was written.
            let _ = builder.add(source, false, &rule.clone().into_rule(*action, *line));
        }
        let sources = [Arc::from(PAGE), Arc::clone(&self.configured_in)].into();
        // In memory, only more than any person writes could fail.
        let ruleset = builder.finish_in_memory().map_or_else(|_| Ruleset::default(), |(ruleset, _)| ruleset);
        Rules { ruleset: Arc::new(ruleset), sources }
    }

    pub(super) fn view(&self) -> OwnView {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        let file: Arc<str> = path.as_deref().unwrap_or(PAGE).into();
        let status =
            |file: &Arc<str>, (action, rule, line): &(Action, OwnRule, u32), removable| OwnRuleStatus {
                action: *action,
                rule: rule.clone(),
                file: Arc::clone(file),
                line: *line,
                removable,
            };
        let page = self.page.rules().iter().map(|written| status(&file, written, true));
        let configured = self.configured.iter().map(|written| status(&self.configured_in, written, false));
        let in_force = if self.page.rules().is_empty() {
            "none of its rules is in force"
        } else {
            "what it said before stays in force"
        };
        let problem = self.problem.as_ref().map(|problem| format!("{problem}; {in_force}"));
        OwnView { rules: page.chain(configured).collect(), problem }
    }

    /// A person may have edited the file a moment ago: their words are read, and are never written over.
    fn look_before_writing(&mut self) -> Result<(), FeedError> {
        self.look();
        if self.is_unsettled() {
            self.look();
        }
        match &self.problem {
            None => Ok(()),
            Some(problem) => Err(FeedError::OwnRules(format!(
                "{problem}; mend the file first, so that nothing in it is lost"
            ))),
        }
    }

    fn save(&mut self, page: RulesFile) -> Result<(), FeedError> {
        if let Some(path) = &self.path {
            let directory = path.parent().unwrap_or(path);
            let written =
                std::fs::create_dir_all(directory).and_then(|()| disk::replace(path, page.text().as_bytes()));
            let written = written.map_err(|error| {
                FeedError::OwnRules(format!(
                    "{} could not be written ({error}); make room, or let the daemon write there; nothing was changed",
                    path.display()
                ))
            })?;
            if let Replaced::NotSynced(error) = written {
                // The file says it, so it is in force; nothing is left that the person could try again.
                tracing::warn!(path = %path.display(), %error, "own rules were written but may not outlast a power cut");
            }
            self.mark = Mark::of(path).ok();
        }
        self.page = page;
        if let Some(path) = &self.path {
            self.keep_last_good(path);
        }
        Ok(())
    }

    /// A copy for a restart after the file was broken. Without it the file itself still serves, so a failure is none.
    fn keep_last_good(&self, path: &Path) {
        let _ = disk::replace(&last_good(path), self.page.text().as_bytes());
    }
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("rules.toml")
}

fn last_good(path: &Path) -> PathBuf {
    disk::beside(path, ".last-good")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_rules_stay_in_force_while_an_editor_saves_them() {
        let directory = tempfile::tempdir().unwrap();
        let options = FeedOptions {
            data_dir: Some(directory.path().to_owned()),
            sources: Vec::new(),
            own: Vec::new(),
            own_file: "pixelsink.toml".into(),
            size_max: 0,
            timeout: std::time::Duration::ZERO,
            keep_revisions: 1,
        };
        let mut own = Own::open(&options);
        own.write(Action::Block, &OwnRule::parse("one.example").unwrap()).unwrap();
        let path = path_in(directory.path());
        // Emptied, and not yet written.
        std::fs::write(&path, "").unwrap();
        assert!(!own.look() && own.is_unsettled());
        assert_eq!(own.view().rules.len(), 1);
        std::fs::write(&path, "[rules]\nallow = [\"two.example\"]\n").unwrap();
        assert!(own.look() && !own.is_unsettled());
        assert_eq!(own.view().rules[0].action, Action::Allow);
        // Emptied for good.
        std::fs::write(&path, "").unwrap();
        assert!(!own.look() && own.is_unsettled());
        assert!(own.look() && !own.is_unsettled());
        assert!(own.view().rules.is_empty());
    }
}
