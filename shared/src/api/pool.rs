//! Pools: named ranges from which blocks are cut.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    cidr::{Cidr, Family},
    ids::PoolId,
    labels::Labels,
};

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
    /// The networks that it consists of, in address order.
    pub ranges: Vec<Cidr>,
    /// Shortest prefix, that is the largest block, that it gives.
    pub min_prefix_length: u8,
    /// Longest prefix, that is the smallest block, that it gives.
    pub max_prefix_length: u8,
    /// Prefix length when a request does not say.
    pub default_prefix_length: Option<u8>,
    /// Addresses of a block that are not for hosts.
    pub reserved_addresses: u32,
    /// How a free block is chosen.
    pub strategy: Strategy,
    /// Key-value pairs.
    pub labels: Labels,
    /// Free text.
    pub description: String,
    /// Addresses in all ranges.
    #[serde(deserialize_with = "addresses")]
    pub total_addresses: u128,
    /// Addresses in blocks and reservations.
    #[serde(deserialize_with = "addresses")]
    pub used_addresses: u128,
    /// Used part of the total, from 0 to 1.
    pub utilisation: f64,
    /// Prefix length of the largest free block; null when it is full.
    pub largest_free_prefix_length: Option<u8>,
    /// Free blocks by size, largest first.
    pub free: Vec<FreeBlocks>,
}

impl Pool {
    /// How many blocks of that prefix length could be cut from the free space as it lies.
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
    /// The smallest free block that holds it; of those the lowest address.
    #[default]
    BestFit,
}

/// Reads a number of addresses. JSON has no limit for numbers but most readers turn large ones into floating point, so
/// that a reply that went through one of them is still understood; of 2^64 and more only the leading digits count.
pub(crate) fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    match (number.as_u64(), number.as_f64()) {
        (Some(exact), _) => Ok(exact.into()),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates at both ends"
        )]
        (None, Some(rounded)) if rounded >= 0.0 => Ok(rounded as u128),
        _ => Err(serde::de::Error::custom("not a number of addresses")),
    }
}
