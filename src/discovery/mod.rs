//! Finding out which device has which address: the kernel's neighbour table, by netlink (rtnetlink(7)).
//!
//! It needs no privilege and sends nothing into the network: the kernel has learnt an address's MAC before the first
//! query of that address is read. It knows addresses and MACs; what people call a device is none of its business.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::time::{Instant, sleep_until, timeout};

use crate::device::Mac;

/// What the kernel knows of the networks this machine is on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    /// Each neighbour's address and MAC.
    pub neighbours: Vec<(IpAddr, Mac)>,
    /// The networks that this machine has an address in.
    pub networks: Vec<IpNet>,
}

/// The kernel can't be asked.
#[derive(Debug, thiserror::Error)]
#[error("the kernel's neighbour table can't be read ({0}); devices are told apart by their addresses only")]
pub struct DiscoveryError(String);

/// The tables are read again after this long without news.
const REREAD: Duration = Duration::from_secs(60);
/// News comes in bursts: the first of a burst is read at once, since a query may come with it; the rest together.
const SETTLE: Duration = Duration::from_millis(100);

/// Reads the tables now and at each change, for as long as the kernel can be asked.
pub async fn watch(mut observed: impl FnMut(Observed)) -> DiscoveryError {
    let error = |error: &dyn std::fmt::Display| DiscoveryError(error.to_string());
    let groups = [MulticastGroup::Neigh, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (connection, handle, mut news) = match rtnetlink::new_multicast_connection(&groups) {
        Ok(connected) => connected,
        Err(refused) => return error(&refused),
    };
    let reading = async {
        loop {
            match read(&handle).await {
                Ok(tables) => observed(tables),
                Err(refused) => return error(&refused),
            }
            let settled = Instant::now() + SETTLE;
            if let Ok(None) = timeout(REREAD, news.next()).await {
                return error(&"the connection was closed");
            }
            sleep_until(settled).await;
            while let Ok(Some(_)) = timeout(Duration::ZERO, news.next()).await {}
        }
    };
    tokio::select! {
        () = connection => error(&"the connection was closed"),
        error = reading => error,
    }
}

async fn read(handle: &Handle) -> Result<Observed, rtnetlink::Error> {
    let neighbours =
        handle.neighbours().get().execute().try_filter_map(async |message| Ok(neighbour(&message)));
    let networks = handle.address().get().execute().try_filter_map(async |message| Ok(network(&message)));
    Ok(Observed { neighbours: neighbours.try_collect().await?, networks: networks.try_collect().await? })
}

fn neighbour(message: &NeighbourMessage) -> Option<(IpAddr, Mac)> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::from(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    })?;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(octets) => octets.as_slice().try_into().ok(),
        _ => None,
    })?;
    // Multicast and loopback entries carry no device's MAC.
    (!address.is_multicast() && mac != [0; 6]).then_some((address, Mac(mac)))
}

fn network(message: &AddressMessage) -> Option<IpNet> {
    // On a point-to-point link ADDRESS is the peer's and LOCAL is ours; elsewhere they are the same.
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })?;
    let known = matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6);
    known.then(|| IpNet::new(address, message.header.prefix_len).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_is_on_its_own_loopback_network() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let watching = watch(move |observed| {
            let _ = sender.send(observed);
        });
        tokio::select! {
            error = watching => panic!("{error}"),
            observed = receiver.recv() => {
                let loopback: IpNet = "127.0.0.1/8".parse().unwrap();
                assert!(observed.unwrap().networks.contains(&loopback));
            }
        }
    }
}
