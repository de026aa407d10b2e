//! Serving until told to stop, and then not for long.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connection::Bounded;
use super::tls::{Door, Tls};

/// How long a request's head may take to come, from the connection's beginning or the last answer on: a browser sends it
/// at once. Whoever sends half of one gives its place back to others.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may take to end when the daemon stops. Live streams end at once.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves `router` until `cancel`, then lets running requests end for a few seconds; over TLS while there is a certificate.
///
/// A connection that can't be accepted is a line in the log and a pause, not the end.
pub async fn serve(listener: TcpListener, router: Router, tls: Arc<Tls>, cancel: CancellationToken) {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "live events on this connection may come late");
        }
    });
    serve_on(listener, |address: &SocketAddr| Some(address.ip()), router, tls, cancel).await;
}

/// [`serve`] on a Unix socket.
pub async fn serve_unix(listener: UnixListener, router: Router, cancel: CancellationToken) {
    serve_on(listener, |_| None, router, Arc::default(), cancel).await;
}

/// Who asks, in the extensions of a request that came over the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Peer(pub(super) IpAddr);

/// In the extensions of a request that came over TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OverTls;

async fn serve_on<L: Listener>(
    listener: L,
    address_of: fn(&L::Addr) -> Option<IpAddr>,
    router: Router,
    tls: Arc<Tls>,
    cancel: CancellationToken,
) {
    // Live streams find the token here and end with it; otherwise the browser's open page would hold the daemon up.
    let router = router.layer(Extension(cancel.clone()));
    let mut listener = Bounded::new(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next() => {}
            (io, address) = listener.accept() => {
                let peer = address_of(&address).map(Peer);
                let (router, cancel) = (router.clone(), cancel.clone());
                match tls.door() {
                    Door::Plain => {
                        connections.spawn(serve_connection(io, (peer, None), router, HEAD_TIMEOUT, cancel));
                    }
                    Door::Tls(acceptor) => {
                        connections.spawn(serve_tls(acceptor, io, peer, router, cancel));
                    }
                    Door::Closed => drop(io),
                }
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
        debug!("requests to the page were cut off");
    }
}

/// [`serve_connection`] over TLS. A handshake may take as long as a head.
async fn serve_tls(
    acceptor: TlsAcceptor,
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Option<Peer>,
    router: Router,
    cancel: CancellationToken,
) {
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(io)) => shaken,
        () = cancel.cancelled() => return,
    };
    match shaken {
        Ok(Ok(io)) => serve_connection(io, (peer, Some(OverTls)), router, HEAD_TIMEOUT, cancel).await,
        Ok(Err(error)) => debug!(%error, "a connection to the page did not get through its TLS handshake"),
        Err(_elapsed) => debug!("a connection to the page was too slow with its TLS handshake"),
    }
}

/// HTTP/1.1 and nothing else: HTTP/2 would let one connection ask for hundreds of things at once, and browsers speak it
/// only over TLS.
async fn serve_connection(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    (peer, over_tls): (Option<Peer>, Option<OverTls>),
    router: Router,
    head_timeout: Duration,
    cancel: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        if let Some(over_tls) = over_tls {
            request.extensions_mut().insert(over_tls);
        }
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection to the page ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// What comes back for `sent` until the connection is closed, while the other side stays open.
    async fn answer(sent: &[u8]) -> Vec<u8> {
        let (mut near, far): (DuplexStream, _) = tokio::io::duplex(4096);
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let head_timeout = Duration::from_millis(50);
        tokio::spawn(serve_connection(far, (None, None), router, head_timeout, CancellationToken::new()));
        near.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        let read = near.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("the connection ends").unwrap();
        answer
    }

    #[tokio::test]
    async fn half_a_request_does_not_keep_its_place() {
        assert!(answer(b"GET / HTTP/1.1\r\nHost: local").await.is_empty());
        assert!(answer(b"").await.is_empty());
        assert!(answer(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ends_with(b"here"));
    }

    #[tokio::test]
    async fn http_2_is_not_spoken() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        let answer = answer(preface).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
}
