//! A question to an upstream over UDP.
//!
//! It knows how a question goes out and which packet answers it. It never knows what the answer says, how long somebody waits
//! for it, or who is asked next.
//!
//! Who forges an answer has to guess the ID and the port of the question (RFC 5452 section 9.2): both are random and new for each
//! question. The socket takes packets of the upstream's address and port only (section 4.4), and ID and question must be those
//! that went out (sections 4.2 to 4.5). Whatever else comes is passed over: a forged packet ends no wait.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_net::NetError;
use hickory_proto::op::Message;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use super::Question;
use crate::wire::{HEADER_LEN, UDP_PAYLOAD_MAX, qtype};

/// RD and AD, in the third and the fourth octet: recursion is wanted, and so is a word on authenticity (RFC 6840 section 5.7).
const RD: u8 = 0x01;
const AD: u8 = 0x20;
/// The client checks DNSSEC itself.
const CD: u8 = 0x10;
/// Marks an answer.
const QR: u8 = 0x80;
/// DNSSEC records are wanted (RFC 3225).
const DO: u8 = 0x80;

/// Marks a lower-case letter of ASCII, among letters.
const LOWER: u8 = 0x20;
/// An answer in the right case is waited for so long after one in another case, which may be forged.
const CASE_PATIENCE: Duration = Duration::from_millis(300);

/// What came of a question.
#[derive(Debug)]
pub(super) enum Heard {
    /// Its answer, with the QNAME as it was asked for.
    Answer(Message),
    /// An answer in another case than that of the question, and none in the right one.
    OtherCase,
}

/// Sockets for questions, one for each.
#[derive(Default)]
pub(super) struct Sockets {
    /// That of the last question. To close it takes a moment, which the next question has while it waits, and an answer that is on
    /// its way to a client has not.
    spent: Mutex<Option<AsyncFd<UdpSocket>>>,
}

impl Sockets {
    /// Asks, in random case if `mixed`, and once more at each of the times of `resends`, counted from the beginning, if no answer has
    /// come by then. It waits as long as it is let.
    ///
    /// # Errors
    /// When the question can't be sent, the upstream's port is closed, or the answer can't be read.
    pub(super) async fn ask(
        &self,
        upstream: SocketAddr,
        question: &Question,
        edns: bool,
        resends: &[Duration],
        mixed: bool,
    ) -> Result<Heard, NetError> {
        let query = Query::new(rand::random(), question, edns, mixed);
        let socket = open(upstream)?;
        send(&socket, &query)?;
        let socket = watched(socket)?;
        drop(self.spent().take());
        let heard = hear(&socket, &query, question, resends).await;
        *self.spent() = Some(socket);
        heard
    }

    fn spent(&self) -> MutexGuard<'_, Option<AsyncFd<UdpSocket>>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn hear(
    socket: &AsyncFd<UdpSocket>,
    query: &Query,
    question: &Question,
    resends: &[Duration],
) -> Result<Heard, NetError> {
    let mut other_case_since = None;
    let begun = Instant::now();
    for &after in resends {
        let heard = answer_to(socket, query, question, &mut other_case_since);
        if let Ok(heard) = timeout_at(begun + after, heard).await {
            return heard;
        }
        // From the same port and with the same ID: two questions would be two chances for a forged answer (RFC 5452 section 5).
        send(socket.get_ref(), query)?;
    }
    answer_to(socket, query, question, &mut other_case_since).await
}

/// A socket that hears the upstream alone.
fn open(upstream: SocketAddr) -> io::Result<UdpSocket> {
    // The kernel picks an ephemeral port at random, one of 28,232 as Linux comes. Others, down to 1024, would be a bit more to
    // guess; but one of those may be a service's that starts meanwhile.
    let socket = Socket::new(Domain::for_address(upstream), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // Connected: the kernel drops what others send, and tells when the upstream's port is closed.
    socket.connect(&upstream.into())?;
    Ok(UdpSocket::from(socket))
}

fn watched(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // Watched for packets and errors only: to be told of each packet that has left would cost as much as to send one.
    #[expect(
        deprecated,
        reason = "types that change their descriptor are what it warns of; this socket keeps its own"
    )]
    AsyncFd::with_interest(socket, Interest::READABLE | Interest::ERROR)
}

fn send(socket: &UdpSocket, query: &Query) -> io::Result<()> {
    match socket.send(&query.packet) {
        Ok(_) => Ok(()),
        // A full buffer loses a packet as the network may; it is sent again.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Waits for the answer to a question, or until it is too late after one in another case.
async fn answer_to(
    socket: &AsyncFd<UdpSocket>,
    query: &Query,
    question: &Question,
    other_case_since: &mut Option<Instant>,
) -> Result<Heard, NetError> {
    // A longer packet is cut here, found to be unreadable, and asked for over TCP.
    let mut packet = [0; UDP_PAYLOAD_MAX as usize];
    loop {
        let readable = socket.ready(Interest::READABLE | Interest::ERROR);
        let mut ready = match *other_case_since {
            None => readable.await?,
            Some(since) => match timeout_at(since + CASE_PATIENCE, readable).await {
                Ok(ready) => ready?,
                Err(_) => return Ok(Heard::OtherCase),
            },
        };
        match ready.try_io(|socket| socket.get_ref().recv(&mut packet)) {
            Ok(Ok(length)) => {
                let packet = packet.get_mut(..length).unwrap_or_default();
                match query.is_answered_by(packet) {
                    Some(CaseKept(true)) => {
                        // What is kept, and shown to others, has nothing of our random case.
                        if let Some(qname) = packet.get_mut(HEADER_LEN..query.qname_end) {
                            qname.copy_from_slice(question.name.as_ref().as_wire());
                        }
                        return Ok(Heard::Answer(Message::from_vec(packet)?));
                    }
                    Some(CaseKept(false)) => {
                        other_case_since.get_or_insert_with(Instant::now);
                    }
                    None => {}
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(_nothing_left) => {}
        }
    }
}

/// A question as it is sent.
struct Query {
    packet: Vec<u8>,
    /// Where the QNAME ends.
    qname_end: usize,
    /// Whether the case of its letters has to come back.
    mixed: bool,
}

/// Whether an answer has the case of its question, where that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct CaseKept(bool);

impl Query {
    /// Nothing of the client's own options goes along.
    fn new(id: u16, question: &Question, edns: bool, mixed: bool) -> Self {
        let qname = question.name.as_ref().as_wire();
        let qname_end = HEADER_LEN + qname.len();
        let mut packet = Vec::with_capacity(qname_end + 15);
        packet.extend(id.to_be_bytes());
        packet.extend([RD, if question.checking_disabled { AD | CD } else { AD }]);
        packet.extend([0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        packet.extend(qname);
        if mixed {
            for octets in packet.get_mut(HEADER_LEN..).unwrap_or_default().chunks_mut(64) {
                let coins: u64 = rand::random();
                // The lengths of labels are less than any letter.
                for (number, octet) in
                    octets.iter_mut().enumerate().filter(|(_, octet)| octet.is_ascii_alphabetic())
                {
                    if coins >> number & 1 == 1 {
                        *octet ^= LOWER;
                    }
                }
            }
        }
        packet.extend(question.qtype.to_be_bytes());
        packet.extend(question.qclass.to_be_bytes());
        if edns {
            // RFC 6891 section 6.1.2: the root, the type, the payload, and the flags where a TTL stands; no options.
            packet.push(0);
            packet.extend(qtype::OPT.to_be_bytes());
            packet.extend(UDP_PAYLOAD_MAX.to_be_bytes());
            packet.extend([0, 0, if question.dnssec_ok { DO } else { 0 }, 0]);
            packet.extend([0, 0]);
        }
        Self { packet, qname_end, mixed }
    }

    /// Whether a packet is an answer with this ID and this question (RFC 5452 section 9.1), and in its case.
    fn is_answered_by(&self, packet: &[u8]) -> Option<CaseKept> {
        let both = |from, to| Some((packet.get(from..to)?, self.packet.get(from..to)?));
        let is_same = |from, to| both(from, to).is_some_and(|(theirs, ours)| theirs == ours);
        let is_answer = is_same(0, 2)
            && packet.get(2).is_some_and(|flags| flags & QR != 0)
            && is_same(4, 6)
            // The lengths of labels are less than any letter.
            && both(HEADER_LEN, self.qname_end).is_some_and(|(theirs, ours)| theirs.eq_ignore_ascii_case(ours))
            // The octets of a type may be letters: HTTPS is `A`.
            && is_same(self.qname_end, self.qname_end + 4);
        is_answer.then(|| CaseKept(!self.mixed || is_same(HEADER_LEN, self.qname_end)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use tokio::net::UdpSocket as TokioSocket;
    use tokio::time::timeout;

    use super::super::message::request;
    use super::super::testkit::question;
    use super::*;
    use crate::name::DomainName;

    /// Longer than any answer of these tests takes, shorter than a person's patience with a test that fails.
    const SOON: Duration = Duration::from_secs(10);

    struct House {
        upstream: TokioSocket,
    }

    impl House {
        async fn new() -> Self {
            let upstream = TokioSocket::bind("127.0.0.1:0").await.unwrap();
            Self { upstream }
        }

        fn ask(&self, name: &str) -> tokio::task::JoinHandle<Result<Message, NetError>> {
            let (upstream, question) = (self.upstream.local_addr().unwrap(), question(name));
            tokio::spawn(async move {
                answer_of(Sockets::default().ask(upstream, &question, true, &[], true).await?)
            })
        }

        /// The next question that arrives, and from where.
        async fn next(&self) -> (Vec<u8>, SocketAddr) {
            let mut packet = vec![0; 1500];
            let (length, from) = timeout(SOON, self.upstream.recv_from(&mut packet))
                .await
                .expect("no question comes")
                .unwrap();
            packet.truncate(length);
            (packet, from)
        }

        /// Asks and answers; gives back the ID and the port.
        async fn exchange(&self, name: &str) -> (u16, u16) {
            let asked = self.ask(name);
            let (query, from) = self.next().await;
            self.upstream.send_to(&answer(&query), from).await.unwrap();
            let message = timeout(SOON, asked).await.unwrap().unwrap().unwrap();
            (message.metadata.id, from.port())
        }
    }

    fn answer_of(heard: Heard) -> Result<Message, NetError> {
        match heard {
            Heard::Answer(message) => Ok(message),
            Heard::OtherCase => panic!("only answers in another case"),
        }
    }

    /// NODATA, as it answers a question.
    fn answer(query: &[u8]) -> Vec<u8> {
        let query = Message::from_vec(query).unwrap();
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_queries(query.queries.iter().cloned());
        answer.to_vec().unwrap()
    }

    #[tokio::test]
    async fn a_forged_answer_ends_no_wait() {
        let house = House::new().await;
        let asked = house.ask("a.example");
        let (query, from) = house.next().await;
        let genuine = answer(&query);
        let forge = |at: usize, octet: u8| {
            let mut forged = genuine.clone();
            forged[2] |= 0x04;
            forged[at] = octet;
            forged
        };
        let other = TokioSocket::bind("127.0.0.1:0").await.unwrap();
        other.send_to(&forge(0, genuine[0]), from).await.unwrap();
        let qtype_end = HEADER_LEN + 11 + 2;
        for forged in [
            forge(0, genuine[0] ^ 1),
            forge(1, genuine[1] ^ 1),
            forge(2, 0),
            forge(5, 0),
            forge(5, 2),
            forge(HEADER_LEN + 1, b'b'),
            forge(HEADER_LEN + 1, genuine[HEADER_LEN + 1] ^ LOWER),
            forge(qtype_end - 1, 28),
            forge(qtype_end + 1, 3),
            genuine[..HEADER_LEN + 12].to_vec(),
            genuine[..1].to_vec(),
            Vec::new(),
        ] {
            house.upstream.send_to(&forged, from).await.unwrap();
        }
        house.upstream.send_to(&genuine, from).await.unwrap();
        let message = timeout(SOON, asked).await.unwrap().unwrap().unwrap();
        assert!(!message.metadata.authoritative, "it took a forged one");
        assert_eq!(message.queries[0].name().to_ascii(), "a.example.", "our random case is not passed on");
    }

    #[tokio::test]
    async fn an_upstream_that_changes_the_case_is_found_out_after_a_while() {
        let house = House::new().await;
        let upstream = house.upstream.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            Sockets::default().ask(upstream, &question("pixel.example"), true, &[], true).await
        });
        let (query, from) = house.next().await;
        let mut other = answer(&query);
        for octet in other[HEADER_LEN..HEADER_LEN + 14].iter_mut().filter(|octet| octet.is_ascii_alphabetic())
        {
            *octet ^= LOWER;
        }
        house.upstream.send_to(&other, from).await.unwrap();
        let begun = Instant::now();
        assert!(matches!(timeout(SOON, asked).await.unwrap().unwrap(), Ok(Heard::OtherCase)));
        assert!(CASE_PATIENCE / 2 <= begun.elapsed(), "a forged answer ends no wait at once");
    }

    #[test]
    fn each_letter_has_a_case_of_its_own() {
        let question = question(
            "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.example",
        );
        let names: HashSet<Vec<u8>> = (0..100)
            .map(|id| Query::new(id, &question, true, true))
            .map(|query| query.packet[HEADER_LEN..query.qname_end].to_vec())
            .collect();
        assert_eq!(names.len(), 100);
        for at in 0..question.name.as_ref().as_wire().len() {
            let octets: HashSet<u8> = names.iter().map(|name| name[at]).collect();
            let own = question.name.as_ref().as_wire()[at];
            assert_eq!(octets.len(), if own.is_ascii_alphabetic() { 2 } else { 1 });
        }
    }

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let house = House::new().await;
        let names: Vec<String> = (0..100).map(|number| format!("n{number}.example")).collect();
        let asking: Vec<_> = names.iter().map(|name| house.ask(name)).collect();
        let mut queries = Vec::new();
        for _ in &names {
            queries.push(house.next().await);
        }
        for (query, from) in queries.iter().rev() {
            house.upstream.send_to(&answer(query), from).await.unwrap();
        }
        for (name, asked) in names.iter().zip(asking) {
            let message = timeout(SOON, asked).await.unwrap().unwrap().unwrap();
            assert_eq!(message.queries[0].name().to_ascii(), format!("{name}."));
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_told_at_once() {
        let House { upstream } = House::new().await;
        let address = upstream.local_addr().unwrap();
        drop(upstream);
        let asked =
            timeout(SOON, Sockets::default().ask(address, &question("a.example"), true, &[SOON], true))
                .await
                .unwrap();
        assert!(
            matches!(&asked, Err(NetError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_lost_packet_is_sent_again_with_its_id_from_its_port() {
        let house = House::new().await;
        let upstream = house.upstream.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            Sockets::default()
                .ask(upstream, &question("a.example"), true, &[Duration::from_millis(10)], true)
                .await
        });
        let first = house.next().await;
        let second = house.next().await;
        assert_eq!(first, second);
        house.upstream.send_to(&answer(&second.0), second.1).await.unwrap();
        timeout(SOON, asked).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_slow_answer_is_waited_for_on_the_socket_that_asked_again() {
        let house = House::new().await;
        let upstream = house.upstream.local_addr().unwrap();
        let resends = [Duration::from_millis(10), Duration::from_millis(30)];
        let asked = tokio::spawn(async move {
            Sockets::default().ask(upstream, &question("a.example"), true, &resends, true).await
        });
        let first = house.next().await;
        assert_eq!((&first, &first), (&house.next().await, &house.next().await));
        house.upstream.send_to(&answer(&first.0), first.1).await.unwrap();
        timeout(SOON, asked).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn many_at_once_are_all_answered() {
        let house = House::new().await;
        let (mut asking, mut queries, mut on_their_way) = (Vec::new(), Vec::new(), HashSet::new());
        for number in 0..400 {
            asking.push(house.ask(&format!("n{number}.example")));
            let (query, from) = house.next().await;
            assert!(on_their_way.insert(from.port()), "two questions on one port");
            queries.push((query, from));
        }
        for (query, from) in &queries {
            house.upstream.send_to(&answer(query), from).await.unwrap();
        }
        for asked in asking {
            timeout(SOON, asked).await.unwrap().unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn each_question_has_a_port_and_an_id_of_its_own() {
        let house = House::new().await;
        let (mut ids, mut ports, mut steps) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut last = 0;
        for _ in 0..1_000 {
            let (id, port) = house.exchange("a.example").await;
            ids.insert(id);
            ports.insert(port);
            steps.insert(port.wrapping_sub(last));
            last = port;
        }
        assert!(900 < ids.len(), "a thousand of 65,536 meet eight times");
        // The kernel may give a port that is free again a second time.
        assert!(900 < ports.len() && 900 < steps.len(), "{} ports, {} steps", ports.len(), steps.len());
    }

    #[tokio::test]
    async fn who_gives_up_frees_the_port() {
        let house = House::new().await;
        let asked = house.ask("a.example");
        let (_, address) = house.next().await;
        assert!(UdpSocket::bind(address).is_err(), "it is still waited for");
        asked.abort();
        for _ in 0..1_000 {
            if UdpSocket::bind(address).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it stays open");
    }

    #[tokio::test]
    async fn what_can_not_be_read_is_told() {
        let house = House::new().await;
        let asked = house.ask("a.example");
        let (query, from) = house.next().await;
        let mut cut = answer(&query);
        cut[7] = 1;
        house.upstream.send_to(&cut, from).await.unwrap();
        assert!(matches!(timeout(SOON, asked).await.unwrap().unwrap(), Err(NetError::Proto(_))));
    }

    #[test]
    fn an_answer_is_told_by_its_type_octet_for_octet() {
        let of = |qtype| Query::new(1, &Question { qtype, ..question("a.example") }, false, false);
        let mut packet = of(65).packet;
        packet[2] |= QR;
        assert_eq!(of(65).is_answered_by(&packet), Some(CaseKept(true)));
        assert_eq!(of(97).is_answered_by(&packet), None, "`a` is not `A`");
    }

    proptest! {
        /// A question reads as the one that hickory writes.
        #[test]
        fn questions_are_written_as_hickory_does(
            labels in proptest::collection::vec("[a-z0-9_-]{1,20}", 0..6),
            id: u16, qtype in 1_u16..300, qclass in prop_oneof![Just(1_u16), Just(3), Just(255)],
            dnssec_ok: bool, checking_disabled: bool, edns: bool,
        ) {
            prop_assume!(qtype != qtype::OPT);
            let name = if labels.is_empty() { DomainName::root() } else { DomainName::parse(&labels.join(".")).unwrap() };
            let question = Question { name, qtype, qclass, dnssec_ok, checking_disabled, ..question("a.example") };
            let mut theirs = request(&question, edns, false).unwrap().into_parts().0;
            theirs.metadata.id = id;
            prop_assert_eq!(Query::new(id, &question, edns, false).packet, theirs.to_vec().unwrap());
        }

        #[test]
        fn no_packet_makes_it_panic(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            let query = Query::new(0, &question("a.example"), true, true);
            let is_it = packet.len() >= query.qname_end + 4
                && packet[..2] == [0, 0] && packet[2] & QR != 0 && packet[4..6] == [0, 1]
                && packet[HEADER_LEN..query.qname_end].eq_ignore_ascii_case(b"\x01a\x07example\x00")
                && packet[query.qname_end..query.qname_end + 4] == [0, 1, 0, 1];
            prop_assert_eq!(query.is_answered_by(&packet).is_some(), is_it);
        }
    }
}
