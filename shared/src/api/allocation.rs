//! Allocations: what a user asked for and owns.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::{ownership::Owner, profile::DEFAULT_PROFILE},
    cidr::Cidr,
    error::Problem,
    ids::{AllocationId, Claim, VpcId},
    labels::Labels,
    name::Name,
};

/// How much space is asked for. Exactly one of the three is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// The smallest block that holds that many hosts beside the reserved addresses.
    Hosts(u64),
    /// A block of that prefix length.
    PrefixLength(u8),
    /// Exactly this block for the first member of the profile.
    Cidr(Cidr),
    /// The pool's default prefix length. Only from pools.
    Default,
}

/// What the blocks are cut from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipe {
    /// One block per member of the profile with this name.
    Profile(Name),
    /// One block from the first of these pools, by name or id, that has room.
    Pools(Vec<String>),
    /// One block from the first pool with these labels that has room: those of the VPC's VRF before those of `default`,
    /// by name.
    Selector(Labels),
}

impl Default for Recipe {
    fn default() -> Self {
        Self::Profile(default_profile())
    }
}

/// Role of the block of an allocation from pools.
pub const MAIN: &str = "main";
/// Most pools in a request.
pub const MAX_POOLS: usize = 100;
/// Most CIDRs to keep away from in a request.
pub const MAX_EXCLUDE_CIDRS: usize = 100;
/// Most requests in a batch.
pub const MAX_BATCH: usize = 1000;

/// A request for space: `POST /api/v1/allocations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAllocation {
    /// Who the space is for. The VPC is created on first use; its name is compared without regard to case.
    pub vpc: Name,
    /// Unique within the VPC. With a name the request may be repeated: the same request answers the same allocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Name of the VPC's VRF, in which a VPC that does not exist yet is created; `default` if not given. A VPC that exists
    /// must be in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<Name>,
    /// The recipe: which pools give a block each, and how the sizes relate. `node-pod` if neither it nor `pools` nor
    /// `pool_selector` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Name>,
    /// Instead of a profile: one block, from the first of these pools that has room. Names are looked up in the VPC's VRF
    /// first, then in `default`; ids are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<String>>,
    /// Instead of a profile: one block, from the first pool that has all of these labels and room; those of the VPC's VRF
    /// before those of `default`, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_selector: Option<Labels>,
    /// Networks that no block may overlap, such as ranges in use elsewhere that this request has to reach.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::or_default"
    )]
    pub exclude_cidrs: Vec<Cidr>,
    /// Size by number of hosts of the first block. Exactly one of `hosts`, `prefix_length` and `cidr` is given; from pools
    /// none may be given, for the pool's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u64>,
    /// Size by prefix length of the first block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<u8>,
    /// The first block itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// Key-value pairs that say what it is for.
    #[serde(default, deserialize_with = "super::or_default")]
    pub labels: Labels,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "super::or_default")]
    pub description: String,
    /// Refuse the deletion until this is switched off.
    #[serde(default, deserialize_with = "super::or_default")]
    pub deletion_protection: bool,
    /// Answer what would be allocated, and write nothing.
    #[serde(default, deserialize_with = "super::or_default")]
    pub dry_run: bool,
}

fn default_profile() -> Name {
    // The constant is a valid name; a test below says so.
    #[expect(clippy::expect_used, reason = "a constant that a test checks")]
    DEFAULT_PROFILE.parse().expect("a valid name")
}

/// What a request for space says too much or too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// None or more than one of `hosts`, `prefix_length` and `cidr`.
    #[error("give exactly one of hosts, prefix_length and cidr")]
    Size,
    /// More than one of `profile`, `pools` and `pool_selector`.
    #[error("give at most one of profile, pools and pool_selector")]
    Recipe,
    /// An empty or very long list.
    #[error("pools takes 1 to {MAX_POOLS} names or ids")]
    Pools,
    /// No label at all would select every pool.
    #[error("pool_selector takes at least one label")]
    Selector,
    /// A very long list.
    #[error("exclude_cidrs takes at most {MAX_EXCLUDE_CIDRS} networks")]
    ExcludeCidrs,
}

impl NewAllocation {
    /// A request with nothing but the needful.
    pub fn new(vpc: Name, size: Size) -> Self {
        let (mut hosts, mut prefix_length, mut cidr) = (None, None, None);
        match size {
            Size::Hosts(count) => hosts = Some(count),
            Size::PrefixLength(length) => prefix_length = Some(length),
            Size::Cidr(block) => cidr = Some(block),
            Size::Default => {}
        }
        Self {
            vpc,
            name: None,
            vrf: None,
            profile: None,
            pools: None,
            pool_selector: None,
            exclude_cidrs: Vec::new(),
            hosts,
            prefix_length,
            cidr,
            labels: Labels::default(),
            description: String::new(),
            deletion_protection: false,
            dry_run: false,
        }
    }

    /// The size that was asked for.
    pub fn size(&self) -> Result<Size, AskError> {
        match (self.hosts, self.prefix_length, self.cidr) {
            (Some(hosts), None, None) => Ok(Size::Hosts(hosts)),
            (None, Some(length), None) => Ok(Size::PrefixLength(length)),
            (None, None, Some(cidr)) => Ok(Size::Cidr(cidr)),
            (None, None, None) if self.pools.is_some() || self.pool_selector.is_some() => {
                Ok(Size::Default)
            }
            _ => Err(AskError::Size),
        }
    }

    /// What the blocks are to be cut from.
    pub fn recipe(&self) -> Result<Recipe, AskError> {
        if self.exclude_cidrs.len() > MAX_EXCLUDE_CIDRS {
            return Err(AskError::ExcludeCidrs);
        }
        match (&self.profile, &self.pools, &self.pool_selector) {
            (None, None, None) => Ok(Recipe::default()),
            (Some(profile), None, None) => Ok(Recipe::Profile(profile.clone())),
            (None, Some(pools), None) if (1..=MAX_POOLS).contains(&pools.len()) => {
                Ok(Recipe::Pools(pools.clone()))
            }
            (None, Some(_), None) => Err(AskError::Pools),
            (None, None, Some(labels)) if labels.is_empty() => Err(AskError::Selector),
            (None, None, Some(labels)) => Ok(Recipe::Selector(labels.clone())),
            _ => Err(AskError::Recipe),
        }
    }
}

/// A change: `PATCH /api/v1/allocations/{id}`. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AllocationPatch {
    /// Move to another VPC, which is created if need be. The blocks stay the same.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub vpc: Option<Name>,
    /// A new name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub name: Option<Name>,
    /// Another size, by number of hosts. Every block grows or shrinks in place, by as many bits as the first, or none
    /// does: a block grows if the space beside it is free, and one that shrinks keeps its lower end.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub hosts: Option<u64>,
    /// Another size, by prefix length of the first block.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub prefix_length: Option<u8>,
    /// All labels; those that are not named are removed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub labels: Option<Labels>,
    /// Free text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub description: Option<String>,
    /// Whether deletion is refused.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub deletion_protection: Option<bool>,
    /// Answer what it would become, and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a user asked for and owns.
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
    /// The profile that it was made from; null if it was asked for from pools.
    pub profile: Option<Name>,
    /// The pools that were asked for, in the order of preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_pools: Option<Vec<String>>,
    /// The labels that the pool was selected by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_pool_selector: Option<Labels>,
    /// Networks that its blocks keep away from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_cidrs: Vec<Cidr>,
    /// First block, for which the size was asked.
    pub cidr: Cidr,
    /// Prefix length of the first block.
    pub prefix_length: u8,
    /// Number of hosts, if the size was asked that way.
    pub requested_hosts: Option<u64>,
    /// Prefix length, if the size was asked that way.
    pub requested_prefix_length: Option<u8>,
    /// CIDR, if it was asked for.
    pub requested_cidr: Option<Cidr>,
    /// One block per member of the profile, in the profile's order; one with the role `main` if it was asked for from
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
    /// Who asked.
    pub created_by: String,
    /// For whom it was made: the `Ipam-Owner` of its creation; null if that said nothing.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// Whether an owner has shown its claim; from then on it is given to nobody for asking for the same.
    #[serde(default)]
    pub confirmed: bool,
    /// What everybody may see of its claim: whoever holds the claim can tell that it is still the one, by the UUID of version 5
    /// of `ipam claim` in the name space that is the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_digest: Option<Uuid>,
    /// When it was allocated.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Proof of ownership, only in the reply to a creation. Echo it in the header `Ipam-Claim` when reading it by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on it is given to nobody for asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

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
    /// The member of the profile that it was made for, such as `primary`.
    pub role: String,
    /// The network.
    pub cidr: Cidr,
    /// Name of the pool that it was cut from.
    pub pool: String,
    /// Name of the VRF in which it is unique.
    pub vrf: String,
    /// Addresses left for hosts beside the pool's reserved ones.
    #[serde(deserialize_with = "crate::api::pool::addresses")]
    pub usable: u128,
}

/// Several requests at once: `POST /api/v1/allocations/batch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    /// 1 to 1,000 requests, each as for `POST /api/v1/allocations`.
    pub requests: Vec<NewAllocation>,
    /// All or nothing; if false, each for itself.
    #[serde(default = "yes", deserialize_with = "or_yes")]
    pub atomic: bool,
    /// Answer what would be allocated, and write nothing. Then no request may say otherwise.
    #[serde(default, deserialize_with = "super::or_default")]
    pub dry_run: bool,
}

fn yes() -> bool {
    true
}

fn or_yes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    super::or_else(deserializer, yes)
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Batch {
    /// How many requests got what they asked for.
    pub succeeded: usize,
    /// One per request, in their order.
    pub results: Vec<BatchResult>,
}

/// What became of one request of a batch: one of the two is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResult {
    /// The status that it would have had by itself.
    pub status: u16,
    /// What it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocation>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What a list can be narrowed to: `GET /api/v1/allocations`.
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
    /// Only what was made for this owner; empty for what was made for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only what an owner has confirmed, or only what none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the page before. Items are in the order of their ids, so any id will do, also one that is not
    /// in the list: the page begins after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_exactly_one_size() {
        let parse = |json: &str| serde_json::from_str::<NewAllocation>(json).map(|ask| ask.size());
        assert_eq!(
            parse(r#"{"vpc":"a","hosts":1}"#).unwrap(),
            Ok(Size::Hosts(1))
        );
        assert_eq!(parse(r#"{"vpc":"a"}"#).unwrap(), Err(AskError::Size));
        assert_eq!(
            parse(r#"{"vpc":"a","hosts":1,"prefix_length":24}"#).unwrap(),
            Err(AskError::Size)
        );
        assert!(parse(r#"{"vpc":"a","host":1}"#).is_err());
        assert_eq!(default_profile().as_str(), DEFAULT_PROFILE);
    }
}
