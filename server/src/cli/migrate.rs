//! `ipam migrate`: the schema, without a server.

use std::path::PathBuf;

use super::{database::Database, roles::Login};
use crate::{
    settings,
    telemetry::{self, LogFormat},
};

/// Bring the database schema up to date; `serve` does this automatically, unless it is told not to
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// Give this role what `ipam serve --no-migrate` needs, and nothing more: it can't change tables, nor what is recorded
    /// as history
    #[arg(long, value_name = "ROLE", env = "IPAM_GRANT_TO")]
    grant_to: Option<String>,
    /// File with a password for that role, which is created if it does not exist; without it the role has to exist
    #[arg(
        long,
        value_name = "FILE",
        env = "IPAM_GRANT_PASSWORD_FILE",
        requires = "grant_to"
    )]
    grant_password_file: Option<PathBuf>,
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    /// # Errors
    /// When the database can't be reached, or holds a schema that this version does not know, or the role can't be given
    /// what a server needs.
    pub async fn run(self) -> anyhow::Result<String> {
        telemetry::init(LogFormat::Auto);
        let password = settings::secret(
            "IPAM_GRANT_PASSWORD",
            None,
            self.grant_password_file.as_deref(),
        )?;
        let login = password.map_or(Login::AsItIs, Login::Password);
        let opened = self.database.open().await?;
        let done = async {
            opened.migrate().await?;
            match &self.grant_to {
                Some(role) => opened.grant_to(role, &login).await,
                None => Ok(()),
            }
        };
        let done = done.await;
        let closed = opened.close().await;
        done.and(closed)?;
        Ok(match self.grant_to {
            Some(role) => format!(
                "The schema is up to date, and {role} may do what a server does, and no more.\n"
            ),
            None => "The schema is up to date.\n".to_owned(),
        })
    }
}
