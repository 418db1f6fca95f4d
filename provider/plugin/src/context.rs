//! The context of every handler.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::diagnostic::{Diagnostic, Diagnostics, Result};

/// What every handler gets besides its request. One per call.
#[derive(Debug)]
pub struct Context<C> {
    client: Option<Arc<C>>,
    stop: CancellationToken,
    reported: Mutex<Diagnostics>,
}

impl<C> Context<C> {
    pub(crate) fn new(client: Option<Arc<C>>, stop: CancellationToken) -> Self {
        Self {
            client,
            stop,
            reported: Mutex::default(),
        }
    }

    /// The client that `configure` created.
    ///
    /// # Errors
    /// If the provider is not configured, because its settings are not known yet.
    pub fn client(&self) -> Result<&C, Diagnostic> {
        self.try_client().ok_or_else(|| {
            Diagnostic::error(
                "The provider is not configured yet",
                "Its settings depend on values that are known only after apply. Create what they depend on first \
                 (terraform apply -target=...), or give the settings as variables.",
            )
        })
    }

    /// The client, unless the provider's settings are unknown. For `plan`, which may do with less. Always `None` in
    /// `validate`, which runs before the provider is configured.
    pub fn try_client(&self) -> Option<&C> {
        self.client.as_deref()
    }

    /// Adds a warning or an error without ending the handler. A handler that returns `Ok` after reporting an error
    /// has failed and still has a result: a resource that was created and then could not be finished is kept in
    /// the state (and marked as tainted by Terraform).
    pub fn report(&self, diagnostic: Diagnostic) {
        self.lock().push(diagnostic);
    }

    /// Cancelled when the user presses Ctrl-C: waits can end early, and work that is safe to abandon can be
    /// abandoned. The call still has to return, and what was created must be in the result.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn take_reported(&self) -> Diagnostics {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Diagnostics> {
        // The list stays usable when a handler panics.
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
