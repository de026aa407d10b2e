//! Connections to the page, few at a time and none of them idle for long.
//!
//! A connection that sends half a request, or that never reads its answer, would otherwise stay for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How many connections each listener serves at a time; a browser opens six. Others wait to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// How long nothing may move in either direction. Live streams show signs of life four times as often.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Accepts a bounded number of connections.
pub(super) struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(super) fn new(listener: L) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed; were it, connections would be served without a place rather than not at all.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (io, address) = self.listener.accept().await;
        (Connection::new(io, IDLE_MAX, place), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when it has been idle for too long.
pub(super) struct Connection<Io> {
    io: Io,
    idle_max: Duration,
    idle: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<Io> Connection<Io> {
    fn new(io: Io, idle_max: Duration, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { io, idle_max, idle: Box::pin(tokio::time::sleep(idle_max)), _place: place }
    }

    /// Passes on what `polled` says and starts the time anew; if nothing moved, looks whether the time is up.
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let deadline = Instant::now() + self.idle_max;
            self.idle.as_mut().reset(deadline);
            return polled;
        }
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Connection<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, into);
        self.watch(cx, polled)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Connection<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, from);
        self.watch(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, from);
        self.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_ends() {
        let (mut near, far) = tokio::io::duplex(8);
        let mut connection = Connection::new(far, Duration::from_millis(20), None);
        near.write_all(b"GET / H").await.unwrap();
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 7);
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Nobody reads: eight octets fit in between, the ninth waits for ever.
        assert_eq!(connection.write_all(&[0; 9]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
