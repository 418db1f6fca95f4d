//! The provider itself.

use async_trait::async_trait;

use crate::context::Context;
use crate::data_source::DataSource;
use crate::diagnostic::Result;
use crate::ephemeral::EphemeralResource;
use crate::function::Function;
use crate::list_resource::ListResource;
use crate::resource::Resource;
use crate::schema::Schema;
use crate::value::Value;

/// A Terraform provider. Give it to [`serve`](crate::serve()).
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What `configure` creates for the handlers, such as an HTTP client. Shared by all of them.
    type Client: Send + Sync + 'static;

    /// The short name, `ipam` for `terraform-provider-ipam`. Also the `@module` of log lines.
    fn name(&self) -> &str;

    /// Further crates whose log lines users should see, besides the one in which the provider is defined.
    fn log_targets(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The settings in the `provider` block.
    fn schema(&self) -> Schema;

    /// Checks the settings, which may be unknown. Report with [`Context::report`] to find several errors at once.
    async fn validate(&self, _ctx: &Context<Self::Client>, _config: &Value) -> Result<()> {
        Ok(())
    }

    /// Creates the client. `None` says that the settings depend on values not known before apply: plans then proceed, reads
    /// keep the state as it is, and everything else that asks for the client fails with an explanation.
    async fn configure(
        &self,
        ctx: &Context<Self::Client>,
        request: Configure,
    ) -> Result<Option<Self::Client>>;

    /// Finishes outstanding work before the plugin ends, in at most 1.5 s. It is not called when the plugin is killed.
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

    /// How to list the existing resources of each type.
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
    /// The version of Terraform or OpenTofu; empty if it did not say.
    pub terraform_version: String,
}
