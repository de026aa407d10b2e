//! Sockets that systemd has opened and hands over (sd_listen_fds(3)), so that questions wait in them while pixelsink is
//! restarted. What the configuration says stays true: they are used where it names their address.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;
use tracing::warn;

use crate::config::Config;
use crate::server::Open;

/// The sockets, each with the address it is bound to. They are kept for good: systemd has them too, so that their addresses
/// can't be bound again.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    udp: Vec<(SocketAddr, UdpSocket)>,
    tcp: Vec<(SocketAddr, TcpListener)>,
}

impl Inherited {
    /// Takes what this process was handed, once: it changes the environment, and has to be called before there are threads.
    pub(super) fn take() -> Self {
        let mut handed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..handed.len() {
            if let Ok(Some(socket)) = handed.take_udp_socket(index) {
                inherited.udp.extend(socket.local_addr().ok().map(|address| (address, socket)));
            } else if let Ok(Some(socket)) = handed.take_tcp_listener(index) {
                inherited.tcp.extend(socket.local_addr().ok().map(|address| (address, socket)));
            }
        }
        inherited
    }

    /// What there is for questions at an address.
    pub(super) fn dns(&self, address: SocketAddr) -> Open {
        let udp = self.udp.iter().find(|(bound, _)| *bound == address);
        Open { udp: udp.and_then(|(_, socket)| socket.try_clone().ok()), tcp: self.tcp(address) }
    }

    /// What there is for connections to an address.
    pub(super) fn tcp(&self, address: SocketAddr) -> Option<TcpListener> {
        let found = self.tcp.iter().find(|(bound, _)| *bound == address);
        found.and_then(|(_, socket)| socket.try_clone().ok())
    }

    /// Says which of them nobody will answer: what comes to those waits for ever.
    pub(super) fn warn_of_unused(&self, config: &Config) {
        let tcp = self.tcp.iter().map(|(address, _)| (address, "tcp"));
        for (address, transport) in self.udp.iter().map(|(address, _)| (address, "udp")).chain(tcp) {
            let is_used = config.server.listen.contains(address)
                || transport == "tcp" && config.web.listen.contains(address);
            if !is_used {
                warn!(
                    "systemd hands over {address} ({transport}), which neither dns.listen nor web.listen names; name it there \
                     as it is written here, or take it from pixelsink.socket"
                );
            }
        }
    }
}
