//! Questions on their way to upstreams: one for each question, however many ask, and whoever goes away meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::cache::{Entry, Known};
use super::question::Question;
use super::{Inner, Unresolved, UnresolvedKind};
use crate::task;

/// How many may be on their way at once: as many as the upstreams take, and those that are just being refused.
const FLIGHTS_MAX: usize = 8_192;

/// Tells those who wait what came of it.
type Flight = watch::Sender<Option<Entry>>;

/// What is on its way. Who changes the cache holds this lock, so that nothing comes in behind a flush and no old answer takes
/// the place of a new one.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Question, Arc<Flight>>>);

impl Flights {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Question, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to wait for.
pub(super) enum Boarded {
    /// Nothing: it landed meanwhile.
    Known(Known),
    /// A flight.
    Waits {
        landing: Landing,
        /// Whether it was begun for this.
        began: bool,
    },
}

/// Where a flight's outcome arrives.
pub(super) struct Landing(watch::Receiver<Option<Entry>>);

impl Landing {
    /// What is known now; `None` when the flight was lost.
    pub(super) async fn wait(mut self) -> Option<Entry> {
        let landed = self.0.wait_for(Option::is_some).await.ok()?;
        landed.clone()
    }
}

impl Inner {
    /// Joins the flight of a question, or begins one. With a permit it is for the time after the present answer, which then is
    /// not looked for; the permit is given back at the end.
    pub(super) fn board(
        self: &Arc<Self>,
        question: Question,
        ahead: Option<OwnedSemaphorePermit>,
    ) -> Result<Boarded, Unresolved> {
        let mut flights = self.flights.lock();
        if ahead.is_none()
            && let Some(known) = self.cache.known(&question.as_asked(), self.clock.instant())
        {
            return Ok(Boarded::Known(known));
        }
        if let Some(flight) = flights.get(&question) {
            return Ok(Boarded::Waits { landing: Landing(flight.subscribe()), began: false });
        }
        if FLIGHTS_MAX <= flights.len() {
            let why = format!("{FLIGHTS_MAX} questions wait for upstreams already").into();
            return Err(Unresolved::new(why, UnresolvedKind::Overload));
        }
        let (flight, landing) = watch::channel(None);
        let flight = Arc::new(flight);
        flights.insert(question.clone(), Arc::clone(&flight));
        drop(flights);
        let is_awaited = ahead.is_none();
        // A task of its own: it lands for those who wait even when the one who began it is gone.
        let flying = Flying { inner: Arc::clone(self), question, flight, _ahead: ahead };
        if is_awaited {
            task::begin(&self.runtime, flying.fly());
        } else {
            // Nobody waits for it, least of all the thread that has just answered.
            self.runtime.spawn(flying.fly());
        }
        Ok(Boarded::Waits { landing: Landing(landing), began: true })
    }
}

struct Flying {
    inner: Arc<Inner>,
    question: Question,
    flight: Arc<Flight>,
    _ahead: Option<OwnedSemaphorePermit>,
}

impl Flying {
    async fn fly(self) {
        let Self { inner, question, .. } = &self;
        let routes = inner.routes.load_full();
        let outcome = routes.pool_of(question).ask(question).await;
        let entry = {
            let mut flights = inner.flights.lock();
            let now = inner.clock.instant();
            if self.is_on_its_way(&flights) {
                flights.remove(question);
                inner.cache.learn(question.clone(), outcome, now)
            } else {
                // Flushed meanwhile: it is for those who wait, and not for the cache.
                inner.cache.pass_on(outcome, now)
            }
        };
        self.flight.send_replace(Some(entry));
    }

    fn is_on_its_way(&self, flights: &HashMap<Question, Arc<Flight>>) -> bool {
        flights.get(&self.question).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }
}

/// Also when it is lost: the next one who asks begins another.
impl Drop for Flying {
    fn drop(&mut self) {
        let mut flights = self.inner.flights.lock();
        if self.is_on_its_way(&flights) {
            flights.remove(&self.question);
        }
    }
}
