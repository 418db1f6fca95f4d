//! The data source `ipam_reservations`.

use std::net::IpAddr;

use ipam_client::{Client, Error};
use ipam_shared::{
    api::reservation::{Reservation as Found, ReservationFilter},
    cidr::Cidr,
    labels::Labels,
};
use tfplugin::{Attribute, Result, Text, Value, async_trait};

use super::listed::{Listing, by, by_a};
use crate::noun::{attribute_spec::AttributeSpec, looked_up, reservation::Reservation};

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

    async fn all(
        client: &Client,
        filter: &ReservationFilter,
    ) -> std::result::Result<Vec<Found>, Error> {
        client.all_reservations(filter).await
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Reservation>()
    }

    fn values(found: &Found) -> Result<Value> {
        looked_up::values::<Reservation>(found)
    }
}
