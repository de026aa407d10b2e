//! What `pixelsink doctor` finds, with a daemon and without one.

use std::net::UdpSocket;

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::port;
use crate::support::upstream::Upstream;

const DEVICES: &str = "[[devices]]\nname = \"TV\"\naddresses = [\"127.0.0.7\"]\n[[devices]]\nname = \"Phone\"\naddresses = [\"127.0.0.8\"]\n";

fn doctor(home: &Home) -> (bool, String) {
    let output = home.run(&["doctor"]);
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_healthy_daemon_is_told_and_that_no_device_asks() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, DEVICES);
    let (_, said) = doctor(daemon.home());
    for line in [
        "ok    configuration: ".to_owned(),
        "ok    clock: ".to_owned(),
        "ok    daemon: version ".to_owned(),
        format!("ok    questions: {} answers", daemon.dns),
        format!("ok    resolving: example.com was found through {}", daemon.dns),
        "ok    upstreams: ".to_owned(),
        "ok    lists: ".to_owned(),
        "BAD   devices: no device but this machine asked".to_owned(),
    ] {
        assert!(said.lines().any(|found| found.starts_with(&line)), "{line}\n{said}");
    }
    let found: serde_json::Value =
        serde_json::from_slice(&daemon.home().run(&["doctor", "--output", "json"]).stdout).unwrap();
    assert!(
        found.as_array().unwrap().iter().any(|it| it["what"] == "daemon" && it["grade"] == "well"),
        "{found}"
    );
}

#[test]
fn what_upstreams_do_not_answer_is_told() {
    let daemon = Daemon::start(port::local(), "");
    let (is_well, said) = doctor(daemon.home());
    assert!(!is_well && said.contains("BAD   resolving: example.com was not found"), "{said}");
    Ask::new("pixel.example", RecordType::A).of(daemon.dns);
    eventually("the upstream is told", || doctor(daemon.home()).1.contains("is asked last").then_some(()));
}

#[test]
fn without_a_daemon_the_holder_of_its_port_is_named() {
    let home = Home::new();
    home.configure(([127, 0, 0, 1], 9).into(), "");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(home.config()).unwrap();
    let at = taken.local_addr().unwrap();
    std::fs::write(home.config(), text.replacen("127.0.0.1:0", &at.to_string(), 1)).unwrap();
    let (is_well, said) = doctor(&home);
    assert!(!is_well && said.contains("BAD   daemon: no daemon answers"), "{said}");
    let holder = format!("(process {}) has {at} over udp", std::process::id());
    assert!(said.contains(&holder), "{holder}\n{said}");
    std::fs::write(home.config(), "nonsense = 1\n").unwrap();
    assert!(doctor(&home).1.contains("BAD   configuration: "));
}
