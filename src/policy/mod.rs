//! Device, question and time, turned into a verdict with its reason.
//!
//! Immediate and without I/O. Shared state is a value replaced whole ([`LivePolicy`]): a query takes one generation and
//! keeps it to its end. It knows rulesets and devices; it never knows packets, upstreams or the history.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::device::Device;
use crate::list::{Action, Rule};
use crate::name::NameRef;
use crate::ruleset::{Match, Ruleset};

/// Points at the rule behind a verdict.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RuleRef {
    /// The list's name.
    pub list: Arc<str>,
    /// The line in that list, from 1.
    pub line: u32,
    /// The rule in its shortest form.
    pub rule: Box<str>,
}

/// What is to be done with a question, and because of which rule.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Verdict {
    /// No rule speaks of the name.
    Pass,
    /// A rule lets the name through.
    Allow(RuleRef),
    /// A rule blocks the name.
    Block(RuleRef),
}

/// One rule that covers a name, as `explain` shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explained {
    /// The rule.
    pub rule: RuleRef,
    /// What it asks for.
    pub action: Action,
    /// Whether a person wrote it.
    pub own: bool,
}

/// What a blocked question is answered with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SinkholeMode {
    /// 0.0.0.0 and ::, so that a client gives up at once.
    #[default]
    Null,
    /// NXDOMAIN: the name does not exist.
    NxDomain,
    /// NODATA: the name exists but has no record of this type.
    NoData,
    /// REFUSED.
    Refused,
    /// Addresses of the person's choice; a family without one is answered with NODATA.
    Custom {
        /// The answer to `A`.
        ipv4: Option<Ipv4Addr>,
        /// The answer to `AAAA`.
        ipv6: Option<Ipv6Addr>,
    },
}

/// How blocking is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Blocking {
    /// The answer.
    pub mode: SinkholeMode,
    /// How long clients may keep it, in seconds.
    pub ttl_secs: u32,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { mode: SinkholeMode::default(), ttl_secs: 300 }
    }
}

/// A ruleset and the names of the sources that its indices stand for.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The compiled rules.
    pub ruleset: Arc<Ruleset>,
    /// The list's name for each [`crate::ruleset::SourceId`].
    pub sources: Arc<[Arc<str>]>,
}

impl Rules {
    fn rule_ref(&self, found: &Match<'_>) -> RuleRef {
        let unknown = || Arc::from("?");
        let list = self.sources.get(usize::from(found.source.0)).cloned().unwrap_or_else(unknown);
        let Match { line, action, scope, .. } = *found;
        let rule = Rule::plain(found.name.to_owned(), scope, action, line);
        RuleRef { list, line, rule: rule.to_string().into() }
    }

    fn verdict(&self, name: NameRef<'_>) -> Option<Verdict> {
        let found = self.ruleset.lookup(name)?;
        let rule = self.rule_ref(&found);
        Some(match found.action {
            Action::Allow => Verdict::Allow(rule),
            Action::Block => Verdict::Block(rule),
        })
    }

    fn explain(&self, name: NameRef<'_>, own: bool) -> Vec<Explained> {
        let matches = self.ruleset.matches(name);
        let explained =
            |found: &Match<'_>| Explained { rule: self.rule_ref(found), action: found.action, own };
        matches.iter().map(explained).collect()
    }
}

/// All that decides about questions, never changed once it is in force.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What people wrote themselves; it wins over every list.
    pub own: Rules,
    /// What the lists say.
    pub lists: Rules,
    /// How blocking is done.
    pub blocking: Blocking,
}

impl Policy {
    /// Judges a question.
    pub fn judge(&self, _device: &Device, name: NameRef<'_>) -> Verdict {
        let own = self.own.verdict(name);
        own.or_else(|| self.lists.verdict(name)).unwrap_or(Verdict::Pass)
    }

    /// Every rule that covers `name`, the strongest first: the first one decides.
    pub fn explain(&self, name: NameRef<'_>) -> Vec<Explained> {
        [self.own.explain(name, true), self.lists.explain(name, false)].concat()
    }
}

/// The policy in force, replaced whole.
#[derive(Debug, Default)]
pub struct LivePolicy(ArcSwap<Policy>);

impl LivePolicy {
    /// The policy in force now.
    pub fn current(&self) -> Guard<Arc<Policy>> {
        self.0.load()
    }

    /// Puts a changed policy in force; `change` may run more than once when two changes meet.
    pub fn update(&self, mut change: impl FnMut(&mut Policy)) {
        self.0.rcu(|policy| {
            let mut policy = Policy::clone(policy);
            change(&mut policy);
            policy
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceTable;
    use crate::list::{OwnRule, ParseOptions, parse};
    use crate::name::DomainName;
    use crate::ruleset::{Precedence, SourceId};

    /// The single place that calls the API; every test below is data.
    #[track_caller]
    fn check(list: &str, own_block: &[&str], own_allow: &[&str], name: &str, expected: &str) {
        let mut lists = Ruleset::new(Precedence::AllowFirst);
        for rule in parse(list.as_bytes(), ParseOptions::default()).rules {
            lists.add(SourceId(0), &rule).unwrap();
        }
        let mut own = Ruleset::new(Precedence::SpecificFirst);
        for (action, rules) in [(Action::Block, own_block), (Action::Allow, own_allow)] {
            for text in rules {
                own.add(SourceId(0), &OwnRule::parse(text).unwrap().into_rule(action, 1)).unwrap();
            }
        }
        let rules = |ruleset, name: &str| Rules { ruleset: Arc::new(ruleset), sources: [name.into()].into() };
        let policy = Policy { own: rules(own, "own"), lists: rules(lists, "list"), ..Policy::default() };
        let device = DeviceTable::default().identify([192, 0, 2, 1].into());
        let name = DomainName::parse(name).unwrap();
        let verdict = match policy.judge(&device, name.as_ref()) {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Allow(rule) => format!("allow {}:{} {}", rule.list, rule.line, rule.rule),
            Verdict::Block(rule) => format!("block {}:{} {}", rule.list, rule.line, rule.rule),
        };
        assert_eq!(verdict, expected);
    }

    #[test]
    fn a_persons_own_word_wins_over_any_list() {
        let list = "||pixel.example^\n@@||good.example^\n";
        check(list, &[], &[], "a.pixel.example", "block list:1 ||pixel.example^");
        check(list, &[], &["pixel.example"], "a.pixel.example", "allow own:1 @@||pixel.example^");
        check(list, &["good.example"], &[], "good.example", "block own:1 ||good.example^");
        check(list, &[], &[], "other.example", "pass");
        check(list, &[], &["=pixel.example"], "a.pixel.example", "block list:1 ||pixel.example^");
    }
}
