//! What a person reads on the terminal.

use std::process::Command;

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::encrypted::{Encrypted, Kind};
use crate::support::upstream::Upstream;

const LIST: &str =
    "[[lists]]\nname = \"trackers\"\nrules = [\"# head\", \"||pixel.example^\", \"||site.example/ad.gif\"]\n";

/// Without what changes from run to run.
fn steady(text: &str, home: &Home) -> String {
    let text = text.replace(home.path().to_str().unwrap(), "HOME");
    let mut steady = String::new();
    for line in text.lines() {
        let mut words = Vec::new();
        for word in line.split(' ') {
            let date = word.len() == 10 && word.matches('-').count() == 2;
            let time = word.len() == 5 && word.as_bytes()[2] == b':';
            words.push(if date {
                "DATE"
            } else if time {
                "TIME"
            } else {
                word
            });
        }
        steady.push_str(words.join(" ").trim_end());
        steady.push('\n');
    }
    steady
}

#[test]
fn explain_names_rule_list_and_line() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    insta::assert_snapshot!(daemon.run(&["explain", "t.pixel.example"]), @r"
    t.pixel.example is blocked by ||pixel.example^ (trackers, line 2)
    It belongs to pixel.example, of which the catalogue knows nothing.

             asks for  rule              list      line
    decides  block     ||pixel.example^  trackers  2
    Without trackers nothing would speak of it.
    ");
    insta::assert_snapshot!(daemon.run(&["explain", "www.example"]), @"
    www.example is not blocked: no rule of any list covers it
    The catalogue knows nothing of it.
    ");
    let built_in = daemon.run(&["explain", "www.google-analytics.com"]);
    assert!(
        built_in
            .starts_with("www.google-analytics.com is blocked by ||google-analytics.com^ (pixelsink, line ")
    );
    assert!(built_in.contains("Google Analytics by Google"), "{built_in}");
    daemon.run(&["allow", "pixel.example"]);
    let explained = daemon.run(&["explain", "t.pixel.example"]);
    assert!(explained.contains("is let through by @@||pixel.example^ (own rules, line "), "{explained}");
    let json: serde_json::Value =
        serde_json::from_str(&daemon.run(&["explain", "t.pixel.example", "--output", "json"])).unwrap();
    assert_eq!(json["verdict"]["is"], "allow");
    assert_eq!(json["rules"].as_array().unwrap().len(), 2);
}

#[test]
fn lists_tell_what_was_read_and_what_was_not() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, &format!("builtin.levels = []\n{LIST}"));
    let shown = steady(&daemon.run(&["lists"]), daemon.home());
    insta::assert_snapshot!(shown, @"
    list      syntax   rules  lines  skipped  from              next look
    trackers  adblock  1      3      1        DATE TIME  -
    trackers: 1 line skipped: only a browser can apply it
    ");
    let json: serde_json::Value = serde_json::from_str(&daemon.run(&["lists", "--output", "json"])).unwrap();
    assert_eq!(json[0]["skipped"][0]["reason"], "browser-only");
}

#[test]
fn status_tells_how_the_daemon_is() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    Ask::new("pixel.example", RecordType::A).of(daemon.dns);
    let status = daemon.run(&["status"]);
    for told in
        ["1 questions, 1 blocked", &daemon.dns.to_string(), &upstream.address.to_string(), "pixelsink.toml"]
    {
        assert!(status.contains(told), "{status}");
    }
}

#[test]
fn devices_and_log_tell_who_asked_for_what() {
    let upstream = Upstream::generous();
    let named = format!("{LIST}[[devices]]\nname = \"Kitchen TV\"\naddresses = [\"127.0.0.7\"]\n");
    let daemon = Daemon::start(upstream.address, &named);
    for (name, last) in [("t.pixel.example", 7), ("www.example", 1)] {
        let mut ask = Ask::new(name, RecordType::A);
        ask.from = [127, 0, 0, last].into();
        ask.of(daemon.dns);
    }
    let devices = daemon.run(&["devices"]);
    assert!(devices.contains("Kitchen TV") && devices.contains("this machine"), "{devices}");
    let log = daemon.run(&["log"]);
    let lines: Vec<&str> = log.lines().skip(1).collect();
    assert!(lines[0].contains("Kitchen TV") && lines[0].contains("blocked (trackers)"), "{log}");
    assert!(lines[1].contains("www.example") && lines[1].contains("passed"), "{log}");
    for filter in [&["--blocked"][..], &["--device", "127.0.0.7"], &["--name", "pixel"]] {
        let filtered = daemon.run(&[&["log"], filter].concat());
        assert_eq!(filtered.lines().count(), 2, "{filter:?}: {filtered}");
    }
}

#[test]
fn without_a_daemon_that_is_said() {
    let home = Home::new();
    home.configure("127.0.0.1:9".parse().unwrap(), "");
    for arguments in
        [&["status"][..], &["explain", "a.example"], &["lists", "refresh"], &["allow", "a.example"]]
    {
        let output = home.run(arguments);
        let said = steady(&String::from_utf8_lossy(&output.stderr), &home);
        assert!(!output.status.success());
        assert!(said.contains("no daemon answers at HOME/data/control.sock"), "{said}");
        assert!(said.contains("pixelsink run"), "{said}");
    }
}

#[test]
fn a_wrong_rule_or_list_is_refused_with_the_reason() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "");
    for (arguments, reason) in [
        (&["allow", "a..b"][..], "`a..b`: a label is empty"),
        (&["block", "/(ads/"], "in a regular expression"),
        (&["forget", "never.example"], "There is no rule `never.example`"),
        (&["lists", "refresh", "nothing"], "there is no list named `nothing`"),
        (&["explain", "a b"], "` ` does not belong into a domain name"),
    ] {
        let output = daemon.home().run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
}

#[test]
fn a_daemon_is_found_while_its_file_has_a_mistake() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let file = daemon.home().config();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("colour = 1\n{good}")).unwrap();
    assert!(daemon.run(&["allow", "pixel.example"]).contains("is let through"));
}

#[test]
fn check_prints_all_problems_at_once() {
    let home = Home::new();
    std::fs::write(home.config(), "colour = 1\n[dns]\nlisten = \"53\"\n[upstream]\nservers = []\n").unwrap();
    let output = home.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(steady(&String::from_utf8_lossy(&output.stderr), &home));
    let json: serde_json::Value =
        serde_json::from_slice(&home.run(&["check", "--output", "json"]).stdout).unwrap();
    assert_eq!(json["problems"].as_array().unwrap().len(), 3);
    assert_eq!((&json["problems"][1]["line"], &json["problems"][1]["column"]), (&3.into(), &10.into()));
}

#[test]
fn check_warns_of_a_list_that_can_not_be_read() {
    let home = Home::new();
    home.configure(
        "127.0.0.1:9".parse().unwrap(),
        "[[lists]]\nname = \"mine\"\npath = \"/nowhere/mine.txt\"\n",
    );
    let output = home.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("warning: list `mine`: /nowhere/mine.txt can't be read"),
        "{said}"
    );
}

#[test]
fn check_opens_the_files_of_authorities() {
    let home = Home::new();
    let ca = home.path().join("ca.pem");
    let table = format!(
        "servers = [{{ url = \"tls://192.0.2.1\", name = \"dns.example\", ca = \"{}\" }}]",
        ca.display()
    );
    home.configure_upstream(&table, "");
    let said = || {
        let output = home.run(&["check"]);
        assert!(output.status.success(), "the daemon would start");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (content, why) in [
        (None, "No such file"),
        (Some("hello"), "there is no certificate in it"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "ca.pem: "),
    ] {
        if let Some(content) = content {
            std::fs::write(&ca, content).unwrap();
        }
        let said = said();
        assert!(
            said.contains("warning: upstream tls://192.0.2.1")
                && said.contains("its `ca` can't be used")
                && said.contains(&ca.display().to_string())
                && said.contains(why),
            "{said}"
        );
    }
    Encrypted::start(Kind::Tls, "dns.example").write_ca(&ca);
    assert!(!said().contains("`ca`"), "{}", said());
}

#[test]
fn an_open_resolver_is_warned_of_by_check_and_in_the_log() {
    let home = Home::new();
    home.configure("127.0.0.1:9".parse().unwrap(), "dns.allow_from = [\"0.0.0.0/0\"]\n");
    let output = home.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("warning: dns.allow_from: 0.0.0.0/0 lets strangers ask"),
        "{said}"
    );
    let log = home.start().log();
    assert!(log.contains("WARN") && log.contains("0.0.0.0/0 lets strangers ask"), "{log}");
}

#[test]
fn help_and_version_are_there() {
    let help = Command::new(BINARY).arg("--help").output().unwrap();
    insta::assert_snapshot!(String::from_utf8_lossy(&help.stdout));
    let help = Command::new(BINARY).args(["lists", "--help"]).output().unwrap();
    insta::assert_snapshot!("lists", String::from_utf8_lossy(&help.stdout));
    let version = Command::new(BINARY).arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&version.stdout).trim(),
        concat!("pixelsink ", env!("CARGO_PKG_VERSION"))
    );
}
