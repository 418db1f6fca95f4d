//! `ipam reservation`.

use std::{convert::Infallible, net::IpAddr};

use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Created};
use ipam_shared::{
    api::{
        pool::Pool,
        reservation::{NewReservation, Reservation, ReservationFilter, ReservationPatch},
        vrf::Vrf,
    },
    cidr::Cidr,
    ids::ReservationId,
    name::Name,
};

use crate::cli::{
    listing::Column,
    noun::{
        NoOptions, Noun,
        args::{LabelChanges, NewLabels, OwnerFilter},
        done, found, names, some_change,
    },
    output::Failure,
};

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// The network, such as 10.0.8.0/24, or an address
    #[arg(value_parser = Cidr::of_address_or_network)]
    cidr: Cidr,
    /// Why: shown to everybody whose request it blocks
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Its VRF; default: default
    #[arg(long, value_name = "VRF", add = ArgValueCompleter::new(names::<Vrf>))]
    vrf: Option<Name>,
    #[command(flatten)]
    labels: NewLabels,
}

#[derive(clap::Args, Default)]
pub(in crate::cli) struct Filter {
    /// Only in this VRF
    #[arg(long, add = ArgValueCompleter::new(names::<Vrf>))]
    vrf: Option<String>,
    /// Only those that take space from this pool
    #[arg(long, add = ArgValueCompleter::new(names::<Pool>))]
    pool: Option<String>,
    /// Only with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Only those that contain this address
    #[arg(long, value_name = "ADDRESS")]
    contains: Option<IpAddr>,
    /// Only those inside this network
    #[arg(long, value_name = "CIDR")]
    within: Option<Cidr>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    labels: LabelChanges,
}

impl Noun for Reservation {
    const PLURAL: &'static str = "reservations";
    const ABOUT: &'static str = "Reservations: networks that are not handed out";
    const WHICH: &'static str = "Its network, VRF/NETWORK, or its id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("cidr", |it| it.cidr.into()),
        Column::new("vrf", |it| (&it.vrf).into()),
        Column::new("reason", |it| (&it.reason).into()),
        Column::new("pools", |it| (&it.pools).into()),
        Column::new("labels", |it| (&it.labels).into()),
        Column::wide("created_by", |it| (&it.created_by).into()),
    ];
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = Infallible;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        let request = NewReservation {
            cidr: new.cidr,
            vrf: new.vrf,
            reason: new.reason,
            labels: new.labels.labels()?,
        };
        done(client.create_reservation(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = ReservationFilter {
            vrf: filter.vrf,
            pool: filter.pool,
            label: filter.label,
            contains: filter.contains,
            within: filter.within,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..ReservationFilter::default()
        };
        done(client.first_reservations(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        if let Ok(id) = which.parse::<ReservationId>() {
            return done(client.get_reservation(id, None).await);
        }
        let (vrf, cidr) = place(which)?;
        let mut all = done(client.find_reservations(cidr, vrf).await)?;
        if all.len() > 1 {
            let all: Vec<_> = all.iter().map(Noun::reference).collect();
            return Err(Failure::Usage(format!(
                "{cidr} is reserved in several VRFs; name one of {}",
                all.join(", ")
            )));
        }
        found(all.pop(), "reservation", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let labels = change.labels.applied(&found.labels)?;
        let revision = revision.or(labels.as_ref().map(|_| found.revision));
        let patch = some_change(ReservationPatch {
            reason: change.reason,
            labels,
        })?;
        done(client.update_reservation(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_reservation(found.id, revision).await)?;
        Ok(String::new())
    }

    async fn more(verb: Infallible) -> Result<String, Failure> {
        match verb {}
    }
}

/// A network, or one in a VRF.
fn place(which: &str) -> Result<(Option<&str>, Cidr), Failure> {
    let network = |text: &str| Cidr::of_address_or_network(text);
    let error = match network(which) {
        Ok(cidr) => return Ok((None, cidr)),
        Err(error) => error,
    };
    let parts = which.split_once('/');
    match parts.map(|(vrf, rest)| (vrf, network(rest))) {
        Some((vrf, Ok(cidr))) => Ok((Some(vrf), cidr)),
        _ => Err(Failure::Usage(format!(
            "{which:?} is neither a network, nor VRF/NETWORK, nor an id: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_named_by_its_network() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        assert_eq!(place("10.0.0.0/8").unwrap(), (None, cidr("10.0.0.0/8")));
        assert_eq!(place("10.0.0.1").unwrap(), (None, cidr("10.0.0.1/32")));
        let in_dev = (Some("dev"), cidr("10.0.0.0/8"));
        assert_eq!(place("dev/10.0.0.0/8").unwrap(), in_dev);
        let odd = (Some("10.0.0.0"), cidr("10.0.0.0/8"));
        assert_eq!(place("10.0.0.0/10.0.0.0/8").unwrap(), odd);
        for which in ["", "dev", "dev/", "10.0.0.1/8"] {
            assert_eq!(place(which).unwrap_err().exit_code(), 2, "{which}");
        }
    }
}
