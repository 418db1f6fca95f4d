//! `ipam whoami`: whom the server takes the caller for.

use super::{connection::Connection, nouns::token::usage, output::Failure};
use crate::text::moment;

/// Show what the audit log calls you, and what your key may do
#[derive(Debug, clap::Args)]
pub struct Whoami {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Whoami {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let who = client.whoami().await?;
        let json = serde_json::to_string_pretty(&who);
        let json = json.map_err(|error| Failure::Refused(error.to_string()))?;
        if self.json {
            return Ok(json + "\n");
        }
        let roles: Vec<_> = who.roles.iter().map(|role| role.as_str()).collect();
        let mut text = format!("{}: {}\n", who.actor, roles.join(", "));
        if !who.limits.is_empty() {
            let limits = serde_json::to_string(&who.limits);
            let limits = limits.map_err(|error| Failure::Refused(error.to_string()))?;
            text.push_str(&format!("limited to {limits}\n"));
        }
        for line in usage(who.usage.as_deref()) {
            text.push_str(&format!("quota of {line} addresses are held\n"));
        }
        if let Some(at) = who.expires_at {
            text.push_str(&format!("until {}\n", moment(at)));
        }
        Ok(text)
    }
}
