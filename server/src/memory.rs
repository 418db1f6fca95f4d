//! Returns memory that is no longer needed to the system.

/// Returns freed memory. Otherwise glibc's allocator keeps it for later: half a gigabyte after an import of 250,000 blocks.
/// Takes some milliseconds, so it is for use after large work only.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a call into the C library, which takes a number and touches nothing that is in use"
)]
pub(crate) fn give_back() {
    // SAFETY: malloc_trim takes the locks of the allocator itself, and frees only empty pages.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Other allocators do this themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
