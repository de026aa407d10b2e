//! One address that is listened on, over UDP and TCP.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::handler::Handler;
use super::holder;
use super::responder::Responder;
use super::tcp;

/// Connections that may wait to be accepted.
const TCP_BACKLOG: i32 = 128;

/// How many ports are tried when the system may choose one.
const PORT_ATTEMPTS_MAX: u32 = 20;
/// After a socket died it is bound again, with this pause between attempts.
const REBIND_PAUSE: Duration = Duration::from_secs(1);

/// Both sockets of an address, each with a server of its own, so that the end of one does not hide behind the other.
pub struct Listener {
    address: SocketAddr,
    responder: Arc<Responder>,
    udp: Server<Handler>,
    tcp: TcpListener,
}

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address} ({transport}): {reason}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Which of its sockets.
    pub transport: &'static str,
    /// What the system said, who holds the port, and what to do.
    pub reason: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Listener {
    /// Binds both sockets and begins to answer.
    ///
    /// # Errors
    /// When one of them can't be bound, with what to do.
    pub fn bind(address: SocketAddr, responder: Arc<Responder>) -> Result<Self, BindError> {
        let error = |transport| move |source| BindError::new(address, transport, source);
        // With port 0 the system chooses one for UDP, which may be taken for TCP.
        let mut attempts = if address.port() == 0 { PORT_ATTEMPTS_MAX } else { 1 };
        loop {
            let socket = udp_socket(address).map_err(error("udp"))?;
            let bound = socket.local_addr().map_err(error("udp"))?;
            attempts -= 1;
            match tcp_listener(bound) {
                Ok(tcp) => {
                    let udp = udp_server(socket, &responder);
                    return Ok(Self { address: bound, udp, tcp, responder });
                }
                Err(refused) if attempts == 0 => return Err(error("tcp")(refused)),
                Err(_) => {}
            }
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `cancel`, then closes both sockets. Queries in flight over UDP are lost then, wait for
    /// [`Responder::in_flight`] first; over TCP they have a moment to end. A UDP socket whose server ends by itself is bound again.
    pub async fn serve(self, cancel: CancellationToken) {
        let Self { address, responder, udp, tcp } = self;
        let bind_udp = || Ok(udp_server(udp_socket(address)?, &responder));
        tokio::join!(
            keep_serving(udp, "udp", address, bind_udp, &cancel),
            tcp::serve(tcp, Arc::clone(&responder), cancel.clone()),
        );
    }
}

async fn keep_serving(
    mut server: Server<Handler>,
    transport: &str,
    address: SocketAddr,
    bind: impl Fn() -> io::Result<Server<Handler>>,
    cancel: &CancellationToken,
) {
    loop {
        let ended = tokio::select! {
            () = cancel.cancelled() => {
                let _ = server.shutdown_gracefully().await;
                return;
            }
            ended = server.block_until_done() => ended,
        };
        warn!(%address, transport, reason = ?ended.err(), "a listener ended by itself; binding it again");
        drop(server);
        server = loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(REBIND_PAUSE) => {}
            }
            match bind() {
                Ok(server) => break server,
                Err(error) => warn!(%address, transport, %error, "it can't be bound yet"),
            }
        };
    }
}

fn udp_server(socket: UdpSocket, responder: &Arc<Responder>) -> Server<Handler> {
    let mut server = Server::new(Handler(Arc::clone(responder)));
    server.register_socket(socket);
    server
}

impl BindError {
    fn new(address: SocketAddr, transport: &'static str, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: run it by its systemd unit or as root, or choose a port \
                 above 1023"
                    .to_owned()
            }
            io::ErrorKind::AddrInUse => match holder::of(address.port(), transport) {
                Some(holder) => format!("{holder} has it; free the port, or choose another"),
                None => "another program has it; `ss -lnup` and `ss -lntp` tell which (on port 53 it is often \
                         systemd-resolved: set DNSStubListener=no in /etc/systemd/resolved.conf)"
                    .to_owned(),
            },
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => "check the address".to_owned(),
        };
        Self { address, transport, reason: format!("{source}; {advice}"), source }
    }
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    #[cfg(target_os = "linux")]
    socket.attach_filter(&no_responses())?;
    UdpSocket::from_std(StdUdpSocket::from(bound(socket, address)?))
}

/// Lets the kernel drop packets whose QR bit says that they are responses: hickory-server answers those that it can't read,
/// and two servers that answer each other's answers do so for ever. Classic BPF, from the UDP header on (socket(7)).
#[cfg(target_os = "linux")]
const fn no_responses() -> [socket2::SockFilter; 4] {
    const LOAD_OCTET: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const JUMP_IF_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const UDP_HEADER_LEN: u32 = 8;
    const FLAGS_AT: u32 = UDP_HEADER_LEN + 2;
    const QR: u32 = 0x80;
    [
        // A packet that is too short to have flags is dropped here.
        socket2::SockFilter::new(LOAD_OCTET, 0, 0, FLAGS_AT),
        socket2::SockFilter::new(JUMP_IF_SET, 0, 1, QR),
        socket2::SockFilter::new(RETURN, 0, 0, 0),
        socket2::SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it; answers are written whole and must not wait for each other.
    socket.set_tcp_nodelay(true)?;
    let socket = bound(socket, address)?;
    socket.listen(TCP_BACKLOG)?;
    TcpListener::from_std(StdTcpListener::from(socket))
}

fn bound(socket: Socket, address: SocketAddr) -> io::Result<Socket> {
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are both listened on; neither takes the other's place.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
