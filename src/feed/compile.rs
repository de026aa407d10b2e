//! All sources compiled to one ruleset.
//!
//! Each text is decompressed and parsed piece by piece and its rules go straight into the ruleset: beside the old
//! ruleset and the new one nothing of the size of a list is held. A million parsed rules would take another 64 MB,
//! which a machine of 512 MB does not have to spare; reading them anew costs a second of a background thread a day.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::background;
use super::quarantine::{HeldBack, Quarantine};
use super::text::Text;
use crate::list::{Action, Format, ParseOptions, Parser, Report, Rule};
use crate::policy::Rules;
use crate::ruleset::{BuildOptions, Builder, SourceId};

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

/// Compiles all sources, in their order; there is an outcome for each.
pub(super) fn compile(inputs: &[Input]) -> (Rules, Vec<Outcome>) {
    let mut builder = Builder::new(BuildOptions::default());
    let mut outcomes = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let added = match u16::try_from(index) {
            // A ruleset is whole after each rule, so that one source's fault does not cost the others theirs.
            Ok(index) => {
                catch_unwind(AssertUnwindSafe(|| add(&mut builder, SourceId(index), input))).unwrap_or_else(
                    |_| Outcome { problem: Some(problem(input, &background::PANIC)), ..Outcome::default() },
                )
            }
            Err(_) => Outcome {
                problem: Some(problem(input, &"there are too many lists; remove some")),
                ..Outcome::default()
            },
        };
        outcomes.push(added);
    }
    let sources = inputs.iter().map(|input| Arc::clone(&input.name)).collect();
    let (ruleset, counts) = match builder.finish_in_memory() {
        Ok(built) => built,
        Err(_) => Default::default(),
    };
    for (outcome, index) in outcomes.iter_mut().zip(0..) {
        outcome.rules = usize::try_from(counts.of(SourceId(index))).unwrap_or(usize::MAX);
    }
    (Rules { ruleset: Arc::new(ruleset), sources }, outcomes)
}

fn add(builder: &mut Builder, source: SourceId, input: &Input) -> Outcome {
    let mut fault = None;
    let mut held_back = HeldBack::default();
    let mut add = |mut rule: Rule| {
        if input.kind == Action::Allow {
            rule.action = Action::Allow;
        }
        if let Some(reason) = input.quarantine.check(&rule) {
            return Err(held_back.add(&rule, reason));
        }
        if let Err(full) = builder.add(source, input.targets_only, &rule) {
            fault = Some(problem(input, &full));
        }
        Ok(())
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
        let (rules, outcomes) = compile(&inputs);
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
