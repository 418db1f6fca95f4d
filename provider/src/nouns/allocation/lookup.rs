//! Finding allocations by name, id or block.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::allocation::{Allocation, AllocationFilter},
    cidr::Cidr,
    error::Code,
    ids::AllocationId,
    name::Name,
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

/// Finds what an import names: an id, a VPC and a name, or one of the blocks.
pub(crate) async fn named(client: &Client, text: &str) -> Result<Vec<Allocation>, Error> {
    if let Ok(id) = text.parse::<AllocationId>() {
        return match client.get_allocation(id, None).await {
            Err(error) if error.code() == Some(Code::NotFound) => Ok(Vec::new()),
            found => Ok(vec![found?]),
        };
    }
    if let Ok(cidr) = text.parse::<Cidr>() {
        let mut found = containing(client, cidr).await?;
        found.retain(|found| found.blocks.iter().any(|block| block.cidr == cidr));
        return Ok(found);
    }
    match text
        .split_once('/')
        .map(|(vpc, name)| (vpc.parse::<Name>(), name.parse::<Name>()))
    {
        Some((Ok(vpc), Ok(name))) => Ok(client
            .find_allocation(&vpc, &name)
            .await?
            .into_iter()
            .collect()),
        _ => Ok(Vec::new()),
    }
}

/// What to import them by, for a message that asks to choose one of them: `vpc/name`, or the id of one without a name.
pub(crate) fn forms(found: &[Allocation]) -> String {
    let form = |found: &Allocation| match &found.name {
        Some(name) => format!("{}/{name} (in {})", found.vpc, found.vrf),
        None => format!("{} (of {} in {})", found.id, found.vpc, found.vrf),
    };
    found.iter().map(form).collect::<Vec<_>>().join(", ")
}
