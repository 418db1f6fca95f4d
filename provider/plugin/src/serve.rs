//! From `main` to a running plugin and back: the cookie, the handshake, the socket, and the end.

use std::process::ExitCode;

use crate::provider::Provider;

/// Runs `provider` as a plugin until Terraform ends it.
pub async fn serve<P: Provider>(_provider: P) -> ExitCode {
    ExitCode::SUCCESS
}
