//! What tests stand on: a throw-away PostgreSQL ([`ThrowAwayCluster`]), a database of its own for each test
//! ([`TestDatabase`]), a primary with a synchronous standby ([`Pair`]) and the real server as a process that can be killed
//! ([`TestServer`]).
//!
//! `./test` starts one cluster for the whole run and exports `TEST_DATABASE_URL`; without that variable each test
//! process starts a cluster of its own, which goes away with the process. Nothing here knows what ipam does, only how
//! it is started and which migrations it has.
//!
//! Failures panic: there is nothing a test could do about them.

mod cluster;
mod database;
mod dump;
mod link;
mod migrations;
mod pair;
mod server;

pub use cluster::{DATABASE_URL, ThrowAwayCluster, cluster_dir};
pub use database::TestDatabase;
pub use dump::{dump, restore};
pub use link::Link;
pub use pair::{Canceller, Pair};
pub use server::{TestServer, ipam_binary};
