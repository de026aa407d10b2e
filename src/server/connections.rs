//! The TCP connections that are open, over all addresses that are listened on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// All of them. They come and go far more seldom than questions do, so a lock is held for a walk over the list.
#[derive(Debug)]
pub(super) struct Connections {
    started: Instant,
    seats: Mutex<Vec<Arc<Taken>>>,
    over: AtomicU64,
}

/// How many there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ConnectionLimits {
    /// In all.
    pub(super) total: u32,
    /// Of one address.
    pub(super) per_client: u32,
}

#[derive(Debug)]
struct Taken {
    client: IpAddr,
    /// Since when nothing of it is in work, in milliseconds from the start; [`BUSY`] while something is.
    quiet_since_ms: AtomicU64,
    leave: CancellationToken,
}

const BUSY: u64 = u64::MAX;

/// A place among the connections, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<Connections>,
    taken: Arc<Taken>,
}

impl Connections {
    /// None, at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, seats: Mutex::default(), over: AtomicU64::new(0) }
    }

    /// Gives a new connection a seat; `leave` is cancelled when it has to give it up.
    ///
    /// Where there is none left, the one that has been quiet for longest gives way, of this client if it has its share, else of
    /// anyone: idle connections may be closed at any time (RFC 7766 section 6.2.3), while a new one has something to ask. When
    /// all of them are at work, there is no seat.
    pub(super) fn seat(
        self: &Arc<Self>,
        client: IpAddr,
        limits: ConnectionLimits,
        leave: CancellationToken,
        now: Instant,
    ) -> Option<Seat> {
        let client = client.to_canonical();
        let is_full = |count: usize, limit: u32| usize::try_from(limit).is_ok_and(|limit| limit <= count);
        let mut seats = self.lock();
        let of_client = seats.iter().filter(|taken| taken.client == client).count();
        let share_is_taken = is_full(of_client, limits.per_client);
        if share_is_taken || is_full(seats.len(), limits.total) {
            self.over.fetch_add(1, Ordering::Relaxed);
            let quiet = |taken: &Taken| taken.quiet_since_ms.load(Ordering::Relaxed);
            let may_leave = seats
                .iter()
                .enumerate()
                .filter(|(_, taken)| quiet(taken) != BUSY && (!share_is_taken || taken.client == client));
            let (at, _) = may_leave.min_by_key(|(_, taken)| quiet(taken))?;
            seats.swap_remove(at).leave.cancel();
        }
        let quiet_since_ms = AtomicU64::new(self.millis(now));
        let taken = Arc::new(Taken { client, quiet_since_ms, leave });
        seats.push(Arc::clone(&taken));
        drop(seats);
        Some(Seat { connections: Arc::clone(self), taken })
    }

    /// How many are open, and how many there would have been too many.
    pub(super) fn counts(&self) -> (u64, u64) {
        let open = self.lock().len();
        (open.try_into().unwrap_or(u64::MAX), self.over.load(Ordering::Relaxed))
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_millis().try_into().unwrap_or(BUSY - 1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Taken>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Notes that something is in work.
    pub(super) fn is_busy(&self) {
        self.taken.quiet_since_ms.store(BUSY, Ordering::Relaxed);
    }

    /// Notes that nothing is in work from `now` on.
    pub(super) fn is_quiet(&self, now: Instant) {
        self.taken.quiet_since_ms.store(self.connections.millis(now), Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().retain(|taken| !Arc::ptr_eq(taken, &self.taken));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits { total: 4, per_client: 2 };

    struct Room {
        connections: Arc<Connections>,
        now: Instant,
    }

    impl Room {
        /// A connection of the client with this number, a second after the one before.
        fn enter(&mut self, client: u8) -> Option<(Seat, CancellationToken)> {
            self.now += Duration::from_secs(1);
            let leave = CancellationToken::new();
            let client = IpAddr::from([192, 168, 1, client]);
            Some((self.connections.seat(client, LIMITS, leave.clone(), self.now)?, leave))
        }
    }

    fn room() -> Room {
        let now = Instant::now();
        Room { connections: Arc::new(Connections::new(now)), now }
    }

    #[test]
    fn the_quietest_of_a_client_gives_way_to_its_next() {
        let mut room = room();
        let (other, stays) = room.enter(1).unwrap();
        let (first, first_leaves) = room.enter(2).unwrap();
        let (_second, second_leaves) = room.enter(2).unwrap();
        first.is_busy();
        first.is_quiet(room.now + Duration::from_millis(1));
        let _third = room.enter(2).unwrap();
        assert!(second_leaves.is_cancelled() && !first_leaves.is_cancelled() && !stays.is_cancelled());
        assert_eq!(room.connections.counts(), (3, 1));
        drop(other);
        assert_eq!(room.connections.counts().0, 2);
    }

    #[test]
    fn nobody_at_work_gives_way() {
        let mut room = room();
        let seats: Vec<_> = (0..2).map(|_| room.enter(1).unwrap().0).collect();
        seats.iter().for_each(Seat::is_busy);
        assert!(room.enter(1).is_none());
        let others: Vec<_> = (0..2).map(|_| room.enter(2).unwrap()).collect();
        others[1].0.is_busy();
        let _newcomer = room.enter(3).unwrap();
        assert!(others[0].1.is_cancelled(), "the room is full, and it was the only quiet one");
        drop(seats);
        assert!(room.enter(1).is_some() && !others[1].1.is_cancelled());
    }
}
