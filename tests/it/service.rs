//! The daemon as systemd sees it: what it says over the socket of sd_notify(3).

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Home};
use crate::support::port;

/// A daemon of which systemd is this test.
struct Service {
    child: Child,
    socket: UnixDatagram,
    _home: Home,
}

impl Service {
    fn start(watchdog: Duration, more: &str) -> Self {
        let home = Home::new();
        home.configure(([127, 0, 0, 1], 9).into(), more);
        let path = home.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let child = Command::new(BINARY)
            .arg("run")
            .arg("--config")
            .arg(home.config())
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, socket, _home: home }
    }

    /// What it says next.
    fn says(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// Waits until it says something that begins so.
    fn until(&self, wanted: &str) -> String {
        loop {
            let said = self.says();
            if said.starts_with(wanted) {
                return said;
            }
            assert!(said.starts_with("WATCHDOG=1"), "{said:?} instead of {wanted}");
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn systemd_is_told_of_start_reload_and_stop() {
    let mut service = Service::start(Duration::from_secs(600), "");
    let ready = service.until("READY=1");
    assert!(ready.contains("STATUS=answering DNS on 127.0.0.1:"), "{ready}");
    service.signal("HUP");
    let reloading = service.until("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "systemd 253 and later insist on it: {reloading}");
    service.until("READY=1");
    service.signal("TERM");
    service.until("STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}

/// Thrice in each period, by questions that leave no trace.
#[test]
fn the_watchdog_is_fed_while_questions_are_answered() {
    let service = Service::start(Duration::from_millis(600), "");
    service.until("READY=1");
    for _ in 0..5 {
        assert_eq!(service.says(), "WATCHDOG=1\n");
    }
}

/// One that does not answer this machine is no reason to end it.
#[test]
fn the_watchdog_is_fed_where_this_machine_may_not_ask() {
    let service = Service::start(Duration::from_millis(600), "dns.allow_from = [\"203.0.113.0/24\"]");
    service.until("READY=1");
    for _ in 0..3 {
        assert_eq!(service.says(), "WATCHDOG=1\n");
    }
}

/// Sockets that somebody else has opened and keeps, as systemd does with a socket unit.
struct Opened {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Opened {
    fn open() -> Self {
        let address = port::local();
        Self { udp: UdpSocket::bind(address).unwrap(), tcp: TcpListener::bind(address).unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    /// A command that runs the daemon with the sockets as file descriptors 3 and 4 (sd_listen_fds(3)).
    fn hand_over(&self) -> Command {
        let mut command = Command::new("sh");
        // The number of its process is known when it runs.
        command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", BINARY]).env("LISTEN_FDS", "2");
        let descriptors = [self.udp.as_fd(), self.tcp.as_fd()].map(|fd| fd.try_clone_to_owned().unwrap());
        let mappings = (3..).zip(descriptors).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect()).unwrap();
        command
    }
}

#[test]
fn questions_wait_in_sockets_of_systemd_while_it_is_restarted() {
    let opened = Opened::open();
    let home = Home::new();
    home.configure(([127, 0, 0, 1], 9).into(), "rules.block = [\"pixel.example\"]\n");
    let text = std::fs::read_to_string(home.config()).unwrap();
    let listen = format!("dns.listen = [\"{}\"]", opened.address());
    std::fs::write(home.config(), text.replace("dns.listen = [\"127.0.0.1:0\"]", &listen)).unwrap();
    for _ in 0..2 {
        let question = Ask::new("pixel.example", RecordType::A);
        // Asked while there is no daemon.
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        client.send_to(&question.message().to_vec().unwrap(), opened.address()).unwrap();
        let daemon = home.start_as(opened.hand_over());
        assert_eq!(daemon.dns, opened.address());
        let length = client.recv(&mut [0; 512]).expect("the question that waited is answered");
        assert!(12 < length);
        assert_eq!(question.of(daemon.dns).message.answers.len(), 1);
        let over_tcp = Ask { tcp: true, ..question };
        assert_eq!(over_tcp.of(daemon.dns).message.answers.len(), 1);
        let begun = Instant::now();
        assert!(daemon.stop().success());
        assert!(begun.elapsed() < Duration::from_secs(10), "it ends though its sockets stay open");
    }
}

#[test]
fn a_socket_of_systemd_that_nobody_wants_is_told() {
    let opened = Opened::open();
    let home = Home::new();
    home.configure(([127, 0, 0, 1], 9).into(), "");
    let daemon = home.start_as(opened.hand_over());
    let log = daemon.log();
    let told = format!(
        "systemd hands over {} (udp), which neither dns.listen nor web.listen names",
        opened.address()
    );
    assert!(log.contains(&told), "{log}");
    assert_ne!(daemon.dns, opened.address());
}
