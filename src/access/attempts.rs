//! How often a password may be tried.
//!
//! Each address has its own count, and a wrong try makes its next one wait: first not at all, then ever longer. So one that
//! guesses never keeps another from the page. Tries of all addresses together stand in one line, which moves more slowly the
//! more of them were wrong. Pure: the time is handed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How many addresses are remembered; beyond that the one that tried least lately is forgotten. More than a home network has.
const ADDRESSES_MAX: usize = 1024;
/// Wrong tries that cost nothing: a slip of the finger is no attack.
const FREE: u32 = 3;
/// The longest wait of an address.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// An address that did not try for so long is as good as new.
const FORGET: Duration = Duration::from_secs(3600);
/// Wrong tries of all addresses that do not slow the line down.
const FREE_IN_ALL: u32 = 10;
/// By how much each wrong try more slows it down, and the most that it comes to: someone with the right password waits no
/// longer than this for each one before them.
const PAUSE_STEP: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Wrong tries of all addresses count so high at most, and one fewer for each half minute that passes.
const IN_ALL_MAX: u32 = 60;
const COOL_DOWN: Duration = Duration::from_secs(30);

/// Who tried lately.
#[derive(Debug)]
pub(super) struct Attempts {
    of_address: HashMap<IpAddr, Tried>,
    in_all: u32,
    cooled: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    wrong: u32,
    last: Instant,
    next: Instant,
}

impl Attempts {
    pub(super) fn new(now: Instant) -> Self {
        Self { of_address: HashMap::new(), in_all: 0, cooled: now }
    }

    /// Counts a try as wrong before it is looked at, so that many at once are no way around the count; [`Self::right`] takes
    /// that back. Otherwise how long this address has to wait.
    pub(super) fn begin(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let key = network(address);
        let before = self.of_address.get(&key).filter(|tried| now.duration_since(tried.last) < FORGET);
        let wrong = match before {
            Some(tried) if now < tried.next => return Err(tried.next.duration_since(now)),
            Some(tried) => tried.wrong.saturating_add(1),
            None => 1,
        };
        self.make_room(&key, now);
        self.of_address.insert(key, Tried { wrong, last: now, next: now + wait_after(wrong) });
        self.cool(now);
        self.in_all = (self.in_all + 1).min(IN_ALL_MAX);
        Ok(())
    }

    /// The try was wrong indeed: the wait begins now, however long it took to find that out.
    pub(super) fn wrong(&mut self, address: IpAddr, now: Instant) {
        if let Some(tried) = self.of_address.get_mut(&network(address)) {
            tried.next = now + wait_after(tried.wrong);
        }
    }

    /// The try was right after all.
    pub(super) fn right(&mut self, address: IpAddr) {
        self.of_address.remove(&network(address));
        self.in_all = self.in_all.saturating_sub(1);
    }

    /// How long the next one in the line waits.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        self.cool(now);
        PAUSE_STEP.saturating_mul(self.in_all.saturating_sub(FREE_IN_ALL)).min(PAUSE_MAX)
    }

    fn cool(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.cooled).as_secs() / COOL_DOWN.as_secs();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.in_all = self.in_all.saturating_sub(passed);
        self.cooled += COOL_DOWN.saturating_mul(passed);
    }

    fn make_room(&mut self, key: &IpAddr, now: Instant) {
        if self.of_address.len() < ADDRESSES_MAX || self.of_address.contains_key(key) {
            return;
        }
        self.of_address.retain(|_, tried| now.duration_since(tried.last) < FORGET);
        if self.of_address.len() < ADDRESSES_MAX {
            return;
        }
        let oldest = self.of_address.iter().min_by_key(|(_, tried)| tried.last).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.of_address.remove(&oldest);
        }
    }
}

/// What counts as one address: in IPv6 a /64, of which every device has as many as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Doubles from one second on.
fn wait_after(wrong: u32) -> Duration {
    match wrong.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(beyond) => Duration::from_secs(1 << beyond.min(16)).min(WAIT_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 168, 1, last])
    }

    /// How long each try of one address has to wait when it comes as early as it may.
    #[test]
    fn each_wrong_try_makes_the_next_wait_longer() {
        let mut now = Instant::now();
        let mut attempts = Attempts::new(now);
        let mut waits = Vec::new();
        for _ in 0..14 {
            if let Err(wait) = attempts.begin(address(1), now) {
                now += wait;
                attempts.begin(address(1), now).unwrap();
                waits.push(wait.as_secs());
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        attempts.right(address(1));
        assert_eq!(attempts.begin(address(1), now), Ok(()));
    }

    #[test]
    fn many_at_once_are_no_way_around() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        let let_in = (0..100).filter(|_| attempts.begin(address(1), now).is_ok()).count();
        assert_eq!(let_in, 3);
        let v6 = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let let_in = (0..100).filter(|host| attempts.begin(v6(*host), now).is_ok()).count();
        assert_eq!(let_in, 3);
    }

    #[test]
    fn one_that_guesses_keeps_nobody_else_waiting_for_long() {
        let mut now = Instant::now();
        let mut attempts = Attempts::new(now);
        for _ in 0..10_000 {
            let _ = attempts.begin(address(1), now);
            now += Duration::from_millis(10);
        }
        assert_eq!(attempts.begin(address(2), now), Ok(()));
        assert!(attempts.pause(now) <= PAUSE_MAX);
    }

    #[test]
    fn the_line_slows_down_and_recovers() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        for host in 0..=255 {
            attempts.begin(address(host), now).unwrap();
        }
        assert_eq!(attempts.pause(now), PAUSE_MAX);
        assert_eq!(attempts.pause(now + COOL_DOWN * 60), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        for number in 0..50_000_u32 {
            attempts.begin(IpAddr::from(number.to_be_bytes()), now).unwrap();
        }
        assert_eq!(attempts.of_address.len(), ADDRESSES_MAX);
    }
}
