//! Finding allocations by what people know them by.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::allocation::{Allocation, AllocationFilter},
    cidr::Cidr,
};

/// The allocations with a block that contains the whole network: at most one in each VRF.
pub(crate) async fn containing(client: &Client, network: Cidr) -> Result<Vec<Allocation>, Error> {
    let filter = AllocationFilter {
        contains: Some(network.first()),
        ..AllocationFilter::default()
    };
    let mut found = client.all_allocations(&filter).await?;
    found.retain(|found| {
        found
            .blocks
            .iter()
            .any(|block| block.cidr.contains(network))
    });
    Ok(found)
}

/// Ids for a message that asks to choose one of them.
pub(crate) fn ids(found: &[Allocation]) -> String {
    let ids: Vec<String> = found.iter().map(|found| found.id.to_string()).collect();
    ids.join(", ")
}
