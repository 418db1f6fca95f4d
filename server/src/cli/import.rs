//! `ipam import`: a whole address plan from a file, all or nothing.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use ipam_shared::api::transfer::{Format, ImportParams, ImportResult, Phase, Progress};

use super::{
    connection::Connection,
    input,
    output::{self, Align, Failure, Table, printable, thousands},
    screen::Screen,
};

/// How many conflicts are shown; JSON has more.
const SHOWN: usize = 100;

/// Import an address plan from a CSV or JSON file, all or nothing
///
/// A table with the columns cidr, vpc and name is enough. What already exists exactly as in the file is left alone, so a
/// file can be imported again. docs/IMPORT.md has every column.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 imported (or would be), 1 refused, with every conflict and its line."
)]
pub struct Import {
    /// The file; - for standard input
    file: PathBuf,
    /// Show what would be imported, or every conflict, without writing anything
    #[arg(long)]
    dry_run: bool,
    /// Format of the file; default: by its extension, .csv, or .json, .jsonl, .ndjson
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A format as an option.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum FormatArg {
    /// A table
    Csv,
    /// JSON, one record a line
    Json,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Json => Self::Json,
        }
    }
}

/// The format that a file's name implies.
pub(super) fn by_name(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" | "tsv" => Some(Format::Csv),
        "json" | "jsonl" | "ndjson" => Some(Format::Json),
        _ => None,
    }
}

impl Import {
    /// What to print.
    ///
    /// # Errors
    /// When there are conflicts, the file can't be read, the server refuses, or it can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let format = self
            .format
            .map(Format::from)
            .or_else(|| by_name(&self.file));
        let format = format.ok_or_else(|| {
            Failure::Usage(
                "the format does not follow from the file's name; give --format csv or --format json"
                    .to_owned(),
            )
        })?;
        let file = input::read(&self.file)
            .map_err(|error| Failure::Refused(format!("{}: {error}", self.file.display())))?;
        let client = self.connection.client().await?;
        let params = ImportParams {
            dry_run: self.dry_run,
        };
        let mut line = Line::new();
        let result = client
            .import(file, format, params, |progress| line.show(progress))
            .await;
        line.clear();
        let result = result?;
        let text = if self.json {
            output::json(&result)?
        } else {
            text(&result)
        };
        if result.total_conflicts == 0 {
            return Ok(text);
        }
        let count = plural(result.total_conflicts, "conflict");
        let said = format!("{count}; nothing was imported");
        Err(Failure::Found(text, said))
    }
}

/// A progress line on a terminal; nothing elsewhere.
struct Line {
    terminal: bool,
    shown: bool,
}

impl Line {
    fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            shown: false,
        }
    }

    fn show(&mut self, progress: Progress) {
        if !self.terminal {
            return;
        }
        let text = match (progress.phase, progress.total) {
            (Phase::Read, _) => "reading".to_owned(),
            (Phase::Check, total) => format!("checking {}", plural(total, "record")),
            (Phase::Write, total) => format!(
                "writing: {} of {}, {}%",
                thousands(progress.done),
                plural(total, "allocation"),
                (progress.done * 100).checked_div(total).unwrap_or(100)
            ),
            (Phase::Commit, _) => "saving".to_owned(),
        };
        self.shown = true;
        // A terminal that was closed is no reason to stop.
        _ = write!(io::stderr(), "\r\x1b[K{text}");
        _ = io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.shown {
            _ = write!(io::stderr(), "\r\x1b[K");
            _ = io::stderr().flush();
        }
    }
}

fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", thousands(count))
}

fn text(result: &ImportResult) -> String {
    if result.total_conflicts > 0 {
        let mut table = Table::new([Align::Right, Align::Left, Align::Left, Align::Left]);
        table.row(["LINE", "CONFLICT", "CIDR", "REASON"]);
        for conflict in result.conflicts.iter().take(SHOWN) {
            table.row([
                conflict.line.to_string(),
                conflict.code.as_str().to_owned(),
                conflict
                    .cidr
                    .map(|cidr| cidr.to_string())
                    .unwrap_or_default(),
                printable(&conflict.detail),
            ]);
        }
        let mut text = table.headed(Screen::stdout());
        let more = result.total_conflicts.saturating_sub(SHOWN as u64);
        if more > 0 {
            text += &format!(
                "and {} more; --json names the first 10,000\n",
                thousands(more)
            );
        }
        return text;
    }
    let made = result.created;
    let parts: Vec<_> = [
        (made.vrfs, "VRF"),
        (made.pools, "pool"),
        (made.ranges, "range"),
        (made.profiles, "profile"),
        (made.vpcs, "VPC"),
        (made.allocations, "allocation"),
        (made.reservations, "reservation"),
        (made.cooldowns, "cooldown"),
        (made.past_blocks, "past block"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, noun)| plural(count, noun))
    .collect();
    let verb = if result.dry_run {
        "Would import"
    } else {
        "Imported"
    };
    let what = if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    };
    let mut text = format!("{verb} {what}");
    if result.unchanged > 0 {
        text += &format!("; {} there already", plural(result.unchanged, "record"));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_was_imported_or_what_is_in_the_way() {
        let result: ImportResult = serde_json::from_value(serde_json::json!({
            "dry_run": false, "records": 3, "unchanged": 1,
            "created": {"vrfs": 0, "pools": 1, "ranges": 0, "profiles": 0, "vpcs": 0, "allocations": 2000, "blocks": 2000,
                "reservations": 0},
            "total_conflicts": 0, "conflicts": [],
        }))
        .unwrap();
        assert_eq!(
            text(&result),
            "Imported 1 pool, 2,000 allocations; 1 record there already\n"
        );
        let conflict = serde_json::json!({"line": 12, "code": "overlap", "cidr": "10.0.0.0/24", "detail": "it is\u{7} taken"});
        let result = ImportResult {
            total_conflicts: 102,
            conflicts: vec![serde_json::from_value(conflict).unwrap()],
            ..result
        };
        let expected = "LINE  CONFLICT  CIDR         REASON\n  12  overlap   10.0.0.0/24  it is\u{fffd} taken\nand 2 more";
        assert!(text(&result).starts_with(expected), "{}", text(&result));
        assert_eq!(by_name(Path::new("a/Plan.CSV")), Some(Format::Csv));
        assert_eq!(by_name(Path::new("plan.jsonl")), Some(Format::Json));
        assert_eq!(by_name(Path::new("plan")), None);
    }
}
