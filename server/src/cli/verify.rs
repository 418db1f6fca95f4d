//! `ipam verify`: proof over the whole database that nothing overlaps, nothing is lost, and the audit log is intact.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use ipam_shared::api::event::Head;

use super::{
    chain,
    database::Database,
    output::{self, Failure, printable},
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
    /// A head of the audit log that was handed out (`ipam audit head`), which must still be part of it; may be repeated
    #[arg(long, value_name = "HEAD")]
    expect_head: Vec<Head>,
    /// A file with such heads, as a server with --audit-heads writes it
    #[arg(long, value_name = "FILE")]
    expect_heads: Option<PathBuf>,
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
        let mut expected = self.expect_head;
        if let Some(path) = &self.expect_heads {
            expected.extend(read_heads(path)?);
        }
        let opened = self.database.open().await.map_err(chain)?;
        let ipam = Ipam::new(opened.connections.clone());
        let report = ipam.verify_with(&expected).await;
        opened.close().await.map_err(chain)?;
        let report = report.map_err(|error| chain(anyhow::Error::new(error)))?;
        let text = if self.json {
            output::json(&report)?
        } else {
            text(&report)
        };
        match report.findings.len() {
            0 => Ok(text),
            1 => Err(Failure::Found(text, "1 thing is wrong".to_owned())),
            wrong => Err(Failure::Found(text, format!("{wrong} things are wrong"))),
        }
    }
}

/// The heads in a file: the last word of each line.
fn read_heads(path: &Path) -> Result<Vec<Head>, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Refused(format!("{name} can't be read: {error}")))?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let heads = lines.map(|(number, line)| {
        let word = line.split_whitespace().last().unwrap_or_default();
        word.parse()
            .map_err(|error| Failure::Refused(format!("{name}, line {}: {error}", number + 1)))
    });
    let heads = heads.collect::<Result<Vec<_>, _>>()?;
    // A file that was emptied proves nothing.
    if heads.is_empty() {
        return Err(Failure::Refused(format!("{name} has no heads")));
    }
    Ok(heads)
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
        if let Some(head) = &report.head {
            let _ = writeln!(text, "the head of the audit log: {head}");
        }
        return text;
    }
    let _ = writeln!(text, "{} findings", report.findings.len());
    for finding in &report.findings {
        let finding = format!("{}: {}", finding.check, finding.finding);
        let _ = writeln!(text, "  {}", printable(&finding));
    }
    text
}
