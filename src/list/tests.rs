//! Every syntax, line by line.

use proptest::prelude::*;

use super::*;

/// The single place that calls the parser; `expected` is each rule's shortest form, or the reason for the skip.
#[track_caller]
fn check(line: &str, expected: &str) {
    let parsed = parse(line.as_bytes(), ParseOptions::default());
    let rules: Vec<String> = parsed.rules.iter().map(ToString::to_string).collect();
    let skipped: Vec<String> = parsed.report.skipped().map(|skipped| skipped.skip.to_string()).collect();
    let found = [rules, skipped].concat().join(" ");
    assert_eq!(found, expected, "{line:?}");
}

#[test]
fn hosts_lines_name_hosts_exactly() {
    check("0.0.0.0 pixel.example", "=pixel.example");
    check("127.0.0.1\tpixel.example # tv", "=pixel.example");
    check(":: pixel.example", "=pixel.example");
    check("0.0.0.0 a.example b.example#c", "=a.example =b.example");
    check("127.0.0.1 localhost localhost.localdomain", "the machine's own names");
    check("0.0.0.0 localhost a.example", "=a.example");
    check("::1 ip6-localhost ip6-loopback", "the machine's own names");
    check("255.255.255.255 broadcasthost", "the machine's own names");
    check("fe80::1%lo0 localhost", "the machine's own names");
    check("ff00::0 ip6-mcastprefix", "the machine's own names");
    check("fe80::1%lo0 nas.example", "an address that is not a sinkhole");
    check("192.168.1.7 nas.example", "an address that is not a sinkhole");
    check("0.0.0.0", "an address alone");
    check("10.1.2.3", "an address alone");
    check("0.0.0.0 a..example", "not a domain name");
    check("0.0.0.0 com", "a whole public suffix");
    check("0.0.0.0 a.example ; see google.com", "=a.example");
    check("0.0.0.0 a.example - belongs to amazon.com", "=a.example");
    check("0.0.0.0 ; google.com", "not a domain name");
}

#[test]
fn plain_and_wildcard_lines() {
    check("Pixel.Example.", "=pixel.example");
    check("pixel.example # comment", "=pixel.example");
    check("pixel.example#comment", "=pixel.example");
    check("*.pixel.example", "||pixel.example^");
    check(".pixel.example", "||pixel.example^");
    check("*.com", "a whole public suffix");
    check("bücher.example", "=xn--bcher-kva.example");
    check("localhost", "the machine's own names");
    check("_xmpp-client._tcp.example.com", "=_xmpp-client._tcp.example.com");
    check("pixel example", "not a domain name");
    check("<!DOCTYPE html>", "not a domain name");
}

#[test]
fn adblock_rules_that_name_a_whole_domain() {
    check("||pixel.example^", "||pixel.example^");
    check("||pixel.example^|", "||pixel.example^");
    check("@@||good.example^", "@@||good.example^");
    check("||pixel.example^ # a comment", "||pixel.example^");
    check("||*.pixel.example^", "*.pixel.example");
    check("||com^", "a whole public suffix");
    check("||co.uk^", "a whole public suffix");
    check("||*.co.uk^", "a whole public suffix");
    check("||in-addr.arpa^", "a whole public suffix");
    check("co.uk", "=co.uk");
    check("||shop.co.uk^", "||shop.co.uk^");
    check("@@||good.example^$important", "@@||good.example^");
    check("||192.0.2.1^", "an address alone");
}

#[test]
fn what_only_a_browser_can_apply_is_never_a_whole_domain() {
    check("||site.example/pixel.gif", "only a browser can apply it");
    check("||site.example^$third-party", "only a browser can apply it");
    check("||site.example^$domain=a.example", "only a browser can apply it");
    check("site.example##.ad", "only a browser can apply it");
    check("site.example#@#.ad", "only a browser can apply it");
    check("site.example#$?#.ad { remove: true; }", "only a browser can apply it");
    check("site.example#@$?#.ad", "only a browser can apply it");
    check("site.example#+js(x)", "only a browser can apply it");
    check("||site.example^#top", "only a browser can apply it");
    check(".com/pixel.gif?", "only a browser can apply it");
    check("##.ad-banner", "only a browser can apply it");
    check("site.example ##.ad", "only a browser can apply it");
    check("/pixel.gif?", "only a browser can apply it");
    check("-tracking-pixel.", "only a browser can apply it");
    check("||site.example^$important", "syntax that this version does not read");
    check("||site.example", "syntax that this version does not read");
    check("||ads*.example^", "syntax that this version does not read");
    check("|site.example^", "syntax that this version does not read");
    check("/^ads[0-9]+\\./", "syntax that this version does not read");
}

#[test]
fn parts_of_urls_in_a_browsers_list_are_no_names() {
    for line in [".beacon.min.js", "_adobe_analytics.js", "_trackEvents.", ".v4.analytics.", "-ads."] {
        let text = format!("[Adblock Plus 2.0]\n{line}\n||pixel.example^\n");
        let parsed = parse(text.as_bytes(), ParseOptions::default());
        assert_eq!(parsed.rules.len(), 1, "{line}");
        assert_eq!(parsed.report.unreadable_count(), 0, "{line}");
    }
}

#[test]
fn lines_of_other_programs_are_told_as_not_read() {
    for line in [
        "address=/pixel.example/0.0.0.0",
        "local=/pixel.example/",
        "local-zone: \"pixel.example.\" always_null",
        "pixel.example CNAME .",
        "*.pixel.example 300 IN CNAME .",
        "$TTL 3600",
        "^(.+[_.-])?adserv[0-9]*[_.-]",
    ] {
        check(line, "syntax that this version does not read");
    }
    check("; a comment of a zone file", "");
}

#[test]
fn comments_and_dress() {
    check("# comment", "");
    check("! comment", "");
    check("[Adblock Plus 2.0]", "");
    check("### heading", "");
    check("\u{feff}pixel.example\r\n", "=pixel.example");
    check(&"a".repeat(LINE_LEN_MAX + 1), "a line of more than 4096 octets");
    check(&format!("a.example{}", " ".repeat(LINE_LEN_MAX)), "a line of more than 4096 octets");
    check("a.example\r\nb.example\rc.example\n\r\nd.example", "=a.example =b.example =c.example =d.example");
}

#[test]
fn every_line_is_accounted_for() {
    let text = b"# head\n\n0.0.0.0 a.example b.example\n||c.example^\n||d.example/x\n\xff\xfe.example\n";
    let parsed = parse(text, ParseOptions::default());
    let report = &parsed.report;
    assert_eq!((report.lines, report.rule_lines, report.comments, report.blank), (6, 2, 1, 1));
    assert_eq!(report.skipped().map(|skipped| skipped.count).sum::<u32>(), 2);
    assert_eq!(parsed.rules.len(), 3);
    assert_eq!(parsed.format, Some(Format::Hosts));
    assert_eq!(parsed.rules[2].line, 4);
}

#[test]
fn what_stands_under_a_condition_is_not_read() {
    let text = b"!#if adguard_app_ios\n||a.example^\n!#else\n||b.example^\n!#endif\n||c.example^\n";
    let parsed = parse(text, ParseOptions::default());
    assert_eq!(parsed.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), ["||c.example^"]);
    assert_eq!(parsed.report.skipped_count(), 2);
}

#[test]
fn a_named_format_takes_its_own_lines_only() {
    let text = b"0.0.0.0 a.example\nb.example\n";
    let options = ParseOptions { format: Some(Format::Domains), subdomains: true };
    let parsed = parse(text, options);
    assert_eq!(parsed.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), ["||b.example^"]);
    let skipped: Vec<_> = parsed.report.skipped().map(|skipped| skipped.skip.to_string()).collect();
    assert_eq!(skipped, ["another syntax than the one configured"]);
}

proptest! {
    #[test]
    fn parsing_never_panics_and_counts_every_line(text: Vec<u8>) {
        let report = parse(&text, ParseOptions::default()).report;
        let skipped: u32 = report.skipped().map(|skipped| skipped.count).sum();
        prop_assert_eq!(report.lines, report.blank + report.comments + report.rule_lines + skipped);
    }

    #[test]
    fn it_does_not_matter_where_a_text_is_cut(
        text in "([a-c.|^*#@ ]{0,9}(\\n|\\r|\\r\\n)){0,9}[a-c.]{0,5}", cuts: Vec<proptest::sample::Index>,
    ) {
        let whole = parse(text.as_bytes(), ParseOptions::default());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut rules = Vec::new();
        let mut parser = Parser::default();
        let mut start = 0;
        for end in cuts.into_iter().chain([text.len()]) {
            parser.push(&text.as_bytes()[start..end], &mut |rule| {
                    rules.push(rule);
                    Ok(())
                });
            start = end;
        }
        let (format, report) = parser.finish(&mut |rule| {
                rules.push(rule);
                Ok(())
            });
        prop_assert_eq!((format, rules, report), (whole.format, whole.rules, whole.report));
    }

    #[test]
    fn lines_from_the_grammar_never_block_more_than_their_name(
        prefix in "(\\|\\||@@\\|\\||\\|||0\\.0\\.0\\.0 |\\*\\.)",
        name in "[a-z]{1,5}\\.[a-z]{1,5}",
        suffix in "(\\^|/p|\\^\\$third-party|##.x|#x|\\*|)",
    ) {
        let line = format!("{prefix}{name}{suffix}");
        for rule in parse(line.as_bytes(), ParseOptions::default()).rules {
            let Subject::Name { name: found, .. } = rule.subject else { panic!("{line}") };
            prop_assert_eq!(found.to_string(), name.clone(), "{}", line);
        }
    }
}
