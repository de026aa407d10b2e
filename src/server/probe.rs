//! Whether questions are still answered: what the watchdog asks, without a trace in the history and without an upstream.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::responder::{Responder, Transport};
use crate::event::{EventWriter, Told};

/// `version.bind`, class CHAOS, type TXT, with the ID 0x7073: refused by the threads that answer before anybody decides about it,
/// so that nothing is counted or remembered.
const TO_THE_PORT: &[u8] =
    b"\x70\x73\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";
/// `. NS`, which is looked up in the rules and the cache.
const TO_THE_CACHE: &[u8] = b"\x70\x73\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01";
/// QR, the highest bit of the third octet, tells an answer from a question (RFC 1035 section 4.1.1).
const QR: u8 = 0x80;

/// Remembers nothing.
struct Forgets;

impl EventWriter for Forgets {
    fn write(&mut self, _: &Told<'_>) {}
}

impl Responder {
    /// Decides about a question and looks it up in the cache, as a thread that answers does. Comes back when every lock on that way
    /// is free; where nothing is kept, no upstream is asked.
    pub fn probe(&self) {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut answer = Vec::new();
        self.answer_at_once(
            &self.moment(),
            TO_THE_CACHE,
            loopback,
            Transport::Udp,
            &mut answer,
            &mut Forgets,
        );
    }
}

/// Asks the port at which a listener listens, from this machine, and waits so long for the answer.
///
/// # Errors
/// What the system said; [`io::ErrorKind::TimedOut`] when there was no answer.
pub async fn ask(listener: SocketAddr, patience: Duration) -> io::Result<()> {
    let target = SocketAddr::new(own_address(listener.ip()), listener.port());
    let socket = UdpSocket::bind(SocketAddr::new(target.ip(), 0)).await?;
    socket.connect(target).await?;
    socket.send(TO_THE_PORT).await?;
    let mut answer = [0; 512];
    let answered = async {
        loop {
            let length = socket.recv(&mut answer).await?;
            let is_answer = match answer.get(..length) {
                Some([high, low, flags, ..]) => [*high, *low] == [0x70, 0x73] && *flags & QR != 0,
                _ => false,
            };
            if is_answer {
                return Ok(());
            }
        }
    };
    timeout(patience, answered).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The address of this machine at which one who listens at `address` can be reached from here.
pub const fn own_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_one_and_silence_is_none() {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let listener = peer.local_addr().unwrap();
        let silence = ask(listener, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
        peer.recv_from(&mut [0; 512]).await.unwrap();
        let answers = async {
            let mut packet = [0; 512];
            let (length, client) = peer.recv_from(&mut packet).await.unwrap();
            // The question sent back is no answer.
            peer.send_to(&packet[..length], client).await.unwrap();
            packet[2] |= QR;
            peer.send_to(&packet[..length], client).await.unwrap();
        };
        let (answered, ()) = tokio::join!(ask(listener, Duration::from_secs(5)), answers);
        answered.unwrap();
    }

    #[tokio::test]
    async fn a_closed_port_is_told() {
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(ask(closed, Duration::from_secs(5)).await.is_err());
    }
}
