//! The life of a resource: validate, plan, apply, read, import, and state from other versions and types.

use serde_json::Value as Json;

use crate::codec::json;
use crate::context::Context;
use crate::diagnostic::{Diagnostic, Result};
use crate::planning::{clear_write_only, standard_plan};
use crate::private::Private;
use crate::proto::tf;
use crate::provider::Provider;
use crate::resource::{Create, Import, Instance, MoveSource, Resource, Update};
use crate::value::Value;

use super::state::{Sent, States};
use super::{Server, decode, encode, find, guard, messages, null, schema_of, warn_of_deprecated};

impl<P: Provider> Server<P> {
    pub(super) fn resource(
        &self,
        name: &str,
    ) -> Result<(&dyn Resource<P::Client>, States<'_>), Diagnostic> {
        let resource = find(&self.resources, name)?;
        let states = States {
            schema: schema_of(&self.description.resources, name)?,
            identity: self.description.identities.get(name),
        };
        Ok((resource, states))
    }

    pub(super) async fn validate_resource(
        &self,
        request: tf::validate_resource_config::Request,
    ) -> tf::validate_resource_config::Response {
        let ctx = self.context();
        let outcome = guard(&format!("validating {}", request.type_name), &ctx, async {
            let (resource, states) = self.resource(&request.type_name)?;
            let config = decode(request.config.as_ref(), states.schema)?;
            let capabilities = request.client_capabilities.unwrap_or_default();
            if !capabilities.write_only_attributes_allowed {
                refuse_write_only(&ctx, &states, &config);
            }
            warn_of_deprecated(&ctx, states.schema, &config);
            resource.validate(&ctx, &config).await
        })
        .await;
        tf::validate_resource_config::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    pub(super) async fn plan(
        &self,
        request: tf::plan_resource_change::Request,
    ) -> tf::plan_resource_change::Response {
        let ctx = self.context();
        let outcome = guard(&format!("planning {}", request.type_name), &ctx, async {
            let (resource, states) = self.resource(&request.type_name)?;
            let prior = states.read(request.prior_state.as_ref(), &request.prior_private)?;
            let proposed = decode(request.proposed_new_state.as_ref(), states.schema)?;
            if proposed.is_null() {
                resource.plan_destroy(&ctx, &prior).await?;
                return Ok(tf::plan_resource_change::Response {
                    planned_state: Some(null()),
                    planned_private: request.prior_private,
                    planned_identity: request.prior_identity,
                    ..Default::default()
                });
            }
            let config = decode(request.config.as_ref(), states.schema)?;
            let before = (!prior.state.is_null()).then_some(prior.state);
            let mut plan = standard_plan(states.schema, config, before, proposed, prior.private);
            plan.earlier = (!request.planned_private.is_empty())
                .then(|| Private::decode(&request.planned_private));
            resource.plan(&ctx, &mut plan).await?;
            clear_write_only(&states.schema.body, &mut plan.planned);
            plan.reasons.drain(..).for_each(|reason| ctx.report(reason));
            // Of a new resource it is known after apply, unless the plan knows all of it.
            let before = plan.prior.is_some().then_some(request.prior_identity);
            let identity = states.identity_of(&plan.planned)?.or(before.flatten());
            Ok(tf::plan_resource_change::Response {
                planned_state: Some(encode(&plan.planned, &states.schema.ty())?),
                requires_replace: plan.replace.iter().map(messages::path).collect(),
                planned_private: plan.private.encode(),
                planned_identity: identity,
                ..Default::default()
            })
        })
        .await;
        tf::plan_resource_change::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..outcome.value.unwrap_or_default()
        }
    }

    pub(super) async fn apply(
        &self,
        request: tf::apply_resource_change::Request,
    ) -> tf::apply_resource_change::Response {
        let ctx = self.context();
        // After a failure the state is as it was before.
        let unchanged = tf::apply_resource_change::Response {
            new_state: request.prior_state.clone(),
            private: request.planned_private.clone(),
            new_identity: self.identity_before(&request),
            ..Default::default()
        };
        let operation = format!("applying a change to {}", request.type_name);
        let outcome = guard(&operation, &ctx, async {
            self.apply_change(&ctx, request).await
        })
        .await;
        tf::apply_resource_change::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..outcome.value.unwrap_or(unchanged)
        }
    }

    /// The identity in the state before a change, which the host does not send. It may differ from the planned one: a part
    /// of it may be about to be renamed.
    fn identity_before(
        &self,
        request: &tf::apply_resource_change::Request,
    ) -> Option<tf::ResourceIdentityData> {
        let (_, states) = self.resource(&request.type_name).ok()?;
        let prior = decode(request.prior_state.as_ref(), states.schema).ok()?;
        states.identity_of(&prior).ok()?
    }

    async fn apply_change(
        &self,
        ctx: &Context<P::Client>,
        request: tf::apply_resource_change::Request,
    ) -> Result<tf::apply_resource_change::Response> {
        let (resource, states) = self.resource(&request.type_name)?;
        let prior = states.read(request.prior_state.as_ref(), &request.planned_private)?;
        let planned = decode(request.planned_state.as_ref(), states.schema)?;
        if planned.is_null() {
            resource.delete(ctx, prior).await?;
            return Ok(tf::apply_resource_change::Response {
                new_state: Some(null()),
                ..Default::default()
            });
        }
        let config = decode(request.config.as_ref(), states.schema)?;
        let (private, reference) = (prior.private, planned.clone());
        let instance = if prior.state.is_null() {
            resource
                .create(
                    ctx,
                    Create {
                        planned,
                        config,
                        private,
                    },
                )
                .await?
        } else {
            let prior = prior.state;
            resource
                .update(
                    ctx,
                    Update {
                        planned,
                        config,
                        prior,
                        private,
                    },
                )
                .await?
        };
        let (sent, errors) = states.write_applied(instance, &reference)?;
        errors.into_iter().for_each(|error| ctx.report(error));
        Ok(tf::apply_resource_change::Response {
            new_state: Some(sent.state),
            private: sent.private,
            new_identity: sent.identity,
            ..Default::default()
        })
    }

    pub(super) async fn read(
        &self,
        request: tf::read_resource::Request,
    ) -> tf::read_resource::Response {
        let ctx = self.context();
        let outcome = guard(&format!("reading {}", request.type_name), &ctx, async {
            let (resource, states) = self.resource(&request.type_name)?;
            if ctx.try_client().is_none() {
                // The server can't be asked: the provider's settings are not known yet. Keep the last known state.
                return Ok(tf::read_resource::Response {
                    new_state: request.current_state,
                    private: request.private,
                    new_identity: request.current_identity,
                    ..Default::default()
                });
            }
            let current = states.read(request.current_state.as_ref(), &request.private)?;
            let before = current.state.clone();
            let Some(instance) = resource.read(&ctx, current).await? else {
                return Ok(tf::read_resource::Response {
                    new_state: Some(null()),
                    new_identity: request.current_identity,
                    ..Default::default()
                });
            };
            let sent = states.write(instance, &before)?;
            Ok(tf::read_resource::Response {
                new_state: Some(sent.state),
                private: sent.private,
                new_identity: sent.identity,
                ..Default::default()
            })
        })
        .await;
        tf::read_resource::Response {
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..outcome.value.unwrap_or_default()
        }
    }

    pub(super) async fn import(
        &self,
        request: tf::import_resource_state::Request,
    ) -> tf::import_resource_state::Response {
        let ctx = self.context();
        let outcome = guard(&format!("importing {}", request.type_name), &ctx, async {
            let (resource, states) = self.resource(&request.type_name)?;
            let identity = states.read_identity(request.identity.as_ref())?;
            let wanted = match identity {
                Value::Null => Import::Id(request.id),
                identity => Import::Identity(identity),
            };
            let instance = resource.import(&ctx, wanted).await?;
            let Sent {
                state,
                private,
                identity,
            } = states.write(instance, &Value::Null)?;
            Ok(vec![tf::import_resource_state::ImportedResource {
                type_name: request.type_name.clone(),
                state: Some(state),
                private,
                identity: identity.or(request.identity),
            }])
        })
        .await;
        tf::import_resource_state::Response {
            imported_resources: outcome.value.unwrap_or_default(),
            diagnostics: messages::diagnostics(outcome.diagnostics),
            ..Default::default()
        }
    }

    pub(super) async fn upgrade(
        &self,
        request: tf::upgrade_resource_state::Request,
    ) -> tf::upgrade_resource_state::Response {
        let ctx = self.context();
        let outcome = guard(&format!("upgrading the state of {}", request.type_name), &ctx, async {
            let (resource, states) = self.resource(&request.type_name)?;
            let mut state = request.raw_state.unwrap_or_default().json;
            let current = states.schema.version;
            if request.version > current {
                return Err(Diagnostic::error(
                    "State of a newer provider",
                    format!(
                        "The state of this {} was written by a newer version of the provider (schema version {}; \
                         this one knows {current}). Upgrade the provider.",
                        request.type_name, request.version
                    ),
                )
                .into());
            }
            for version in request.version..current {
                state = resource.upgrade(version, stored(&state)?)?.to_string().into_bytes();
            }
            let state = json::decode(&state, &states.schema.ty())?;
            Ok(encode(&state, &states.schema.ty())?)
        })
        .await;
        tf::upgrade_resource_state::Response {
            upgraded_state: outcome.value,
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    pub(super) async fn upgrade_identity(
        &self,
        request: tf::upgrade_resource_identity::Request,
    ) -> tf::upgrade_resource_identity::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("upgrading the identity of {}", request.type_name),
            &ctx,
            async {
                let (resource, states) = self.resource(&request.type_name)?;
                let schema = states.identity.ok_or_else(|| {
                    Diagnostic::error("No identity", "This type has no identity.")
                })?;
                let mut identity = request.raw_identity.unwrap_or_default().json;
                // A host without support for identities wrote none, and one with support asks anyway.
                if matches!(identity.as_slice(), b"" | b"null") {
                    return Ok(None);
                }
                for version in request.version..schema.version {
                    let upgraded = resource.upgrade_identity(version, stored(&identity)?)?;
                    identity = upgraded.to_string().into_bytes();
                }
                let identity = json::decode(&identity, &schema.ty())?;
                Ok(Some(tf::ResourceIdentityData {
                    identity_data: Some(encode(&identity, &schema.ty())?),
                }))
            },
        )
        .await;
        tf::upgrade_resource_identity::Response {
            upgraded_identity: outcome.value.flatten(),
            diagnostics: messages::diagnostics(outcome.diagnostics),
        }
    }

    pub(super) async fn move_state(
        &self,
        request: tf::move_resource_state::Request,
    ) -> tf::move_resource_state::Response {
        let ctx = self.context();
        let outcome = guard(
            &format!("moving state to {}", request.target_type_name),
            &ctx,
            async {
                let (resource, states) = self.resource(&request.target_type_name)?;
                let source = MoveSource {
                    provider_address: request.source_provider_address,
                    type_name: request.source_type_name,
                    schema_version: request.source_schema_version,
                    state: stored(&request.source_state.unwrap_or_default().json)?,
                    private: request.source_private,
                };
                let moved: Option<Instance> = resource.move_from(&ctx, &source).await?;
                let instance = moved.ok_or_else(|| {
                    let detail = format!(
                        "{} can't take over a {}.",
                        request.target_type_name, source.type_name
                    );
                    Diagnostic::error("Unsupported move between resource types", detail)
                })?;
                Ok(states.write(instance, &Value::Null)?)
            },
        )
        .await;
        let diagnostics = messages::diagnostics(outcome.diagnostics);
        let Some(sent) = outcome.value else {
            return tf::move_resource_state::Response {
                diagnostics,
                ..Default::default()
            };
        };
        tf::move_resource_state::Response {
            target_state: Some(sent.state),
            target_private: sent.private,
            target_identity: sent.identity,
            diagnostics,
        }
    }
}

/// What a state file holds.
fn stored(json: &[u8]) -> Result<Json, Diagnostic> {
    serde_json::from_slice(json).map_err(|error| {
        Diagnostic::error(
            "Unreadable state",
            format!("The stored state is not JSON: {error}."),
        )
    })
}

/// Hosts before Terraform 1.11 would store write-only values.
fn refuse_write_only<C>(ctx: &Context<C>, states: &States<'_>, config: &Value) {
    for (name, attribute) in &states.schema.body.attributes {
        if attribute.write_only && !config.get(name).is_null() {
            let detail = "This attribute is write-only, which needs Terraform 1.11 or later.";
            ctx.report(
                Diagnostic::error("Terraform is too old for a write-only attribute", detail)
                    .at(name.as_str()),
            );
        }
    }
}
