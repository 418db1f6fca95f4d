//! The data source `ipam_profiles`.

use ipam_client::{Client, Error};
use ipam_shared::api::profile::{Profile as Found, ProfileFilter};
use tfplugin::{Attribute, Result, Value, async_trait};

use super::listed::{Listing, by};
use crate::noun::{attribute_spec::AttributeSpec, looked_up, profile::Profile};

/// All profiles.
pub(crate) struct Profiles;

#[async_trait]
impl Listing for Profiles {
    const TYPE: &'static str = "ipam_profiles";
    const PLURAL: &'static str = "profiles";
    const WITH: &'static str = ", with how many allocations were made from them";
    const HAS_LABELS: bool = false;

    type Filter = ProfileFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![by("name", "Only the one of this name.")]
    }

    async fn all(
        client: &Client,
        filter: &ProfileFilter,
    ) -> std::result::Result<Vec<Found>, Error> {
        client.all_profiles(filter).await
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Profile>()
    }

    fn values(found: &Found) -> Result<Value> {
        looked_up::values::<Profile>(found)
    }
}
