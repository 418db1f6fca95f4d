//! Schemas from the wire: only what the protocol carries, so nothing about how the provider plans.

use tonic::transport::Channel;

use super::{FunctionTypes, Schemas, StartError};
use crate::attribute::{Attribute, AttributeType};
use crate::proto::tf;
use crate::proto::tf::provider_client::ProviderClient;
use crate::schema::{Block, Body, IdentitySchema, Schema};
use crate::types::{Nesting, Type};

impl Schemas {
    pub(super) async fn fetch(client: &mut ProviderClient<Channel>) -> Result<Self, StartError> {
        let failed = |status: tonic::Status| StartError::Connection(status.to_string());
        let all = client
            .get_provider_schema(tf::get_provider_schema::Request {})
            .await
            .map_err(failed)?
            .into_inner();
        let identities =
            client.get_resource_identity_schemas(tf::get_resource_identity_schemas::Request {});
        let identities = identities
            .await
            .map_err(failed)?
            .into_inner()
            .identity_schemas;
        Ok(Self {
            provider: all.provider.unwrap_or_default().into(),
            resources: convert(all.resource_schemas),
            data_sources: convert(all.data_source_schemas),
            ephemeral_resources: convert(all.ephemeral_resource_schemas),
            list_resources: convert(all.list_resource_schemas),
            identities: convert(identities),
            functions: convert(all.functions),
        })
    }
}

fn convert<A, B: From<A>>(
    map: std::collections::HashMap<String, A>,
) -> std::collections::BTreeMap<String, B> {
    map.into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect()
}

/// A type that can't be read is treated as any type; reading its values then reports the problem.
fn ty(json: &[u8]) -> Type {
    serde_json::from_slice(json)
        .ok()
        .as_ref()
        .and_then(Type::from_json)
        .unwrap_or(Type::Dynamic)
}

impl From<tf::Schema> for Schema {
    fn from(schema: tf::Schema) -> Self {
        Self {
            version: schema.version,
            body: schema.block.unwrap_or_default().into(),
        }
    }
}

impl From<tf::schema::Block> for Body {
    fn from(block: tf::schema::Block) -> Self {
        Self {
            description: block.description,
            deprecated: block.deprecated.then_some(block.deprecation_message),
            attributes: block
                .attributes
                .into_iter()
                .map(|a| (a.name.clone(), a.into()))
                .collect(),
            blocks: block
                .block_types
                .into_iter()
                .map(|b| (b.type_name.clone(), b.into()))
                .collect(),
        }
    }
}

impl From<tf::schema::NestedBlock> for Block {
    fn from(block: tf::schema::NestedBlock) -> Self {
        use tf::schema::nested_block::NestingMode;
        let limit = |items: i64| u32::try_from(items).unwrap_or(0);
        Self {
            nesting: match block.nesting() {
                NestingMode::Set => Nesting::Set,
                NestingMode::Map => Nesting::Map,
                NestingMode::Single | NestingMode::Group | NestingMode::Invalid => Nesting::Single,
                NestingMode::List => Nesting::List,
            },
            min_items: limit(block.min_items),
            max_items: limit(block.max_items),
            body: block.block.unwrap_or_default().into(),
        }
    }
}

impl From<tf::schema::Attribute> for Attribute {
    fn from(attribute: tf::schema::Attribute) -> Self {
        use tf::schema::object::NestingMode;
        let ty = match attribute.nested_type {
            None => AttributeType::Plain(ty(&attribute.r#type)),
            Some(object) => {
                let nesting = match object.nesting() {
                    NestingMode::List => Nesting::List,
                    NestingMode::Set => Nesting::Set,
                    NestingMode::Map => Nesting::Map,
                    NestingMode::Single | NestingMode::Invalid => Nesting::Single,
                };
                let attributes = object
                    .attributes
                    .into_iter()
                    .map(|a| (a.name.clone(), a.into()));
                AttributeType::Nested(nesting, attributes.collect())
            }
        };
        Self {
            ty,
            description: attribute.description,
            required: attribute.required,
            optional: attribute.optional,
            computed: attribute.computed,
            sensitive: attribute.sensitive,
            write_only: attribute.write_only,
            deprecated: attribute
                .deprecated
                .then_some(attribute.deprecation_message),
            ..Self::of(Type::Dynamic)
        }
    }
}

impl From<tf::ResourceIdentitySchema> for IdentitySchema {
    fn from(schema: tf::ResourceIdentitySchema) -> Self {
        let empty = Self {
            version: schema.version,
            ..Self::default()
        };
        schema
            .identity_attributes
            .into_iter()
            .fold(empty, |schema, a| {
                let add = if a.required_for_import {
                    Self::required
                } else {
                    Self::optional
                };
                add(schema, &a.name, ty(&a.r#type), &a.description)
            })
    }
}

impl From<tf::Function> for FunctionTypes {
    fn from(function: tf::Function) -> Self {
        Self {
            parameters: function.parameters.iter().map(|p| ty(&p.r#type)).collect(),
            variadic: function.variadic_parameter.map(|p| ty(&p.r#type)),
            result: function.r#return.map_or(Type::Dynamic, |r| ty(&r.r#type)),
        }
    }
}
