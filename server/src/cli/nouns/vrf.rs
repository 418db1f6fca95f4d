//! `ipam vrf`.

use std::convert::Infallible;

use ipam_client::{Client, Created};
use ipam_shared::{
    api::vrf::{NewVrf, Vrf, VrfFilter, VrfPatch},
    name::Name,
};

use crate::cli::{
    listing::Column,
    noun::{
        NoOptions, Noun,
        args::{LabelChanges, NewLabels, OwnerFilter},
        done, fits_path, found, name, some_change,
    },
    output::Failure,
    value::Value,
};

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// Its name, unique
    name: Name,
    #[command(flatten)]
    labels: NewLabels,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
}

#[derive(clap::Args, Default)]
pub(in crate::cli) struct Filter {
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// A new name
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    labels: LabelChanges,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Noun for Vrf {
    const PLURAL: &'static str = "VRFs";
    const ABOUT: &'static str = "VRFs: isolated address spaces";
    const WHICH: &'static str = "Its name or id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", |it| (&it.name).into()),
        Column::new("pools", |it| Value::count(it.pools)),
        Column::new("vpcs", |it| Value::count(it.vpcs)),
        Column::new("reservations", |it| Value::count(it.reservations)),
        Column::new("labels", |it| (&it.labels).into()),
        Column::new("description", |it| it.description.as_str().into()),
        Column::wide("created_by", |it| Value::of(it.created_by.as_ref())),
    ];
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = Infallible;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        let request = NewVrf {
            name: new.name,
            labels: new.labels.labels()?,
            description: new.description,
        };
        done(client.create_vrf(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = VrfFilter {
            name: filter.name,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..VrfFilter::default()
        };
        done(client.first_vrfs(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        if fits_path(which) {
            return done(client.get_vrf(which, None).await);
        }
        let one = done(client.find_vrf(&name(which)?).await)?;
        found(one, "VRF", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let labels = change.labels.applied(&found.labels)?;
        // What was read decides what is written, so it must still be so.
        let revision = revision.or(labels.as_ref().map(|_| found.revision));
        let patch = some_change(VrfPatch {
            name: change.name,
            labels,
            description: change.description,
        })?;
        done(client.update_vrf(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_vrf(found.id, revision).await)?;
        Ok(String::new())
    }

    async fn more(verb: Infallible) -> Result<String, Failure> {
        match verb {}
    }
}
