//! All sources compiled to one ruleset.
//!
//! Each text is decompressed and parsed piece by piece and its rules go straight into the ruleset: beside the old
//! ruleset and the new one nothing of the size of a list is held. A million parsed rules would take another 64 MB,
//! which a machine of 512 MB does not have to spare; reading them anew costs a second of a background thread a day.
//!
//! The ruleset is kept as a file and mapped: one that was compiled from the same texts is taken as it is (`kept`).

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::background;
use super::fingerprint::fingerprint;
use super::kept::Kept;
use super::quarantine::{HeldBack, Quarantine};
use super::text::Text;
use crate::list::{Action, Finder, Format, FoundLine, ParseOptions, Parser, Report, Rule, Skip};
use crate::policy::Rules;
use crate::ruleset::{BuildError, BuildOptions, Builder, Counts, Ruleset, SourceId};

/// Lines that are told of one rule.
const PLACES_MAX: usize = 10;

/// One source as it is compiled.
pub(super) struct Input {
    pub(super) name: Arc<str>,
    pub(super) kind: Action,
    /// Its names count only as targets in an answer.
    pub(super) targets_only: bool,
    pub(super) options: ParseOptions,
    pub(super) content: Content,
    /// Holds back rules that need the person's word.
    pub(super) quarantine: Quarantine,
}

/// The rules of a source, written out or not.
#[derive(Clone)]
pub(super) enum Content {
    /// There is none yet.
    Nothing,
    Text(Arc<Text>),
    Inline(Arc<str>),
    Rules(Arc<[Rule]>),
}

/// What became of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) format: Option<Format>,
    pub(super) rules: usize,
    pub(super) report: Report,
    /// Rules that are not in force unless the person accepts them.
    pub(super) held_back: HeldBack,
    /// Why not all of its rules are in force, as a whole sentence.
    pub(super) problem: Option<String>,
}

/// What a compile made.
pub(super) struct Compiled {
    pub(super) rules: Rules,
    /// One for each source, in order.
    pub(super) outcomes: Vec<Outcome>,
    /// Whether it was kept from before: then the lines of the sources are not accounted for yet ([`account`]).
    pub(super) is_kept: bool,
    /// Why the ruleset is in memory and not in its file, in a whole sentence; then the next start compiles anew.
    pub(super) unkept: Option<String>,
}

/// The ruleset that is kept in this directory, when it is the one of all these sources.
pub(super) fn kept(inputs: &[Input], data_dir: &Path) -> Option<Compiled> {
    load(inputs, &Kept::new(data_dir), &fingerprint(inputs))
}

fn load(inputs: &[Input], kept: &Kept, fingerprint: &[u8; 32]) -> Option<Compiled> {
    let (ruleset, outcomes) = kept.load(fingerprint, inputs.len())?;
    Some(Compiled { rules: rules(inputs, ruleset), outcomes, is_kept: true, unkept: None })
}

/// The ruleset of all sources, in their order: the one that is kept, or a new one. `data_dir` is where it is kept.
///
/// # Errors
/// When there is no ruleset for them; the one in force should stay. The text is a whole sentence.
pub(super) fn ruleset(inputs: &[Input], data_dir: Option<&Path>) -> Result<Compiled, String> {
    let Some(kept) = data_dir.map(Kept::new) else {
        let (builder, outcomes) = parse(inputs, BuildOptions::default());
        return in_memory(inputs, builder, outcomes, None);
    };
    let fingerprint = fingerprint(inputs);
    if let Some(compiled) = load(inputs, &kept, &fingerprint) {
        return Ok(compiled);
    }
    let spill_dir = kept.make_directory().ok().map(|()| kept.directory().to_owned());
    let (builder, mut outcomes) = parse(inputs, BuildOptions { spill_dir, ..BuildOptions::default() });
    let is_damaged = |input: &Input| matches!(&input.content, Content::Text(text) if text.is_damaged());
    if inputs.iter().any(is_damaged) {
        // Half a text is not what the fingerprint says.
        return in_memory(inputs, builder, outcomes, None);
    }
    match kept.write(builder, fingerprint, &mut outcomes) {
        Ok(ruleset) => Ok(Compiled { rules: rules(inputs, ruleset), outcomes, is_kept: false, unkept: None }),
        Err(error) => {
            // Half of a ruleset may be on a full disk; memory is tried, since that is what blocks.
            let unkept = format!(
                "The compiled rules could not be kept in {} ({error}): they are held in memory, and compiled again at the \
                 next start; make room there, or let the daemon write there.",
                kept.directory().display()
            );
            let (builder, outcomes) = parse(inputs, BuildOptions::default());
            in_memory(inputs, builder, outcomes, Some(unkept))
        }
    }
}

fn in_memory(
    inputs: &[Input],
    builder: Builder,
    mut outcomes: Vec<Outcome>,
    unkept: Option<String>,
) -> Result<Compiled, String> {
    let (ruleset, counts) = builder.finish_in_memory().map_err(|error| {
        format!("The lists could not be compiled ({error}), and the rules from before stay.")
    })?;
    count(&mut outcomes, &counts);
    Ok(Compiled { rules: rules(inputs, ruleset), outcomes, is_kept: false, unkept })
}

fn rules(inputs: &[Input], ruleset: Ruleset) -> Rules {
    let sources = inputs.iter().map(|input| Arc::clone(&input.name)).collect();
    Rules { ruleset: Arc::new(ruleset), sources }
}

/// Notes how many rules of each source are in force.
pub(super) fn count(outcomes: &mut [Outcome], counts: &Counts) {
    for (outcome, index) in outcomes.iter_mut().zip(0..) {
        outcome.rules = usize::try_from(counts.of(SourceId(index))).unwrap_or(usize::MAX);
    }
}

/// Where a rule, in its shortest form, stands in a source: its first ten lines.
pub(super) fn places(input: &Input, rule: &str) -> Vec<FoundLine> {
    let found = |known: &&Rule| known.to_string() == *rule;
    let line = |known: &Rule| FoundLine { line: known.line, text: known.to_string() };
    let mut finder = Finder::new(input.options, rule, PLACES_MAX);
    if input.kind == Action::Allow {
        finder = finder.of_any_action();
    }
    match &input.content {
        Content::Nothing => {}
        Content::Rules(rules) => return rules.iter().filter(found).take(PLACES_MAX).map(line).collect(),
        Content::Inline(text) => finder.push(text.as_bytes()),
        Content::Text(text) => {
            let read = text.read(|piece| {
                finder.push(piece);
                Ok(())
            });
            if let Err(error) = read {
                tracing::warn!(list = %input.name, %error, "a rule could not be looked up in its text");
                return Vec::new();
            }
        }
    }
    finder.finish()
}

/// What the lines of the sources are, without compiling them: as a compile would tell, except for how many rules are in force.
pub(super) fn account(inputs: &[Input]) -> Vec<Outcome> {
    read_all(inputs, &mut |_, _, _| Ok(()))
}

/// Whether the kept ruleset is what was written; see [`Kept::is_whole`].
pub(super) fn is_whole(data_dir: &Path) -> bool {
    Kept::new(data_dir).is_whole()
}

/// Reads all sources into a builder; there is an outcome for each.
fn parse(inputs: &[Input], options: BuildOptions) -> (Builder, Vec<Outcome>) {
    let mut builder = Builder::new(options);
    let outcomes = read_all(inputs, &mut |source, input, rule| builder.add(source, input.targets_only, rule));
    (builder, outcomes)
}

/// Takes a rule of a source.
type Take<'a> = dyn FnMut(SourceId, &Input, &Rule) -> Result<(), BuildError> + 'a;

fn read_all(inputs: &[Input], take: &mut Take<'_>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let added = match u16::try_from(index) {
            // A builder is whole after each rule, so that one source's fault does not cost the others theirs.
            Ok(index) => {
                catch_unwind(AssertUnwindSafe(|| read(input, &mut |rule| take(SourceId(index), input, rule))))
                    .unwrap_or_else(|_| Outcome {
                        problem: Some(problem(input, &background::PANIC)),
                        ..Outcome::default()
                    })
            }
            Err(_) => Outcome {
                problem: Some(problem(input, &"there are too many lists; remove some")),
                ..Outcome::default()
            },
        };
        outcomes.push(added);
    }
    outcomes
}

fn read(input: &Input, take: &mut dyn FnMut(&Rule) -> Result<(), BuildError>) -> Outcome {
    let mut fault = None;
    let mut held_back = HeldBack::default();
    let mut add = |mut rule: Rule| {
        if input.kind == Action::Allow && rule.action == Action::Block {
            rule.action = Action::Allow;
            // An exception with an answer would only take that answer back.
            if let Some(modifiers) = &mut rule.modifiers {
                modifiers.answer = None;
            }
        }
        if let Some(reason) = input.quarantine.check(&rule) {
            return Err(held_back.add(&rule, reason));
        }
        match take(&rule) {
            Ok(()) => Ok(()),
            Err(BuildError::Pattern(_)) => Err(Skip::TooManyPatterns),
            Err(error) => {
                fault = Some(problem(input, &error));
                Ok(())
            }
        }
    };
    let mut parser = Parser::new(input.options);
    let mut read = Ok(());
    match &input.content {
        Content::Nothing => {}
        Content::Text(text) => {
            read = text.read(|piece| {
                parser.push(piece, &mut add);
                Ok(())
            });
        }
        Content::Inline(text) => parser.push(text.as_bytes(), &mut add),
        Content::Rules(rules) => {
            rules.iter().for_each(|rule| _ = add(rule.clone()));
            let count = u32::try_from(rules.len()).unwrap_or(u32::MAX);
            let mut report = Report::default();
            (report.lines, report.rule_lines) = (count, count);
            return Outcome { report, problem: fault, ..Outcome::default() };
        }
    }
    let (format, report) = parser.finish(&mut add);
    if let Err(error) = read {
        fault = Some(problem(input, &format!("its text could not be decompressed ({error}); refresh it")));
    }
    Outcome { format, report, held_back, problem: fault, rules: 0 }
}

fn problem(input: &Input, why: &dyn Display) -> String {
    format!("Not all rules of `{}` are in force: {why}.", input.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DomainName;

    #[test]
    fn a_plain_line_of_an_allowlist_allows() {
        let input = |kind, text: &str| Input {
            name: "a".into(),
            kind,
            targets_only: false,
            options: ParseOptions::default(),
            content: Content::Inline(text.into()),
            quarantine: Quarantine::none(),
        };
        let inputs = [
            input(Action::Block, "||a.example^\n@@||b.example^\n||b.example^\nno name\n"),
            input(Action::Allow, "c.a.example\n@@||d.a.example^\n"),
        ];
        let Compiled { rules, outcomes, .. } = ruleset(&inputs, None).unwrap();
        assert_eq!([outcomes[0].rules, outcomes[1].rules], [3, 2]);
        assert_eq!(outcomes[0].report.skipped_count(), 1);
        for (name, expected) in [
            ("a.example", Action::Block),
            ("b.example", Action::Allow),
            ("c.a.example", Action::Allow),
            ("d.a.example", Action::Allow),
        ] {
            let name = DomainName::parse(name).unwrap();
            let found = rules.ruleset.lookup(&crate::ruleset::Asked::by_anyone(name.as_ref())).unwrap();
            assert_eq!(found.action(), expected, "{name}");
        }
    }
}
