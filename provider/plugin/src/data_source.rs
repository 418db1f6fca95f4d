//! A data source: something to look up.

use async_trait::async_trait;

use crate::context::Context;
use crate::diagnostic::Result;
use crate::schema::Schema;
use crate::value::Value;

/// A data source. Reads run concurrently.
#[async_trait]
pub trait DataSource<C: Send + Sync + 'static>: Send + Sync {
    /// The full type name, `ipam_pool`.
    fn name(&self) -> &str;

    /// Attributes: required and optional ones for the query, computed ones for the result.
    fn schema(&self) -> Schema;

    /// Checks a configuration, whose values may be unknown.
    async fn validate(&self, _ctx: &Context<C>, _config: &Value) -> Result<()> {
        Ok(())
    }

    /// Looks it up. `config` is wholly known, and so must the answer be; what was configured stays as it is.
    async fn read(&self, ctx: &Context<C>, config: Value) -> Result<Value>;
}
