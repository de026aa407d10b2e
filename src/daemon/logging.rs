//! Log lines: to the journal where systemd runs the daemon, else to the terminal.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::Journal;

/// hickory logs two lines a query and one for each odd packet; that would wear out an SD card.
const FILTER: &str = "info,hickory_net=error,hickory_proto=error,netlink_proto=error";

/// Lines that may wait for a terminal or a pipe that takes none. Those beyond are lost.
const WAITING_MAX: usize = 1024;

/// Begins to log. `PIXELSINK_LOG` changes what is logged, for instance `debug`. What waits to be written is given a moment when
/// what is given back goes.
pub(super) fn start() -> Option<WorkerGuard> {
    let filter = EnvFilter::try_from_env("PIXELSINK_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    if let Some(journal) = Journal::open() {
        tracing_subscriber::registry().with(filter).with(journal).init();
        return None;
    }
    // A file of its own: who waits to write to standard error holds its lock.
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map(File::from).ok()?;
    // A pipe that nobody reads, as a container's may be, must not hold up answers.
    let lines = NonBlockingBuilder::default().buffered_lines_limit(WAITING_MAX).thread_name("log");
    let (lines, written) = lines.finish(stderr);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal stamps each line itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
    Some(written)
}
