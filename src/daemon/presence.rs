//! Which devices are there though they ask nothing: what the kernel's neighbour table said of late, and a knock at those that are silent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::devices::Devices;
use crate::clock::Clock;
use crate::device::{DeviceKey, Mac, Presence};
use crate::discovery::knock::knock;
use crate::history::{History, Span};
use crate::web::{SILENCE_LOOKED_BACK, SILENCE_MIN};

/// How often those that are silent are looked for.
const KNOCK_PAUSE: Duration = Duration::from_secs(30 * 60);
/// Between two knocks: nobody is in a hurry.
const KNOCK_APART: Duration = Duration::from_millis(200);
/// Who was not seen for so long went away in between: two knocks in a row that were not answered, and some time.
const SEEN_APART_MAX: Duration = Duration::from_secs(75 * 60);
/// So many devices are remembered.
const SEEN_MAX: usize = 4096;

/// When the kernel was sure of whom.
#[derive(Default)]
pub(super) struct Presences(HashMap<Mac, Seen>);

#[derive(Clone, Copy)]
struct Seen {
    since: Instant,
    last: Instant,
}

impl Presences {
    /// The kernel is sure of these now.
    pub(super) fn note(&mut self, macs: impl IntoIterator<Item = Mac>, now: Instant) {
        for mac in macs {
            let seen = self.0.entry(mac).or_insert(Seen { since: now, last: now });
            if SEEN_APART_MAX < now.saturating_duration_since(seen.last) {
                seen.since = now;
            }
            seen.last = now;
        }
        if SEEN_MAX < self.0.len() {
            self.0.retain(|_, seen| now.saturating_duration_since(seen.last) <= SEEN_APART_MAX);
            if SEEN_MAX < self.0.len() {
                self.0.clear();
            }
        }
    }

    /// What is known of a device with these keys.
    pub(super) fn of(&self, keys: &[DeviceKey], now: Instant) -> Option<Presence> {
        let macs = keys.iter().filter_map(|key| if let DeviceKey::Mac(mac) = key { Some(mac) } else { None });
        let seen = macs.filter_map(|mac| self.0.get(mac)).max_by_key(|seen| seen.last)?;
        Some(Presence {
            lasting: seen.last.saturating_duration_since(seen.since),
            ago: now.saturating_duration_since(seen.last),
        })
    }
}

/// Knocks now and then at devices that asked before and are silent now.
pub(super) async fn look_for_silent(devices: Arc<Devices>, history: History, clock: Arc<dyn Clock>) {
    loop {
        sleep(KNOCK_PAUSE).await;
        let now = clock.now();
        let Ok(counts) = history.devices(Span { from: now, until: now }).await else { continue };
        let observed = devices.observed();
        for count in counts {
            let silent = now.as_second().saturating_sub(count.last_seen.as_second());
            let silent = Duration::from_secs(u64::try_from(silent).unwrap_or_default());
            if !(SILENCE_MIN..SILENCE_LOOKED_BACK).contains(&silent) {
                continue;
            }
            let live = devices.live();
            let known = live.current().find_key(count.device.key).map(|known| known.addresses.clone());
            let on_link = |address: &&std::net::IpAddr| {
                observed.neighbours.iter().any(|(neighbour, _)| neighbour.to_canonical() == **address)
            };
            let Some(address) = known.iter().flatten().find(on_link).copied() else { continue };
            if let Err(error) = knock(address, &observed).await {
                debug!(%address, %error, "a silent device can't be knocked at");
            }
            sleep(KNOCK_APART).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0, 0x1b, 0x63, 0, 0, 1]);
    const OTHER: Mac = Mac([0, 0x1b, 0x63, 0, 0, 2]);

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn who_is_seen_again_and_again_is_there_and_who_was_away_begins_anew() {
        let begun = Instant::now();
        let mut presences = Presences::default();
        let of = |presences: &Presences, at| presences.of(&[DeviceKey::Mac(MAC)], begun + minutes(at));
        assert_eq!(of(&presences, 0), None);
        for at in [0, 30, 60, 120] {
            presences.note([MAC], begun + minutes(at));
        }
        assert_eq!(of(&presences, 125), Some(Presence { lasting: minutes(120), ago: minutes(5) }));
        presences.note([OTHER], begun + minutes(200));
        presences.note([MAC], begun + minutes(240));
        assert_eq!(of(&presences, 240), Some(Presence { lasting: minutes(0), ago: minutes(0) }));
        let both = [DeviceKey::Mac(OTHER), DeviceKey::Mac(MAC), DeviceKey::Address([192, 0, 2, 1].into())];
        assert_eq!(
            presences.of(&both, begun + minutes(250)).unwrap().ago,
            minutes(10),
            "whichever was seen last"
        );
    }

    #[test]
    fn forged_macs_do_not_fill_the_memory() {
        let (begun, mut presences) = (Instant::now(), Presences::default());
        let macs = (0..20_000_u32).map(|number| {
            let [a, b, c, d] = number.to_be_bytes();
            Mac([2, 0, a, b, c, d])
        });
        presences.note(macs, begun);
        assert!(presences.0.len() <= SEEN_MAX);
    }
}
