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
        let (len, peer) = socket.recv_from(&mut self.packet)?;
        (self.len, self.peer) = (len, Some(peer));
        // Nobody sends from port 0; a socket that was shut down says so.
        Ok(usize::from(0 < len || peer.port() != 0))
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
