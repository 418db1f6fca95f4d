//! The data source `ipam_vpcs`.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::vpc::{Vpc as Found, VpcFilter},
    labels::Labels,
};
use tfplugin::{Attribute, Result, Value, async_trait};

use super::listed::{Listing, by};
use crate::noun::{attribute_spec::AttributeSpec, looked_up, vpc::Vpc};

/// All VPCs.
pub(crate) struct Vpcs;

#[async_trait]
impl Listing for Vpcs {
    const TYPE: &'static str = "ipam_vpcs";
    const PLURAL: &'static str = "vpcs";
    const WORDS: &'static str = "VPCs";
    const WITH: &'static str = ", with how many allocations they have";
    const OWN_FILTERS: &'static [&'static str] = &["vrf"];

    type Filter = VpcFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![
            by("name", "Only the one of this name, without regard to case."),
            by("vrf", "Only those in the VRF of this name."),
        ]
    }

    fn lets_through(found: &Found, config: &Value) -> bool {
        config
            .get("vrf")
            .as_str()
            .is_none_or(|vrf| vrf == found.vrf.as_str())
    }

    async fn all(client: &Client, filter: &VpcFilter) -> std::result::Result<Vec<Found>, Error> {
        client.all_vpcs(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Vpc>()
    }

    fn values(found: &Found) -> Result<Value> {
        looked_up::values::<Vpc>(found)
    }
}
