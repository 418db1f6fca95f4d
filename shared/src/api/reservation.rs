//! Reservations: networks taken out of circulation by hand, such as on-premises or legacy ranges.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::ownership::{Owner, owned},
    cidr::Cidr,
    ids::{Claim, ReservationId},
    labels::Labels,
    name::Name,
};

/// Longest reason, in characters.
pub const MAX_REASON: usize = 1000;

/// A network that must not be handed out: `POST /api/v1/reservations`. It may lie inside a range of a pool, contain whole
/// ranges, or lie outside of all; a range that is added later respects it. Repeating the same request returns the same
/// reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewReservation {
    /// The network. No part of it may be allocated or reserved.
    pub cidr: Cidr,
    /// Name of its VRF; `default` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<Name>,
    /// Why, 1 to 1,000 characters: shown to everybody whose request it blocks.
    pub reason: String,
    /// Key-value pairs.
    #[serde(default, deserialize_with = "super::or_default")]
    pub labels: Labels,
}

/// A change: `PATCH /api/v1/reservations/{id}`. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReservationPatch {
    /// Why.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub reason: Option<String>,
    /// All labels; those that are not listed are removed.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::given"
    )]
    pub labels: Option<Labels>,
}

/// A network taken out of circulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reservation {
    /// Stable id.
    pub id: ReservationId,
    /// The network.
    pub cidr: Cidr,
    /// Name of its VRF.
    pub vrf: Name,
    /// Why.
    pub reason: String,
    /// Key-value pairs.
    pub labels: Labels,
    /// Names of the pools that it takes space from; empty if it lies outside of all.
    pub pools: Vec<String>,
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
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Proof of ownership, only in the reply to a creation. Send it in the header `Ipam-Claim` when reading by id, or
    /// confirm it with `POST /api/v1/confirmations`; from then on nobody can adopt it by asking for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

owned!(Reservation: |reservation| format!("reservation {} of VRF \"{}\"", reservation.cidr, reservation.vrf),
    format!("{}/{}", reservation.vrf, reservation.cidr));

/// Filters of a list: `GET /api/v1/reservations`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ReservationFilter {
    /// Only in the VRF with this id or name; 404 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// Only those that take space from the pool with this id, or of this name in any VRF; 404 if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Only with this label: `key=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Only those that contain this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub contains: Option<IpAddr>,
    /// Only those inside this network.
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
