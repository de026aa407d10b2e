//! Finding out which device has which address, and what it is called.
//!
//! [`watch`] has the kernel's neighbour table, by netlink (rtnetlink(7)): it needs no privilege and sends nothing into the
//! network, and the kernel has learnt an address's MAC before the first query of that address is read. [`leases`] reads what
//! DHCP servers wrote, [`hostnames`] asks devices and the router, [`knock`] has the kernel find out whether one is there, [`vendors`] knows who made a MAC. What a person calls a device
//! is none of its business.

pub mod hostnames;
pub mod knock;
pub mod leases;
pub mod vendors;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use tokio::time::{Instant, sleep_until, timeout};

use crate::device::Mac;

/// What the kernel knows of the networks this machine is on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Observed {
    /// Each neighbour's address and MAC.
    pub neighbours: Vec<(IpAddr, Mac)>,
    /// The networks that this machine has an address in, each as that address.
    pub networks: Vec<IpNet>,
    /// The routers that lead out of them.
    pub gateways: Vec<IpAddr>,
    /// The interface of each neighbour that has a link-local address, by which alone it can be reached.
    pub links: Vec<(IpAddr, u32)>,
    /// The neighbours of which the kernel is sure that they are there: they answered it within the last half minute or so.
    pub reachable: Vec<Mac>,
}

/// Where else names of devices are looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DiscoveryOptions {
    /// Files of leases.
    pub leases: Vec<PathBuf>,
    /// Whether those are read too that DHCP servers write where they come from.
    pub well_known_leases: bool,
    /// Whether devices are asked for their names, by multicast DNS.
    pub mdns: bool,
    /// Whether the router is asked for them.
    pub router_names: bool,
}

impl Default for DiscoveryOptions {
    fn default() -> Self {
        Self { leases: Vec::new(), well_known_leases: true, mdns: true, router_names: true }
    }
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
    let groups = [
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ];
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
    let messages =
        handle.neighbours().get().execute().try_filter_map(async |message| Ok(neighbour(&message)));
    let messages: Vec<Neighbour> = messages.try_collect().await?;
    let networks = handle.address().get().execute().try_filter_map(async |message| Ok(network(&message)));
    let networks = networks.try_collect().await?;
    let mut gateways = Vec::new();
    for default in
        [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()]
    {
        let routes =
            handle.route().get(default).execute().try_filter_map(async |message| Ok(gateway(&message)));
        gateways.extend(routes.try_collect::<Vec<_>>().await?);
    }
    gateways.sort_unstable();
    gateways.dedup();
    let links = messages.iter().filter(|neighbour| is_link_local(neighbour.address));
    let links = links.map(|neighbour| (neighbour.address, neighbour.interface)).collect();
    let mut reachable: Vec<Mac> =
        messages.iter().filter(|neighbour| neighbour.is_reachable).map(|neighbour| neighbour.mac).collect();
    reachable.sort_unstable();
    reachable.dedup();
    let neighbours = messages.into_iter().map(|neighbour| (neighbour.address, neighbour.mac)).collect();
    Ok(Observed { neighbours, networks, gateways, links, reachable })
}

const fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The gateway of a default route of the main table.
fn gateway(message: &RouteMessage) -> Option<IpAddr> {
    let is_default =
        message.header.destination_prefix_length == 0 && message.header.table == RouteHeader::RT_TABLE_MAIN;
    let of_attribute = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    };
    message.attributes.iter().find_map(of_attribute).filter(|_| is_default)
}

/// A row of the neighbour table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Neighbour {
    address: IpAddr,
    mac: Mac,
    interface: u32,
    is_reachable: bool,
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
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
    let is_reachable = message.header.state == NeighbourState::Reachable;
    let interface = message.header.ifindex;
    (!address.is_multicast() && mac != [0; 6]).then_some(Neighbour {
        address,
        mac: Mac(mac),
        interface,
        is_reachable,
    })
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

    #[test]
    fn a_neighbour_is_reachable_while_the_kernel_is_sure_of_it() {
        let address = NeighbourAddress::Inet(Ipv4Addr::new(192, 0, 2, 1));
        for (state, sure) in [
            (NeighbourState::Reachable, true),
            (NeighbourState::Stale, false),
            (NeighbourState::Failed, false),
            (NeighbourState::Permanent, false),
        ] {
            let mut message = NeighbourMessage::default();
            message.header.state = state;
            message.attributes = vec![
                NeighbourAttribute::Destination(address.clone()),
                NeighbourAttribute::LinkLayerAddress(vec![0, 0x1b, 0x63, 0, 0, 1]),
            ];
            assert_eq!(neighbour(&message).map(|neighbour| neighbour.is_reachable), Some(sure), "{state:?}");
        }
    }

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
