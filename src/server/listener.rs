//! One address that is listened on, over UDP and TCP.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::holder;
use super::responder::Responder;
use super::tcp;
use super::udp::Udp;

/// Connections that may wait to be accepted.
const TCP_BACKLOG: i32 = 128;

/// How many ports are tried when the system may choose one.
const PORT_ATTEMPTS_MAX: u32 = 20;

/// Both sockets of an address, each with a server of its own, so that the end of one does not hide behind the other.
pub struct Listener {
    address: SocketAddr,
    responder: Arc<Responder>,
    udp: Udp,
    tcp: TcpListener,
}

/// Sockets of an address that another process has opened, and keeps: systemd, by a socket unit.
#[derive(Debug, Default)]
pub struct Open {
    /// For questions over UDP.
    pub udp: Option<UdpSocket>,
    /// For connections.
    pub tcp: Option<StdTcpListener>,
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
    /// Binds both sockets of an address, or takes those that are `open` there.
    ///
    /// # Errors
    /// When one of them can't be had, with what to do.
    pub fn bind(
        address: SocketAddr,
        threads: u32,
        open: &Open,
        responder: Arc<Responder>,
    ) -> Result<Self, BindError> {
        let error = |transport| move |source| BindError::new(address, transport, source);
        let udp_socket = |threads| match &open.udp {
            Some(socket) => Udp::adopt(socket, threads),
            None => Udp::bind(address, threads),
        };
        // With port 0 the system chooses one for UDP, which may be taken for TCP.
        let mut attempts = if address.port() == 0 { PORT_ATTEMPTS_MAX } else { 1 };
        loop {
            let udp = udp_socket(threads).map_err(error("udp"))?;
            let bound = udp.address().map_err(error("udp"))?;
            attempts -= 1;
            let tcp = match &open.tcp {
                Some(socket) => adopted(socket),
                None => tcp_listener(bound),
            };
            match tcp {
                Ok(tcp) => return Ok(Self { address: bound, udp, tcp, responder }),
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
    /// [`Responder::in_flight`] first; over TCP they have a moment to end.
    pub async fn serve(self, cancel: CancellationToken) {
        let Self { address, responder, udp, tcp } = self;
        let udp = match udp.serve(&responder) {
            Ok(udp) => Some(udp),
            Err(error) => {
                error!(%address, %error, "nothing is answered over UDP: its threads could not be started");
                None
            }
        };
        tcp::serve(tcp, responder, cancel).await;
        if let Some(udp) = udp {
            // Waits for the threads, which takes as long as an answer.
            let _ = tokio::task::spawn_blocking(|| udp.stop()).await;
        }
    }
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
            _ if source.raw_os_error() == Some(libc::EAFNOSUPPORT) => "this machine has no IPv6".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => "check the address".to_owned(),
        };
        Self { address, transport, reason: format!("{source}; {advice}"), source }
    }
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

fn adopted(listener: &StdTcpListener) -> io::Result<TcpListener> {
    let listener = listener.try_clone()?;
    let socket = SockRef::from(&listener);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    TcpListener::from_std(listener)
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
