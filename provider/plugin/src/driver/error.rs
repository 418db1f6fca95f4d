//! Why a provider could not be started.

use std::io;

/// Why a provider could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process could not be started or ended early; with what it printed.
    #[error("the provider did not start: {0}")]
    Process(String),
    /// The first line was not a handshake.
    #[error("this is not a handshake: {0:?}")]
    Handshake(String),
    /// The connection was refused, or broke.
    #[error("no connection: {0}")]
    Connection(String),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Process(error.to_string())
    }
}
