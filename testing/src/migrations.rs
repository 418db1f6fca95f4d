//! The migrations. Embedded here and not taken from the server, which need not compile for it.

use sqlx::migrate::Migrator;

/// The schema.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("../migrations");
