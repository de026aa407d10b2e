//! One address that is listened on, over UDP and TCP.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::handler::Handler;
use super::holder;
use super::responder::Responder;

/// A TCP connection on which nothing comes for so long is closed (RFC 7766 section 6.2.3 leaves it to us).
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Connections that may wait to be accepted.
const TCP_BACKLOG: i32 = 128;
/// Answers that may wait on one TCP connection.
const TCP_ANSWERS_MAX: usize = 32;

/// Both sockets of an address. Dropping it closes them.
pub struct Listener {
    address: SocketAddr,
    server: Server<Handler>,
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
    pub fn bind(address: SocketAddr, responder: Arc<Responder>) -> Result<Self, BindError> {
        let error = |transport| move |source| BindError::new(address, transport, source);
        let udp = udp_socket(address).map_err(error("udp"))?;
        // With port 0 the system chooses; TCP then takes the port that UDP was given.
        let address = udp.local_addr().map_err(error("udp"))?;
        let tcp = tcp_listener(address).map_err(error("tcp"))?;
        let mut server = Server::new(Handler(responder));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS_MAX);
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends when its tasks have ended by themselves, which they should not.
    pub async fn ended(&mut self) {
        let _ = self.server.block_until_done().await;
    }

    /// Closes both sockets. Queries in flight are lost; wait for [`Responder::in_flight`] first.
    pub async fn close(mut self) {
        let _ = self.server.shutdown_gracefully().await;
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
                Some(holder) => format!("{holder} has it; stop that program, or choose another port"),
                None => "another program has it; `ss -lnup` and `ss -lntp` tell which".to_owned(),
            },
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => "check the address".to_owned(),
        };
        Self { address, transport, reason: format!("{source}; {advice}"), source }
    }
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    UdpSocket::from_std(StdUdpSocket::from(bound(socket, address)?))
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
