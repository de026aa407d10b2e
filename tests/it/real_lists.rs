//! Lists as people have them, compiled and asked, against the naive model.
//!
//! `PIXELSINK_TEST_LISTS` names a directory of real lists (files may end in `.zst`); without it the lists of `tests/lists` are all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pixelsink::list::{Action, ParseOptions, Rule, Subject, parse};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, Ruleset, SourceId};

use crate::naive::Naive;

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

fn read(path: &Path) -> Vec<u8> {
    let raw = std::fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::decode_all(&*raw).unwrap()
    } else {
        raw
    }
}

/// Names that no list is likely to have, close to some that lists have and far from all.
fn unlisted(listed: &[DomainName], count: usize) -> impl Iterator<Item = DomainName> {
    (0..count).filter_map(move |number| {
        let near = &listed[number.wrapping_mul(0x9e37_79b9) % listed.len()];
        let text = match number % 4 {
            0 => format!("q{number}.{near}"),
            1 => format!("x{near}"),
            2 => near.as_ref().parent()?.to_string(),
            _ => format!("a{}.b{number}.example", number % 97),
        };
        DomainName::parse(&text).ok()
    })
}

#[test]
fn the_compiled_ruleset_says_what_the_naive_model_says() {
    let mut paths = Vec::new();
    files(Path::new("tests/lists"), &mut paths);
    let unlisted_count = match std::env::var_os("PIXELSINK_TEST_LISTS") {
        Some(directory) => {
            files(Path::new(&directory), &mut paths);
            1_000_000
        }
        None => {
            eprintln!("PIXELSINK_TEST_LISTS is not set: only the lists of tests/lists are tried");
            20_000
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let mut builder =
        Builder::new(BuildOptions { spill_dir: Some(directory.path().into()), ..BuildOptions::default() });
    let mut naive = Naive::default();
    let mut listed = BTreeSet::new();
    let mut count = 0;
    for (source, path) in (0..).map(SourceId).zip(&paths) {
        let parsed = parse(&read(path), ParseOptions::default());
        let report = &parsed.report;
        let sum = report.blank + report.comments + report.rule_lines + report.skipped_count();
        assert_eq!(sum, report.lines, "{}: every line is something", path.display());
        for rule in &parsed.rules {
            builder.add(source, false, rule).unwrap();
            naive.add(source, false, rule);
            if let Subject::Name { name, .. } = &rule.subject {
                listed.insert(name.clone());
            }
            count += 1;
        }
    }
    let path = directory.path().join("rules.bin");
    builder.finish_to(&path, [1; 32], |_| Vec::new()).unwrap();
    let ruleset = Ruleset::open(&path, &[1; 32]).unwrap();
    let listed: Vec<DomainName> = listed.into_iter().collect();
    let (by_name, others) = naive.into_parts();
    let check = |name: &DomainName| {
        let asked = Asked::by_anyone(name.as_ref());
        // Only rules about the name and its ancestors can cover it, beside patterns.
        let near = name.as_ref().ancestors().filter_map(|ancestor| by_name.get(&ancestor.to_owned()));
        let models: Vec<&Naive> = near.chain([&others]).collect();
        let mut expected: Vec<(String, u16)> =
            models.iter().flat_map(|model| model.matches(&asked)).collect();
        expected.sort();
        let mut found: Vec<(String, u16)> = ruleset
            .matches(&asked)
            .iter()
            .flat_map(|found| {
                found.sources().map(|source| (found.rule().to_string(), source.0)).collect::<Vec<_>>()
            })
            .collect();
        found.sort();
        assert_eq!(found, expected, "{name}");
        let lookup = ruleset.lookup(&asked).map(|found| found.action());
        let actions = models.iter().filter_map(|model| model.action(&asked));
        let is_important = |action: Action| {
            expected.iter().any(|(rule, _)| {
                rule.contains("important") && rule.starts_with("@@") == (action == Action::Allow)
            })
        };
        let strongest = actions.min_by_key(|&action| (!is_important(action), action));
        assert_eq!(lookup, strongest, "{name}");
        usize::from(lookup.is_some())
    };
    let covered: usize = listed.iter().map(check).sum();
    let unlisted_covered: usize = unlisted(&listed, unlisted_count).map(|name| check(&name)).sum();
    eprintln!(
        "{} lists, {count} rules, {} names, {covered} of them covered; {unlisted_covered} of {unlisted_count} others covered",
        paths.len(),
        listed.len()
    );
    assert!(0 < covered);
}

/// The account of every list, class by class, for people who compare: `cargo test --test it real_lists -- --nocapture`.
#[test]
fn every_line_of_every_list_is_accounted_for() {
    let mut paths = Vec::new();
    files(Path::new("tests/lists"), &mut paths);
    if let Some(directory) = std::env::var_os("PIXELSINK_TEST_LISTS") {
        files(Path::new(&directory), &mut paths);
    }
    for path in paths {
        let parsed = parse(&read(&path), ParseOptions::default());
        let report = &parsed.report;
        let skipped: Vec<String> =
            report.skipped().map(|skipped| format!("{} {}", skipped.count, skipped.skip)).collect();
        eprintln!(
            "{}: {:?}, {} lines = {} with rules + {} comments + {} blank + [{}]; {} rules",
            path.file_name().unwrap().to_string_lossy(),
            parsed.format,
            report.lines,
            report.rule_lines,
            report.comments,
            report.blank,
            skipped.join(", "),
            parsed.rules.len(),
        );
        let sum = report.blank + report.comments + report.rule_lines + report.skipped_count();
        assert_eq!(sum, report.lines);
        let lines: BTreeSet<u32> = parsed.rules.iter().map(|rule: &Rule| rule.line).collect();
        assert!(lines.len() <= report.rule_lines as usize);
    }
}
