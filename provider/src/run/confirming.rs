//! Claims of what was read ahead, which are confirmed together instead of one by one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ipam_client::Client;
use ipam_shared::api::ownership::{Confirmation, MAX_CONFIRMATIONS};

/// Claims of a state that the server has not seen yet. Losing them does no harm: the next refresh has them again.
#[derive(Debug, Default)]
pub(crate) struct Confirming(Mutex<Vec<Confirmation>>);

impl Confirming {
    /// Confirms it later, at the latest when the provider ends.
    pub(crate) async fn later(&self, client: &Client, claim: Confirmation) {
        let is_full = {
            let mut open = self.open();
            open.push(claim);
            open.len() >= MAX_CONFIRMATIONS
        };
        if is_full {
            self.now(client).await;
        }
    }

    /// Confirms all that there are.
    pub(crate) async fn now(&self, client: &Client) {
        let open = std::mem::take(&mut *self.open());
        if open.is_empty() {
            return;
        }
        match client.confirm(&open).await {
            Ok(results) => {
                for result in results.iter().filter(|result| result.detail.is_some()) {
                    tracing::warn!(id = %result.id, status = ?result.status, "a claim was not confirmed");
                }
            }
            Err(error) => tracing::warn!(%error, "{} claims were not confirmed", open.len()),
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Confirmation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
