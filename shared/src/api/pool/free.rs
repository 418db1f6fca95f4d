//! Whether a pool has room for a block, and what would make room.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{api::lookup::Holder, cidr::Cidr, ids::PoolId};

/// What to ask of a pool: `GET /api/v1/pools/{id}/free`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct FreeQuery {
    /// Prefix length of the wanted block; the pool's default if not given, or else its longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<u8>,
}

/// Whether a pool has room for a block of some size, and what to do if it does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolFree {
    /// Name of the pool.
    pub pool: String,
    /// Its id.
    pub pool_id: PoolId,
    /// Name of its VRF.
    pub vrf: String,
    /// The networks that it consists of, in address order.
    pub ranges: Vec<Cidr>,
    /// Prefix length of the wanted block.
    pub prefix_length: u8,
    /// How many blocks of that size fit into the free space as it is.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub fits: u128,
    /// Prefix length of the largest free block; null when it is full.
    pub largest_free_prefix_length: Option<u8>,
    /// Free addresses.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub free_addresses: u128,
    /// Addresses that were released recently and are not free yet.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub cooling_addresses: u128,
    /// How many blocks of that size would fit if the free addresses were contiguous.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub fits_if_defragmented: u128,
    /// The block that would be handed out next; null if none fits.
    pub next: Option<Cidr>,
    /// The smallest change that would make one fit; null if one fits.
    pub fix: Option<Fix>,
    /// What to do, for people.
    pub advice: String,
}

/// The smallest change that would make a block fit into a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fix {
    /// The network of that size with the fewest used addresses: free once `blocks` are gone. Null if no range
    /// of the pool is large enough.
    pub region: Option<Cidr>,
    /// Addresses of the region that are used. Of a pool with very many free blocks only the largest are looked at, and
    /// then there may be fewer.
    #[serde(deserialize_with = "crate::api::addresses")]
    pub used_addresses: u128,
    /// The first 10 things in the region.
    pub blocks: Vec<Holder>,
    /// How many there are; no more than 20,000 are counted, 2,000 in a refusal.
    pub blocks_total: u64,
    /// When the region becomes free without action, if everything in it is cooling down.
    #[serde(with = "time::serde::rfc3339::option")]
    pub free_at: Option<OffsetDateTime>,
    /// Prefix length of the range that has to be added, if no range is large enough.
    pub add_range_prefix_length: Option<u8>,
}
