//! The way to one upstream: its addresses, its name, and how a connection to it is opened and secured.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::timeout;
use tracing::debug;

use super::address::{Host, Transport};
use super::bootstrap::Bootstrap;
use super::connection::{Connection, Destination};
use super::options::UpstreamOptions;
use super::tls::Tls;
use super::upstream::TryError;
use crate::clock::Clock;

/// How long the opening of a connection may take: three round trips over a satellite and some loss. Who waits for it may give up
/// before; the connection is for those who come after.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);
/// And where there is another address to try.
const OPEN_TIMEOUT_OF_ONE: Duration = Duration::from_millis(1_200);

pub(super) struct Way {
    options: UpstreamOptions,
    bootstrap: Arc<Bootstrap>,
    clock: Arc<dyn Clock>,
    /// Made for the first connection, so that a start waits for no file.
    tls: OnceCell<Tls>,
    /// How often another address was tried because one failed.
    failed_addresses: AtomicUsize,
}

impl Way {
    pub(super) fn new(options: UpstreamOptions, bootstrap: Arc<Bootstrap>, clock: Arc<dyn Clock>) -> Self {
        Self { options, bootstrap, clock, tls: OnceCell::new(), failed_addresses: AtomicUsize::new(0) }
    }

    pub(super) const fn options(&self) -> &UpstreamOptions {
        &self.options
    }

    /// How many certificates were checked.
    pub(super) fn certificates_checked(&self) -> u64 {
        self.tls.get().map_or(0, Tls::checks)
    }

    /// The address to use now.
    pub(super) async fn address(&self) -> Result<SocketAddr, TryError> {
        let port = self.options.address.port;
        if let Host::Ip(ip) = self.options.address.host {
            return Ok(SocketAddr::new(ip, port));
        }
        let addresses = self.addresses().await?;
        addresses.first().map(|&ip| SocketAddr::new(ip, port)).ok_or(TryError::Unsendable)
    }

    /// From now on another address is used first.
    pub(super) fn avoid_address(&self) {
        self.failed_addresses.fetch_add(1, Ordering::Relaxed);
    }

    /// All addresses, the one to use first in front. At least one.
    async fn addresses(&self) -> Result<Vec<IpAddr>, TryError> {
        let mut addresses = match &self.options.address.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(_) if !self.options.addresses.is_empty() => self.options.addresses.clone(),
            Host::Name(name) => self.bootstrap.addresses(name).await.map_err(TryError::NoAddress)?,
        };
        let first = self.failed_addresses.load(Ordering::Relaxed).checked_rem(addresses.len()).unwrap_or(0);
        addresses.rotate_left(first);
        Ok(addresses)
    }

    /// Opens a connection; over UDP, one for what does not fit.
    pub(super) async fn open(&self) -> Result<Connection, TryError> {
        let addresses = self.addresses().await?;
        let last = addresses.len().saturating_sub(1);
        let mut outcome = Err(TryError::TimedOut);
        for (number, ip) in addresses.into_iter().enumerate() {
            let patience = if number == last { OPEN_TIMEOUT } else { OPEN_TIMEOUT_OF_ONE };
            let address = SocketAddr::new(ip, self.options.address.port);
            outcome = timeout(patience, self.open_to(address)).await.unwrap_or(Err(TryError::TimedOut));
            match &outcome {
                Ok(_) => break,
                Err(error) => {
                    debug!(%address, %error, "a connection could not be opened");
                    self.avoid_address();
                }
            }
        }
        outcome
    }

    async fn open_to(&self, address: SocketAddr) -> Result<Connection, TryError> {
        let UpstreamOptions { address: upstream, tls_name, .. } = &self.options;
        let transport = upstream.transport;
        if !transport.is_encrypted() {
            return Ok(Connection::tcp(address).await?);
        }
        let tls = self.tls.get_or_try_init(|| self.tls()).await?;
        let host = match &upstream.host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_string(),
        };
        let tls_name = tls_name.as_deref().unwrap_or(&host);
        let to = Destination { transport, address, tls_name, path: &upstream.path };
        let opened = Connection::encrypted(&to, tls).await;
        opened.map_err(|error| tls.take_refusal().map_or(TryError::Network(error), TryError::Untrusted))
    }

    async fn tls(&self) -> Result<Tls, TryError> {
        let (options, clock) = (self.options.clone(), Arc::clone(&self.clock));
        let made = tokio::task::spawn_blocking(move || Tls::new(&options, clock)).await;
        made.map_err(|_| TryError::TimedOut)?.map_err(TryError::Untrusted)
    }
}

/// Over UDP, connections are TCP.
pub(super) const fn is_stream(transport: Transport) -> bool {
    matches!(transport, Transport::Udp | Transport::Tcp | Transport::Tls)
}
