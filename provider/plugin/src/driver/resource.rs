//! Calls about resources, in the form that tests need.

use serde_json::Value as Json;
use tonic::Request;

use super::consistency::{check_applied, check_plan};
use super::values::{self, configuration, from_json, to_json};
use super::{Applied, Driver, Planned, Stored, call, diagnostic, no_answer, path, unknown_type};
use crate::diagnostic::{Diagnostic, Diagnostics, Result};
use crate::proposed::proposed_state;
use crate::proto::tf;
use crate::schema::{IdentitySchema, Schema};
use crate::value::Value;

impl Driver {
    pub(super) fn resource(&self, name: &str) -> Result<&Schema, Diagnostic> {
        self.schemas
            .resources
            .get(name)
            .ok_or_else(|| unknown_type(name))
    }

    pub(super) fn identity(
        &self,
        name: &str,
        data: Option<&tf::ResourceIdentityData>,
    ) -> Result<Option<Json>, Diagnostic> {
        let (Some(schema), Some(data)) = (self.schemas.identities.get(name), data) else {
            return Ok(None);
        };
        values::decode(data.identity_data.as_ref(), &schema.ty()).map(|value| Some(to_json(&value)))
    }

    fn identity_data(
        &self,
        name: &str,
        json: Option<&Json>,
    ) -> Result<Option<tf::ResourceIdentityData>, Diagnostic> {
        let ty = self.schemas.identities.get(name).map(IdentitySchema::ty);
        let (Some(ty), Some(json)) = (ty, json) else {
            return Ok(None);
        };
        let identity_data = values::encode(&from_json(json.clone()), &ty)?;
        Ok(Some(tf::ResourceIdentityData { identity_data }))
    }

    /// Checks the configuration of a resource.
    ///
    /// # Errors
    /// What the provider finds wrong with it.
    pub async fn validate(&self, type_name: &str, config: Json) -> Result<()> {
        let schema = self.resource(type_name)?;
        let request = tf::validate_resource_config::Request {
            type_name: type_name.into(),
            config: values::encode(&configuration(config, &schema.body)?, &schema.ty())?,
            client_capabilities: Some(self.capabilities),
        };
        let answer = call!(self, validate_resource_config, request);
        self.check(answer.diagnostics).map(drop)
    }

    /// Plans a creation, or with `prior` an update. Validates first, as Terraform does.
    ///
    /// # Errors
    /// What the provider answers, or the Terraform rule that the plan breaks.
    pub async fn plan(
        &self,
        type_name: &str,
        prior: Option<&Stored>,
        config: Json,
    ) -> Result<Planned> {
        self.validate(type_name, config.clone()).await?;
        let schema = self.resource(type_name)?;
        let value = configuration(config.clone(), &schema.body)?;
        let before = prior.map_or(Value::Null, |stored| from_json(stored.values.clone()));
        let before = values::complete(&before, &schema.ty())?;
        let proposed = proposed_state(&schema.body, prior.map(|_| &before), &value);
        let planned = self
            .plan_change(
                type_name,
                prior,
                (config, &value),
                &before,
                (&proposed, &[]),
            )
            .await?;
        check_plan(
            &schema.body,
            &value,
            &before,
            &from_json(planned.values.clone()),
        )?;
        Ok(planned)
    }

    /// Makes a plan again, as Terraform does right before the apply, with the notes of the first plan if the driver was
    /// started [so](super::Launch::with_planned_private).
    ///
    /// # Errors
    /// As [`Driver::plan`].
    pub async fn replan(&self, planned: &Planned) -> Result<Planned> {
        let schema = self.resource(&planned.type_name)?;
        let prior = planned.prior.as_ref();
        let value = configuration(planned.config.clone(), &schema.body)?;
        let before = prior.map_or(Value::Null, |stored| from_json(stored.values.clone()));
        let before = values::complete(&before, &schema.ty())?;
        let proposed = proposed_state(&schema.body, prior.map(|_| &before), &value);
        let earlier: &[u8] = if self.capabilities.store_planned_private {
            &planned.private
        } else {
            &[]
        };
        let config = (planned.config.clone(), &value);
        self.plan_change(
            &planned.type_name,
            prior,
            config,
            &before,
            (&proposed, earlier),
        )
        .await
    }

    /// Plans a deletion.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn plan_delete(&self, stored: &Stored) -> Result<Planned> {
        let schema = self.resource(&stored.type_name)?;
        let before = values::complete(&from_json(stored.values.clone()), &schema.ty())?;
        let nothing = (Json::Null, &Value::Null);
        self.plan_change(
            &stored.type_name,
            Some(stored),
            nothing,
            &before,
            (&Value::Null, &[]),
        )
        .await
    }

    async fn plan_change(
        &self,
        type_name: &str,
        prior: Option<&Stored>,
        (config, config_value): (Json, &Value),
        before: &Value,
        (proposed, earlier): (&Value, &[u8]),
    ) -> Result<Planned> {
        let ty = self.resource(type_name)?.ty();
        let request = tf::plan_resource_change::Request {
            type_name: type_name.into(),
            prior_state: values::encode(before, &ty)?,
            proposed_new_state: values::encode(proposed, &ty)?,
            config: values::encode(config_value, &ty)?,
            prior_private: prior
                .map(|stored| stored.private.clone())
                .unwrap_or_default(),
            client_capabilities: Some(self.capabilities),
            prior_identity: self
                .identity_data(type_name, prior.and_then(|stored| stored.identity.as_ref()))?,
            planned_private: earlier.to_vec(),
            provider_meta: None,
        };
        let answer = call!(self, plan_resource_change, request);
        let warnings = self.check(answer.diagnostics)?;
        Ok(Planned {
            type_name: type_name.into(),
            config,
            prior: prior.cloned(),
            values: to_json(&values::decode(answer.planned_state.as_ref(), &ty)?),
            private: answer.planned_private,
            identity: self.identity(type_name, answer.planned_identity.as_ref())?,
            requires_replace: answer
                .requires_replace
                .iter()
                .map(|p| path(Some(p)).to_string())
                .collect(),
            warnings,
        })
    }

    /// Applies a plan and returns what is left, whether it succeeded or not.
    ///
    /// # Errors
    /// If the plugin does not answer, or breaks one of Terraform's rules. The provider's own errors are in the result.
    pub async fn apply(&self, planned: &Planned) -> Result<Applied> {
        let type_name = &planned.type_name;
        let schema = self.resource(type_name)?;
        let ty = schema.ty();
        let prior = planned.prior.as_ref();
        let before = prior.map_or(Json::Null, |stored| stored.values.clone());
        let after = from_json(planned.values.clone());
        let config = match &planned.config {
            Json::Null => Value::Null,
            config => configuration(config.clone(), &schema.body)?,
        };
        let request = tf::apply_resource_change::Request {
            type_name: type_name.clone(),
            prior_state: values::encode(&from_json(before), &ty)?,
            planned_state: values::encode(&after, &ty)?,
            config: values::encode(&config, &ty)?,
            planned_private: planned.private.clone(),
            planned_identity: self.identity_data(type_name, planned.identity.as_ref())?,
            provider_meta: None,
        };
        let answer = call!(self, apply_resource_change, request);
        let diagnostics: Diagnostics = answer.diagnostics.into_iter().map(diagnostic).collect();
        let state = values::decode(answer.new_state.as_ref(), &ty)?;
        if !diagnostics.has_errors() {
            check_applied(&ty, &after, &state)?;
        }
        let stored = self.stored(
            type_name,
            &state,
            answer.private,
            answer.new_identity.as_ref(),
        )?;
        Ok(Applied {
            stored,
            diagnostics,
        })
    }

    pub(super) fn stored(
        &self,
        type_name: &str,
        state: &Value,
        private: Vec<u8>,
        identity: Option<&tf::ResourceIdentityData>,
    ) -> Result<Option<Stored>, Diagnostic> {
        let identity = self.identity(type_name, identity)?;
        let values = to_json(state);
        Ok((!state.is_null()).then(|| Stored {
            type_name: type_name.into(),
            values,
            private,
            identity,
        }))
    }

    async fn applied(&self, planned: &Planned) -> Result<Option<Stored>> {
        let applied = self.apply(planned).await?;
        if applied.diagnostics.has_errors() {
            return Err(applied.diagnostics);
        }
        Ok(applied.stored)
    }

    /// Plans and creates.
    ///
    /// # Errors
    /// What the provider answers, or the Terraform rule that it breaks.
    pub async fn create(&self, type_name: &str, config: Json) -> Result<Stored> {
        let planned = self.plan(type_name, None, config).await?;
        let nothing =
            || Diagnostic::error("Nothing was created", "The provider returned no state.");
        Ok(self.applied(&planned).await?.ok_or_else(nothing)?)
    }

    /// Plans and changes in place.
    ///
    /// # Errors
    /// As [`Driver::create`]; also if the plan is for a replacement.
    pub async fn update(&self, stored: &Stored, config: Json) -> Result<Stored> {
        let planned = self.plan(&stored.type_name, Some(stored), config).await?;
        if !planned.requires_replace.is_empty() {
            let detail = format!("Because of {}.", planned.requires_replace.join(", "));
            return Err(Diagnostic::error("A replacement is planned", detail).into());
        }
        let nothing = || Diagnostic::error("Nothing is left", "The provider returned no state.");
        Ok(self.applied(&planned).await?.ok_or_else(nothing)?)
    }

    /// Plans and deletes.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn delete(&self, stored: &Stored) -> Result<()> {
        let planned = self.plan_delete(stored).await?;
        self.applied(&planned).await.map(drop)
    }

    /// Looks a resource up; `None` if it is gone.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn read(&self, stored: &Stored) -> Result<Option<Stored>> {
        let ty = self.resource(&stored.type_name)?.ty();
        let request = tf::read_resource::Request {
            type_name: stored.type_name.clone(),
            current_state: values::encode(&from_json(stored.values.clone()), &ty)?,
            private: stored.private.clone(),
            client_capabilities: Some(self.capabilities),
            current_identity: self.identity_data(&stored.type_name, stored.identity.as_ref())?,
            provider_meta: None,
        };
        let answer = call!(self, read_resource, request);
        self.check(answer.diagnostics)?;
        let state = values::decode(answer.new_state.as_ref(), &ty)?;
        Ok(self.stored(
            &stored.type_name,
            &state,
            answer.private,
            answer.new_identity.as_ref(),
        )?)
    }

    /// Imports by text and reads what was found, as Terraform does.
    ///
    /// # Errors
    /// What the provider answers; also if the resource does not exist.
    pub async fn import(&self, type_name: &str, id: &str) -> Result<Stored> {
        self.import_with(type_name, id, None).await
    }

    /// Imports by identity and reads what was found.
    ///
    /// # Errors
    /// As [`Driver::import`].
    pub async fn import_identity(&self, type_name: &str, identity: Json) -> Result<Stored> {
        self.import_with(type_name, "", Some(identity)).await
    }

    async fn import_with(
        &self,
        type_name: &str,
        id: &str,
        identity: Option<Json>,
    ) -> Result<Stored> {
        let ty = self.resource(type_name)?.ty();
        let request = tf::import_resource_state::Request {
            type_name: type_name.into(),
            id: id.into(),
            client_capabilities: Some(self.capabilities),
            identity: self.identity_data(type_name, identity.as_ref())?,
        };
        let mut answer = call!(self, import_resource_state, request);
        self.check(answer.diagnostics)?;
        let missing = || {
            Diagnostic::error(
                "Cannot import non-existent remote object",
                format!("There is no {id}."),
            )
        };
        let found = answer.imported_resources.pop().ok_or_else(missing)?;
        let state = values::decode(found.state.as_ref(), &ty)?;
        let stored = self
            .stored(type_name, &state, found.private, found.identity.as_ref())?
            .ok_or_else(missing)?;
        Ok(self.read(&stored).await?.ok_or_else(missing)?)
    }
}
