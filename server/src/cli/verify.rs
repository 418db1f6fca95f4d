//! `ipam verify`: proof over the whole database that nothing overlaps, nothing is lost, and the audit log is intact.

use std::fmt::Write as _;

use super::{
    chain,
    database::Database,
    output::{self, Failure},
};
use crate::{
    domain::{Ipam, verify::Report},
    telemetry::{self, LogFormat},
};

/// Prove that used and free space add up, nothing overlaps, and the audit log is intact
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 1 something is wrong or the database can't be read.\n\
    A managed server must be stopped first, or name its database with --database-url; others may run meanwhile."
)]
pub struct Verify {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: Database,
}

impl Verify {
    /// What was found.
    ///
    /// # Errors
    /// When something is wrong, or the database can't be read.
    pub async fn run(self) -> Result<String, Failure> {
        telemetry::init(LogFormat::Auto);
        let opened = self.database.open().await.map_err(chain)?;
        let report = Ipam::new(opened.connections.clone()).verify().await;
        opened.close().await.map_err(chain)?;
        let report = report.map_err(|error| chain(anyhow::Error::new(error)))?;
        let text = if self.json {
            output::json(&report)?
        } else {
            text(&report)
        };
        if report.findings.is_empty() {
            Ok(text)
        } else {
            Err(Failure::Refused(text))
        }
    }
}

fn text(report: &Report) -> String {
    let extent = report.extent;
    let mut text = format!(
        "{} ranges, {} blocks, {} free blocks, {} allocations, {} events ({} sealed): ",
        extent.ranges,
        extent.blocks,
        extent.free_blocks,
        extent.allocations,
        extent.events,
        report.sealed_events
    );
    if report.findings.is_empty() {
        text.push_str("all is well\n");
        return text;
    }
    let _ = writeln!(text, "{} findings", report.findings.len());
    for finding in &report.findings {
        let _ = writeln!(text, "  {}: {}", finding.check, finding.finding);
    }
    text
}
