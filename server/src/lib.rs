//! The ipam server and command line.
//!
//! A request flows one way: `http` (or `pages`) parses and authorises, `domain` decides inside a transaction, `db` speaks
//! SQL. Plain reads go from `http` to `db`. `cli` starts it all.

pub mod app;
pub mod auth;
pub mod cli;
pub mod db;
pub mod domain;
pub mod drawing;
pub mod error;
mod escape;
pub mod front;
pub mod http;
mod json;
pub mod manners;
mod memory;
pub mod metrics;
pub mod network;
pub mod outbound;
pub mod pages;
pub mod picture;
pub mod rate;
pub mod rights;
pub mod router;
pub mod secret;
pub mod settings;
pub mod telemetry;
pub mod text;
pub use ipam_postgres as postgres;
