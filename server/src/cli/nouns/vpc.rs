//! `ipam vpc`.

use std::convert::Infallible;

use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Created};
use ipam_shared::{
    api::{
        vpc::{NewVpc, Vpc, VpcFilter, VpcPatch},
        vrf::Vrf,
    },
    name::Name,
};

use crate::{
    cli::{
        listing::Column,
        noun::{
            Noun,
            args::{LabelChanges, NewLabels, OwnerFilter},
            done, fits_path, found, name, names, some_change,
        },
        output::Failure,
        value::Value,
    },
    text::thousands,
};

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// Its name, unique without regard to case
    name: Name,
    /// Its VRF; default: default
    #[arg(long, value_name = "VRF", add = ArgValueCompleter::new(names::<Vrf>))]
    vrf: Option<Name>,
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

#[derive(clap::Args)]
pub(in crate::cli) struct End {
    /// Release its allocations first; otherwise it must have none
    #[arg(long)]
    cascade: bool,
}

impl Noun for Vpc {
    const PLURAL: &'static str = "VPCs";
    const ABOUT: &'static str = "VPCs: those who space is for";
    const WHICH: &'static str = "Its name or id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", |it| (&it.name).into()),
        Column::new("vrf", |it| (&it.vrf).into()),
        Column::new("allocations", |it| Value::count(it.allocations)),
        Column::new("labels", |it| (&it.labels).into()),
        Column::new("description", |it| it.description.as_str().into()),
        Column::wide("implicit", |it| it.implicit.into()),
        Column::wide("created_by", |it| Value::of(it.created_by.as_ref())),
    ];
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = End;
    type More = Infallible;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        let request = NewVpc {
            name: new.name,
            vrf: new.vrf,
            labels: new.labels.labels()?,
            description: new.description,
        };
        done(client.create_vpc(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = VpcFilter {
            name: filter.name,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..VpcFilter::default()
        };
        done(client.first_vpcs(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        if fits_path(which) {
            return done(client.get_vpc(which, None).await);
        }
        let one = done(client.find_vpc(&name(which)?).await)?;
        found(one, "VPC", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let labels = change.labels.applied(&found.labels)?;
        let revision = revision.or(labels.as_ref().map(|_| found.revision));
        let patch = some_change(VpcPatch {
            name: change.name,
            labels,
            description: change.description,
        })?;
        done(client.update_vpc(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        end: End,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        let deleted = done(client.delete_vpc(found.id, end.cascade, revision).await)?;
        let released = deleted.map_or(0, |it| it.released_allocations);
        Ok(match released {
            0 => String::new(),
            1 => ", and released its allocation".to_owned(),
            many => format!(", and released its {} allocations", thousands(many)),
        })
    }

    async fn more(verb: Infallible) -> Result<String, Failure> {
        match verb {}
    }
}
