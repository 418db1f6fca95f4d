//! Memory that is not needed any more goes back to the system.

/// Gives back what was freed. The allocator of glibc keeps it for later otherwise: half a gigabyte after an import of 250,000
/// blocks. Takes some milliseconds, so it is for after large work only.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a call into the C library, which takes a number and touches nothing that is in use"
)]
pub(crate) fn give_back() {
    // SAFETY: malloc_trim takes the locks of the allocator itself, and frees pages without anything in them only.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

/// Elsewhere allocators see to that themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
