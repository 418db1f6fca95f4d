//! Calls about reservations.

use ipam_shared::{
    api::reservation::{NewReservation, Reservation, ReservationFilter, ReservationPatch},
    cidr::Cidr,
    ids::{Claim, ReservationId},
    page::Page,
};

use crate::{
    Client, Error,
    noun::{Created, Named, Noun, is, same_vrf, unless_unknown},
};

impl Noun for Reservation {
    const PATH: &'static str = "reservations";
    const WORD: &'static str = "reservation";
    type Patch = ReservationPatch;

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn shows(&self, patch: &ReservationPatch) -> bool {
        is(patch.reason.as_ref(), &self.reason) && is(patch.labels.as_ref(), &self.labels)
    }
}

impl Named for Reservation {
    type New = NewReservation;

    fn is_named_by(&self, new: &NewReservation) -> bool {
        self.cidr == new.cidr && same_vrf(new.vrf.as_ref(), self.vrf.as_str())
    }
}

impl Client {
    /// Takes a network out of circulation. Repeating it is safe: until it is confirmed, the same request of the same owner
    /// returns the same reservation.
    pub async fn create_reservation(
        &self,
        request: &NewReservation,
    ) -> Result<Created<Reservation>, Error> {
        self.create(request).await
    }

    /// The reservation with that id. The claim, if there is one, confirms that the reader owns it.
    pub async fn get_reservation(
        &self,
        id: ReservationId,
        claim: Option<Claim>,
    ) -> Result<Reservation, Error> {
        self.get(&id.to_string(), claim).await
    }

    /// One page of the reservations that match the filter.
    pub async fn list_reservations(
        &self,
        filter: &ReservationFilter,
    ) -> Result<Page<Reservation>, Error> {
        self.list(Reservation::PATH, filter).await
    }

    /// All reservations that match the filter, from its cursor on.
    pub async fn all_reservations(
        &self,
        filter: &ReservationFilter,
    ) -> Result<Vec<Reservation>, Error> {
        self.all(Reservation::PATH, filter).await
    }

    /// The first ones that match the filter, at most `most`, which is at least 1, and whether there may be more.
    pub async fn first_reservations(
        &self,
        filter: &ReservationFilter,
        most: usize,
    ) -> Result<(Vec<Reservation>, bool), Error> {
        self.first(Reservation::PATH, filter, most).await
    }

    /// The reservations of exactly that network: at most one in each VRF, or in the VRF of that name only.
    pub async fn find_reservations(
        &self,
        cidr: Cidr,
        vrf: Option<&str>,
    ) -> Result<Vec<Reservation>, Error> {
        let filter = ReservationFilter {
            vrf: vrf.map(ToOwned::to_owned),
            contains: Some(cidr.first()),
            ..ReservationFilter::default()
        };
        let mut found = unless_unknown(self.all_reservations(&filter).await)?;
        found.retain(|found| found.cidr == cidr && vrf.is_none_or(|vrf| vrf == found.vrf.as_str()));
        Ok(found)
    }

    /// Changes a reservation. With `revision` only if nobody has changed it since; a repeated request that finds its own
    /// change succeeds.
    pub async fn update_reservation(
        &self,
        id: ReservationId,
        patch: &ReservationPatch,
        revision: Option<i64>,
    ) -> Result<Reservation, Error> {
        self.update(&id.to_string(), patch, revision).await
    }

    /// Deletes a reservation. With `revision` only if nobody has changed it since. A repeated request that finds it deleted
    /// succeeds.
    pub async fn delete_reservation(
        &self,
        id: ReservationId,
        revision: Option<i64>,
    ) -> Result<(), Error> {
        self.delete_by_id::<Reservation>(&id.to_string(), revision)
            .await
    }
}
