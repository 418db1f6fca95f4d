//! `ipam openapi`: the document that is committed as docs/openapi.json.

use crate::http::openapi::document;

/// Print the OpenAPI document
#[derive(Debug, clap::Args)]
pub struct Openapi {}

impl Openapi {
    /// # Errors
    /// Never in practice: the document is made of plain values.
    pub fn run(self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&document())? + "\n")
    }
}
