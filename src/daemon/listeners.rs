//! The addresses that are served, kept as the configuration has them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::inherited::Inherited;
use crate::config::Config;
use crate::server::{Listener, Responder};
use crate::web;

/// Where queries are answered too when there is no configuration file, so that trying it out needs no privilege.
pub(super) const TRIAL_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5300);

/// The listeners of one kind, by the address that was asked for.
#[derive(Default)]
struct Served(BTreeMap<SocketAddr, (SocketAddr, CancellationToken)>);

impl Served {
    /// Closes what is no longer wanted.
    fn keep_only(&mut self, wanted: &[SocketAddr]) {
        self.0.retain(|address, (_, cancel)| {
            let keep = wanted.contains(address);
            if !keep {
                cancel.cancel();
            }
            keep
        });
    }

    /// Closes what is no longer wanted and stands in the way of `address`: a wildcard address and a single one can't have
    /// the same port. Whether there was such a one.
    fn give_way(&mut self, address: SocketAddr, wanted: &[SocketAddr]) -> bool {
        let before = self.0.len();
        self.0.retain(|served, (bound, cancel)| {
            let stays = wanted.contains(served) || bound.port() != address.port();
            if !stays {
                cancel.cancel();
            }
            stays
        });
        self.0.len() < before
    }

    fn bound(&self) -> Vec<SocketAddr> {
        self.0.values().map(|(bound, _)| *bound).collect()
    }
}

/// Addresses that are bound and not served yet.
pub(super) struct Bound {
    dns: Vec<(SocketAddr, Listener)>,
    web: Vec<(SocketAddr, TcpListener)>,
    /// What is said of those that the file names and that can't be had.
    missing: Vec<String>,
}

/// What becomes of an address that the file names and that can't be had.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Unavailable {
    /// Nothing is bound: what was served before goes on.
    Refused,
    /// The others are served: at a start there is nothing else that could go on.
    Missing,
}

/// Binds again and again until what gave way is closed, for two seconds at most.
async fn patiently<T, E, F: Future<Output = Result<T, E>>>(bind: impl Fn() -> F) -> Result<T, E> {
    const ATTEMPTS: u32 = 40;
    for _ in 1..ATTEMPTS {
        if let Ok(bound) = bind().await {
            return Ok(bound);
        }
        sleep(Duration::from_millis(50)).await;
    }
    bind().await
}

/// Whether the machine has no IPv6 at all. `[::]` is in the file that comes with pixelsink, and must not end it there.
fn lacks_ipv6(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn dns_wanted(config: &Config) -> Vec<SocketAddr> {
    let trial = config.file.is_none().then_some(TRIAL_LISTEN);
    config.server.listen.iter().copied().chain(trial).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All listeners.
pub(super) struct Listeners {
    responder: Arc<Responder>,
    page: Router,
    /// The page's certificate.
    tls: Arc<web::Tls>,
    dns: Mutex<Served>,
    web: Mutex<Served>,
    inherited: Inherited,
    /// See [`Bound::missing`].
    missing: ArcSwap<Vec<String>>,
    some_missing: Arc<Notify>,
    tasks: Mutex<JoinSet<()>>,
    cancel: CancellationToken,
}

impl Listeners {
    pub(super) fn new(
        inherited: Inherited,
        responder: Arc<Responder>,
        page: Router,
        tls: Arc<web::Tls>,
    ) -> Self {
        Self {
            inherited,
            responder,
            page,
            tls,
            dns: Mutex::default(),
            web: Mutex::default(),
            missing: ArcSwap::default(),
            some_missing: Arc::default(),
            tasks: Mutex::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// Binds what the configuration wants and is not served yet. Nothing is served until [`Self::commit`], and nothing is
    /// closed but what stands in the way; [`Self::restore`] takes that back.
    ///
    /// # Errors
    /// When an address that the file names can't be had and that is refused, or when there would be none for queries at all.
    pub(super) async fn bind(&self, config: &Config, unavailable: Unavailable) -> anyhow::Result<Bound> {
        let mut bound = Bound { dns: Vec::new(), web: Vec::new(), missing: Vec::new() };
        let mut last = None;
        for address in dns_wanted(config) {
            if lock(&self.dns).0.contains_key(&address) {
                continue;
            }
            let bind = || {
                let open = self.inherited.dns(address);
                Listener::bind(address, config.server.threads, &open, Arc::clone(&self.responder))
            };
            let listener = match bind() {
                Err(error)
                    if error.source.kind() == ErrorKind::AddrInUse
                        && lock(&self.dns).give_way(address, &dns_wanted(config)) =>
                {
                    patiently(|| async { bind() }).await
                }
                listener => listener,
            };
            match listener {
                Ok(listener) => bound.dns.push((address, listener)),
                Err(error) if config.listen_is_named && !lacks_ipv6(&error.source) => {
                    if unavailable == Unavailable::Refused {
                        return Err(error.into());
                    }
                    bound.missing.push(error.to_string());
                    last = Some(error);
                }
                Err(error) => {
                    warn!("{error}");
                    last = Some(error);
                }
            }
        }
        if bound.dns.is_empty()
            && lock(&self.dns).0.is_empty()
            && let Some(error) = last
        {
            return Err(error.into());
        }
        for &address in &config.web.listen {
            if lock(&self.web).0.contains_key(&address) {
                continue;
            }
            let listener = match self.page_listener(address).await {
                Err(error)
                    if error.kind() == ErrorKind::AddrInUse
                        && lock(&self.web).give_way(address, &config.web.listen) =>
                {
                    patiently(|| self.page_listener(address)).await
                }
                listener => listener,
            };
            let is_optional = !config.web_listen_is_named || listener.as_ref().is_err_and(lacks_ipv6);
            let listener = listener.with_context(|| {
                format!("the page can't be served on {address}; choose another address for web.listen, or free this one")
            });
            match listener {
                Ok(listener) => bound.web.push((address, listener)),
                Err(error) if is_optional => warn!("{error:#}"),
                Err(error) if unavailable == Unavailable::Refused => return Err(error),
                Err(error) => bound.missing.push(format!("{error:#}")),
            }
        }
        Ok(bound)
    }

    async fn page_listener(&self, address: SocketAddr) -> std::io::Result<TcpListener> {
        match self.inherited.tcp(address) {
            Some(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
            None => TcpListener::bind(address).await,
        }
    }

    /// Serves again what gave way to a configuration that could not be put in force.
    pub(super) async fn restore(&self, config: &Config) {
        let bound = match patiently(|| self.bind(config, Unavailable::Refused)).await {
            Err(_) => self.bind(config, Unavailable::Missing).await,
            bound => bound,
        };
        match bound {
            Ok(bound) => self.commit(bound, config),
            Err(error) => error!("no address could be had again: {error:#}"),
        }
    }

    /// Rung while something is missing.
    pub(super) fn some_missing(&self) -> Arc<Notify> {
        Arc::clone(&self.some_missing)
    }

    /// Tries again to have what is missing; what can be had is served from then on.
    pub(super) async fn seek_missing(&self, config: &Config) {
        if self.missing.load().is_empty() {
            return;
        }
        match self.bind(config, Unavailable::Missing).await {
            Ok(bound) => self.commit(bound, config),
            Err(_) => self.some_missing.notify_one(),
        }
    }

    /// The addresses that can't be had, each with the reason.
    pub(super) fn problems(&self) -> Vec<String> {
        let told = |missing: &String| {
            format!("{missing}. It is tried again every few seconds, and all else goes on.")
        };
        self.missing.load().iter().map(told).collect()
    }

    /// Serves what was bound and closes what the configuration no longer wants.
    pub(super) fn commit(&self, bound: Bound, config: &Config) {
        let known = self.missing.swap(Arc::new(bound.missing));
        if !self.missing.load().is_empty() {
            self.some_missing.notify_one();
        }
        for missing in self.missing.load().iter().filter(|missing| !known.contains(missing)) {
            error!("{missing}; it is tried again every few seconds");
        }
        for (address, listener) in bound.dns {
            let (at, cancel) = (listener.address(), self.cancel.child_token());
            info!(address = %at, "answering DNS over UDP and TCP");
            self.spawn(listener.serve(cancel.clone()));
            lock(&self.dns).0.insert(address, (at, cancel));
        }
        for (address, listener) in bound.web {
            let (at, cancel) = (listener.local_addr().unwrap_or(address), self.cancel.child_token());
            let scheme = if config.web.tls.is_some() { "https" } else { "http" };
            info!("the page is at {scheme}://{at}/");
            self.spawn(web::serve(listener, self.page.clone(), Arc::clone(&self.tls), cancel.clone()));
            lock(&self.web).0.insert(address, (at, cancel));
        }
        lock(&self.dns).keep_only(&dns_wanted(config));
        lock(&self.web).keep_only(&config.web.listen);
    }

    /// Serves the command line's socket.
    pub(super) fn serve_socket(&self, socket: tokio::net::UnixListener, router: Router) {
        self.spawn(web::serve_unix(socket, router, self.cancel.child_token()));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.tasks).spawn(task);
    }

    /// The addresses on which queries are answered.
    pub(super) fn dns_addresses(&self) -> Vec<SocketAddr> {
        lock(&self.dns).bound()
    }

    /// The addresses on which the page is served.
    pub(super) fn page_addresses(&self) -> Vec<SocketAddr> {
        lock(&self.web).bound()
    }

    /// Closes all of them and waits for the end.
    pub(super) async fn close(&self) {
        self.cancel.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }
}
