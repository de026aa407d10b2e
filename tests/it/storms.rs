//! More than there should ever be of something: signals, connections, clients, names. What it takes is bounded, who has nothing to
//! do with it is answered, and afterwards all is as before.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::devices::{House, ip};
use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Daemon, Ended, Home};
use crate::support::eventually;
use crate::support::port;
use crate::support::upstream::{Upstream, with_rcode};

fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

/// Asks for these names again and again until it is told to stop, and counts answers; each has to be the right one.
fn ask_meanwhile(
    dns: SocketAddr,
    expected: &'static [(&str, &str)],
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<u64> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut answers = 0;
        while !stop.load(Ordering::Relaxed) {
            for (name, address) in expected {
                assert_eq!(Ask::new(name, RecordType::A).of(dns).addresses(), [*address], "{name}");
                answers += 1;
            }
            // So slowly that each question is listed.
            std::thread::sleep(Duration::from_millis(3));
        }
        answers
    })
}

#[test]
fn a_storm_of_reloads_ends_with_the_last_configuration_and_nothing_left_over() {
    const SIGNALS: usize = 200;
    let upstream = Upstream::generous();
    let home = Home::new();
    let configure = |number: usize| {
        let rules = format!("\"always.example\", \"only-in-{number}.example\"");
        home.configure(
            upstream.address,
            &format!("limits.queries_per_second = 0\nrules.block = [{rules}]\n"),
        );
    };
    configure(0);
    let daemon = home.start();
    let reload = |number: usize| {
        configure(number);
        daemon.signal("HUP");
        eventually("it is in force", || blocks(&daemon, &format!("only-in-{number}.example")).then_some(()));
    };
    // The first ones may open what stays open.
    (1..4).for_each(reload);
    let counts = || (daemon.count_of("fd"), daemon.count_of("task"));
    let before = eventually("it is quiet", || {
        let now = counts();
        std::thread::sleep(Duration::from_millis(300));
        (now == counts()).then_some(now)
    });
    let stop = Arc::default();
    let expected = &[("always.example", "0.0.0.0"), ("free.example", "198.51.100.1")];
    let asking = ask_meanwhile(daemon.dns, expected, &stop);
    let pid = rustix::process::Pid::from_raw(daemon.pid().try_into().unwrap()).unwrap();
    for number in 0..SIGNALS {
        // An editor saves the file meanwhile.
        if number % 10 == 0 {
            configure(1_000 + number);
        }
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    reload(9_999);
    assert!(!blocks(&daemon, "only-in-1190.example"));
    stop.store(true, Ordering::Relaxed);
    let answers = asking.join().unwrap();
    eprintln!("{answers} questions were answered meanwhile");
    eventually("nothing is left over", || {
        let (files, threads) = counts();
        (files <= before.0 + 3 && threads <= before.1 + 1).then_some(())
    });
    assert_eq!(daemon.api("status")["problems"], serde_json::json!([]));
    assert!(daemon.stop().success());
}

/// What is in force is swapped whole: no question sees half of it.
#[test]
fn rules_that_change_all_the_time_never_show_half_of_them() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let path = home.path().join("list.txt");
    let write = |number: usize| {
        let names: String = (0..2_000).map(|name| format!("n{name}-{number}.example\n")).collect();
        std::fs::write(&path, format!("{names}always.example\n")).unwrap();
    };
    write(0);
    let list = format!(
        "limits.queries_per_second = 0\nbuiltin.levels = []\nrules.block = [\"own.example\"]\n[[lists]]\nname = \"file\"\npath = \"{}\"\n",
        path.display()
    );
    home.configure(upstream.address, &list);
    let daemon = home.start();
    let stop = Arc::default();
    let expected: &[_] =
        &[("always.example", "0.0.0.0"), ("own.example", "0.0.0.0"), ("free.example", "198.51.100.1")];
    let asking = [(); 2].map(|()| ask_meanwhile(daemon.dns, expected, &stop));
    for number in 1..=12 {
        write(number);
        let (rule, other) = (format!("r{number}.example"), format!("r{}.example", number - 1));
        daemon.run(&["block", &rule]);
        assert!(blocks(&daemon, &rule));
        if 1 < number {
            daemon.run(&["forget", &other]);
            assert!(!blocks(&daemon, &other));
        }
    }
    eventually("the last list is in force", || blocks(&daemon, "n7-12.example").then_some(()));
    stop.store(true, Ordering::Relaxed);
    for thread in asking {
        assert!(0 < thread.join().unwrap());
    }
}

#[test]
fn connections_that_take_all_descriptors_leave_udp_alone() {
    let upstream = Upstream::generous();
    let daemon =
        Daemon::start(upstream.address, "rules.block = [\"pixel.example\"]\nlimits.tcp_connections = 2000\n");
    assert_eq!(Ask::new("cached.example", RecordType::A).of(daemon.dns).addresses(), ["198.51.100.1"]);
    let before = daemon.limit_files(Some(u64::try_from(daemon.count_of("fd")).unwrap() + 20));
    let mut held = Vec::new();
    for client in 0..200_u8 {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 1, client], 0)).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        // Those beyond the backlog wait for their handshake.
        let _ = socket.connect(&daemon.dns.into());
        held.push(TcpStream::from(socket));
    }
    daemon.tells("a TCP connection could not be accepted");
    for _ in 0..50 {
        assert!(blocks(&daemon, "pixel.example"));
        assert_eq!(Ask::new("cached.example", RecordType::A).of(daemon.dns).addresses(), ["198.51.100.1"]);
    }
    // What needs an upstream can't have a socket, and is told so rather than kept waiting.
    let answer = Ask::new("fresh.example", RecordType::A).of(daemon.dns);
    assert!(matches!(answer.words()[0].as_str(), "SERVFAIL" | "NOERROR"), "{answer:?}");
    drop(held);
    eventually("names resolve again", || {
        (Ask::new("again.example", RecordType::A).of(daemon.dns).addresses() == ["198.51.100.1"])
            .then_some(())
    });
    let mut over_tcp = Ask::new("pixel.example", RecordType::A);
    over_tcp.tcp = true;
    assert_eq!(over_tcp.of(daemon.dns).addresses(), ["0.0.0.0"]);
    daemon.limit_files(before);
}

/// How much memory a process holds, in octets.
fn resident(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    held.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn ten_thousand_clients_are_answered_within_bounded_memory() {
    const CLIENTS: u32 = 10_000;
    let Some(house) = House::build_or_tell("c") else { return };
    // Every address of this network is the device's own, without being written down one by one.
    for arguments in [
        format!("-n {} link set lo up", house.device),
        format!("-n {} route add local 10.79.0.0/16 dev lo", house.device),
        format!("-n {} route add 10.79.0.0/16 via 10.77.0.9", house.server),
    ] {
        assert!(ip(&arguments).unwrap().status.success(), "{arguments}");
    }
    let home = Home::new();
    let daemon = Ended(house.start_listening(&home, "\"10.77.0.1:53\""));
    let ask_all = || {
        let asking = house.device_does(|| {
            let server = SocketAddr::from(([10, 77, 0, 1], 53));
            let mut answered = 0;
            for client in 0..CLIENTS {
                let mut ask = Ask::new("t.pixel.example", RecordType::A);
                ask.from = Ipv4Addr::from(0x0a4f_0000 + client + 1).into();
                answered += u32::from(ask.of(server).addresses() == ["0.0.0.0"]);
            }
            answered
        });
        assert_eq!(asking.join().unwrap(), CLIENTS);
    };
    ask_all();
    let all_counted = |queries: u64| {
        eventually("all of them are counted", || {
            let output = home.run(&["devices", "--output", "json"]);
            let devices: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            let devices = devices.as_array()?;
            let counted: u64 = devices.iter().filter_map(|device| device["queries"].as_u64()).sum();
            (counted == queries).then_some(devices.len())
        })
    };
    let devices = all_counted(u64::from(CLIENTS));
    let first = resident(&daemon.0);
    // Clients that were there before cost nothing more.
    ask_all();
    all_counted(2 * u64::from(CLIENTS));
    let second = resident(&daemon.0);
    eprintln!("{CLIENTS} clients are {devices} devices; {} MiB, then {} MiB", first >> 20, second >> 20);
    assert!(second < 128 << 20, "{second}");
    assert!(second < first + (16 << 20), "{first} {second}");
}

/// Names that nobody asked for before, each once, below one domain (a "water torture" of its servers).
#[test]
fn a_flood_of_random_names_costs_bounded_memory_and_leaves_others_alone() {
    const NAMES: u32 = 30_000;
    let upstream = Upstream::start(|question| {
        let name = question.queries[0].name().to_string();
        // Its servers are overwhelmed, which is what the flood is for; others answer.
        (!name.ends_with("victim.example.")).then(|| with_rcode(question, ResponseCode::NXDomain))
    });
    let daemon = Daemon::start(upstream.address, "rules.block = [\"pixel.example\"]\n");
    assert!(blocks(&daemon, "pixel.example"));
    let before = daemon.memory();
    let (dns, sent) = (daemon.dns, Arc::new(AtomicU64::new(0)));
    let floods: Vec<_> = (0..6_u8)
        .map(|client| {
            let sent = Arc::clone(&sent);
            std::thread::spawn(move || {
                let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 2, client), 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                for number in 0..NAMES / 6 {
                    let name = format!("r{client}-{number}.victim.example");
                    let packet = Ask::new(&name, RecordType::A).message().to_vec().unwrap();
                    sent.fetch_add(u64::from(socket.send_to(&packet, dns).is_ok()), Ordering::Relaxed);
                    let _ = socket.recv(&mut [0; 512]);
                    // A flood that begins at once would only be dropped by the kernel.
                    if number % 100 == 0 {
                        std::thread::sleep(Duration::from_millis(40));
                    }
                }
            })
        })
        .collect();
    let mut others = 0;
    while others < 30 || floods.iter().any(|flood| !flood.is_finished()) {
        assert!(blocks(&daemon, "pixel.example"));
        let answer = Ask::new(&format!("fresh{others}.other.example"), RecordType::A).of(daemon.dns);
        assert_eq!(answer.words()[0], "NXDOMAIN", "another client is told its answer: {answer:?}");
        others += 1;
        // Fewer than a client may ask.
        std::thread::sleep(Duration::from_millis(10));
    }
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    let (sent, asked, after) = (sent.load(Ordering::Relaxed), upstream.asked() as u64, daemon.memory());
    eprintln!(
        "{sent} random names became {asked} questions; {} MiB, then {} MiB; {others} others",
        before >> 20,
        after >> 20
    );
    assert!(asked <= 3 * sent + 3 * others, "{asked} of {sent}");
    assert!(after < before + (48 << 20), "{before} {after}");
    eventually("nothing waits any more", || {
        let refused = daemon.api("status");
        (refused["upstreams"].is_array() && blocks(&daemon, "pixel.example")).then_some(())
    });
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, "rules.block = [\"pixel.example\"]\n");
    let dns = port::local();
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace("dns.listen = [\"127.0.0.1:0\"]", &format!("dns.listen = [\"{dns}\"]"));
    std::fs::write(home.config(), text).unwrap();
    // A pipe that is full from the beginning, and stays so.
    let (unread, mut full) = std::io::pipe().unwrap();
    let log = full.try_clone().unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let filled = Arc::clone(&written);
    std::thread::spawn(move || {
        while std::io::Write::write_all(&mut full, &[b'x'; 64]).is_ok() {
            filled.fetch_add(64, Ordering::Relaxed);
        }
    });
    eventually("the pipe is full", || {
        let before = written.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        (0 < before && before == written.load(Ordering::Relaxed)).then_some(())
    });
    let mut command = std::process::Command::new(BINARY);
    let mut daemon = Ended(command.args(["run", "--config"]).arg(home.config()).stderr(log).spawn().unwrap());
    let pid = daemon.0.id().to_string();
    let is_answered = |name: &str, tcp, address: &str| {
        if tcp && TcpStream::connect(dns).is_err() {
            return None;
        }
        let ask = Ask { tcp, patience: Duration::from_secs(1), ..Ask::new(name, RecordType::A) };
        ask.try_of(dns).filter(|answer| answer.addresses() == [address]).map(drop)
    };
    eventually("it answers", || is_answered("pixel.example", false, "0.0.0.0"));
    // Each of them is a line in the log.
    for number in 0..40 {
        assert!(std::process::Command::new("kill").args(["-s", "HUP", &pid]).status().unwrap().success());
        eventually("it answers", || is_answered(&format!("fresh{number}.example"), false, "198.51.100.1"));
    }
    eventually("it answers over TCP", || is_answered("pixel.example", true, "0.0.0.0"));
    assert!(home.run(&["block", "own.example"]).status.success());
    eventually("the rule is in force", || is_answered("own.example", false, "0.0.0.0"));
    assert!(std::process::Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    eventually("it stops", || daemon.0.try_wait().unwrap());
    drop(unread);
}
