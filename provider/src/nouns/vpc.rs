//! VPCs.

use ipam_client::{Client, Created, Error};
use ipam_shared::name::fold;
use ipam_shared::{
    api::{
        ownership::Owned as _,
        vpc::{NewVpc, Vpc as Found, VpcFilter, VpcPatch},
    },
    ids::{Claim, VpcId},
    labels::Labels,
};
use tfplugin::{Attribute, Context, Plan, Value, async_trait};

use crate::{
    connection::Connection,
    framework::{
        attribute_spec::{AttributeSpec, count, created_at, description, name},
        listed::{Listing, by},
        looked_up,
        noun::Noun,
        place,
    },
    run::key::Key,
};

/// A consumer of space.
pub(crate) struct Vpc;

/// What distinguishes a VPC from all others: its name, ignoring case.
pub(crate) fn key(name: &str) -> Key {
    Key::new(Found::NOUN, fold(name))
}

#[async_trait]
impl Noun for Vpc {
    const TYPE: &'static str = "ipam_vpc";
    const WORD: &'static str = "VPC";
    const FOLDS: bool = true;
    const ABOUT: &'static str = "A consumer of space. The server creates a VPC when an allocation first names it, so this \
        resource is needed only for one in another VRF than `default`, or with labels or a description. A VPC that exists \
        already is imported.\n\nIt is destroyed only when it has no allocations any more.";
    const IMPORT: &'static str = "by id, or by name such as prod";

    type Id = VpcId;
    type New = NewVpc;
    type Patch = VpcPatch;
    type Found = Found;

    fn specs() -> Vec<AttributeSpec> {
        vec![
            name("Name, unique without regard to case."),
            place::vrf(
                "Name of the VRF that it is in.",
                "Default: `default`. Another VRF forces replacement, a new name of the same VRF does not.",
            ),
            description(),
        ]
    }

    fn only_looked_up() -> Vec<AttributeSpec> {
        vec![
            count("allocations", "How many allocations it has."),
            created_at(),
        ]
    }

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    async fn create(client: &Client, new: &NewVpc) -> Result<Created<Found>, Error> {
        client.create_vpc(new).await
    }

    async fn get(client: &Client, id: VpcId, claim: Option<Claim>) -> Result<Found, Error> {
        client.get_vpc(&id.to_string(), claim).await
    }

    async fn find(client: &Client, key: &str, _vrf: Option<&str>) -> Result<Vec<Found>, Error> {
        match key.parse() {
            Ok(name) => Ok(client.find_vpc(&name).await?.into_iter().collect()),
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn update(client: &Client, id: VpcId, patch: &VpcPatch) -> Result<Found, Error> {
        client.update_vpc(id, patch, None).await
    }

    async fn delete(client: &Client, id: VpcId) -> Result<(), Error> {
        client.delete_vpc(id, false, None).await.map(drop)
    }

    async fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> tfplugin::Result<()> {
        let consequence = "A VPC does not move between address spaces: this one is deleted, which requires that it has no \
            allocations any more, and a new one is created.";
        place::plan_vrf(ctx, plan, consequence).await.map(drop)
    }

    fn settle(found: &Found, known: &Value, state: &mut Value) -> tfplugin::Result<()> {
        if let Some(name) = known.get("name").as_str()
            && fold(name) == found.name.folded()
        {
            state.set("name", name);
        }
        Ok(())
    }
}

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

    async fn all(client: &Client, filter: &VpcFilter) -> Result<Vec<Found>, Error> {
        client.all_vpcs(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Vpc>()
    }

    fn values(found: &Found) -> tfplugin::Result<Value> {
        looked_up::values::<Vpc>(found)
    }
}
