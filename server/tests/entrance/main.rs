//! The way to a real server: TLS with a certificate of its own, and proxies in front, over real sockets.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod authority;
mod headers;
mod hostile;
mod postgres;
mod proxied;
mod raw;
mod refused;
mod replaced;
mod tls;

#[path = "../support/hostile.rs"]
mod hostile_table;
#[path = "../support/state.rs"]
mod state;
