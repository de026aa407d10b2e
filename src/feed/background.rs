//! Work that would hold up others, done on a thread of its own, where a panic is a message and not an end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use tokio::sync::oneshot;
use tokio::task::JoinError;

/// What is told of a panic.
pub(super) const PANIC: &str =
    "pixelsink itself failed at this (a panic; the log has its place); please report it with the list";

/// Does blocking or long work; a panic in it is told.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| describe(&error))
}

/// Whether work steps back for the threads that answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Haste {
    /// Nothing is blocked until it is done.
    Urgent,
    /// What was in force serves meanwhile.
    GivesWay,
}

/// Does long work as [`run`] does, at the priority that its haste asks for.
pub(super) async fn run_with<T: Send + 'static>(
    haste: Haste,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::spawn(long(haste, work)).await.map_err(|error| describe(&error))
}

/// Does long work; a panic in it is one of whoever waits.
///
/// It has a thread of its own: a priority that was lowered can't be raised again, so that no thread of a pool may be lent,
/// and with the thread goes what the allocator keeps for it.
pub(super) async fn long<T: Send + 'static>(haste: Haste, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name("lists".to_owned()).spawn(move || {
        if haste == Haste::GivesWay {
            give_way();
        }
        // Nobody waits any more when the daemon is stopping.
        drop(done.send(catch_unwind(AssertUnwindSafe(work))));
    });
    if let Err(error) = thread {
        resume_unwind(Box::new(format!("the system gives no thread: {error}")));
    }
    match result.await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(gone) => resume_unwind(Box::new(gone)),
    }
}

/// Lets everything else go first, from this thread on: Linux has a niceness for each thread (setpriority(2)).
fn give_way() {
    /// The least: a compile has all day, an answer has a millisecond.
    #[cfg(target_os = "linux")]
    const NICENESS: i32 = 19;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "work on the lists keeps its priority");
    }
}

/// What happened to a task that did not end by itself.
pub(super) fn describe(error: &JoinError) -> String {
    if error.is_panic() {
        PANIC.to_owned()
    } else {
        "it was stopped because the daemon is stopping".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_nothing_ends() {
        let told = run(|| panic!("a line that no one thought of")).await.map(|()| "went well");
        assert!(told.unwrap_err().contains("report it"));
        assert_eq!(run(|| 7).await, Ok(7));
        for haste in [Haste::Urgent, Haste::GivesWay] {
            let told =
                run_with(haste, || panic!("a line that no one thought of")).await.map(|()| "went well");
            assert!(told.unwrap_err().contains("report it"));
            assert_eq!(run_with(haste, || 7).await, Ok(7));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_gives_way_lowers_its_own_thread_only() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let own = niceness();
        assert_eq!(run_with(Haste::Urgent, niceness).await, Ok(own));
        assert_eq!(run_with(Haste::GivesWay, niceness).await, Ok(19));
        assert_eq!((niceness(), run(niceness).await), (own, Ok(own)));
    }
}
