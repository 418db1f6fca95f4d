//! All other calls: the provider itself, stored state, data sources, ephemeral resources and functions.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tonic::Request;

use super::consistency::check_plan;
use super::values::{self, configuration, from_json, raw_state, to_json};
use super::{Driver, OpenedSecret, Stored, call, no_answer, unknown_type};
use crate::diagnostic::{Diagnostic, Result};
use crate::function::FunctionError;
use crate::proto::tf;
use crate::value::Value;

impl Driver {
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
            client_capabilities: Some(self.capabilities),
        };
        let answer = call!(self, configure_provider, request);
        self.check(answer.diagnostics).map(drop)
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

    /// Upgrades an identity that version `version` of the identity schema wrote.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn upgrade_identity(
        &self,
        type_name: &str,
        version: i64,
        identity: &Json,
    ) -> Result<Option<Json>> {
        let raw_identity = raw_state(identity);
        let request = tf::upgrade_resource_identity::Request {
            type_name: type_name.into(),
            version,
            raw_identity,
        };
        let answer = call!(self, upgrade_resource_identity, request);
        self.check(answer.diagnostics)?;
        Ok(self.identity(type_name, answer.upgraded_identity.as_ref())?)
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
    /// What the provider answers, or the Terraform rule that it breaks.
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
            client_capabilities: Some(self.capabilities),
            provider_meta: None,
        };
        let answer = call!(self, read_data_source, request);
        self.check(answer.diagnostics)?;
        let state = values::decode(answer.state.as_ref(), &schema.ty())?;
        check_plan(&schema.body, &value, &Value::Null, &state)?;
        Ok(to_json(&state))
    }

    /// Opens an ephemeral resource.
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
            client_capabilities: Some(self.capabilities),
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

    /// Renews an ephemeral resource.
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

    /// Closes an ephemeral resource.
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

    /// The names of everything that the provider has, without their schemas; those of lists begin with `list `.
    ///
    /// # Errors
    /// If the plugin does not answer.
    pub async fn names(&self) -> Result<BTreeSet<String>> {
        let answer = call!(self, get_metadata, tf::get_metadata::Request {});
        let resources = answer.resources.into_iter().map(|r| r.type_name);
        let data_sources = answer.data_sources.into_iter().map(|d| d.type_name);
        let ephemeral = answer.ephemeral_resources.into_iter().map(|e| e.type_name);
        let functions = answer.functions.into_iter().map(|f| f.name);
        let lists = answer.list_resources.into_iter().map(|l| l.type_name);
        Ok(resources
            .chain(lists.map(|name| format!("list {name}")))
            .chain(data_sources)
            .chain(ephemeral)
            .chain(functions)
            .collect())
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
