//! One heap for all threads, where the C library would give each its own.
//!
//! Threads that answer hardly allocate and need no heap of their own, while what a compile or the history gave back to theirs
//! could be used by nobody else: 10 to 20 MB of 80 with a list of a million names.

/// Has glibc do so, which must be before any thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub(super) fn share() {
    /// Large blocks go back to the system at once. Fixed, since glibc would raise it with the first large block that is freed,
    /// and such blocks would go back no more.
    const LARGE: i32 = 128 * 1024;
    // SAFETY: it sets numbers of the allocator, and no other thread is there yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Other C libraries have one heap.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) const fn share() {}
