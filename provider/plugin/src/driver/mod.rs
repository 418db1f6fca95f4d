//! A stand-in for Terraform in tests: starts a provider binary, talks to it over the real socket, and insists on
//! Terraform's rules, in milliseconds and without Terraform.
//!
//! Values are JSON. Attributes that are left out are null; [`UNKNOWN`] is a value not known yet, in both directions.
//! Calls fail with the diagnostics that the provider answered; warnings of successful calls are kept in
//! [`Driver::warnings`].
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! use serde_json::json;
//! use tfplugin::driver::{Driver, UNKNOWN};
//!
//! let driver = Driver::start("target/debug/terraform-provider-ipam").await?;
//! driver.configure(json!({"endpoint": "http://127.0.0.1:8000"})).await?;
//! let vpc = driver.create("ipam_vpc", json!({"name": "prod"})).await?;
//! assert_eq!(vpc.values["name"], "prod");
//! let plan = driver.plan("ipam_vpc", Some(&vpc), json!({"name": "stage"})).await?;
//! assert_eq!(plan.values["id"], vpc.values["id"]);
//! driver.delete(&vpc).await?;
//! # Ok(())
//! # }
//! ```

mod connection;
mod consistency;
mod error;
mod lists;
mod other_calls;
mod process;
mod resource;
mod schemas;
mod values;

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value as Json;
use tonic::Status;
use tonic::transport::Channel;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::path::{Path, Step};
use crate::proto::tf;
use crate::proto::tf::provider_client::ProviderClient;
use crate::schema::{IdentitySchema, Schema};
use crate::types::Type;

pub use connection::Security;
#[cfg(test)]
pub(crate) use consistency::check_plan;
pub use error::StartError;
pub use process::Launch;

/// A value not known before apply, written as Terraform prints it.
pub const UNKNOWN: &str = "(known after apply)";

/// A running provider and the connection to it.
#[derive(Debug)]
pub struct Driver {
    client: ProviderClient<Channel>,
    process: process::Process,
    schemas: Schemas,
    warnings: Mutex<Vec<Diagnostic>>,
    capabilities: tf::ClientCapabilities,
}

/// What the provider offers.
#[derive(Debug, Default)]
pub struct Schemas {
    /// The settings of the `provider` block.
    pub provider: Schema,
    /// Resource types by name.
    pub resources: BTreeMap<String, Schema>,
    /// Data sources by name.
    pub data_sources: BTreeMap<String, Schema>,
    /// Ephemeral resource types by name.
    pub ephemeral_resources: BTreeMap<String, Schema>,
    /// What can be looked for in lists of resource types, by their names.
    pub list_resources: BTreeMap<String, Schema>,
    /// Identities of resource types by name.
    pub identities: BTreeMap<String, IdentitySchema>,
    /// Function results and parameters by name; the last parameter is the variadic one, if there is one.
    pub functions: BTreeMap<String, FunctionTypes>,
}

/// The types of a function.
#[derive(Debug, Clone)]
pub struct FunctionTypes {
    /// Types of the positional parameters.
    pub parameters: Vec<Type>,
    /// Type of all further arguments.
    pub variadic: Option<Type>,
    /// Type of the result.
    pub result: Type,
}

/// A resource as Terraform's state would hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The type.
    pub type_name: String,
    /// The attributes.
    pub values: Json,
    /// The provider's private state.
    pub private: Vec<u8>,
    /// The identity, if the type has one.
    pub identity: Option<Json>,
}

/// A plan, as Terraform would show and then apply it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The type.
    pub type_name: String,
    /// What the user wrote.
    pub config: Json,
    /// The state before; `None` for a creation.
    pub prior: Option<Stored>,
    /// The planned attributes; null for a deletion.
    pub values: Json,
    /// The provider's private state.
    pub private: Vec<u8>,
    /// The identity after, if the plan knows it.
    pub identity: Option<Json>,
    /// The attributes that need a new resource, as Terraform writes addresses.
    pub requires_replace: Vec<String>,
    /// Warnings that came with the plan.
    pub warnings: Diagnostics,
}

/// What an apply left behind, even if it failed.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The state after; `None` if there is none (deleted, or never created).
    pub stored: Option<Stored>,
    /// Errors and warnings. Errors together with a state: Terraform would keep it.
    pub diagnostics: Diagnostics,
}

/// One thing that a list found.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The identity.
    pub identity: Json,
    /// Its name for people.
    pub display_name: String,
    /// The attributes, if they were asked for.
    pub values: Option<Json>,
}

/// A secret from an ephemeral resource.
#[derive(Debug, Clone)]
pub struct OpenedSecret {
    /// The type.
    pub type_name: String,
    /// The attributes.
    pub values: Json,
    /// The provider's private state.
    pub private: Vec<u8>,
    /// When to renew it, in seconds since 1970.
    pub renew_at: Option<i64>,
}

impl Driver {
    /// Starts `binary` and connects without TLS. See [`Launch`] for more.
    ///
    /// # Errors
    /// If it can't be started, or does not behave like a plugin.
    pub async fn start(binary: impl AsRef<std::path::Path>) -> Result<Self, StartError> {
        Launch::new(binary).start().await
    }

    /// What the provider offers.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Takes the warnings of all successful calls since the last time.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        std::mem::take(
            &mut *self
                .warnings
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// Splits the answer of a call into failure and success.
    fn check(&self, diagnostics: Vec<tf::Diagnostic>) -> Result<Diagnostics, Diagnostics> {
        let diagnostics: Diagnostics = diagnostics.into_iter().map(diagnostic).collect();
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let mut warnings = self
            .warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        warnings.extend(diagnostics.iter().cloned());
        Ok(diagnostics)
    }
}

/// Makes a call and unwraps the response.
macro_rules! call {
    ($driver:expr, $rpc:ident, $request:expr) => {
        $driver
            .client
            .clone()
            .$rpc(Request::new($request))
            .await
            .map_err(no_answer)?
            .into_inner()
    };
}
use call;

/// What a user would see when the plugin does not answer.
fn no_answer(status: Status) -> Diagnostics {
    Diagnostic::error("Plugin did not respond", status.to_string()).into()
}

fn unknown_type(name: &str) -> Diagnostic {
    Diagnostic::error("Invalid type", format!("The provider has no {name}."))
}

fn diagnostic(message: tf::Diagnostic) -> Diagnostic {
    Diagnostic {
        severity: match message.severity() {
            tf::diagnostic::Severity::Warning => Severity::Warning,
            _ => Severity::Error,
        },
        path: path(message.attribute.as_ref()),
        summary: message.summary,
        detail: message.detail,
    }
}

fn path(message: Option<&tf::AttributePath>) -> Path {
    use tf::attribute_path::step::Selector;
    let steps = message
        .into_iter()
        .flat_map(|path| &path.steps)
        .filter_map(|step| step.selector.as_ref());
    let step = |selector: &Selector| match selector {
        Selector::AttributeName(name) => Step::Attribute(name.clone()),
        Selector::ElementKeyString(key) => Step::Key(key.clone()),
        Selector::ElementKeyInt(index) => {
            Step::Index(usize::try_from(*index).unwrap_or(usize::MAX))
        }
    };
    steps.map(step).collect()
}
