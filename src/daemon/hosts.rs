//! The hosts of lists, looked up over the daemon's own upstreams: the machine may be its own resolver.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::feed::HostLookup;
use crate::local::{LiveLocal, Local};
use crate::name::DomainName;
use crate::resolve::Resolver;
use crate::wire::qtype;

pub(super) struct Hosts {
    pub(super) resolver: Arc<Resolver>,
    pub(super) local: Arc<LiveLocal>,
}

impl HostLookup for Hosts {
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> {
        let (resolver, local) = (Arc::clone(&self.resolver), Arc::clone(&self.local));
        Box::pin(async move { lookup(&resolver, &local, &host).await })
    }
}

async fn lookup(resolver: &Resolver, local: &LiveLocal, host: &str) -> Result<Vec<IpAddr>, String> {
    let mut name = DomainName::parse(host).map_err(|error| format!("`{host}`: {error}"))?;
    // What never leaves the house does not do so for us either.
    match of_the_house(&local.current(), &name) {
        None => {}
        Some(House::At(addresses)) if !addresses.is_empty() => return Ok(addresses),
        Some(House::At(_)) => {
            return system(host).await.map_err(|_| format!("`{host}` has no address"));
        }
        Some(House::AliasOf(target)) => name = target,
    }
    let own = resolver.addresses(&name).await;
    match own {
        Ok(addresses) if !addresses.is_empty() => return Ok(addresses),
        Ok(_) => {}
        Err(error) => return system(host).await.map_err(|_| format!("`{host}` can't be looked up: {error}")),
    }
    // Upstreams know nothing of names in /etc/hosts.
    system(host).await.map_err(|_| format!("`{host}` has no address"))
}

/// What this machine itself says of a host.
enum House {
    At(Vec<IpAddr>),
    AliasOf(DomainName),
}

fn of_the_house(local: &Local, name: &DomainName) -> Option<House> {
    let mut addresses = Vec::new();
    for qtype in [qtype::A, qtype::AAAA] {
        let answer = local.answer(name.as_ref(), qtype)?;
        if let Some(outside) = answer.outside {
            return Some(House::AliasOf(outside.clone()));
        }
        addresses.extend(answer.records().filter_map(|(_, record)| record.address()));
    }
    Some(House::At(addresses))
}

async fn system(host: &str) -> std::io::Result<Vec<IpAddr>> {
    let addresses = tokio::net::lookup_host((host, 0)).await?;
    Ok(addresses.map(|address| address.ip()).collect())
}
