//! UDP: threads that take packets, have them answered, and send the answers.
//!
//! Each thread has a socket, buffers and a ring for events of its own, and makes no other system call than those two while
//! everything can be answered from memory. What has to wait for an upstream is handed to the asynchronous side, which answers
//! through the same socket. What is answered is decided by [`Responder`] alone.

#[cfg(target_os = "linux")]
mod batch;
mod plain;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::runtime::Handle;
use tracing::{debug, error, warn};

use super::responder::{AtOnce, InFlight, Responder, Transport};
use crate::task;

/// Buffers for packets and their answers, and the calls that fill and empty them.
trait Packets: Sized + 'static {
    /// Whom an answer goes to.
    type Peer: Peer;

    fn new() -> Self;

    /// Waits for a packet and takes those that are there; how many. None: the socket was shut down.
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize>;

    /// The packets of the last [`Packets::receive`], with empty answers.
    fn received(&mut self, count: usize) -> impl Iterator<Item = Received<'_, Self::Peer>>;

    /// Sends the answers of the first `count` packets that are not empty. How many could not be sent: one that can't be
    /// does not hold up the rest.
    fn send(&mut self, socket: &UdpSocket, count: usize) -> usize;

    /// Sends one answer, without waiting for room.
    fn send_one(socket: &UdpSocket, answer: &mut [u8], peer: &Self::Peer) -> io::Result<()>;
}

/// Whom an answer goes to, and from which of our addresses.
trait Peer: Copy + Send + Sync + 'static {
    /// `None`: the kernel gave no address that we know.
    fn address(&self) -> Option<SocketAddr>;
}

/// A packet that came in, and where its answer is to be written; one that stays empty is not sent.
struct Received<'a, P> {
    packet: &'a [u8],
    peer: &'a P,
    answer: &'a mut Vec<u8>,
}

/// A packet that waits for an upstream.
struct Waiting<P> {
    packet: Box<[u8]>,
    peer: P,
    client: SocketAddr,
    in_flight: InFlight,
}

/// So much may wait in a socket while a thread gets no turn: a burst of some thousand questions. The kernel gives what its
/// own limit allows (`net.core.rmem_max`).
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// After an error of the socket itself, a thread waits so long before it tries again.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Where a thread that waits can't be woken, it looks up so often whether it should end.
#[cfg(not(target_os = "linux"))]
const WAIT_MAX: Duration = Duration::from_millis(500);

const MISTAKE: &str =
    "a packet could not be answered because of a mistake in pixelsink; please report the panic";

/// More threads at one address bring nothing in a home, and each takes buffers.
const THREADS_USUAL_MAX: usize = 4;

/// So long is tried to wake threads whose socket is another's.
const WAKE_MAX: Duration = Duration::from_secs(1);
const WAKE_PAUSE: Duration = Duration::from_millis(10);

/// The sockets of one address, one for each thread.
pub(super) struct Udp {
    sockets: Vec<UdpSocket>,
    /// Whether another process has them too, and goes on with them after us.
    is_lent: bool,
}

/// Threads that answer; they end when this is stopped.
pub(super) struct Serving {
    sockets: Vec<Arc<UdpSocket>>,
    is_lent: bool,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Udp {
    /// Binds so many sockets to an address; 0: one for each core.
    pub(super) fn bind(address: SocketAddr, threads: u32) -> io::Result<Self> {
        let threads = threads_of(threads);
        let own = |sockets| Self { sockets, is_lent: false };
        // Sockets that share an address share it with any other program of the same user that asks for it. One that does
        // not share finds out whether somebody is there already.
        let alone = bound(address, false)?;
        let address = alone.local_addr()?;
        if threads < 2 || cfg!(not(target_os = "linux")) {
            return Ok(own(vec![alone]));
        }
        drop(alone);
        (0..threads).map(|_| bound(address, true)).collect::<io::Result<_>>().map(own)
    }

    /// Takes a socket that another process has opened and keeps. Its threads share it: sockets beside it would have to be of
    /// the same user.
    pub(super) fn adopt(socket: &UdpSocket, threads: u32) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        prepare(&SockRef::from(socket), socket.local_addr()?)?;
        let sockets = (0..threads_of(threads)).map(|_| socket.try_clone()).collect::<io::Result<_>>()?;
        Ok(Self { sockets, is_lent: true })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.sockets.first().ok_or(io::ErrorKind::NotFound)?.local_addr()
    }

    /// Begins to answer.
    pub(super) fn serve(self, responder: &Arc<Responder>) -> io::Result<Serving> {
        let Self { sockets, is_lent } = self;
        let mut serving = Serving { sockets: Vec::new(), is_lent, threads: Vec::new(), stop: Arc::default() };
        for socket in sockets {
            let socket = Arc::new(socket);
            let thread = Thread {
                socket: Arc::clone(&socket),
                responder: Arc::clone(responder),
                runtime: responder.runtime().clone(),
                stop: Arc::clone(&serving.stop),
            };
            serving.sockets.push(socket);
            serving.threads.push(thread::Builder::new().name("udp".to_owned()).spawn(move || thread.run())?);
        }
        Ok(serving)
    }
}

impl Serving {
    /// Ends the threads, and waits until they have.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.is_lent {
            // Shut down, it would be so for the next process too.
            self.wake();
        } else {
            for socket in &self.sockets {
                // Wakes who waits for packets, also when it says that nobody is connected.
                let _ = SockRef::from(&**socket).shutdown(std::net::Shutdown::Both);
            }
        }
        for thread in self.threads {
            if self.is_lent && !thread.is_finished() {
                continue;
            }
            if thread.join().is_err() {
                error!("a thread that answers over UDP had ended by a panic");
            }
        }
    }

    /// Wakes threads with packets of our own that say nothing.
    fn wake(&self) {
        let begun = Instant::now();
        while begun.elapsed() < WAKE_MAX && !self.threads.iter().all(JoinHandle::is_finished) {
            for socket in &self.sockets {
                if let Ok(address) = socket.local_addr() {
                    let _ = socket.send_to(&[], reachable(address));
                }
            }
            thread::sleep(WAKE_PAUSE);
        }
    }
}

/// How many threads are meant.
fn threads_of(threads: u32) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, usize::from).min(THREADS_USUAL_MAX),
        threads => usize::try_from(threads).unwrap_or(1),
    }
}

/// Where this machine itself reaches what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

struct Thread {
    socket: Arc<UdpSocket>,
    responder: Arc<Responder>,
    runtime: Handle,
    stop: Arc<AtomicBool>,
}

impl Thread {
    fn run(self) {
        #[cfg(target_os = "linux")]
        match self.answer::<batch::Batch>() {
            Ok(()) => return,
            Err(error) => {
                warn!(%error, "this system has no calls for many packets; taking one after the other");
            }
        }
        let _ = self.answer::<plain::Plain>();
    }

    /// Answers until it is stopped.
    ///
    /// # Errors
    /// When the system does not have the calls.
    fn answer<P: Packets>(&self) -> io::Result<()> {
        const ENOSYS: i32 = 38;
        let mut packets = P::new();
        let mut events = self.responder.event_writer();
        let mut waiting = Vec::new();
        loop {
            let count = match packets.receive(&self.socket) {
                Ok(count) => count,
                Err(error) if error.raw_os_error() == Some(ENOSYS) => return Err(error),
                Err(error) => {
                    self.take_note(&error);
                    0
                }
            };
            let answered = catch_unwind(AssertUnwindSafe(|| {
                let moment = self.responder.moment();
                for Received { packet, peer, answer } in packets.received(count) {
                    let Some(client) = peer.address() else { continue };
                    let at_once = self.responder.answer_at_once(
                        &moment,
                        packet,
                        client.ip(),
                        Transport::Udp,
                        answer,
                        &mut *events,
                    );
                    if let AtOnce::Later(in_flight) = at_once {
                        waiting.push(Waiting { packet: packet.into(), peer: *peer, client, in_flight });
                    }
                }
            }));
            if answered.is_err() {
                // The panic itself is in the log. Whoever asked asks again; the others must not wait for that.
                error!("{MISTAKE}");
            }
            let failed = packets.send(&self.socket, count);
            if 0 < failed {
                self.responder.unsent(failed);
            }
            if !waiting.is_empty() {
                self.hand_over::<P>(std::mem::take(&mut waiting));
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// Has packets answered that must wait. One that came alone is begun with right here, so that its question to an upstream
    /// leaves before another thread wakes; many would hold up those that come next, and are handed over with one wake-up.
    fn hand_over<P: Packets>(&self, waiting: Vec<Waiting<P::Peer>>) {
        let (socket, responder) = (Arc::clone(&self.socket), Arc::clone(&self.responder));
        let mut tasks = waiting
            .into_iter()
            .map(move |waiting| answer_later::<P>(Arc::clone(&socket), Arc::clone(&responder), waiting));
        if tasks.len() == 1
            && let Some(task) = tasks.next()
        {
            if catch_unwind(AssertUnwindSafe(|| task::begin(&self.runtime, task))).is_err() {
                error!("{MISTAKE}");
            }
        } else {
            self.runtime.spawn(async move { tasks.for_each(|task| drop(tokio::spawn(task))) });
        }
    }

    fn take_note(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {}
            _ if self.stop.load(Ordering::Relaxed) => {}
            _ => {
                debug!(%error, "no packet could be taken");
                thread::sleep(ERROR_PAUSE);
            }
        }
    }
}

/// Answers a packet when an upstream has been asked.
async fn answer_later<P: Packets>(
    socket: Arc<UdpSocket>,
    responder: Arc<Responder>,
    waiting: Waiting<P::Peer>,
) {
    let Waiting { packet, peer, client, in_flight } = waiting;
    let answer = responder.answer_later(&packet, client.ip(), Transport::Udp).await;
    if let Some(mut answer) = answer
        && let Err(error) = P::send_one(&socket, &mut answer, &peer)
    {
        debug!(%error, %client, "an answer could not be sent");
        responder.unsent(1);
    }
    drop(in_flight);
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are both listened on; neither takes the other's place.
        socket.set_only_v6(true)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(shared)?;
    prepare(&SockRef::from(&socket), address)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Gives a socket what the threads count on.
fn prepare(socket: &SockRef<'_>, address: SocketAddr) -> io::Result<()> {
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    #[cfg(target_os = "linux")]
    batch::tell_destination(&**socket, address)?;
    #[cfg(not(target_os = "linux"))]
    socket.set_read_timeout(Some(WAIT_MAX))?;
    Ok(())
}
