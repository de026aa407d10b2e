//! One heap for all threads, where the C library would give each its own.
//!
//! glibc reads how its allocator is to be from the environment, once, before `main`; so the daemon begins anew with what it
//! wants there. Threads that answer hardly allocate and need no heap of their own, while what a compile or the history
//! gave back to theirs could be used by nobody else: 10 to 20 MB of 80 with a list of a million names.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn share() {
    use std::os::unix::process::CommandExt as _;

    /// What the variables are called, and what they are to be when nobody has set any of them.
    const WANTED: [(&str, &str); 2] = [
        ("MALLOC_ARENA_MAX", "1"),
        // Fixed, since it would grow with the first large block that is freed, and such blocks would go back no more.
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ];
    let is_set = |(name, _): (&str, &str)| std::env::var_os(name).is_some();
    // Someone who set one knows better; and so it ends.
    if WANTED.into_iter().any(is_set) {
        return;
    }
    // Its name may be another one since it was started; then it goes on as it is.
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Comes back only when it fails.
    let _ = again.args(arguments).envs(WANTED).exec();
}

/// Other C libraries have one heap.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn share() {}
