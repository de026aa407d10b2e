//! What becomes of work that is done: texts that were looked at, rules that were compiled, revisions that were kept.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError};
use tokio::time::Instant;

use super::{GATHER, POLL, Task, Work};
use crate::feed::background;
use crate::feed::compile::{Compiled, Outcome};
use crate::feed::download::Failure;
use crate::feed::refresh::{Found, Refreshed};
use crate::feed::source::Source;
use crate::feed::watch::{Watch, Watching};

impl Task {
    pub(super) fn done(&mut self, done: Result<(Id, Work), JoinError>) {
        let (id, work) = match done {
            Ok(done) => done,
            Err(error) => return self.failed(&error),
        };
        match work {
            Work::Looked { name, found } => self.looked(id, &name, found),
            Work::Compiled { generation, names, result } => {
                self.compiling = None;
                if self.give_up_damaged() {
                    // What was read of a damaged text is no list; it is all compiled again without it.
                    self.compile_now();
                    return;
                }
                match result {
                    Ok(compiled) => self.compiled_to(generation, names, compiled),
                    Err(problem) => self.not_compiled(&problem),
                }
            }
            Work::Accounted { generation, names, outcomes, is_whole } => {
                self.accounting = false;
                if !is_whole || self.give_up_damaged() {
                    self.compile_now();
                    return;
                }
                if generation != self.compiled || generation != self.generation {
                    return; // A compile has told more since, or is about to.
                }
                let known = |name: &Arc<str>| self.sources.iter().find(|source| source.options.name == *name);
                let outcomes = names.iter().zip(outcomes).map(|(name, outcome)| Outcome {
                    rules: known(name).map_or(0, |source| source.outcome.rules),
                    ..outcome
                });
                let outcomes = outcomes.collect();
                self.take_outcomes(names, outcomes);
            }
            Work::Saved { name, saved } => {
                let Some(index) = self.sources.iter().position(|source| source.options.name == name) else {
                    return;
                };
                if let Some(source) = self.sources.get_mut(index) {
                    source.saving = false;
                    source.saved(saved);
                    if std::mem::take(&mut source.save_again) {
                        self.save(index);
                    }
                }
            }
            Work::Watching { watch, watching: Watching { unwatched, is_new } } => {
                self.watch = Some(watch);
                if is_new {
                    // What was saved before the watch was there was not heard.
                    let now = Instant::now();
                    self.look_at = Some((now, now));
                }
                for source in &mut self.sources {
                    let reason = unwatched.iter().find(|(path, _)| Some(path) == source.file());
                    let told = source.unwatched.take().is_some();
                    source.unwatched = reason.map(|(path, reason)| {
                        if !told {
                            tracing::warn!(path = %path.display(), reason, "a file can't be watched");
                        }
                        let (path, every) = (path.display(), POLL.as_secs());
                        format!("{path} can't be watched ({reason}); it is looked at every {every} seconds instead.")
                    });
                }
            }
        }
    }

    /// Takes damaged texts out of force; whether there was one.
    fn give_up_damaged(&mut self) -> bool {
        let now = self.means.clock.now();
        let mut found = false;
        for index in 0..self.sources.len() {
            let lost = self.sources.get_mut(index).and_then(|source| source.give_up_damaged(now));
            if lost.is_some() {
                found = true;
                self.generation += 1;
                self.save(index);
                if self.sources.get(index).is_some_and(|source| source.file().is_some()) {
                    self.begin_look(index);
                }
            }
        }
        found
    }

    /// Puts a ruleset in force.
    pub(super) fn compiled_to(&mut self, generation: u64, names: Vec<Arc<str>>, compiled: Compiled) {
        let Compiled { rules, outcomes, is_kept, unkept } = compiled;
        self.compiled = generation;
        self.policy.update(|policy| policy.lists = rules.clone());
        if let Some(problem) = unkept.as_ref().filter(|_| self.unkept.is_none()) {
            tracing::warn!(problem, "the compiled rules are not kept");
        }
        self.unkept = unkept;
        self.take_outcomes(names, outcomes);
        if is_kept {
            self.account(generation);
        }
        let (rules, lists) = (rules.ruleset.len(), rules.sources.len());
        tracing::info!(rules, lists, kept = is_kept, "lists are in force");
    }

    fn take_outcomes(&mut self, names: Vec<Arc<str>>, outcomes: Vec<Outcome>) {
        for (name, outcome) in names.into_iter().zip(outcomes) {
            if let Some(source) = self.sources.iter_mut().find(|source| source.options.name == name) {
                tell_held_back(source, &outcome);
                source.outcome = outcome;
            }
        }
    }

    fn looked(&mut self, id: Id, name: &Arc<str>, found: Found) {
        let chance = self.chance.hash_one((name, Instant::now()));
        let now = self.means.clock.now();
        // One that was changed or removed meanwhile runs no more under this number.
        let Some(index) = self.sources.iter().position(|source| source.options.name == *name) else { return };
        let Some(source) = self.sources.get_mut(index) else { return };
        if source.running.as_ref().map(AbortHandle::id) != Some(id) {
            return;
        }
        source.running = None;
        let is_kept = matches!(found.result, Ok(Refreshed::Known(_) | Refreshed::Text { .. }));
        let is_new = source.found(found, self.options.keep_revisions, now, chance);
        if is_new {
            self.generation += 1;
            source.generation = self.generation;
        }
        let is_file = source.file().is_some();
        if std::mem::take(&mut source.again) {
            self.begin_look(index);
        }
        if is_kept {
            self.save(index);
        }
        let others = self.sources.iter().any(|source| source.running.is_some() && source.file().is_none());
        if is_new {
            // Who saved a file looks at the result; nobody looks at a download.
            let latest = Instant::now() + if others && !is_file { GATHER } else { Duration::ZERO };
            self.compile_at = Some(self.compile_at.map_or(latest, |at| at.min(latest)));
        } else if !others && self.compile_at.is_some() {
            self.compile_at = Some(Instant::now());
        }
    }

    /// Something done beside the task panicked or was stopped.
    fn failed(&mut self, error: &JoinError) {
        let problem = background::describe(error);
        let id = error.id();
        if self.compiling.as_ref().is_some_and(|compiling| compiling.id() == id) {
            self.compiling = None;
            self.not_compiled(&format!(
                "The lists could not be compiled, and the rules from before stay: {problem}."
            ));
            return;
        }
        let running =
            |source: &&mut Source| source.running.as_ref().is_some_and(|running| running.id() == id);
        let options = self.sources.iter_mut().find(running).map(|source| Arc::clone(&source.options));
        if let Some(options) = options {
            let message = format!("{} could not be read: {problem}", options.origin.shown());
            let result = Err(Failure { message, retry_after: None });
            self.looked(id, &options.name, Found { result, mark: None });
        } else if error.is_panic() {
            // The watch is gone with its thread; a new one takes over.
            self.watch.get_or_insert_with(|| Watch::new(Arc::clone(&self.changed)));
        }
    }

    /// Something of the compile failed for all lists alike; what was in force stays.
    fn not_compiled(&mut self, problem: &str) {
        self.compiled = self.generation;
        tracing::error!(problem, "the lists could not be compiled; the rules in force stay");
        for source in &mut self.sources {
            source.outcome.problem = Some(problem.to_owned());
        }
    }
}

/// Says in the log what is held back, once for each change.
fn tell_held_back(source: &Source, outcome: &Outcome) {
    let held_back = &outcome.held_back;
    if held_back.total != source.outcome.held_back.total
        && let Some(first) = held_back.rules.first()
    {
        tracing::warn!(
            list = %source.options.name,
            rules = held_back.total,
            first = first.rule,
            line = first.line,
            reason = %first.reason,
            "rules are not put in force unless you accept them"
        );
    }
}
