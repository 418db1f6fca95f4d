//! The data source `ipam_vrfs`.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::vrf::{Vrf as Found, VrfFilter},
    labels::Labels,
};
use tfplugin::{Attribute, Result, Value, async_trait};

use super::listed::{Listing, by};
use crate::noun::{attribute_spec::AttributeSpec, looked_up, vrf::Vrf};

/// All VRFs.
pub(crate) struct Vrfs;

#[async_trait]
impl Listing for Vrfs {
    const TYPE: &'static str = "ipam_vrfs";
    const PLURAL: &'static str = "vrfs";
    const WORDS: &'static str = "VRFs";
    const WITH: &'static str = ", with how much is in them";

    type Filter = VrfFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![by("name", "Only the one of this name.")]
    }

    async fn all(client: &Client, filter: &VrfFilter) -> std::result::Result<Vec<Found>, Error> {
        client.all_vrfs(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Vrf>()
    }

    fn values(found: &Found) -> Result<Value> {
        looked_up::values::<Vrf>(found)
    }
}
