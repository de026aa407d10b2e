//! What came and went between two texts of a list, in bounded memory.
//!
//! Rules are compared by hashes of 64 bits: each text is read once to hash its rules and once more to tell those that only
//! it has. Of large texts only a part of all hashes is looked at in each of several passes.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;

use super::status::{Diff, DiffRule};
use super::task::Comparison;
use super::text::Text;
use crate::list::{ParseOptions, Parser, Rule};

/// Hashes held of each text at a time: 8 MB.
const HASHES_MAX: u64 = 1 << 20;
/// Rules that are told of what came and of what went.
const TOLD_MAX: usize = 1000;

/// Compares two texts.
pub(super) fn compare(comparison: &Comparison) -> io::Result<Diff> {
    compare_within(comparison, HASHES_MAX)
}

fn compare_within(comparison: &Comparison, hashes_max: u64) -> io::Result<Diff> {
    let Comparison { options, from: (from, from_status), to: (to, to_status) } = comparison;
    // Whoever writes a list can't know the hashes, and make two rules look like one.
    let hasher = RandomState::new();
    let mut count = 0;
    read(from, *options, &mut |_| count += 1)?;
    let mut count_to = 0;
    read(to, *options, &mut |_| count_to += 1)?;
    let passes = count.max(count_to) / hashes_max.max(1) + 1;
    let mut diff = Diff {
        from: from_status.clone(),
        to: to_status.clone(),
        came: Vec::new(),
        came_total: 0,
        went: Vec::new(),
        went_total: 0,
    };
    for pass in 0..passes {
        let hash = |rule: &Rule| {
            let hash = hasher.hash_one((&rule.subject, rule.action, &rule.modifiers));
            (hash % passes == pass).then_some(hash)
        };
        let hashes = |text: &Text| {
            let mut hashes = Vec::new();
            read(text, *options, &mut |rule| hashes.extend(hash(&rule)))?;
            hashes.sort_unstable();
            hashes.dedup();
            io::Result::Ok(hashes)
        };
        let (before, after) = (hashes(from)?, hashes(to)?);
        diff.went_total += tell(from, *options, &before, &after, &hash, &mut diff.went)?;
        diff.came_total += tell(to, *options, &after, &before, &hash, &mut diff.came)?;
    }
    for rules in [&mut diff.came, &mut diff.went] {
        rules.sort_by_key(|rule| rule.line);
    }
    Ok(diff)
}

/// Tells the rules of a text that another lacks; how many there are.
fn tell(
    text: &Text,
    options: ParseOptions,
    own: &[u64],
    other: &[u64],
    hash: &impl Fn(&Rule) -> Option<u64>,
    told: &mut Vec<DiffRule>,
) -> io::Result<u64> {
    let mut others = other.iter().peekable();
    let mut only: HashSet<u64> = HashSet::new();
    let mut count = 0;
    for hash in own {
        while others.next_if(|other| *other < hash).is_some() {}
        if others.peek() != Some(&hash) {
            count += 1;
            if only.len() + told.len() < TOLD_MAX {
                only.insert(*hash);
            }
        }
    }
    if !only.is_empty() {
        read(text, options, &mut |rule| {
            // Once only, though a list may have it twice.
            if hash(&rule).is_some_and(|hash| only.remove(&hash)) {
                told.push(DiffRule { rule: rule.to_string(), line: rule.line });
            }
        })?;
    }
    Ok(count)
}

fn read(text: &Text, options: ParseOptions, add: &mut impl FnMut(Rule)) -> io::Result<()> {
    let mut parser = Parser::new(options);
    let mut add = |rule| {
        add(rule);
        Ok(())
    };
    text.read(|piece| {
        parser.push(piece, &mut add);
        Ok(())
    })?;
    parser.finish(&mut add);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::feed::RevisionState;
    use crate::feed::revision::tests::revision;

    fn diff(from: &str, to: &str, hashes_max: u64) -> Diff {
        let with_status = |text: &str| {
            let revision = revision(text, 0);
            (Arc::clone(&revision.text), revision.status(RevisionState::Kept))
        };
        let comparison =
            Comparison { options: ParseOptions::default(), from: with_status(from), to: with_status(to) };
        compare_within(&comparison, hashes_max).unwrap()
    }

    #[test]
    fn what_came_and_went_is_told_whatever_moved() {
        let from = "# one\na.example\nb.example\n||c.example^\n";
        let to = "||c.example^\n# two\nd.example\na.example\nd.example\n@@||e.example^\n";
        for hashes_max in [1, 2, 100] {
            let diff = diff(from, to, hashes_max);
            let told = |rules: &[DiffRule]| {
                rules.iter().map(|told| format!("{}:{}", told.line, told.rule)).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(told(&diff.went), "3:=b.example");
            assert_eq!(told(&diff.came), "3:=d.example 6:@@||e.example^");
            assert_eq!((diff.went_total, diff.came_total), (1, 2));
        }
    }

    #[test]
    fn of_many_the_first_and_the_number_are_told() {
        let many: String = (0..5000).map(|number| format!("n{number}.example\n")).collect();
        let diff = diff("a.example\n", &many, 512);
        assert_eq!((diff.came.len(), diff.came_total, diff.went_total), (TOLD_MAX, 5000, 1));
    }
}
