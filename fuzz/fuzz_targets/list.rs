//! Lists from strangers: in every format parsing never panics, every line is accounted for, cutting does not matter, and
//! every rule reads back where it stands.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixelsink::list::{Finder, Format, ParseOptions, Parser, Subject, parse};

fuzz_target!(|input: &[u8]| {
    // The first octet says how the rest is read.
    let Some((&choice, text)) = input.split_first() else { return };
    let format = Format::ALL.get(usize::from(choice % 16)).copied();
    let options = ParseOptions { format, subdomains: choice & 16 != 0 };
    let parsed = parse(text, options);
    let report = &parsed.report;
    let accounted = report.blank + report.comments + report.rule_lines + report.skipped_count();
    assert_eq!(report.lines, accounted);

    let mut rules = Vec::new();
    let mut add = |rule| {
        rules.push(rule);
        Ok(())
    };
    let mut parser = Parser::new(options);
    for piece in text.chunks(1 + usize::from(choice >> 5)) {
        parser.push(piece, &mut add);
    }
    let (format, report) = parser.finish(&mut add);
    assert_eq!((format, &report, &rules), (parsed.format, &parsed.report, &parsed.rules));

    for rule in rules.iter().take(4) {
        rule.covers_public_suffix();
        if let Subject::Pattern(pattern) = &rule.subject {
            assert!(pattern.as_regex().is_ascii());
        }
        let mut finder = Finder::new(options, &rule.to_string(), usize::MAX);
        finder.push(text);
        assert!(finder.finish().iter().any(|found| found.line == rule.line));
    }
});
