//! The machine: its clock, its disk, its ports, and whom it asks itself.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use super::Finding;
use crate::clock::{Clock as _, SystemClock};
use crate::server::holder_of_port;

/// With less room than this, in octets, a history and a refresh of large lists may not fit.
const ROOM_MIN: u64 = 200 << 20;

/// A clock that stands before this program was made has not been set.
pub(super) fn clock() -> Finding {
    const WHAT: &str = "clock";
    let now = SystemClock.now();
    let made = std::env::current_exe().and_then(fs::metadata).and_then(|metadata| metadata.modified());
    let made = made.ok().and_then(|made: SystemTime| Timestamp::try_from(made).ok());
    if made.is_some_and(|made| now < made) {
        let to_do = "Encrypted upstreams and https lists fail with a wrong clock: see that time is set over the network \
                     (`timedatectl set-ntp true`), and that this machine can reach a time server.";
        return Finding::bad(WHAT, format!("it says {now:.0}, which is before this program was made"), to_do);
    }
    Finding::well(WHAT, format!("it says {now:.0}"))
}

/// The data directory: there, ours to write, with some room.
pub(super) fn room(directory: &Path) -> Finding {
    const WHAT: &str = "disk";
    let shown = directory.display();
    if let Err(error) = fs::read_dir(directory) {
        return match error.kind() {
            ErrorKind::NotFound => Finding::look(
                WHAT,
                format!("{shown} does not exist"),
                "The daemon makes it when it may; otherwise lists and history live in memory only.",
            ),
            _ => Finding::look(WHAT, format!("{shown}: {error}"), "Run this as root to have it looked at."),
        };
    }
    let Ok(system) = rustix::fs::statvfs(directory) else {
        return Finding::look(WHAT, format!("{shown} can't be looked at"), "Run this as root.");
    };
    if system.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let to_do = "A card with errors is mounted read-only; `dmesg` tells. Copy the directory and get another card.";
        return Finding::bad(WHAT, format!("{shown} is read-only, so nothing new is kept"), to_do);
    }
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let said = format!("{} MiB are free for {shown}", free >> 20);
    if free < ROOM_MIN {
        let to_do = "Make room, or let the history take less (`history.size_max`, `history.events`).";
        return Finding::look(WHAT, said, to_do);
    }
    Finding::well(WHAT, said)
}

/// Whether a port could be had, while no daemon runs; `None` for one that any can be had for.
pub(super) fn port(address: SocketAddr) -> Option<Finding> {
    const WHAT: &str = "port";
    if address.port() == 0 {
        return None;
    }
    let tried = [("udp", UdpSocket::bind(address).map(drop)), ("tcp", TcpListener::bind(address).map(drop))];
    let refused = tried.into_iter().find_map(|(transport, tried)| Some((transport, tried.err()?)));
    Some(match refused {
        None => Finding::well(WHAT, format!("{address} is free")),
        Some((transport, error)) if error.kind() == ErrorKind::AddrInUse => {
            let holder = holder_of_port(address.port(), transport);
            let holder = holder.unwrap_or_else(|| "another program (root can see which)".to_owned());
            let to_do = if holder.starts_with("systemd-resolve") {
                "Put `DNSStubListener=no` into /etc/systemd/resolved.conf.d/pixelsink.conf under `[Resolve]`, then `systemctl \
                 restart systemd-resolved`; docs/systemd-resolved.md has all steps."
            } else {
                "Stop it, or tell it to leave the port, or choose another address for `listen` under `[dns]`."
            };
            Finding::bad(WHAT, format!("{holder} has {address} over {transport}"), to_do)
        }
        Some((_, error)) if error.kind() == ErrorKind::PermissionDenied => Finding::look(
            WHAT,
            format!("only root and the service may use {address}"),
            "Run this as root to see whether it is free.",
        ),
        Some((_, error)) => {
            Finding::look(WHAT, format!("{address}: {error}"), "Does this machine have that address?")
        }
    })
}

/// Whom this machine asks itself (resolv.conf(5)).
pub(super) fn resolv_conf(ours: &[SocketAddr]) -> Finding {
    const FILE: &str = "/etc/resolv.conf";
    match fs::read_to_string(FILE) {
        Ok(text) => judge(&text, ours),
        Err(error) => {
            Finding::look("resolv.conf", format!("{FILE}: {error}"), "This machine may not resolve names.")
        }
    }
}

fn judge(text: &str, ours: &[SocketAddr]) -> Finding {
    const WHAT: &str = "resolv.conf";
    let servers: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("nameserver")?.trim().parse().ok())
        .collect();
    let is_ours = |server: &IpAddr| {
        ours.iter().any(|own| {
            own.port() == 53 && (own.ip() == *server || own.ip().is_unspecified() && server.is_loopback())
        })
    };
    let shown = servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match servers.as_slice() {
        [] => Finding::look(
            WHAT,
            "it names no server",
            "This machine asks itself then; name a server to be sure.",
        ),
        all if all.iter().all(is_ours) => {
            Finding::well(WHAT, format!("this machine asks pixelsink ({shown})"))
        }
        all if all.iter().any(is_ours) => Finding::look(
            WHAT,
            format!("this machine asks pixelsink and others ({shown})"),
            "What it asks of the others is not blocked; leave pixelsink only.",
        ),
        _ => Finding::well(
            WHAT,
            format!("this machine itself asks {shown}; other devices are not touched by that"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[track_caller]
    fn check(text: &str, grade: Grade, words: &str) {
        let ours = ["0.0.0.0:53".parse().unwrap(), "192.168.1.2:53".parse().unwrap()];
        let finding = judge(text, &ours);
        assert!(finding.grade == grade && finding.said.contains(words), "{finding:?}");
    }

    #[test]
    fn whom_this_machine_asks_is_told() {
        check("# x\nnameserver 127.0.0.1\n", Grade::Well, "asks pixelsink (127.0.0.1)");
        check("search lan\n nameserver\t192.168.1.2", Grade::Well, "asks pixelsink");
        check("nameserver 127.0.0.1\nnameserver 9.9.9.9\n", Grade::Look, "and others (127.0.0.1, 9.9.9.9)");
        check("nameserver 192.168.1.1\n", Grade::Well, "itself asks 192.168.1.1");
        check("options edns0\n", Grade::Look, "no server");
    }

    #[test]
    fn who_has_a_port_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let finding = port(address).unwrap();
        assert!(finding.grade == Grade::Bad && finding.said.contains(&address.to_string()), "{finding:?}");
        assert_eq!(port("127.0.0.1:0".parse().unwrap()), None);
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        assert!(room(directory.path()).said.contains("MiB are free"));
        assert_eq!(room(&directory.path().join("nothing")).grade, Grade::Look);
    }
}
