//! Calls that import and export whole address plans. Both may take minutes, and their replies are read as they arrive.

use std::{io, time::Duration};

use ipam_shared::{
    api::transfer::{ExportParams, Format, ImportLine, ImportParams, ImportResult, Progress},
    error::Code,
};
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};

use crate::{Client, Error};

/// Timeout for a file.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The server refused, or can't be reached.
    #[error(transparent)]
    Client(#[from] Error),
    /// What was exported can't be written.
    #[error("the export can't be written: {0}")]
    Write(#[from] io::Error),
}

impl Client {
    /// Imports a file, all or nothing. With conflicts nothing was written. What already exists exactly as in the file is
    /// left alone, so an import whose outcome is not known can be repeated.
    pub async fn import(
        &self,
        file: Vec<u8>,
        format: Format,
        params: ImportParams,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<ImportResult, Error> {
        let kind = match format {
            Format::Csv => "text/csv",
            Format::Json => "application/x-ndjson",
        };
        let request = self
            .api(Method::POST, &["import"])
            .query(&params)
            .header(CONTENT_TYPE, kind)
            .header(ACCEPT, "application/x-ndjson")
            .timeout(TIMEOUT)
            .body(file);
        let mut stream = self.open(request, params.dry_run).await?;
        let mut buffer = Vec::new();
        while let Some(piece) = stream.next().await? {
            buffer.extend_from_slice(piece.as_ref());
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = serde_json::from_slice(&line).map_err(|error| {
                    stream.broken(format!("a line of the reply makes no sense: {error}"))
                })?;
                match line {
                    ImportLine::Progress(now) => progress(now),
                    ImportLine::Result(result) => return Ok(result),
                    ImportLine::Problem(problem) if problem.code == Code::ImportConflict => {
                        return serde_json::from_value(problem.details).map_err(|error| {
                            stream.broken(format!(
                                "the conflicts of the reply make no sense: {error}"
                            ))
                        });
                    }
                    ImportLine::Problem(problem) => return Err(stream.refused(problem)),
                }
            }
        }
        Err(stream.broken("the reply ended before the outcome of the import".to_owned()))
    }

    /// Exports everything there is, piece by piece. If it fails, what was written so far is not a complete plan.
    pub async fn export(
        &self,
        format: Format,
        mut write: impl FnMut(&[u8]) -> io::Result<()> + Send,
    ) -> Result<(), ExportError> {
        let request = self
            .api(Method::GET, &["export"])
            .query(&ExportParams { format })
            .timeout(TIMEOUT);
        let mut stream = self.open(request, false).await?;
        while let Some(piece) = stream.next().await? {
            write(piece.as_ref())?;
        }
        Ok(())
    }
}
