//! Devices: behind a forwarder that says for whom it asks, and on a network of their own, two network namespaces with a cable
//! between them, which needs root.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Output};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
use serde_json::{Value, json};

use crate::support::client::{Ask, over_udp};
use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

/// The forwarder is this machine; what the network says of names is not asked.
const FORWARDER: &str = "rules.block = [\"pixel.example\"]\ndns.trusted_forwarders = [\"127.0.0.1\"]\n\
                         discovery = { leases = [], mdns = false, router_names = false }\n";

const PHONE: &str = "00:1b:63:00:00:01";
const TABLET: &str = "d2:00:00:00:3f:a2";
/// What the tablet is called while nobody knows more of it.
const PRIVATE: &str = "Device with a private address (…3f:a2)";

/// Asks as dnsmasq does for a device with this MAC (`add-mac`).
fn ask_for(daemon: &Daemon, mac: &str, name: &str) {
    let octets = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    ask_with(daemon, EdnsOption::Unknown(65001, octets), [127, 0, 0, 1], name);
}

fn ask_with(daemon: &Daemon, option: EdnsOption, from: [u8; 4], name: &str) {
    let mut message = Ask::new(name, RecordType::A).message();
    message.edns.as_mut().unwrap().options_mut().insert(option);
    over_udp(daemon.dns, from.into(), &message.to_vec().unwrap()).unwrap();
}

/// All devices, when this many questions are counted.
#[track_caller]
fn devices(daemon: &Daemon, queries: u64) -> Vec<Value> {
    eventually("all questions are counted", || {
        let devices = daemon.api("devices").as_array().unwrap().clone();
        let total: u64 = devices.iter().map(|device| device["queries"].as_u64().unwrap()).sum();
        (total == queries).then_some(devices)
    })
}

/// Key, name, where that is from, and questions of each device.
fn shown(devices: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let show = |device: &Value| {
        let (key, name) = (text(&device["device"]["key"]), text(&device["device"]["name"]));
        format!("{key} {name} ({}) {}", text(&device["name_from"]), device["queries"])
    };
    let mut shown: Vec<String> = devices.iter().map(show).collect();
    shown.sort();
    shown
}

#[test]
fn devices_behind_a_trusted_forwarder_are_told_apart() {
    let upstream = Upstream::generous();
    let named =
        format!("{FORWARDER}[[devices]]\nname = \"TV\"\nmacs = [\"{PHONE}\"]\nkind = \"television\"\n");
    let daemon = Daemon::start(upstream.address, &named);
    ask_for(&daemon, PHONE, "a.pixel.example");
    ask_for(&daemon, TABLET, "a.pixel.example");
    let subnet = |address: [u8; 4]| EdnsOption::Unknown(8, [&[0, 1, 32, 0][..], &address].concat());
    ask_with(&daemon, subnet([192, 0, 2, 7]), [127, 0, 0, 1], "a.pixel.example");
    // A stranger who says that is not believed.
    ask_with(&daemon, subnet([192, 0, 2, 8]), [127, 0, 0, 2], "a.pixel.example");
    let devices = devices(&daemon, 4);
    assert_eq!(
        shown(&devices),
        [
            &format!("{PHONE} TV (configuration) 1"),
            "127.0.0.1 this machine (address) 1",
            "192.0.2.7 192.0.2.7 (address) 1",
            &format!("{TABLET} {PRIVATE} (private-address) 1"),
        ]
    );
    let tv = devices.iter().find(|device| device["device"]["key"] == PHONE).unwrap();
    assert_eq!(
        (&tv["kind"], &tv["kind_is_guess"], &tv["vendor"]),
        (&json!("television"), &json!(false), &json!("Apple"))
    );
    // What the configuration names is changed there.
    let refused = daemon.home().run(&["devices", "rename", "TV", "Radio"]);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && words.contains("`TV` stands in "), "{words}");
    assert!(words.contains("pixelsink.toml, line "), "{words}");
}

#[test]
fn a_device_that_is_renamed_or_merged_keeps_its_history() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, FORWARDER);
    ask_for(&daemon, PHONE, "a.pixel.example");
    ask_for(&daemon, TABLET, "a.pixel.example");
    devices(&daemon, 2);
    let maker = "Apple device (…00:01)";
    eventually("its maker is known", || {
        devices(&daemon, 2).iter().any(|device| device["device"]["name"] == maker).then_some(())
    });
    let said = daemon.run(&["devices", "rename", maker, "Anna's <b>phone</b>\u{202e}"]);
    assert_eq!(said, format!("`{maker}` is called `Anna's <b>phone</b>` from now on.\n"));
    assert_eq!(
        shown(&devices(&daemon, 2)),
        [format!("{PHONE} Anna's <b>phone</b> (book) 1"), format!("{TABLET} {PRIVATE} (private-address) 1")]
    );
    let page = daemon.get("/devices");
    assert!(page.contains("Anna&#39;s &#60;b&#62;phone&#60;/b&#62;") && !page.contains("<b>phone"), "{page}");
    daemon.run(&["devices", "kind", "anna's <b>phone</b>", "phone"]);
    daemon.run(&["devices", "merge", TABLET, PHONE]);
    ask_for(&daemon, TABLET, "b.pixel.example");
    let merged = devices(&daemon, 3);
    assert!(
        merged.iter().all(|device| device["device"]["key"] == PHONE && device["kind"] == "phone"),
        "{merged:?}"
    );
    assert_eq!(merged[0]["keys"], json!([PHONE, TABLET]));
    let page = daemon.get(&format!("/devices/{TABLET}"));
    assert!(page.contains(&format!("Split {TABLET} off")), "{page}");
    // It lasts over a restart.
    let home = daemon.home().clone();
    assert!(daemon.stop().success());
    let daemon = home.start();
    assert_eq!(devices(&daemon, 3)[0]["device"]["name"], "Anna's <b>phone</b>");
    daemon.run(&["devices", "split", TABLET]);
    ask_for(&daemon, TABLET, "c.pixel.example");
    let split = devices(&daemon, 4);
    assert!(split.iter().any(|device| device["device"]["key"] == TABLET), "{split:?}");
    let refused = home.run(&["devices", "forget", PHONE]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--yes"));
    daemon.run(&["devices", "forget", PHONE, "--yes"]);
    let book = std::fs::read_to_string(home.path().join("data/devices.toml")).unwrap();
    assert!(!book.contains("Anna"), "{book}");
}

#[test]
fn the_page_changes_what_is_said_of_a_device() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, FORWARDER);
    ask_for(&daemon, TABLET, "a.pixel.example");
    devices(&daemon, 1);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let post = |action: &str, body: &str| {
        let body = format!("device={}&back=%2Fdevices&{body}", TABLET.replace(':', "%3A"));
        daemon.request("POST", &format!("/devices/do/{action}"), &form, &body).0
    };
    assert_eq!(post("name", "name=Couch"), 303);
    assert_eq!(post("kind", "kind=tablet"), 303);
    let page = daemon.get(&format!("/devices/{TABLET}"));
    assert!(page.contains("<h1>Couch</h1>") && page.contains("private Wi-Fi address"), "{page}");
    assert!(page.contains("<option value=\"tablet\" selected>"), "{page}");
    let device = &devices(&daemon, 1)[0];
    assert_eq!((&device["kind"], &device["private_mac"]), (&json!("tablet"), &json!(true)));
    // A book that a person broke is not written over, and what was in force stays.
    let book = daemon.home().path().join("data/devices.toml");
    let good = std::fs::read_to_string(&book).unwrap();
    std::fs::write(&book, format!("{good}[[devices]\n")).unwrap();
    let refused = daemon.home().run(&["devices", "rename", TABLET, "Sofa"]);
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("devices.toml:") && words.contains("Nothing was changed"), "{words}");
    assert_eq!(devices(&daemon, 1)[0]["device"]["name"], "Couch");
    let home = daemon.home().clone();
    assert!(daemon.stop().success());
    let daemon = home.start();
    assert_eq!(devices(&daemon, 1)[0]["device"]["name"], "Couch", "the last good copy serves");
    assert!(daemon.api("status")["problems"].to_string().contains("devices.toml:"));
    std::fs::write(&book, good).unwrap();
    daemon.run(&["devices", "rename", TABLET]);
    assert_eq!(devices(&daemon, 1)[0]["name_from"], "private-address");
}

#[test]
fn a_lease_file_names_devices_and_is_followed() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let leases = home.path().join("dnsmasq.leases");
    let write = |text: &str| std::fs::write(&leases, text).unwrap();
    write(&format!("1700000000 {PHONE} 192.168.1.5 <b>iPhone</b> *\n"));
    let discovery = FORWARDER.replace("leases = []", &format!("leases = [\"{}\"]", leases.display()));
    home.configure(upstream.address, &discovery);
    let daemon = home.start();
    ask_for(&daemon, PHONE, "a.pixel.example");
    ask_for(&daemon, TABLET, "a.pixel.example");
    let name = |key: &str| {
        let devices = devices(&daemon, 2);
        let device = devices.into_iter().find(|device| device["device"]["key"] == key).unwrap();
        (device["device"]["name"].as_str().unwrap().to_owned(), device["name_from"].clone())
    };
    assert_eq!(name(PHONE), ("<b>iPhone<".to_owned() + "/b>", json!("lease")));
    assert!(daemon.get("/devices").contains("&#60;b&#62;iPhone&#60;/b&#62;"));
    // A file that is being written: its last line is cut off, and what was known before stays.
    write(&format!("1700000000 {TABLET} 192.168.1.6 galaxy-tab *\n1700000000 {PHONE} 192.168.1.5 An"));
    eventually("the new lease is known", || (name(TABLET).0 == "galaxy-tab").then_some(()));
    assert_eq!(name(PHONE).0, "<b>iPhone</b>");
    let table = daemon.run(&["devices"]);
    assert!(table.contains("tablet?"), "its name tells what it is: {table}");
    // A person's own word wins.
    daemon.run(&["devices", "rename", "galaxy-tab", "Kitchen"]);
    assert_eq!(name(TABLET), ("Kitchen".to_owned(), json!("book")));
    // A file that can't be read is told, and changes nothing.
    write("\u{7f}ELF nonsense\n");
    daemon.signal("HUP");
    eventually("the page tells of the file", || {
        daemon.api("status")["problems"].to_string().contains("is in no format of dnsmasq").then_some(())
    });
    assert_eq!(name(PHONE).0, "<b>iPhone</b>");
}

/// A house with the daemon in one namespace and a device in the other; both go when it is dropped.
pub(crate) struct House {
    pub(crate) server: String,
    pub(crate) device: String,
}

pub(crate) fn ip(arguments: &str) -> Option<Output> {
    Command::new("ip").args(arguments.split_ascii_whitespace()).output().ok()
}

impl House {
    /// `None` where namespaces can't be made, or the programs that the device runs are missing.
    fn build(name: &str) -> Option<Self> {
        for program in ["dig", "curl"] {
            Command::new(program).arg("-h").output().ok()?;
        }
        let number = std::process::id();
        let house = Self { server: format!("pxs{name}{number}"), device: format!("pxd{name}{number}") };
        let (server, device) = (&house.server, &house.device);
        for arguments in [
            format!("netns add {server}"),
            format!("netns add {device}"),
            format!("link add eth0 netns {server} type veth peer name eth0 netns {device}"),
            format!("-n {server} addr add 10.77.0.1/24 dev eth0"),
            format!("-n {server} addr add 2001:db8:77::1/64 dev eth0 nodad"),
            format!("-n {device} addr add 10.77.0.9/24 dev eth0"),
            format!("-n {device} addr add 2001:db8:77::9/64 dev eth0 nodad"),
            format!("-n {server} link set lo up"),
            format!("-n {server} link set eth0 up"),
            format!("-n {device} link set eth0 up"),
            format!("-n {server} route add default via 10.77.0.9"),
        ] {
            if !ip(&arguments).is_some_and(|output| output.status.success()) {
                return None;
            }
        }
        Some(house)
    }

    pub(crate) fn build_or_tell(name: &str) -> Option<Self> {
        let house = Self::build(name);
        if house.is_none() {
            assert!(std::env::var_os("CI").is_none(), "root, ip, dig and curl are needed");
            eprintln!("not tested: it needs root, ip, dig and curl");
        }
        house
    }

    /// Does something in the namespace of the device, in a thread that stays there.
    pub(crate) fn device_does<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let namespace = std::fs::File::open(format!("/var/run/netns/{}", self.device)).unwrap();
        std::thread::spawn(move || {
            // SAFETY: the descriptor is open; the call changes this thread only.
            #[expect(unsafe_code, reason = "no safe crate that is here has setns(2)")]
            let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0);
            what()
        })
    }

    /// Starts the daemon in the other namespace, and waits until it answers its socket.
    fn start(&self, home: &Home) -> Child {
        self.start_listening(home, "\"0.0.0.0:53\", \"[::]:53\"")
    }

    /// The same at these addresses.
    pub(crate) fn start_listening(&self, home: &Home, addresses: &str) -> Child {
        let config = format!(
            "data_dir = \"{}\"\ndns.listen = [{addresses}]\nweb.listen = [\"10.77.0.1:80\"]\n\
             upstream.servers = [\"udp://10.77.0.9\"]\nrules.block = [\"pixel.example\"]\n",
            home.path().join("data").display()
        );
        std::fs::write(home.config(), config).unwrap();
        let daemon = Command::new("ip")
            .args(["netns", "exec", &self.server, BINARY, "run", "--config"])
            .arg(home.config())
            .spawn()
            .unwrap();
        let status = || home.run(&["status", "--output", "json"]).status.success().then_some(());
        eventually("the daemon answers its socket", status);
        daemon
    }

    /// What a program on the device gets from the page with this token.
    fn page(&self, path: &str, token: &str) -> String {
        let bearer = format!("authorization: Bearer {token}");
        self.device_runs(&["curl", "-s", "-H", &bearer, &format!("http://10.77.0.1{path}")])
    }

    /// Runs a command in the namespace of the device.
    pub(crate) fn device_runs(&self, command: &[&str]) -> String {
        let output = Command::new("ip").args(["netns", "exec", &self.device]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A token that may read, made on the daemon's machine.
fn token(home: &Home) -> String {
    String::from_utf8(home.run(&["tokens", "add", "device"]).stdout).unwrap().trim().to_owned()
}

impl Drop for House {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.server));
        ip(&format!("netns del {}", self.device));
    }
}

#[test]
fn all_addresses_of_a_device_are_one_device_from_its_first_question_on() {
    let Some(house) = House::build_or_tell("a") else { return };
    let home = Home::new();
    let mut daemon = house.start(&home);
    for (server, source) in [("10.77.0.1", "10.77.0.9"), ("2001:db8:77::1", "2001:db8:77::9")] {
        // The address of the network is a public one: only `local` lets it in.
        let answer = house.device_runs(&[
            "dig",
            &format!("@{server}"),
            "-b",
            source,
            "t.pixel.example",
            "+short",
            "+tries=3",
        ]);
        assert_eq!(answer.trim(), "0.0.0.0", "{server}");
    }
    let token = token(&home);
    // Only this machine itself is let in without one.
    assert!(house.page("/api/v1/devices", "none").starts_with("{\"error\""));
    let known = eventually("both questions are remembered", || {
        let page = house.page("/api/v1/devices", &token);
        let devices: Value = serde_json::from_str(&page).ok()?;
        let total: u64 = devices.as_array()?.iter().filter_map(|device| device["queries"].as_u64()).sum();
        // Its neighbour entry may just be looked at anew.
        (total == 2 && devices[0]["addresses"] != serde_json::json!([])).then_some(devices)
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let known = known.as_array().unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(known[0]["addresses"], serde_json::json!(["10.77.0.9", "2001:db8:77::9"]));
    assert_eq!(known[0]["device"]["key"].as_str().unwrap().len(), 17, "it is known by its MAC");
}

/// Answers whoever asks by multicast DNS what 10.77.0.9 is called.
fn answer_mdns(name: &str) {
    let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
    socket.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &Ipv4Addr::new(10, 77, 0, 9)).unwrap();
    let mut packet = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut packet) {
        let question = Message::from_vec(&packet[..length]).unwrap();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.add_queries(question.queries.iter().cloned());
        let asked = question.queries[0].name().clone();
        let target = Name::from_labels([name.as_bytes(), b"local"]).unwrap();
        answer.add_answer(Record::from_rdata(asked, 10, RData::PTR(rdata::PTR(target))));
        socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
    }
}

#[test]
fn a_device_tells_its_name_when_it_is_asked() {
    let Some(house) = House::build_or_tell("b") else { return };
    house.device_does(|| answer_mdns("TV <img src=x>\u{202e}"));
    let home = Home::new();
    let mut daemon = house.start(&home);
    house.device_runs(&["dig", "@10.77.0.1", "t.pixel.example", "+short", "+tries=3"]);
    let told = eventually("the device has told its name", || {
        let output = home.run(&["devices", "--output", "json"]);
        let devices: Value = serde_json::from_slice(&output.stdout).ok()?;
        let device = devices.as_array()?.first()?.clone();
        (device["name_from"] == "mdns").then_some(device)
    });
    assert_eq!((&told["device"]["name"], &told["kind"]), (&json!("TV <img src=x>"), &json!("television")));
    // The way out of this network leads over it.
    let page = house.page("/devices", &token(&home));
    assert!(page.contains("TV &#60;img src=x&#62;</a> <span class=\"tag\">router</span>"), "{page}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
