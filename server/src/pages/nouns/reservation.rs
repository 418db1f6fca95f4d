//! Reservations.

use ipam_shared::{
    api::reservation::{NewReservation, Reservation, ReservationFilter, ReservationPatch},
    ids::ReservationId,
};

use super::{
    Editable, Noun, Row, after, changed, changed_text, of_whole_vrfs, vrf_field, wanted, wanted_as,
    wanted_label,
};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::Result,
    pages::{
        Section,
        form::{Field, Input, Reader},
        labels_text,
        shown::{Fact, Shown},
    },
    rights::{Right, Rights},
};

impl Editable for Reservation {
    const PATH: &'static str = "/ui/reservations";
    const SECTION: Section = Section::Reservations;
    const MANY: &'static str = "Reservations";
    const FIELDS: (&'static str, &'static str) = ("cidr", "cidr");
    type Patch = ReservationPatch;

    fn may_change(rights: &Rights) -> bool {
        rights.may(Right::Operate) && of_whole_vrfs(rights)
    }

    fn called(&self) -> String {
        self.cidr.to_string()
    }

    fn facts(&self) -> Vec<Fact> {
        vec![
            Fact::new("Network", Shown::cidrs(&[self.cidr])),
            Fact::new("VRF", Shown::text(&self.vrf)),
            Fact::new("Reason", Shown::text(&self.reason)),
            Fact::new("Labels", Shown::labels(&self.labels)),
        ]
    }

    async fn fields(db: &mut Connection, this: Option<&Self>) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        if this.is_none() {
            fields.extend([
                Field::code("cidr", "Network")
                    .hint("Such as 10.0.64.0/18. No part of it may be allocated or reserved.")
                    .required(),
                vrf_field(db).await?,
            ]);
        }
        fields.extend([
            Field::lines("reason", "Reason")
                .hint("Shown to everybody whose request it blocks.")
                .required(),
            Field::labels(),
        ]);
        Ok(fields)
    }

    fn input(&self) -> Input {
        Input::default()
            .with("reason", &self.reason)
            .with("labels", labels_text(&self.labels))
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<ReservationPatch> {
        let patch = ReservationPatch {
            reason: changed_text(&self.reason, reason(form)),
            labels: changed(&self.labels, form.labels("labels")),
        };
        (patch != ReservationPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: ReservationId,
        patch: ReservationPatch,
        revision: i64,
    ) -> Result<Self> {
        ipam.update_reservation(caller, id, patch, Some(revision))
            .await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: ReservationId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.delete_reservation(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        if before.is_some() {
            return Vec::new();
        }
        vec![match after.pools.as_slice() {
            [] => {
                "It lies outside of all pools. A range that is added later respects it.".to_owned()
            }
            [pool] => format!("Its addresses are taken out of the pool \"{pool}\"."),
            pools => format!("Its addresses are taken out of {} pools.", pools.len()),
        }]
    }

    fn loses(&self) -> Vec<String> {
        vec![if self.pools.is_empty() {
            "It lies outside of all pools, so no space becomes free.".to_owned()
        } else {
            "Its network is back in circulation at once, and the next request may get it."
                .to_owned()
        }]
    }
}

impl Noun for Reservation {
    const ABOUT: &'static str =
        "A network that is taken out of circulation: nobody gets any of it.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("Network", false),
        ("VRF", false),
        ("Reason", false),
        ("Pools", false),
        ("Labels", false),
        ("Created", false),
    ];
    type New = NewReservation;

    fn filters() -> Vec<Field> {
        vec![
            Field::text("vrf", "VRF"),
            Field::text("pool", "Pool"),
            Field::code("contains", "Holds the address"),
            Field::code("within", "Inside the network"),
            Field::text("label", "Label").hint("key=value"),
        ]
    }

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let filter = ReservationFilter {
            vrf: wanted(search, "vrf")?,
            pool: wanted(search, "pool")?,
            contains: wanted_as(search, "contains")?,
            within: wanted_as(search, "within")?,
            ..ReservationFilter::default()
        };
        let label = wanted_label(search)?;
        let label = label.as_ref().map(|(key, value)| (&**key, &**value));
        let ids = db::reservation::list(db, &filter, label, after(search)?, limit).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = db::reservation::load(db, &ids).await?;
        let rows = found.into_iter().map(|reservation| {
            let cells = vec![
                Shown::text(&reservation.vrf),
                Shown::text(&reservation.reason),
                Shown::lines(&reservation.pools),
                Shown::labels(&reservation.labels),
                Shown::Time(reservation.created_at),
            ];
            Row::of(&reservation, reservation.called(), cells)
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        vec![
            Fact::new("Takes space from", Shown::lines(&self.pools)),
            Fact::new("Created by", Shown::text(&self.created_by)),
        ]
    }

    fn new(form: &mut Reader<'_>) -> Option<NewReservation> {
        let cidr = form.parsed("cidr");
        Some(NewReservation {
            vrf: form.optional("vrf"),
            reason: reason(form),
            labels: form.labels("labels"),
            cidr: cidr?,
        })
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewReservation) -> Result<(Self, bool)> {
        ipam.reserve(caller, new).await
    }
}

fn reason(form: &mut Reader<'_>) -> String {
    let reason = form.text("reason");
    if reason.is_empty() {
        form.wrong(
            "reason",
            "say why, so that whoever is refused knows whom to ask",
        );
    }
    reason
}
