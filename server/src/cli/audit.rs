//! `ipam audit`: what is handed out of the audit log, so that nobody can change it unnoticed.

use super::{
    connection::Connection,
    output::{self, Failure},
};

/// Hand out what proves later that the audit log was not changed
#[derive(Debug, clap::Args)]
pub struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Head(AuditHead),
}

/// Print how far the audit log is sealed: SEAL:EVENT:DIGEST
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Keep it where nobody who can write to the database can write, such as the log of a pipeline. Later\n\
    `ipam verify --expect-head HEAD` proves that no event up to there was changed or cut off."
)]
struct AuditHead {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Audit {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let Verb::Head(AuditHead { json, connection }) = self.verb;
        let head = connection.client().await?.audit_head().await?;
        if json {
            return output::json(&head);
        }
        Ok(format!("{head}\n"))
    }
}
