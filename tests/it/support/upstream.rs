//! An upstream that says what the test wants, over UDP and TCP on one port of 127.0.0.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::svcb::{IpHint, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS, PTR, SOA, SVCB, TXT};
use hickory_proto::rr::{Name, RData, Record};

use super::port;

/// What it answers to a question: `None` is silence.
type Script = dyn Fn(&Message) -> Option<Message> + Send + Sync;

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Arc<Script>>,
    /// What it says over TCP, where that is something else.
    tcp_script: Mutex<Option<Arc<Script>>>,
    asked: AtomicUsize,
    over_tcp: AtomicUsize,
    stopped: AtomicBool,
    /// Whether the script sees names in the case in which they came; else in lower case, and the answer has the case that came.
    sees_case: AtomicBool,
}

impl Upstream {
    pub(crate) fn start(script: impl Fn(&Message) -> Option<Message> + Send + Sync + 'static) -> Self {
        let address = port::local();
        let (udp, tcp) = (UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap());
        udp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            tcp_script: Mutex::new(None),
            asked: AtomicUsize::new(0),
            over_tcp: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            sees_case: AtomicBool::new(false),
        });
        let (on_udp, on_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || on_udp.serve_udp(&udp));
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let shared = Arc::clone(&on_tcp);
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || shared.serve_tcp(stream));
            }
        });
        Self { address, shared }
    }

    /// From now on its script sees names as they came, and says how they are in its answers.
    pub(crate) fn seeing_case(self) -> Self {
        self.shared.sees_case.store(true, Ordering::Relaxed);
        self
    }

    /// An upstream that knows 198.51.100.1 and 2001:db8::1 for every name, with a TTL of 300 seconds.
    pub(crate) fn generous() -> Self {
        Self::start(|question| {
            let mut answer = answer_to(question);
            let query = &question.queries[0];
            let data = match query.query_type().to_string().as_str() {
                "A" => RData::A(A::new(198, 51, 100, 1)),
                "AAAA" => RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
                "TXT" => RData::TXT(TXT::new(vec!["hello".to_owned()])),
                _ => {
                    answer.add_authority(soa());
                    return Some(answer);
                }
            };
            answer.add_answer(Record::from_rdata(query.name().clone(), 300, data));
            Some(answer)
        })
    }

    pub(crate) fn now_says(&self, script: impl Fn(&Message) -> Option<Message> + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn now_says_over_tcp(
        &self,
        script: impl Fn(&Message) -> Option<Message> + Send + Sync + 'static,
    ) {
        *self.shared.tcp_script.lock().unwrap() = Some(Arc::new(script));
    }

    /// How many questions came.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// How many of them came over TCP.
    pub(crate) fn asked_over_tcp(&self) -> usize {
        self.shared.over_tcp.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn answer(&self, packet: &[u8], tcp: bool) -> Option<Message> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let over_tcp = self.tcp_script.lock().unwrap().clone().filter(|_| tcp);
        let script = over_tcp.unwrap_or_else(|| Arc::clone(&self.script.lock().unwrap()));
        let mut question = Message::from_vec(packet).unwrap();
        if self.sees_case.load(Ordering::Relaxed) {
            return script(&question);
        }
        let came = question.queries.clone();
        for query in &mut question.queries {
            query.name = query.name.to_lowercase();
        }
        let mut answer = script(&question)?;
        if answer.queries == question.queries {
            answer.queries = came;
        }
        Some(answer)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut packet = [0; 4096];
        while !self.stopped.load(Ordering::Relaxed) {
            let Ok((length, client)) = socket.recv_from(&mut packet) else { continue };
            let Some(mut answer) = self.answer(&packet[..length], false) else { continue };
            let bytes = answer.to_vec().unwrap();
            let bytes = if bytes.len() <= 1232 {
                bytes
            } else {
                answer.answers.clear();
                answer.metadata.truncation = true;
                answer.to_vec().unwrap()
            };
            let _ = socket.send_to(&bytes, client);
        }
    }

    fn serve_tcp(&self, mut stream: TcpStream) {
        loop {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                return;
            }
            let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut packet).is_err() {
                return;
            }
            self.over_tcp.fetch_add(1, Ordering::Relaxed);
            let Some(answer) = self.answer(&packet, true) else { return };
            let bytes = answer.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            if stream.write_all(&[&length, &bytes[..]].concat()).is_err() {
                return;
            }
        }
    }
}

/// An empty answer to a question, with EDNS where the question had it.
pub(crate) fn answer_to(question: &Message) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.iter().cloned());
    answer.edns = question.edns.clone();
    answer
}

pub(crate) fn with_rcode(question: &Message, rcode: ResponseCode) -> Message {
    let mut answer = answer_to(question);
    answer.metadata.response_code = rcode;
    answer
}

pub(crate) fn soa() -> Record {
    let root = Name::root();
    Record::from_rdata(root.clone(), 60, RData::SOA(SOA::new(root.clone(), root, 1, 1, 1, 1, 60)))
}

/// A record as a scenario writes it: `owner TTL TYPE data`.
#[track_caller]
pub(crate) fn record(text: &str) -> Record {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [owner, ttl, rtype, data, ref more @ ..] = words[..] else {
        panic!("expected `owner TTL TYPE data`: {text}")
    };
    let name = |text: &str| Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap();
    let data = match rtype {
        "A" => RData::A(data.parse().unwrap()),
        "AAAA" => RData::AAAA(data.parse().unwrap()),
        "CNAME" => RData::CNAME(CNAME(name(data))),
        "TXT" => RData::TXT(TXT::new(vec![data.to_owned()])),
        "PTR" => RData::PTR(PTR(name(data))),
        "HTTPS" => {
            let hints = more.iter().filter_map(|word| match word.split_once('=')? {
                ("ipv4hint", address) => Some((
                    SvcParamKey::Ipv4Hint,
                    SvcParamValue::Ipv4Hint(IpHint(vec![address.parse().unwrap()])),
                )),
                ("ipv6hint", address) => Some((
                    SvcParamKey::Ipv6Hint,
                    SvcParamValue::Ipv6Hint(IpHint(vec![address.parse().unwrap()])),
                )),
                _ => None,
            });
            RData::HTTPS(HTTPS(SVCB::new(data.parse().unwrap(), name(more[0]), hints.collect())))
        }
        _ => panic!("no records of type {rtype} in scenarios"),
    };
    Record::from_rdata(name(owner), ttl.parse().unwrap(), data)
}
