//! VPCs: who the space is for.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{ids::VpcId, labels::Labels, name::Name};

/// A VPC to be made ahead of its first allocation: `POST /api/v1/vpcs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewVpc {
    /// Unique without regard to case.
    pub name: Name,
    /// Name of its VRF; `default` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<Name>,
    /// Key-value pairs.
    #[serde(default, deserialize_with = "super::or_default")]
    pub labels: Labels,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "super::or_default")]
    pub description: String,
}

/// A change: `PATCH /api/v1/vpcs/{id}`. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VpcPatch {
    /// A new name.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub name: Option<Name>,
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
}

/// Who the space is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Vpc {
    /// Stable id.
    pub id: VpcId,
    /// Unique without regard to case.
    pub name: Name,
    /// Name of its VRF.
    pub vrf: String,
    /// Key-value pairs.
    pub labels: Labels,
    /// Free text.
    pub description: String,
    /// How many allocations it has.
    pub allocations: i64,
    /// Counts the changes; the ETag.
    pub revision: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// What a list can be narrowed to: `GET /api/v1/vpcs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct VpcFilter {
    /// Only with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What a deletion did: `DELETE /api/v1/vpcs/{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VpcDeleted {
    /// How many allocations were released with it.
    pub released_allocations: u64,
}
