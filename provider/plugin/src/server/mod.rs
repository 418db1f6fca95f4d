//! The provider as a gRPC service: decodes each request according to the schema, calls the handler, encodes its answer.
//!
//! One file per noun; `rpc` is the table of calls. Knows no socket (that is `serve`) and plans nothing itself (that is
//! `planning`).

mod data_source;
mod ephemeral;
mod function;
mod generate;
mod guard;
mod list;
mod messages;
mod resource;
mod rpc;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

use crate::codec::{json, msgpack};
use crate::context::Context;
use crate::data_source::DataSource;
use crate::describe::{Description, describe};
use crate::diagnostic::{Diagnostic, Result};
use crate::ephemeral::EphemeralResource;
use crate::function::Function;
use crate::list_resource::ListResource;
use crate::proto::tf;
use crate::provider::{Configure, Provider};
use crate::resource::Resource;
use crate::schema::Schema;
use crate::types::Type;
use crate::value::Value;

use guard::guard;
pub(crate) use guard::panic_text;

/// A provider and everything it offers, by name.
pub(crate) struct Server<P: Provider> {
    provider: P,
    description: Arc<Description>,
    resources: BTreeMap<String, Box<dyn Resource<P::Client>>>,
    data_sources: BTreeMap<String, Box<dyn DataSource<P::Client>>>,
    ephemeral_resources: BTreeMap<String, Box<dyn EphemeralResource<P::Client>>>,
    list_resources: BTreeMap<String, Arc<dyn ListResource<P::Client>>>,
    functions: BTreeMap<String, Box<dyn Function>>,
    client: RwLock<Option<Arc<P::Client>>>,
    stop: CancellationToken,
}

impl<P: Provider> Server<P> {
    /// Cancelling `stop` tells all handlers to finish soon.
    pub(crate) fn new(provider: P, stop: CancellationToken) -> Self {
        Self {
            description: Arc::new(describe(&provider)),
            resources: provider
                .resources()
                .into_iter()
                .map(|r| (r.name().to_owned(), r))
                .collect(),
            data_sources: provider
                .data_sources()
                .into_iter()
                .map(|d| (d.name().to_owned(), d))
                .collect(),
            ephemeral_resources: provider
                .ephemeral_resources()
                .into_iter()
                .map(|e| (e.name().to_owned(), e))
                .collect(),
            list_resources: provider
                .list_resources()
                .into_iter()
                .map(|l| (l.name().to_owned(), l.into()))
                .collect(),
            functions: provider
                .functions()
                .into_iter()
                .map(|f| (f.name().to_owned(), f))
                .collect(),
            client: RwLock::default(),
            stop,
            provider,
        }
    }

    /// Lets the provider finish what it has begun.
    pub(crate) async fn finish(&self) {
        if let Some(client) = self.client() {
            self.provider.finish(&client).await;
        }
    }

    fn client(&self) -> Option<Arc<P::Client>> {
        self.client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn context(&self) -> Context<P::Client> {
        Context::new(self.client(), self.stop.clone())
    }

    async fn validate_provider(
        &self,
        request: tf::validate_provider_config::Request,
    ) -> tf::validate_provider_config::Response {
        let ctx = self.context();
        let outcome = guard("validating the provider configuration", &ctx, async {
            let config = decode(request.config.as_ref(), &self.description.provider)?;
            warn_of_deprecated(&ctx, &self.description.provider, &config);
            self.provider.validate(&ctx, &config).await
        })
        .await;
        tf::validate_provider_config::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    async fn configure(
        &self,
        request: tf::configure_provider::Request,
    ) -> tf::configure_provider::Response {
        let ctx = self.context();
        let outcome = guard("configuring the provider", &ctx, async {
            let config = decode(request.config.as_ref(), &self.description.provider)?;
            let terraform_version = request.terraform_version;
            let client = self
                .provider
                .configure(
                    &ctx,
                    Configure {
                        config,
                        terraform_version,
                    },
                )
                .await?;
            *self.client.write().unwrap_or_else(PoisonError::into_inner) = client.map(Arc::new);
            Ok(())
        })
        .await;
        tf::configure_provider::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }
}

/// Warns of deprecated attributes in the configuration; Terraform itself only warns of those that are read.
fn warn_of_deprecated<C>(ctx: &Context<C>, schema: &Schema, config: &Value) {
    if let Some(reason) = &schema.body.deprecated {
        ctx.report(Diagnostic::warning(
            "This type is deprecated",
            reason.as_str(),
        ));
    }
    for (name, attribute) in &schema.body.attributes {
        if let Some(reason) = &attribute.deprecated
            && !config.get(name).is_null()
        {
            let summary = format!("The attribute {name} is deprecated");
            ctx.report(Diagnostic::warning(summary, reason.as_str()).at(name.as_str()));
        }
    }
}

/// What is registered as `name`.
fn find<'a, T: ?Sized>(
    things: &'a BTreeMap<String, Box<T>>,
    name: &str,
) -> Result<&'a T, Diagnostic> {
    things
        .get(name)
        .map(|thing| &**thing)
        .ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Diagnostic {
    let detail = format!("This version of the provider has no {name}. A newer one may have it.");
    Diagnostic::error("Unknown type", detail)
}

/// The schema of what is registered as `name`.
fn schema_of<'a>(
    schemas: &'a BTreeMap<String, Schema>,
    name: &str,
) -> Result<&'a Schema, Diagnostic> {
    schemas
        .get(name)
        .ok_or_else(|| Diagnostic::error("Unknown type", format!("There is no schema for {name}.")))
}

fn decode(value: Option<&tf::DynamicValue>, schema: &Schema) -> Result<Value, Diagnostic> {
    decode_as(value, &schema.ty())
}

fn decode_as(value: Option<&tf::DynamicValue>, ty: &Type) -> Result<Value, Diagnostic> {
    match value {
        None => Ok(Value::Null),
        Some(value) if !value.msgpack.is_empty() => msgpack::decode(&value.msgpack, ty),
        Some(value) if !value.json.is_empty() => json::decode(&value.json, ty),
        Some(_) => Ok(Value::Null),
    }
}

fn encode(value: &Value, ty: &Type) -> Result<tf::DynamicValue, Diagnostic> {
    Ok(tf::DynamicValue {
        msgpack: msgpack::encode(value, ty)?,
        json: Vec::new(),
    })
}

/// A value that says "nothing": no such resource, or none any more.
fn null() -> tf::DynamicValue {
    tf::DynamicValue {
        msgpack: vec![0xc0],
        json: Vec::new(),
    }
}
