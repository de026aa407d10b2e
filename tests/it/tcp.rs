//! DNS over TCP, as clients that behave and clients that do not see it; and the limits that hold over both transports.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::support::client::{Ask, over_udp};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::upstream::{Upstream, answer_to};

const LIST: &str = "[[lists]]\nname = \"trackers\"\nrules = [\"||pixel.example^\"]\n";
/// What the server waits for a client that does nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which messages are written and read one by one.
struct Connection(TcpStream);

impl Connection {
    fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, packet: &[u8]) {
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&length, packet].concat()).unwrap();
    }

    fn ask(&mut self, name: &str) {
        self.send(&packet(name));
    }

    /// The next answer; `None` when the connection is closed.
    fn next(&mut self) -> Option<Message> {
        self.next_octets().map(|answer| Message::from_vec(&answer).unwrap())
    }

    fn next_octets(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut answer).unwrap();
        Some(answer)
    }

    /// The name of the question that the next answer is for.
    #[track_caller]
    fn next_name(&mut self) -> String {
        asked_name(&self.next().expect("the connection was closed"))
    }

    /// Whether the server closes it, within the patience of the test, without a word.
    fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0; 512]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn packet(name: &str) -> Vec<u8> {
    Ask::new(name, RecordType::A).message().to_vec().unwrap()
}

fn asked_name(message: &Message) -> String {
    message.queries[0].name().to_ascii().trim_end_matches('.').to_owned()
}

fn one_address(question: &Message) -> Message {
    let mut answer = answer_to(question);
    let data = RData::A(A::new(198, 51, 100, 1));
    answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 300, data));
    answer
}

/// An upstream that says nothing of names that begin with `slow` until it is let go, and which of them it was asked for.
struct Held {
    upstream: Upstream,
    let_go: Arc<AtomicBool>,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Held {
    fn start() -> Self {
        let (let_go, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
        let (may_answer, noted) = (Arc::clone(&let_go), Arc::clone(&asked));
        let upstream = Upstream::start(move |question| {
            let name = asked_name(question);
            if name.starts_with("slow") {
                noted.lock().unwrap().insert(name);
                if !may_answer.load(Ordering::Relaxed) {
                    return None;
                }
            }
            Some(one_address(question))
        });
        Self { upstream, let_go, asked }
    }

    fn let_go(&self) {
        self.let_go.store(true, Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[test]
fn answers_are_the_same_octets_over_both_transports() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    for (name, rtype) in [
        ("wWw.Example", RecordType::A),
        ("t.pixel.example", RecordType::AAAA),
        ("t.pixel.example", RecordType::MX),
        ("www.example", RecordType::MX),
        ("www.example", RecordType::ANY),
    ] {
        let packet = Ask::new(name, rtype).message().to_vec().unwrap();
        let over_udp = over_udp(daemon.dns, [127, 0, 0, 1].into(), &packet).unwrap();
        let mut connection = Connection::open(daemon.dns);
        connection.send(&packet);
        assert_eq!(Some(over_udp), connection.next_octets(), "{name} {rtype}");
    }
}

#[test]
fn questions_in_a_row_are_answered_as_answers_come() {
    let held = Held::start();
    let daemon = Daemon::start(held.upstream.address, LIST);
    let mut connection = Connection::open(daemon.dns);
    for name in ["slow.example", "fast.example", "t.pixel.example"] {
        connection.ask(name);
    }
    let first_two = BTreeSet::from([connection.next_name(), connection.next_name()]);
    assert_eq!(first_two, BTreeSet::from(["fast.example".to_owned(), "t.pixel.example".to_owned()]));
    held.let_go();
    assert_eq!(connection.next_name(), "slow.example");
    // A hundred at once, and the client has no more to say.
    for number in 0..100 {
        connection.ask(&format!("n{number}.example"));
    }
    connection.0.shutdown(Shutdown::Write).unwrap();
    let answered: BTreeSet<String> =
        std::iter::from_fn(|| connection.next()).map(|answer| asked_name(&answer)).collect();
    assert_eq!(answered.len(), 100);
}

#[test]
fn the_33rd_question_waits_until_another_is_answered() {
    let held = Held::start();
    let daemon = Daemon::start(held.upstream.address, "");
    let mut connection = Connection::open(daemon.dns);
    for number in 0..40 {
        connection.ask(&format!("slow{number}.example"));
    }
    eventually("32 are in work", || (held.asked() == 32).then_some(()));
    // Another connection has room, and its question comes through before the 33rd.
    let mut other = Connection::open(daemon.dns);
    other.ask("fast.example");
    assert_eq!(other.next_name(), "fast.example");
    assert_eq!(held.asked(), 32);
    held.let_go();
    let answered: BTreeSet<String> = (0..40).map(|_| connection.next_name()).collect();
    assert_eq!(answered.len(), 40);
}

#[test]
fn a_message_in_pieces_is_one_message() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "");
    let mut connection = Connection::open(daemon.dns);
    let packet = packet("www.example");
    let framed = [&u16::try_from(packet.len()).unwrap().to_be_bytes(), &packet[..]].concat();
    connection.0.set_nodelay(true).unwrap();
    for octet in framed {
        connection.0.write_all(&[octet]).unwrap();
    }
    assert_eq!(connection.next_name(), "www.example");
}

#[test]
fn what_is_no_query_ends_the_connection_without_an_answer() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let mut response = packet("www.example");
    response[2] |= 0x80;
    for nonsense in [&response[..], &response[..11], &[]] {
        let mut connection = Connection::open(daemon.dns);
        connection.send(nonsense);
        assert!(connection.is_closed(), "{nonsense:?}");
    }
    // What was asked before is answered.
    let mut connection = Connection::open(daemon.dns);
    connection.ask("t.pixel.example");
    connection.send(&response);
    assert_eq!(connection.next_name(), "t.pixel.example");
    assert!(connection.is_closed());
}

#[test]
fn who_is_not_of_the_house_gets_no_connection() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "dns.allow_from = [\"127.0.0.9\"]\n");
    assert!(Connection::open(daemon.dns).is_closed());
}

#[test]
fn the_quietest_connection_gives_way_when_there_are_too_many() {
    let held = Held::start();
    let daemon = Daemon::start(held.upstream.address, "limits.tcp_connections_per_client = 3\n");
    let open = |name: &str| {
        let mut connection = Connection::open(daemon.dns);
        connection.ask(name);
        connection
    };
    let mut working = open("slow.example");
    eventually("it is at work", || (held.asked() == 1).then_some(()));
    // One after the other: of several that wait at once, any may give way.
    let mut quiet: Vec<_> = (0..5)
        .map(|number| {
            let mut connection = open("fast.example");
            assert_eq!(connection.next_name(), "fast.example", "{number}");
            connection
        })
        .collect();
    assert!(quiet[0].is_closed(), "it gave way");
    held.let_go();
    assert_eq!(working.next_name(), "slow.example", "what is at work goes on");
}

#[test]
fn when_all_connections_are_at_work_the_next_one_is_closed() {
    let held = Held::start();
    let daemon = Daemon::start(held.upstream.address, "limits.tcp_connections = 2\n");
    let mut working: Vec<_> = (0..2)
        .map(|number| {
            let mut connection = Connection::open(daemon.dns);
            connection.ask(&format!("slow{number}.example"));
            connection
        })
        .collect();
    eventually("they are at work", || (held.asked() == 2).then_some(()));
    assert!(Connection::open(daemon.dns).is_closed());
    held.let_go();
    for connection in &mut working {
        assert!(connection.next_name().starts_with("slow"));
    }
    let mut next = Connection::open(daemon.dns);
    next.ask("fast.example");
    assert_eq!(next.next_name(), "fast.example");
}

#[test]
fn a_client_that_does_nothing_is_left() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let begun = Instant::now();
    let silent = Connection::open(daemon.dns);
    let mut half = Connection::open(daemon.dns);
    half.0.write_all(&[0, 200, 1]).unwrap();
    let mut idle = Connection::open(daemon.dns);
    idle.ask("t.pixel.example");
    assert_eq!(idle.next_name(), "t.pixel.example");
    for mut connection in [silent, half, idle] {
        assert!(connection.is_closed());
    }
    assert!(PATIENCE - Duration::from_secs(1) < begun.elapsed(), "they had their time");
}

#[test]
fn a_client_that_never_reads_costs_nobody_anything() {
    // 4 KiB an answer.
    let upstream = Upstream::start(|question| {
        let mut answer = answer_to(question);
        for number in 0..=255 {
            let data = RData::A(A::new(198, 51, 100, number));
            answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 300, data));
        }
        Some(answer)
    });
    let daemon = Daemon::start(upstream.address, "limits.queries_per_second = 0\n");
    let mut ask = Ask::new("large.example", RecordType::A);
    ask.tcp = true;
    assert_eq!(ask.of(daemon.dns).message.answers.len(), 256);
    let before = daemon.memory();
    let mut greedy = Connection::open(daemon.dns);
    greedy.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let packet = packet("large.example");
    let framed = [&u16::try_from(packet.len()).unwrap().to_be_bytes(), &packet[..]].concat().repeat(1000);
    let stuck = (0..1000).find(|_| greedy.0.write_all(&framed).is_err());
    assert!(stuck.is_some(), "the server read a million questions whose answers nobody took");
    assert_eq!(ask.of(daemon.dns).message.answers.len(), 256, "others are answered");
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} octets for one connection");
    eventually("it is left", || greedy.0.write(&framed).is_err_and(is_gone).then_some(()));
}

/// Whether the other side has closed, not only stopped to read.
#[expect(clippy::needless_pass_by_value, reason = "it is a predicate of an error")]
fn is_gone(error: std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

#[test]
fn a_listener_that_is_closed_answers_what_is_in_work() {
    let upstream = Upstream::start(|question| {
        std::thread::sleep(Duration::from_millis(700));
        Some(one_address(question))
    });
    let daemon = Daemon::start(upstream.address, "");
    let mut idle = Connection::open(daemon.dns);
    let mut working = Connection::open(daemon.dns);
    working.ask("www.example");
    eventually("it is at work", || (upstream.asked() == 1).then_some(()));
    let file = daemon.home().config();
    let text = std::fs::read_to_string(&file).unwrap();
    let elsewhere = "dns.listen = [\"127.0.0.2:0\"]";
    std::fs::write(&file, text.replace("dns.listen = [\"127.0.0.1:0\"]", elsewhere)).unwrap();
    daemon.signal("HUP");
    assert_eq!(working.next_name(), "www.example");
    assert!(working.is_closed() && idle.is_closed());
    assert!(TcpStream::connect(daemon.dns).is_err());
}

#[test]
fn without_descriptors_it_is_told_once_and_goes_on_when_there_are_some() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let limit = |descriptors| daemon.limit_files(descriptors);
    let before = limit(Some(3));
    let mut waiting = Connection::open(daemon.dns);
    waiting.ask("t.pixel.example");
    let told = || daemon.log().matches("a TCP connection could not be accepted").count();
    eventually("it is told", || (told() == 1).then_some(()));
    assert_eq!(Ask::new("pixel.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
    limit(before);
    assert_eq!(waiting.next_name(), "t.pixel.example");
    assert_eq!(told(), 1);
}

#[test]
fn any_is_answered_with_one_record_and_nobody_is_asked() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    for tcp in [false, true] {
        let mut ask = Ask::new("www.example", RecordType::ANY);
        ask.tcp = tcp;
        let answer = ask.of(daemon.dns);
        let [record] = &answer.message.answers[..] else { panic!("{answer:?}") };
        let RData::HINFO(hinfo) = &record.data else { panic!("{record:?}") };
        assert_eq!((&*hinfo.cpu, &*hinfo.os, record.ttl), (&b"RFC8482"[..], &b""[..], 3600));
    }
    let blocked = Ask::new("pixel.example", RecordType::ANY).of(daemon.dns);
    assert_eq!(blocked.ede().unwrap().0, 15, "{blocked:?}");
    assert_eq!(upstream.asked(), 0);
}

#[test]
fn questions_of_one_client_that_wait_are_bounded() {
    let held = Held::start();
    let daemon = Daemon::start(held.upstream.address, &format!("limits.in_flight_per_client = 2\n{LIST}"));
    let waiting: Vec<_> = (0..2)
        .map(|number| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(2 * PATIENCE)).unwrap();
            socket.send_to(&packet(&format!("slow{number}.example")), daemon.dns).unwrap();
            socket
        })
        .collect();
    eventually("they wait", || (held.asked() == 2).then_some(()));
    let mut ask = Ask::new("slow3.example", RecordType::A);
    for tcp in [false, true] {
        ask.tcp = tcp;
        let answer = ask.of(daemon.dns);
        assert_eq!(answer.words()[0], "REFUSED");
        assert_eq!(answer.ede().unwrap(), (18, "more than 2 questions at once".to_owned()));
    }
    assert_eq!(Ask::new("pixel.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
    let mut other = Ask::new("fast.example", RecordType::A);
    other.from = [127, 0, 0, 9].into();
    assert_eq!(other.of(daemon.dns).words()[0], "NOERROR", "another client has its own share");
    held.let_go();
    for socket in waiting {
        assert!(socket.recv(&mut [0; 512]).is_ok());
    }
    eventually("the client may ask again", || (ask.of(daemon.dns).words()[0] == "NOERROR").then_some(()));
}

/// CVE-2026-41292 and its like: as many options as there is room for.
#[test]
fn sixteen_thousand_options_cost_no_more_than_reading_them() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii("www.example.").unwrap(), RecordType::A));
    let mut packet = message.to_vec().unwrap();
    // One additional record: the root, OPT, 1232 octets, no flags, and its options, each empty (RFC 6891 section 6.1.2).
    packet[11] = 1;
    let options: Vec<u8> = (0..16_000_u32).flat_map(|_| [0xfd, 0xe9, 0, 0]).collect();
    packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    packet.extend(u16::try_from(options.len()).unwrap().to_be_bytes());
    packet.extend(options);
    let mut connection = Connection::open(daemon.dns);
    for _ in 0..20 {
        connection.send(&packet);
        let answer = connection.next().unwrap();
        assert!(matches!(u16::from(answer.metadata.response_code), 0 | 1), "{answer:?}");
        assert_eq!(Ask::new("pixel.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
    }
}
