//! The upstreams for some names: which is asked first, how long it may take, and what is tried when it fails.
//!
//! A client never waits for an upstream that is known to be silent, if there is another: whether it answers again is found out by
//! asking it the same question beside.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::bootstrap::Bootstrap;
use super::options::{Strategy, UpstreamOptions};
use super::upstream::{Patience, RESEND_AFTER, TryError, Upstream};
use super::{Question, Unresolved, UnresolvedKind, UpstreamStatus, strategy};
use crate::clock::Clock;
use crate::wire::{Said, Stored};

/// How long one try over a connection may take, and how long an upstream is waited for before another one is asked too.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all tries may take. A client asks again after 5 seconds (glibc, Windows) and should have its answer before.
const TRIES_TIMEOUT: Duration = Duration::from_millis(4_500);
const OVER_CONNECTION: Patience = Patience { time: TRY_TIMEOUT, resends: &[] };
/// An answer over UDP is waited for to the end on the socket that asked: what takes long, as a name whose own servers are far or slow
/// does, would be missed by whoever turned away from it to ask anew.
const FIRST_OVER_UDP: Patience = Patience { time: TRIES_TIMEOUT, resends: &[RESEND_AFTER, TRY_TIMEOUT] };
/// Those that are asked then get fewer packets, so that no outage multiplies them.
const OVER_UDP: Patience = Patience { time: TRIES_TIMEOUT, resends: &[RESEND_AFTER] };
/// Who is asked beside has to show only whether it answers.
const PROBE: Patience = Patience { time: TRY_TIMEOUT, resends: &[] };
/// How many tries a question gets over all upstreams, and from one of them.
const TRIES_MAX: usize = 3;
const TRIES_OF_ONE_MAX: usize = 2;
/// How many questions may wait for upstreams at once: each holds memory and a part of a socket, and what comes beyond is told
/// at once.
const ASKS_MAX: usize = 4096;
/// Where the fastest is asked, the others are asked too after so long, to know how fast they are.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// An answer and who gave it.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) answer: Arc<Stored>,
    pub(super) upstream: Arc<str>,
}

/// What it is for, for people; empty: all the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Whose {
    /// The names.
    pub(super) route: Arc<str>,
    /// The group of devices.
    pub(super) group: Arc<str>,
}

pub(super) struct Pool {
    upstreams: Vec<Arc<Upstream>>,
    strategy: Strategy,
    seed: u64,
    whose: Whose,
    asks: Arc<Semaphore>,
}

/// A try that is over.
struct Tried {
    upstream: Arc<Upstream>,
    outcome: Result<Stored, TryError>,
    begun: Instant,
}

impl Pool {
    pub(super) fn new(
        servers: &[UpstreamOptions],
        strategy: Strategy,
        whose: Whose,
        bootstrap: &Arc<Bootstrap>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let upstream = |options| Arc::new(Upstream::new(options, bootstrap, clock));
        let seed = if strategy == Strategy::Spread { strategy::seed() } else { 0 };
        let upstreams = servers.iter().map(upstream).collect();
        Self { upstreams, strategy, seed, whose, asks: Arc::new(Semaphore::new(ASKS_MAX)) }
    }

    pub(super) fn status(&self) -> impl Iterator<Item = UpstreamStatus> {
        self.upstreams.iter().map(|upstream| upstream.status(&self.whose))
    }

    /// Whether an upstream of this label is one of them.
    pub(super) fn asks(&self, label: &str) -> bool {
        self.upstreams.iter().any(|upstream| *upstream.label == *label)
    }

    /// Asks one upstream after the other, those that work first, until one gives an answer.
    pub(super) async fn ask(&self, question: &Question) -> Result<Answered, Unresolved> {
        let Ok(ask) = Arc::clone(&self.asks).try_acquire_owned() else {
            let why = format!("{ASKS_MAX} questions wait for upstreams already").into();
            return Err(Unresolved::new(why, UnresolvedKind::Overload));
        };
        let mut waiting: VecDeque<_> = self.strategy.order(&self.upstreams, question, self.seed).into();
        self.probe(&waiting, question);
        let tries_max = TRIES_MAX.min(waiting.len() * TRIES_OF_ONE_MAX);
        let deadline = Instant::now() + TRIES_TIMEOUT;
        let mut running = FuturesUnordered::new();
        let mut failures = Failures::default();
        let (mut tries, mut not_before, mut begun) = (0, Instant::now(), Instant::now());
        // The last one that was begun, and when by its own clock, until it is doubted or others show that it is well.
        let mut newest: Option<(Arc<Upstream>, u64)> = None;
        // When tries were begun that are not waited for alone any more.
        let mut doubted: Vec<Instant> = Vec::new();
        loop {
            while running.len() < self.strategy.width() + doubted.len()
                && tries < tries_max
                && Instant::now() < deadline
            {
                let Some(upstream) = waiting.pop_front() else { break };
                if Instant::now() < not_before {
                    sleep_until(not_before).await;
                }
                begun = Instant::now();
                newest = Some((Arc::clone(&upstream), upstream.health.now_ms()));
                let patience = patience(&upstream, tries);
                running.push(attempt(upstream, question.clone(), begun, deadline, patience));
                tries += 1;
            }
            let turn_at = begun + if newest.is_some() { RESEND_AFTER } else { TRY_TIMEOUT };
            let has_next = !doubted.contains(&begun) && tries < tries_max && !waiting.is_empty();
            let tried = tokio::select! {
                tried = running.next() => match tried {
                    Some(tried) => tried,
                    None => break,
                },
                // Silence: the next one is asked too, a while later where it may be only this name that takes so long.
                () = sleep_until(turn_at), if has_next => {
                    if newest.take().is_none_or(|(upstream, since_ms)| upstream.health.doubt(since_ms)) {
                        doubted.push(begun);
                    }
                    continue;
                }
            };
            let Tried { upstream, outcome, begun: since } = tried;
            doubted.retain(|&begun| begun != since);
            let error = match outcome {
                Ok(answer) => {
                    // What the others say is of interest for how they are.
                    if !running.is_empty() {
                        tokio::spawn(async move {
                            running.for_each(async |_| ()).await;
                            drop(ask);
                        });
                    }
                    return Ok(Answered { answer: Arc::new(answer), upstream: Arc::clone(&upstream.label) });
                }
                Err(error) => error,
            };
            debug!(upstream = %upstream.label, name = %question.name, %error, "a try failed");
            failures.add(&upstream, &error);
            // One that said no would say it again.
            if !matches!(error, TryError::Rcode { .. }) {
                let is_next_too = waiting.is_empty() && running.is_empty();
                if is_next_too && error.is_silence() {
                    not_before = since + RESEND_AFTER;
                }
                waiting.push_back(upstream);
            }
        }
        Err(failures.into_unresolved())
    }

    /// Asks those beside whose state is not known: those that failed, when they were left alone for long enough, and those that
    /// were not compared for long. No client waits for them.
    fn probe(&self, order: &VecDeque<Arc<Upstream>>, question: &Question) {
        let asked = order.iter().take(self.strategy.width());
        if order.len() < 2 || asked.clone().all(|upstream| upstream.health.is_failing()) {
            return;
        }
        let beside = order.iter().skip(self.strategy.width()).filter(|upstream| {
            let health = &upstream.health;
            if health.is_failing() {
                health.down_for_ms() == 0
            } else {
                self.strategy.compares() && health.is_unasked_for(COMPARE_EVERY)
            }
        });
        for upstream in beside.filter(|upstream| upstream.health.begin_probe()) {
            let (upstream, question) = (Arc::clone(upstream), question.clone());
            tokio::spawn(async move {
                let deadline = Instant::now() + TRY_TIMEOUT;
                let _noted = upstream.ask(&question, PROBE, deadline).await;
                upstream.health.end_probe();
            });
        }
    }
}

/// How long an upstream is waited for, of whom so many were asked before.
fn patience(upstream: &Upstream, tries: usize) -> Patience {
    match tries {
        _ if !upstream.is_udp() => OVER_CONNECTION,
        0 => FIRST_OVER_UDP,
        _ => OVER_UDP,
    }
}

async fn attempt(
    upstream: Arc<Upstream>,
    question: Question,
    begun: Instant,
    deadline: Instant,
    patience: Patience,
) -> Tried {
    let outcome = upstream.ask(&question, patience, deadline).await;
    Tried { upstream, outcome, begun }
}

/// What tries came to that gave no answer.
#[derive(Default)]
struct Failures {
    told: Vec<String>,
    any_silence: bool,
    any_unreachable: bool,
    all_busy: bool,
    all_not_ready: bool,
    /// What the first upstream said that said something of its failure.
    said: Option<Arc<Said>>,
}

impl Failures {
    fn add(&mut self, upstream: &Upstream, error: &TryError) {
        let is_first = self.told.is_empty();
        self.all_busy = (is_first || self.all_busy) && matches!(error, TryError::Busy);
        self.all_not_ready = (is_first || self.all_not_ready) && upstream.is_out_of_reach_yet(error);
        self.any_silence |= matches!(error, TryError::TimedOut);
        self.any_unreachable |= error.is_silence();
        if let (None, TryError::Rcode { said, .. }) = (&self.said, error) {
            self.said.clone_from(said);
        }
        self.told.push(format!("{}: {error}", upstream.label));
    }

    fn into_unresolved(mut self) -> Unresolved {
        self.told.sort();
        self.told.dedup();
        let why =
            if self.told.is_empty() { "no upstream is configured".to_owned() } else { self.told.join("; ") };
        let kind = match self {
            Self { all_busy: true, .. } => UnresolvedKind::Overload,
            Self { all_not_ready: true, .. } => UnresolvedKind::NotReady,
            Self { any_silence: true, .. } => UnresolvedKind::Unreachable,
            Self { any_unreachable: true, .. } => UnresolvedKind::Network,
            Self { .. } => UnresolvedKind::Refused,
        };
        Unresolved { said: self.said, ..Unresolved::new(why.into(), kind) }
    }
}
