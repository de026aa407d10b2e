//! A stub resolver: one question, one answer.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};

/// What stands behind the reason of a blocked answer where there is room.
const MORE: &str = " (more: pixelsink explain NAME)";

/// A question and how it is put.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) name: String,
    pub(crate) rtype: RecordType,
    pub(crate) from: IpAddr,
    pub(crate) tcp: bool,
    /// The payload size that is told; `None`: no EDNS.
    pub(crate) edns: Option<u16>,
    pub(crate) dnssec_ok: bool,
    /// How long an answer is waited for.
    pub(crate) patience: Duration,
}

impl Ask {
    pub(crate) fn new(name: &str, rtype: RecordType) -> Self {
        let from = IpAddr::from([127, 0, 0, 1]);
        let patience = Duration::from_secs(8);
        Self { name: name.to_owned(), rtype, from, tcp: false, edns: Some(1232), dnssec_ok: false, patience }
    }

    pub(crate) fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        let name = Name::from_ascii(format!("{}.", self.name.trim_end_matches('.'))).unwrap();
        message.add_query(Query::query(name, self.rtype));
        if let Some(payload) = self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(payload).set_dnssec_ok(self.dnssec_ok);
            message.set_edns(edns);
        }
        message
    }

    /// The answer, or `None` when none comes.
    pub(crate) fn try_of(&self, server: SocketAddr) -> Option<Answer> {
        let question = self.message();
        let packet = question.to_vec().unwrap();
        let bytes = if self.tcp {
            over_tcp(server, &packet)?
        } else {
            over_udp_within(server, self.from, &packet, self.patience)?
        };
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.metadata.id, question.metadata.id);
        assert_eq!(message.queries, question.queries);
        Some(Answer { message, bytes })
    }

    #[track_caller]
    pub(crate) fn of(&self, server: SocketAddr) -> Answer {
        self.try_of(server).unwrap_or_else(|| panic!("no answer to {self:?}"))
    }
}

/// Sends a packet as it is and gives back what comes.
pub(crate) fn over_udp(server: SocketAddr, from: IpAddr, packet: &[u8]) -> Option<Vec<u8>> {
    over_udp_within(server, from, packet, Duration::from_secs(8))
}

fn over_udp_within(server: SocketAddr, from: IpAddr, packet: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(packet, server).unwrap();
    let mut answer = vec![0; 65535];
    let (length, _) = socket.recv_from(&mut answer).ok()?;
    answer.truncate(length);
    Some(answer)
}

fn over_tcp(server: SocketAddr, packet: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, packet].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) message: Message,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The answer in words: RCODE, flags, each record of the answer section, `SOA` where one is, the EDE.
    pub(crate) fn words(&self) -> Vec<String> {
        let message = &self.message;
        let mut words = vec![match u16::from(message.metadata.response_code) {
            0 => "NOERROR".to_owned(),
            1 => "FORMERR".to_owned(),
            2 => "SERVFAIL".to_owned(),
            3 => "NXDOMAIN".to_owned(),
            4 => "NOTIMP".to_owned(),
            5 => "REFUSED".to_owned(),
            16 => "BADVERS".to_owned(),
            other => format!("RCODE{other}"),
        }];
        if message.metadata.truncation {
            words.push("TC".to_owned());
        }
        if message.metadata.authentic_data {
            words.push("AD".to_owned());
        }
        let record = |record: &hickory_proto::rr::Record| {
            // A target that shares its end with the question comes back in the question's letter case.
            let data = match &record.data {
                RData::CNAME(target) => target.to_string().to_ascii_lowercase(),
                data => data.to_string().trim_end().to_owned(),
            };
            format!("{} {data} {}", record.record_type(), record.ttl)
        };
        words.extend(message.answers.iter().map(record));
        let soa = message.authorities.iter().filter(|record| matches!(record.data, RData::SOA(_)));
        words.extend(soa.map(|soa| format!("SOA {}", soa.ttl)));
        let ede = |(code, text): (u16, String)| {
            format!("EDE {code} {}", text.trim_end_matches(MORE)).trim_end().to_owned()
        };
        words.extend(self.ede().map(ede));
        if message.edns.is_none() {
            words.push("no EDNS".to_owned());
        }
        words
    }

    /// The first Extended DNS Error, if there is one.
    pub(crate) fn ede(&self) -> Option<(u16, String)> {
        self.edes().into_iter().next()
    }

    /// All Extended DNS Errors.
    pub(crate) fn edes(&self) -> Vec<(u16, String)> {
        let Some(edns) = &self.message.edns else { return Vec::new() };
        let ede = |(code, option): &(EdnsCode, EdnsOption)| match option {
            EdnsOption::Unknown(_, data) if u16::from(*code) == 15 => {
                let code = u16::from_be_bytes([*data.first()?, *data.get(1)?]);
                Some((code, String::from_utf8_lossy(&data[2..]).into_owned()))
            }
            _ => None,
        };
        edns.options().options.iter().filter_map(ede).collect()
    }

    /// The addresses of the answer section.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.message.answers.iter().map(|record| record.data.to_string()).collect()
    }
}
