//! VRFs.

use ipam_client::{Client, Created, Error};
use ipam_shared::{
    api::vrf::{NewVrf, Vrf as Found, VrfFilter, VrfPatch},
    ids::{Claim, VrfId},
    labels::Labels,
};
use tfplugin::{Attribute, Value, async_trait};

use crate::framework::{
    attribute_spec::{AttributeSpec, count, created_at, description, name},
    listed::{Listing, by},
    looked_up,
    noun::Noun,
};

/// An isolated address space.
pub(crate) struct Vrf;

#[async_trait]
impl Noun for Vrf {
    const TYPE: &'static str = "ipam_vrf";
    const WORD: &'static str = "VRF";
    const ABOUT: &'static str = "An isolated address space: the same network may exist once in each VRF, which is how \
        several environments use 100.64.0.0/10 at the same time. The VRF `default` always exists; pools that a VRF lacks \
        are taken from there.\n\nA VRF is destroyed only when nothing is in it any more: no pools, VPCs or reservations.";
    const IMPORT: &'static str = "by id, or by name such as dev";

    type Id = VrfId;
    type New = NewVrf;
    type Patch = VrfPatch;
    type Found = Found;

    fn specs() -> Vec<AttributeSpec> {
        vec![name("Unique name."), description()]
    }

    fn only_looked_up() -> Vec<AttributeSpec> {
        vec![
            count("pools", "How many pools it has."),
            count("vpcs", "How many VPCs are in it."),
            count("reservations", "How many reservations it has."),
            created_at(),
        ]
    }

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    async fn create(client: &Client, new: &NewVrf) -> Result<Created<Found>, Error> {
        client.create_vrf(new).await
    }

    async fn get(client: &Client, id: VrfId, claim: Option<Claim>) -> Result<Found, Error> {
        client.get_vrf(&id.to_string(), claim).await
    }

    async fn find(client: &Client, key: &str, _vrf: Option<&str>) -> Result<Vec<Found>, Error> {
        match key.parse() {
            Ok(name) => Ok(client.find_vrf(&name).await?.into_iter().collect()),
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn update(client: &Client, id: VrfId, patch: &VrfPatch) -> Result<Found, Error> {
        client.update_vrf(id, patch, None).await
    }

    async fn delete(client: &Client, id: VrfId) -> Result<(), Error> {
        client.delete_vrf(id, None).await
    }
}

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

    async fn all(client: &Client, filter: &VrfFilter) -> Result<Vec<Found>, Error> {
        client.all_vrfs(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Vrf>()
    }

    fn values(found: &Found) -> tfplugin::Result<Value> {
        looked_up::values::<Vrf>(found)
    }
}
