//! The Terraform plugin protocol (version 6.10), for providers written in Rust.
//!
//! A provider describes its schemas and implements a few async traits; this crate does the rest: the handshake with
//! Terraform, the private socket with mutual TLS, values on the wire and in state files, the standard part of planning,
//! upgrades of old state, logging, Ctrl-C, and crashes that become error messages. It knows nothing about what a
//! provider is for.
//!
//! # A provider
//!
//! ```no_run
//! use std::process::ExitCode;
//! use tfplugin::*;
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     serve(Notes).await
//! }
//!
//! struct Notes;
//!
//! #[async_trait]
//! impl Provider for Notes {
//!     type Client = std::path::PathBuf;
//!
//!     fn name(&self) -> &str {
//!         "notes"
//!     }
//!
//!     fn schema(&self) -> Schema {
//!         Schema::new("Notes in files.").attribute("directory", Attribute::string().required())
//!     }
//!
//!     async fn configure(&self, _: &Context<Self::Client>, request: Configure) -> Result<Option<Self::Client>> {
//!         let directory: Field<String> = request.config.attribute("directory")?;
//!         Ok(directory.known().map(Into::into))
//!     }
//!
//!     fn resources(&self) -> Vec<Box<dyn Resource<Self::Client>>> {
//!         vec![Box::new(Note)]
//!     }
//! }
//!
//! object! {
//!     struct NoteState {
//!         name: String,
//!         text: String,
//!         path: Field<String>,
//!     }
//! }
//!
//! struct Note;
//!
//! fn failed(error: std::io::Error) -> Diagnostic {
//!     Diagnostic::error("The file system refused", error.to_string())
//! }
//!
//! #[async_trait]
//! impl Resource<std::path::PathBuf> for Note {
//!     fn name(&self) -> &str {
//!         "notes_note"
//!     }
//!
//!     fn schema(&self) -> Schema {
//!         Schema::new("One note.")
//!             .attribute("name", Attribute::string().required().requires_replace())
//!             .attribute("text", Attribute::string().required().describe("What it says."))
//!             .attribute("path", Attribute::string().computed().use_state_for_unknown())
//!     }
//!
//!     async fn create(&self, ctx: &Context<std::path::PathBuf>, request: Create) -> Result<Instance> {
//!         let mut note: NoteState = request.planned.parse()?;
//!         let path = ctx.client()?.join(&note.name);
//!         std::fs::write(&path, &note.text).map_err(failed)?;
//!         note.path = Field::Known(path.display().to_string());
//!         Ok(Instance::new(&note))
//!     }
//!
//!     async fn read(&self, _: &Context<std::path::PathBuf>, mut current: Instance) -> Result<Option<Instance>> {
//!         let path: String = current.state.attribute("path")?;
//!         match std::fs::read_to_string(path) {
//!             Ok(text) => {
//!                 current.state.set("text", text);
//!                 Ok(Some(current))
//!             }
//!             Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
//!             Err(error) => Err(failed(error).into()),
//!         }
//!     }
//!
//!     async fn update(&self, _: &Context<std::path::PathBuf>, request: Update) -> Result<Instance> {
//!         let text: String = request.planned.attribute("text")?;
//!         std::fs::write(request.planned.attribute::<String>("path")?, text).map_err(failed)?;
//!         Ok(Instance::new(&request.planned))
//!     }
//!
//!     async fn delete(&self, _: &Context<std::path::PathBuf>, current: Instance) -> Result<()> {
//!         std::fs::remove_file(current.state.attribute::<String>("path")?).map_err(failed)?;
//!         Ok(())
//!     }
//! }
//! ```
//!
//! # Where things are
//!
//! - Schemas: [`Schema`], [`Attribute`], [`Block`], [`Type`]; all of a provider's at once: [`describe`].
//! - Values: [`Value`], [`Field`] (which may be null or unknown), [`Text`], and structs by [`object!`].
//! - Handlers: [`Provider`], [`Resource`], [`DataSource`], [`EphemeralResource`], [`ListResource`], [`Function`], all given a
//!   [`Context`].
//! - Planning: [`Plan`], and on the attributes [`Attribute::use_state_for_unknown`],
//!   [`Attribute::unknown_when_changed`], [`Attribute::requires_replace_because`], [`Attribute::default`].
//! - Messages: [`Diagnostic`] with a [`Path`], [`Diagnostics`].
//! - Tests: the module `driver` (feature `driver`) runs a provider without Terraform.
//!
//! # Choices
//!
//! The protocol's messages are described in `proto/` in our own words and compiled without `protoc`. The socket is a
//! Unix socket, so Windows is not supported. TLS is rustls with ring; the one thing that ring lacks, signatures by
//! Terraform's P-521 key, comes from the small crate `p521` (see the module `tls`), which builds in seconds where
//! aws-lc takes a minute.

mod attribute;
mod check;
pub(crate) mod codec;
mod context;
mod convert;
mod data_source;
mod describe;
mod diagnostic;
#[cfg(feature = "driver")]
pub mod driver;
mod ephemeral;
mod function;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod list_resource;
mod listener;
mod log;
mod number;
mod path;
mod plan;
mod planning;
mod private;
#[cfg(any(test, feature = "driver"))]
mod proposed;
mod proto;
mod provider;
mod resource;
mod schema;
mod serve;
mod server;
mod tls;
mod types;
mod value;

pub use async_trait::async_trait;
pub use attribute::{Attribute, AttributeType, OnUpdate, Replace};
pub use context::Context;
pub use convert::{Field, Text};
#[doc(hidden)]
pub use convert::{attribute_name, expect_object};
pub use data_source::DataSource;
pub use describe::{Description, describe};
pub use diagnostic::{Diagnostic, Diagnostics, Result, Severity};
pub use ephemeral::{EphemeralResource, Opened, Renewed};
pub use function::{Arguments, Function, FunctionError, Parameter, Signature};
pub use list_resource::{Found, List, ListResource, Listed};
pub use number::Number;
pub use path::{Path, Step};
pub use plan::Plan;
pub use private::Private;
pub use provider::{Configure, Provider};
pub use resource::{Create, Import, Instance, MoveSource, Resource, Update};
pub use schema::{Block, Body, IdentityAttribute, IdentitySchema, Schema};
pub use serve::serve;
pub use types::{Nesting, Type};
pub use value::{FromValue, ToValue, Value};
