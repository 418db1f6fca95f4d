//! Pools: named ranges from which blocks are cut.

mod free;
mod picture;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use free::{Fix, FreeQuery, PoolFree};
pub use picture::{MAX_HIGHLIGHTS, PictureQuery, Theme, View};

use crate::{
    api::{
        or_else,
        ownership::{Owner, owned},
    },
    cidr::{Cidr, Family, RESERVED_ADDRESSES},
    ids::{Claim, PoolId},
    labels::Labels,
    name::Name,
};

/// Longest cooldown: a year, in seconds.
pub const MAX_RELEASE_COOLDOWN_SECONDS: u32 = 31_536_000;
/// Maximum number of ranges of one pool.
pub const MAX_RANGES: usize = 1000;

/// Labels that an allocation must have to get space: key to allowed values; no values means that any will do.
pub type RequiredLabels = BTreeMap<String, Vec<String>>;

/// A new pool: `POST /api/v1/pools`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPool {
    /// Unique within the VRF.
    pub name: Name,
    /// Name of the VRF; `default` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<Name>,
    /// IPv4 or IPv6; may be left out if a range or the parent tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Id or name of the pool of the same VRF that its ranges are cut from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The networks that it consists of; with a parent they must be free there. IPv6 ranges are /32 or longer.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub ranges: Vec<Cidr>,
    /// Further ranges by prefix length, wherever the parent has room. Only with a parent.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::api::or_default"
    )]
    pub range_prefix_lengths: Vec<u8>,
    /// Shortest prefix length, that is the largest block, that it hands out.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub min_prefix_length: u8,
    /// Longest prefix length, that is the smallest block, that it hands out; 32 or 128 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefix_length: Option<u8>,
    /// Prefix length for requests from pools that give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_prefix_length: Option<u8>,
    /// Addresses of a block that are not for hosts; 5 if not given.
    #[serde(
        default = "reserved_addresses",
        deserialize_with = "or_reserved_addresses"
    )]
    pub reserved_addresses: u32,
    /// How a free block is chosen.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub strategy: Strategy,
    /// Seconds for which released blocks stay out of circulation, at most a year. Meanwhile the same name in the same VPC
    /// gets them back.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub release_cooldown_seconds: u32,
    /// Key-value pairs, for people and for requests that select pools by label.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub labels: Labels,
    /// Labels that an allocation must have to get space here: key to allowed values; no values means that any will do.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "crate::api::or_default"
    )]
    pub required_labels: RequiredLabels,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "crate::api::or_default")]
    pub description: String,
}

fn reserved_addresses() -> u32 {
    RESERVED_ADDRESSES
}

fn or_reserved_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    or_else(deserializer, reserved_addresses)
}

/// A change: `PATCH /api/v1/pools/{id}`. What is missing stays as it is. Blocks that exist stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolPatch {
    /// A new name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub name: Option<Name>,
    /// All ranges: new ones are added, and those that are not listed are removed if nothing is in them.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub ranges: Option<Vec<Cidr>>,
    /// Further ranges by prefix length, cut from the parent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_range_prefix_lengths: Vec<u8>,
    /// Shortest prefix, that is the largest block.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub min_prefix_length: Option<u8>,
    /// Longest prefix, that is the smallest block.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub max_prefix_length: Option<u8>,
    /// Prefix length for requests from pools that give none; null for none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>))]
    pub default_prefix_length: Option<Option<u8>>,
    /// Addresses of a block that are not for hosts.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub reserved_addresses: Option<u32>,
    /// How a free block is chosen.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub strategy: Option<Strategy>,
    /// Seconds for which released blocks stay out of circulation. Blocks that are cooling down already keep their time.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub release_cooldown_seconds: Option<u32>,
    /// All labels; those that are not listed are removed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub labels: Option<Labels>,
    /// All required labels.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub required_labels: Option<RequiredLabels>,
    /// Free text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::api::given"
    )]
    pub description: Option<String>,
}

/// A field that is present, even as null.
fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Named ranges of one address family in one VRF, with what is left of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Pool {
    /// Stable id.
    pub id: PoolId,
    /// Unique within the VRF.
    pub name: String,
    /// Name of the VRF.
    pub vrf: String,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Name of the pool that its ranges are cut from.
    pub parent: Option<String>,
    /// Id of that pool.
    pub parent_id: Option<PoolId>,
    /// The networks that it consists of, in address order.
    pub ranges: Vec<Cidr>,
    /// Shortest prefix length, that is the largest block, that it hands out.
    pub min_prefix_length: u8,
    /// Longest prefix length, that is the smallest block, that it hands out.
    pub max_prefix_length: u8,
    /// Prefix length for requests that give none.
    pub default_prefix_length: Option<u8>,
    /// Addresses of a block that are not for hosts.
    pub reserved_addresses: u32,
    /// How a free block is chosen.
    pub strategy: Strategy,
    /// Seconds for which released blocks stay out of circulation.
    pub release_cooldown_seconds: u32,
    /// Key-value pairs.
    pub labels: Labels,
    /// Labels that an allocation must have to get space here.
    pub required_labels: RequiredLabels,
    /// Free text.
    pub description: String,
    /// Who created it; null if that is not known.
    #[serde(default)]
    pub created_by: Option<String>,
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
    /// Counts the changes; the ETag.
    pub revision: i64,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Addresses in all ranges.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub total_addresses: u128,
    /// Addresses in blocks, reservations, child pools, and blocks that are cooling down.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub used_addresses: u128,
    /// Fraction of the total that is used, from 0 to 1.
    pub utilisation: f64,
    /// Prefix length of the largest free block; null when it is full.
    pub largest_free_prefix_length: Option<u8>,
    /// Free blocks by size, largest first.
    pub free: Vec<FreeBlocks>,
    /// Proof of ownership, only in the reply to a creation. Send it in the header `Ipam-Claim` when reading by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on nobody can adopt it by asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

owned!(Pool: |pool| format!("pool \"{}\" of VRF \"{}\"", pool.name, pool.vrf), format!("{}/{}", pool.vrf, pool.name));

impl Pool {
    /// How many blocks of that prefix length could be cut from the free space as it is.
    pub fn fits(&self, prefix_length: u8) -> u128 {
        self.free
            .iter()
            .filter(|free| free.prefix_length <= prefix_length)
            .map(|free| {
                u128::from(free.count).saturating_mul(
                    1_u128
                        .checked_shl((prefix_length - free.prefix_length).into())
                        .unwrap_or(u128::MAX),
                )
            })
            .fold(0, u128::saturating_add)
    }
}

/// How many free blocks of one size there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FreeBlocks {
    /// Prefix length of the blocks.
    pub prefix_length: u8,
    /// How many there are.
    pub count: u64,
}

/// How a free block is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The smallest free block that is large enough, and of those the one with the lowest address. Keeps large blocks
    /// whole.
    #[default]
    BestFit,
    /// The lowest address. Keeps the pool's upper end free.
    FirstFit,
    /// The highest address.
    LastFit,
    /// The middle of the largest free block, of those the lowest one: keeps neighbouring space free, so that allocations
    /// can grow.
    Sparse,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 4] = [Self::BestFit, Self::FirstFit, Self::LastFit, Self::Sparse];

    /// As written in a body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestFit => "best_fit",
            Self::FirstFit => "first_fit",
            Self::LastFit => "last_fit",
            Self::Sparse => "sparse",
        }
    }
}

/// Filters of a list: `GET /api/v1/pools`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct PoolFilter {
    /// Only with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only of the VRF with this id or name; 404 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// Only with this label: `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Only children of the pool with this id, or of this name in any VRF; 404 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Only what was created for this owner; empty for what was created for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Only what an owner has confirmed, or only what none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
