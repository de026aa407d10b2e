//! Serving until told to stop, and then not for long.

use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use axum::{Extension, Router};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::Bounded;

/// How long requests may take to end when the daemon stops. Live streams end at once.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves `router` until `cancel`, then lets running requests end for a few seconds.
///
/// A connection that can't be accepted is a line in the log and a pause, not the end.
pub async fn serve(listener: TcpListener, router: Router, cancel: CancellationToken) {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "live events on this connection may come late");
        }
    });
    serve_on(listener, router, cancel).await;
}

/// [`serve`] on a Unix socket.
pub async fn serve_unix(listener: UnixListener, router: Router, cancel: CancellationToken) {
    serve_on(listener, router, cancel).await;
}

async fn serve_on<L>(listener: L, router: Router, cancel: CancellationToken)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    // Live streams find the token here and end with it; otherwise the browser's open page would hold the daemon up.
    let router = router.layer(Extension(cancel.clone()));
    let serving =
        axum::serve(Bounded::new(listener), router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let too_late = async {
        cancel.cancelled().await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                warn!(%error, "the page is no longer served");
            }
        }
        () = too_late => debug!("requests to the page were cut off"),
    }
}
