//! Waiting for a call to the server, even if the user presses Ctrl-C meanwhile.

use std::time::Duration;

use ipam_client::Error;
use tfplugin::{Context, Diagnostic, Result};

use super::failure::failure;
use crate::connection::Connection;

/// How long a call goes on after Ctrl-C, in the hope that it finishes.
const GRACE: Duration = Duration::from_secs(5);

/// Waits for a call and turns its failure into a message.
pub(crate) async fn finish<T>(
    ctx: &Context<Connection>,
    what: &str,
    call: impl Future<Output = std::result::Result<T, Error>>,
) -> Result<T> {
    until_stopped(ctx, what, call)
        .await?
        .map_err(|error| failure(what, &error).into())
}

/// Waits for a call; after Ctrl-C not much longer. An abandoned call may still be executed, which does no harm: repeating
/// it returns the same.
pub(crate) async fn until_stopped<T>(
    ctx: &Context<Connection>,
    what: &str,
    call: impl Future<Output = T>,
) -> Result<T> {
    let stopped = async {
        ctx.stop().cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        answer = call => Ok(answer),
        () = stopped => Err(Diagnostic::error(
            format!("Interrupted: can't {what}"),
            "The server has not answered. It is not known whether it did what it was asked; running the same again is safe.",
        )
        .into()),
    }
}
