//! The upstreams: which is asked first, how long it may take, and what is tried when it fails.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use hickory_net::NetError;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::xfer::{DnsExchange, DnsHandle, FirstAnswer};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::address::{Transport, UpstreamAddress};
use super::check;
use super::{Question, Unresolved, UnresolvedKind, udp};
use crate::clock::Clock;
use crate::wire::{Stored, UDP_PAYLOAD_MAX};

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all tries may take. A client asks again after 5 seconds (glibc, Windows) and should have its answer before.
const TRIES_TIMEOUT: Duration = Duration::from_millis(4_500);
/// How many tries a question gets over all upstreams, and from one of them, so that no outage multiplies the questions.
const TRIES_MAX: usize = 3;
const TRIES_OF_ONE_MAX: usize = 2;
/// The first packet of a question, if it seems lost, is sent again after this long. An upstream that can't be reached is asked
/// again at the earliest then: it may be starting anew.
const RESEND_AFTER: Duration = Duration::from_millis(400);
/// How many questions may wait for upstreams at once: each holds memory and a part of a socket, and what comes beyond is told
/// at once.
const ASKS_MAX: usize = 4096;
/// An upstream is taken for down, and that is told, after so many tries in a row without an answer; a single lost
/// question may be the fault of a name whose own servers are slow.
const FAILURES_TO_BE_DOWN: u32 = 2;
/// What is told of an upstream is told again after this long at the earliest: an SD card keeps the log.
const LOG_PAUSE: Duration = Duration::from_secs(60);
/// hickory refuses the 33rd question on one TCP connection; it is asked over another one.
const TCP_QUESTIONS_MAX: usize = 32;
/// A TCP connection that brought no answer for so long is not trusted: routers forget connections and tell nobody.
const TCP_KEPT: Duration = Duration::from_secs(10);
/// An upstream that failed is asked last for so long; each further failure doubles it, up to the second value.
const DOWN_FIRST: Duration = Duration::from_secs(2);
const DOWN_MAX: Duration = Duration::from_secs(30);

type Exchange = DnsExchange<TokioRuntimeProvider>;

/// An answer and who gave it.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) answer: Arc<Stored>,
    pub(super) upstream: Arc<str>,
}

/// How an upstream is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamStatus {
    /// Where it is, as it is configured.
    pub address: Arc<str>,
    /// How many questions it answered.
    pub answered: u64,
    /// How many tries failed.
    pub failed: u64,
    /// The smoothed time to an answer, in microseconds; `None` before the first one.
    pub latency_us: Option<u32>,
    /// What went wrong last, while it is asked last because of that.
    pub problem: Option<String>,
}

pub(super) struct Pool {
    upstreams: Vec<Upstream>,
    asks: Semaphore,
}

struct Upstream {
    address: UpstreamAddress,
    label: Arc<str>,
    /// From where it is asked over UDP.
    /// hickory ends every connection when the last clone of its provider goes; it lives as long as the upstream.
    provider: TokioRuntimeProvider,
    /// The TCP connection and when it last brought an answer.
    tcp: Mutex<Option<(Exchange, StdInstant)>>,
    clock: Arc<dyn Clock>,
    started: StdInstant,
    answered: AtomicU64,
    failed: AtomicU64,
    /// Zero before the first answer.
    latency_us: AtomicU32,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Milliseconds since `started`.
    down_until_ms: AtomicU64,
    /// When something was last told of it, in milliseconds since `started`.
    told_ms: AtomicU64,
    problem: Mutex<String>,
}

/// Why a try gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Network(#[from] NetError),
    #[error("it answered {0}")]
    Rcode(ResponseCode),
    #[error("its answer is not about the question")]
    NotAboutIt,
    #[error("its answer is cut short even over TCP")]
    CutShort,
    #[error("its answer is malformed")]
    Malformed,
    #[error("the question can't be sent")]
    Unsendable,
}

impl Pool {
    pub(super) fn new(addresses: &[UpstreamAddress], clock: &Arc<dyn Clock>) -> Self {
        let upstream = |&address| Upstream::new(address, Arc::clone(clock));
        Self { upstreams: addresses.iter().map(upstream).collect(), asks: Semaphore::new(ASKS_MAX) }
    }

    pub(super) fn asks(&self, addresses: &[UpstreamAddress]) -> bool {
        self.upstreams.iter().map(|upstream| &upstream.address).eq(addresses)
    }

    pub(super) fn status(&self) -> Vec<UpstreamStatus> {
        self.upstreams.iter().map(Upstream::status).collect()
    }

    /// Asks one upstream after the other, those that work first, until one gives an answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<Answered, Unresolved> {
        let Ok(_ask) = self.asks.try_acquire() else {
            let why = format!("{ASKS_MAX} questions wait for upstreams already").into();
            return Err(Unresolved { why, kind: UnresolvedKind::Overload });
        };
        let mut order: Vec<&Upstream> = self.upstreams.iter().collect();
        order.sort_by_key(|upstream| upstream.down_for());
        let tries_max = TRIES_MAX.min(order.len() * TRIES_OF_ONE_MAX);
        let deadline = Instant::now() + TRIES_TIMEOUT;
        let mut failures = Vec::new();
        let mut kind = UnresolvedKind::Refused;
        for number in 0..tries_max {
            let Some(&upstream) = order.first() else { break };
            let begun = Instant::now();
            let patience = TRY_TIMEOUT.min(deadline.saturating_duration_since(begun));
            match upstream.ask(question, patience, number == 0).await {
                Ok(answer) => {
                    let upstream = Arc::clone(&upstream.label);
                    return Ok(Answered { answer: Arc::new(answer), upstream });
                }
                Err(error) => {
                    debug!(upstream = %upstream.label, name = %question.name, %error, "a try failed");
                    failures.push(format!("{}: {error}", upstream.label));
                    if error.is_silence() {
                        kind = UnresolvedKind::Unreachable;
                    }
                    // The next one's turn; one that said no would say it again.
                    order.rotate_left(1);
                    if matches!(error, TryError::Rcode(_)) {
                        order.pop();
                    }
                    let is_next_too = order.first().is_some_and(|&next| std::ptr::eq(next, upstream));
                    if is_next_too && error.is_silence() && number + 1 < tries_max {
                        sleep(RESEND_AFTER.saturating_sub(begun.elapsed())).await;
                    }
                }
            }
        }
        failures.sort();
        failures.dedup();
        let why =
            if failures.is_empty() { "no upstream is configured".to_owned() } else { failures.join("; ") };
        Err(Unresolved { why: why.into(), kind })
    }
}

impl Upstream {
    fn new(address: UpstreamAddress, clock: Arc<dyn Clock>) -> Self {
        Self {
            address,
            label: address.to_string().into(),
            provider: TokioRuntimeProvider::new(),
            tcp: Mutex::new(None),
            started: clock.instant(),
            clock,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            latency_us: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            down_until_ms: AtomicU64::new(0),
            told_ms: AtomicU64::new(0),
            problem: Mutex::new(String::new()),
        }
    }

    async fn ask(&self, question: &Question, patience: Duration, first: bool) -> Result<Stored, TryError> {
        let begun = self.clock.instant();
        let asked = timeout(patience, self.exchange(question, first)).await;
        let answer = asked.unwrap_or_else(|_| {
            // Silence on a connection may be the connection's; the next try makes a new one.
            *self.kept_tcp() = None;
            Err(TryError::TimedOut)
        });
        match &answer {
            Ok(_) => self.note_answer(self.clock.instant().saturating_duration_since(begun)),
            Err(error) => self.note_failure(error),
        }
        answer
    }

    async fn exchange(&self, question: &Question, first: bool) -> Result<Stored, TryError> {
        let transport = self.address.transport;
        let sent = self.send(question, true, transport, first).await;
        let mut answer = match sent {
            // What can't be read over UDP may have been cut by somebody who does not say so.
            Err(TryError::Network(NetError::Proto(_))) if transport == Transport::Udp => {
                self.send(question, true, Transport::Tcp, false).await?
            }
            sent => sent?,
        };
        // A server that does not know EDNS is asked without it, this once (RFC 6891 section 7).
        if answer.metadata.response_code == ResponseCode::FormErr && answer.edns.is_none() {
            answer = self.send(question, false, transport, false).await?;
        }
        if answer.metadata.truncation && transport == Transport::Udp {
            answer = self.send(question, true, Transport::Tcp, false).await?;
        }
        if answer.metadata.op_code != OpCode::Query {
            return Err(TryError::NotAboutIt);
        }
        if answer.metadata.truncation {
            return Err(TryError::CutShort);
        }
        let rcode = answer.metadata.response_code;
        if !check::is_about_the_name(rcode) {
            return Err(TryError::Rcode(rcode));
        }
        let asked = query_of(question)?;
        let answer =
            check::keep_what_answers(answer, &asked, question.dnssec_ok).ok_or(TryError::NotAboutIt)?;
        let message = answer.to_vec().map_err(|_| TryError::Malformed)?;
        Stored::new(message, rcode.into()).map_err(|_| TryError::Malformed)
    }

    async fn send(
        &self,
        question: &Question,
        edns: bool,
        transport: Transport,
        resend: bool,
    ) -> Result<Message, TryError> {
        Ok(match transport {
            Transport::Udp => {
                let resend_after = resend.then_some(RESEND_AFTER);
                udp::ask(self.address.socket, question, edns, resend_after).await?
            }
            Transport::Tcp => self.send_tcp(request(question, edns)?).await?.into_message(),
        })
    }

    /// Sends over the connection that is there, or over a new one when that one turns out to be dead or full.
    async fn send_tcp(&self, request: DnsRequest) -> Result<hickory_proto::op::DnsResponse, NetError> {
        let now = self.clock.instant();
        let fresh = |kept: &&(Exchange, StdInstant)| now.saturating_duration_since(kept.1) < TCP_KEPT;
        let kept = self.kept_tcp().as_ref().filter(fresh).map(|(exchange, _)| exchange.clone());
        if let Some(exchange) = kept {
            match exchange.send(request.clone()).first_answer().await {
                Ok(answer) => {
                    self.keep_tcp(exchange);
                    return Ok(answer);
                }
                Err(error) => debug!(upstream = %self.label, %error, "connecting anew"),
            }
        }
        let (socket, provider) = (self.address.socket, self.provider.clone());
        let connected =
            TcpClientStream::exchange(socket, None, TRY_TIMEOUT, Some(TCP_QUESTIONS_MAX), provider).await?;
        let answer = connected.send(request).first_answer().await?;
        self.keep_tcp(connected);
        Ok(answer)
    }

    fn keep_tcp(&self, exchange: Exchange) {
        *self.kept_tcp() = Some((exchange, self.clock.instant()));
    }

    fn kept_tcp(&self) -> MutexGuard<'_, Option<(Exchange, StdInstant)>> {
        self.tcp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_answer(&self, latency: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let latency = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX).max(1);
        let smoothed = match self.latency_us.load(Ordering::Relaxed) {
            0 => latency,
            before => before - before / 8 + latency / 8,
        };
        self.latency_us.store(smoothed, Ordering::Relaxed);
        let failures = self.failures.swap(0, Ordering::Relaxed);
        self.down_until_ms.store(0, Ordering::Relaxed);
        if FAILURES_TO_BE_DOWN <= failures && self.may_tell() {
            info!(upstream = %self.label, "the upstream answers again");
        }
    }

    fn note_failure(&self, error: &TryError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        // An error that it tells is an answer, and our own lack of sockets is not its fault.
        if !error.is_silence() {
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let down = DOWN_FIRST.saturating_mul(1 << (failures - 1).min(8)).min(DOWN_MAX);
        self.down_until_ms.store(self.elapsed_ms().saturating_add(millis(down)), Ordering::Relaxed);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        if failures == FAILURES_TO_BE_DOWN && self.may_tell() {
            warn!(upstream = %self.label, %error, "the upstream fails; others are asked before it for a while");
        }
    }

    /// Whether enough time has passed since something was told; if so, it counts as told now.
    fn may_tell(&self) -> bool {
        let (now, told) = (self.elapsed_ms(), self.told_ms.load(Ordering::Relaxed));
        let may = told == 0 || told.saturating_add(millis(LOG_PAUSE)) <= now;
        if may {
            self.told_ms.store(now.max(1), Ordering::Relaxed);
        }
        may
    }

    fn elapsed_ms(&self) -> u64 {
        millis(self.clock.instant().saturating_duration_since(self.started))
    }

    /// How long it is still to be asked last, in milliseconds.
    fn down_for(&self) -> u64 {
        self.down_until_ms.load(Ordering::Relaxed).saturating_sub(self.elapsed_ms())
    }

    fn status(&self) -> UpstreamStatus {
        let latency_us = self.latency_us.load(Ordering::Relaxed);
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UpstreamStatus {
            address: Arc::clone(&self.label),
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            latency_us: (latency_us != 0).then_some(latency_us),
            problem: (FAILURES_TO_BE_DOWN <= self.failures.load(Ordering::Relaxed)).then_some(problem),
        }
    }
}

impl TryError {
    /// Whether the upstream did not answer, rather than answered badly.
    fn is_silence(&self) -> bool {
        match self {
            Self::TimedOut => true,
            Self::Network(NetError::Io(error)) => !matches!(error.raw_os_error(), Some(EMFILE | ENFILE)),
            Self::Network(NetError::Proto(_)) => false,
            Self::Network(_) => true,
            Self::Rcode(_) | Self::NotAboutIt | Self::CutShort | Self::Malformed | Self::Unsendable => false,
        }
    }
}

/// Too many open files, in this process or on this machine (errno(3)).
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn query_of(question: &Question) -> Result<Query, TryError> {
    let mut decoder = BinDecoder::new(question.name.as_ref().as_wire());
    let name = Name::read(&mut decoder).map_err(|_| TryError::Unsendable)?;
    let mut query = Query::query(name, RecordType::from(question.qtype));
    query.set_query_class(DNSClass::from(question.qclass));
    Ok(query)
}

/// The question as it is sent over TCP: nothing of the client's own options goes along.
pub(super) fn request(question: &Question, edns: bool) -> Result<DnsRequest, TryError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = question.checking_disabled;
    message.metadata.authentic_data = true;
    message.add_query(query_of(question)?);
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD_MAX).set_dnssec_ok(question.dnssec_ok);
        message.set_edns(edns);
    }
    Ok(DnsRequest::new(message, DnsRequestOptions::default()))
}
