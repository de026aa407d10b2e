//! What the ruleset must say, told the slow and obvious way: every rule is looked at, one after the other.

use pixelsink::list::{Action, Chosen, Client, Modifiers, Picked, Rule, Scope, Subject};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, KnownBy, Role, SourceId};
use regex_automata::meta::Regex;

/// All rules, each with its source and whether it counts for targets only.
#[derive(Default)]
pub(crate) struct Naive {
    rules: Vec<Known>,
}

struct Known {
    source: SourceId,
    targets_only: bool,
    rule: Rule,
    /// The expression of a pattern, compiled once.
    regex: Option<Regex>,
}

impl Naive {
    pub(crate) fn add(&mut self, source: SourceId, targets_only: bool, rule: &Rule) {
        let regex = match &rule.subject {
            Subject::Pattern(pattern) => {
                let syntax = regex_automata::util::syntax::Config::new().utf8(false);
                Some(Regex::builder().syntax(syntax).build(pattern.as_regex()).unwrap())
            }
            _ => None,
        };
        self.rules.push(Known { source, targets_only, rule: rule.clone(), regex });
    }

    /// The rules about each name, for a model of many rules; patterns stay in this one.
    pub(crate) fn into_parts(self) -> (std::collections::HashMap<DomainName, Self>, Self) {
        let mut by_name = std::collections::HashMap::<DomainName, Self>::new();
        let mut others = Self::default();
        for rule in self.rules {
            match &rule.rule.subject {
                Subject::Name { name, .. } => by_name.entry(name.clone()).or_default().rules.push(rule),
                _ => others.rules.push(rule),
            }
        }
        (by_name, others)
    }

    /// Every rule that covers what is asked, as text, with its source; sorted, each once.
    pub(crate) fn matches(&self, asked: &Asked<'_>) -> Vec<(String, u16)> {
        let mut found: Vec<(String, u16)> = left(&self.covering(asked).collect::<Vec<_>>())
            .map(|known| (known.rule.to_string(), known.source.0))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// What the strongest rule for lists asks for: `$important`, then exceptions.
    pub(crate) fn action(&self, asked: &Asked<'_>) -> Option<Action> {
        let important = |rule: &Rule| rule.modifiers.as_ref().is_some_and(|modifiers| modifiers.important);
        let all: Vec<_> = self.covering(asked).collect();
        let strong = left(&all).map(|known| &known.rule).filter(|rule| !takes_answer_back(rule));
        strong.map(|rule| (!important(rule), rule.action)).min().map(|(_, action)| action)
    }

    /// What the strongest rule of a person's own asks for: one for some devices, then the longest name (a pattern has none),
    /// then the narrowest scope, then exceptions.
    pub(crate) fn own_action(&self, asked: &Asked<'_>) -> Option<Action> {
        let rank = |rule: &Rule| {
            let is_for_some = rule.modifiers.as_ref().is_some_and(|modifiers| modifiers.clients.is_some());
            let (labels, scope) = match &rule.subject {
                Subject::Name { name, scope } => {
                    let scope = match scope {
                        Scope::Below => 1,
                        Scope::Subtree => 2,
                        Scope::Exact => 3,
                    };
                    (name.as_ref().label_count() + 1, scope)
                }
                _ => (0, 0),
            };
            (!is_for_some, std::cmp::Reverse((labels, scope)), rule.action)
        };
        let rules = self.covering(asked).map(|known| &known.rule);
        rules.map(|rule| (rank(rule), rule.action)).min_by_key(|(rank, _)| *rank).map(|(_, action)| action)
    }

    fn covering(&self, asked: &Asked<'_>) -> impl Iterator<Item = &Known> {
        self.rules.iter().filter(move |known| {
            let Known { targets_only, rule, .. } = known;
            let modifiers = rule.modifiers.as_deref();
            let is_badfilter = modifiers.is_some_and(|modifiers| modifiers.badfilter);
            !is_badfilter
                && !self.is_taken_back(rule)
                && (!targets_only || asked.role == Role::Target)
                && covers(known, &asked.name.to_owned())
                && modifiers.is_none_or(|modifiers| applies(modifiers, asked))
        })
    }

    fn is_taken_back(&self, rule: &Rule) -> bool {
        self.rules.iter().map(|known| &known.rule).any(|other| match &other.modifiers {
            Some(modifiers) if modifiers.badfilter => {
                let mut plain = Modifiers::clone(modifiers);
                plain.badfilter = false;
                let same = rule.modifiers.as_deref().cloned().unwrap_or_default() == plain;
                same && other.subject == rule.subject && other.action == rule.action
            }
            _ => false,
        })
    }
}

/// What is left of rules when answers that were taken back are gone.
fn left<'a>(all: &[&'a Known]) -> impl Iterator<Item = &'a Known> {
    let rules = all.iter().map(|known| &known.rule);
    let back: Vec<_> = rules.filter(|rule| takes_answer_back(rule)).map(answer).collect();
    let every = Some(pixelsink::list::Answer::Records([].into()));
    let stays = move |rule: &Rule| {
        takes_answer_back(rule)
            || answer(rule).is_none()
            || !back.iter().any(|back| *back == every || *back == answer(rule))
    };
    all.iter().copied().filter(move |known| stays(&known.rule)).collect::<Vec<_>>().into_iter()
}

fn answer(rule: &Rule) -> Option<pixelsink::list::Answer> {
    rule.modifiers.as_ref().and_then(|modifiers| modifiers.answer.clone())
}

fn takes_answer_back(rule: &Rule) -> bool {
    rule.action == Action::Allow && answer(rule).is_some()
}

fn covers(known: &Known, asked: &DomainName) -> bool {
    match &known.rule.subject {
        Subject::Name { name, scope: Scope::Exact } => asked == name,
        Subject::Name { name, scope: Scope::Subtree } => asked.as_ref().is_within(name.as_ref()),
        Subject::Name { name, scope: Scope::Below } => {
            asked.as_ref().is_within(name.as_ref()) && asked != name
        }
        Subject::Pattern(pattern) => {
            let text: Vec<&[u8]> = asked.as_ref().labels().collect();
            let matches = known.regex.as_ref().is_some_and(|regex| regex.is_match(&text.join(&b'.')));
            !asked.as_ref().is_root() && matches != pattern.is_inverted()
        }
        Subject::Addresses(_) => false,
    }
}

fn applies(modifiers: &Modifiers, asked: &Asked<'_>) -> bool {
    let qtype = match &modifiers.qtypes {
        None => true,
        Some(Chosen::Only(qtypes)) => qtypes.contains(&asked.qtype),
        Some(Chosen::Except(qtypes)) => !qtypes.contains(&asked.qtype),
    };
    let client = |client: &Client| match client {
        Client::Name(name) => **name == *asked.client.name,
        Client::Address(net) => {
            let by_address = |address| net.contains(address) && net.prefix_len() == net.max_prefix_len();
            matches!(&asked.client.known_by, Some(KnownBy::Address(address)) if by_address(address))
                || asked.client.address.is_some_and(|address| net.contains(&address))
        }
        Client::Mac(mac) => asked.client.known_by == Some(KnownBy::Mac(*mac)),
    };
    let is_excepted = modifiers.except.iter().any(|name| asked.name.is_within(name.as_ref()));
    qtype
        && !is_excepted
        && picks(modifiers.clients.as_ref(), client)
        && picks(modifiers.tags.as_ref(), |tag| asked.client.tags.contains(tag))
}

fn picks<T>(picked: Option<&Picked<T>>, is: impl Fn(&T) -> bool) -> bool {
    picked.is_none_or(|Picked { only, except }| {
        (only.is_empty() || only.iter().any(&is)) && !except.iter().any(&is)
    })
}
