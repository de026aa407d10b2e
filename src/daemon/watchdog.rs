//! What systemd is told of how the daemon is: ready, reloading, stopping, and alive.
//!
//! The watchdog is fed when questions are answered, not when a timer runs: one goes through the socket and the threads of UDP,
//! one through rules and cache. A daemon that hangs is started again.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::error;

use super::running::Running;
use crate::server::probe;

/// How long one try waits. An answer takes far less than a millisecond; a packet may be lost in a flood.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells systemd, where it listens.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    // Fails only where systemd is not listening.
    let _ = sd_notify::notify(state);
}

/// Tells systemd that the configuration is read again; the end of that is [`NotifyState::Ready`].
pub(super) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Feeds the watchdog as often as systemd asks for, as long as questions are answered.
pub(super) async fn feed(running: Weak<Running>) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut answered = Vec::new();
    let mut ticks = interval(period / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(running) = running.upgrade() else { return };
        match is_well(&running, &mut answered, Instant::now() + period / 2).await {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(what) => error!("{what}; unless that changes, systemd starts pixelsink again"),
        }
    }
}

/// Whether questions are answered, before `until`.
///
/// A listener that this machine never reached (a firewall, a configuration that does not answer the machine itself) says nothing
/// of the daemon: only one that answered before, as `answered` has it, is missed.
async fn is_well(
    running: &Running,
    answered: &mut Vec<SocketAddr>,
    until: Instant,
) -> Result<(), &'static str> {
    let responder = Arc::clone(running.responder());
    let looked_up = tokio::task::spawn_blocking(move || responder.probe());
    match timeout(until.saturating_duration_since(Instant::now()), looked_up).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err("a look-up in the cache fell over a mistake in pixelsink"),
        Err(_) => return Err("a look-up in the cache does not come back"),
    }
    let listeners = running.dns_addresses();
    answered.retain(|listener| listeners.contains(listener));
    let reached = listeners.into_iter();
    let reached = reached.filter(|it| running.responder().allows(probe::own_address(it.ip())));
    for listener in reached.collect::<Vec<_>>() {
        let was_reached = answered.contains(&listener);
        loop {
            match probe::ask(listener, PATIENCE).await {
                Ok(()) if was_reached => break,
                Ok(()) => {
                    answered.push(listener);
                    break;
                }
                Err(_) if !was_reached => break,
                // The address went, and with it whoever could ask there.
                Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => break,
                Err(_) if until <= Instant::now() => {
                    return Err("questions over UDP from this machine are not answered any more");
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
    Ok(())
}
