//! What each noun can be found by.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::{
        allocation::{Allocation as FoundAllocation, AllocationFilter},
        pool::PoolFilter,
        profile::ProfileFilter,
        reservation::ReservationFilter,
        token::TokenFilter,
        vpc::VpcFilter,
        vrf::VrfFilter,
    },
    page::Page,
};
use tfplugin::{ListResource, Result, Value, async_trait};

use super::{By, FilterSpec, Listable, Lists};
use crate::{
    connection::Connection,
    framework::{noun::Noun, state::imported},
    nouns::{
        allocation::{
            naming,
            resource::{self, Allocation},
        },
        pool::Pool,
        profile::Profile,
        reservation::Reservation,
        token::Token,
        vpc::Vpc,
        vrf::Vrf,
    },
};

/// The lists of all nouns.
pub(crate) fn all() -> Vec<Box<dyn ListResource<Connection>>> {
    fn lists<L: Listable>() -> Box<dyn ListResource<Connection>> {
        Box::new(Lists::<L>(std::marker::PhantomData))
    }
    vec![
        lists::<Allocation>(),
        lists::<Pool>(),
        lists::<Profile>(),
        lists::<Reservation>(),
        lists::<Token>(),
        lists::<Vpc>(),
        lists::<Vrf>(),
    ]
}

const fn server(name: &'static str, what: &'static str) -> FilterSpec {
    FilterSpec {
        name,
        what,
        by: By::Server,
    }
}

const fn us(name: &'static str, what: &'static str) -> FilterSpec {
    FilterSpec {
        name,
        what,
        by: By::Us,
    }
}

const NAME: FilterSpec = server("name", "Only with this name.");

/// Lists of nouns: what several are called, the server's filter and call, who filters by labels, and the filters.
macro_rules! lists {
    ($($noun:ty, $words:literal, $filter:ty, $list:ident, $labels:expr, [$($spec:expr),* $(,)?];)*) => {$(
        #[async_trait]
        impl Listable for $noun {
            const TYPE: &'static str = <$noun as Noun>::TYPE;
            const WORDS: &'static str = $words;
            const LABELS: Option<By> = $labels;
            const FILTERS: &'static [FilterSpec] = &[$($spec),*];

            type Filter = $filter;
            type Found = <$noun as Noun>::Found;

            async fn page(
                client: &Client,
                filter: &Self::Filter,
            ) -> std::result::Result<Page<Self::Found>, Error> {
                client.$list(filter).await
            }

            fn state(found: &Self::Found, connection: &Connection) -> Result<Value> {
                imported::<$noun>(found, connection).map(|instance| instance.state)
            }

            fn title(state: &Value) -> String {
                <$noun as Noun>::title(state)
            }
        }
    )*};
}

lists! {
    Pool, "pools", PoolFilter, list_pools, Some(By::Server), [
        NAME,
        server("vrf", "Only in the VRF of this name or id; it is an error if there is none."),
        server("parent", "Only those cut from the pool of this name or id; it is an error if there is none."),
    ];
    Profile, "profiles", ProfileFilter, list_profiles, None, [NAME];
    Reservation, "reservations", ReservationFilter, list_reservations, Some(By::Server), [
        server("vrf", "Only in the VRF of this name or id; it is an error if there is none."),
        server("pool", "Only those that take space from the pool of this name or id; it is an error if there is none."),
        server("within", "Only those inside this network, such as `10.0.0.0/16`."),
        server("contains", "Only those that contain this address, such as `10.0.0.7`."),
    ];
    Token, "tokens", TokenFilter, list_tokens, None, [NAME];
    Vpc, "VPCs", VpcFilter, list_vpcs, Some(By::Us), [
        NAME,
        us("vrf", "Only in the VRF of this name."),
    ];
    Vrf, "VRFs", VrfFilter, list_vrfs, Some(By::Us), [NAME];
}

#[async_trait]
impl Listable for Allocation {
    const TYPE: &'static str = "ipam_allocation";
    const WORDS: &'static str = "allocations";
    const LABELS: Option<By> = Some(By::Server);
    const FILTERS: &'static [FilterSpec] = &[
        server(
            "vpc",
            "Only of the VPC of this name or id; it is an error if there is none.",
        ),
        NAME,
        us("vrf", "Only of VPCs in the VRF of this name."),
        us("profile", "Only those made from the profile of this name."),
        server(
            "pool",
            "Only those with a block from the pool of this name or id; it is an error if there is none.",
        ),
        server(
            "within",
            "Only those with a block inside this network, such as `10.0.0.0/16`.",
        ),
        server(
            "contains",
            "Only those with a block that contains this address, such as `10.0.0.7`.",
        ),
    ];

    type Filter = AllocationFilter;
    type Found = FoundAllocation;

    async fn page(
        client: &Client,
        filter: &Self::Filter,
    ) -> std::result::Result<Page<Self::Found>, Error> {
        client.list_allocations(filter).await
    }

    fn state(found: &Self::Found, connection: &Connection) -> Result<Value> {
        resource::imported(found, connection)
    }

    fn title(state: &Value) -> String {
        naming::title(state)
    }
}
