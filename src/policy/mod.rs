//! Device, question and time, turned into a verdict with its reason.
//!
//! Immediate and without I/O. Shared state is a value replaced whole ([`LivePolicy`]): a query takes one generation and
//! keeps it to its end. It knows rulesets and devices; it never knows packets, upstreams or the history.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::device::Device;
use crate::list::{Action, Answer};
use crate::name::{DomainName, NameRef};
use crate::ruleset::{Asked, Client, Match, Role, Ruleset, SourceId};

/// A question as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The QNAME.
    pub name: NameRef<'a>,
    /// The QTYPE.
    pub qtype: u16,
    /// Who asks.
    pub device: &'a Device,
    /// From which address; `None` when no query is behind it.
    pub address: Option<IpAddr>,
    /// What kinds of device that is.
    pub tags: &'a [Box<str>],
}

impl<'a> Question<'a> {
    /// What this device would ask about a name: its addresses.
    pub const fn of(device: &'a Device, name: NameRef<'a>) -> Self {
        Self { name, qtype: 1, device, address: None, tags: &[] }
    }

    fn asked(&self, name: NameRef<'a>, role: Role) -> Asked<'a> {
        let client = Client { name: &self.device.name, address: self.address, tags: self.tags };
        Asked { name, qtype: self.qtype, client, role }
    }
}

/// Points at the rule behind a verdict.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RuleRef {
    /// The list's name; the first one when several have the rule.
    pub list: Arc<str>,
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

/// A verdict, with the answer that the rule behind it asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judgement {
    /// What is to be done.
    pub verdict: Verdict,
    /// What to answer when it blocks; `None`: as the household does.
    pub answer: Option<Answer>,
}

/// One rule that covers a name, as `explain` shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explained {
    /// The rule.
    pub rule: RuleRef,
    /// Every list that has it.
    pub lists: Vec<Arc<str>>,
    /// What it asks for.
    pub action: Action,
    /// Whether a person wrote it.
    pub own: bool,
}

/// What would be said of a name if there were one list less.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Without {
    /// The list.
    pub list: Arc<str>,
    /// What would be said then.
    pub verdict: Verdict,
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
    fn list(&self, source: SourceId) -> Arc<str> {
        self.sources.get(usize::from(source.0)).cloned().unwrap_or_else(|| Arc::from("?"))
    }

    fn rule_ref(&self, found: &Match<'_>) -> RuleRef {
        RuleRef { list: self.list(found.source()), rule: found.rule().to_string().into() }
    }

    fn judgement(&self, found: &Match<'_>) -> Judgement {
        let rule = self.rule_ref(found);
        match found.action() {
            Action::Allow => Judgement { verdict: Verdict::Allow(rule), answer: None },
            Action::Block => Judgement { verdict: Verdict::Block(rule), answer: found.answer().cloned() },
        }
    }

    fn judge(&self, asked: &Asked<'_>) -> Option<Judgement> {
        self.ruleset.lookup(asked).map(|found| self.judgement(&found))
    }

    fn explain(&self, asked: &Asked<'_>, own: bool) -> Vec<Explained> {
        let explained = |found: &Match<'_>| Explained {
            rule: self.rule_ref(found),
            lists: found.sources().map(|source| self.list(source)).collect(),
            action: found.action(),
            own,
        };
        self.ruleset.matches(asked).iter().map(explained).collect()
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
    pub fn judge(&self, question: &Question<'_>) -> Judgement {
        let asked = question.asked(question.name, Role::Question);
        let found = self.own.judge(&asked).or_else(|| self.lists.judge(&asked));
        found.unwrap_or(Judgement { verdict: Verdict::Pass, answer: None })
    }

    /// Judges the answer to a question that passed: every name that it leads to, and its addresses. The first that is
    /// blocked decides; one that is allowed clears only itself.
    pub fn judge_answer(
        &self,
        question: &Question<'_>,
        targets: &[DomainName],
        addresses: impl FnOnce() -> Vec<IpAddr>,
    ) -> Option<Judgement> {
        for target in targets {
            let asked = question.asked(target.as_ref(), Role::Target);
            let found = self.own.judge(&asked).or_else(|| self.lists.judge(&asked));
            if let Some(found) = found.filter(|found| matches!(found.verdict, Verdict::Block(_))) {
                return Some(found);
            }
        }
        if !self.lists.ruleset.has_addresses() {
            return None;
        }
        let asked = question.asked(question.name, Role::Question);
        for address in addresses() {
            let matches = self.lists.ruleset.address_matches(address, &asked);
            if let Some(first) = matches.first().filter(|first| first.action() == Action::Block) {
                return Some(self.lists.judgement(first));
            }
        }
        None
    }

    /// Every rule that covers `name`, the strongest first: the first one decides.
    pub fn explain(&self, question: &Question<'_>) -> Vec<Explained> {
        let asked = question.asked(question.name, Role::Question);
        [self.own.explain(&asked, true), self.lists.explain(&asked, false)].concat()
    }

    /// For each list that has the deciding rule, or another of those that cover the name, what would be said without it;
    /// lists without which nothing changes are left out.
    pub fn explain_without(explained: &[Explained]) -> Vec<Without> {
        let decides = |without: Option<&Arc<str>>| {
            let stays = |list: &&Arc<str>| Some(*list) != without;
            let rule = explained.iter().find(|rule| rule.own || rule.lists.iter().any(|list| stays(&list)));
            rule.map(|rule| {
                let list = rule.lists.iter().find(stays).unwrap_or(&rule.rule.list);
                (rule.action, RuleRef { list: Arc::clone(list), rule: rule.rule.rule.clone() })
            })
        };
        let action = |decided: &Option<(Action, RuleRef)>| decided.as_ref().map(|(action, _)| *action);
        let now = action(&decides(None));
        let mut without: Vec<Without> = Vec::new();
        for list in explained.iter().filter(|rule| !rule.own).flat_map(|rule| &rule.lists) {
            let then = decides(Some(list));
            if action(&then) == now || without.iter().any(|known| known.list == *list) {
                continue;
            }
            let verdict = match then {
                None => Verdict::Pass,
                Some((Action::Allow, rule)) => Verdict::Allow(rule),
                Some((Action::Block, rule)) => Verdict::Block(rule),
            };
            without.push(Without { list: Arc::clone(list), verdict });
        }
        without
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
    use crate::ruleset::{BuildOptions, Builder, Precedence};

    fn rules(precedence: Precedence, lists: &[(&str, Vec<crate::list::Rule>)]) -> Rules {
        let mut builder = Builder::new(BuildOptions { precedence, spill_dir: None });
        for (source, (_, rules)) in (0..).zip(lists) {
            rules.iter().for_each(|rule| builder.add(SourceId(source), false, rule).unwrap());
        }
        let sources = lists.iter().map(|(name, _)| Arc::from(*name)).collect();
        Rules { ruleset: Arc::new(builder.finish_in_memory().unwrap().0), sources }
    }

    fn policy(lists: &[(&str, &str)], own_block: &[&str], own_allow: &[&str]) -> Policy {
        let parsed = |text: &str| parse(text.as_bytes(), ParseOptions::default()).rules;
        let lists: Vec<_> = lists.iter().map(|(name, text)| (*name, parsed(text))).collect();
        let own = [(Action::Block, own_block), (Action::Allow, own_allow)];
        let own = own.into_iter().flat_map(|(action, rules)| {
            rules.iter().map(move |text| OwnRule::parse(text).unwrap().into_rule(action, 1))
        });
        Policy {
            own: rules(Precedence::SpecificFirst, &[("own", own.collect())]),
            lists: rules(Precedence::AllowFirst, &lists),
            ..Policy::default()
        }
    }

    fn shown(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Allow(rule) => format!("allow {} {}", rule.list, rule.rule),
            Verdict::Block(rule) => format!("block {} {}", rule.list, rule.rule),
        }
    }

    /// The single place that calls the API; every test below is data.
    #[track_caller]
    fn check(list: &str, own_block: &[&str], own_allow: &[&str], name: &str, expected: &str) {
        let policy = policy(&[("list", list)], own_block, own_allow);
        let device = DeviceTable::default().identify([192, 0, 2, 1].into());
        let name = DomainName::parse(name).unwrap();
        let verdict = policy.judge(&Question::of(&device, name.as_ref())).verdict;
        assert_eq!(shown(&verdict), expected);
    }

    #[test]
    fn a_persons_own_word_wins_over_any_list() {
        let list = "||pixel.example^\n@@||good.example^\n";
        check(list, &[], &[], "a.pixel.example", "block list ||pixel.example^");
        check(list, &[], &["pixel.example"], "a.pixel.example", "allow own @@||pixel.example^");
        check(list, &["good.example"], &[], "good.example", "block own ||good.example^");
        check(list, &[], &[], "other.example", "pass");
        check(list, &[], &["=pixel.example"], "a.pixel.example", "block list ||pixel.example^");
    }

    #[test]
    fn what_an_answer_leads_to_is_judged_too() {
        let device = DeviceTable::default().identify([192, 0, 2, 1].into());
        let name = |text: &str| DomainName::parse(text).unwrap();
        let check = |own_allow: &[&str], targets: &[&str], expected: &str| {
            let policy = policy(&[("list", "||tracker.example^\n")], &[], own_allow);
            let asked = name("www.shop.example");
            let targets: Vec<_> = targets.iter().map(|text| name(text)).collect();
            let found = policy.judge_answer(&Question::of(&device, asked.as_ref()), &targets, Vec::new);
            assert_eq!(found.map_or("pass".to_owned(), |found| shown(&found.verdict)), expected);
        };
        check(&[], &["cdn.example"], "pass");
        check(&[], &["cdn.example", "shop.tracker.example"], "block list ||tracker.example^");
        check(&["tracker.example"], &["shop.tracker.example"], "pass");
    }

    #[test]
    fn what_would_change_without_a_list_is_told() {
        let device = DeviceTable::default().identify([192, 0, 2, 1].into());
        let check = |lists: &[(&str, &str)], expected: &[&str]| {
            let policy = policy(lists, &[], &[]);
            let name = DomainName::parse("a.pixel.example").unwrap();
            let explained = policy.explain(&Question::of(&device, name.as_ref()));
            let without = Policy::explain_without(&explained);
            let without: Vec<_> = without
                .iter()
                .map(|without| format!("{}: {}", without.list, shown(&without.verdict)))
                .collect();
            assert_eq!(without, expected);
        };
        check(&[("one", "||pixel.example^")], &["one: pass"]);
        check(&[("one", "||pixel.example^"), ("two", "a.pixel.example")], &[]);
        check(&[("one", "||pixel.example^"), ("two", "||pixel.example^")], &[]);
        check(
            &[("one", "||pixel.example^"), ("two", "@@||pixel.example^")],
            &["two: block one ||pixel.example^"],
        );
    }
}
