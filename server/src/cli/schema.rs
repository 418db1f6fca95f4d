//! The schema as it is found, for a server that may not change it.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};

use super::{
    database::{Opened, unknown_schema},
    waiting,
};
use crate::db::{self, privileges};

/// How often the schema is looked at while somebody brings it up to date.
const LOOK: Duration = Duration::from_secs(1);

/// What a schema is to this program.
enum Fit {
    /// The same as its own.
    Exact,
    /// Older, or not there; somebody may be working on it.
    Behind(String),
}

impl Opened {
    /// Makes sure that the schema is the one of this program: brings it up to date, or with `no_migrate` only checks it.
    ///
    /// # Errors
    /// When it is not, or the database does not answer in time.
    pub async fn prepare(&self, no_migrate: bool) -> anyhow::Result<()> {
        if !no_migrate {
            return self.migrate().await;
        }
        let mut connection = waiting::connect(self.connections.hosts(), self.wait).await?;
        if self.connections.hosts().len() > 1 {
            self.connections.find_primary().await;
        }
        let checked = self.wait_for_schema(&mut connection).await;
        connection.close().await.ok();
        checked
    }

    /// The schema may be brought up to date at this moment, by whoever may.
    async fn wait_for_schema(&self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut is_told = false;
        loop {
            let why = match find(connection).await? {
                Fit::Exact => return Ok(()),
                Fit::Behind(why) => why,
            };
            if begin.elapsed() >= self.wait {
                anyhow::bail!(
                    "{why}. This server may not change it (--no-migrate): run `ipam migrate --grant-to ROLE` of the same \
                     release first, as the owner of the tables and for the role that this server connects as"
                );
            }
            if !is_told {
                tracing::warn!("{why}; waiting for somebody to bring it up to date");
                is_told = true;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn find(connection: &mut PgConnection) -> anyhow::Result<Fit> {
    let found = privileges::migrations(connection).await;
    let found = match found {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
            return Ok(Fit::Behind(
                "the role of this server may not read the schema's version".to_owned(),
            ));
        }
        found => found.context("the version of the database schema could not be read")?,
    };
    let found = found.unwrap_or_default();
    let newest = found.iter().map(|found| found.version).max();
    for applied in &found {
        let known = db::MIGRATOR
            .iter()
            .find(|known| known.version == applied.version);
        match known {
            None => anyhow::bail!(unknown_schema(applied.version, newest.unwrap_or_default())),
            Some(known) => anyhow::ensure!(
                applied.is_complete && *known.checksum == applied.checksum,
                "migration {} of the database is not the one of ipam {}: the schema was changed by hand, or by a program that \
                 is no release. Restore a backup, or run the program that the database was used with",
                applied.version,
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
    let wanted = db::MIGRATOR.iter().map(|known| known.version).max();
    if found.len() < db::MIGRATOR.iter().count() {
        return Ok(Fit::Behind(match newest {
            None => "the database has no schema of ipam yet".to_owned(),
            Some(newest) => format!(
                "the schema of the database is at version {newest}, and this release needs {}",
                wanted.unwrap_or_default()
            ),
        }));
    }
    let missing = privileges::missing(connection).await?;
    if !missing.is_empty() {
        return Ok(Fit::Behind(format!(
            "the role of this server lacks privileges in the database: {}",
            missing.join(", ")
        )));
    }
    let rewritable = privileges::rewritable(connection).await?;
    if !rewritable.is_empty() {
        tracing::warn!(
            "this server connects with a role that could rewrite history ({}): give it one of its own, with \
             `ipam migrate --grant-to ROLE`",
            rewritable.join(", ")
        );
    }
    Ok(Fit::Exact)
}
