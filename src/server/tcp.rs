//! DNS over TCP: connections, framing and patience.
//!
//! Messages have their length before them (RFC 1035 section 4.2.2). A client may send questions without waiting for answers, and
//! each answer goes out when it is there, whatever was asked before it (RFC 7766 section 6.2.1.1). What is answered is decided
//! by the [`Responder`], whose octets are sent as they are; this part never reads further than a message's header.
//!
//! A connection is one task. All that it holds is bounded: questions in work, answers that wait to be sent, and the time in
//! which its client has to ask, to end what it began to send, and to take an answer.

use std::collections::VecDeque;
use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::codec::LengthDelimitedCodec;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connections::Seat;
use super::responder::{Responder, Transport};
use crate::wire;

/// A client that asks nothing for so long is left, and so is one that does not end a message that it began, or does not take an
/// answer, within that time (RFC 7766 section 6.2.3 has the server choose; a client that goes on connects again).
const PATIENCE: Duration = Duration::from_secs(10);
/// So many questions of a connection are in work, or wait with their answer, before the next one is read.
const IN_WORK_MAX: usize = 32;
/// While so many octets of answers wait, nothing more is read: a client that does not read is not worked for.
const UNSENT_MAX: usize = 65_536;
/// How long questions in work may take when the listener is closed.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// After an accept() failed the next one waits for so long: what it lacked, descriptors for instance, is not there at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failed accepts are told once in this time.
const ACCEPT_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Accepts connections until `cancel`. Then no more are accepted, and those that are open may answer what is in work.
pub(super) async fn serve(listener: TcpListener, responder: Arc<Responder>, cancel: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut failures = Failures::default();
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            // A connection whose task fell over ends alone.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let leave = cancel.child_token();
                // Without a seat it is closed at once.
                if let Some(seat) = responder.seat(client.ip(), leave.clone()) {
                    connections.spawn(attend(stream, client, Arc::clone(&responder), seat, leave));
                }
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                failures.tell(&error);
                tokio::select! {
                    () = cancel.cancelled() => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    let _ = timeout(DRAIN_MAX, async { while connections.join_next().await.is_some() {} }).await;
}

/// Whether accept() tells of a connection that its client gave up again (accept(2)).
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// The failed accepts that were not told yet.
#[derive(Default)]
struct Failures {
    told: Option<Instant>,
    untold: u64,
}

impl Failures {
    fn tell(&mut self, error: &io::Error) {
        self.untold += 1;
        if self.told.is_none_or(|told| ACCEPT_TOLD_EVERY <= told.elapsed()) {
            warn!(%error, failures = self.untold, "a TCP connection could not be accepted; trying again");
            *self = Self { told: Some(Instant::now()), untold: 0 };
        }
    }
}

/// Serves one connection to its end.
async fn attend(
    mut stream: TcpStream,
    client: SocketAddr,
    responder: Arc<Responder>,
    seat: Seat,
    leave: CancellationToken,
) {
    if let Err(error) = converse(&mut stream, client, &responder, &seat, &leave).await {
        debug!(%error, %client, "a TCP connection ended");
    }
}

/// Reads questions and sends answers until the client has ended, or is to leave, and all is answered.
async fn converse(
    stream: &mut TcpStream,
    client: SocketAddr,
    responder: &Responder,
    seat: &Seat,
    leave: &CancellationToken,
) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut messages = LengthDelimitedCodec::builder().length_field_type::<u16>().new_read(reader);
    let mut in_work = FuturesUnordered::new();
    let mut unsent = Unsent::default();
    let mut reads_on = true;
    let mut deadline = Instant::now() + PATIENCE;
    while reads_on || !in_work.is_empty() || !unsent.answers.is_empty() {
        let has_room = in_work.len() + unsent.answers.len() < IN_WORK_MAX && unsent.octets < UNSENT_MAX;
        let waits_for_client = in_work.is_empty() || !unsent.answers.is_empty();
        tokio::select! {
            // What is there goes out before more is taken in.
            biased;
            Some(answer) = in_work.next() => {
                if unsent.answers.is_empty() {
                    deadline = Instant::now() + PATIENCE;
                }
                if let Some::<Vec<u8>>(answer) = answer {
                    unsent.push(&answer);
                }
            }
            sent = unsent.send(&mut writer), if !unsent.answers.is_empty() => {
                if sent? {
                    deadline = Instant::now() + PATIENCE;
                }
            }
            message = messages.next(), if reads_on && has_room => match message.transpose()? {
                Some(packet) if wire::is_query(&packet) => {
                    seat.is_busy();
                    in_work.push(async move { responder.respond(&packet, client, Transport::Tcp).await });
                }
                // The client has asked all, or it does not speak DNS.
                _ => reads_on = false,
            },
            () = leave.cancelled(), if reads_on => reads_on = false,
            () = sleep_until(deadline), if waits_for_client => return Ok(()),
        }
        if in_work.is_empty() && unsent.answers.is_empty() {
            seat.is_quiet(deadline.into_std() - PATIENCE);
        }
    }
    Ok(())
}

/// Answers that wait to be sent, with their length before them.
#[derive(Default)]
struct Unsent {
    answers: VecDeque<Cursor<Vec<u8>>>,
    octets: usize,
}

impl Unsent {
    fn push(&mut self, answer: &[u8]) {
        // No message is longer than its length can tell.
        let Ok(length) = u16::try_from(answer.len()) else { return };
        let framed = [&length.to_be_bytes(), answer].concat();
        self.octets += framed.len();
        self.answers.push_back(Cursor::new(framed));
    }

    /// Sends on; whether an answer is through. Length and message go out in one write, so that they share a packet where they
    /// can (RFC 7766 section 8). Nothing is lost when this is dropped before its end.
    async fn send(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<bool> {
        let Some(answer) = self.answers.front_mut() else { return Ok(false) };
        if writer.write_buf(answer).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let length = answer.get_ref().len();
        let is_through = u64::try_from(length).is_ok_and(|length| length <= answer.position());
        if is_through {
            self.octets = self.octets.saturating_sub(length);
            self.answers.pop_front();
        }
        Ok(is_through)
    }
}
