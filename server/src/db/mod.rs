//! SQL: one statement per function, a file per noun. Knows no HTTP status and begins no transaction.
//!
//! CIDRs travel through prepared statements only: the driver prints those of the text protocol to stdout.

pub mod address_plan;
pub mod allocate;
pub mod allocation;
pub mod block;
pub mod commit;
pub mod connection;
pub mod connections;
pub mod convert;
pub mod cooldown;
pub mod error;
pub mod event;
pub mod free;
pub mod identity;
pub mod ledger;
pub mod legacy;
pub mod lock;
pub mod lookup;
pub mod map;
pub mod ownership;
pub mod pool;
pub mod privileges;
pub mod profile;
pub mod quota;
pub mod range;
pub mod reconcile;
pub mod reservation;
pub mod scope;
pub mod seal;
pub mod search;
pub mod session;
pub mod settle;
pub mod space;
pub mod token;
pub mod total;
pub mod transfer;
mod trust;
pub mod verify;
pub mod vpc;
pub mod vrf;
pub mod webhook;

use sqlx::migrate::Migrator;

/// The schema, embedded in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

pub use connection::{Connection, Transaction};

/// Whether this is a primary, which takes writes.
pub async fn is_writable<'c>(
    db: impl sqlx::Executor<'c, Database = sqlx::Postgres>,
) -> sqlx::Result<bool> {
    let row = sqlx::query!(r#"select not pg_is_in_recovery() as "writable!""#)
        .fetch_one(db)
        .await?;
    Ok(row.writable)
}

/// Whether commits of this database have waited for a standby for seconds.
pub async fn commits_wait(db: &mut Connection) -> crate::error::Result<bool> {
    let row = sqlx::query!(
        r#"select exists (
            select from pg_stat_activity where datname = current_database() and wait_event = 'SyncRep'
                and state_change < clock_timestamp() - interval '2 s'
        ) as "wait!""#
    )
    .fetch_one(db)
    .await?;
    Ok(row.wait)
}

/// The timeline of a primary: its number grows each time that a standby takes over. None for a standby.
pub async fn timeline<'c>(
    db: impl sqlx::Executor<'c, Database = sqlx::Postgres>,
) -> sqlx::Result<Option<u32>> {
    // The name of a WAL file begins with it, and a standby writes none.
    let row = sqlx::query!(
        r#"select case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline"#
    )
    .fetch_one(db)
    .await?;
    Ok(row
        .timeline
        .map(|timeline| u32::from_str_radix(&timeline, 16).unwrap_or_default()))
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
pub async fn schema_version(db: &mut sqlx::PgConnection) -> crate::error::Result<i64> {
    // Unchecked: the table is created by the migrator.
    let version = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(db)
        .await?;
    Ok(version)
}
