//! SQL: one statement per function, a file per noun. Knows no HTTP status and begins no transaction.
//!
//! CIDRs travel through prepared statements only: the driver prints those of the text protocol to stdout.

pub mod allocation;
pub mod convert;
pub mod error;
pub mod event;
pub mod free;
pub mod pool;
pub mod verify;
pub mod vpc;

use sqlx::migrate::Migrator;

/// The schema, embedded in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// A connection, inside or outside of a transaction.
pub type Connection = sqlx::PgConnection;
