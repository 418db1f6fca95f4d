//! The data source `ipam_allocations`.

use std::net::IpAddr;

use ipam_client::{Client, Error};
use ipam_shared::{
    api::allocation::{Allocation as Found, AllocationFilter},
    cidr::Cidr,
    labels::Labels,
};
use tfplugin::{Attribute, Result, Text, Value, async_trait};

use super::data_source;
use crate::framework::{
    attribute_spec::AttributeSpec,
    listed::{Listing, by, by_a},
};

/// All allocations.
pub(crate) struct Allocations;

#[async_trait]
impl Listing for Allocations {
    const TYPE: &'static str = "ipam_allocations";
    const PLURAL: &'static str = "allocations";
    const SERVER_KNOWS_LABELS: bool = true;
    const OWN_FILTERS: &'static [&'static str] = &["vrf", "profile"];

    type Filter = AllocationFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![
            by("vpc", "Only those of the VPC of this name or id."),
            by("name", "Only those of this name: at most one in each VPC."),
            by("vrf", "Only those of VPCs in the VRF of this name."),
            by(
                "profile",
                "Only those that were created from the profile of this name.",
            ),
            by(
                "pool",
                "Only those with a block in the pool of this name, in any VRF, or id.",
            ),
            by_a::<Text<IpAddr>>(
                "contains",
                "Only those with a block that contains this address.",
            ),
            by_a::<Text<Cidr>>("within", "Only those with a block inside this network."),
        ]
    }

    fn lets_through(found: &Found, config: &Value) -> bool {
        let is = |name: &str, value: Option<&str>| {
            config
                .get(name)
                .as_str()
                .is_none_or(|wanted| Some(wanted) == value)
        };
        is("vrf", Some(&found.vrf))
            && is("profile", found.profile.as_ref().map(|name| name.as_str()))
    }

    async fn all(
        client: &Client,
        filter: &AllocationFilter,
    ) -> std::result::Result<Vec<Found>, Error> {
        client.all_allocations(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        data_source::attributes()
    }

    fn values(found: &Found) -> Result<Value> {
        Ok(data_source::values(found))
    }
}
