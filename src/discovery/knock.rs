//! Finding out whether a device is there: one empty packet, for which the kernel has to find its MAC (RFC 826, RFC 4861), so that
//! its neighbour table tells whether the device answers that. Nothing has to listen there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use tokio::net::UdpSocket;

use super::Observed;

/// Discard (RFC 863): whoever serves it throws away what comes.
const PORT: u16 = 9;

/// Sends a neighbour one empty packet.
///
/// # Errors
/// When it could not be sent.
pub async fn knock(address: IpAddr, observed: &Observed) -> io::Result<()> {
    let (any, to) = match address {
        IpAddr::V4(_) => (IpAddr::from(Ipv4Addr::UNSPECIFIED), SocketAddr::new(address, PORT)),
        IpAddr::V6(ip) => {
            let link = observed.links.iter().find(|(link, _)| *link == address).map_or(0, |(_, link)| *link);
            (Ipv6Addr::UNSPECIFIED.into(), SocketAddrV6::new(ip, PORT, 0, link).into())
        }
    };
    UdpSocket::bind((any, 0)).await?.send_to(&[], to).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_packet_is_sent_to_either_family() {
        knock(Ipv4Addr::LOCALHOST.into(), &Observed::default()).await.unwrap();
        // A machine may have no IPv6.
        let _ = knock(Ipv6Addr::LOCALHOST.into(), &Observed::default()).await;
    }
}
