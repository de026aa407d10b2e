//! Faults: each gets a message that says what to do, what can go on goes on, and nothing that was there is lost.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::port;
use crate::support::upstream::Upstream;

const LIST: &str = "[[lists]]\nname = \"trackers\"\nrules = [\"||pixel.example^\"]\n";

fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

/// What the page would show as problems.
fn problems(daemon: &Daemon) -> String {
    let status = daemon.api("status");
    let mut problems: Vec<&str> =
        status["problems"].as_array().unwrap().iter().filter_map(|problem| problem.as_str()).collect();
    problems.extend(status["history"]["problem"].as_str());
    problems.join("\n")
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let home = Home::new();
    home.configure(Upstream::generous().address, LIST);
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(
        home.config(),
        text.replace("dns.listen = [\"127.0.0.1:0\"]", &format!("dns.listen = [\"{taken}\"]")),
    )
    .unwrap();
    let said = home.start_fails();
    assert!(said.contains(&format!("can't listen on {taken} (udp)")), "{said}");
    assert!(said.contains(&format!("(process {}) has it", std::process::id())), "{said}");
    assert!(said.contains("choose another"), "{said}");
}

#[test]
fn an_address_that_this_machine_does_not_have_is_named() {
    let home = Home::new();
    home.configure(Upstream::generous().address, "");
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), text.replace("127.0.0.1:0\"]\nweb", "192.0.2.1:5300\"]\nweb")).unwrap();
    let said = home.start_fails();
    assert!(said.contains("192.0.2.1:5300") && said.contains("this machine has no such address"), "{said}");
}

#[test]
fn a_wrong_configuration_is_shown_with_all_its_problems() {
    let home = Home::new();
    std::fs::write(home.config(), "colour = 1\n[blocking]\nmode = \"hide\"\n").unwrap();
    let said = home.start_fails();
    assert!(
        said.contains("colour") && said.contains("blocking.mode") && said.contains("pixelsink.toml:3:8"),
        "{said}"
    );
    let missing = Home::new();
    assert!(missing.start_fails().contains("can't be read"));
}

#[test]
fn a_wrong_configuration_at_a_reload_changes_nothing() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    let good = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), good.replace("||pixel.example^", "||other.example^").replace("1s", "soon"))
        .unwrap();
    daemon.signal("HUP");
    eventually("it is told", || problems(&daemon).contains("`soon` is not a duration").then_some(()));
    assert!(blocks(&daemon, "pixel.example") && !blocks(&daemon, "other.example"));
    std::fs::write(home.config(), good.replace("||pixel.example^", "||other.example^")).unwrap();
    daemon.signal("HUP");
    eventually("the new one is in force", || blocks(&daemon, "other.example").then_some(()));
    assert!(!blocks(&daemon, "pixel.example"));
    // Its rules are in force a moment before the reload is through.
    eventually("nothing is wrong any more", || problems(&daemon).is_empty().then_some(()));
}

#[test]
fn a_reload_moves_the_listener_and_changes_the_answer() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let [old, new] = [port::local(), port::local()];
    let good = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), good.replacen("127.0.0.1:0", &old.to_string(), 1)).unwrap();
    let daemon = home.start();
    let moved = good.replacen("127.0.0.1:0", &new.to_string(), 1);
    std::fs::write(home.config(), format!("blocking.mode = \"nxdomain\"\n{moved}")).unwrap();
    daemon.signal("HUP");
    let ask = Ask::new("pixel.example", RecordType::A);
    eventually("it answers at its new address", || {
        std::net::TcpStream::connect(new).ok()?;
        (ask.try_of(new)?.words()[0] == "NXDOMAIN").then_some(())
    });
    eventually("its old address is free", || UdpSocket::bind(old).ok());
}

#[test]
fn a_reload_that_fails_on_the_page_leaves_dns_as_it_was() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    let good = std::fs::read_to_string(home.config()).unwrap();
    let moved = good.replacen("127.0.0.1:0", "127.0.0.1:0\", \"127.0.0.2:0", 1);
    for _ in 0..5 {
        std::fs::write(
            home.config(),
            moved.replace("web.listen = [\"127.0.0.1:0\"]", "web.listen = [\"192.0.2.1:80\"]"),
        )
        .unwrap();
        daemon.signal("HUP");
        eventually("it is told", || problems(&daemon).contains("192.0.2.1:80").then_some(()));
        assert!(blocks(&daemon, "pixel.example"));
        std::fs::write(home.config(), &good).unwrap();
        daemon.signal("HUP");
        eventually("it is mended", || problems(&daemon).is_empty().then_some(()));
    }
    // An editor that saves a file empties it first.
    std::fs::write(home.config(), "\n").unwrap();
    daemon.signal("HUP");
    eventually("the emptiness is told", || {
        problems(&daemon).contains("there is nothing in it").then_some(())
    });
    assert!(blocks(&daemon, "pixel.example"), "an empty file is not a wish for the defaults");
    std::fs::remove_file(home.config()).unwrap();
    daemon.signal("HUP");
    eventually("the loss is told", || problems(&daemon).contains("No such file").then_some(()));
    assert!(blocks(&daemon, "pixel.example"), "a file that is gone is not a wish for the defaults");
}

#[test]
fn a_reload_opens_one_address_to_all_and_closes_it_again() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let [dns, web] = [port::free(), port::free()];
    let text = std::fs::read_to_string(home.config()).unwrap();
    let narrow = text
        .replace("dns.listen = [\"127.0.0.1:0\"]", &format!("dns.listen = [\"127.0.0.1:{dns}\"]"))
        .replace("web.listen = [\"127.0.0.1:0\"]", &format!("web.listen = [\"127.0.0.1:{web}\"]"));
    let wide = narrow.replace(&format!("127.0.0.1:{dns}"), &format!("0.0.0.0:{dns}"));
    let wide = wide.replace(&format!("127.0.0.1:{web}"), &format!("0.0.0.0:{web}"));
    std::fs::write(home.config(), &narrow).unwrap();
    let daemon = home.start();
    let elsewhere = |port| SocketAddr::from(([127, 0, 0, 3], port));
    let ask = Ask::new("pixel.example", RecordType::A);
    for _ in 0..3 {
        std::fs::write(home.config(), &wide).unwrap();
        daemon.signal("HUP");
        eventually("it answers on every address", || {
            std::net::TcpStream::connect(elsewhere(web)).ok()?;
            std::net::TcpStream::connect(elsewhere(dns)).ok()
        });
        assert_eq!(ask.of(elsewhere(dns)).addresses(), ["0.0.0.0"]);
        std::fs::write(home.config(), &narrow).unwrap();
        daemon.signal("HUP");
        eventually("it answers on one only", || std::net::TcpStream::connect(elsewhere(dns)).err());
        eventually("and there", || std::net::TcpStream::connect(daemon.dns).ok());
        eventually("with its page", || std::net::TcpStream::connect(daemon.web).ok());
        assert_eq!(ask.of(daemon.dns).addresses(), ["0.0.0.0"]);
        assert_eq!(problems(&daemon), "");
    }
    // What gave way comes back when the rest of the configuration can't be had.
    std::fs::write(home.config(), wide.replace(&format!("0.0.0.0:{web}"), "192.0.2.1:80")).unwrap();
    daemon.signal("HUP");
    eventually("it is told", || problems(&daemon).contains("192.0.2.1:80").then_some(()));
    assert_eq!(ask.of(daemon.dns).addresses(), ["0.0.0.0"]);
}

#[test]
fn a_directory_that_became_read_only_is_still_read() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    daemon.run(&["block", "own.example"]);
    assert!(daemon.stop().success());
    let data = home.path().join("data");
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount")
            .args(arguments)
            .arg(&data)
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !(mount(&["--bind", data.to_str().unwrap()]) && mount(&["-o", "remount,ro,bind"])) {
        assert!(std::env::var_os("CI").is_none(), "root is needed to mount");
        eprintln!("not tested: it needs root");
        return;
    }
    let daemon = home.start();
    let (own, told) = (blocks(&daemon, "own.example"), daemon.get("/"));
    drop(daemon);
    assert!(std::process::Command::new("umount").arg(&data).status().unwrap().success());
    assert!(own, "the person's own rule went away");
    assert!(told.contains("can&#39;t be written") && told.contains("what is kept there is used"), "{told}");
}

#[test]
fn a_name_of_the_page_is_known_after_a_reload() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    let as_named = || daemon.request("GET", "/", &[("host", "sink.example")], "").0;
    assert_eq!(as_named(), 421);
    let config = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(home.config(), format!("web.host_names = [\"sink.example\"]\n{config}")).unwrap();
    daemon.signal("HUP");
    eventually("the name is known", || (as_named() == 200).then_some(()));
}

#[test]
fn without_an_upstream_blocking_goes_on_and_the_page_tells() {
    let daemon = Daemon::start(port::local(), LIST);
    assert!(blocks(&daemon, "pixel.example"));
    let answer = Ask::new("www.example", RecordType::A).of(daemon.dns);
    assert_eq!(answer.words()[0], "SERVFAIL");
    assert_eq!(answer.ede().unwrap().0, 23);
    let told = problems(&daemon);
    assert!(told.contains("No upstream answers") && told.contains("upstream.servers"), "{told}");
    assert!(blocks(&daemon, "pixel.example"));
}

#[test]
fn a_data_directory_that_can_not_be_written_costs_memory_only() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    // A file stands where the directory should be: that refuses root too.
    std::fs::write(home.path().join("data"), "").unwrap();
    let daemon = home.start();
    assert!(blocks(&daemon, "pixel.example"));
    let told = problems(&daemon);
    assert!(told.contains("can't be written") && told.contains("data_dir"), "{told}");
    eventually("the hit is on the page all the same", || {
        daemon.get("/log").contains("pixel.example").then_some(())
    });
    assert_eq!(std::fs::read(home.path().join("data")).unwrap(), b"", "what was there is still there");
}

fn history_file(home: &Home) -> std::path::PathBuf {
    home.path().join("data/history.sqlite3")
}

/// The files that were set aside beside the history.
fn set_aside(home: &Home) -> Vec<String> {
    let data: &Path = &home.path().join("data");
    let names =
        std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("damaged")).collect()
}

#[test]
fn a_damaged_history_is_set_aside_and_told() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    assert!(blocks(&daemon, "pixel.example"));
    assert!(daemon.stop().success());
    let garbage = vec![0xaa; 8192];
    std::fs::write(history_file(&home), &garbage).unwrap();
    let daemon = home.start();
    assert!(blocks(&daemon, "pixel.example"));
    eventually("it is remembered anew", || daemon.get("/log").contains("pixel.example").then_some(()));
    let told = problems(&daemon);
    let aside = set_aside(&home);
    assert!(!aside.is_empty() && told.contains(&aside[0]), "{aside:?}: {told}");
    assert_eq!(std::fs::read(home.path().join("data").join(&aside[0])).unwrap(), garbage, "nothing was lost");
}

#[test]
fn a_crash_loses_no_more_than_what_was_not_flushed() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    for number in 0..50 {
        Ask::new(&format!("t{number}.pixel.example"), RecordType::A).of(daemon.dns);
    }
    eventually("all of them are in the file", || {
        (daemon.api("status")["history"]["unflushed"] == 0 && daemon.api("totals?hours=1")["hits"] == 50)
            .then_some(())
    });
    // More hits come in while it is killed.
    let dns = daemon.dns;
    let hits = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..2_000 {
            let packet =
                Ask::new(&format!("u{number}.pixel.example"), RecordType::A).message().to_vec().unwrap();
            let _ = socket.send_to(&packet, dns);
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    daemon.kill();
    hits.join().unwrap();
    let daemon = home.start();
    assert_eq!(problems(&daemon), "");
    let hits = daemon.api("totals?hours=1")["hits"].as_u64().unwrap();
    assert!(50 <= hits, "{hits} of 50 flushed hits are left");
    let names = daemon.api("names?hours=1&limit=100").to_string();
    assert!(names.contains("t0.pixel.example") && names.contains("t49.pixel.example"));
    assert_eq!(set_aside(&home), Vec::<String>::new());
}

#[test]
fn two_daemons_do_not_share_a_directory() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let _first = home.start();
    assert!(home.start_fails().contains("another pixelsink uses"));
}
