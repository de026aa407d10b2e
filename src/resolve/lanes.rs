//! The connections to one upstream: opened when they are needed, used by many questions at once, and replaced without losing one
//! when they turn out to be dead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hickory_proto::op::{DnsRequest, Message};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tracing::debug;

use super::connection::Connection;
use super::health::millis;
use super::upstream::TryError;
use super::way::Way;
use crate::clock::Clock;

/// How many questions are on one connection of TCP or TLS at once: hickory refuses the 33rd.
pub(super) const STREAM_QUESTIONS_MAX: usize = 32;
/// And on one of HTTP or QUIC, where servers allow 100 streams as a rule (RFC 9113 section 6.5.2 asks them to).
pub(super) const MULTIPLEXED_QUESTIONS_MAX: usize = 100;
/// How many connections there are at most, when those before are full. Questions beyond wait for their turn.
const CONNECTIONS_MAX: usize = 4;
/// A connection that brought nothing for so long may be dead: routers forget connections and tell nobody. It is used, but not
/// waited for.
const QUIET: Duration = Duration::from_secs(10);
/// After this long without an answer from such a connection, a new one is opened and asked too.
const QUIET_PATIENCE: Duration = Duration::from_millis(250);
/// When a connection brings no answer to a question for so long, nor to any other meanwhile, it is not used any more.
const DEAD_AFTER: Duration = Duration::from_millis(1_500);

type Opening = Shared<BoxFuture<'static, Result<Arc<Opened>, TryError>>>;

pub(super) struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// A permit for each question that fits on all of them.
    room: Semaphore,
    clock: Arc<dyn Clock>,
    started: Instant,
    opened: Arc<AtomicU64>,
}

struct Lane {
    room: Semaphore,
    state: Mutex<State>,
    /// How many openings were begun.
    openings: AtomicU64,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    /// The number of the opening, and what comes of it.
    Opening(u64, Opening),
    Open(Arc<Opened>),
}

struct Opened {
    connection: Connection,
    /// When it last brought something, in milliseconds since `started` of its lanes.
    heard_ms: AtomicU64,
}

impl Lanes {
    pub(super) fn new(questions_max: usize, clock: Arc<dyn Clock>) -> Self {
        let lane = || {
            let room = Semaphore::new(questions_max);
            Arc::new(Lane { room, state: Mutex::default(), openings: AtomicU64::new(0) })
        };
        Self {
            lanes: std::iter::repeat_with(lane).take(CONNECTIONS_MAX).collect(),
            room: Semaphore::new(questions_max * CONNECTIONS_MAX),
            started: clock.instant(),
            clock,
            opened: Arc::default(),
        }
    }

    /// How many connections were opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Waits until there is room for one more question.
    pub(super) async fn room(&self) -> Option<Room<'_>> {
        let all = self.room.acquire().await.ok()?;
        let (lane, own) = self.lanes.iter().find_map(|lane| Some((lane, lane.room.try_acquire().ok()?)))?;
        Some(Room { lanes: self, lane, _own: own, _all: all })
    }

    fn now_ms(&self) -> u64 {
        millis(self.clock.instant().saturating_duration_since(self.started))
    }
}

/// The place of one question on a connection.
pub(super) struct Room<'a> {
    lanes: &'a Lanes,
    lane: &'a Arc<Lane>,
    // Given back in this order: who gets the second finds a lane that has the first.
    _own: SemaphorePermit<'a>,
    _all: SemaphorePermit<'a>,
}

impl Room<'_> {
    /// Asks over the connection that is there, or over a new one where there is none or it is dead.
    pub(super) async fn ask(&self, way: &Arc<Way>, request: DnsRequest) -> Result<Message, TryError> {
        let kept = self.lane.open();
        let Some(kept) = kept else { return self.ask_anew(way, request, None).await };
        let quiet_for = self.lanes.now_ms().saturating_sub(kept.heard_ms.load(Ordering::Relaxed));
        let asked = self.ask_over(&kept, request.clone());
        tokio::pin!(asked);
        let outcome = if quiet_for < millis(QUIET) {
            asked.await
        } else {
            tokio::select! {
                outcome = &mut asked => outcome,
                () = sleep(QUIET_PATIENCE) => {
                    let anew = self.ask_anew(way, request.clone(), Some(&kept));
                    tokio::pin!(anew);
                    tokio::select! {
                        Ok(answer) = &mut asked => return Ok(answer),
                        outcome = &mut anew => return outcome,
                    }
                }
            }
        };
        match outcome {
            Ok(answer) => Ok(answer),
            Err(error) => {
                debug!(%error, "connecting anew");
                self.ask_anew(way, request, Some(&kept)).await
            }
        }
    }

    /// Asks over another connection than `instead_of`.
    async fn ask_anew(
        &self,
        way: &Arc<Way>,
        request: DnsRequest,
        instead_of: Option<&Arc<Opened>>,
    ) -> Result<Message, TryError> {
        let opened = match self.lane.opening(instead_of, |number| self.begin(way, number)) {
            Ok(opened) => opened,
            Err(opening) => opening.await?,
        };
        self.ask_over(&opened, request).await
    }

    /// A task of its own: it serves others too when who began it is gone.
    fn begin(&self, way: &Arc<Way>, number: u64) -> Opening {
        let (way, lane) = (Arc::clone(way), Arc::clone(self.lane));
        let (count, clock, started) =
            (Arc::clone(&self.lanes.opened), Arc::clone(&self.lanes.clock), self.lanes.started);
        let task = tokio::spawn(async move {
            let outcome = way.open().await.map(|connection| {
                count.fetch_add(1, Ordering::Relaxed);
                let heard_ms = AtomicU64::new(millis(clock.instant().saturating_duration_since(started)));
                Arc::new(Opened { connection, heard_ms })
            });
            lane.settle(number, outcome.as_ref().ok());
            outcome
        });
        let lost = |_| Err(TryError::TimedOut);
        async move { task.await.unwrap_or_else(lost) }.boxed().shared()
    }

    async fn ask_over(&self, opened: &Arc<Opened>, request: DnsRequest) -> Result<Message, TryError> {
        let mut waiting = Waiting { room: self, opened, begun_ms: self.lanes.now_ms(), is_over: false };
        let answer = opened.connection.ask(request).await;
        waiting.is_over = true;
        match answer {
            Ok(answer) => {
                opened.heard_ms.store(self.lanes.now_ms(), Ordering::Relaxed);
                Ok(answer)
            }
            Err(error) => {
                self.lane.forget(opened);
                Err(error.into())
            }
        }
    }
}

/// A question that is being asked. Who gives up on it after long silence gives up on the connection.
struct Waiting<'a> {
    room: &'a Room<'a>,
    opened: &'a Arc<Opened>,
    begun_ms: u64,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = self.room.lanes.now_ms().saturating_sub(self.begun_ms);
        let is_silent = self.opened.heard_ms.load(Ordering::Relaxed) <= self.begun_ms;
        if !self.is_over && is_silent && millis(DEAD_AFTER) <= waited {
            self.room.lane.forget(self.opened);
        }
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Option<Arc<Opened>> {
        match &*self.lock() {
            State::Open(opened) => Some(Arc::clone(opened)),
            State::Closed | State::Opening(..) => None,
        }
    }

    /// A connection other than `instead_of`, or the opening of one.
    fn opening(
        &self,
        instead_of: Option<&Arc<Opened>>,
        begin: impl FnOnce(u64) -> Opening,
    ) -> Result<Arc<Opened>, Opening> {
        let mut state = self.lock();
        match &*state {
            State::Open(opened) if !instead_of.is_some_and(|dead| Arc::ptr_eq(dead, opened)) => {
                return Ok(Arc::clone(opened));
            }
            State::Opening(_, opening) => return Err(opening.clone()),
            State::Open(_) | State::Closed => {}
        }
        let number = self.openings.fetch_add(1, Ordering::Relaxed);
        let opening = begin(number);
        *state = State::Opening(number, opening.clone());
        Err(opening)
    }

    /// Takes over what came of an opening.
    fn settle(&self, number: u64, opened: Option<&Arc<Opened>>) {
        let mut state = self.lock();
        if matches!(&*state, State::Opening(current, _) if *current == number) {
            *state = opened.map_or(State::Closed, |opened| State::Open(Arc::clone(opened)));
        }
    }

    fn forget(&self, opened: &Arc<Opened>) {
        let mut state = self.lock();
        if matches!(&*state, State::Open(current) if Arc::ptr_eq(current, opened)) {
            *state = State::Closed;
        }
    }
}
