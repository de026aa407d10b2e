//! Events as they happen, as server-sent events (HTML Living Standard, section 9.2).
//!
//! A stream never holds anything up: what comes faster than it is read, or than a person could read, is left out and
//! told by number.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Web;
use super::api::{self, Error, Skipped};
use super::errors::Failure;
use super::filter::{AskedEvents, is_wanted};
use super::view::Times;
use crate::event::{Heard, QueryEvent};
use crate::history::EventFilter;
use crate::tracker::Attribution;

/// How many events a stream carries a second; a person reads none of the rest, and each costs a browser a row.
const EVENTS_PER_SECOND_MAX: u32 = 40;
/// How long events are left out until that is told, so that it is told while a flood lasts, and not too often.
const TELL_SKIPPED: Duration = Duration::from_secs(1);
/// How often a silent stream shows that it is alive, so that neither side takes the other for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Questions as they are answered: events named `query` ([`api::Event`]) and `skipped` ([`Skipped`]).
#[utoipa::path(get, path = "/api/v1/events/live", params(AskedEvents), responses((status = 200, body = api::Event, content_type = "text/event-stream"), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn stream(
    State(web): State<Arc<Web>>,
    stop: Option<Extension<CancellationToken>>,
    Query(asked): Query<AskedEvents>,
) -> Result<Response, Failure> {
    let filter = asked.filter(&Times::new(&web))?;
    let slot = Arc::clone(&web.live_slots).try_acquire_owned().map_err(|_| too_many())?;
    let live = Live {
        receiver: web.parts.live.join(),
        stop: stop.map(|Extension(stop)| stop).unwrap_or_default(),
        revocation: web.parts.access.revocation(),
        window: Window::new(web.parts.clock.instant()),
        filter,
        web,
        _slot: slot,
    };
    Ok(Sse::new(live.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn too_many() -> Failure {
    let message = "As many pages as can be are live already. Close one; this page works without, too.";
    let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, message);
    Failure { retry_after_secs: Some(30), ..failure }
}

/// One stream.
struct Live {
    receiver: Receiver<Heard>,
    stop: CancellationToken,
    /// Ends the stream when somebody is no longer let in; a browser that still is comes back by itself.
    revocation: CancellationToken,
    window: Window,
    filter: EventFilter,
    web: Arc<Web>,
    /// Given back when the stream ends.
    _slot: OwnedSemaphorePermit,
}

/// The second that is running.
struct Window {
    began: Instant,
    sent: u32,
    /// Left out and not told yet.
    skipped: u64,
    /// When `skipped` is to be told; a moment that is past while it is 0.
    tell_at: Instant,
}

impl Live {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut live| async move { live.next().await.map(|event| (Ok(event), live)) })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let now = self.web.parts.clock.instant();
            // Before the next event is looked at: in a flood there always is one.
            if let Some(count) = self.window.take_due(now) {
                return Some(named("skipped", &Skipped { count }));
            }
            let until_told = self.window.tell_at.saturating_duration_since(now);
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = self.revocation.cancelled() => return None,
                received = self.receiver.recv() => received,
                () = tokio::time::sleep(until_told), if 0 < self.window.skipped => continue,
            };
            let now = self.web.parts.clock.instant();
            match received {
                Ok(Heard::Event(event)) if !is_wanted(&self.filter, &event, |event| self.whose(event)) => {}
                Ok(Heard::Event(event)) if self.window.has_room(now) => return Some(self.tell(&event)),
                Ok(Heard::Event(_)) => self.window.skip(1, now),
                // These were never looked at; some may not have been asked for.
                Ok(Heard::Unlisted(count)) => self.window.skip(count, now),
                Err(RecvError::Lagged(lost)) => self.window.skip(lost, now),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn tell(&self, event: &QueryEvent) -> Event {
        let policy = self.web.parts.policy.current();
        named("query", &api::Event::live(event, &self.whose(event), &policy))
    }

    /// Whose the tracker is: the one that hides, where one does.
    fn whose(&self, event: &QueryEvent) -> Attribution {
        let name = event.behind.as_ref().unwrap_or(&event.name);
        self.web.parts.catalogue.current().attribute(name.as_ref())
    }
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, sent: 0, skipped: 0, tell_at: began }
    }

    fn skip(&mut self, count: u64, now: Instant) {
        if self.skipped == 0 {
            self.tell_at = now + TELL_SKIPPED;
        }
        self.skipped += count;
    }

    /// How many were left out, when it is time to tell.
    fn take_due(&mut self, now: Instant) -> Option<u64> {
        let is_due = 0 < self.skipped && self.tell_at <= now;
        is_due.then(|| std::mem::take(&mut self.skipped))
    }

    /// Takes a place in the second that `now` belongs to, if there is one.
    fn has_room(&mut self, now: Instant) -> bool {
        if Duration::from_secs(1) <= now.saturating_duration_since(self.began) {
            (self.began, self.sent) = (now, 0);
        }
        self.sent += 1;
        self.sent <= EVENTS_PER_SECOND_MAX
    }
}

fn named(name: &str, data: &impl serde::Serialize) -> Event {
    // Our types have no maps and no fallible parts, so this can't fail; a comment keeps the stream going if it did.
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().comment("unwritable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many() {
        let began = Instant::now();
        let mut window = Window::new(began);
        let taken = (0..100).filter(|_| window.has_room(began)).count();
        assert_eq!(taken, 40);
        assert!(window.has_room(began + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_left_out_is_told_while_the_flood_lasts() {
        let began = Instant::now();
        let mut window = Window::new(began);
        let at = |ms| began + Duration::from_millis(ms);
        let told: Vec<(u64, u64)> = (0..2_500)
            .filter_map(|ms| {
                let due = window.take_due(at(ms)).map(|count| (ms, count));
                window.skip(1, at(ms));
                due
            })
            .collect();
        assert_eq!(told, [(1_000, 1_000), (2_000, 1_000)]);
    }
}
