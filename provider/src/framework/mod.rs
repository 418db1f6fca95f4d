//! What the resources and data sources of all nouns have in common; no noun is named here.
//!
//! `noun` defines what a noun has to provide, and `resource`, `looked_up` and `listed` turn it into a resource, a data
//! source of one and a data source of many.

pub(crate) mod attribute_spec;
pub(crate) mod call;
pub(crate) mod failure;
pub(crate) mod fields;
pub(crate) mod identity;
mod import;
pub(crate) mod labels;
pub(crate) mod listed;
pub(crate) mod looked_up;
pub(crate) mod noun;
pub(crate) mod orphans;
pub(crate) mod ownership;
pub(crate) mod place;
pub(crate) mod rename;
pub(crate) mod resource;
pub(crate) mod state;
mod taken;
pub(crate) mod verdict;
