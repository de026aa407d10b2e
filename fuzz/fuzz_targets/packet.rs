//! Packets of clients, answered: from upstreams, from the cache and over TCP the answer is the same, and it is the one that
//! the naive model of the rules asks for.
#![no_main]

#[path = "../../tests/it/naive.rs"]
#[allow(dead_code, reason = "each asks the model for a part of what it can")]
mod naive;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use libfuzzer_sys::fuzz_target;
use naive::Naive;
use pixelsink::clock::SystemClock;
use pixelsink::config::Config;
use pixelsink::event::{EventSink, EventWriter, Told};
use pixelsink::list::{Action, ParseOptions, parse};
use pixelsink::name::DomainName;
use pixelsink::policy::{LivePolicy, Rules};
use pixelsink::resolve::{ResolveOptions, Resolver, UpstreamAddress, UpstreamOptions};
use pixelsink::ruleset::{Asked, BuildOptions, Builder, Client, KnownBy, Role, SourceId};
use pixelsink::server::{Access, Responder, Transport};
use tokio::runtime::Runtime;

const RULES: &str = "||pixel.example^
||ads.example^$important
@@||good.ads.example^
@@||good.pixel.example^
|exact.example^
*.below.example
/^track[0-9]+\\./
||tv.example^$client=192.168.1.2
||six.example^$dnstype=AAAA
||all.but.example^$denyallow=not.all.but.example
";
/// What every name that begins with `c` is an alias of.
const TARGET: &str = "pixel.example";

struct Nobody;

impl EventSink for Nobody {
    fn writer(&self) -> Box<dyn EventWriter> {
        Box::new(Self)
    }
}

impl EventWriter for Nobody {
    fn write(&mut self, told: &Told<'_>) {
        assert!(!told.name.to_string().is_empty());
    }
}

struct House {
    runtime: Runtime,
    responder: Responder,
    naive: Naive,
}

/// Tells two addresses of every name, or that it is an alias of [`TARGET`].
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        loop {
            // A signal may interrupt it.
            let Ok((length, peer)) = socket.recv_from(&mut packet) else { continue };
            let question = Message::from_vec(&packet[..length]).expect("another implementation reads what we ask");
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            answer.metadata.recursion_available = true;
            let [query] = &question.queries[..] else { panic!("{question}") };
            answer.add_query(query.clone());
            let asked = query.name().clone();
            let first = asked.iter().next().and_then(|label| label.first()).copied();
            let add = |answer: &mut Message, name: &Name| {
                for host in [1, 2] {
                    let data = RData::A(A::new(198, 51, 100, host));
                    answer.add_answer(Record::from_rdata(name.clone(), 300, data));
                }
            };
            match (query.query_type(), first) {
                (RecordType::A | RecordType::AAAA, Some(b'c' | b'C')) => {
                    let target = Name::from_ascii(format!("{TARGET}.")).unwrap();
                    answer.add_answer(Record::from_rdata(asked, 300, RData::CNAME(CNAME(target.clone()))));
                    if query.query_type() == RecordType::A {
                        add(&mut answer, &target);
                    }
                }
                (RecordType::A, _) => add(&mut answer, &asked),
                _ => {}
            }
            let _ = socket.send_to(&answer.to_vec().unwrap(), peer);
        }
    });
    address
}

static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut builder = Builder::new(BuildOptions::default());
    let mut naive = Naive::default();
    let parsed = parse(RULES.as_bytes(), ParseOptions { format: None, subdomains: true });
    assert_eq!((parsed.rules.len(), parsed.report.skipped_count()), (10, 0), "{:?}", parsed.report);
    for rule in &parsed.rules {
        builder.add(SourceId(0), false, rule).unwrap();
        naive.add(SourceId(0), false, rule);
    }
    let (ruleset, _) = builder.finish_in_memory().unwrap();
    let policy = Arc::new(LivePolicy::default());
    let rules = Rules { ruleset: Arc::new(ruleset), sources: [Arc::from("list")].into() };
    policy.update(|policy| policy.lists = rules.clone());
    let clock = Arc::new(SystemClock);
    let address: UpstreamAddress = format!("udp://{}", upstream()).parse().unwrap();
    let options = ResolveOptions::new(vec![UpstreamOptions::from(address)]);
    let resolver = {
        let _entered = runtime.enter();
        Arc::new(Resolver::new(&options, clock.clone()))
    };
    let access = Access { queries_per_second: 0, responses_per_second: 0, ..Config::default().server.access };
    let responder =
        Responder::new(clock, Arc::default(), policy, Arc::default(), resolver, Arc::new(Nobody), access);
    House { runtime, responder, naive }
});

/// A query about the name that the text is, after three octets that say how it is asked.
fn query(text: &[u8]) -> Option<Vec<u8>> {
    let [flags, qtype, edns, name @ ..] = text else { return None };
    let name = DomainName::parse(std::str::from_utf8(name).ok()?).ok()?;
    let mut packet = vec![7, *qtype, flags & 1, flags & 0x30, 0, 1, 0, 0, 0, 0, 0, edns & 1];
    packet.extend_from_slice(name.as_ref().as_wire());
    packet.extend_from_slice(&[0, [1, 28, 5, 16, 65, 255, 12, 2][usize::from(qtype % 8)], 0, 1]);
    if edns & 1 == 1 {
        packet.extend_from_slice(&[0, 0, 41, edns >> 4, 0, 0, 0, flags & 0x80, 0, 0, 0]);
    }
    Some(packet)
}

/// The parts of a message that do not change while it is kept.
fn lasting(message: &Message) -> String {
    let records = |records: &[Record]| -> Vec<_> {
        let mut told: Vec<_> =
            records.iter().map(|record| format!("{} {} {}", record.name, record.record_type(), record.data)).collect();
        told.sort();
        told
    };
    let metadata = &message.metadata;
    format!(
        "{:?} {} {} {:?} {:?}",
        metadata.response_code,
        metadata.authoritative,
        metadata.recursion_available,
        records(&message.answers),
        records(&message.authorities),
    )
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    let made = if choice & 0x80 == 0 { None } else { query(rest) };
    let packet = made.as_deref().unwrap_or(rest);
    let house = &*HOUSE;
    let address = IpAddr::V4(Ipv4Addr::new(192, 168, 1, choice & 3));
    let ask = |transport| {
        let client = SocketAddr::new(address, 4000);
        house.runtime.block_on(house.responder.respond(packet, client, transport))
    };
    let (first, again, whole) = (ask(Transport::Udp), ask(Transport::Udp), ask(Transport::Tcp));
    let Some(first) = first else {
        assert!(again.is_none() && whole.is_none(), "who hears nothing never does");
        return;
    };
    let (again, whole) = (again.unwrap(), whole.unwrap());
    assert!(packet[2] & 0x80 == 0, "an answer is never answered");
    for answer in [&first, &again, &whole] {
        assert_eq!(answer[..2], packet[..2], "the ID");
        assert_eq!(answer[2] & 0x80, 0x80);
    }
    let read = |octets: &[u8]| Message::from_vec(octets).expect("another implementation reads what we answer");
    let (first, again, whole) = (read(&first), read(&again), read(&whole));
    assert!(!whole.metadata.truncation);
    for answer in [&first, &again] {
        if !answer.metadata.truncation {
            assert_eq!(lasting(answer), lasting(&whole), "{first}\n{again}\n{whole}");
        }
    }
    let Ok(asked) = Message::from_vec(packet) else { return };
    let [question] = &asked.queries[..] else { return };
    if asked.metadata.message_type != MessageType::Query
        || asked.metadata.op_code != OpCode::Query
        || question.query_class() != DNSClass::IN
        || ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&whole.metadata.response_code)
        || !matches!(question.query_type(), RecordType::A | RecordType::AAAA)
    {
        return;
    }
    // What is answered here whatever rules say has no say in this.
    let name = DomainName::parse(&question.name().to_string()).ok();
    let Some(name) = name.filter(|name| name.as_ref().is_within(DomainName::parse("example").unwrap().as_ref())) else {
        return;
    };
    let client = Client { address: Some(address), known_by: Some(KnownBy::Address(address)), ..Client::ANYONE };
    let qtype = u16::from(question.query_type());
    let says = |name: &DomainName, role| house.naive.action(&Asked { name: name.as_ref(), qtype, client, role });
    let blocked = match says(&name, Role::Question) {
        Some(action) => action == Action::Block,
        None => {
            let target = DomainName::parse(TARGET).unwrap();
            matches!(name.as_ref().as_wire(), [_, b'c' | b'C', ..]) && says(&target, Role::Target) == Some(Action::Block)
        }
    };
    let sunk = whole.answers.iter().any(|record| match &record.data {
        RData::A(address) => address.0.is_unspecified(),
        RData::AAAA(address) => address.0.is_unspecified(),
        _ => false,
    });
    assert_eq!(sunk, blocked, "{name}: {whole}");
});
