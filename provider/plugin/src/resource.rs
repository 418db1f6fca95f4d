//! A resource type: its life from plan to delete, import, and state from elsewhere.
//!
//! The layer does the standard part of planning before [`Resource::plan`] runs; see there.

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::context::Context;
use crate::diagnostic::{Diagnostic, Result};
use crate::plan::Plan;
use crate::private::Private;
use crate::schema::{IdentitySchema, Schema};
use crate::value::{ToValue, Value};

/// A resource type. Handlers run concurrently, even on one type.
#[async_trait]
pub trait Resource<C: Send + Sync + 'static>: Send + Sync {
    /// The full type name, `ipam_pool`.
    fn name(&self) -> &str;

    /// Attributes and how they behave in a plan.
    fn schema(&self) -> Schema;

    /// What identifies an instance forever, if the type offers it.
    fn identity(&self) -> Option<IdentitySchema> {
        None
    }

    /// Checks a configuration, whose values may be unknown. Runs before the provider is configured.
    async fn validate(&self, _ctx: &Context<C>, _config: &Value) -> Result<()> {
        Ok(())
    }

    /// Refines the plan of a creation or an update. What the schema says is already done: computed attributes that
    /// the configuration leaves out are unknown, or keep their value; defaults are filled in; replacements by
    /// attribute are noted. Only computed attributes may be changed here.
    async fn plan(&self, _ctx: &Context<C>, _plan: &mut Plan) -> Result<()> {
        Ok(())
    }

    /// While planning, says why the resource may not be destroyed. Also runs when it is to be replaced.
    async fn plan_destroy(&self, _ctx: &Context<C>, _current: &Instance) -> Result<()> {
        Ok(())
    }

    /// Creates it. If that worked and a later step failed, report the error and return the instance anyway.
    async fn create(&self, ctx: &Context<C>, request: Create) -> Result<Instance>;

    /// Looks it up; `None` if it is gone. A plain failure is an error, never `None`.
    async fn read(&self, ctx: &Context<C>, current: Instance) -> Result<Option<Instance>>;

    /// Changes it in place. After an error the old state is kept.
    async fn update(&self, ctx: &Context<C>, request: Update) -> Result<Instance>;

    /// Deletes it. It is no error if it is gone already.
    async fn delete(&self, ctx: &Context<C>, current: Instance) -> Result<()>;

    /// Finds what is to be imported. Attributes that are left out are null; Terraform calls `read` next.
    async fn import(&self, _ctx: &Context<C>, _request: Import) -> Result<Instance> {
        let summary = format!("{} can't be imported", self.name());
        Err(Diagnostic::error(summary, "This resource type does not support import.").into())
    }

    /// Refines the configuration that Terraform generates for something that has none yet: of several attributes that say
    /// the same, set all but one to null. It starts as the state, without what only the provider sets and without defaults.
    fn generate(&self, _config: &mut Value) {}

    /// Turns state of schema version `from` into state of version `from + 1`. Called as often as needed.
    ///
    /// Attributes that were only added or removed need nothing done: missing ones are null, superfluous ones dropped.
    /// (State of the current version never comes here, so only an upgrade rounds numbers of more than 64 bits.)
    fn upgrade(&self, _from: i64, state: Json) -> Result<Json> {
        Ok(state)
    }

    /// Turns an identity of version `from` of the identity schema into one of version `from + 1`, as [`Resource::upgrade`]
    /// does with states.
    fn upgrade_identity(&self, _from: i64, identity: Json) -> Result<Json> {
        Ok(identity)
    }

    /// Takes over a resource of another type or provider (a `moved` block); `None` if that type is not supported.
    async fn move_from(&self, _ctx: &Context<C>, _source: &MoveSource) -> Result<Option<Instance>> {
        Ok(None)
    }
}

/// One resource as the state holds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instance {
    /// The attributes.
    pub state: Value,
    /// Notes that only the provider sees.
    pub private: Private,
}

impl Instance {
    /// An instance with these attributes and no notes.
    pub fn new(state: &impl ToValue) -> Self {
        Self {
            state: state.to_value(),
            private: Private::default(),
        }
    }

    /// The same with these notes.
    #[must_use]
    pub fn with_private(mut self, private: Private) -> Self {
        self.private = private;
        self
    }
}

/// What to create.
#[derive(Debug, Clone)]
pub struct Create {
    /// The planned attributes. Known ones must come out as they are here; unknown ones must be known after.
    pub planned: Value,
    /// The configuration, the only place with write-only attributes.
    pub config: Value,
    /// The notes that `plan` made.
    pub private: Private,
}

/// What to change.
#[derive(Debug, Clone)]
pub struct Update {
    /// The planned attributes, as in [`Create`].
    pub planned: Value,
    /// The configuration, the only place with write-only attributes.
    pub config: Value,
    /// The attributes before.
    pub prior: Value,
    /// The notes from before, or that `plan` made.
    pub private: Private,
}

impl Update {
    /// Whether the plan changes the attribute `name`.
    pub fn changes(&self, name: &str) -> bool {
        self.planned.get(name) != self.prior.get(name)
    }
}

/// What to import.
#[derive(Debug, Clone, PartialEq)]
pub enum Import {
    /// By the text that the user gave.
    Id(String),
    /// By an identity, as the type's identity schema describes it.
    Identity(Value),
}

/// Where a `moved` block takes a resource from.
#[derive(Debug, Clone)]
pub struct MoveSource {
    /// `registry.terraform.io/hashicorp/random`, or `terraform.io/builtin/terraform` for `terraform_data`.
    pub provider_address: String,
    /// The type it had.
    pub type_name: String,
    /// The schema version of its state.
    pub schema_version: i64,
    /// Its state, as the other provider left it.
    pub state: Json,
    /// Its private state, in the other provider's own format.
    pub private: Vec<u8>,
}
