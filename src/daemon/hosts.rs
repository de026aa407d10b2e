//! The hosts of lists, looked up over the daemon's own upstreams: the machine may be its own resolver.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;

use crate::feed::HostLookup;
use crate::name::DomainName;
use crate::resolve::Resolver;

pub(super) struct Hosts(pub(super) Arc<Resolver>);

impl HostLookup for Hosts {
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move { lookup(&resolver, &host).await })
    }
}

async fn lookup(resolver: &Resolver, host: &str) -> Result<Vec<IpAddr>, String> {
    if host == "localhost" || host.ends_with(".localhost") {
        // RFC 6761 section 6.3: never asked of a server.
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let name = DomainName::parse(host).map_err(|error| format!("`{host}`: {error}"))?;
    let own = resolver.addresses(&name).await;
    match own {
        Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
        Ok(_) => {}
        Err(error) => return system(host).await.map_err(|_| format!("`{host}` can't be looked up: {error}")),
    }
    // Upstreams know nothing of names in /etc/hosts.
    system(host).await.map_err(|_| format!("`{host}` has no address"))
}

async fn system(host: &str) -> std::io::Result<Vec<IpAddr>> {
    let addresses = tokio::net::lookup_host((host, 0)).await?;
    Ok(addresses.map(|address| address.ip()).collect())
}
