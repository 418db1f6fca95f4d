//! The Terraform plugin protocol (version 6.10), for providers written in Rust.

pub(crate) mod codec;
mod convert;
mod data_source;
mod describe;
mod diagnostic;
#[cfg(feature = "driver")]
pub mod driver;
mod ephemeral;
mod function;
mod host;
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
pub use convert::{Field, FromValue, Text, ToValue};
#[doc(hidden)]
pub use convert::{attribute_name, expect_object};
pub use data_source::DataSource;
pub use describe::{Description, describe};
pub use diagnostic::{Diagnostic, Diagnostics, Result, Severity};
pub use ephemeral::{EphemeralResource, Opened, Renewed};
pub use function::{Arguments, Function, FunctionError, Parameter, Signature};
pub use number::Number;
pub use path::{Path, Step};
pub use plan::Plan;
pub use private::Private;
pub use provider::{Configure, Context, Provider};
pub use resource::{Create, Import, Instance, MoveSource, Resource, Update};
pub use schema::{
    Attribute, AttributeType, Block, Body, IdentityAttribute, IdentitySchema, Nesting, OnUpdate,
    Replace, Schema,
};
pub use serve::serve;
pub use types::Type;
pub use value::Value;
