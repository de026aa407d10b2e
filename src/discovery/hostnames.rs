//! What a device or the router says an address is called: one question for a PTR record, one answer.
//!
//! A device is asked over multicast DNS, as by a resolver that knows nothing of it: a legacy unicast query (RFC 6762 section
//! 6.7) from a port of its own, so that the answer comes straight back. Only answers from the link of the address that was
//! asked for are believed, and what they say is tidied: it is text of strangers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Observed;
use crate::device::tidy_host_name;

/// The group and port of multicast DNS (RFC 6762 section 3).
const MDNS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const MDNS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const MDNS_PORT: u16 = 5353;
const DNS_PORT: u16 = 53;
/// How long an answer is waited for: a phone that sleeps takes a while, what takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer that is read, in octets.
const ANSWER_LEN_MAX: usize = 4096;
/// So many packets that are no answer are passed over.
const STRAY_MAX: usize = 64;

/// What the device with `address` calls itself, by multicast DNS.
pub async fn ask_device(address: IpAddr, observed: &Observed) -> Option<String> {
    let (socket, group, network) = match address {
        IpAddr::V4(_) => {
            let network = observed.networks.iter().find(|network| network.contains(&address))?;
            // The kernel sends what goes to a group out where the source address is.
            let socket = UdpSocket::bind((network.addr(), 0)).await.ok()?;
            // RFC 6762 section 11: it was not forwarded.
            socket.set_multicast_ttl_v4(255).ok()?;
            (socket, SocketAddr::from((MDNS_V4, MDNS_PORT)), Some(*network))
        }
        IpAddr::V6(_) => {
            let (_, interface) = observed.links.iter().find(|(link, _)| *link == address)?;
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok()?;
            (socket, SocketAddrV6::new(MDNS_V6, MDNS_PORT, 0, *interface).into(), None)
        }
    };
    let id = rand::random();
    socket.send_to(&question(address, id, false)?, group).await.ok()?;
    let is_of_link = |from: SocketAddr| match network {
        Some(network) => network.contains(&from.ip()),
        None => from.ip() == address,
    };
    timeout(PATIENCE, answer(&socket, address, id, is_of_link)).await.ok()?
}

/// What the router calls `address`.
pub async fn ask_router(address: IpAddr, observed: &Observed) -> Option<String> {
    let gateway = router(observed)?;
    let any: IpAddr =
        if gateway.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    // Connected: only the router is heard.
    socket.connect(gateway).await.ok()?;
    let id = rand::random();
    socket.send(&question(address, id, true)?).await.ok()?;
    timeout(PATIENCE, answer(&socket, address, id, |from| from.ip() == gateway.ip())).await.ok()?
}

/// The router's resolver: none where this machine is the router, which would ask itself.
fn router(observed: &Observed) -> Option<SocketAddr> {
    let is_own =
        |gateway: &IpAddr| observed.networks.iter().any(|network: &IpNet| network.addr() == *gateway);
    let gateway = *observed.gateways.iter().find(|gateway| !is_own(gateway))?;
    Some(match gateway {
        IpAddr::V4(address) => (address, DNS_PORT).into(),
        IpAddr::V6(address) => {
            let link = observed.links.iter().find(|(link, _)| *link == gateway);
            SocketAddrV6::new(address, DNS_PORT, 0, link.map_or(0, |(_, interface)| *interface)).into()
        }
    })
}

async fn answer(
    socket: &UdpSocket,
    address: IpAddr,
    id: u16,
    is_believed: impl Fn(SocketAddr) -> bool,
) -> Option<String> {
    let mut packet = vec![0; ANSWER_LEN_MAX];
    for _ in 0..STRAY_MAX {
        let (length, from) = socket.recv_from(&mut packet).await.ok()?;
        if !is_believed(from) {
            continue;
        }
        match read(packet.get(..length)?, address, id) {
            Read::Name(name) => return Some(name),
            Read::Nothing => return None,
            Read::Stray => {}
        }
    }
    None
}

/// The question what `address` is called.
fn question(address: IpAddr, id: u16, recursive: bool) -> Option<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.recursion_desired = recursive;
    message.add_query(Query::query(Name::from(address), RecordType::PTR));
    message.to_vec().ok()
}

/// What a packet says.
#[derive(Debug, Eq, PartialEq)]
enum Read {
    Name(String),
    /// It answers the question, with no name that could be used.
    Nothing,
    /// It is something else.
    Stray,
}

/// Reads the answer to the question for `address`.
fn read(packet: &[u8], address: IpAddr, id: u16) -> Read {
    let asked = Name::from(address);
    let Ok(message) = Message::from_vec(packet) else { return Read::Stray };
    let is_asked = |query: &Query| *query.name() == asked && query.query_type() == RecordType::PTR;
    let is_ours = message.metadata.id == id
        && message.metadata.message_type == hickory_proto::op::MessageType::Response
        // Some responders leave the question out, which RFC 6762 section 6.7 does not allow.
        && message.queries.iter().all(is_asked);
    if !is_ours {
        return Read::Stray;
    }
    let pointed = message.answers.iter().filter(|record| record.name == asked);
    let name = pointed.filter_map(|record| match &record.data {
        RData::PTR(name) => tidy_host_name(&label(name)?),
        _ => None,
    });
    match name.into_iter().next() {
        Some(name) if message.metadata.response_code == ResponseCode::NoError => Read::Name(name),
        _ => Read::Nothing,
    }
}

/// The first label as it is: names of multicast DNS are UTF-8 (RFC 6762 section 16), and may have any character in them.
fn label(name: &Name) -> Option<String> {
    let label = name.iter().next()?;
    // What looks like the end of a label is one for who reads it later.
    Some(String::from_utf8_lossy(label).replace('.', " "))
}

/// Reads what a stranger might answer; for tests of hostile packets.
#[doc(hidden)]
pub fn read_for_fuzzing(packet: &[u8]) -> Option<String> {
    match read(packet, Ipv4Addr::LOCALHOST.into(), 0) {
        Read::Name(name) => Some(name),
        Read::Nothing | Read::Stray => None,
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::PTR;
    use proptest::prelude::*;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 5));

    fn answer_of(id: u16, labels: &[&[u8]]) -> Message {
        let mut message = Message::response(id, OpCode::Query);
        message.add_query(Query::query(Name::from(ADDRESS), RecordType::PTR));
        let target = PTR(Name::from_labels(labels.iter().copied()).unwrap());
        message.add_answer(Record::from_rdata(Name::from(ADDRESS), 10, RData::PTR(target)));
        message
    }

    #[track_caller]
    fn check(message: &Message, expected: &Read) {
        assert_eq!(&read(&message.to_vec().unwrap(), ADDRESS, 7), expected);
    }

    #[test]
    fn an_answer_is_read() {
        let name = |name: &str| Read::Name(name.to_owned());
        check(&answer_of(7, &[b"Annas-iPhone", b"local"]), &name("Annas-iPhone"));
        check(&answer_of(7, &["K\u{fc}che".as_bytes(), b"local"]), &name("K\u{fc}che"));
        check(&answer_of(7, &[b"<b>\x00\x1b[1m", b"local"]), &name("<b>[1m"));
        check(&answer_of(7, &["\u{202e}\u{200b}".as_bytes(), b"local"]), &Read::Nothing);
        check(&answer_of(7, &[b"192-168-1-5", b"lan"]), &Read::Nothing);
        let mut refused = answer_of(7, &[b"tv", b"local"]);
        refused.metadata.response_code = ResponseCode::NXDomain;
        check(&refused, &Read::Nothing);
    }

    #[test]
    fn what_answers_something_else_is_passed_over() {
        check(&answer_of(8, &[b"tv", b"local"]), &Read::Stray);
        let mut question = answer_of(7, &[b"tv", b"local"]);
        question.metadata.message_type = hickory_proto::op::MessageType::Query;
        check(&question, &Read::Stray);
        let mut other = answer_of(7, &[b"tv", b"local"]);
        other.queries[0].set_query_type(RecordType::A);
        check(&other, &Read::Stray);
        let mut other = answer_of(7, &[b"tv", b"local"]);
        other.answers[0].name = Name::from_ascii("x.example.").unwrap();
        check(&other, &Read::Nothing);
    }

    #[test]
    fn the_router_is_not_this_machine() {
        let mut observed = Observed::default();
        assert_eq!(router(&observed), None);
        observed.gateways = vec![[192, 168, 1, 1].into(), "fe80::1".parse().unwrap()];
        assert_eq!(router(&observed), Some("192.168.1.1:53".parse().unwrap()));
        observed.networks = vec!["192.168.1.1/24".parse().unwrap()];
        observed.links = vec![("fe80::1".parse().unwrap(), 3)];
        assert_eq!(router(&observed), Some("[fe80::1%3]:53".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_device_is_asked_and_answers() {
        let device = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let asking = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        asking.send_to(&question(ADDRESS, 7, false).unwrap(), device.local_addr().unwrap()).await.unwrap();
        let mut packet = [0; 512];
        let (length, from) = device.recv_from(&mut packet).await.unwrap();
        let asked = Message::from_vec(&packet[..length]).unwrap();
        assert_eq!(asked.queries[0].name().to_ascii(), "5.1.168.192.in-addr.arpa.");
        for id in [9, 7] {
            let answer = answer_of(id, &[b"tv", b"local"]).to_vec().unwrap();
            device.send_to(&answer, from).await.unwrap();
        }
        assert_eq!(answer(&asking, ADDRESS, 7, |_| true).await.as_deref(), Some("tv"));
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange(mut packet in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..80, octet: u8) {
            read_for_fuzzing(&packet);
            packet = answer_of(7, &[b"tv", b"local"]).to_vec().unwrap();
            if let Some(place) = packet.get_mut(at) {
                *place = octet;
            }
            if let Read::Name(name) = read(&packet, ADDRESS, 7) {
                prop_assert!(name.len() <= 63);
            }
        }
    }
}
