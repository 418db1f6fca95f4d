//! The ipam server and command line.

pub mod db;
pub mod domain;
pub mod error;
pub use ipam_postgres as postgres;
