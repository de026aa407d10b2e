//! A question to the daemon, as a device asks it: over UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::Finding;

/// A name that the built-in list blocks, and one that is there for as long as there is DNS (RFC 2606).
const BLOCKED: &str = "google-analytics.com";
const FOUND: &str = "example.com";
/// A daemon answers within five seconds, whatever its upstreams do.
const PATIENCE: Duration = Duration::from_secs(6);
/// How many addresses are asked; a machine may have many.
const ADDRESSES_MAX: usize = 4;

/// Asks at each address where the daemon listens.
pub(super) fn all(listen: &[SocketAddr]) -> Vec<Finding> {
    listen.iter().take(ADDRESSES_MAX).flat_map(|listen| one(*listen)).collect()
}

fn one(listen: SocketAddr) -> Vec<Finding> {
    let at = SocketAddr::new(reached(listen.ip()), listen.port());
    let mut findings = vec![match ask(at, BLOCKED) {
        Ok(_) => Finding::well("questions", format!("{at} answers")),
        Err(why) => Finding::bad(
            "questions",
            format!("{at} does not answer: {why}"),
            "A firewall of this machine may be in the way (port 53 over UDP and TCP), or `dns.allow_from` leaves this machine out.",
        ),
    }];
    match ask(at, FOUND) {
        Ok(0) => findings.push(Finding::well("resolving", format!("{FOUND} was found through {at}"))),
        Ok(rcode) => findings.push(Finding::bad(
            "resolving",
            format!("{FOUND} was not found through {at} (RCODE {rcode})"),
            "Upstreams do not answer, or refuse; `pixelsink upstreams` tells why.",
        )),
        // Told above.
        Err(_) => {}
    }
    findings
}

/// Where an address that stands for all of this machine's is reached.
fn reached(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        concrete => concrete,
    }
}

/// Asks for the A records of `name`; gives back the RCODE (RFC 1035 section 4.1.1).
fn ask(at: SocketAddr, name: &str) -> Result<u8, String> {
    let told = |error: std::io::Error| error.to_string();
    let from = if at.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((from, 0)).map_err(told)?;
    socket.connect(at).map_err(told)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    socket.send(&packet(name)).map_err(told)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).map_err(|_| "nothing came back".to_owned())?;
    match answer.get(..length).unwrap_or_default() {
        [_, _, flags, codes, ..] if flags & 0x80 != 0 => Ok(codes & 0x0f),
        _ => Err("what came back is no answer".to_owned()),
    }
}

/// A question with recursion desired. Nobody else writes to a connected socket of this machine, so any ID will do.
fn packet(name: &str) -> Vec<u8> {
    let mut packet = vec![0x70, 0x78, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.extend(u8::try_from(label.len()));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_as_the_wire_has_it() {
        assert_eq!(&packet("a.example")[12..], b"\x01a\x07example\0\0\x01\0\x01");
    }

    #[test]
    fn silence_and_answers_are_told_apart() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let asking = std::thread::spawn(move || ask(at, "a.example"));
        let mut question = [0; 512];
        let (length, client) = server.recv_from(&mut question).unwrap();
        question[2] |= 0x80;
        question[3] = 3;
        server.send_to(&question[..length], client).unwrap();
        assert_eq!(asking.join().unwrap(), Ok(3));
        drop(server);
        assert!(ask(at, "a.example").is_err());
    }
}
