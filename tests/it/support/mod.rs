//! What every black-box test needs: a daemon in a directory of its own, an upstream that says what the test wants, a client.

pub(crate) mod client;
pub(crate) mod daemon;
pub(crate) mod encrypted;
pub(crate) mod list_server;
pub(crate) mod port;
pub(crate) mod upstream;

use std::time::{Duration, Instant};

/// How long a test waits for what should take milliseconds; a slow machine needs the rest.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until `what` happens; fails when it does not.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut happens: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = happens() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
