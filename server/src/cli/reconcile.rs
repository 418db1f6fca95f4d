//! `ipam reconcile`: lets a database that was restored from a backup hand out space again.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use ipam_shared::api::transfer::Format;
use uuid::Uuid;

use super::{
    chain,
    database::Database,
    import::{FormatArg, by_name},
    output::Failure,
};
use crate::{
    domain::{
        Caller, Ipam,
        reconcile::{Evidence, Reconciled},
    },
    telemetry::{self, LogFormat},
};

/// How many conflicts are named.
const SHOWN: usize = 50;

/// Let a restored database hand out space again, after reserving what was taken since its backup
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 reconciled, or there was nothing to do; 1 refused, and the servers keep refusing.\n\
    A managed server must be stopped first, or name its database with --database-url; others may run meanwhile."
)]
pub struct Reconcile {
    /// An export that is newer than the backup, made by `ipam export`: its blocks are reserved where the database does not
    /// know them
    #[arg(long, value_name = "FILE", required_unless_present_any = ["events", "accept_loss", "moved"])]
    export: Option<PathBuf>,
    /// The audit log from before the backup on: the pages of GET /api/v1/events, one after the other. The blocks that it
    /// knows and the database does not are reserved
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    events: Option<PathBuf>,
    /// Format of the export; default: by the file's extension
    #[arg(long, value_enum, requires = "export")]
    format: Option<FormatArg>,
    /// Accept that what was allocated after the backup and is in no export may be given to somebody else
    #[arg(long)]
    accept_loss: bool,
    /// The database was moved here on purpose, and nothing was changed after it was dumped
    #[arg(long, conflicts_with_all = ["export", "events", "accept_loss"])]
    moved: bool,
    /// Leave the database schema alone, as `ipam serve --no-migrate` does
    #[arg(long, env = "IPAM_NO_MIGRATE", value_parser = clap::builder::BoolishValueParser::new())]
    no_migrate: bool,
    #[command(flatten)]
    database: Database,
}

impl Reconcile {
    /// What was done.
    ///
    /// # Errors
    /// When the export or the events can't be read or do not fit, or the database can't be used.
    pub async fn run(self) -> Result<String, Failure> {
        telemetry::init(LogFormat::Auto);
        let export = match &self.export {
            None => None,
            Some(path) => {
                let format = self
                    .format
                    .map(Format::from)
                    .or_else(|| by_name(path))
                    .unwrap_or_default();
                Some((read(path)?, format))
            }
        };
        let events = self.events.as_deref().map(read).transpose()?;
        let evidence = Evidence {
            export,
            events,
            accept_loss: self.accept_loss,
            moved: self.moved,
        };
        let opened = self.database.open().await.map_err(chain)?;
        let done = async {
            opened.prepare(self.no_migrate).await?;
            let caller = Caller::trusted("ipam reconcile", Uuid::new_v4());
            let ipam = Ipam::new(opened.connections.clone());
            anyhow::Ok(ipam.reconcile(caller, evidence).await?)
        };
        let done = done.await;
        opened.close().await.map_err(chain)?;
        let done = done.map_err(chain)?;
        let text = text(&done);
        if done.conflicts.is_empty() || self.accept_loss {
            Ok(text)
        } else {
            Err(Failure::Refused(text))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(chain)
}

fn text(done: &Reconciled) -> String {
    if !done.was_restored {
        return "The database is where it was made: there is nothing to reconcile.\n".to_owned();
    }
    let mut text = String::new();
    if !done.conflicts.is_empty() {
        let _ = writeln!(
            text,
            "{} networks can't be taken out of circulation:",
            done.conflicts.len()
        );
        for conflict in done.conflicts.iter().take(SHOWN) {
            let _ = writeln!(text, "  {conflict}");
        }
        if done.conflicts.len() > SHOWN {
            let _ = writeln!(text, "  and {} more", done.conflicts.len() - SHOWN);
        }
        let _ = writeln!(
            text,
            "Resolve these and run the command again; with --accept-loss they are left as they are."
        );
    }
    let _ = writeln!(
        text,
        "{} networks were reserved that the database did not know.",
        done.reserved
    );
    text
}
