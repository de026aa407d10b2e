//! Log lines: to the journal where systemd runs the daemon, else to the terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::Journal;

/// hickory logs two lines a query and one for each odd packet; that would wear out an SD card.
const FILTER: &str = "info,hickory_net=error,hickory_proto=error,netlink_proto=error";

/// Begins to log. `PIXELSINK_LOG` changes what is logged, for instance `debug`.
pub(super) fn start() {
    let filter = EnvFilter::try_from_env("PIXELSINK_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    if let Some(journal) = Journal::open() {
        tracing_subscriber::registry().with(filter).with(journal).init();
        return;
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal stamps each line itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() { log.without_time().init() } else { log.init() }
}
