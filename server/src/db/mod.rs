//! SQL: one statement per function, a file per noun. Knows no HTTP status and begins no transaction.
//!
//! CIDRs travel through prepared statements only: the driver prints those of the text protocol to stdout.

pub mod address_plan;
pub mod allocation;
pub mod block;
pub mod connections;
pub mod convert;
pub mod cooldown;
pub mod creation;
pub mod error;
pub mod event;
pub mod free;
pub mod identity;
pub mod lookup;
pub mod map;
pub mod pool;
pub mod profile;
pub mod range;
pub mod reconcile;
pub mod reservation;
pub mod search;
pub mod simple;
pub mod space;
pub mod total;
pub mod transfer;
pub mod verify;
pub mod vpc;
pub mod vrf;

use sqlx::migrate::Migrator;

/// The schema, embedded in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// A connection, inside or outside of a transaction.
pub type Connection = sqlx::PgConnection;

/// Whether this is a primary, which takes writes.
pub async fn is_writable(db: &mut Connection) -> crate::error::Result<bool> {
    let row = sqlx::query!(r#"select not pg_is_in_recovery() as "writable!""#)
        .fetch_one(db)
        .await?;
    Ok(row.writable)
}

/// Settings of the server, or of the database or role, with which an acknowledged allocation could be lost in a crash.
pub async fn unsafe_settings(db: &mut Connection) -> crate::error::Result<Vec<String>> {
    let rows = sqlx::query!(
        r#"select name || ' = ' || setting as "setting!" from pg_settings
        where name in ('fsync', 'synchronous_commit', 'full_page_writes') and setting = 'off' order by name"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.setting).collect())
}

/// The newest migration that was applied to the database, by whatever release.
pub async fn schema_version(db: &mut Connection) -> crate::error::Result<i64> {
    // Unchecked: the table is the migrator's, which makes it.
    let version = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(db)
        .await?;
    Ok(version)
}
