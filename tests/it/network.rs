//! The machine's own network, changing while the daemon runs: addresses come and go, links go down.

use crate::devices::{House, ip};
use crate::support::daemon::{Daemon, Ended, Home};
use crate::support::eventually;
use crate::support::port;
use crate::support::upstream::Upstream;

/// Whether the device is told that the name is blocked, by the daemon at this address.
fn blocks(house: &House, address: &str) -> bool {
    let server = format!("@{address}");
    let said = house.device_runs(&["dig", &server, "t.pixel.example", "A", "+short", "+tries=1", "+time=1"]);
    said.trim() == "0.0.0.0"
}

fn set(house: &House, arguments: &str) {
    let arguments = format!("-n {} {arguments}", house.server);
    assert!(ip(&arguments).unwrap().status.success(), "{arguments}");
}

fn problems(home: &Home) -> String {
    String::from_utf8(home.run(&["status", "--output", "json"]).stdout).unwrap()
}

#[test]
fn addresses_and_links_that_go_and_come_back_are_answered_again() {
    let Some(house) = House::build_or_tell("e") else { return };
    for listen in ["\"0.0.0.0:53\", \"[::]:53\"", "\"10.77.0.1:53\", \"127.0.0.1:53\""] {
        let home = Home::new();
        let daemon = Ended(house.start_listening(&home, listen));
        eventually("it answers", || blocks(&house, "10.77.0.1").then_some(()));
        // The lease ends and comes back.
        set(&house, "addr del 10.77.0.1/24 dev eth0");
        assert!(!blocks(&house, "10.77.0.1"));
        set(&house, "addr add 10.77.0.1/24 dev eth0");
        eventually(&format!("{listen}: the address is back"), || blocks(&house, "10.77.0.1").then_some(()));
        // The cable is pulled and plugged in.
        set(&house, "link set eth0 down");
        assert!(!blocks(&house, "10.77.0.1"));
        set(&house, "link set eth0 up");
        eventually(&format!("{listen}: the link is back"), || blocks(&house, "10.77.0.1").then_some(()));
        // Another address comes while it runs.
        set(&house, "addr add 10.77.0.2/24 dev eth0");
        if listen.contains("0.0.0.0") {
            eventually("it answers at the new address", || blocks(&house, "10.77.0.2").then_some(()));
        }
        set(&house, "addr del 10.77.0.2/24 dev eth0");
        set(&house, "route replace default via 10.77.0.9");
        drop(daemon);
    }
}

#[test]
fn an_address_that_comes_after_the_start_is_served_when_it_is_there() {
    let Some(house) = House::build_or_tell("f") else { return };
    let home = Home::new();
    let daemon = Ended(house.start_listening(&home, "\"10.77.0.1:53\", \"10.77.0.7:53\""));
    eventually("it answers where it can", || blocks(&house, "10.77.0.1").then_some(()));
    let told = problems(&home);
    assert!(told.contains("10.77.0.7:53") && told.contains("this machine has no such address"), "{told}");
    assert!(told.contains("tried again every few seconds"), "{told}");
    set(&house, "addr add 10.77.0.7/24 dev eth0");
    eventually("it answers at the address that came", || blocks(&house, "10.77.0.7").then_some(()));
    eventually("nothing is wrong any more", || (!problems(&home).contains("10.77.0.7:53 (")).then_some(()));
    drop(daemon);
}

#[test]
fn a_port_of_the_page_that_is_taken_costs_the_page_only() {
    let upstream = Upstream::generous();
    let taken = std::net::TcpListener::bind(port::local()).unwrap();
    let home = Home::new();
    home.configure(upstream.address, "rules.block = [\"pixel.example\"]\n");
    let address = taken.local_addr().unwrap().to_string();
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace("web.listen = [\"127.0.0.1:0\"]", &format!("web.listen = [\"{address}\"]"));
    std::fs::write(home.config(), text).unwrap();
    let daemon: Daemon = home.start();
    let ask = crate::support::client::Ask::new("pixel.example", hickory_proto::rr::RecordType::A);
    assert_eq!(ask.of(daemon.dns).addresses(), ["0.0.0.0"]);
    let told = daemon.run(&["status"]);
    assert!(told.contains(&address) && told.contains("choose another address for web.listen"), "{told}");
    drop(taken);
    eventually("the page is there when its port is free", || {
        std::net::TcpStream::connect(&address).is_ok().then_some(())
    });
    eventually("nothing is wrong any more", || {
        (!daemon.run(&["status"]).contains("web.listen")).then_some(())
    });
}
