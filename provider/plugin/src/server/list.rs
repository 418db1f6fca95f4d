//! Lists of the existing resources of a type, as streams.

use std::sync::Arc;

use futures::stream;
use tokio::sync::mpsc::Receiver;
use tonic::codegen::BoxStream;

use crate::context::Context;
use crate::describe::Description;
use crate::diagnostic::{Diagnostic, Diagnostics, Result};
use crate::list_resource::{Event, Found, List, ListResource, Listed};
use crate::proto::tf;
use crate::provider::Provider;
use crate::resource::Instance;
use crate::value::Value;

use super::state::States;
use super::{Server, decode, guard, messages, schema_of, unknown, warn_of_deprecated};

impl<P: Provider> Server<P> {
    fn list_resource(&self, name: &str) -> Result<&Arc<dyn ListResource<P::Client>>, Diagnostic> {
        self.list_resources.get(name).ok_or_else(|| unknown(name))
    }

    pub(super) async fn validate_list(
        &self,
        request: tf::validate_list_resource_config::Request,
    ) -> tf::validate_list_resource_config::Response {
        let ctx = self.context();
        let operation = format!("validating a list of {}", request.type_name);
        let outcome = guard(&operation, &ctx, async {
            let resource = self.list_resource(&request.type_name)?;
            let schema = schema_of(&self.description.list_resources, &request.type_name)?;
            let config = decode(request.config.as_ref(), schema)?;
            warn_of_deprecated(&ctx, schema, &config);
            resource.validate(&ctx, &config).await
        })
        .await;
        tf::validate_list_resource_config::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    /// Starts a list. The search only proceeds as the stream is read, and dropping the stream ends it.
    pub(super) fn list(
        &self,
        request: tf::list_resource::Request,
    ) -> BoxStream<tf::list_resource::Event> {
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let (found, receiver) = Found::new(limit, self.stop.clone());
        tokio::spawn(search(
            self.list_resource(&request.type_name).cloned(),
            self.context(),
            Arc::clone(&self.description),
            request.clone(),
            found,
        ));
        let events = Events {
            receiver,
            description: Arc::clone(&self.description),
            type_name: request.type_name,
            include_resource: request.include_resource_object,
        };
        let next = |mut events: Events| async move {
            let event = events.receiver.recv().await?;
            Some((Ok(events.message(event)), events))
        };
        Box::pin(stream::unfold(events, next))
    }
}

/// Searches as long as somebody listens.
async fn search<C: Send + Sync + 'static>(
    resource: Result<Arc<dyn ListResource<C>>, Diagnostic>,
    ctx: Context<C>,
    description: Arc<Description>,
    request: tf::list_resource::Request,
    mut found: Found,
) {
    let closed = found.closed();
    let operation = format!("listing {}", request.type_name);
    let work = guard(&operation, &ctx, async {
        let schema = schema_of(&description.list_resources, &request.type_name)?;
        let wanted = List {
            config: decode(request.config.as_ref(), schema)?,
            limit: found.limit(),
            include_resource: request.include_resource_object,
        };
        resource?.list(&ctx, wanted, &mut found).await?;
        if found.is_interrupted() {
            let detail = "The list is not complete.";
            return Err(Diagnostic::error("Interrupted", detail).into());
        }
        Ok(())
    });
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = closed => return,
    };
    if outcome.diagnostics.iter().next().is_some() {
        found.send(Event::Problem(outcome.diagnostics)).await;
    }
}

/// What was found on its way to the host.
struct Events {
    receiver: Receiver<Event>,
    description: Arc<Description>,
    type_name: String,
    include_resource: bool,
}

impl Events {
    fn message(&self, event: Event) -> tf::list_resource::Event {
        let listed = match event {
            Event::Listed(listed) => self.listed(*listed),
            Event::Problem(diagnostics) => Err(diagnostics),
        };
        listed.unwrap_or_else(|diagnostics| tf::list_resource::Event {
            diagnostic: messages::diagnostics(diagnostics),
            ..Default::default()
        })
    }

    fn listed(&self, listed: Listed) -> Result<tf::list_resource::Event, Diagnostics> {
        let states = States {
            schema: schema_of(&self.description.resources, &self.type_name)?,
            identity: self.description.identities.get(&self.type_name),
        };
        let identity = states.identity_of(&listed.state)?.ok_or_else(|| {
            let detail = format!(
                "{} {} was found and has no identity. This is a bug in the provider.",
                self.type_name, listed.display_name
            );
            Diagnostic::error("No identity", detail)
        })?;
        let resource_object = if self.include_resource {
            let instance = Instance {
                state: listed.state,
                ..Default::default()
            };
            Some(states.write(instance, &Value::Null)?.state)
        } else {
            None
        };
        Ok(tf::list_resource::Event {
            identity: Some(identity),
            display_name: listed.display_name,
            resource_object,
            diagnostic: Vec::new(),
        })
    }
}
