//! Ports that a test gives up for a while and wants back: no other test and no socket of the system gets them meanwhile.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where they are sought: below the ports that systems give to sockets without one (`ip_local_port_range`).
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that nothing of this machine has; each call gives another one.
pub(crate) fn free() -> u16 {
    // Two runs at a time begin at different places.
    let begin = std::process::id() as usize * 97;
    let next = || {
        let number = begin + usize::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(number % usize::from(COUNT)).unwrap();
        // To listen there would show more, and leave the port to a process that is started in that moment, for as long as it takes.
        TcpStream::connect(("127.0.0.1", port)).is_err().then_some(port)
    };
    std::iter::repeat_with(next).take(1000).flatten().next().expect("a port that is free")
}

/// The same at 127.0.0.1.
pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free()))
}
