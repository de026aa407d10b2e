//! Lists from strangers: parsing never panics, every line is accounted for, every rule finds its own name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::list::{ParseOptions, Scope, parse};
use pixelsink::ruleset::{Ruleset, SourceId};

fuzz_target!(|text: &[u8]| {
    let parsed = parse(text, ParseOptions::default());
    let report = &parsed.report;
    let accounted = report.blank + report.comments + report.rule_lines + report.skipped_count();
    assert_eq!(report.lines, accounted);
    let mut ruleset = Ruleset::default();
    for rule in &parsed.rules {
        ruleset.add(SourceId(0), rule).unwrap();
    }
    for rule in &parsed.rules {
        assert!(rule.scope == Scope::Below || ruleset.lookup(rule.name.as_ref()).is_some());
    }
});
