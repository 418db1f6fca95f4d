//! Lists of existing things, and configurations for them.

use serde_json::Value as Json;
use tonic::Request;

use super::values::{self, configuration, from_json, to_json};
use super::{Driver, Item, Stored, call, no_answer, unknown_type};
use crate::diagnostic::{Diagnostic, Result};
use crate::proto::tf;
use crate::value::Value;

impl Driver {
    /// Lists at most `limit` things of a resource type, with all their attributes if `include` says so. Validates first, as
    /// Terraform does, and stops reading when it has that many.
    ///
    /// # Errors
    /// What the provider answers; results so far are then discarded, as in Terraform.
    pub async fn list(
        &self,
        type_name: &str,
        config: Json,
        limit: usize,
        include: bool,
    ) -> Result<Vec<Item>> {
        let schema = self
            .schemas
            .list_resources
            .get(type_name)
            .ok_or_else(|| unknown_type(type_name))?;
        let config = values::encode(&configuration(config, &schema.body)?, &schema.ty())?;
        let request = tf::validate_list_resource_config::Request {
            type_name: type_name.into(),
            config: config.clone(),
            ..Default::default()
        };
        let answer = call!(self, validate_list_resource_config, request);
        self.check(answer.diagnostics)?;
        let request = tf::list_resource::Request {
            type_name: type_name.into(),
            config,
            include_resource_object: include,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        };
        let mut events = call!(self, list_resource, request);
        let mut items = Vec::new();
        while items.len() < limit
            && let Some(event) = events.message().await.map_err(no_answer)?
        {
            self.check(event.diagnostic)?;
            if let Some(identity) = event.identity {
                let object = event.resource_object.as_ref();
                items.push(self.item(type_name, &identity, event.display_name, object)?);
            }
        }
        Ok(items)
    }

    fn item(
        &self,
        type_name: &str,
        identity: &tf::ResourceIdentityData,
        display_name: String,
        object: Option<&tf::DynamicValue>,
    ) -> Result<Item, Diagnostic> {
        let missing = || Diagnostic::error("No identity", "The type has none.");
        let ty = self.resource(type_name)?.ty();
        let values = object.map(|object| values::decode(Some(object), &ty));
        Ok(Item {
            identity: self
                .identity(type_name, Some(identity))?
                .ok_or_else(missing)?,
            display_name,
            values: values.transpose()?.as_ref().map(to_json),
        })
    }

    /// The configuration that the provider would write for what is stored, without what is null.
    ///
    /// # Errors
    /// What the provider answers.
    pub async fn generate(&self, stored: &Stored) -> Result<Json> {
        let ty = self.resource(&stored.type_name)?.ty();
        let request = tf::generate_resource_config::Request {
            type_name: stored.type_name.clone(),
            state: values::encode(&from_json(stored.values.clone()), &ty)?,
        };
        let answer = call!(self, generate_resource_config, request);
        self.check(answer.diagnostics)?;
        let mut config = values::decode(answer.config.as_ref(), &ty)?;
        without_nulls(&mut config);
        Ok(to_json(&config))
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Map(all) => {
            all.retain(|_, value| !value.is_null());
            all.values_mut().for_each(without_nulls);
        }
        Value::List(all) => all.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
