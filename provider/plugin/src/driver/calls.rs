//! The calls, as a test wants to make them.

use serde_json::Value as Json;
use tonic::Request;

use super::consistency::{check_applied, check_plan};
use super::values::{self, configuration, from_json, raw_state, to_json};
use super::{
    Applied, Driver, OpenedSecret, Planned, Stored, diagnostic, no_answer, path, unknown_type,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Result};
use crate::function::FunctionError;
use crate::proposed::proposed_state;
use crate::proto::tf;
use crate::schema::{IdentitySchema, Schema};
use crate::value::Value;

const CAPABILITIES: Option<tf::ClientCapabilities> = Some(tf::ClientCapabilities {
    deferral_allowed: false,
    write_only_attributes_allowed: true,
});

/// Makes a call and takes the answer out of its wrapping.
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

impl Driver {
    fn resource(&self, name: &str) -> Result<&Schema, Diagnostic> {
        self.schemas
            .resources
            .get(name)
            .ok_or_else(|| unknown_type(name))
    }

    fn identity(
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

    /// Checks the provider's settings.
    ///
    /// # Errors
    /// What the provider finds wrong with them.
    pub async fn validate_provider(&self, config: Json) -> Result<()> {
        let schema = &self.schemas.provider;
        let config = values::encode(&configuration(config, &schema.body)?, &schema.ty())?;
        let answer = call!(
            self,
            validate_provider_config,
            tf::validate_provider_config::Request { config }
        );
        self.check(answer.diagnostics).map(drop)
    }

    /// Checks the provider's settings and configures it with them.
    ///
    /// # Errors
    /// What the provider finds wrong with them.
    pub async fn configure(&self, config: Json) -> Result<()> {
        self.validate_provider(config.clone()).await?;
        let schema = &self.schemas.provider;
        let request = tf::configure_provider::Request {
            terraform_version: "1.11.4".into(),
            config: values::encode(&configuration(config, &schema.body)?, &schema.ty())?,
            client_capabilities: CAPABILITIES,
        };
        let answer = call!(self, configure_provider, request);
        self.check(answer.diagnostics).map(drop)
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
            client_capabilities: CAPABILITIES,
        };
        let answer = call!(self, validate_resource_config, request);
        self.check(answer.diagnostics).map(drop)
    }

    /// Plans a creation, or with `prior` an update. Validates first, as Terraform does.
    ///
    /// # Errors
    /// What the provider answers, or the rule of Terraform's that the plan breaks.
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
            .plan_change(type_name, prior, (config, &value), &before, &proposed)
            .await?;
        check_plan(
            &schema.body,
            &value,
            &before,
            &from_json(planned.values.clone()),
        )?;
        Ok(planned)
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
            &Value::Null,
        )
        .await
    }

    async fn plan_change(
        &self,
        type_name: &str,
        prior: Option<&Stored>,
        (config, config_value): (Json, &Value),
        before: &Value,
        proposed: &Value,
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
            client_capabilities: CAPABILITIES,
            prior_identity: self
                .identity_data(type_name, prior.and_then(|stored| stored.identity.as_ref()))?,
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
            requires_replace: answer
                .requires_replace
                .iter()
                .map(|p| path(Some(p)).to_string())
                .collect(),
            warnings,
        })
    }

    /// Applies a plan and tells what is left, whether it worked or not.
    ///
    /// # Errors
    /// If the plugin does not answer, or breaks one of Terraform's rules. What it answers itself is in the result.
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
            planned_identity: self
                .identity_data(type_name, prior.and_then(|stored| stored.identity.as_ref()))?,
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

    fn stored(
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
    /// What the provider answers, or the rule of Terraform's that it breaks.
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
            client_capabilities: CAPABILITIES,
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
            client_capabilities: CAPABILITIES,
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

    /// Upgrades a state that schema version `version` wrote.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn upgrade(&self, type_name: &str, version: i64, state: &Json) -> Result<Stored> {
        let ty = self.resource(type_name)?.ty();
        let raw_state = raw_state(state);
        let request = tf::upgrade_resource_state::Request {
            type_name: type_name.into(),
            version,
            raw_state,
        };
        let answer = call!(self, upgrade_resource_state, request);
        self.check(answer.diagnostics)?;
        let state = values::decode(answer.upgraded_state.as_ref(), &ty)?;
        let nothing = || Diagnostic::error("Nothing is left", "The upgraded state is null.");
        Ok(self
            .stored(type_name, &state, Vec::new(), None)?
            .ok_or_else(nothing)?)
    }

    /// Moves a state of another type to `type_name`. `source` is (provider address, type name, schema version).
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn move_state(
        &self,
        source: (&str, &str, i64),
        state: &Json,
        type_name: &str,
    ) -> Result<Stored> {
        let ty = self.resource(type_name)?.ty();
        let request = tf::move_resource_state::Request {
            source_provider_address: source.0.into(),
            source_type_name: source.1.into(),
            source_schema_version: source.2,
            source_state: raw_state(state),
            target_type_name: type_name.into(),
            ..Default::default()
        };
        let answer = call!(self, move_resource_state, request);
        self.check(answer.diagnostics)?;
        let state = values::decode(answer.target_state.as_ref(), &ty)?;
        let nothing = || Diagnostic::error("Nothing was moved", "The new state is null.");
        let identity = answer.target_identity.as_ref();
        Ok(self
            .stored(type_name, &state, answer.target_private, identity)?
            .ok_or_else(nothing)?)
    }

    /// Reads a data source.
    ///
    /// # Errors
    /// What the provider answers, or the rule of Terraform's that it breaks.
    pub async fn read_data(&self, type_name: &str, config: Json) -> Result<Json> {
        let schema = self
            .schemas
            .data_sources
            .get(type_name)
            .ok_or_else(|| unknown_type(type_name))?;
        let value = configuration(config, &schema.body)?;
        let config = values::encode(&value, &schema.ty())?;
        let request = tf::validate_data_resource_config::Request {
            type_name: type_name.into(),
            config: config.clone(),
        };
        let answer = call!(self, validate_data_resource_config, request);
        self.check(answer.diagnostics)?;
        let request = tf::read_data_source::Request {
            type_name: type_name.into(),
            config,
            client_capabilities: CAPABILITIES,
            provider_meta: None,
        };
        let answer = call!(self, read_data_source, request);
        self.check(answer.diagnostics)?;
        let state = values::decode(answer.state.as_ref(), &schema.ty())?;
        check_plan(&schema.body, &value, &Value::Null, &state)?;
        Ok(to_json(&state))
    }

    /// Makes a secret.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn open(&self, type_name: &str, config: Json) -> Result<OpenedSecret> {
        let schema = self
            .schemas
            .ephemeral_resources
            .get(type_name)
            .ok_or_else(|| unknown_type(type_name))?;
        let request = tf::open_ephemeral_resource::Request {
            type_name: type_name.into(),
            config: values::encode(&configuration(config, &schema.body)?, &schema.ty())?,
            client_capabilities: CAPABILITIES,
        };
        let answer = call!(self, open_ephemeral_resource, request);
        self.check(answer.diagnostics)?;
        Ok(OpenedSecret {
            type_name: type_name.into(),
            values: to_json(&values::decode(answer.result.as_ref(), &schema.ty())?),
            private: answer.private.unwrap_or_default(),
            renew_at: answer.renew_at.map(|time| time.seconds),
        })
    }

    /// Makes a secret last longer.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn renew(&self, secret: &mut OpenedSecret) -> Result<()> {
        let private = Some(secret.private.clone());
        let request = tf::renew_ephemeral_resource::Request {
            type_name: secret.type_name.clone(),
            private,
        };
        let answer = call!(self, renew_ephemeral_resource, request);
        self.check(answer.diagnostics)?;
        secret.private = answer.private.unwrap_or_default();
        secret.renew_at = answer.renew_at.map(|time| time.seconds);
        Ok(())
    }

    /// Destroys a secret.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn close(&self, secret: OpenedSecret) -> Result<()> {
        let private = Some(secret.private);
        let request = tf::close_ephemeral_resource::Request {
            type_name: secret.type_name,
            private,
        };
        let answer = call!(self, close_ephemeral_resource, request);
        self.check(answer.diagnostics).map(drop)
    }

    /// Calls a function.
    ///
    /// # Errors
    /// What the function answers.
    pub async fn call(&self, name: &str, arguments: &[Json]) -> Result<Json, FunctionError> {
        let types = self.schemas.functions.get(name);
        let types =
            types.ok_or_else(|| FunctionError::new(format!("There is no function {name}.")))?;
        let encoded = arguments.iter().enumerate().map(|(i, argument)| {
            let ty = types.parameters.get(i).or(types.variadic.as_ref());
            let ty =
                ty.ok_or_else(|| FunctionError::argument(i, "There are too many arguments."))?;
            let encoded = values::encode(&from_json(argument.clone()), ty);
            encoded
                .map(Option::unwrap_or_default)
                .map_err(|error| FunctionError::argument(i, error.detail))
        });
        let arguments = encoded.collect::<Result<Vec<_>, _>>()?;
        let request = tf::call_function::Request {
            name: name.into(),
            arguments,
        };
        let answer = self.client.clone().call_function(request).await;
        let answer = answer
            .map_err(|status| FunctionError::new(status.to_string()))?
            .into_inner();
        if let Some(error) = answer.error {
            let argument = error
                .function_argument
                .and_then(|index| usize::try_from(index).ok());
            return Err(FunctionError {
                text: error.text,
                argument,
            });
        }
        let result = values::decode(answer.result.as_ref(), &types.result);
        result
            .map(|value| to_json(&value))
            .map_err(|error| FunctionError::new(error.to_string()))
    }

    /// Tells the provider that the user pressed Ctrl-C.
    ///
    /// # Errors
    /// If the plugin does not answer.
    pub async fn stop(&self) -> Result<()> {
        call!(self, stop_provider, tf::stop_provider::Request {});
        Ok(())
    }
}
