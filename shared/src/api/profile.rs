//! Profiles: recipes that say which pools give a block each, and how the sizes relate.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::ownership::{Owner, by_name, owned},
    ids::{Claim, ProfileId},
    name::Name,
};

/// The built-in profile: a node range from pool `primary`, and a pod range 5 bits larger from pool `cgnat`.
pub const DEFAULT_PROFILE: &str = "node-pod";
/// Role of the node range in the built-in profile.
pub const PRIMARY: &str = "primary";
/// Role of the pod range in the built-in profile.
pub const CGNAT: &str = "cgnat";
/// Size of the pod range relative to the node range: 5 bits shorter, so that each node has 32 pod addresses.
pub const CGNAT_OFFSET: i8 = -5;
/// Shortest prefix (largest block) of the built-in profile.
pub const MIN_PREFIX_LENGTH: u8 = 20;
/// Longest prefix (smallest block) of the built-in profile.
pub const MAX_PREFIX_LENGTH: u8 = 26;
/// Maximum number of members of one profile.
pub const MAX_MEMBERS: usize = 32;

/// One block of the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What the block is for, unique in the profile: a lower-case letter, then at most 62 of a-z, 0-9, `_` and `-`.
    pub role: String,
    /// Name of the pool that it is cut from: that of the VPC's VRF, or else that of `default`.
    pub pool: Name,
    /// Bits added to the requested prefix length: -5 makes a block 32 times as large. The requested size is that
    /// of the first member; its own offset counts too.
    #[serde(default, deserialize_with = "super::or_default")]
    pub size_offset: i8,
    /// Shortest prefix length, that is the largest block. If it equals `max_prefix_length`, the block always has that
    /// length, whatever was requested and whatever the offset.
    #[serde(default, deserialize_with = "super::or_default")]
    pub min_prefix_length: u8,
    /// Longest prefix length, that is the smallest block; 128 if not given. The pool's own bounds apply too.
    #[serde(default = "longest", deserialize_with = "or_longest")]
    pub max_prefix_length: u8,
}

fn longest() -> u8 {
    128
}

fn or_longest<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    super::or_else(deserializer, longest)
}

/// A new recipe: `POST /api/v1/profiles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewProfile {
    /// Unique.
    pub name: Name,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "super::or_default")]
    pub description: String,
    /// 1 to 32 members, in the order of the blocks; the size of a request is that of the first.
    pub members: Vec<Member>,
}

/// A change: `PATCH /api/v1/profiles/{id}`. What is missing stays as it is. Existing allocations stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProfilePatch {
    /// A new name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub name: Option<Name>,
    /// Free text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub description: Option<String>,
    /// All members, for later allocations.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub members: Option<Vec<Member>>,
}

/// A recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Profile {
    /// Stable id.
    pub id: ProfileId,
    /// Unique.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// In the order of the blocks.
    pub members: Vec<Member>,
    /// How many existing allocations were created from it.
    pub allocations: i64,
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
    /// Proof of ownership, only in the reply to a creation. Send it in the header `Ipam-Claim` when reading by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on nobody can adopt it by asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

owned!(Profile: |profile| format!("profile \"{}\"", profile.name), by_name(profile.name.as_str(), profile.id.0));

/// Filters of a list: `GET /api/v1/profiles`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ProfileFilter {
    /// Only with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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
