//! The part of the Adblock syntax that speaks of names (AdGuard, "DNS filtering rules syntax").
//!
//! A pattern is text of the name; `||` stands for the beginning of the name or of a label, `|` for the beginning or the end,
//! `^` for the end, `*` for anything. Most patterns come down to a name and what is below it. What could only match a URL,
//! and each rule with a modifier that is not known, is for browsers, and never taken for a whole domain.

use super::line::Reader;
use super::pattern::Budget;
use super::{Action, Modifiers, Pattern, PatternError, Rule, Scope, Skip, Subject, hosts, modifiers};
use crate::name::NameError;
use crate::name::suffix::is_top_level;

/// Wildcards with fewer letters than this say too little to be meant for all names that they match.
const PATTERN_LEN_MIN: usize = 3;

/// Whether a line is a regular expression, with `@@` before it or `$modifiers` behind it or without.
pub(super) fn is_regex(line: &str) -> bool {
    let line = line.strip_prefix("@@").unwrap_or(line);
    let (pattern, _) = split(line);
    1 < pattern.len() && pattern.starts_with('/') && pattern.ends_with('/')
}

/// A rule's pattern, and its modifiers when it has some.
pub(super) fn split(rule: &str) -> (&str, Option<&str>) {
    // A regular expression has `$` for itself.
    let separator =
        if rule.starts_with('/') { rule.rfind("/$").map(|slash| slash + 1) } else { rule.find('$') };
    match separator {
        Some(separator) if 1 < separator || !rule.starts_with('/') => {
            (rule.get(..separator).unwrap_or_default(), rule.get(separator + 1..))
        }
        _ => (rule, None),
    }
}

/// Whether a line without `||` or `|` is a pattern, or a part of a URL.
pub(super) fn is_fragment(line: &str, is_adblock: bool) -> bool {
    let is_url = line != "." && line.starts_with(['-', '&', '?', '=', ':', '*', '.', ',', '%'])
        || (is_adblock && (line.starts_with('_') || line.ends_with(['.', '_', '-'])))
        || line.contains(['/', '?', '=', '&', '*', '$', '^', '|']);
    is_url && (!line.contains(['<', '>', ' ']) || line.contains('$'))
}

pub(super) fn read(line: &str, reader: &mut Reader, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let (action, rule) = match line.strip_prefix("@@") {
        Some(rule) => (Action::Allow, rule),
        None => (Action::Block, line),
    };
    let (pattern, modifiers) = split(rule);
    let modifiers = match modifiers {
        Some(modifiers) => modifiers::read(modifiers, action)?,
        None => Modifiers::default(),
    };
    let is_bare = pattern.chars().all(|character| character == '*');
    if is_bare && !narrows(&modifiers) {
        return Err(Skip::TooWide);
    }
    let is_anchored = is_bare || pattern.starts_with(['|', '/']);
    if !is_anchored && !is_of_names(pattern, reader.is_adblock, modifiers != Modifiers::default()) {
        return Err(Skip::BrowserOnly);
    }
    let subject = if modifiers.answer.is_some() {
        subject_of_any(pattern, &mut reader.patterns)
    } else {
        subject(pattern, &mut reader.patterns)
    }?;
    if let Subject::Pattern(compiled) = &subject {
        refuse_too_wide(compiled, &modifiers)?;
        let says = pattern.chars().filter(|character| character.is_alphanumeric()).count();
        if says < PATTERN_LEN_MIN && !pattern.starts_with('/') && !narrows(&modifiers) {
            return Err(Skip::TooWide);
        }
    }
    let modifiers = (modifiers != Modifiers::default()).then(|| Box::new(modifiers));
    rules.push(Rule { subject, action, modifiers, line: 0 });
    Ok(())
}

/// A pattern that is held to neither beginning is most often a part of a URL. It speaks of names when nothing is left open,
/// or in a list without browsers' header when it looks like a name and its end is held.
fn is_of_names(pattern: &str, is_adblock: bool, has_modifiers: bool) -> bool {
    let belongs = |character: char| character.is_alphanumeric() || "-_.*^|".contains(character);
    let begins = |character: char| character.is_alphanumeric() || character == '*';
    let is_held = pattern.ends_with(['^', '|']) || has_modifiers || {
        // `ads*.example.com`; no `adsense*.js`, `banner*.gif`.
        let last = pattern.rsplit('.').next().unwrap_or_default();
        pattern.contains('.') && is_top_level(last.as_bytes())
    };
    !is_adblock && pattern.starts_with(begins) && pattern.chars().all(belongs) && is_held
}

/// Refuses what would match every name, unless it is narrowed.
pub(super) fn refuse_too_wide(pattern: &Pattern, modifiers: &Modifiers) -> Result<(), Skip> {
    if pattern.matches_every_name() && !narrows(modifiers) { Err(Skip::TooWide) } else { Ok(()) }
}

/// `$client`, `$ctag`, `$dnstype` and `$denyallow` are what AdGuard asks a wide rule for.
fn narrows(modifiers: &Modifiers) -> bool {
    modifiers.clients.is_some()
        || modifiers.tags.is_some()
        || modifiers.qtypes.is_some()
        || !modifiers.except.is_empty()
}

/// As [`subject`], for a rule that gives an answer: reverse names are spoken of for their own sake.
fn subject_of_any(pattern: &str, patterns: &mut Budget) -> Result<Subject, Skip> {
    let name = pattern.strip_prefix("||").and_then(|rest| rest.strip_suffix('^')).unwrap_or_default();
    let is_reverse = name.to_ascii_lowercase().ends_with(".arpa") && !name.contains('*');
    match crate::name::DomainName::parse(name) {
        Ok(name) if is_reverse && 3 < name.as_ref().label_count() => {
            Ok(Subject::Name { name, scope: Scope::Subtree })
        }
        _ => subject(pattern, patterns),
    }
}

/// Where a pattern is held at its beginning.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Start {
    Label,
    Name,
    Open,
}

/// What a pattern covers.
pub(super) fn subject(pattern: &str, patterns: &mut Budget) -> Result<Subject, Skip> {
    if 1 < pattern.len() && pattern.starts_with('/') && pattern.ends_with('/') {
        let inner = pattern.get(1..pattern.len() - 1).unwrap_or_default();
        // Only URLs have slashes.
        if inner.contains('/') {
            return Err(Skip::BrowserOnly);
        }
        return patterns.compile(pattern, inner, false).map(Subject::Pattern);
    }
    if let Some(character) = pattern.chars().find(|character| !belongs(*character)) {
        let is_url = "/:?=&@%~+,".contains(character);
        return Err(if is_url { Skip::BrowserOnly } else { Skip::Name(NameError::Character(character)) });
    }
    let (start, body) = match (pattern.strip_prefix("||"), pattern.strip_prefix('|')) {
        (Some(body), _) => (Start::Label, body),
        (None, Some(body)) => (Start::Name, body),
        (None, None) => (Start::Open, pattern),
    };
    // What follows the end can only be nothing.
    let ended = body.trim_end_matches('*');
    let ended = ended.strip_suffix('|').unwrap_or(ended);
    let (body, is_ended) = match ended.strip_suffix('^') {
        Some(name) => (name, true),
        None => (body.strip_suffix('|').unwrap_or(body), body.ends_with('|')),
    };
    if body.contains(['^', '|']) {
        // No name has a separator within.
        return Err(Skip::BrowserOnly);
    }
    let bare = body.trim_start_matches('*');
    if bare.is_empty() || bare == "." {
        return if body.is_empty() && start != Start::Open {
            Err(Skip::TooWide)
        } else {
            patterns.compile(pattern, "", false).map(Subject::Pattern)
        };
    }
    let is_open = start == Start::Open || body.len() != bare.len();
    if is_ended && !bare.contains('*') {
        match (start, is_open, bare.strip_prefix('.')) {
            (Start::Label, false, None) => return named(bare, Scope::Subtree),
            (Start::Name, false, None) => return named(bare, Scope::Exact),
            // `*.name`; what ends in `.name` is below it.
            (_, true, Some(name)) => return named(name, Scope::Below),
            (_, false, Some(_)) => return Err(Skip::Name(NameError::Label)),
            _ => {}
        }
    }
    let mut expression = String::with_capacity(bare.len() + 16);
    expression.push_str(match (is_open, start) {
        (true, _) | (_, Start::Open) => "",
        (false, Start::Label) => "(?:^|\\.)",
        (false, Start::Name) => "^",
    });
    let middle = if is_ended { bare } else { bare.trim_end_matches('*') };
    for character in middle.chars() {
        match character {
            '*' => expression.push_str(".*"),
            '.' => expression.push_str("\\."),
            _ => expression.push(character),
        }
    }
    if is_ended {
        expression.push('$');
    }
    patterns.compile(pattern, &expression, false).map(Subject::Pattern)
}

fn named(text: &str, scope: Scope) -> Result<Subject, Skip> {
    Ok(Subject::Name { name: hosts::name(text, scope)?, scope })
}

fn belongs(character: char) -> bool {
    character.is_alphanumeric() || !character.is_ascii() || "-_.*^|".contains(character)
}

/// Own rules: wildcards within a name.
pub(super) fn wildcards(pattern: &str) -> Result<Subject, PatternError> {
    match subject(pattern, &mut Budget::default()) {
        Ok(Subject::Pattern(pattern)) if pattern.covers_everything() => Err(PatternError::Everything),
        Ok(subject) => Ok(subject),
        Err(Skip::Pattern(error)) => Err(error),
        Err(Skip::TooWide) => Err(PatternError::Everything),
        Err(_) => Err(PatternError::Unknown),
    }
}
