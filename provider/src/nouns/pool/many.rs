//! The data source `ipam_pools`.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::pool::{Pool as Found, PoolFilter},
    labels::Labels,
};
use tfplugin::{Attribute, Result, Value, async_trait};

use super::Pool;
use crate::framework::{
    attribute_spec::AttributeSpec,
    listed::{LABEL, Listing, by},
    looked_up,
};

/// All pools.
pub(crate) struct Pools;

#[async_trait]
impl Listing for Pools {
    const TYPE: &'static str = "ipam_pools";
    const PLURAL: &'static str = "pools";
    const WITH: &'static str = ", with what is left of them";
    const SERVER_KNOWS_LABELS: bool = true;

    type Filter = PoolFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        let label = Attribute::string().optional().deprecated("Use `labels`.");
        vec![
            by("name", "Only those of this name: at most one in each VRF."),
            by("vrf", "Only those in the VRF of this name or id."),
            by(
                "parent",
                "Only those that are cut from the pool of this name or id.",
            ),
            AttributeSpec::new(
                LABEL,
                label,
                "Only those with this label, `key=value`, such as `environment=prod`.",
                "",
            ),
        ]
    }

    async fn all(client: &Client, filter: &PoolFilter) -> std::result::Result<Vec<Found>, Error> {
        client.all_pools(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Pool>()
    }

    fn values(found: &Found) -> Result<Value> {
        looked_up::values::<Pool>(found)
    }
}
