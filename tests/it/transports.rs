//! One question has one answer, octet for octet, however it comes in: over UDP when an upstream has to be asked first, over UDP
//! out of memory, and over TCP.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::port;
use crate::support::upstream::{Upstream, answer_to, record, soa, with_rcode};

/// How many questions are asked.
const QUESTIONS: u32 = 10_000;
/// An answer whose TTL has gone down by a second between two ways of asking is asked for under another name, so often at most.
const ATTEMPTS: u32 = 3;

const LISTS: &str = r#"
[limits]
queries_per_second = 0
[[lists]]
name = "varied"
rules = [
    "||blocked.example^", "0.0.0.0 q7.hosts.example", "@@||allowed.blocked.example^", "||cloaked.test^",
    "||nx.example^$dnsrewrite=NXDOMAIN;;", "||refused.example^$dnsrewrite=REFUSED;;",
    "||address.example^$dnsrewrite=192.0.2.7", "||alias.example^$dnsrewrite=plain.other.example",
    "||typed.example^$dnstype=AAAA", "/^q[0-9]+\\.track[a-z]+\\.example$/",
]
"#;

/// Zones that are answered in different ways, here and by the upstream.
const ZONES: [&str; 17] = [
    "blocked.example",
    "allowed.blocked.example",
    "hosts.example",
    "nx.example",
    "refused.example",
    "address.example",
    "alias.example",
    "typed.example",
    "tracker.example",
    "plain.other.example",
    "several.other.example",
    "chain.other.example",
    "cloak.other.example",
    "none.other.example",
    "nodata.other.example",
    "broken.other.example",
    "a-label-of-many-letters.and-another-one.text.other.example",
];

const TYPES: [u16; 9] = [1, 28, 65, 16, 5, 15, 6, 64, 255];

fn upstream() -> Upstream {
    Upstream::start(|question| {
        let name = question.queries[0].name().to_ascii().to_lowercase();
        let rtype = question.queries[0].query_type();
        let mut answer = answer_to(question);
        let owner = name.trim_end_matches('.');
        let zone = owner.split_once('.').map_or("", |(_, zone)| zone);
        match zone {
            "several.other.example" if rtype == RecordType::A => {
                for last in 1..9 {
                    answer.add_answer(record(&format!("{owner} 300 A 198.51.100.{last}")));
                }
            }
            "chain.other.example" => {
                answer.add_answer(record(&format!("{owner} 300 CNAME cdn.far.example")));
                answer.add_answer(record("cdn.far.example 60 A 198.51.100.3"));
            }
            "cloak.other.example" => {
                answer.add_answer(record(&format!("{owner} 300 CNAME shop.cloaked.test")));
                answer.add_answer(record("shop.cloaked.test 60 A 198.51.100.4"));
            }
            "none.other.example" => {
                answer = with_rcode(question, ResponseCode::NXDomain);
                answer.add_authority(soa());
            }
            "broken.other.example" => answer = with_rcode(question, ResponseCode::ServFail),
            _ if zone.ends_with("text.other.example") && rtype == RecordType::TXT => {
                answer.add_answer(record(&format!("{owner} 300 TXT {}", "words".repeat(20))));
            }
            "nodata.other.example" => {
                answer.add_authority(soa());
            }
            _ if rtype == RecordType::A => {
                answer.add_answer(record(&format!("{owner} 300 A 198.51.100.1")));
            }
            _ if rtype == RecordType::AAAA => {
                answer.add_answer(record(&format!("{owner} 300 AAAA 2001:db8::1")));
            }
            _ => {
                answer.add_authority(soa());
            }
        }
        answer.metadata.authentic_data = zone.starts_with("several");
        Some(answer)
    })
}

/// Numbers that look random and are the same in each run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// A query as some client or other might send it; its name is new with each `attempt`.
fn packet(number: u32, attempt: u32) -> Vec<u8> {
    let mut numbers = Numbers(number.into());
    let name = format!("q{}.{}", number + attempt * QUESTIONS, ZONES[numbers.below(ZONES.len())]);
    let mut packet = Vec::new();
    packet.extend(u16::try_from(number).unwrap().to_be_bytes());
    let bits = u8::try_from(numbers.below(16)).unwrap();
    // Now and then an OPCODE that is not QUERY; RD, AD and CD in all combinations.
    let opcode = [0, 0, 0, 0, 0, 0, 0, 0x10, 0x20, 0x28][numbers.below(10)];
    packet.extend([opcode | (bits & 1), (bits & 2) << 4 | (bits & 4) << 2]);
    let edns = numbers.below(4);
    let questions = [1, 1, 1, 1, 1, 1, 1, 1, 1, 2][numbers.below(10)];
    packet.extend([0, questions, 0, 0, 0, 0, 0, u8::from(0 < edns)]);
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.bytes().map(|octet| match numbers.below(3) {
            0 => octet.to_ascii_uppercase(),
            _ => octet,
        }));
    }
    packet.push(0);
    packet.extend(TYPES[numbers.below(TYPES.len())].to_be_bytes());
    packet.extend(if numbers.below(20) == 0 { [0, 3] } else { [0, 1] });
    if 0 < edns {
        let payload = [0_u16, 512, 1232, 4096][numbers.below(4)].to_be_bytes();
        let version = u8::from(numbers.below(20) == 0);
        let dnssec_ok = [0, 0x80][numbers.below(2)];
        packet.extend([0, 0, 41, payload[0], payload[1], 0, version, dnssec_ok, 0]);
        // An option that nobody knows, as cookies are to us.
        let options: &[u8] = if edns == 2 { &[0, 6, 0xfd, 0xe9, 0, 2, 1, 2] } else { &[0, 0] };
        packet.extend(options);
    }
    packet
}

struct Ways {
    udp: UdpSocket,
    tcp: TcpStream,
}

impl Ways {
    fn to(server: SocketAddr) -> Self {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        udp.connect(server).unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let tcp = TcpStream::connect(server).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { udp, tcp }
    }

    fn over_udp(&self, packet: &[u8]) -> Vec<u8> {
        self.udp.send(packet).unwrap();
        let mut answer = vec![0; 4096];
        let length = self.udp.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    }

    fn over_tcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        self.tcp.write_all(&[&length, packet].concat()).unwrap();
        let mut length = [0; 2];
        self.tcp.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        self.tcp.read_exact(&mut answer).unwrap();
        answer
    }
}

/// An answer without the word that a failure is remembered (EDE 13), which only those hear who ask after the first one.
fn without_memory(answer: Vec<u8>) -> Vec<u8> {
    let Some(rest) = answer.strip_suffix(&[0, 15, 0, 2, 0, 13]) else { return answer };
    let mut rest = rest.to_vec();
    // The OPT record is the last one; the length of its data stands nine octets behind its root.
    let opt = rest.windows(3).rposition(|octets| octets == [0, 0, 41]).unwrap();
    let length = u16::from_be_bytes([rest[opt + 9], rest[opt + 10]]) - 6;
    rest[opt + 9..opt + 11].copy_from_slice(&length.to_be_bytes());
    rest
}

#[test]
fn ten_thousand_questions_have_one_answer_on_every_way() {
    let upstream = upstream();
    let daemon = Daemon::start(upstream.address, LISTS);
    let mut ways = Ways::to(daemon.dns);
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for number in 0..QUESTIONS {
        let mut differing = None;
        for attempt in 0..ATTEMPTS {
            let packet = packet(number, attempt);
            let first = without_memory(ways.over_udp(&packet));
            let again = without_memory(ways.over_udp(&packet));
            let tcp = without_memory(ways.over_tcp(&packet));
            if first == again && again == tcp {
                let kind = format!("rcode {} answers {}", first[3] & 15, first[7].min(1));
                *kinds.entry(kind).or_default() += 1;
                differing = None;
                break;
            }
            differing = Some((packet, first, again, tcp));
        }
        if let Some((packet, first, again, tcp)) = differing {
            panic!(
                "question {number}\n{packet:02x?}\nover UDP {first:02x?}\nagain    {again:02x?}\nover TCP {tcp:02x?}"
            );
        }
    }
    println!("{kinds:?}, {} asked of the upstream", upstream.asked());
    // Every kind of answer was among them, and many needed the upstream.
    for kind in
        ["rcode 0 answers 0", "rcode 0 answers 1", "rcode 1", "rcode 2", "rcode 3", "rcode 4", "rcode 5"]
    {
        assert!(kinds.keys().any(|known| known.starts_with(kind)), "{kind}: {kinds:?}");
    }
    assert!(2_000 < upstream.asked());
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    let upstream = Upstream::generous();
    let home = Home::new();
    // The wildcard address has every address of this machine.
    let port = port::free();
    home.configure(upstream.address, "");
    let config = std::fs::read_to_string(home.config()).unwrap();
    let config =
        config.replacen("dns.listen = [\"127.0.0.1:0\"]", &format!("dns.listen = [\"0.0.0.0:{port}\"]"), 1);
    std::fs::write(home.config(), config).unwrap();
    let _daemon = home.start();
    for (to, name) in
        [("127.0.0.1", "one.example"), ("127.0.0.77", "one.example"), ("127.0.0.78", "two.example")]
    {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let server: SocketAddr = format!("{to}:{port}").parse().unwrap();
        let message = Ask::new(name, RecordType::A).message();
        client.send_to(&message.to_vec().unwrap(), server).unwrap();
        let mut answer = [0; 512];
        let (_, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!(from, server, "asked for at once or later: {name}");
    }
}
