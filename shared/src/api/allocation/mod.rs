//! Allocations: the space that a user requested and owns.

mod batch;
mod request;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use batch::{Batch, BatchResult, MAX_BATCH, NewBatch};
pub use request::{
    AskError, MAIN, MAX_EXCLUDE_CIDRS, MAX_HOSTS, MAX_POOLS, NewAllocation, Recipe, Size,
};

use crate::{
    api::ownership::{Owner, owned},
    cidr::Cidr,
    ids::{AllocationId, Claim, VpcId},
    labels::Labels,
    name::Name,
};

/// A change: `PATCH /api/v1/allocations/{id}`. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AllocationPatch {
    /// Move to another VPC, which is created if necessary. The blocks stay the same.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub vpc: Option<Name>,
    /// A new name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub name: Option<Name>,
    /// Another size, by number of hosts. Every block grows or shrinks in place, by as many bits as the first, or none does:
    /// a block grows if the space next to it is free, and one that shrinks keeps its lower end.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub hosts: Option<u64>,
    /// Another size, by prefix length: that of the first block, unless its member has a `size_offset`, which is added to it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub prefix_length: Option<u8>,
    /// All labels; those that are not listed are removed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub labels: Option<Labels>,
    /// Free text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub description: Option<String>,
    /// Whether deletion is refused.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub deletion_protection: Option<bool>,
    /// Return what it would become, without writing anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// The space that a user requested and owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Allocation {
    /// Stable id.
    pub id: AllocationId,
    /// The integer id of the original API; stable too.
    pub number: i64,
    /// Name of the VPC.
    pub vpc: Name,
    /// Id of the VPC.
    pub vpc_id: VpcId,
    /// Name within the VPC.
    pub name: Option<Name>,
    /// Name of the VPC's VRF.
    pub vrf: String,
    /// The profile that it was created from; null if it was requested from pools.
    pub profile: Option<Name>,
    /// The requested pools, in the order of preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_pools: Option<Vec<String>>,
    /// The labels that the pool was selected by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_pool_selector: Option<Labels>,
    /// Networks that its blocks must not overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_cidrs: Vec<Cidr>,
    /// The first block, whose size was requested.
    pub cidr: Cidr,
    /// Prefix length of the first block, less the `size_offset` of its member.
    pub prefix_length: u8,
    /// Number of hosts, if the size was requested that way.
    pub requested_hosts: Option<u64>,
    /// Prefix length, if the size was requested that way.
    pub requested_prefix_length: Option<u8>,
    /// CIDR, if it was requested.
    pub requested_cidr: Option<Cidr>,
    /// One block per member of the profile, in the profile's order; one with the role `main` if it was requested from
    /// pools.
    pub blocks: Vec<Block>,
    /// Key-value pairs.
    pub labels: Labels,
    /// Free text.
    pub description: String,
    /// Whether deletion is refused.
    pub deletion_protection: bool,
    /// Counts the changes; the ETag.
    pub revision: i64,
    /// Who requested it.
    pub created_by: String,
    /// For whom it was created: the `Ipam-Owner` of its creation; null if there was none.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// Whether an owner has shown its claim; from then on nobody can adopt it by asking for the same.
    #[serde(default)]
    pub confirmed: bool,
    /// A public digest of its claim, by which the holder of the claim can tell that it is still valid: the version 5 UUID
    /// of `ipam claim` in the namespace given by the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_digest: Option<Uuid>,
    /// When it was allocated.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Proof of ownership, only in the reply to a creation. Send it in the header `Ipam-Claim` when reading by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on nobody can adopt it by asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

owned!(Allocation: |allocation| match &allocation.name {
    Some(name) => format!("allocation \"{}/{name}\"", allocation.vpc),
    None => format!("allocation {} of VPC \"{}\"", allocation.cidr, allocation.vpc),
}, match &allocation.name {
    Some(name) => format!("{}/{name}", allocation.vpc),
    None => allocation.id.to_string(),
});

impl Allocation {
    /// The block with that role.
    pub fn block(&self, role: &str) -> Option<&Block> {
        self.blocks.iter().find(|block| block.role == role)
    }
}

/// One CIDR of an allocation in one pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Block {
    /// The member of the profile that it was cut for, such as `primary`.
    pub role: String,
    /// The network.
    pub cidr: Cidr,
    /// Name of the pool that it was cut from.
    pub pool: String,
    /// Name of the VRF in which it is unique.
    pub vrf: String,
    /// Addresses left for hosts, without the pool's reserved ones.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub usable: u128,
}

/// Filters of a list: `GET /api/v1/allocations`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct AllocationFilter {
    /// Only of the VPC with this id or name; 404 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    /// Only with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only the one with this number, the integer id of the original API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Only with a block in the pool with this id, or of this name in any VRF; 404 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Only with this label: `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Only with a block that contains this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub contains: Option<IpAddr>,
    /// Only with a block inside this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Cidr>,
    /// Only what was created for this owner; empty for what was created for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only what an owner has confirmed, or only what none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the previous page. Items are in the order of their ids, so any id works, even one that is not
    /// in the list: the page begins after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
