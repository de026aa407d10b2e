//! Many packets with one call: recvmmsg(2) and sendmmsg(2), and the address that each packet came to (ip(7), ipv6(7)).
//!
//! The only `unsafe` of the server. What the kernel is handed is made anew for each call out of borrowed buffers, so that no
//! pointer outlives the call it is for.

#![expect(clippy::cast_possible_truncation, reason = "sizes of C types and counts within a batch, which fit")]

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::{Packets, Received};

/// Packets that are taken and answered with one call. More bring nothing: at 32 the calls cost a tenth of the packets.
pub(super) const BATCH: usize = 32;
/// The longest query that is read: more than fits an Ethernet frame; what is longer is cut and then malformed. No power of
/// two, so that the beginnings of packets do not all compete for the same lines of the cache.
const PACKET_MAX: usize = 1600;
/// What an answer's buffer begins with; UDP answers are never longer than 1,232 octets, those that are made and then cut
/// short may be.
const ANSWER_USUAL: usize = 2048;
/// `sockaddr_in6`, the longer of both kinds.
const NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

/// Who sent a packet and to which of our addresses, as the kernel wants it back to send the answer.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Peer {
    control: [u8; CONTROL_LEN],
    name: [u8; NAME_LEN],
    name_len: u8,
    control_len: u8,
}

/// One control message with an `in6_pktinfo`, the longer of both kinds.
const CONTROL_LEN: usize = 48;

const NOBODY: Peer = Peer { control: [0; CONTROL_LEN], name: [0; NAME_LEN], name_len: 0, control_len: 0 };

/// Buffers for a batch, made once.
pub(super) struct Batch {
    packets: Box<[[u8; PACKET_MAX]]>,
    peers: [Peer; BATCH],
    lens: [usize; BATCH],
    answers: [Vec<u8>; BATCH],
}

impl Packets for Batch {
    type Peer = Peer;

    fn new() -> Self {
        Self {
            packets: vec![[0; PACKET_MAX]; BATCH].into(),
            peers: [NOBODY; BATCH],
            lens: [0; BATCH],
            answers: std::array::from_fn(|_| Vec::with_capacity(ANSWER_USUAL)),
        }
    }

    #[expect(unsafe_code, reason = "recvmmsg has no safe form")]
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut parts: [libc::iovec; BATCH] = [NO_PART; BATCH];
        let mut headers = no_headers();
        for (((header, part), packet), peer) in
            headers.iter_mut().zip(&mut parts).zip(&mut self.packets).zip(&mut self.peers)
        {
            *part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: PACKET_MAX };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = peer.name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = NAME_LEN as libc::socklen_t;
            header.msg_hdr.msg_control = peer.control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        // SAFETY: each header points at a name, one part and a control buffer that live until after the call, are borrowed
        // by nobody else meanwhile, and are as long as it says; the kernel writes no more than that.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for ((header, peer), len) in headers.iter().zip(&mut self.peers).zip(&mut self.lens).take(received) {
            *len = header.msg_len as usize;
            peer.name_len = u8::try_from(header.msg_hdr.msg_namelen).unwrap_or_default();
            peer.control_len = u8::try_from(header.msg_hdr.msg_controllen).unwrap_or_default();
            peer.forget_interface();
        }
        // A socket that was shut down gives one empty packet from nobody, for ever.
        let shut_down = received == 1 && self.lens[0] == 0 && self.peers[0].name_len == 0;
        Ok(if shut_down { 0 } else { received })
    }

    fn received(&mut self, count: usize) -> impl Iterator<Item = Received<'_, Peer>> {
        let packets = self.packets.iter().zip(&self.lens).zip(&self.peers).zip(&mut self.answers).take(count);
        packets.map(|(((packet, len), peer), answer)| {
            answer.clear();
            Received { packet: packet.get(..*len).unwrap_or_default(), peer, answer }
        })
    }

    #[expect(unsafe_code, reason = "sendmmsg has no safe form")]
    fn send(&mut self, socket: &UdpSocket, count: usize) -> usize {
        let mut parts: [libc::iovec; BATCH] = [NO_PART; BATCH];
        let mut headers = no_headers();
        let answers = self.answers.iter_mut().zip(&mut self.peers).take(count);
        let mut filled = 0;
        for ((answer, peer), (header, part)) in
            answers.filter(|(answer, _)| !answer.is_empty()).zip(headers.iter_mut().zip(&mut parts))
        {
            fill(&mut header.msg_hdr, part, answer, peer);
            filled += 1;
        }
        let (mut sent, mut failed) = (0, 0);
        while sent < filled {
            // SAFETY: as in `receive`; the kernel only reads what the headers point at.
            let done = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr().add(sent),
                    (filled - sent) as libc::c_uint,
                    0,
                )
            };
            match usize::try_from(done) {
                Ok(done) if 0 < done => sent += done,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => (sent, failed) = (sent + 1, failed + 1),
            }
        }
        failed
    }

    #[expect(unsafe_code, reason = "sendmsg has no safe form")]
    fn send_one(socket: &UdpSocket, answer: &mut [u8], peer: &Peer) -> io::Result<()> {
        let (mut part, mut peer) = (NO_PART, *peer);
        let [mut header, ..] = no_headers();
        fill(&mut header.msg_hdr, &mut part, answer, &mut peer);
        // SAFETY: as in `send`.
        let sent =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header.msg_hdr, libc::MSG_DONTWAIT) };
        usize::try_from(sent).map(drop).map_err(|_| io::Error::last_os_error())
    }
}

/// Asks the kernel to tell with each packet to which of our addresses it was sent. An answer from another one would be
/// thrown away by the client; a socket that is bound to one address always answers from that.
#[expect(unsafe_code, reason = "setsockopt has no safe form for these options")]
pub(super) fn tell_destination(socket: &impl AsRawFd, address: SocketAddr) -> io::Result<()> {
    if !address.ip().is_unspecified() {
        return Ok(());
    }
    let (level, option) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, which lives until after the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const NO_PART: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

#[expect(unsafe_code, reason = "the C types have padding, which can't be written otherwise")]
fn no_headers() -> [libc::mmsghdr; BATCH] {
    // SAFETY: all of their fields are numbers and pointers, for which zero is a value.
    unsafe { zeroed() }
}

/// Lets a header point at an answer and at whom it is for.
fn fill(header: &mut libc::msghdr, part: &mut libc::iovec, answer: &mut [u8], peer: &mut Peer) {
    *part = libc::iovec { iov_base: answer.as_mut_ptr().cast(), iov_len: answer.len() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_name = peer.name.as_mut_ptr().cast();
    header.msg_namelen = peer.name_len.into();
    if 0 < peer.control_len {
        header.msg_control = peer.control.as_mut_ptr().cast();
        header.msg_controllen = peer.control_len as _;
    }
}

impl super::Peer for Peer {
    fn address(&self) -> Option<SocketAddr> {
        let at = |at: usize| self.name.get(at..).unwrap_or_default();
        let port = u16::from_be_bytes(*at(offset_of!(libc::sockaddr_in, sin_port)).first_chunk()?);
        let family = libc::sa_family_t::from_ne_bytes(*self.name.first_chunk()?);
        match i32::from(family) {
            libc::AF_INET if size_of::<libc::sockaddr_in>() <= self.name_len.into() => {
                let octets: [u8; 4] = *at(offset_of!(libc::sockaddr_in, sin_addr)).first_chunk()?;
                Some((Ipv4Addr::from(octets), port).into())
            }
            libc::AF_INET6 if NAME_LEN <= self.name_len.into() => {
                let octets: [u8; 16] = *at(offset_of!(libc::sockaddr_in6, sin6_addr)).first_chunk()?;
                Some((Ipv6Addr::from(octets), port).into())
            }
            _ => None,
        }
    }
}

impl Peer {
    /// Clears the interface in the control message: the routing table knows best by which one an answer leaves. A
    /// link-local address means nothing without it, and keeps it.
    fn forget_interface(&mut self) {
        let header = control_header_len();
        let data = header..usize::from(self.control_len);
        let Some(data) = self.control.get_mut(data) else { return };
        let ipv4 = offset_of!(libc::in_pktinfo, ipi_ifindex);
        let ipv6 = offset_of!(libc::in6_pktinfo, ipi6_ifindex);
        let interface = match data.first_chunk::<16>().map(|octets| IpAddr::from(*octets)) {
            Some(IpAddr::V6(address)) if size_of::<libc::in6_pktinfo>() <= data.len() => {
                if address.is_unicast_link_local() {
                    return;
                }
                ipv6
            }
            _ => ipv4,
        };
        if let Some(index) = data.get_mut(interface..interface + size_of::<libc::c_int>()) {
            index.fill(0);
        }
    }
}

/// How long the header of a control message is, with the padding behind it (cmsg(3)).
const fn control_header_len() -> usize {
    let align = size_of::<usize>();
    size_of::<libc::cmsghdr>().next_multiple_of(align)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Peer as _;
    use super::*;

    fn exchange(bind: &str, to: &str) -> SocketAddr {
        let server = UdpSocket::bind(bind).unwrap();
        let address = server.local_addr().unwrap();
        tell_destination(&server, address).unwrap();
        let to = SocketAddr::new(to.parse().unwrap(), address.port());
        let client = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for text in [&b"one"[..], b"two"] {
            client.send_to(text, to).unwrap();
        }
        let mut batch = Batch::new();
        let mut got = Vec::new();
        while got.len() < 2 {
            let count = batch.receive(&server).unwrap();
            for Received { packet, peer, answer } in batch.received(count) {
                assert_eq!(peer.address(), client.local_addr().ok());
                answer.extend_from_slice(packet);
                got.push(packet.to_vec());
            }
            assert_eq!(batch.send(&server, count), 0);
        }
        assert_eq!(got, [b"one", b"two"]);
        let mut buffer = [0; 16];
        for text in [&b"one"[..], b"two"] {
            let (len, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (text, to), "the answer comes from where the question went");
        }
        let peer = batch.peers[0];
        Batch::send_one(&server, &mut b"late".to_owned(), &peer).unwrap();
        client.recv_from(&mut buffer).unwrap().1
    }

    #[test]
    fn answers_come_from_the_address_that_was_asked() {
        for (bind, to) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.9"),
            ("[::1]:0", "::1"),
            ("[::]:0", "::1"),
        ] {
            assert_eq!(exchange(bind, to).ip(), to.parse::<IpAddr>().unwrap(), "{bind} {to}");
        }
    }

    #[test]
    fn a_packet_that_can_not_be_sent_holds_up_no_other() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in [&b"one"[..], b"two", b"three"] {
            client.send_to(text, socket.local_addr().unwrap()).unwrap();
        }
        let mut batch = Batch::new();
        let count = batch.receive(&socket).unwrap();
        assert_eq!(count, 3);
        // Nobody can be sent to port 0.
        batch.peers[1].name[2..4].fill(0);
        for Received { packet, answer, .. } in batch.received(count) {
            answer.extend_from_slice(packet);
        }
        assert_eq!(batch.send(&socket, count), 1);
        let mut buffer = [0; 16];
        let texts = [(); 2].map(|()| {
            let len = client.recv(&mut buffer).unwrap();
            buffer[..len].to_vec()
        });
        assert_eq!(texts, [&b"one"[..], b"three"]);
    }
}
