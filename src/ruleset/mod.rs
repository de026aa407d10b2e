//! The ruleset: every rule of every source, compiled once and looked up.
//!
//! A look-up answers "which rules cover this name, and from which line of which source" without allocation. It knows
//! names and rules only: nothing of devices, groups, time, the network or the configuration (see `policy` for those).
//!
//! Names stand one after the other in one arena; a hash table of indices finds a name, and from there a chain of the
//! rules that speak of it. A query probes once for each of its ancestors.

use std::cmp::Ordering;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::list::{Action, Rule, Scope, Subject};
use crate::name::NameRef;

/// Which source a rule came from: an index into the caller's table of sources.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u16);

/// Which rule is the stronger one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Precedence {
    /// Lists: an exception wins over every block; among equals the more specific name wins.
    #[default]
    AllowFirst,
    /// A person's own rules: the more specific name wins; at the same name an exception wins.
    SpecificFirst,
}

/// A rule that covers the name that was looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Match<'a> {
    /// The source that has the rule.
    pub source: SourceId,
    /// Its line there, from 1.
    pub line: u32,
    /// What it asks for.
    pub action: Action,
    /// What it covers.
    pub scope: Scope,
    /// The name it is about: the name that was looked up or one of its ancestors.
    pub name: NameRef<'a>,
}

/// All rules, compiled once and never changed after.
#[derive(Debug, Default)]
pub struct Ruleset {
    precedence: Precedence,
    hasher: DefaultHashBuilder,
    arena: Vec<u8>,
    keys: Vec<Key>,
    rules: Vec<Stored>,
    table: HashTable<u32>,
}

/// One distinct name.
#[derive(Debug)]
struct Key {
    start: u32,
    length: u8,
    first: u32,
}

/// One rule, in the chain of its name.
#[derive(Clone, Copy, Debug)]
struct Stored {
    line: u32,
    next: u32,
    source: SourceId,
    scope: Scope,
    action: Action,
}

/// The end of a chain.
const END: u32 = u32::MAX;

impl Ruleset {
    /// An empty ruleset.
    pub fn new(precedence: Precedence) -> Self {
        Self { precedence, ..Self::default() }
    }

    /// Adds a rule. One that its source has already said is not kept twice.
    ///
    /// # Errors
    /// When the ruleset is full: 4 GiB of names or 2^32 rules.
    pub fn add(&mut self, source: SourceId, rule: &Rule) -> Result<(), Full> {
        let Subject::Name { name, scope } = &rule.subject else { return Ok(()) };
        let scope = *scope;
        let wire = name.as_ref().as_wire();
        let hash = self.hasher.hash_one(wire);
        let index = u32::try_from(self.rules.len()).ok().filter(|&index| index != END).ok_or(Full)?;
        let found = self.table.find(hash, |&key| self.key_wire(key) == wire).copied();
        let key = match found {
            Some(key) => key,
            None => self.add_key(wire, hash)?,
        };
        let first = self.keys.get(key as usize).map_or(END, |key| key.first);
        let said = self
            .chain(first)
            .any(|known| (known.source, known.scope, known.action) == (source, scope, rule.action));
        if said {
            return Ok(());
        }
        let Rule { line, action, .. } = *rule;
        self.rules.push(Stored { line, next: first, source, scope, action });
        if let Some(key) = self.keys.get_mut(key as usize) {
            key.first = index;
        }
        Ok(())
    }

    fn add_key(&mut self, wire: &[u8], hash: u64) -> Result<u32, Full> {
        let key = u32::try_from(self.keys.len()).map_err(|_| Full)?;
        let start = u32::try_from(self.arena.len()).map_err(|_| Full)?;
        let length = u8::try_from(wire.len()).map_err(|_| Full)?;
        self.arena.extend_from_slice(wire);
        self.keys.push(Key { start, length, first: END });
        let Self { table, keys, arena, hasher, .. } = self;
        table.insert_unique(hash, key, |&key| hasher.hash_one(wire_of(keys, arena, key)));
        Ok(key)
    }

    /// Gives back the memory that growing has left over.
    pub fn finish(mut self) -> Self {
        self.arena.shrink_to_fit();
        self.keys.shrink_to_fit();
        self.rules.shrink_to_fit();
        self
    }

    /// How many rules there are; a rule that several sources have counts for each of them.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The strongest rule that covers `name`, or `None` when no rule does. Never allocates.
    pub fn lookup<'a>(&'a self, name: NameRef<'a>) -> Option<Match<'a>> {
        self.covering(name).reduce(|best, next| if self.order(&best, &next).is_gt() { next } else { best })
    }

    /// Every rule that covers `name`, the strongest first.
    pub fn matches<'a>(&'a self, name: NameRef<'a>) -> Vec<Match<'a>> {
        let mut matches: Vec<_> = self.covering(name).collect();
        matches.sort_by(|one, other| self.order(one, other));
        matches
    }

    fn covering<'a>(&'a self, name: NameRef<'a>) -> impl Iterator<Item = Match<'a>> {
        let own = name.as_wire().len();
        name.ancestors().flat_map(move |ancestor| {
            let wire = ancestor.as_wire();
            let key = self.table.find(self.hasher.hash_one(wire), |&key| self.key_wire(key) == wire);
            let first = key.and_then(|&key| self.keys.get(key as usize)).map_or(END, |key| key.first);
            let covers = move |rule: &Stored| match rule.scope {
                Scope::Exact => wire.len() == own,
                Scope::Subtree => true,
                Scope::Below => wire.len() < own,
            };
            self.chain(first).filter(covers).map(move |rule| {
                let Stored { line, source, scope, action, .. } = rule;
                Match { source, line, action, scope, name: ancestor }
            })
        })
    }

    /// `Less` when `one` is the stronger. All matches lie on one chain of ancestors, so that length tells depth.
    fn order(&self, one: &Match<'_>, other: &Match<'_>) -> Ordering {
        let by_action = one.action.cmp(&other.action);
        let depth = |rule: &Match<'_>| (rule.name.as_wire().len(), scope_rank(rule.scope));
        let by_depth = depth(other).cmp(&depth(one));
        let by_place = (one.source, one.line).cmp(&(other.source, other.line));
        match self.precedence {
            Precedence::AllowFirst => by_action.then(by_depth).then(by_place),
            Precedence::SpecificFirst => by_depth.then(by_action).then(by_place),
        }
    }

    fn chain(&self, first: u32) -> impl Iterator<Item = Stored> {
        let at = |index: u32| self.rules.get(index as usize).copied();
        std::iter::successors(at(first), move |rule| at(rule.next))
    }

    fn key_wire(&self, key: u32) -> &[u8] {
        wire_of(&self.keys, &self.arena, key)
    }
}

fn wire_of<'a>(keys: &[Key], arena: &'a [u8], key: u32) -> &'a [u8] {
    let Some(key) = keys.get(key as usize) else { return &[] };
    let start = key.start as usize;
    arena.get(start..start + usize::from(key.length)).unwrap_or_default()
}

/// How specific a scope is at the same name.
const fn scope_rank(scope: Scope) -> u8 {
    match scope {
        Scope::Below => 0,
        Scope::Subtree => 1,
        Scope::Exact => 2,
    }
}

/// The ruleset can't hold another rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the ruleset is full (4 GiB of names); remove a list")]
pub struct Full;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::DomainName;

    fn rule(text: &str, action: Action, line: u32) -> Rule {
        let own = crate::list::OwnRule::parse(text).unwrap();
        own.into_rule(action, line)
    }

    fn ruleset(precedence: Precedence, block: &[&str], allow: &[&str]) -> Ruleset {
        let mut ruleset = Ruleset::new(precedence);
        for (source, action, rules) in [(0, Action::Block, block), (1, Action::Allow, allow)] {
            for (text, line) in rules.iter().zip(1..) {
                ruleset.add(SourceId(source), &rule(text, action, line)).unwrap();
            }
        }
        ruleset.finish()
    }

    #[track_caller]
    fn check(block: &[&str], allow: &[&str], name: &str, lists: &str, own: &str) {
        for (precedence, expected) in [(Precedence::AllowFirst, lists), (Precedence::SpecificFirst, own)] {
            let ruleset = ruleset(precedence, block, allow);
            let name = DomainName::parse(name).unwrap();
            let found = match ruleset.lookup(name.as_ref()) {
                Some(found) => format!("{:?} {}", found.action, found.line),
                None => "none".to_owned(),
            };
            assert_eq!(found, expected, "{precedence:?} {name}");
        }
    }

    #[test]
    fn scopes_cover_what_they_say() {
        let block = ["=exact.example", "tree.example", "*.below.example"];
        check(&block, &[], "exact.example", "Block 1", "Block 1");
        check(&block, &[], "a.exact.example", "none", "none");
        check(&block, &[], "tree.example", "Block 2", "Block 2");
        check(&block, &[], "a.b.tree.example", "Block 2", "Block 2");
        check(&block, &[], "below.example", "none", "none");
        check(&block, &[], "a.below.example", "Block 3", "Block 3");
        check(&block, &[], "nottree.example", "none", "none");
        check(&block, &[], "example", "none", "none");
    }

    #[test]
    fn an_exception_wins_in_lists_and_the_more_specific_name_in_own_rules() {
        check(&["ads.cdn.example"], &["cdn.example"], "ads.cdn.example", "Allow 1", "Block 1");
        check(&["cdn.example"], &["ok.cdn.example"], "ok.cdn.example", "Allow 1", "Allow 1");
        check(&["cdn.example"], &["cdn.example"], "cdn.example", "Allow 1", "Allow 1");
        check(&["=cdn.example"], &["cdn.example"], "cdn.example", "Allow 1", "Block 1");
    }

    #[test]
    fn all_sources_of_a_rule_are_known() {
        let mut ruleset = Ruleset::default();
        for source in [2, 0, 1, 0] {
            ruleset.add(SourceId(source), &rule("a.example", Action::Block, 7)).unwrap();
        }
        let name = DomainName::parse("x.a.example").unwrap();
        let sources: Vec<u16> = ruleset.matches(name.as_ref()).iter().map(|found| found.source.0).collect();
        assert_eq!(sources, [0, 1, 2]);
    }

    proptest! {
        /// A naive scan over all rules finds the same set, and the strongest of it is what a look-up returns.
        #[test]
        fn equals_a_naive_scan(
            rules in proptest::collection::vec(("(=|\\*\\.|)[ab](\\.[abc]){1,3}", any::<bool>()), 0..40),
            name in "[ab](\\.[abc]){0,4}",
        ) {
            let name = DomainName::parse(&name).unwrap();
            let name = name.as_ref();
            let mut ruleset = Ruleset::default();
            let mut naive = Vec::new();
            for ((text, allow), line) in rules.iter().zip(1..) {
                let action = if *allow { Action::Allow } else { Action::Block };
                let rule = rule(text, action, line);
                ruleset.add(SourceId(0), &rule).unwrap();
                let Subject::Name { name: own, scope } = &rule.subject else { unreachable!() };
                let own = own.as_ref();
                let covers = match scope {
                    Scope::Exact => name == own,
                    Scope::Subtree => name.is_within(own),
                    Scope::Below => name.is_within(own) && name != own,
                };
                if covers && !naive.contains(&(rule.to_string())) {
                    naive.push(rule.to_string());
                }
            }
            let matches = ruleset.matches(name);
            let shown = |found: &Match<'_>| {
                Rule::plain(found.name.to_owned(), found.scope, found.action, found.line).to_string()
            };
            let mut found: Vec<String> = matches.iter().map(shown).collect();
            prop_assert_eq!(ruleset.lookup(name), matches.first().copied());
            found.sort();
            naive.sort();
            prop_assert_eq!(found, naive);
        }
    }
}
