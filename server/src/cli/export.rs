//! `ipam export`: everything there is, as a file that `ipam import` takes.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use ipam_client::{Client, ExportError};
use ipam_shared::api::transfer::Format;

use super::{
    connection::Connection,
    import::{FormatArg, by_name},
    output::{Failure, printable},
};

/// Export the address plan: VRFs, pools, profiles, VPCs, reservations and allocations, with their ids
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Format; default: by the extension of the file, or JSON on standard output, one record per line
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// File to write instead of standard output; it appears once it is complete
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

impl Export {
    /// Nothing to print: the file has already been written.
    ///
    /// # Errors
    /// When the file can't be written, the server refuses, or it can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let format = match (self.format, self.output.as_deref()) {
            (Some(format), _) => format.into(),
            (None, None) => Format::default(),
            (None, Some(file)) => by_name(file).ok_or_else(|| unknown(file))?,
        };
        let client = self.connection.client().await?;
        let done = match &self.output {
            None => {
                let mut stdout = io::stdout();
                client.export(format, |piece| stdout.write_all(piece)).await
            }
            Some(path) => to_file(&client, format, path).await,
        };
        match done {
            Ok(()) => Ok(String::new()),
            // `ipam export | head` closes our output early, on purpose.
            Err(ExportError::Write(error))
                if self.output.is_none() && error.kind() == io::ErrorKind::BrokenPipe =>
            {
                Ok(String::new())
            }
            Err(ExportError::Client(error)) => Err(error.into()),
            Err(error) => Err(Failure::Refused(error.to_string())),
        }
    }
}

/// A file whose name says no format: what it is for is a guess, and `-o csv` means the format everywhere else.
fn unknown(file: &Path) -> Failure {
    let file = printable(&file.display().to_string());
    Failure::Usage(format!(
        "the name of the file {file:?} says no format: end it in .json or .csv, or name one with --format. To write a format to \
         the standard output, leave out -o"
    ))
}

/// Writes to a temporary file next to the target and renames it when complete, so that a partial file is never taken for a
/// plan.
async fn to_file(client: &Client, format: Format, path: &Path) -> Result<(), ExportError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let written = async {
        let mut file = BufWriter::new(File::create(&part)?);
        client.export(format, |piece| file.write_all(piece)).await?;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::rename(&part, path)?;
        Ok(())
    };
    let written: Result<(), ExportError> = written.await;
    if written.is_err() {
        // It may not even have been created.
        _ = fs::remove_file(&part);
    }
    written
}
