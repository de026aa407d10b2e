//! One packet after the other, for systems that have no calls for many.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::{Packets, Peer, Received};

/// See `batch`, which says why.
const PACKET_MAX: usize = 1600;

/// The buffers of one packet.
pub(super) struct Plain {
    packet: Box<[u8]>,
    len: usize,
    peer: Option<SocketAddr>,
    answer: Vec<u8>,
}

impl Packets for Plain {
    type Peer = SocketAddr;

    fn new() -> Self {
        Self {
            packet: vec![0; PACKET_MAX].into(),
            len: 0,
            peer: None,
            answer: Vec::with_capacity(PACKET_MAX),
        }
    }

    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        match socket.recv_from(&mut self.packet) {
            Ok((len, peer)) => {
                (self.len, self.peer) = (len, Some(peer));
                Ok(1)
            }
            // A packet from nobody, which a socket gives that was shut down, has no address that std knows.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn received(&mut self, count: usize) -> impl Iterator<Item = Received<'_, SocketAddr>> {
        self.answer.clear();
        let packet = self.packet.get(..self.len).unwrap_or_default();
        let received = self.peer.as_ref().map(|peer| Received { packet, peer, answer: &mut self.answer });
        received.into_iter().take(count)
    }

    fn send(&mut self, socket: &UdpSocket, count: usize) -> usize {
        let Some(peer) = self.peer.filter(|_| 0 < count && !self.answer.is_empty()) else { return 0 };
        usize::from(socket.send_to(&self.answer, peer).is_err())
    }

    fn send_one(socket: &UdpSocket, answer: &mut [u8], peer: &SocketAddr) -> io::Result<()> {
        socket.send_to(answer, peer).map(drop)
    }
}

impl Peer for SocketAddr {
    fn address(&self) -> Option<SocketAddr> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn packets_are_answered_one_after_the_other() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut packets = Plain::new();
        let mut buffer = [0; 16];
        for text in [&b"one"[..], b"two"] {
            client.send(text).unwrap();
            let count = packets.receive(&server).unwrap();
            for Received { packet, peer, answer } in packets.received(count) {
                assert_eq!(peer.address(), client.local_addr().ok());
                answer.extend_from_slice(packet);
            }
            assert_eq!(packets.send(&server, count), 0);
            let len = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], text);
        }
        Plain::send_one(&server, &mut b"late".to_owned(), &client.local_addr().unwrap()).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 4);
    }

    #[test]
    fn a_socket_that_is_shut_down_gives_nothing() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = SockRef::from(&server).shutdown(std::net::Shutdown::Both);
        assert_eq!(Plain::new().receive(&server).unwrap(), 0);
    }
}
