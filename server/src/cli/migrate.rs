//! `ipam migrate`: the schema, without a server.

use super::database::Database;
use crate::telemetry::{self, LogFormat};

/// Bring the database schema up to date; `serve` does this automatically
#[derive(Debug, clap::Args)]
pub struct Migrate {
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    /// # Errors
    /// When the database can't be reached, or holds a schema that this version does not know.
    pub async fn run(self) -> anyhow::Result<String> {
        telemetry::init(LogFormat::Auto);
        let opened = self.database.open().await?;
        let migrated = opened.migrate().await;
        let closed = opened.close().await;
        migrated.and(closed)?;
        Ok("The schema is up to date.\n".to_owned())
    }
}
