//! The addresses that are served, kept as the configuration has them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

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

    fn bound(&self) -> Vec<SocketAddr> {
        self.0.values().map(|(bound, _)| *bound).collect()
    }
}

/// All listeners.
pub(super) struct Listeners {
    responder: Arc<Responder>,
    page: Router,
    dns: Mutex<Served>,
    web: Mutex<Served>,
    tasks: Mutex<JoinSet<()>>,
    cancel: CancellationToken,
}

impl Listeners {
    pub(super) fn new(responder: Arc<Responder>, page: Router) -> Self {
        Self {
            responder,
            page,
            dns: Mutex::default(),
            web: Mutex::default(),
            tasks: Mutex::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// Listens for queries where the configuration says so.
    ///
    /// # Errors
    /// When an address that the file names can't be had, or when there would be none at all.
    pub(super) fn serve_dns(&self, config: &Config) -> anyhow::Result<()> {
        let mut served = self.dns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = config.server.listen.clone();
        if config.file.is_none() {
            wanted.push(TRIAL_LISTEN);
        }
        let mut refused = Vec::new();
        for &address in &wanted {
            if served.0.contains_key(&address) {
                continue;
            }
            match Listener::bind(address, Arc::clone(&self.responder)) {
                Ok(listener) => {
                    let (bound, cancel) = (listener.address(), self.cancel.child_token());
                    info!(address = %bound, "answering DNS over UDP and TCP");
                    self.spawn(listener.serve(cancel.clone()));
                    served.0.insert(address, (bound, cancel));
                }
                Err(error) if config.listen_is_named => return Err(error.into()),
                Err(error) => refused.push(error),
            }
        }
        served.keep_only(&wanted);
        for error in &refused {
            warn!("{error}");
        }
        if served.0.is_empty()
            && let Some(error) = refused.pop()
        {
            return Err(error.into());
        }
        Ok(())
    }

    /// Serves the page where the configuration says so.
    ///
    /// # Errors
    /// When an address that the file names can't be had.
    pub(super) async fn serve_web(&self, config: &Config) -> anyhow::Result<()> {
        for &address in &config.web.listen {
            if self.web.lock().unwrap_or_else(PoisonError::into_inner).0.contains_key(&address) {
                continue;
            }
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| {
                format!("the page can't be served on {address}; choose another address for web.listen, or free this one")
            });
            match listener {
                Ok(listener) => {
                    let (bound, cancel) =
                        (listener.local_addr().unwrap_or(address), self.cancel.child_token());
                    info!("the page is at http://{bound}/");
                    self.spawn(web::serve(listener, self.page.clone(), cancel.clone()));
                    let mut served = self.web.lock().unwrap_or_else(PoisonError::into_inner);
                    served.0.insert(address, (bound, cancel));
                }
                Err(error) if config.web_listen_is_named => return Err(error),
                Err(error) => warn!("{error:#}"),
            }
        }
        self.web.lock().unwrap_or_else(PoisonError::into_inner).keep_only(&config.web.listen);
        Ok(())
    }

    /// Serves the command line's socket.
    pub(super) fn serve_socket(&self, socket: tokio::net::UnixListener, router: Router) {
        self.spawn(web::serve_unix(socket, router, self.cancel.child_token()));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    /// The addresses on which queries are answered.
    pub(super) fn dns_addresses(&self) -> Vec<SocketAddr> {
        self.dns.lock().unwrap_or_else(PoisonError::into_inner).bound()
    }

    /// Closes all of them and waits for the end.
    pub(super) async fn close(&self) {
        self.cancel.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}
