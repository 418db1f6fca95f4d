//! Reservations.

use std::net::IpAddr;

use ipam_client::{Client, Created, Error};
use ipam_shared::{
    api::reservation::{
        MAX_REASON, NewReservation, Reservation as Found, ReservationFilter, ReservationPatch,
    },
    cidr::Cidr,
    ids::{Claim, ReservationId},
    labels::Labels,
};
use tfplugin::{
    Attribute, Context, Diagnostic, FromValue, Path, Plan, Text, Type, Value, async_trait,
};

use crate::{
    connection::Connection,
    framework::{
        attribute_spec::{AttributeSpec, CanonicalCidr, created_at},
        listed::{Listing, by, by_a},
        looked_up,
        noun::Noun,
        place,
    },
};

/// A network taken out of circulation.
pub(crate) struct Reservation;

struct Reason;

impl FromValue for Reason {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let length = String::from_value(value, path)?.chars().count();
        if (1..=MAX_REASON).contains(&length) {
            return Ok(Self);
        }
        Err(Diagnostic::error(
            "Unsuitable reason",
            format!("It has {length} characters; 1 to {MAX_REASON} are needed, for those whose requests it blocks."),
        )
        .at(path))
    }
}

#[async_trait]
impl Noun for Reservation {
    const TYPE: &'static str = "ipam_reservation";
    const WORD: &'static str = "reservation";
    const ABOUT: &'static str = "A network that is never handed out, such as an on-premises or a legacy range. It may lie \
        inside a range of a pool, contain whole ranges, or lie outside of all of them; a range that is added later \
        respects it. It is refused where something is allocated already.";
    const KEY: &'static str = "cidr";
    const SCOPED: bool = true;
    const IMPORT: &'static str =
        "by id, by CIDR such as 10.0.0.0/24, or by VRF and CIDR such as dev/10.0.0.0/24";

    type Id = ReservationId;
    type New = NewReservation;
    type Patch = ReservationPatch;
    type Found = Found;

    fn specs() -> Vec<AttributeSpec> {
        vec![
            AttributeSpec::new(
                "cidr",
                Attribute::string().required().requires_replace_because(
                    "A reservation is for one network. This one is deleted, so its network may be handed out, and another \
                     is created.",
                ),
                "The network.",
                "A change forces replacement.",
            )
            .is::<CanonicalCidr>()
            .place(),
            place::vrf(
                "Name of the VRF in which it applies.",
                "Default: `default`. Another VRF forces replacement, a new name of the same VRF does not.",
            ),
            AttributeSpec::new(
                "reason",
                Attribute::string().required(),
                "Why, shown to everybody whose request it blocks: 1 to 1,000 characters.",
                "Changed in place.",
            )
            .is::<Reason>(),
        ]
    }

    fn only_looked_up() -> Vec<AttributeSpec> {
        vec![
            AttributeSpec::shown(
                "pools",
                Attribute::list(Type::String),
                "Names of the pools that it takes space from; empty if it lies outside of all.",
            ),
            AttributeSpec::shown("created_by", Attribute::string(), "Who requested it."),
            created_at(),
        ]
    }

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    async fn create(client: &Client, new: &NewReservation) -> Result<Created<Found>, Error> {
        client.create_reservation(new).await
    }

    async fn get(client: &Client, id: ReservationId, claim: Option<Claim>) -> Result<Found, Error> {
        client.get_reservation(id, claim).await
    }

    async fn find(client: &Client, key: &str, vrf: Option<&str>) -> Result<Vec<Found>, Error> {
        match key.parse() {
            Ok(cidr) => client.find_reservations(cidr, vrf).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn update(
        client: &Client,
        id: ReservationId,
        patch: &ReservationPatch,
    ) -> Result<Found, Error> {
        client.update_reservation(id, patch, None).await
    }

    async fn delete(client: &Client, id: ReservationId) -> Result<(), Error> {
        client.delete_reservation(id, None).await
    }

    async fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> tfplugin::Result<()> {
        let consequence = "A reservation does not move between address spaces: this one ends, and its network may be \
            handed out; another is made.";
        place::plan_vrf(ctx, plan, consequence).await.map(drop)
    }
}

/// All reservations.
pub(crate) struct Reservations;

#[async_trait]
impl Listing for Reservations {
    const TYPE: &'static str = "ipam_reservations";
    const PLURAL: &'static str = "reservations";
    const SERVER_KNOWS_LABELS: bool = true;

    type Filter = ReservationFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![
            by("vrf", "Only those in the VRF of this name or id."),
            by(
                "pool",
                "Only those that take space from the pool of this name, in any VRF, or id.",
            ),
            by_a::<Text<IpAddr>>("contains", "Only those that contain this address."),
            by_a::<Text<Cidr>>("within", "Only those inside this network."),
        ]
    }

    async fn all(client: &Client, filter: &ReservationFilter) -> Result<Vec<Found>, Error> {
        client.all_reservations(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Reservation>()
    }

    fn values(found: &Found) -> tfplugin::Result<Value> {
        looked_up::values::<Reservation>(found)
    }
}
