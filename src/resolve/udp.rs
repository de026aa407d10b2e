//! Questions to one upstream over UDP.
//!
//! It knows how a question goes out and which packet answers it. It never knows what the answer says, how long somebody waits
//! for it, or who is asked next.
//!
//! Who forges an answer has to guess the ID and the port of the question (RFC 5452 section 9.2). Both are random, and though a
//! socket asks more than one question, its port is not to be found out: several are in use at once, as that section wants, and
//! chance picks one for each question; none is in use for long. A socket takes packets of the upstream's address and port only
//! (section 4.4), and ID and question must be those of a question that is on its way on that very port (sections 4.2 to 4.5).
//! Whatever else comes is passed over: a forged packet ends nobody's wait.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_net::NetError;
use hickory_proto::op::Message;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Question;
use crate::wire::{HEADER_LEN, UDP_PAYLOAD_MAX, qtype};

/// Among so many ports chance picks. More would cost a household sockets that hardly ask.
const PORTS_IN_USE: usize = 8;
/// So many questions a port asks: enough that making it costs little for each of them, and few for whoever searches for it.
const QUESTIONS_MAX: u32 = 64;
/// So many questions may be on their way on one port: as many chances a forged packet has to hit one of their IDs.
const ON_THEIR_WAY_MAX: usize = 32;
/// So long a port is in use. Finding an open port by its side effects takes an attacker seconds to minutes (Man et al., "DNS
/// Cache Poisoning Attack Reloaded", 2020).
const IN_USE_MAX: Duration = Duration::from_secs(10);
/// So many packets are read before others get their turn.
const READS_AT_ONCE: usize = 64;

/// RD and AD, in the third and the fourth octet: recursion is wanted, and so is a word on authenticity (RFC 6840 section 5.7).
const RD: u8 = 0x01;
const AD: u8 = 0x20;
/// The client checks DNSSEC itself.
const CD: u8 = 0x10;
/// Marks an answer.
const QR: u8 = 0x80;
/// DNSSEC records are wanted (RFC 3225).
const DO: u8 = 0x80;

/// The ports from which one upstream is asked.
pub(super) struct Ports {
    upstream: SocketAddr,
    in_use: Mutex<[Option<Arc<Port>>; PORTS_IN_USE]>,
}

/// A port of ours. It lives until it is not in use any more and its last question has ended; its reader ends with it.
struct Port {
    shared: Arc<Shared>,
    reader: AbortHandle,
    opened: Instant,
}

/// What a port and its reader share.
struct Shared {
    /// It is watched for packets and errors only: to be told of each packet that has left would cost as much as to send one.
    socket: AsyncFd<UdpSocket>,
    questions: Mutex<Questions>,
}

/// The questions of one port.
#[derive(Default)]
struct Questions {
    /// How many were asked; at `QUESTIONS_MAX` it asks no more.
    asked: u32,
    waiters: Vec<Waiter>,
}

/// Somebody who waits for an answer.
struct Waiter {
    query: Arc<Query>,
    answer: oneshot::Sender<Result<Vec<u8>, NetError>>,
}

/// A question on its way. Its ID is free again when this is dropped.
struct OnItsWay {
    port: Arc<Port>,
    query: Arc<Query>,
    answer: oneshot::Receiver<Result<Vec<u8>, NetError>>,
}

/// A question as it is sent.
struct Query {
    packet: Vec<u8>,
    /// Where the QNAME ends.
    qname_end: usize,
}

impl Ports {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self { upstream, in_use: Mutex::default() }
    }

    /// Asks, and once more if a time to resend is given and no answer has come by then. It waits as long as it is let.
    ///
    /// # Errors
    /// When the question can't be sent, the upstream's port is closed, or the answer can't be read.
    pub(super) async fn ask(
        &self,
        question: &Question,
        edns: bool,
        resend_after: Option<Duration>,
        now: Instant,
    ) -> Result<Message, NetError> {
        let mut asked = self.take(question, edns, now)?;
        asked.send();
        if let Some(pause) = resend_after {
            if let Ok(answer) = timeout(pause, &mut asked.answer).await {
                return read_answer(answer);
            }
            // From the same port and with the same ID: two questions would be two chances for a forged answer (RFC 5452
            // section 5).
            asked.send();
        }
        read_answer((&mut asked.answer).await)
    }

    /// Gives a question an ID and a port.
    fn take(&self, question: &Question, edns: bool, now: Instant) -> io::Result<OnItsWay> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = in_use.iter_mut().skip(rand::random_range(0..PORTS_IN_USE));
        let Some(slot) = slots.next() else { return Err(io::ErrorKind::NotFound.into()) };
        if let Some(port) = slot
            && let Some(asked) = port.take(question, edns, now)
        {
            return Ok(asked);
        }
        let port = Arc::new(Port::open(self.upstream, now)?);
        let asked = port.take(question, edns, now);
        *slot = Some(port);
        asked.ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }
}

fn read_answer(
    answer: Result<Result<Vec<u8>, NetError>, oneshot::error::RecvError>,
) -> Result<Message, NetError> {
    let packet = answer.map_err(|_| NetError::Message("the socket was closed"))??;
    Ok(Message::from_vec(&packet)?)
}

impl Port {
    fn open(upstream: SocketAddr, now: Instant) -> io::Result<Self> {
        // The kernel picks an ephemeral port at random, one of 28,232 as Linux comes. Others, down to 1024, would be a bit more to
        // guess; but a port is held while nobody asks, and one of those may be a service's that starts later.
        let any = match upstream {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        // Connected: the kernel drops what others send, and tells when the upstream's port is closed.
        socket.connect(upstream)?;
        socket.set_nonblocking(true)?;
        #[expect(
            deprecated,
            reason = "types that change their descriptor are what it warns of; this socket keeps its own"
        )]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE | Interest::ERROR)?;
        let shared = Arc::new(Shared { socket, questions: Mutex::default() });
        let reader = tokio::spawn(read(Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, reader, opened: now })
    }

    /// `None`: it has asked enough, or has enough questions on their way.
    fn take(self: &Arc<Self>, question: &Question, edns: bool, now: Instant) -> Option<OnItsWay> {
        let mut questions = self.shared.questions();
        let is_in_use = questions.asked < QUESTIONS_MAX
            && questions.waiters.len() < ON_THEIR_WAY_MAX
            && now.saturating_duration_since(self.opened) < IN_USE_MAX;
        if !is_in_use {
            return None;
        }
        let is_free = |id: &u16| !questions.waiters.iter().any(|waiter| waiter.query.has_id(*id));
        // Of 65,536 at most 32 are taken.
        let id = std::iter::repeat_with(rand::random).find(is_free)?;
        let query = Arc::new(Query::new(id, question, edns));
        let (sender, answer) = oneshot::channel();
        questions.asked += 1;
        questions.waiters.push(Waiter { query: Arc::clone(&query), answer: sender });
        Some(OnItsWay { port: Arc::clone(self), query, answer })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl OnItsWay {
    fn send(&self) {
        let shared = &self.port.shared;
        match shared.socket.get_ref().send(&self.query.packet) {
            Ok(_) => {}
            // A full buffer loses a packet as the network may; it is sent again.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => shared.fail(error),
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut questions = self.port.shared.questions();
        let mine = |waiter: &Waiter| Arc::ptr_eq(&waiter.query, &self.query);
        if let Some(index) = questions.waiters.iter().position(mine) {
            questions.waiters.swap_remove(index);
            // Without an answer: our address may have changed, or a router has forgotten the way back.
            questions.asked = QUESTIONS_MAX;
        }
    }
}

/// Reads what comes on a port, until an error or the end of the port.
async fn read(shared: Arc<Shared>) {
    while let Ok(ready) = shared.socket.ready(Interest::READABLE | Interest::ERROR).await {
        if let Err(error) = shared.read_ready(ready) {
            shared.fail(error);
            return;
        }
    }
}

impl Shared {
    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_ready(&self, mut ready: AsyncFdReadyGuard<'_, UdpSocket>) -> io::Result<()> {
        // A longer packet is cut here, found to be unreadable, and asked for over TCP.
        let mut packet = [0; UDP_PAYLOAD_MAX as usize];
        for _ in 0..READS_AT_ONCE {
            match ready.try_io(|socket| socket.get_ref().recv(&mut packet)) {
                Ok(Ok(length)) => self.deliver(packet.get(..length).unwrap_or_default()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_nothing_left) => break,
            }
        }
        Ok(())
    }

    /// Gives an answer to whoever waits for it.
    fn deliver(&self, packet: &[u8]) {
        let mut questions = self.questions();
        let asked = |waiter: &Waiter| waiter.query.is_answered_by(packet);
        let Some(index) = questions.waiters.iter().position(asked) else { return };
        let waiter = questions.waiters.swap_remove(index);
        drop(questions);
        // Who has just given up is not there to take it.
        drop(waiter.answer.send(Ok(packet.to_vec())));
    }

    /// Tells an error to all who wait, and takes the port out of use. ICMP says so of the upstream's port, not of one question
    /// (RFC 1122 section 4.1.3.3).
    fn fail(&self, error: io::Error) {
        let mut questions = self.questions();
        questions.asked = QUESTIONS_MAX;
        let waiters = std::mem::take(&mut questions.waiters);
        drop(questions);
        let error = NetError::from(error);
        for waiter in waiters {
            drop(waiter.answer.send(Err(error.clone())));
        }
    }
}

impl Query {
    /// Nothing of the client's own options goes along.
    fn new(id: u16, question: &Question, edns: bool) -> Self {
        let qname = question.name.as_ref().as_wire();
        let qname_end = HEADER_LEN + qname.len();
        let mut packet = Vec::with_capacity(qname_end + 15);
        packet.extend(id.to_be_bytes());
        packet.extend([RD, if question.checking_disabled { AD | CD } else { AD }]);
        packet.extend([0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        packet.extend(qname);
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
        Self { packet, qname_end }
    }

    fn has_id(&self, id: u16) -> bool {
        self.packet.starts_with(&id.to_be_bytes())
    }

    /// Whether a packet is an answer with this ID and this question, in whatever case (RFC 5452 section 9.1).
    fn is_answered_by(&self, packet: &[u8]) -> bool {
        let both = |from, to| Some((packet.get(from..to)?, self.packet.get(from..to)?));
        let is_same = |from, to| both(from, to).is_some_and(|(theirs, ours)| theirs == ours);
        is_same(0, 2)
            && packet.get(2).is_some_and(|flags| flags & QR != 0)
            && is_same(4, 6)
            // The lengths of labels are less than any letter.
            && both(HEADER_LEN, self.qname_end).is_some_and(|(theirs, ours)| theirs.eq_ignore_ascii_case(ours))
            // The octets of a type may be letters: HTTPS is `A`.
            && is_same(self.qname_end, self.qname_end + 4)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use tokio::net::UdpSocket as TokioSocket;

    use super::super::testkit::question;
    use super::super::upstream::request;
    use super::*;
    use crate::name::DomainName;

    /// Longer than any answer of these tests takes, shorter than a person's patience with a test that fails.
    const SOON: Duration = Duration::from_secs(10);

    struct House {
        upstream: TokioSocket,
        ports: Arc<Ports>,
        now: Instant,
    }

    impl House {
        async fn new() -> Self {
            let upstream = TokioSocket::bind("127.0.0.1:0").await.unwrap();
            let ports = Arc::new(Ports::new(upstream.local_addr().unwrap()));
            Self { upstream, ports, now: Instant::now() }
        }

        fn ask(&self, name: &str) -> tokio::task::JoinHandle<Result<Message, NetError>> {
            let (ports, question, now) = (Arc::clone(&self.ports), question(name), self.now);
            tokio::spawn(async move { ports.ask(&question, true, None, now).await })
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
            forge(qtype_end - 1, 28),
            forge(qtype_end + 1, 3),
            genuine[..HEADER_LEN + 12].to_vec(),
            genuine[..1].to_vec(),
            Vec::new(),
        ] {
            house.upstream.send_to(&forged, from).await.unwrap();
        }
        let mut in_other_case = genuine.clone();
        in_other_case[HEADER_LEN + 1] = b'A';
        house.upstream.send_to(&in_other_case, from).await.unwrap();
        let message = timeout(SOON, asked).await.unwrap().unwrap().unwrap();
        assert!(!message.metadata.authoritative, "it took a forged one");
        assert_eq!(message.queries[0].name().to_ascii(), "A.example.");
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
        let House { upstream, ports, now } = House::new().await;
        drop(upstream);
        let asked = timeout(SOON, ports.ask(&question("a.example"), true, Some(SOON), now)).await.unwrap();
        assert!(
            matches!(&asked, Err(NetError::Io(error)) if error.kind() == io::ErrorKind::ConnectionRefused),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_lost_packet_is_sent_again_with_its_id_from_its_port() {
        let house = House::new().await;
        let (ports, now) = (Arc::clone(&house.ports), house.now);
        let asked = tokio::spawn(async move {
            ports.ask(&question("a.example"), true, Some(Duration::from_millis(10)), now).await
        });
        let first = house.next().await;
        let second = house.next().await;
        assert_eq!(first, second);
        house.upstream.send_to(&answer(&second.0), second.1).await.unwrap();
        timeout(SOON, asked).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_thousand_at_once_need_few_sockets() {
        let house = House::new().await;
        let (mut asking, mut queries, mut on_their_way) = (Vec::new(), Vec::new(), HashSet::new());
        for number in 0..1_000 {
            asking.push(house.ask(&format!("n{number}.example")));
            let (query, from) = house.next().await;
            let id = u16::from_be_bytes([query[0], query[1]]);
            assert!(on_their_way.insert((from.port(), id)), "an ID twice on one port");
            queries.push((query, from));
        }
        for (query, from) in &queries {
            house.upstream.send_to(&answer(query), from).await.unwrap();
            tokio::task::yield_now().await;
        }
        for asked in asking {
            timeout(SOON, asked).await.unwrap().unwrap().unwrap();
        }
        let ports: HashSet<u16> = queries.iter().map(|(_, from)| from.port()).collect();
        assert!(ports.len() <= 1_000 / ON_THEIR_WAY_MAX + PORTS_IN_USE, "{} ports", ports.len());
    }

    #[tokio::test]
    async fn ports_change_with_questions_and_with_time() {
        let mut house = House::new().await;
        let mut asked = std::collections::HashMap::<u16, u32>::new();
        let mut ids = HashSet::new();
        for _ in 0..1_000 {
            let (id, port) = house.exchange("a.example").await;
            *asked.entry(port).or_default() += 1;
            ids.insert(id);
        }
        // The kernel may give a port a second time.
        assert!(asked.values().all(|&times| times <= 2 * QUESTIONS_MAX), "{asked:?}");
        assert!(1_000 / 64 <= asked.len() && asked.len() <= 1_000 / 64 + 2 * PORTS_IN_USE, "{asked:?}");
        assert!(900 < ids.len(), "a thousand of 65,536 meet eight times");
        let before = house.exchange_until_all_are_in_use().await;
        house.now += IN_USE_MAX;
        let after = house.exchange_until_all_are_in_use().await;
        assert!(before.intersection(&after).count() < PORTS_IN_USE / 2, "{before:?} {after:?}");
    }

    impl House {
        /// The ports that chance picks from.
        async fn exchange_until_all_are_in_use(&self) -> HashSet<u16> {
            let mut ports = HashSet::new();
            for _ in 0..20 * PORTS_IN_USE {
                ports.insert(self.exchange("a.example").await.1);
                if ports.len() == PORTS_IN_USE {
                    return ports;
                }
            }
            panic!("only {ports:?} are in use");
        }
    }

    #[tokio::test]
    async fn who_gives_up_frees_the_place_and_the_port() {
        let house = House::new().await;
        let asked = house.ports.take(&question("a.example"), true, house.now).unwrap();
        let port = Arc::clone(&asked.port);
        let late = answer(&asked.query.packet);
        assert_eq!(port.shared.questions().waiters.len(), 1);
        drop(asked);
        assert!(port.shared.questions().waiters.is_empty());
        assert!(port.take(&question("a.example"), true, house.now).is_none(), "silence may be the port's");
        port.shared.deliver(&late);
        house.exchange("b.example").await;
    }

    #[tokio::test]
    async fn a_port_is_closed_when_its_last_question_has_ended() {
        let house = House::new().await;
        let asked = house.ports.take(&question("a.example"), true, house.now).unwrap();
        let address = asked.port.shared.socket.get_ref().local_addr().unwrap();
        *house.ports.in_use.lock().unwrap() = Default::default();
        assert!(UdpSocket::bind(address).is_err(), "it is still waited for");
        drop(asked);
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
        let of = |qtype| Query::new(1, &Question { qtype, ..question("a.example") }, false);
        let mut packet = of(65).packet;
        packet[2] |= QR;
        assert!(of(65).is_answered_by(&packet));
        assert!(!of(97).is_answered_by(&packet), "`a` is not `A`");
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
            let question = Question { name, qtype, qclass, dnssec_ok, checking_disabled };
            let mut theirs = request(&question, edns).unwrap().into_parts().0;
            theirs.metadata.id = id;
            prop_assert_eq!(Query::new(id, &question, edns).packet, theirs.to_vec().unwrap());
        }

        #[test]
        fn no_packet_makes_it_panic(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            let query = Query::new(0, &question("a.example"), true);
            let is_it = packet.len() >= query.qname_end + 4
                && packet[..2] == [0, 0] && packet[2] & QR != 0 && packet[4..6] == [0, 1]
                && packet[HEADER_LEN..query.qname_end].eq_ignore_ascii_case(b"\x01a\x07example\x00")
                && packet[query.qname_end..query.qname_end + 4] == [0, 1, 0, 1];
            prop_assert_eq!(query.is_answered_by(&packet), is_it);
        }
    }
}
