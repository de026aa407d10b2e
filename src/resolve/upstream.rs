//! One upstream: a question is sent over its transport, its answer is checked, and how it does is noted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hickory_net::NetError;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use super::address::Transport;
use super::bootstrap::Bootstrap;
use super::check;
use super::health::Health;
use super::lanes::{Lanes, MULTIPLEXED_QUESTIONS_MAX, Room, STREAM_QUESTIONS_MAX};
use super::message::{query_of, request, said};
use super::options::UpstreamOptions;
use super::pool::Whose;
use super::tls::is_clock_set;
use super::udp::{Heard, Sockets};
use super::way::{Way, is_stream};
use super::{Question, UpstreamStatus};
use crate::clock::Clock;
use crate::wire::{Said, Stored};

/// The first packet of a question, if it seems lost, is sent again after this long. An upstream that can't be reached is asked
/// again at the earliest then: it may be starting anew.
pub(super) const RESEND_AFTER: Duration = Duration::from_millis(400);
/// How long an upstream may take, and when it is asked again meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) time: Duration,
    /// When the question is sent once more over UDP, from the beginning on.
    pub(super) resends: &'static [Duration],
}

/// An upstream that changed the case of a name in so many answers in a row, and kept it in none, is asked in lower case.
const CASE_LOST_MAX: u32 = 3;
/// Too many open files, in this process or on this machine (errno(3)).
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
/// There is no way to where a packet should go: no network, or none that leads there.
const ENETUNREACH: i32 = 101;

pub(super) struct Upstream {
    pub(super) label: Arc<str>,
    pub(super) health: Health,
    way: Arc<Way>,
    lanes: Lanes,
    clock: Arc<dyn Clock>,
    /// How many answers in a row came in another case than the question.
    case_lost: AtomicU32,
    sockets: Sockets,
}

/// Why a try gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum TryError {
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Network(#[from] NetError),
    #[error("{0}")]
    Untrusted(Arc<str>),
    #[error("{0}")]
    NoAddress(Arc<str>),
    #[error("it answered {rcode}")]
    Rcode { rcode: ResponseCode, said: Option<Arc<Said>> },
    #[error("its answer is not about the question")]
    NotAboutIt,
    #[error("its answer is cut short even over TCP")]
    CutShort,
    #[error("its answer is malformed")]
    Malformed,
    #[error("the question can't be sent")]
    Unsendable,
    #[error("too many questions wait for it already")]
    Busy,
}

impl Upstream {
    pub(super) fn new(options: &UpstreamOptions, bootstrap: &Arc<Bootstrap>, clock: &Arc<dyn Clock>) -> Self {
        let label: Arc<str> = options.address.to_string().into();
        let questions_max = if is_stream(options.address.transport) {
            STREAM_QUESTIONS_MAX
        } else {
            MULTIPLEXED_QUESTIONS_MAX
        };
        Self {
            health: Health::new(Arc::clone(&label), Arc::clone(clock)),
            label,
            way: Arc::new(Way::new(options.clone(), Arc::clone(bootstrap), Arc::clone(clock))),
            lanes: Lanes::new(questions_max, Arc::clone(clock)),
            clock: Arc::clone(clock),
            case_lost: AtomicU32::new(0),
            sockets: Sockets::default(),
        }
    }

    /// Whether it is asked over plain UDP.
    pub(super) fn is_udp(&self) -> bool {
        self.way.options().address.transport == Transport::Udp
    }

    /// Asks it, for as long as is said and not beyond `deadline`. The time in which it waits for room on a connection counts neither as its
    /// latency nor against it.
    pub(super) async fn ask(
        &self,
        question: &Question,
        patience: Patience,
        deadline: Instant,
    ) -> Result<Stored, TryError> {
        self.health.note_asked();
        let room = if self.is_udp() {
            None
        } else {
            let room = timeout_at(deadline, self.lanes.room()).await;
            Some(room.ok().flatten().ok_or(TryError::Busy)?)
        };
        let begun = self.clock.instant();
        let time = patience.time.min(deadline.saturating_duration_since(Instant::now()));
        let asked = timeout(time, self.exchange(question, patience.resends, room.as_ref())).await;
        let answer = asked.unwrap_or(Err(TryError::TimedOut));
        match &answer {
            Ok(_) => self.health.note_answer(self.clock.instant().saturating_duration_since(begun)),
            Err(error) => {
                let silence = if matches!(error, TryError::TimedOut) { time } else { Duration::ZERO };
                self.health.note_failure(error, silence);
            }
        }
        answer
    }

    async fn exchange(
        &self,
        question: &Question,
        resends: &[Duration],
        room: Option<&Room<'_>>,
    ) -> Result<Stored, TryError> {
        let transport = self.way.options().address.transport;
        let sent = match room {
            Some(room) => self.send_over(question, true, room).await,
            None => self.send_udp(question, true, resends).await,
        };
        let mut answer = match sent {
            // What can't be read over UDP may have been cut by somebody who does not say so.
            Err(TryError::Network(NetError::Proto(_))) if room.is_none() => {
                self.send_tcp_instead(question).await?
            }
            sent => sent?,
        };
        // A server that does not know EDNS is asked without it, this once (RFC 6891 section 7).
        if answer.metadata.response_code == ResponseCode::FormErr && answer.edns.is_none() {
            answer = match room {
                Some(room) => self.send_over(question, false, room).await?,
                None => self.send_udp(question, false, &[]).await?,
            };
        }
        if answer.metadata.truncation && transport == Transport::Udp {
            answer = self.send_tcp_instead(question).await?;
        }
        if answer.metadata.op_code != OpCode::Query {
            return Err(TryError::NotAboutIt);
        }
        if answer.metadata.truncation {
            return Err(TryError::CutShort);
        }
        let rcode = answer.metadata.response_code;
        let said = said(&answer, &self.label);
        if !check::is_about_the_name(rcode) {
            return Err(TryError::Rcode { rcode, said: said.map(Arc::new) });
        }
        let asked = query_of(question)?;
        let answer =
            check::keep_what_answers(answer, &asked, question.dnssec_ok).ok_or(TryError::NotAboutIt)?;
        let message = answer.to_vec().map_err(|_| TryError::Malformed)?;
        Ok(Stored::new(message, rcode.into()).map_err(|_| TryError::Malformed)?.saying(said))
    }

    async fn send_over(&self, question: &Question, edns: bool, room: &Room<'_>) -> Result<Message, TryError> {
        let request = request(question, edns, self.way.options().address.transport.is_encrypted())?;
        // Boxed, so that questions over UDP don't carry its size.
        Box::pin(room.ask(&self.way, request)).await
    }

    /// What does not fit into a packet is asked for over TCP.
    async fn send_tcp_instead(&self, question: &Question) -> Result<Message, TryError> {
        let room = self.lanes.room().await.ok_or(TryError::Busy)?;
        self.send_over(question, true, &room).await
    }

    /// Asks in mixed case, unless the upstream never keeps it; when its answer comes in another case and none in the right one, the
    /// question is asked anew in lower case.
    async fn send_udp(
        &self,
        question: &Question,
        edns: bool,
        resends: &[Duration],
    ) -> Result<Message, TryError> {
        let address = self.way.address().await?;
        let mixed = self.case_lost.load(Ordering::Relaxed) < CASE_LOST_MAX;
        let heard = self.sockets.ask(address, question, edns, resends, mixed).await;
        match heard.inspect_err(|_| self.way.avoid_address())? {
            Heard::Answer(answer) => {
                if mixed {
                    self.case_lost.store(0, Ordering::Relaxed);
                }
                Ok(answer)
            }
            Heard::OtherCase => {
                let Heard::Answer(answer) = self.sockets.ask(address, question, edns, &[], false).await?
                else {
                    return Err(TryError::NotAboutIt);
                };
                if self.case_lost.fetch_add(1, Ordering::Relaxed) + 1 == CASE_LOST_MAX {
                    warn!(
                        upstream = %self.label,
                        "the upstream does not keep the case of names; it is asked in lower case from now on, which leaves a forger less \
                         to guess: an encrypted upstream would be better"
                    );
                }
                Ok(answer)
            }
        }
    }

    /// Whether a try failed because this machine is not as far yet, after a start without network or clock: nothing ever answered here.
    pub(super) fn is_out_of_reach_yet(&self, error: &TryError) -> bool {
        let is_too_early = match error {
            TryError::NoAddress(_) => true,
            TryError::Untrusted(_) => !is_clock_set(self.clock.now()),
            TryError::Network(NetError::Io(error)) => error.raw_os_error() == Some(ENETUNREACH),
            _ => false,
        };
        is_too_early && self.health.status().answered == 0
    }

    pub(super) fn status(&self, whose: &Whose) -> UpstreamStatus {
        let health = self.health.status();
        let connections = self.lanes.opened();
        let transport = self.way.options().address.transport;
        let resumed = if transport.is_encrypted() {
            connections.saturating_sub(self.way.certificates_checked())
        } else {
            0
        };
        UpstreamStatus {
            address: Arc::clone(&self.label),
            transport,
            route: Arc::clone(&whose.route),
            group: Arc::clone(&whose.group),
            answered: health.answered,
            failed: health.failed,
            latency_us: health.latency_us,
            latency_sum_us: health.latency_sum_us,
            latencies: health.latencies,
            connections,
            resumed,
            problem: health.problem,
        }
    }
}

impl TryError {
    /// Whether the upstream did not answer, rather than answered badly.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::TimedOut | Self::Untrusted(_) | Self::NoAddress(_) => true,
            Self::Network(NetError::Io(error)) => !matches!(error.raw_os_error(), Some(EMFILE | ENFILE)),
            Self::Network(NetError::Proto(_)) => false,
            Self::Network(_) => true,
            Self::Rcode { .. }
            | Self::NotAboutIt
            | Self::CutShort
            | Self::Malformed
            | Self::Unsendable
            | Self::Busy => false,
        }
    }

    /// Whether it will be the same the next time.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Untrusted(_) | Self::NoAddress(_))
    }
}
