//! What is in the way of an explicit CIDR, and whose it is.

use ipam_shared::cidr::Cidr;
use serde::Serialize;
use time::OffsetDateTime;

use crate::text::moment;

/// What conflicts with an explicit CIDR.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conflict {
    /// The block, or the reservation, that overlaps.
    pub cidr: Cidr,
    /// Its pool; none for a reservation outside of all pools.
    pub pool: Option<String>,
    /// The VPC that owns it, or owned it until it was released recently.
    pub vpc: Option<String>,
    /// The allocation's name.
    pub name: Option<String>,
    /// The allocation's id.
    pub allocation_id: Option<String>,
    /// The reservation's id.
    pub reservation_id: Option<String>,
    /// Why it is out of circulation, if no allocation owns it: the reason of the reservation, or a built-in word.
    pub reason: Option<String>,
    /// The pool that has it as a range of its own.
    pub child_pool: Option<String>,
    /// Until when it cools down after its release.
    #[serde(with = "time::serde::rfc3339::option")]
    pub free_at: Option<OffsetDateTime>,
}

impl Conflict {
    /// A network of which nothing else is said.
    pub fn of(cidr: Cidr) -> Self {
        Self {
            cidr,
            pool: None,
            vpc: None,
            name: None,
            allocation_id: None,
            reservation_id: None,
            reason: None,
            child_pool: None,
            free_at: None,
        }
    }

    /// Whose it is, to be put after its CIDR.
    pub fn whose(&self) -> String {
        let allocation = match (&self.vpc, &self.name) {
            (Some(vpc), Some(name)) => Some(format!("allocation \"{vpc}/{name}\"")),
            (Some(vpc), None) => Some(format!("an allocation of VPC \"{vpc}\"")),
            (None, _) => None,
        };
        match (&self.child_pool, self.free_at, allocation, &self.reason) {
            (Some(pool), ..) => format!("is a range of pool \"{pool}\""),
            (_, Some(free_at), allocation, _) => {
                format!(
                    "belonged to {} and cools down until {}",
                    allocation.as_deref().unwrap_or("an allocation"),
                    moment(free_at)
                )
            }
            (_, _, Some(allocation), _) => format!("belongs to {allocation}"),
            (.., Some(reason)) if self.reservation_id.is_some() => format!("is reserved: {reason}"),
            (.., Some(reason)) => format!("is out of circulation: {reason}"),
            _ => "belongs to something else".to_owned(),
        }
    }
}
