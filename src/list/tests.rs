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
    check("0.0.0.0 com", "=com");
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
    check("*.com", "||com^");
    check("*", "it would cover every name, or reverse names");
    check(".", "it would cover every name, or reverse names");
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
    check("||com^", "||com^");
    check("||co.uk^", "||co.uk^");
    check("||*.co.uk^", "*.co.uk");
    check("||in-addr.arpa^", "it would cover every name, or reverse names");
    check("co.uk", "=co.uk");
    check("||shop.co.uk^", "||shop.co.uk^");
    check("@@||good.example^$important", "@@||good.example^$important");
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
    check("||site.example^$important,third-party", "only a browser can apply it");
    check("||site.example^$~important", "only a browser can apply it");
    check("||site.example:8080^", "only a browser can apply it");
    check("||site.example^path", "only a browser can apply it");
    check("||site.example/x?a=1&amp;b", "only a browser can apply it");
    check("adsense*.js", "only a browser can apply it");
    check("/^https?:\\/\\/ads/", "only a browser can apply it");
    check("%2Fevent.gif%3F", "only a browser can apply it");
    check("http://site.example/", "only a browser can apply it");
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

const WIDE: &str = "it would cover every name, or reverse names";
const BROWSER: &str = "only a browser can apply it";
const SETTING: &str = "a setting of another program";
const MALFORMED: &str = "not as its syntax asks for";
const MODIFIER: &str = "a modifier with a value that is not understood";
const NOT_READ: &str = "syntax that this version does not read";

/// As [`check`], for several lines of one text.
#[track_caller]
fn check_text(format: Option<Format>, text: &str, expected: &str) {
    let options = ParseOptions { format, subdomains: false };
    let parsed = parse(text.as_bytes(), options);
    let rules: Vec<String> = parsed.rules.iter().map(ToString::to_string).collect();
    let skipped: Vec<String> = parsed
        .report
        .skipped()
        .map(|skipped| format!("{}:{}", skipped.skip.as_str(), skipped.count))
        .collect();
    assert_eq!([rules, skipped].concat().join(" "), expected, "{text}");
    assert_eq!(parsed.report.lines, accounted(&parsed.report));
}

fn accounted(report: &Report) -> u32 {
    report.blank + report.comments + report.rule_lines + report.skipped_count()
}

/// The expression of a line's pattern.
#[track_caller]
fn check_matches(line: &str, matching: &[&str], others: &[&str]) {
    let rules = parse(line.as_bytes(), ParseOptions::default()).rules;
    let [Rule { subject: Subject::Pattern(pattern), .. }] = &*rules else { panic!("{line}: {rules:?}") };
    let regex = regex_automata::meta::Regex::new(pattern.as_regex()).unwrap();
    for (names, expected) in [(matching, true), (others, false)] {
        for name in names {
            assert_eq!(regex.is_match(name) != pattern.is_inverted(), expected, "{line} on {name}");
        }
    }
}

#[test]
fn adblock_patterns_match_as_adguard_has_them() {
    check("|site.example^", "=site.example");
    check("|site.example|", "=site.example");
    check("||site.example|", "||site.example^");
    check("||site.example^*", "||site.example^");
    check("*.site.example^", "*.site.example");
    check("||^", WIDE);
    check("||*^", WIDE);
    check("*", WIDE);
    check("||a", WIDE);
    check_matches(
        "||site.example",
        &["site.example", "a.site.example", "site.example.org", "site.examples"],
        &["mysite.example"],
    );
    check_matches(
        "||ads*.example^",
        &["ads.example", "ads1.x.example", "a.ads1.example"],
        &["myads.example", "ads.example.org"],
    );
    check_matches("||*ads.example^", &["ads.example", "myads.example", "a.ads.example"], &["ads.examples"]);
    check_matches("|ads*.example^", &["ads.example", "ads1.example"], &["a.ads.example"]);
    check_matches("|ads", &["ads.example"], &["a.ads.example"]);
    check_matches("ads.example^", &["ads.example", "myads.example"], &["ads.example.org"]);
    check_matches("ads*.example.com", &["ads.example.com", "my-ads1.example.com.org"], &["example.com"]);
    check_matches("||A-B*.Example^", &["a-b1.example"], &["a-b1xexample"]);
    check(
        "||b\u{fc}*.example^",
        "a pattern with other than ASCII characters; write international names as `xn--\u{2026}`",
    );
    check("||b\u{fc}cher.example^", "||xn--bcher-kva.example^");
}

#[test]
fn adblock_modifiers_are_honoured_or_the_rule_is_not_taken() {
    check("||a.example^$important", "||a.example^$important");
    check("||a.example^$badfilter,important", "||a.example^$important,badfilter");
    check("@@||a.example^$badfilter", "@@||a.example^$badfilter");
    check("||a.example^$important,important", MODIFIER);
    check("||a.example^$important=1", MODIFIER);
    check("||a.example^$denyallow=c.a.example|b.a.example", "||a.example^$denyallow=b.a.example|c.a.example");
    check("*$denyallow=com|net", "*$denyallow=com|net");
    check("@@*$denyallow=com|net", "@@*$denyallow=com|net");
    check("*$important", WIDE);
    check("||a.example^$dnstype=aaaa|HTTPS", "||a.example^$dnstype=AAAA|HTTPS");
    check("||a.example^$dnstype=~A|~CNAME", "||a.example^$dnstype=~A|~CNAME");
    check("||a.example^$dnstype=~A|CNAME", "||a.example^$dnstype=CNAME");
    check("||a.example^$dnstype=B", MODIFIER);
    check("||*^$dnstype=HTTPS,dnsrewrite=REFUSED", "||*^$dnstype=HTTPS,dnsrewrite=REFUSED");
    check(
        "||a.example^$client=192.168.0.9/24|fe80::1|~127.0.0.1",
        "||a.example^$client=192.168.0.0/24|fe80::1|~127.0.0.1",
    );
    check("||a.example^$client='Frank\\'s laptop'", "||a.example^$client='Frank\\'s laptop'");
    check("||a.example^$client=~'Ann\\'s\\, Bo\\|s'|Kids", "||a.example^$client='Kids'|~'Ann\\'s\\, Bo\\|s'");
    check("||a.example^$client='open", MODIFIER);
    check("||a.example^$client=", MODIFIER);
    check("||a.example^$ctag=device_tv|~os_ios", "||a.example^$ctag=device_tv|~os_ios");
    check("||a.example^$ctag=A B", MODIFIER);
}

#[test]
fn adblock_rewrites() {
    let rewrite = |value: &str, shown: &str| {
        check(&format!("||a.example^$dnsrewrite={value}"), &format!("||a.example^$dnsrewrite={shown}"));
    };
    rewrite("1.2.3.4", "1.2.3.4");
    rewrite("abcd::1234", "abcd::1234");
    rewrite("Example.net", "example.net");
    rewrite("REFUSED", "REFUSED");
    rewrite("NOERROR", "NODATA");
    rewrite("NXDOMAIN;;", "NXDOMAIN");
    rewrite("NOERROR;;", "NODATA");
    rewrite("NOERROR;A;1.2.3.4", "1.2.3.4");
    rewrite("NOERROR;CNAME;example.net", "example.net");
    rewrite("NOERROR;MX;32 example.mail", "MX \\# 16 0020076578616d706c65046d61696c00");
    rewrite("NOERROR;TXT;hello world", "TXT \\# 12 0b68656c6c6f20776f726c64");
    rewrite("NOERROR;SRV;10 60 8080 example.com", "SRV \\# 19 000a003c1f90076578616d706c6503636f6d00");
    rewrite("NOERROR;HTTPS;32 . alpn=h3", "HTTPS \\# 10 00200000010003026833");
    check("||a.example^$dnsrewrite=SERVFAIL", NOT_READ);
    check("||a.example^$dnsrewrite=NOERROR;CAA;0 issue x", NOT_READ);
    check("||a.example^$dnsrewrite=NOERROR;A;x", MODIFIER);
    check("||a.example^$dnsrewrite=NOERROR;A", MODIFIER);
    check("||a.example^$dnsrewrite=FOO", MODIFIER);
    check("||a.example^$dnsrewrite", MODIFIER);
    check("@@||a.example^$dnsrewrite", "@@||a.example^$dnsrewrite=");
    check("@@||a.example^$dnsrewrite=1.2.3.4", "@@||a.example^$dnsrewrite=1.2.3.4");
    check(
        "||4.3.2.1.in-addr.arpa^$dnsrewrite=NOERROR;PTR;a.example.",
        "||4.3.2.1.in-addr.arpa^$dnsrewrite=PTR \\# 11 0161076578616d706c6500",
    );
    check_text(
        None,
        "||a.example^$dnsrewrite=1.2.3.4\n||a.example^$dnsrewrite=NOERROR;A;1.2.3.5\n||b.example^$dnsrewrite=::1\n",
        "||a.example^$dnsrewrite=1.2.3.4|1.2.3.5 ||b.example^$dnsrewrite=::1",
    );
}

#[test]
fn regular_expressions() {
    check("/^ads[0-9]+\\./", "/^ads[0-9]+\\./");
    check("@@/example.*/$important", "@@/example.*/$important");
    check("/example.*/$third-party", BROWSER);
    check("^(.+[_.-])?adserv[0-9]*[_.-]", "/^(.+[_.-])?adserv[0-9]*[_.-]/");
    check("^ads;querytype=A,AAAA;reply=NXDOMAIN", "/^ads/$dnstype=A|AAAA,dnsrewrite=NXDOMAIN");
    check("^ads;querytype=!A", "/^ads/$dnstype=~A");
    check("^ads;reply=NODATA", "/^ads/$dnsrewrite=NODATA");
    check("^ads;reply=NXRRSET", "/^ads/$dnsrewrite=NODATA");
    check("^ads;reply=REFUSED", "/^ads/$dnsrewrite=REFUSED");
    check("^ads;reply=IP", "/^ads/$dnsrewrite=NULL");
    check("^ads;reply=none", "/^ads/$dnsrewrite=DROP");
    check("^ads;reply=1.2.3.4,::2", "/^ads/$dnsrewrite=1.2.3.4|::2");
    check("^ads;reply=x", MODIFIER);
    check("^ads;x", MODIFIER);
    check("/.*/", WIDE);
    check("/\\./", WIDE);
    check("/.*/$dnstype=A", "/.*/$dnstype=A");
    check("^endpoint=track^$image", BROWSER);
    check_matches("^ads\\.;invert", &["a.example"], &["ads.example"]);
    check_matches("/ADS[A-Z]\\.Example/", &["adsx.example"], &["ads.example"]);
    check_matches("/^a{,2}\\./", &["a.example", "aa.example"], &["aaa.example"]);
    check_matches("/^[[:digit:][x]+\\./", &["1x.example"], &["a.example"]);
    check_matches("/^[]a]\\./", &["a.example"], &["b.example"]);
    check_matches("/^[a&&b]\\./", &["a.example"], &["c.example"]);
    check_matches("/^\\d+\\.[^.[:space:]]+$/", &["12.example"], &["a.example", "1.a.example"]);
    check_matches("/\\bads\\b/", &["a-ads.example"], &["loads.example"]);
    check_text(Some(Format::Regex), "ads\n||a.example^\n# a comment\n/x/\n", "/ads/ /x/ too-wide:1");
}

#[test]
fn an_expression_that_is_no_good_is_refused_with_its_reason() {
    for (expression, expected) in [
        ("^(?!www)ads", PatternError::LookAround),
        ("(?<=a)ads", PatternError::LookAround),
        ("(?=www)ads", PatternError::LookAround),
        ("(a)\\1", PatternError::BackReference),
        ("(ads", PatternError::GroupOpen),
        ("ads)", PatternError::GroupClosed),
        ("[ads", PatternError::BracketsOpen),
        ("[z-a]", PatternError::Range),
        ("ads{2,1}", PatternError::Repetition),
        ("**", PatternError::Repetition),
        ("(a{900}){900}", PatternError::TooLarge),
        ("\\p{Greek}", PatternError::Unknown),
        ("[[.hyphen.]]", PatternError::Unknown),
        ("\u{fc}", PatternError::NotAscii),
        (&"(".repeat(60), PatternError::GroupOpen),
        (&format!("{}a{}", "(".repeat(60), ")".repeat(60)), PatternError::TooDeep),
        (&"a".repeat(PATTERN_LEN_MAX + 1), PatternError::TooLong),
    ] {
        check(&format!("/{expression}/"), &expected.to_string());
    }
    let many = "/^ads[0-9]x/\n".repeat(PATTERNS_MAX as usize + 5);
    let parsed = parse(many.as_bytes(), ParseOptions::default());
    assert_eq!((parsed.rules.len(), parsed.report.skipped_count()), (PATTERNS_MAX as usize, 5));
}

#[test]
fn dnsmasq_lines() {
    check("address=/a.example/b.example/0.0.0.0", "||a.example^ ||b.example^");
    check("address=/a.example/", "||a.example^");
    check("address=/a.example/#", "||a.example^");
    check("address=/a.example/::", "||a.example^");
    check("address=/.a.example/", "||a.example^");
    check("address=/*.a.example/", "*.a.example");
    check_matches("address=/*a.example/", &["a.example", "b.a.example", "ba.example"], &["a.example.org"]);
    check("address=/a.example/192.0.2.1", "||a.example^$dnsrewrite=192.0.2.1");
    check_text(
        None,
        "address=/a.example/192.0.2.1\naddress=/a.example/2001:db8::1\n",
        "||a.example^$dnsrewrite=192.0.2.1|2001:db8::1",
    );
    check("address=/#/192.0.2.1", WIDE);
    check("address=/a.example", MALFORMED);
    check("address=/a.example/x", MALFORMED);
    check("address=/a..example/b.example/", "||b.example^");
    check("server=/a.example/", "||a.example^");
    check("server=/a.example/192.0.2.1", "names that another server is asked about, not a block");
    check("server=/a.example/#", "@@||a.example^");
    check("server=9.9.9.9", SETTING);
    check("local=/a.example/ # comment", "||a.example^");
    check("local=//", NOT_READ);
    check("ipset=/a.example/set", SETTING);
    check_text(
        Some(Format::Dnsmasq),
        "# a\nno-resolv\nlocal=/a.example/\nb.example\n",
        "||a.example^ setting:2",
    );
}

#[test]
fn unbound_lines() {
    check("local-zone: \"a.example.\" always_null", "||a.example^");
    check("local-zone: a.example static # comment", "||a.example^");
    check("local-zone: 'a.example' always_nxdomain", "||a.example^");
    check("local-zone: \"a.example\" always_nodata", "||a.example^$dnsrewrite=NODATA");
    check("local-zone: \"a.example\" refuse", "||a.example^$dnsrewrite=REFUSED");
    check("local-zone: \"a.example\" always_deny", "||a.example^$dnsrewrite=DROP");
    check("local-zone: \"a.example\" block_a", "||a.example^$dnstype=A,dnsrewrite=NODATA");
    check("local-zone: \"a.example\" transparent", SETTING);
    check("local-zone: \"a.example\" always_transparent", "@@||a.example^");
    check("local-zone: \"a.example\" wrong", MALFORMED);
    check("local-zone: \"a.example", MALFORMED);
    check("local-zone: \".\" refuse", WIDE);
    check("local-data: \"a.example A 0.0.0.0\"", "=a.example");
    check("local-data: 'a.example. 60 IN A 192.0.2.1'", "=a.example$dnsrewrite=192.0.2.1");
    check("local-data: \"a.example CNAME b.example\"", "=a.example$dnsrewrite=b.example");
    check("local-data: 'a.example TXT \"x y\"'", "=a.example$dnsrewrite=TXT \\# 4 03782079");
    check("local-data: \"a.example TXT \\\"x\\\"\"", MALFORMED);
    check("server:", SETTING);
    check("local-data-ptr: \"192.0.2.1 a.example\"", SETTING);
    check_text(
        None,
        "local-zone: \"a.example\" redirect\nlocal-data: \"a.example A 192.0.2.1\"\nlocal-data: \"b.example A 0.0.0.0\"\n",
        "||a.example^$dnsrewrite=192.0.2.1 =b.example setting:1",
    );
}

#[test]
fn zone_lines() {
    check("a.example CNAME .", "=a.example$dnsrewrite=NXDOMAIN");
    check("*.a.example 300 IN CNAME .", "*.a.example$dnsrewrite=NXDOMAIN");
    check("a.example IN 1h CNAME *. ; comment", "=a.example$dnsrewrite=NODATA");
    check("a.example CNAME rpz-passthru.", "@@=a.example");
    check("a.example CNAME a.example.", "@@=a.example");
    check("a.example cname rpz-drop.", "=a.example$dnsrewrite=DROP");
    check("a.example CNAME rpz-tcp-only.", "a trigger or an action that is not applied here");
    check("a.example CNAME garden.example.", "=a.example$dnsrewrite=garden.example");
    check("a.example CNAME *.garden.example.", "=a.example$dnsrewrite=*.garden.example");
    check("a.example A 192.0.2.1", "=a.example$dnsrewrite=192.0.2.1");
    check("a.example A 0.0.0.0", "=a.example");
    check("a.example TXT \"a; b\"", "=a.example$dnsrewrite=TXT \\# 5 04613b2062");
    check("* CNAME .", WIDE);
    check("24.0.2.0.192.rpz-ip CNAME .", "192.0.2.0/24$dnsrewrite=NXDOMAIN");
    check("32.1.2.0.192.rpz-ip CNAME rpz-passthru.", "@@192.0.2.1/32");
    check("48.zz.1.db8.2001.rpz-ip CNAME .", "2001:db8:1::/48$dnsrewrite=NXDOMAIN");
    check("128.1.zz.db8.2001.rpz-ip CNAME .", "2001:db8::1/128$dnsrewrite=NXDOMAIN");
    check("192.0.2.1.rpz-ip CNAME .", "no length and address backwards, as in `32.1.2.0.192.rpz-ip`");
    check("24.1.2.0.192.rpz-ip CNAME .", "no length and address backwards, as in `32.1.2.0.192.rpz-ip`");
    check("24.0.2.0.192.rpz-client-ip CNAME .", "a trigger or an action that is not applied here");
    check("ns.example.rpz-nsdname CNAME .", "a trigger or an action that is not applied here");
    check("32.1.2.0.192.rpz-nsip CNAME .", "a trigger or an action that is not applied here");
    check("$TTL 3600", SETTING);
    check("; a comment of a zone file", "");
    check("a.example a tracker", MALFORMED);
}

#[test]
fn a_zone_is_read_as_name_servers_read_it() {
    let zone = "$ORIGIN rpz.example.\n\
        @ 60 IN SOA ns.example. root.example. (\n\
        \t1 ; serial\n\
        \t2 3 4 5 )\n\
        \tNS ns.example.\n\
        a.example CNAME .\n\
        \t; nothing but a comment\n\
        b.example.rpz.example. CNAME .\n\
        c.example. CNAME .\n\
        d.example A 192.0.2.1\n\
        \u{20} AAAA 2001:db8::1\n\
        \u{20} A 192.0.2.2\n\
        e.example CNAME walled\n\
        $ORIGIN sub.rpz.example.\n\
        f CNAME .\n";
    let expected = "=a.example$dnsrewrite=NXDOMAIN =b.example$dnsrewrite=NXDOMAIN \
        =d.example$dnsrewrite=192.0.2.1|192.0.2.2|2001:db8::1 =e.example$dnsrewrite=walled.rpz.example \
        =f.sub$dnsrewrite=NXDOMAIN setting:6 out-of-zone:1";
    check_text(None, zone, expected);
    check_text(Some(Format::Rpz), zone, expected);
    let named_by_soa = "rpz.example. SOA . . 1 2 3 4 5\na.example.rpz.example. CNAME .\nb.example CNAME .\n";
    check_text(None, named_by_soa, "=a.example$dnsrewrite=NXDOMAIN =b.example$dnsrewrite=NXDOMAIN setting:1");
    let never_closed = format!("@ SOA a. b. (\n{}", "a.example CNAME .\n".repeat(40));
    let parsed = parse(never_closed.as_bytes(), ParseOptions::default());
    assert_eq!((parsed.rules.len(), parsed.report.skipped_count()), (16, 25));
    let many: String = (0..100).map(|last| format!("a.example A 192.0.2.{last}\n")).collect();
    let parsed = parse(many.as_bytes(), ParseOptions::default());
    assert_eq!((parsed.rules.len(), parsed.report.rule_lines, parsed.report.skipped_count()), (1, 64, 36));
}

#[test]
fn what_covers_a_public_suffix_is_told() {
    for (line, expected) in [
        ("com", true),
        ("0.0.0.0 com", true),
        ("||com^", true),
        ("||co.uk^", true),
        ("*.co.uk", true),
        ("||*.co.uk^", true),
        ("co.uk", false),
        ("||shop.co.uk^", false),
        ("||kawasaki.jp^", true),
        ("||city.kawasaki.jp^", false),
        ("||github.io^", false),
        ("||pvt.k12.ma.us^", true),
        ("||a.b.c.d.e.example^", false),
        ("||xn--p1ai^", true),
        ("*$denyallow=com", true),
        ("/\\./$dnstype=A", true),
        ("^ads\\.;invert", true),
        ("/^ads/", false),
    ] {
        let rules = parse(line.as_bytes(), ParseOptions::default()).rules;
        assert_eq!(rules.iter().map(Rule::covers_public_suffix).collect::<Vec<_>>(), [expected], "{line}");
    }
}

#[test]
fn what_the_caller_refuses_is_counted_as_skipped() {
    let text =
        "0.0.0.0 a.example b.example\n||com^\nc.example A 192.0.2.1\nc.example A 192.0.2.2\nd.example\n";
    let mut parser = Parser::default();
    let mut taken = Vec::new();
    let mut add = |rule: Rule| {
        let shown = rule.to_string();
        if rule.covers_public_suffix() || shown.starts_with("=a") || shown.starts_with("=c") {
            return Err(Skip::PublicSuffix);
        }
        taken.push(shown);
        Ok(())
    };
    parser.push(text.as_bytes(), &mut add);
    let (_, report) = parser.finish(&mut add);
    assert_eq!(taken, ["=b.example", "=d.example"]);
    assert_eq!((report.lines, report.rule_lines, report.skipped_count()), (5, 2, 3));
    let lines: Vec<u32> =
        report.skipped().flat_map(|skipped| skipped.first.iter().map(|first| first.line)).collect();
    assert_eq!(lines, [2, 3, 4]);
}

#[test]
fn html_and_odd_blanks() {
    check("&#124;&#x7c;a.example&Hat;", "||a.example^");
    check("0.0.0.0&nbsp;a.example", "=a.example");
    check("0.0.0.0\u{a0}a.example", "=a.example");
    check("\u{200b}a.example\u{3000}", "=a.example");
    check("&lt;a.example&gt;", "not a domain name");
    check("a.example&#35;&#35;.ad", BROWSER);
    check("&#33; a comment", "");
    check("&amp;#33; a.example", BROWSER);
}

#[test]
fn a_latin_1_comment_spoils_nothing() {
    let parsed = parse(b"# caf\xe9\na.example # caf\xe9\nb.example\n", ParseOptions::default());
    assert_eq!((parsed.rules.len(), parsed.report.comments, parsed.report.skipped_count()), (2, 1, 0));
}

/// The lines of `text` from which the rule comes that is shown as `wanted`.
#[track_caller]
fn check_found(text: &str, wanted: &str, expected: &[u32]) {
    let mut finder = Finder::new(ParseOptions::default(), wanted, 10);
    for piece in text.as_bytes().chunks(7) {
        finder.push(piece);
    }
    let found = finder.finish();
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), expected, "{wanted}");
    for FoundLine { line, text: shown } in found {
        assert_eq!(text.lines().nth(line as usize - 1).map(str::trim), Some(&*shown));
    }
}

#[test]
fn the_lines_of_a_rule_are_found() {
    let text = "[Adblock Plus]\n||a.example^\n||B.example^$important\n||xa.example^\n0.0.0.0 c.example A.example\n\
        ||b&#46;example^$important\n/^ads[0-9]+x/\n||a.example^\n!#if x\n||a.example^\n!#endif\nz.example CNAME .\n\
        d.example A 192.0.2.1\n d.example\n  AAAA ::2\n32.1.2.0.192.rpz-ip CNAME .\n";
    check_found(text, "||a.example^", &[2, 8]);
    check_found(text, "=a.example", &[5]);
    check_found(text, "||b.example^$important", &[3, 6]);
    check_found(text, "||b.example^", &[]);
    check_found(text, "/^ads[0-9]+x/", &[7]);
    check_found(text, "192.0.2.1/32$dnsrewrite=NXDOMAIN", &[16]);
    let zone = "d.example A 192.0.2.1\n  AAAA ::2\ne.example A 192.0.2.1\n  AAAA ::3\n";
    check_found(zone, "=d.example$dnsrewrite=192.0.2.1|::2", &[1, 2]);
    check_found(zone, "=e.example$dnsrewrite=192.0.2.1|::3", &[3, 4]);
    let mut finder = Finder::new(ParseOptions::default(), "@@||a.example^", 1).of_any_action();
    finder.push(text.as_bytes());
    assert_eq!(finder.finish().len(), 1);
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
        suffix in "(\\^|#x|\\*|\\||\\^\\||)",
    ) {
        let line = format!("{prefix}{name}{suffix}");
        for rule in parse(line.as_bytes(), ParseOptions::default()).rules {
            match rule.subject {
                Subject::Name { name: found, .. } => prop_assert_eq!(found.to_string(), name.clone(), "{}", line),
                Subject::Pattern(pattern) => {
                    let regex = regex_automata::meta::Regex::new(pattern.as_regex()).unwrap();
                    prop_assert!(regex.is_match(&name) && !regex.is_match("0.0"), "{}", line);
                }
                Subject::Addresses(net) => panic!("{line}: {net}"),
            }
        }
    }

    #[test]
    fn rules_of_browsers_are_no_rules_of_ours(
        header in "(\\[Adblock Plus 2.0\\]\n|)",
        prefix in "(\\|\\||@@\\|\\||\\||@@|\\|https?://|://|)",
        name in "[a-z*]{1,5}\\.[a-z*]{1,5}",
        suffix in "(/|/\\*|/p\\.gif|\\^p|\\?x=|:80\\^|\\^\\$(third-party|script,important|dnstype=A,domain=a\\.b|~important)|#(@|\\?|\\$|%|)#\\.x|\\$\\$x)",
    ) {
        let text = format!("{header}{prefix}{name}{suffix}");
        let parsed = parse(text.as_bytes(), ParseOptions::default());
        prop_assert!(parsed.rules.is_empty(), "{}: {:?}", text, parsed.rules);
    }

    #[test]
    fn the_quick_way_reads_what_the_thorough_one_does(
        line in "(\\|\\||0\\.0\\.0\\.0[ \t]|::1 |127\\.0\\.0\\.1 |)(localhost|a.arpa|com|[a-zA-Z0-9_.-]{1,9})(\\.[a-z]{1,3}| b\\.example|\\.local|\\.localdomain|\\.|)(\\^| #x|)",
        subdomains: bool,
    ) {
        let mut reader = line::Reader::new(ParseOptions { format: None, subdomains });
        let (mut quick, mut thorough) = (Vec::new(), Vec::new());
        if let Some(format) = hosts::quick(line.as_bytes(), &reader, &mut quick) {
            let read = reader.dressed(&line, &mut thorough);
            prop_assert!(matches!(read, line::Line::Rules(found) if found == format), "{}", line);
            prop_assert_eq!(quick, thorough, "{}", line);
        }
    }

    #[test]
    fn any_text_in_any_format_is_accounted_for_and_its_rules_are_found(
        text in "(([a-c.|^*#@ /$;:=&()\\[\\]\"'!]|\\|\\||address=/|local-(zone|data): |CNAME|IN|SOA|A 0.0.0.1|rpz-ip|0\\.0\\.0\\.0 |\\$dns(type|rewrite)=|;|\\t){0,9}(\\n|\\r\\n)){0,9}",
        format in 0..=Format::ALL.len(),
    ) {
        let options = ParseOptions { format: Format::ALL.get(format).copied(), subdomains: false };
        let parsed = parse(text.as_bytes(), options);
        prop_assert_eq!(parsed.report.lines, accounted(&parsed.report));
        for rule in parsed.rules {
            let shown = rule.to_string();
            let mut finder = Finder::new(options, &shown, 100);
            finder.push(text.as_bytes());
            let found = finder.finish();
            prop_assert!(found.iter().any(|found| found.line == rule.line), "{}: {:?} in {:?}", shown, found, text);
        }
    }
}
