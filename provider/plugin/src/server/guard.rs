//! Runs a handler so that whatever happens, the call gets a meaningful answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;

use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics, Result};

/// The outcome of a handler: a value unless it failed, and messages for the user.
pub(super) struct Outcome<T> {
    pub(super) value: Option<T>,
    pub(super) diagnostics: Diagnostics,
}

/// Runs `work`; a panic inside becomes an error that names `operation`, and other calls go on undisturbed.
pub(super) async fn guard<C, T>(
    operation: &str,
    ctx: &Context<C>,
    work: impl Future<Output = Result<T>>,
) -> Outcome<T> {
    let start = Instant::now();
    let result = AssertUnwindSafe(work).catch_unwind().await;
    let mut diagnostics = ctx.take_reported();
    let value = match result {
        Ok(Ok(value)) => Some(value),
        Ok(Err(errors)) => {
            diagnostics.extend(errors);
            None
        }
        Err(panic) => {
            diagnostics.push(crash(operation, &*panic));
            None
        }
    };
    let milliseconds = start.elapsed().as_millis();
    tracing::debug!(
        operation,
        milliseconds,
        failed = diagnostics.has_errors(),
        "call finished"
    );
    Outcome { value, diagnostics }
}

/// The error for a handler that panicked.
fn crash(operation: &str, panic: &(dyn Any + Send)) -> Diagnostic {
    Diagnostic::error(
        format!("The provider crashed while {operation}"),
        format!(
            "This is a bug in the provider, not in your configuration. Please report it with this text: {}",
            panic_text(panic)
        ),
    )
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
