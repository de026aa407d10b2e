//! The person's own rules: those of the configuration and those of the file that the page writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::disk::{self, Mark, Replaced};
use super::rules_file::{Fault, RulesFile, Written};
use super::{FeedError, FeedOptions, OwnChange, OwnRuleStatus};
use crate::clock::Clock;
use crate::list::{Action, OwnRule};
use crate::policy::Rules;
use crate::ruleset::{BuildOptions, Builder, Precedence, Ruleset, SourceId};

/// What explanations call the page's file.
const PAGE: &str = "own rules";
/// A file of rules larger than this was not written by a person, in octets.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The end of rules is not told by a clock that was never set: 2026-01-01T00:00:00Z, before which no pixelsink ran.
const CLOCK_SET_S: i64 = 1_767_225_600;
/// While the clock is not set, a rule whose end was written by another run stays no longer than this.
const UNTOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// No end is further away: an [`Instant`] can't be of any time.
const END_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What is shown of the own rules.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnView {
    pub(super) rules: Vec<OwnRuleStatus>,
    pub(super) problem: Option<String>,
}

/// The person's own rules.
#[derive(Clone)]
pub(super) struct Own {
    clock: Arc<dyn Clock>,
    configured: Vec<(Action, OwnRule, u32)>,
    configured_in: Arc<str>,
    /// The page's file; `None`: its rules live in memory.
    path: Option<PathBuf>,
    /// What the file said when it could last be read.
    page: RulesFile,
    mark: Option<Mark>,
    /// What the file looked like when it was found empty: it may be in the middle of being saved.
    emptied: Option<Mark>,
    /// When the time of rules is over, by a clock that never jumps.
    ends: Vec<End>,
    problem: Option<String>,
}

/// The end of a rule of the page's file.
#[derive(Clone, Debug)]
struct End {
    action: Action,
    rule: OwnRule,
    until: Timestamp,
    at: Instant,
    /// The clock on the wall was not set when it was looked at.
    is_guessed: bool,
}

impl End {
    fn is_of(&self, written: &Written) -> bool {
        (self.action, &self.rule, Some(self.until)) == (written.action, &written.rule, written.until)
    }
}

impl Own {
    /// Reads the file; where it is broken, the copy of what it last said.
    pub(super) fn open(options: &FeedOptions, clock: Arc<dyn Clock>) -> Self {
        if let Some(data_dir) = &options.data_dir {
            // Where it can't be made, each thing that is to be kept there tells of it.
            let _ = std::fs::create_dir_all(data_dir);
        }
        let mut own = Self {
            clock,
            configured: options.own.clone(),
            configured_in: Arc::clone(&options.own_file),
            path: options.data_dir.as_deref().map(path_in),
            page: RulesFile::default(),
            mark: None,
            emptied: None,
            ends: Vec::new(),
            problem: None,
        };
        own.look();
        if let (Some(path), Some(_)) = (&own.path, &own.problem) {
            let last = disk::read_bounded(&disk::last_good(path), SIZE_MAX).ok();
            let last = last.and_then(|content| RulesFile::parse(String::from_utf8(content).ok()?).ok());
            if let Some(last) = last {
                own.page = last;
            }
        }
        own.find_ends();
        own
    }

    /// Takes over what the configuration says now.
    pub(super) fn configure(&mut self, options: &FeedOptions) {
        if options.data_dir.as_deref().map(path_in) == self.path {
            self.configured.clone_from(&options.own);
            self.configured_in = Arc::clone(&options.own_file);
        } else {
            *self = Self::open(options, Arc::clone(&self.clock));
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
        let is_new = self.read();
        self.find_ends();
        is_new
    }

    fn read(&mut self) -> bool {
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
        if self.says_for_good(action, rule) {
            return Ok(OwnChange::Unchanged);
        }
        self.put(self.page.with(action, rule))?;
        Ok(OwnChange::Written)
    }

    /// Writes a rule that lets names through for a while; what was said of the same for good counts again afterwards.
    pub(super) fn allow_for(&mut self, rule: &OwnRule, duration: Duration) -> Result<OwnChange, FeedError> {
        self.look_before_writing()?;
        if self.says_for_good(Action::Allow, rule) {
            return Ok(OwnChange::Unchanged);
        }
        let (now, at) = (self.clock.now(), self.clock.instant() + duration.min(END_MAX));
        let until = now.checked_add(duration.min(END_MAX)).unwrap_or(Timestamp::MAX);
        self.put(self.page.with_until(Action::Allow, rule, until))?;
        // To the moment, whatever the clock on the wall does meanwhile.
        if let Some(end) = self.ends.iter_mut().find(|end| end.rule == *rule && end.action == Action::Allow) {
            (end.at, end.is_guessed) = (at, false);
        }
        Ok(OwnChange::Written)
    }

    /// Takes the end from a rule, so that it stays.
    pub(super) fn keep(&mut self, rule: &OwnRule) -> Result<OwnChange, FeedError> {
        self.look_before_writing()?;
        let timed = self.in_force().find(|written| written.rule == *rule && written.until.is_some());
        match timed.map(|written| written.action) {
            Some(action) => {
                self.put(self.page.with(action, rule))?;
                Ok(OwnChange::Written)
            }
            None if self.page.about(rule).next().is_some() => Ok(OwnChange::Unchanged),
            None => Ok(OwnChange::Absent),
        }
    }

    /// Takes rules out of the file whose time is over; whether there were any. They are out of force before, also where
    /// the file can't be written.
    pub(super) fn take_back_ended(&mut self) -> bool {
        let ended: Vec<Written> =
            self.page.rules().iter().filter(|written| self.is_over(written)).cloned().collect();
        if ended.is_empty() {
            return false;
        }
        let written = self.look_before_writing().and_then(|()| self.put(self.page.without_ended(&ended)));
        for Written { rule, .. } in &ended {
            tracing::info!(%rule, "the time of an own rule is over");
        }
        if let Err(error) = written {
            tracing::warn!(%error, "own rules whose time is over are out of force, but still in their file");
        }
        true
    }

    /// When the next rule ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let now = self.clock.instant();
        self.ends.iter().map(|end| end.at).filter(|at| now < *at).min()
    }

    fn says_for_good(&self, action: Action, rule: &OwnRule) -> bool {
        let mut configured = self.configured.iter().filter(|(_, known, _)| known == rule).peekable();
        let said_by_configuration = self.page.about(rule).next().is_none()
            && configured.peek().is_some()
            && configured.all(|&(written, _, _)| written == action);
        self.page.says(action, rule) || said_by_configuration
    }

    /// Whether the time of a rule is over.
    fn is_over(&self, written: &Written) -> bool {
        let now = self.clock.instant();
        self.ends.iter().any(|end| end.is_of(written) && end.at <= now)
    }

    /// The rules of the page's file whose time is not over.
    fn in_force(&self) -> impl Iterator<Item = &Written> {
        self.page.rules().iter().filter(|written| !self.is_over(written))
    }

    /// Finds out when rules end that have an end. What was found before stays, whatever the clock on the wall says since.
    fn find_ends(&mut self) {
        let (now, instant) = (self.clock.now(), self.clock.instant());
        let is_set = CLOCK_SET_S <= now.as_second();
        let rules = self.page.rules();
        self.ends.retain(|end| rules.iter().any(|written| end.is_of(written)) && !(is_set && end.is_guessed));
        for Written { action, rule, until, .. } in rules {
            let Some(until) = *until else { continue };
            if self.ends.iter().any(|end| (end.action, &end.rule, end.until) == (*action, rule, until)) {
                continue;
            }
            let left = Duration::try_from(until.duration_since(now)).unwrap_or_default().min(END_MAX);
            let left = if is_set { left } else { UNTOLD_MAX };
            let (action, rule) = (*action, rule.clone());
            self.ends.push(End { action, rule, until, at: instant + left, is_guessed: !is_set });
        }
    }

    /// Takes a rule out of the page's file.
    pub(super) fn forget(&mut self, rule: &OwnRule) -> Result<OwnChange, FeedError> {
        self.look_before_writing()?;
        match self.page.without(rule) {
            None => Ok(OwnChange::Absent),
            Some(page) => {
                self.put(page)?;
                Ok(OwnChange::Removed)
            }
        }
    }

    /// All own rules, compiled. Where file and configuration contradict each other, the file's newer word counts.
    pub(super) fn compile(&self) -> Rules {
        let mut builder =
            Builder::new(BuildOptions { precedence: Precedence::SpecificFirst, spill_dir: None });
        let overruled = |action: Action, rule: &OwnRule| {
            self.in_force().any(|written| written.rule == *rule && written.action != action)
        };
        let page = self.in_force();
        let page = page.map(|written| (SourceId(0), written.action, &written.rule, written.line));
        let configured = self.configured.iter().filter(|(action, rule, _)| !overruled(*action, rule));
        let configured = configured.map(|(action, rule, line)| (SourceId(1), *action, rule, *line));
        for (source, action, rule, line) in page.chain(configured) {
            // One that can't be compiled was refused when it was written.
            let _ = builder.add(source, false, &rule.clone().into_rule(action, line));
        }
        let sources = [Arc::from(PAGE), Arc::clone(&self.configured_in)].into();
        // In memory, only more than any person writes could fail.
        let ruleset = builder.finish_in_memory().map_or_else(|_| Ruleset::default(), |(ruleset, _)| ruleset);
        Rules { ruleset: Arc::new(ruleset), sources }
    }

    pub(super) fn view(&self) -> OwnView {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        let file: Arc<str> = path.as_deref().unwrap_or(PAGE).into();
        let end_of = |written: &Written| self.ends.iter().find(|end| end.is_of(written)).map(|end| end.at);
        let page = self.in_force().map(|written| OwnRuleStatus {
            action: written.action,
            rule: written.rule.clone(),
            file: Arc::clone(&file),
            line: written.line,
            removable: true,
            ends: end_of(written),
        });
        let configured = self.configured.iter().map(|(action, rule, line)| OwnRuleStatus {
            action: *action,
            rule: rule.clone(),
            file: Arc::clone(&self.configured_in),
            line: *line,
            removable: false,
            ends: None,
        });
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

    fn put(&mut self, page: Result<RulesFile, Fault>) -> Result<(), FeedError> {
        self.save(page.map_err(|fault| FeedError::OwnRules(fault.to_string()))?)
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
        self.find_ends();
        if let Some(path) = &self.path {
            self.keep_last_good(path);
        }
        Ok(())
    }

    /// A copy for a restart after the file was broken. Without it the file itself still serves, so a failure is none.
    fn keep_last_good(&self, path: &Path) {
        let _ = disk::replace(&disk::last_good(path), self.page.text().as_bytes());
    }
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("rules.toml")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock on the wall that may be set, and one that only goes on.
    struct TestClock(Mutex<(Timestamp, Instant)>);

    impl Default for TestClock {
        fn default() -> Self {
            Self(Mutex::new(("2026-11-28T12:00:00Z".parse().unwrap(), Instant::now())))
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().0
        }

        fn instant(&self) -> Instant {
            self.0.lock().unwrap().1
        }
    }

    impl TestClock {
        fn set(&self, now: &str) {
            self.0.lock().unwrap().0 = now.parse().unwrap();
        }

        /// Lets time pass on both.
        fn pass(&self, seconds: u64) {
            let mut time = self.0.lock().unwrap();
            *time = (time.0 + Duration::from_secs(seconds), time.1 + Duration::from_secs(seconds));
        }
    }

    fn options(directory: &Path) -> FeedOptions {
        FeedOptions {
            data_dir: Some(directory.to_owned()),
            sources: Vec::new(),
            own: Vec::new(),
            own_file: "pixelsink.toml".into(),
            size_max: 0,
            timeout: Duration::ZERO,
            keep_revisions: 1,
        }
    }

    const MINUTES: u64 = 60;

    /// What is in force, with the seconds that are left of it.
    fn shown(own: &Own) -> Vec<String> {
        let now = own.clock.instant();
        let left =
            |ends: Option<Instant>| ends.map_or(String::new(), |at| format!(" {}", (at - now).as_secs()));
        own.view().rules.iter().map(|it| format!("{:?} {}{}", it.action, it.rule, left(it.ends))).collect()
    }

    #[test]
    fn a_rule_with_an_end_is_taken_back_by_itself_whatever_the_clock_on_the_wall_does() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let mut own = Own::open(&options(directory.path()), Arc::clone(&clock) as _);
        let rule = OwnRule::parse("a.example$client=192.168.1.7").unwrap();
        own.write(Action::Block, &rule).unwrap();
        assert_eq!(own.allow_for(&rule, Duration::from_secs(15 * MINUTES)), Ok(OwnChange::Written));
        assert_eq!(
            shown(&own),
            ["Block a.example$client=192.168.1.7", "Allow a.example$client=192.168.1.7 900"]
        );
        clock.pass(5 * MINUTES);
        for jump in ["2026-11-28T20:00:00Z", "2026-11-28T02:00:00Z", "1970-01-01T00:00:00Z"] {
            clock.set(jump);
            own.look();
            assert!(!own.take_back_ended());
            assert_eq!(shown(&own)[1], "Allow a.example$client=192.168.1.7 600", "{jump}");
        }
        clock.pass(10 * MINUTES);
        assert_eq!(
            shown(&own),
            ["Block a.example$client=192.168.1.7"],
            "out of force before it is out of the file"
        );
        assert!(own.take_back_ended() && !own.take_back_ended());
        let text = std::fs::read_to_string(path_in(directory.path())).unwrap();
        assert!(!text.contains("until"), "{text}");
        assert_eq!(own.next_end(), None);
    }

    #[test]
    fn a_restart_ends_rules_by_the_clock_on_the_wall_when_it_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let open = || Own::open(&options(directory.path()), Arc::clone(&clock) as _);
        let mut own = open();
        own.allow_for(&OwnRule::parse("a.example").unwrap(), Duration::from_secs(15 * MINUTES)).unwrap();
        clock.pass(5 * MINUTES);
        assert_eq!(shown(&open()), ["Allow a.example 600"]);
        // A Pi has no clock of its own: until it is set, nothing is known of the end.
        clock.set("1970-01-01T00:00:10Z");
        let mut unset = open();
        assert_eq!(shown(&unset), ["Allow a.example 86400"]);
        clock.set("2026-11-28T12:10:00Z");
        unset.look();
        assert_eq!(shown(&unset), ["Allow a.example 300"]);
        clock.set("2026-11-28T12:15:00Z");
        let mut late = open();
        assert_eq!(shown(&late), [""; 0]);
        assert!(late.take_back_ended());
    }

    #[test]
    fn what_is_kept_stays_and_what_is_forgotten_leaves_what_was_said_before() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let mut own = Own::open(&options(directory.path()), Arc::clone(&clock) as _);
        let rule = OwnRule::parse("a.example").unwrap();
        assert_eq!(own.keep(&rule), Ok(OwnChange::Absent));
        own.write(Action::Block, &rule).unwrap();
        own.allow_for(&rule, Duration::from_secs(60)).unwrap();
        assert_eq!(own.forget(&rule), Ok(OwnChange::Removed));
        assert_eq!(shown(&own), ["Block a.example"]);
        own.allow_for(&rule, Duration::from_secs(60)).unwrap();
        own.allow_for(&rule, Duration::from_secs(90)).unwrap();
        assert_eq!(shown(&own), ["Block a.example", "Allow a.example 90"]);
        assert_eq!(own.keep(&rule), Ok(OwnChange::Written));
        assert_eq!(own.keep(&rule), Ok(OwnChange::Unchanged));
        assert_eq!(own.allow_for(&rule, Duration::from_secs(60)), Ok(OwnChange::Unchanged));
        clock.pass(90);
        assert!(!own.take_back_ended());
        assert_eq!(shown(&own), ["Allow a.example"]);
    }

    #[test]
    fn own_rules_stay_in_force_while_an_editor_saves_them() {
        let directory = tempfile::tempdir().unwrap();
        let mut own = Own::open(&options(directory.path()), Arc::new(TestClock::default()));
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
