//! Allocations: allocate, update, release.

mod allocate;
mod release;
mod resize;
mod update;

use ipam_shared::{api::allocation::Allocation, ids::AllocationId};

pub use self::allocate::BatchOutcome;
pub(super) use self::release::release;
use super::Ipam;
pub use super::batch::Outcome;
use crate::{
    db::{allocation, event::Snapshot},
    error::{Error, Result},
};

impl Ipam {
    /// The id behind a number of the original API; an error if there is none now.
    pub async fn id_of_number(&self, number: i64) -> Result<AllocationId> {
        let mut connection = self.read().await?;
        let found = allocation::id_of_number(&mut connection, number).await?;
        found.ok_or_else(|| Error::not_found(format!("Allocation {number} not found")))
    }
}

/// What the audit log keeps of an allocation.
fn snapshot(allocation: &Allocation) -> Snapshot<'_> {
    Snapshot {
        vpc: allocation.vpc.as_str(),
        name: allocation.name.as_ref().map(|name| name.as_str()),
        cidrs: allocation.blocks.iter().map(|block| block.cidr).collect(),
        vrfs: allocation
            .blocks
            .iter()
            .map(|block| block.vrf.as_str())
            .collect(),
        labels: Some(&allocation.labels).filter(|labels| !labels.is_empty()),
        description: &allocation.description,
    }
}

pub(super) fn describe(allocation: &Allocation) -> String {
    match &allocation.name {
        Some(name) => format!(
            "allocation \"{}/{name}\" ({})",
            allocation.vpc, allocation.cidr
        ),
        None => format!(
            "the allocation {} of VPC \"{}\"",
            allocation.cidr, allocation.vpc
        ),
    }
}
