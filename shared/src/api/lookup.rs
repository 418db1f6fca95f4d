//! Who holds an address or a network, now and at any earlier time.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    cidr::{Cidr, CidrError},
    ids::{AllocationId, PoolId, ReservationId},
};

/// Maximum number of holders in one lookup.
pub const MAX_HOLDERS: u16 = 1000;

/// What to look up: `GET /api/v1/lookup`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct LookupQuery {
    /// An address. Give this or `cidr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub ip: Option<IpAddr>,
    /// A network: whoever has a part of it holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// Only in the VRF with this id or name, 404 if there is none; in all of them if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// The time to ask about (RFC 3339); now if not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::moment::option"
    )]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>, format = DateTime))]
    pub at: Option<OffsetDateTime>,
}

/// Who holds an address or a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lookup {
    /// The network that was asked about; an address counts as a network of one address.
    pub cidr: Cidr,
    /// The time that the answer refers to.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who held a part of it at that time, in address order, containing networks first; at most 1,000 of them.
    pub holders: Vec<Holder>,
    /// Whether there are more holders than these.
    pub more: bool,
    /// The ranges of pools, as they are now, that it lies in, the deepest last.
    pub pools: Vec<PoolRange>,
    /// Whether it lies in one of these ranges and nobody held any of it. In the range of a child pool: whether nobody held any
    /// of it there. Since when a range is there is not kept: of an earlier time, this is true even if its pool was not there yet.
    pub free: bool,
}

/// A network of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolRange {
    /// Name of the pool.
    pub pool: String,
    /// Its id.
    pub pool_id: PoolId,
    /// Name of its VRF.
    pub vrf: String,
    /// The network.
    pub cidr: Cidr,
}

/// What keeps a network from being handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// An allocation owns it.
    Allocation,
    /// It is taken out of circulation by hand.
    Reservation,
    /// It was released recently: `allocation_id`, `vpc` and `name` are those of its last holder, `until` is when it is
    /// free.
    Cooldown,
    /// It is a range of another pool, named in `name`.
    ChildPool,
    /// It is out of circulation for the given reason.
    Other,
}

impl HolderKind {
    /// As written in a body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allocation => "allocation",
            Self::Reservation => "reservation",
            Self::Cooldown => "cooldown",
            Self::ChildPool => "child_pool",
            Self::Other => "other",
        }
    }
}

/// Who has or had a network, from when to when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Holder {
    /// What it is.
    pub kind: HolderKind,
    /// The whole network, including what lies outside of what was asked about.
    pub cidr: Cidr,
    /// Name of the VRF.
    pub vrf: String,
    /// Name of the pool that it is cut from; null for a reservation outside of all pools.
    pub pool: Option<String>,
    /// What the block is for, if it is of an allocation.
    pub role: Option<String>,
    /// The allocation.
    pub allocation_id: Option<AllocationId>,
    /// The reservation.
    pub reservation_id: Option<ReservationId>,
    /// Name of the allocation's VPC.
    pub vpc: Option<String>,
    /// Name of the allocation, or of the child pool.
    pub name: Option<String>,
    /// Why it is out of circulation, if no allocation has it.
    pub reason: Option<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Until when; null for what is held until it is given up.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

impl Holder {
    /// The holder, for people: `team-x/web`, or a substitute.
    pub fn owner(&self) -> String {
        let vpc = self.vpc.as_deref().unwrap_or_default();
        match (self.kind, &self.name, &self.reason) {
            (HolderKind::Allocation | HolderKind::Cooldown, Some(name), _) => {
                format!("{vpc}/{name}")
            }
            (HolderKind::Allocation | HolderKind::Cooldown, None, _) => vpc.to_owned(),
            (HolderKind::ChildPool, Some(name), _) => format!("pool \"{name}\""),
            (HolderKind::ChildPool, None, _) => "a child pool".to_owned(),
            (_, _, Some(reason)) => reason.clone(),
            (_, _, None) => String::new(),
        }
    }
}

/// What to list: `GET /api/v1/history`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// An address. Give this or `cidr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<String>))]
    pub ip: Option<IpAddr>,
    /// A network: whoever had a part of it held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// Only in the VRF with this id or name, 404 if there is none; in all of them if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,
    /// Items on a page, 1 to 1,000; 100 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// The `next_cursor` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The network that a query is about: an address counts as a network of one address.
pub fn target(ip: Option<IpAddr>, cidr: Option<Cidr>) -> Result<Cidr, TargetError> {
    match (ip, cidr) {
        (Some(IpAddr::V6(ip)), None) if ip.to_ipv4_mapped().is_some() => {
            Err(CidrError::Mapped(ip.to_string()).into())
        }
        (Some(ip), None) => Ok(Cidr::new(ip, if ip.is_ipv4() { 32 } else { 128 })?),
        (None, Some(cidr)) => Ok(cidr),
        _ => Err(TargetError::One),
    }
}

/// Why a query is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither or both of the two.
    #[error("give ip, such as 10.0.0.1, or cidr, such as 10.0.0.0/24")]
    One,
    /// It is not a valid network.
    #[error(transparent)]
    Cidr(#[from] CidrError),
}
