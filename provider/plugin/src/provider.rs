//! The provider itself, and what every handler is given.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::data_source::DataSource;
use crate::diagnostic::{Diagnostic, Diagnostics, Result};
use crate::ephemeral::EphemeralResource;
use crate::function::Function;
use crate::list_resource::ListResource;
use crate::resource::Resource;
use crate::schema::Schema;
use crate::value::Value;

/// A Terraform provider. Give it to [`serve`](crate::serve()).
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What `configure` makes for the handlers: an HTTP client, say. Shared by all of them.
    type Client: Send + Sync + 'static;

    /// The short name, `ipam` for `terraform-provider-ipam`. Also the `@module` of log lines.
    fn name(&self) -> &str;

    /// Further crates whose log lines users shall see, beside the one in which the provider is defined.
    fn log_targets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The settings in the `provider` block.
    fn schema(&self) -> Schema;

    /// Checks the settings, which may be unknown. Report with [`Context::report`] to find several errors at once.
    async fn validate(&self, _ctx: &Context<Self::Client>, _config: &Value) -> Result<()> {
        Ok(())
    }

    /// Makes the client. `None` says that the settings depend on values not known before apply: plans then go ahead,
    /// reads keep the state as it is, and everything else that asks for the client fails with an explanation.
    async fn configure(
        &self,
        ctx: &Context<Self::Client>,
        request: Configure,
    ) -> Result<Option<Self::Client>>;

    /// Does what is left to do before the plugin ends, in at most 1.5 s. It is not called when the plugin is killed.
    async fn finish(&self, _client: &Self::Client) {}

    /// The resource types.
    fn resources(&self) -> Vec<Box<dyn Resource<Self::Client>>> {
        Vec::new()
    }

    /// The data sources.
    fn data_sources(&self) -> Vec<Box<dyn DataSource<Self::Client>>> {
        Vec::new()
    }

    /// The ephemeral resource types.
    fn ephemeral_resources(&self) -> Vec<Box<dyn EphemeralResource<Self::Client>>> {
        Vec::new()
    }

    /// How to list what there is of resource types.
    fn list_resources(&self) -> Vec<Box<dyn ListResource<Self::Client>>> {
        Vec::new()
    }

    /// The functions.
    fn functions(&self) -> Vec<Box<dyn Function>> {
        Vec::new()
    }
}

/// What the `provider` block says.
#[derive(Debug, Clone)]
pub struct Configure {
    /// The settings. Unknown ones are possible in a plan: check with [`Value::is_wholly_known`] or per attribute.
    pub config: Value,
    /// The version of Terraform or OpenTofu that asks; empty if it did not say.
    pub terraform_version: String,
}

/// What every handler is given beside its request. One per call.
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

    /// The client that `configure` made.
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
