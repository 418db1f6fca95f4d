//! Everything a provider offers as one serializable value: the source of its documentation.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::function::Signature;
use crate::provider::Provider;
use crate::schema::{IdentitySchema, Schema};

/// What a provider offers, by full type name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Description {
    /// The short name.
    pub name: String,
    /// The settings of the `provider` block.
    pub provider: Schema,
    /// Resource types.
    pub resources: BTreeMap<String, Schema>,
    /// The identities of resource types that have one.
    pub identities: BTreeMap<String, IdentitySchema>,
    /// Data sources.
    pub data_sources: BTreeMap<String, Schema>,
    /// Ephemeral resource types.
    pub ephemeral_resources: BTreeMap<String, Schema>,
    /// What can be looked for in lists of resource types.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub list_resources: BTreeMap<String, Schema>,
    /// Functions.
    pub functions: BTreeMap<String, Signature>,
}

/// Collects what `provider` offers.
pub fn describe<P: Provider>(provider: &P) -> Description {
    let resources = provider.resources();
    let identities = resources
        .iter()
        .filter_map(|r| Some((r.name().to_owned(), r.identity()?)));
    Description {
        name: provider.name().to_owned(),
        provider: provider.schema(),
        identities: identities.collect(),
        resources: resources
            .iter()
            .map(|r| (r.name().to_owned(), r.schema()))
            .collect(),
        data_sources: provider
            .data_sources()
            .iter()
            .map(|d| (d.name().to_owned(), d.schema()))
            .collect(),
        ephemeral_resources: provider
            .ephemeral_resources()
            .iter()
            .map(|e| (e.name().to_owned(), e.schema()))
            .collect(),
        list_resources: provider
            .list_resources()
            .iter()
            .map(|l| (l.name().to_owned(), l.schema()))
            .collect(),
        functions: provider
            .functions()
            .iter()
            .map(|f| (f.name().to_owned(), f.signature()))
            .collect(),
    }
}
