//! An ephemeral resource: a secret that lives for one run and is in no state (Terraform 1.10 and later).

use std::time::SystemTime;

use async_trait::async_trait;

use crate::context::Context;
use crate::diagnostic::Result;
use crate::private::Private;
use crate::schema::Schema;
use crate::value::Value;

/// An ephemeral resource type.
#[async_trait]
pub trait EphemeralResource<C: Send + Sync + 'static>: Send + Sync {
    /// The full type name, `ipam_token`.
    fn name(&self) -> &str;

    /// Attributes, as for a data source.
    fn schema(&self) -> Schema;

    /// Checks a configuration, whose values may be unknown.
    async fn validate(&self, _ctx: &Context<C>, _config: &Value) -> Result<()> {
        Ok(())
    }

    /// Creates the secret.
    async fn open(&self, ctx: &Context<C>, config: Value) -> Result<Opened>;

    /// Renews it; called when `renew_at` is reached. Returns the next time and notes.
    async fn renew(&self, _ctx: &Context<C>, private: Private) -> Result<Renewed> {
        Ok(Renewed {
            private,
            renew_at: None,
        })
    }

    /// Destroys it at the end of the run.
    async fn close(&self, _ctx: &Context<C>, _private: Private) -> Result<()> {
        Ok(())
    }
}

/// A secret that was created.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// The attributes.
    pub result: Value,
    /// Notes for `renew` and `close`.
    pub private: Private,
    /// When to call `renew`, if ever.
    pub renew_at: Option<SystemTime>,
}

/// A renewed secret.
#[derive(Debug, Clone, Default)]
pub struct Renewed {
    /// Notes for the next `renew` and for `close`.
    pub private: Private,
    /// When to call `renew` again, if ever.
    pub renew_at: Option<SystemTime>,
}
