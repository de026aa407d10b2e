//! Device, question and time, turned into a verdict with its reason.
//!
//! Immediate and without I/O. Shared state is a value replaced whole ([`LivePolicy`]): a query takes one generation and
//! keeps it to its end. It knows rulesets and devices; it never knows packets, upstreams or the history.

mod answers;
mod memo;

pub use answers::{AnswerChecks, Objection};
pub use memo::Memo;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::device::{Device, DeviceKey, Mac};
use crate::list::{self, Action, Answer};
use crate::name::{DomainName, NameRef};
use crate::ruleset::{Asked, Client, KnownBy, Match, Role, Ruleset, SourceId, Trace};
use memo::Remembered;

/// A question as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The QNAME.
    pub name: NameRef<'a>,
    /// The QTYPE.
    pub qtype: u16,
    /// What people call the device that asks; empty when nobody has named it.
    pub device: &'a str,
    /// From which address; `None` when no query is behind it.
    pub address: Option<IpAddr>,
    /// Which device that is, whatever it is called; `None`: nobody in particular.
    pub key: Option<DeviceKey>,
    /// What kinds of device that is.
    pub tags: &'a [Box<str>],
}

impl<'a> Question<'a> {
    /// What this device would ask about a name: its addresses.
    pub fn of(device: &'a Device, name: NameRef<'a>) -> Self {
        Self { name, qtype: 1, device: &device.name, address: None, key: Some(device.key), tags: &[] }
    }

    /// What anybody would ask about a name, for whom no rule for some devices counts.
    pub const fn by_anyone(name: NameRef<'a>) -> Self {
        Self { name, qtype: 1, device: "", address: None, key: None, tags: &[] }
    }

    fn asked(&self, name: NameRef<'a>, role: Role) -> Asked<'a> {
        let known_by = self.key.map(|key| match key {
            DeviceKey::Mac(Mac(octets)) => KnownBy::Mac(octets),
            DeviceKey::Address(address) => KnownBy::Address(address),
        });
        let client = Client { name: self.device, address: self.address, known_by, tags: self.tags };
        Asked { name, qtype: self.qtype, client, role }
    }
}

/// How rules speak of a device, so that they stay right when it is renamed.
pub fn client_of(key: DeviceKey) -> list::Client {
    match key {
        DeviceKey::Mac(Mac(octets)) => list::Client::Mac(octets),
        DeviceKey::Address(address) => list::Client::by_address(address),
    }
}

/// The device that a rule speaks of; `None` when it does so by name or means a whole network.
pub fn device_of(client: &list::Client) -> Option<DeviceKey> {
    match client {
        list::Client::Mac(octets) => Some(DeviceKey::Mac(Mac(*octets))),
        client => client.address().map(|address| DeviceKey::Address(address.to_canonical())),
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

/// The rule that decides about a question, borrowed from the policy; its `Display` is the rule in its shortest form.
#[derive(Clone, Copy, Debug)]
pub struct Decisive<'a> {
    rules: &'a Rules,
    found: Match<'a>,
}

impl<'a> Decisive<'a> {
    /// What the rule asks for.
    pub const fn action(&self) -> Action {
        self.found.action()
    }

    /// What to answer when it blocks; `None`: as the household does.
    pub fn answer(&self) -> Option<&'a Answer> {
        self.found.answer().filter(|_| self.action() == Action::Block)
    }

    /// The list's name; the first one when several have the rule.
    pub fn list(&self) -> &'a str {
        self.rules.sources.get(usize::from(self.found.source().0)).map_or("?", |list| &**list)
    }

    /// The verdict, to keep.
    pub fn verdict(&self) -> Verdict {
        let rule = self.rules.rule_ref(&self.found);
        match self.action() {
            Action::Allow => Verdict::Allow(rule),
            Action::Block => Verdict::Block(rule),
        }
    }
}

impl fmt::Display for Decisive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.found.fmt(f)
    }
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
        RuleRef { list: self.list(found.source()), rule: found.to_string().into() }
    }

    fn decide<'a>(&'a self, asked: &Asked<'a>) -> Option<Decisive<'a>> {
        self.ruleset.lookup(asked).map(|found| Decisive { rules: self, found })
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
    /// What no answer may say.
    pub answers: AnswerChecks,
    /// Which one it is since the start, so that what was found under it can be remembered.
    pub generation: u64,
}

impl Policy {
    /// The rule that decides about a question; `None` when no rule speaks of its name. Allocates only where a pattern may
    /// match.
    pub fn decide<'a>(&'a self, question: &Question<'a>) -> Option<Decisive<'a>> {
        let asked = question.asked(question.name, Role::Question);
        self.own.decide(&asked).or_else(|| self.lists.decide(&asked))
    }

    /// The rule of the person's own that decides about a question, whatever lists say.
    pub fn own_rule<'a>(&'a self, question: &Question<'a>) -> Option<Match<'a>> {
        self.own.ruleset.lookup(&question.asked(question.name, Role::Question))
    }

    /// Whether a rule of the person's own decides.
    pub fn is_own(&self, decisive: &Decisive<'_>) -> bool {
        std::ptr::eq(decisive.rules, &raw const self.own)
    }

    /// As [`Policy::decide`], by what `memo` remembers of the name or else for it to remember.
    pub fn decide_by<'a>(&'a self, question: &Question<'a>, memo: &Memo) -> Option<Decisive<'a>> {
        let place = memo.place(question.name, self.generation);
        let recall = |rules: &'a Rules, found| {
            rules.ruleset.recall(question.name, found).map(|found| Decisive { rules, found })
        };
        match memo.recall(place) {
            Remembered::Unknown => {}
            Remembered::Pass => return None,
            Remembered::Own(found) => return recall(&self.own, found),
            Remembered::Lists(found) => return recall(&self.lists, found),
        }
        let asked = question.asked(question.name, Role::Question);
        let decided = match self.own.ruleset.trace(&asked) {
            (Some(found), trace) => (Some(Decisive { rules: &self.own, found }), trace.map(Remembered::Own)),
            (None, Trace::Varies) => (self.lists.decide(&asked), None),
            (None, _) => match self.lists.ruleset.trace(&asked) {
                (Some(found), trace) => {
                    (Some(Decisive { rules: &self.lists, found }), trace.map(Remembered::Lists))
                }
                (None, trace) => (None, (trace == Trace::Nothing).then_some(Remembered::Pass)),
            },
        };
        if let (_, Some(remembered)) = decided {
            memo.remember(place, remembered);
        }
        decided.0
    }

    /// The verdict on a question, to keep.
    pub fn judge(&self, question: &Question<'_>) -> Verdict {
        self.decide(question).map_or(Verdict::Pass, |decisive| decisive.verdict())
    }

    /// The rule that blocks the answer to a question that passed: one about a name that it leads to, which comes with it, or
    /// about one of its addresses. The first that is blocked decides; one that is allowed clears only itself.
    pub fn decide_answer<'a>(
        &'a self,
        question: &Question<'a>,
        targets: &'a [DomainName],
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Option<(Decisive<'a>, Option<NameRef<'a>>)> {
        let blocks = |decisive: &Decisive<'_>| decisive.action() == Action::Block;
        for target in targets {
            let asked = question.asked(target.as_ref(), Role::Target);
            let found = self.own.decide(&asked).or_else(|| self.lists.decide(&asked));
            if let Some(found) = found.filter(blocks) {
                return Some((found, Some(target.as_ref())));
            }
        }
        if !self.lists.ruleset.has_addresses() {
            return None;
        }
        let asked = question.asked(question.name, Role::Question);
        for address in addresses {
            let matches = self.lists.ruleset.address_matches(address, &asked);
            let first = matches.first().map(|found| Decisive { rules: &self.lists, found: *found });
            if let Some(found) = first.filter(blocks) {
                return Some((found, None));
            }
        }
        None
    }

    /// Whether an answer that is found free of blocks for one client is so for every client.
    pub fn is_alike_for_all(&self) -> bool {
        !self.own.ruleset.tells_clients_apart() && !self.lists.ruleset.tells_clients_apart()
    }

    /// Every rule that covers `name`, the strongest first: the first one decides.
    pub fn explain(&self, question: &Question<'_>) -> Vec<Explained> {
        let asked = question.asked(question.name, Role::Question);
        [self.own.explain(&asked, true), self.lists.explain(&asked, false)].concat()
    }

    /// The same for a name that an answer leads to.
    pub fn explain_target(&self, question: &Question<'_>) -> Vec<Explained> {
        let asked = question.asked(question.name, Role::Target);
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
            policy.generation += 1;
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

    fn rules(precedence: Precedence, lists: &[(&str, Vec<list::Rule>)]) -> Rules {
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

    #[test]
    fn what_is_remembered_is_what_would_be_decided() {
        let list = "||a.example^\n@@||b.a.example^\n||c.example^$dnstype=AAAA\n||d.example^$client=10.0.0.1\n\
                    =e.example\n*.f.example\n/^g[0-9]/\n||a.example^$important,dnsrewrite=NXDOMAIN;;\n||h.example^";
        let memo = Memo::default();
        let mut policy = policy(&[("list", list)], &["own.example", "=x.h.example"], &["y.h.example"]);
        for round in 0..4 {
            // A changed policy is not answered for by what was remembered.
            if round == 2 {
                policy.lists = Rules::default();
                policy.generation += 1;
            }
            for zone in ["a", "b.a", "c", "d", "e", "f", "g1", "h", "x.h", "y.h", "own", "none"] {
                for below in ["", "z.", "z.z."] {
                    for (qtype, address) in
                        [(1, "10.0.0.1"), (28, "10.0.0.1"), (1, "10.0.0.2"), (28, "10.0.0.2")]
                    {
                        let name = DomainName::parse(&format!("{below}{zone}.example")).unwrap();
                        let address = Some(address.parse().unwrap());
                        let question = Question { address, qtype, ..Question::by_anyone(name.as_ref()) };
                        let decided =
                            policy.decide(&question).map(|found| (found.verdict(), found.answer().cloned()));
                        let by_memo = policy.decide_by(&question, &memo);
                        let by_memo = by_memo.map(|found| (found.verdict(), found.answer().cloned()));
                        assert_eq!(by_memo, decided, "{name} {qtype} {address:?}");
                    }
                }
            }
        }
    }

    /// The single place that calls the API; every test below is data.
    #[track_caller]
    fn check(list: &str, own_block: &[&str], own_allow: &[&str], name: &str, expected: &str) {
        let policy = policy(&[("list", list)], own_block, own_allow);
        let device = DeviceTable::default().identify([192, 0, 2, 1].into());
        let name = DomainName::parse(name).unwrap();
        let verdict = policy.judge(&Question::of(&device, name.as_ref()));
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
            let question = Question::of(&device, asked.as_ref());
            let found = policy.decide_answer(&question, &targets, std::iter::empty());
            let told = |(found, behind): (Decisive<'_>, Option<NameRef<'_>>)| {
                let behind = behind.map_or(String::new(), |behind| format!(" for {}", behind.to_owned()));
                format!("{}{behind}", shown(&found.verdict()))
            };
            assert_eq!(found.map_or("pass".to_owned(), told), expected);
        };
        check(&[], &["cdn.example"], "pass");
        check(
            &[],
            &["cdn.example", "shop.tracker.example"],
            "block list ||tracker.example^ for shop.tracker.example",
        );
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
