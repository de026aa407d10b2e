//! The daemon as systemd sees it: what it says over the socket of sd_notify(3).

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::daemon::{BINARY, Home};

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
