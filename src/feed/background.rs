//! Work that would hold up others, done on a thread of its own, where a panic is a message and not an end.

use tokio::task::JoinError;

/// What is told of a panic.
pub(super) const PANIC: &str =
    "pixelsink itself failed at this (a panic; the log has its place); please report it with the list";

/// Does blocking or long work; a panic in it is told.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| describe(&error))
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
    }
}
