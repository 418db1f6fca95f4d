//! VRFs: isolated address spaces.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::ownership::{Owner, by_name, owned},
    ids::{Claim, VrfId},
    labels::Labels,
    name::Name,
};

/// A new address space: `POST /api/v1/vrfs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewVrf {
    /// Unique.
    pub name: Name,
    /// Key-value pairs.
    #[serde(default, deserialize_with = "super::or_default")]
    pub labels: Labels,
    /// Free text, at most 1,000 characters.
    #[serde(default, deserialize_with = "super::or_default")]
    pub description: String,
}

/// A change: `PATCH /api/v1/vrfs/{id}`. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VrfPatch {
    /// A new name; `default` can't be renamed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub name: Option<Name>,
    /// All labels; those that are not listed are removed.
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

/// An isolated address space: the same CIDR may exist once in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Vrf {
    /// Stable id.
    pub id: VrfId,
    /// Unique.
    pub name: Name,
    /// Key-value pairs.
    pub labels: Labels,
    /// Free text.
    pub description: String,
    /// How many pools it has.
    pub pools: i64,
    /// How many VPCs are in it.
    pub vpcs: i64,
    /// How many reservations it has.
    pub reservations: i64,
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

owned!(Vrf: |vrf| format!("VRF \"{}\"", vrf.name), by_name(vrf.name.as_str(), vrf.id.0));

/// Filters of a list: `GET /api/v1/vrfs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct VrfFilter {
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
