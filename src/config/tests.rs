//! Configurations that are right, and what is said of those that are not.

use super::*;
use crate::device::{DeviceKind, Member};

const SHIPPED: &str = include_str!("../../config/pixelsink.toml");

fn file() -> &'static Path {
    Path::new("pixelsink.toml")
}

/// What is said of `text`, one line a problem.
fn problems(text: &str) -> String {
    match Config::parse(text, file()) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(error) => error.lines().join("\n"),
    }
}

#[test]
fn the_shipped_file_and_the_defaults_agree() {
    let mut shipped = Config::parse(SHIPPED, file()).unwrap_or_else(|error| panic!("{error}"));
    assert!(shipped.listen_is_named && shipped.web_listen_is_named);
    (shipped.listen_is_named, shipped.web_listen_is_named, shipped.file) = (false, false, None);
    assert_eq!(shipped, Config::default());
}

#[test]
fn the_shipped_file_has_every_key() {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with([' ', '#']) => example.to_owned(),
        _ => line.to_owned(),
    };
    let text = SHIPPED.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    let (config, problems, known) = read::read(&text, file());
    assert_eq!(problems, []);
    assert_eq!((config.lists.len(), config.devices.len(), config.groups.len()), (3, 1, 1));
    let mut section = String::new();
    let mut present = std::collections::BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("[[").and_then(|line| line.strip_suffix("]]")) {
            section = format!("{name}[].");
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.split_once(" = ") {
            present.insert(format!("{section}{key}"));
        }
    }
    let sections = [
        "dns",
        "limits",
        "upstream",
        "upstream.routes",
        "cache",
        "blocking",
        "answers",
        "local",
        "bypass",
        "web",
        "builtin",
        "download",
        "lists",
        "rules",
        "devices",
        "groups",
        "discovery",
        "history",
        "trackers",
    ];
    let keys: std::collections::BTreeSet<String> = known
        .into_iter()
        .filter(|key| !sections.contains(&key.as_str()) && !key.starts_with("blocking.mode."))
        .filter(|key| !key.starts_with("web.tls.") && !key.starts_with("groups[].upstream."))
        .collect();
    assert_eq!(present, keys);
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = Config::parse("", file()).unwrap();
    assert_eq!(Config { file: None, ..config }, Config::default());
}

#[test]
fn every_value_is_read() {
    let config = Config::parse(
        r#"
        data_dir = "/data"
        [dns]
        listen = ["127.0.0.1:5300"]
        allow_from = ["local", "203.0.113.0/24", "2001:db8::1"]
        [limits]
        queries_per_second = 1
        in_flight_per_client = 2
        responses_per_second = 3
        tcp_connections = 4
        tcp_connections_per_client = 5
        [upstream]
        servers = ["udp://127.0.0.1:5399", "tcp://[::1]:5399"]
        [blocking]
        mode = { ipv4 = "192.0.2.1" }
        ttl = "10s"
        [builtin]
        levels = ["pixel", "links"]
        [[lists]]
        name = "ads"
        url = "https://lists.example/ads.txt"
        kind = "allow"
        format = "hosts"
        subdomains = true
        refresh = "12h"
        [rules]
        block = ["a.example",
                 "=b.example"]
        "#,
        file(),
    )
    .unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:5300".parse().unwrap()]);
    assert_eq!(config.server.access.allow_from.len(), 2);
    let access = &config.server.access;
    assert!(access.allow_local_networks);
    assert_eq!(
        [
            access.queries_per_second,
            access.in_flight_per_client,
            access.responses_per_second,
            access.tcp_connections,
            access.tcp_connections_per_client,
        ],
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        config.resolve.servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>(),
        ["udp://127.0.0.1:5399", "tcp://[::1]:5399"]
    );
    let custom = crate::policy::SinkholeMode::Custom { ipv4: Some([192, 0, 2, 1].into()), ipv6: None };
    assert_eq!((config.blocking.mode, config.blocking.ttl_secs), (custom, 10));
    assert_eq!(config.builtin_levels, [Level::Pixel, Level::Links]);
    let list = &config.lists[0];
    assert_eq!(
        (list.kind, list.subdomains, list.refresh),
        (crate::feed::SourceKind::Allow, true, 12 * 3600 * Duration::from_secs(1))
    );
    assert_eq!(config.own_rules.iter().map(|(_, _, line)| *line).collect::<Vec<_>>(), [27, 28]);
}

#[test]
fn what_is_said_of_devices_is_read() {
    let text = r#"
        dns.trusted_forwarders = ["192.168.1.1", "fd00::/64"]
        [discovery]
        leases = ["auto", "/srv/leases.csv"]
        mdns = false
        router_names = false
        [[devices]]
        name = " Kitchen\tTV "
        macs = ["aa:bb:cc:dd:ee:ff"]
        kind = "television"
        "#;
    let config = Config::parse(text, file()).unwrap();
    assert_eq!(config.server.access.trusted_forwarders.len(), 2);
    let discovery = DiscoveryOptions {
        leases: vec!["/srv/leases.csv".into()],
        well_known_leases: true,
        mdns: false,
        router_names: false,
    };
    assert_eq!(config.discovery, discovery);
    let device = &config.devices[0];
    assert_eq!((&*device.name, device.kind, device.line), ("Kitchen TV", Some(DeviceKind::Television), 7));
    let none = Config::parse("discovery.leases = []\n", file()).unwrap();
    assert!(!none.discovery.well_known_leases && none.discovery.leases.is_empty());
    for (text, told) in [
        ("discovery.leases = [\"leases\"]\n", "`leases` is not absolute"),
        ("dns.trusted_forwarders = [\"router\"]\n", "`router` is neither an address nor a prefix"),
        (
            "[[devices]]\nname = \"a\"\naddresses = [\"10.0.0.1\"]\nkind = \"toaster\"\n",
            "`toaster` is no kind of device",
        ),
    ] {
        let error = Config::parse(text, file()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"data_dir = "here"
colour = "blue"
[dns]
listen = ["0.0.0.0", 53]
allow_from = ["everyone"]
[limits]
queries_per_second = "many"
in_flight_per_client = 0
responses_per_second = 20_000
tcp_connections = -1
tcp_connections_per_client = 1.5
[upstream]
servers = [
  "dot://1.1.1.1",
  "udp://127.0.0.1:53",
  "udp://dns.example/x",
  { url = "udp://192.0.2.1", pin = "sha256/x" },
  { url = "tls://192.0.2.1", check_name = false },
  { url = "tls://192.0.2.1", addresses = ["192.0.2.1"], ca = "ca.pem" },
  { name = "dns.example" },
  "https://[2001:db8::1]",
  "tls://192.0.2.2",
  "tls://192.0.2.2:853",
]
strategy = "quickest"
bootstrap = ["dns.example"]
[[upstream.routes]]
domains = [".", "fritz.box", "192.168.0.0/20"]
servers = ["udp://192.168.178.1"]
[[upstream.routes]]
domains = ["fritz.box"]
[[upstream.routes]]
domains = ["fritz.box"]
servers = []
[blocking]
mode = "hide"
ttl = 5
[builtin]
levels = "pixel"
[[lists]]
name = "a b"
url = "file:///etc/passwd"
kind = "cname"
format = "csv"
refresh = "1m"
[[lists]]
name = "two"
url = "https://lists.example/"
path = "/lists/two"
[[lists]]
urls = ["https://lists.example/"]
[rules]
block = ["a..b", "/(ads/"]
[[devices]]
name = "TV"
macs = ["aa:bb"]
"#;
    insta::assert_snapshot!(problems(text));
}

#[test]
fn nonsense_is_refused() {
    let text = "dns.listen = []\ndns.allow_from = []\nupstream.servers = []\nblocking.mode = {}\n\
                blocking.ttl = \"40000d\"\ndownload.size_max = \"0\"\nrules.block = [\"1.2.3.4\"]\n";
    insta::assert_snapshot!(problems(text));
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    insta::assert_snapshot!(problems("[dns\nlisten = [\"127.0.0.1:53\"]\n"));
    insta::assert_snapshot!(problems("data_dir = \"/a\"\ndata_dir = \"/b\"\n"));
}

#[test]
fn a_problem_is_shown_in_its_line() {
    let text = "[upstream]\nservers = [\n  \"udp://9.9.9.9\",\n  \"dot://1.1.1.1\",\n]\n";
    let error = Config::parse(text, file()).unwrap_err();
    insta::assert_snapshot!(error.render(false));
}

#[test]
fn upstreams_are_read_with_all_that_is_said_of_them() {
    let pin = "sha256/BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let text = format!(
        r#"
        [upstream]
        servers = [
          "https://dns.example",
          {{ url = "tls://dns.example", addresses = ["192.0.2.1", "2001:db8::1"], name = "other.example", pin = ["{pin}"], ca = "/ca.pem" }},
          {{ url = "quic://192.0.2.1:8853", pin = "{pin}", check_name = false }},
        ]
        strategy = "spread"
        bootstrap = ["192.0.2.53", "[2001:db8::53]:5353"]
        [[upstream.routes]]
        domains = ["fritz.box", "*.lan", "192.168.178.0/24"]
        servers = ["192.168.178.1"]
        "#
    );
    let resolve = Config::parse(&text, file()).unwrap().resolve;
    let [https, tls, quic] = &resolve.servers[..] else { panic!("{resolve:?}") };
    assert_eq!(https.address.to_string(), "https://dns.example/dns-query");
    assert_eq!((tls.addresses.len(), tls.tls_name.as_deref()), (2, Some("other.example")));
    assert_eq!((tls.pins[0].to_string().as_str(), tls.checks_name), (pin, true));
    assert_eq!(tls.ca.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!((quic.address.port, quic.pins.len(), quic.checks_name), (8853, 1, false));
    assert_eq!(resolve.strategy, Strategy::Spread);
    assert_eq!(
        resolve.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.53:53", "[2001:db8::53]:5353"]
    );
    let domains: Vec<String> = resolve.routes[0].domains.iter().map(ToString::to_string).collect();
    assert_eq!(domains, ["fritz.box", "lan", "178.168.192.in-addr.arpa"]);
}

#[test]
fn groups_are_read_with_their_upstreams() {
    let group = |name: &str, devices: &str| {
        format!("[[groups]]\nname = \"{name}\"\ndevices = [{devices}]\nupstream.servers = [\"9.9.9.11\"]\n")
    };
    let text = format!(
        "upstream.strategy = \"race\"\n{}upstream.strategy = \"spread\"\n{}",
        group("kids", "\"AA:bb:cc:dd:ee:ff\", \"Anna's tablet\", \"192.168.20.7/24\", \"192.168.1.7\""),
        group("guests", "\"fd00::/64\"")
    );
    let config = Config::parse(&text, file()).unwrap();
    let [kids, guests] = &config.groups[..] else { panic!("{:?}", config.groups) };
    let members = [
        Member::Key("aa:bb:cc:dd:ee:ff".parse().unwrap()),
        Member::Name("Anna's tablet".into()),
        Member::Network("192.168.20.0/24".parse().unwrap()),
        Member::Key("192.168.1.7".parse().unwrap()),
    ];
    assert_eq!((&*kids.name, &kids.members[..], guests.members.len()), ("kids", &members[..], 1));
    let [of_kids, of_guests] = &config.resolve.groups[..] else { panic!("{:?}", config.resolve.groups) };
    assert_eq!((of_kids.strategy, of_guests.strategy), (Strategy::Spread, Strategy::Race));
    assert_eq!((of_kids.set().0, of_guests.set().0), (kids.number, guests.number));
    assert!(kids.number != guests.number && kids.number != 0 && guests.number != 0);
    for (text, told) in [
        ("[[groups]]\nname = \"kids\"\n".to_owned(), "expected `name`, `devices` and `upstream.servers`"),
        (group("kids", ""), "expected at least one: a MAC address"),
        (group("kids", "\"192.168.1.0/33\""), "`192.168.1.0/33` is neither an address nor a prefix"),
        (group("kids", "\"192.168.1.256\""), "`192.168.1.256` is neither"),
        (group("kids", "\"aa:bb:cc:dd:ee\""), "`aa:bb:cc:dd:ee` is neither"),
        (group("kids", "\"TV\", \"TV\""), "this stands here already"),
        (group("", "\"TV\""), "can't be a group's name"),
        (group("kids", "\"TV\"") + &group("kids", "\"PC\""), "a group is called `kids`"),
        (group("kids", "\"TV\"") + &group("old", "\"TV\""), "this is in the group `kids` already"),
        (group("kids", "\"TV\"").replace("9.9.9.11", "ftp://192.0.2.1"), "is not a way to speak"),
        (group("kids", "\"TV\"").replace("\"9.9.9.11\"", ""), "nothing would resolve"),
    ] {
        let error = problems(&text);
        assert!(error.contains(told), "{text}\n{error}");
    }
}

#[test]
fn an_open_resolver_is_warned_of() {
    let warnings = |prefixes: &str, more: &str| {
        let text = format!("dns.allow_from = [{prefixes}]\n{more}");
        Config::parse(&text, file()).unwrap().warnings()
    };
    let [warning] = &warnings(r#""private", "0.0.0.0/0""#, "")[..] else { panic!("expected one") };
    insta::assert_snapshot!(warning, @"dns.allow_from: 0.0.0.0/0 lets strangers ask, which makes this an open resolver: others will use it to flood their victims with its answers, in your name (RFC 5358); name the prefixes of your own devices instead; what they are sent over UDP is bounded to 20 answers a second for each /24 or /56");
    let [warning] = &warnings(r#""::/0""#, "limits.responses_per_second = 0")[..] else {
        panic!("expected one")
    };
    insta::assert_snapshot!(warning, @"dns.allow_from: ::/0 lets strangers ask, which makes this an open resolver: others will use it to flood their victims with its answers, in your name (RFC 5358); name the prefixes of your own devices instead; with limits.responses_per_second = 0 nothing bounds what is sent to them");
    assert_eq!(warnings(r#""0.0.0.0/1", "128.0.0.0/1", "2000::/3""#, "").len(), 3);
    let of_few =
        r#""private", "local", "203.0.0.0/8", "2001::/16", "fc00::/7", "fe80::/10", "10.0.0.0/8", "9.9.9.9""#;
    assert_eq!(warnings(of_few, ""), [""; 0]);
}

#[test]
fn private_networks_are_of_the_house() {
    for network in read::private_networks() {
        for address in [network.network(), network.broadcast()] {
            assert!(crate::server::is_of_the_house(address, &[]), "{address}");
        }
    }
}

#[test]
fn addresses_of_lists_are_addresses() {
    for (url, told) in [
        ("http://[::1", "has no `]` behind it"),
        ("http://[::1]x/", "`x` is no port"),
        ("https://[fritz]/", "`fritz` is not an IPv6 address"),
        ("https://", "there is no host in it"),
        ("https:///list.txt", "there is no host in it"),
        ("https://:8080/", "there is no host in it"),
        ("https://lists.example:port/", "`:port` is no port"),
        ("https://lists.example:99999/", "`:99999` is no port"),
        ("https://lists.example/a b", "is not a URL"),
        ("ftp://lists.example/", "is not a URL"),
    ] {
        let told_of = problems(&format!("[[lists]]\nname = \"a\"\nurl = \"{url}\"\n"));
        assert!(told_of.contains(told), "{url}: {told_of}");
    }
    for url in [
        "https://lists.example",
        "http://[2001:db8::1]:8080/a?b=[c]#d",
        "http://me:secret@192.0.2.1:80/list.txt",
        "https://lists.example?x",
    ] {
        assert_eq!(problems(&format!("[[lists]]\nname = \"a\"\nurl = \"{url}\"\n")), "nothing is wrong");
    }
    let directory = tempfile::tempdir().unwrap();
    let told = problems(&format!("[[lists]]\nname = \"a\"\npath = \"{}\"\n", directory.path().display()));
    assert!(told.contains("is a directory"), "{told}");
}

#[test]
fn a_device_has_a_name_and_addresses_that_no_other_has() {
    let device = |name: &str, keys: &str| format!("[[devices]]\nname = \"{name}\"\n{keys}\n");
    let tv = device("TV", "macs = [\"aa:bb:cc:dd:ee:ff\"]\naddresses = [\"192.168.1.20\"]");
    for (second, told) in [
        (
            device("PC", "addresses = [\"192.168.1.20\"]"),
            "`192.168.1.20` is the device `TV` (line 1) already",
        ),
        (device("PC", "addresses = [\"::ffff:192.168.1.20\"]"), "is the device `TV`"),
        (device("PC", "macs = [\"AA:BB:CC:DD:EE:FF\"]"), "`aa:bb:cc:dd:ee:ff` is the device `TV`"),
        (device("", "addresses = [\"192.168.1.21\"]"), "has nothing in it that can be seen"),
        (device("PC", ""), "expected `macs` or `addresses`"),
        (device("PC", "addresses = [\"192.168.1.21\"]"), "nothing is wrong"),
    ] {
        let said = problems(&format!("{tv}{second}"));
        assert!(said.contains(told) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_rule_that_blocks_and_allows_one_name_is_warned_of() {
    let text = "[rules]\nblock = [\"a.example\", \"b.example\"]\nallow = [\"B.example\", \"=a.example\"]\n";
    let warnings = Config::parse(text, file()).unwrap().warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`b.example`") || warnings[0].contains("`||b.example^`"), "{warnings:?}");
    assert!(warnings[0].contains("(line 2)") && warnings[0].contains("(line 3)"), "{warnings:?}");
}

#[test]
fn two_lists_can_not_have_one_name() {
    let list = "[[lists]]\nname = \"a\"\nrules = [\"a.example\"]\n";
    assert_eq!(problems(list), "nothing is wrong");
    insta::assert_snapshot!(problems(&list.repeat(2)), @"pixelsink.toml:5:8: lists[1].name: another list is named `a` already; choose another name");
}

proptest::proptest! {
    #[test]
    fn reading_and_showing_never_panic(text in "[a-z=\\[\\]\"'. \n#é€🦀]{0,40}|\\PC*") {
        if let Err(error) = Config::parse(&text, file()) {
            assert_eq!(error.lines().len(), error.problems.len());
            error.render(false);
        }
    }
}

#[test]
fn the_cache_is_bounded_by_what_makes_sense() {
    for (text, said) in [
        ("cache.size = \"17GiB\"", "more memory than answers ever take"),
        ("cache.ttl_min = \"2h\"", "expected 0 to 3600 seconds"),
        ("cache.ttl_max = \"0s\"", "expected 1 to 86400 seconds"),
        ("cache.ttl_max = \"2d\"", "expected 1 to 86400 seconds"),
        ("cache.negative_ttl_max = \"2h\"", "expected 0 to 3600 seconds"),
        ("cache.stale_max = \"8d\"", "expected 0 to 604800 seconds"),
        ("cache = { ttl_min = \"2m\", ttl_max = \"1m\" }", "`ttl_min` is longer than `ttl_max`"),
        ("cache.keep = \"yes\"", "true"),
    ] {
        assert!(problems(text).contains(said), "{text}: {}", problems(text));
    }
    let config = Config::parse(
        "cache = { size = \"0\", ttl_min = \"1m\", ttl_max = \"1h\", stale_max = \"0s\", prefetch = false, keep = true }",
        file(),
    );
    let cache = config.unwrap().resolve.cache;
    assert_eq!((cache.size, cache.ttl_min_secs, cache.ttl_max_secs), (0, 60, 3600));
    assert!(cache.stale_max.is_zero() && !cache.prefetch && cache.keep);
}

#[test]
fn names_of_the_house_are_read_and_mistakes_told() {
    for (text, said) in [
        (
            "local.records = [\"nas.home.arpa\"]",
            "pixelsink.toml:1:18: local.records[0]: the record ends behind its name",
        ),
        ("local.records = [\"nas.home.arpa A 1.2.3\"]", "`1.2.3` is not the data of a record of type A"),
        (
            "local.records = [\n\"a.lan 10.0.0.1\",\n\"a.lan b.lan\"]",
            "pixelsink.toml:3:1: local.records[1]: `a.lan`: the name is an alias",
        ),
        ("local.domain = \"a..b\"", "`a..b` is no domain"),
        ("local.hosts = [\"hosts\"]", "`hosts` is not absolute"),
        ("local.ttl = \"2d\"", "expected 0 to 86400 seconds"),
        ("local.forward = [\"a b\"]", "`a b` is no domain"),
        ("answers.bogus_nxdomain = [\"x\"]", "`x` is neither an address nor a prefix"),
        ("answers.rebinding_allow = [\"*.x\"]", "`*.x` is no domain"),
        ("answers.rebinding = 1", "expected true or false"),
        ("bypass.chrome = true", "there is no such key here"),
        ("lists = [{ name = \"public-doh\", rules = [] }]", "see bypass.doh_hosts"),
    ] {
        assert!(problems(text).contains(said), "{text}: {}", problems(text));
    }
    let text = "local = { domain = \"\", records = [\"tv.lan 10.0.0.2\"], leases = false, bare_names = false }\n\
                bypass.firefox = false";
    let config = Config::parse(text, file()).unwrap();
    assert_eq!((config.local.domain, config.local.records.len(), config.local.leases), (None, 1, false));
    assert!(!config.local.bare_names && !config.bypass.firefox && config.bypass.designated_resolvers);
}

#[test]
fn who_gets_to_the_page_is_read() {
    let text = "[web]\nmonitoring_from = [\"192.168.1.0/24\", \"::1\"]\ntls = { certificate = \"/a.pem\", key = \"/b.pem\" }\n";
    let web = Config::parse(text, file()).unwrap().web;
    assert_eq!(web.monitoring_from.len(), 2);
    assert_eq!(web.tls, Some(crate::web::TlsFiles { certificate: "/a.pem".into(), key: "/b.pem".into() }));
    for (text, told) in [
        ("web.tls = { certificate = \"/a.pem\" }\n", "expected both `certificate` and `key`"),
        ("web.tls = { certificate = \"a.pem\", key = \"/b.pem\" }\n", "`a.pem` is not absolute"),
        ("web.tls = true\n", "expected a table"),
        ("web.tls = {}\n", "expected both `certificate` and `key`"),
        ("web.monitoring_from = [\"grafana\"]\n", "`grafana` is neither an address nor a prefix"),
    ] {
        let problems = problems(text);
        assert!(problems.contains(told), "{text}{problems}");
    }
}
