//! Rules of lists that are not put in force on the list's word alone: those that would take the net from a home.
//!
//! A rule that blocks one of the names of `blocklists/popular.txt`, or everything below a public suffix, is held back
//! until the person accepts it; so is one that lets everything below a public suffix through. What a person wrote and the
//! built-in list are not looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use regex_automata::meta::{self, Regex};

use super::status::{QuarantineReason, QuarantinedRule};
use crate::list::{Action, Pattern, Rule, Scope, Skip, Subject};
use crate::name::{DomainName, NameRef};

/// The names, with comments.
pub(super) const POPULAR: &str = include_str!("../../blocklists/popular.txt");
/// Rules held back that are told one by one; of more, their number.
const TOLD_MAX: usize = 200;
/// Patterns of one list that are compared with the names: each costs some tenths of a millisecond. The ruleset takes fewer.
const PATTERNS_MAX: u32 = 10_000;
/// The largest automaton of a pattern, in octets; one that is larger is refused by the ruleset too.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// What the person accepted of one list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Accepted {
    #[default]
    Nothing,
    /// These rules, in their shortest form.
    Rules(BTreeSet<String>),
    /// Whatever the list says.
    Everything,
}

/// Looks at the rules of one list.
#[derive(Debug)]
pub(super) struct Quarantine {
    accepted: Arc<Accepted>,
    /// How many patterns were looked at.
    patterns: AtomicU32,
}

/// The rules of one list that were held back.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldBack {
    pub(super) rules: Vec<QuarantinedRule>,
    pub(super) total: usize,
}

impl Quarantine {
    pub(super) const fn new(accepted: Arc<Accepted>) -> Self {
        Self { accepted, patterns: AtomicU32::new(0) }
    }

    /// For what is not a list from elsewhere.
    pub(super) fn none() -> Self {
        Self::new(Arc::new(Accepted::Everything))
    }

    /// What is accepted whatever is said against it.
    pub(super) fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Why a rule is not put in force, if it is not. Cost: a few look-ups of a hash table; more for patterns.
    pub(super) fn check(&self, rule: &Rule) -> Option<QuarantineReason> {
        if *self.accepted == Accepted::Everything {
            return None;
        }
        let reason = if rule.covers_public_suffix() {
            QuarantineReason::PublicSuffix
        } else if rule.action == Action::Allow {
            return None;
        } else {
            QuarantineReason::Popular(self.popular(&rule.subject)?.to_owned())
        };
        match &*self.accepted {
            Accepted::Rules(accepted) if accepted.contains(&rule.to_string()) => None,
            _ => Some(reason),
        }
    }
}

impl Quarantine {
    /// One of the popular names that a rule covers.
    fn popular(&self, subject: &Subject) -> Option<&'static str> {
        match subject {
            Subject::Name { name, scope } => LIST.covered(name.as_ref(), *scope),
            Subject::Pattern(pattern) => {
                let seen = self.patterns.fetch_add(1, Ordering::Relaxed);
                if seen < PATTERNS_MAX { LIST.matched(pattern) } else { None }
            }
            Subject::Addresses(_) => None,
        }
    }
}

impl HeldBack {
    /// Notes a rule; what is said of its line.
    pub(super) fn add(&mut self, rule: &Rule, reason: QuarantineReason) -> Skip {
        let skip = match reason {
            QuarantineReason::Popular(_) => Skip::Popular,
            QuarantineReason::PublicSuffix => Skip::PublicSuffix,
        };
        self.total += 1;
        if self.rules.len() < TOLD_MAX {
            self.rules.push(QuarantinedRule { rule: rule.to_string(), line: rule.line, reason });
        }
        skip
    }
}

static LIST: LazyLock<Popular> = LazyLock::new(|| Popular::parse(POPULAR));

/// The popular names.
struct Popular {
    /// One name a line, each line ended.
    text: String,
    /// Each name and each parent of one, in wire form.
    names: HashMap<Box<[u8]>, Place>,
}

/// What of the popular names is at a name.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The name itself is one: where it stands in the text.
    own: Option<usize>,
    /// There is one below it.
    below: Option<usize>,
}

impl Popular {
    fn parse(popular: &str) -> Self {
        let (mut text, mut names) = (String::new(), HashMap::<Box<[u8]>, Place>::new());
        for line in popular.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Ok(name) = DomainName::parse(line) else { continue };
            let start = text.len();
            for ancestor in name.as_ref().ancestors() {
                let place = names.entry(ancestor.as_wire().into()).or_default();
                let field = if ancestor == name.as_ref() { &mut place.own } else { &mut place.below };
                field.get_or_insert(start);
            }
            text.push_str(&name.to_string());
            text.push('\n');
        }
        Self { text, names }
    }

    /// One of the names that a rule about `name` covers.
    fn covered(&self, name: NameRef<'_>, scope: Scope) -> Option<&str> {
        // A site is reached by its `www` as much as by its name.
        let site = name.parent().filter(|_| scope != Scope::Below && name.labels().next() == Some(b"www"));
        if let Some(start) = site.and_then(|site| self.names.get(site.as_wire())?.own) {
            return self.text.get(start..)?.lines().next();
        }
        let place = self.names.get(name.as_wire())?;
        let start = match scope {
            Scope::Exact => place.own,
            Scope::Subtree => place.own.or(place.below),
            Scope::Below => place.below,
        }?;
        self.text.get(start..)?.lines().next()
    }

    /// One of the names that a pattern covers.
    fn matched(&self, pattern: &Pattern) -> Option<&str> {
        let regex = |text: &str| {
            let config = meta::Config::new().nfa_size_limit(Some(PATTERN_SIZE_MAX));
            Regex::builder().configure(config).build(text).ok()
        };
        if !pattern.is_inverted() {
            // All at once, so that a pattern that matches none, as nearly all do, costs one pass. Across the end of a line
            // it may match too much, never too little.
            let all = regex(&format!("(?m:{})", pattern.as_regex()))?;
            if !all.is_match(&self.text) {
                return None;
            }
        }
        let one = regex(pattern.as_regex())?;
        self.text.lines().find(|name| one.is_match(name) != pattern.is_inverted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a rule; nothing when it is put in force.
    #[track_caller]
    fn check(accepted: Accepted, rule: &Rule, expected: &str) {
        let found = Quarantine::new(Arc::new(accepted)).check(rule);
        assert_eq!(found.map(|reason| reason.to_string()).unwrap_or_default(), expected, "{rule}");
    }

    fn rule(name: &str, scope: Scope) -> Rule {
        Rule::plain(DomainName::parse(name).unwrap(), scope, Action::Block, 7)
    }

    fn pattern(regex: &str, inverted: bool) -> Rule {
        let pattern = Pattern::stored(&format!("/{regex}/"), regex, inverted);
        Rule { subject: Subject::Pattern(pattern), ..rule("a.example", Scope::Exact) }
    }

    #[test]
    fn a_list_does_not_block_what_most_people_use() {
        let google = "it would block google.com, one of the most visited names";
        let suffix = "it would block every name below a public suffix";
        for (name, scope, expected) in [
            ("google.com", Scope::Subtree, google),
            ("google.com", Scope::Exact, google),
            ("www.google.com", Scope::Exact, google),
            ("www.google.com", Scope::Below, ""),
            ("www.ads.google.com", Scope::Exact, ""),
            ("ads.google.com", Scope::Below, ""),
            ("ads.google.com", Scope::Subtree, ""),
            ("com", Scope::Subtree, suffix),
            ("com", Scope::Below, suffix),
            ("com", Scope::Exact, suffix),
            ("co.uk", Scope::Subtree, suffix),
            ("pixel.example", Scope::Subtree, ""),
        ] {
            check(Accepted::Nothing, &rule(name, scope), expected);
        }
        let popular = Popular::parse("# c\na.b.example # search\n\n");
        for (name, scope, covers) in [
            ("a.b.example", Scope::Exact, true),
            ("a.b.example", Scope::Below, false),
            ("b.example", Scope::Exact, false),
            ("b.example", Scope::Subtree, true),
            ("example", Scope::Below, true),
            ("x.a.b.example", Scope::Subtree, false),
        ] {
            let name = DomainName::parse(name).unwrap();
            assert_eq!(
                popular.covered(name.as_ref(), scope),
                covers.then_some("a.b.example"),
                "{name} {scope:?}"
            );
        }

        check(Accepted::Nothing, &Rule { action: Action::Allow, ..rule("google.com", Scope::Subtree) }, "");
    }

    #[test]
    fn patterns_are_compared_with_every_name() {
        let popular = Popular::parse("a.example\ngoogle.com\n");
        for (regex, inverted, expected) in [
            ("^google\\.", false, Some("google.com")),
            ("^(.+\\.)?google\\.com$", false, Some("google.com")),
            ("^ads[0-9]*\\.", false, None),
            ("example[^x]google", false, None),
            ("example", true, Some("google.com")),
            ("(", false, None),
        ] {
            let Subject::Pattern(pattern) = pattern(regex, inverted).subject else { unreachable!() };
            assert_eq!(popular.matched(&pattern), expected, "{regex}");
        }
        let google = "it would block google.com, one of the most visited names";
        check(Accepted::Nothing, &pattern("^google\\.com$", false), google);
    }

    #[test]
    fn what_the_person_accepted_is_in_force() {
        let rules = |rule: &str| Accepted::Rules([rule.to_owned()].into());
        let google = rule("google.com", Scope::Subtree);
        check(rules("||google.com^"), &google, "");
        check(rules("=google.com"), &google, "it would block google.com, one of the most visited names");
        check(Accepted::Everything, &google, "");
    }

    #[test]
    fn every_name_that_is_bundled_is_one() {
        let lines = POPULAR.lines().map(|line| line.split('#').next().unwrap().trim());
        let names = lines.filter(|line| !line.is_empty()).count();
        assert_eq!(LIST.text.lines().count(), names);
    }

    #[test]
    fn only_some_are_told_one_by_one() {
        let mut held = HeldBack::default();
        for _ in 0..300 {
            let skip = held.add(&rule("google.com", Scope::Exact), QuarantineReason::PublicSuffix);
            assert_eq!(skip, Skip::PublicSuffix);
        }
        assert_eq!((held.rules.len(), held.total), (200, 300));
    }
}
