//! Under construction.
pub use ipam_postgres as postgres;
