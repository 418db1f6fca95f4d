//! `ipam allocation`.

use std::{net::IpAddr, path::PathBuf};

use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Created};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationFilter, AllocationPatch, BatchResult, NewBatch},
        pool::Pool,
        vpc::Vpc,
    },
    cidr::Cidr,
    name::Name,
};

use crate::cli::{
    allocate::Ask,
    connection::Connection,
    input,
    listing::{Column, ListOutput, Output, Things},
    noun::{
        NoOptions, Noun,
        args::{LabelChanges, OwnerFilter},
        done, names, some_change, told, which,
    },
    output::Failure,
    release::{self, Release},
    value::Value,
};

#[derive(clap::Args, Default)]
pub(in crate::cli) struct Filter {
    /// Only of this VPC
    #[arg(long, add = ArgValueCompleter::new(names::<Vpc>))]
    vpc: Option<String>,
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    /// Only the one with this number
    #[arg(long, value_name = "N")]
    number: Option<i64>,
    /// Only with a block in this pool
    #[arg(long, add = ArgValueCompleter::new(names::<Pool>))]
    pool: Option<String>,
    /// Only with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Only with a block that contains this address
    #[arg(long, value_name = "ADDRESS")]
    contains: Option<IpAddr>,
    /// Only with a block inside this network
    #[arg(long, value_name = "CIDR")]
    within: Option<Cidr>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// Move it to this VPC, which is created if need be; its blocks stay the same
    #[arg(long, value_name = "VPC", add = ArgValueCompleter::new(names::<Vpc>))]
    vpc: Option<Name>,
    /// A new name
    #[arg(long)]
    name: Option<Name>,
    #[command(flatten)]
    size: NewSize,
    #[command(flatten)]
    labels: LabelChanges,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether to refuse to release it: true or false
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    deletion_protection: Option<bool>,
    /// Show what it would become, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Another size. Every block grows or shrinks in place by as many bits, or none does.
#[derive(clap::Args, Clone, Copy)]
#[group(required = false, multiple = false)]
struct NewSize {
    /// Number of hosts that the first block must hold; every block grows or shrinks in place, or none does
    #[arg(long, value_name = "N")]
    hosts: Option<u64>,
    /// Prefix length of the first block, less the offset of its member in the profile
    #[arg(long, value_name = "N", visible_alias = "prefix")]
    prefix_length: Option<u8>,
}

/// What only allocations can be told.
#[derive(clap::Subcommand)]
pub(in crate::cli) enum More {
    /// Grow or shrink an allocation in place: all of its blocks, or none
    Resize(Resize),
    Release(Release),
    /// Allocate for many requests at once, all or none of them
    ///
    /// The file has a JSON list of requests, each as the API takes it: [{"vpc": "prod", "name": "a", "hosts": 100}]
    Batch(Batch),
}

#[derive(clap::Args)]
pub(in crate::cli) struct Resize {
    #[arg(help = Allocation::WHICH, add = ArgValueCompleter::new(which::<Allocation>))]
    which: String,
    #[command(flatten)]
    size: NewSize,
    /// Show what it would become, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Only if it still has this revision, as `show` tells it
    #[arg(long, value_name = "N")]
    revision: Option<i64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Batch {
    /// The file; - for standard input
    file: PathBuf,
    /// Each on its own, instead of all or none
    #[arg(long)]
    each: bool,
    /// Show what would be allocated, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

impl Noun for Allocation {
    const PLURAL: &'static str = "allocations";
    const ABOUT: &'static str = "Allocations: space that somebody has";
    const WHICH: &'static str = "Its number, VPC/NAME, or its id";
    const DELETED: &'static str = "Released";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("number", |it| Value::count(it.number)),
        Column::new("vpc", |it| (&it.vpc).into()),
        Column::new("name", |it| Value::of(it.name.as_ref())),
        Column::new("cidr", |it| it.cidr.into()),
        Column::new("blocks", |it| {
            let blocks = it.blocks.iter();
            let blocks = blocks.map(|it| format!("{}={}", it.role, it.cidr));
            (&blocks.collect::<Vec<_>>()).into()
        }),
        Column::wide("usable", |it| {
            Value::of(it.blocks.first().map(|block| block.usable))
        }),
        Column::wide("pools", |it| {
            let pools = it.blocks.iter().map(|block| block.pool.clone());
            (&pools.collect::<Vec<_>>()).into()
        }),
        Column::wide("vrf", |it| (&it.vrf).into()),
        Column::wide("profile", |it| Value::of(it.profile.as_ref())),
        Column::wide("requested_hosts", |it| Value::of(it.requested_hosts)),
        Column::wide("requested_prefix_length", |it| {
            Value::of(it.requested_prefix_length)
        }),
        Column::wide("requested_cidr", |it| Value::of(it.requested_cidr)),
        Column::wide("requested_pools", |it| {
            Value::of(it.requested_pools.as_ref())
        }),
        Column::wide("requested_pool_labels", |it| {
            Value::of(it.requested_pool_selector.as_ref())
        }),
        Column::wide("exclude_cidrs", |it| match it.exclude_cidrs.is_empty() {
            true => Value::None,
            false => (&it.exclude_cidrs).into(),
        }),
        Column::new("labels", |it| (&it.labels).into()),
        Column::new("description", |it| it.description.as_str().into()),
        Column::wide("deletion_protection", |it| it.deletion_protection.into()),
        Column::wide("created_by", |it| (&it.created_by).into()),
        Column::wide("updated_at", |it| it.updated_at.into()),
    ];
    type New = Ask;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = More;

    async fn create(client: &Client, new: Ask) -> Result<Created<Self>, Failure> {
        let key = new.idempotency_key.as_deref();
        done(client.create_allocation_once(&new.request()?, key).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = AllocationFilter {
            vpc: filter.vpc,
            name: filter.name,
            number: filter.number,
            pool: filter.pool,
            label: filter.label,
            contains: filter.contains,
            within: filter.within,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..AllocationFilter::default()
        };
        done(client.first_allocations(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        let which = which
            .parse()
            .map_err(|why| Failure::Usage(format!("{which:?}: {why}")))?;
        release::find(client, &which).await
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let labels = change.labels.applied(&found.labels)?;
        let revision = revision.or(labels.as_ref().map(|_| found.revision));
        let patch = some_change(AllocationPatch {
            vpc: change.vpc,
            name: change.name,
            hosts: change.size.hosts,
            prefix_length: change.size.prefix_length,
            labels,
            description: change.description,
            deletion_protection: change.deletion_protection,
            dry_run: false,
        })?;
        let patch = AllocationPatch {
            dry_run: change.dry_run,
            ..patch
        };
        done(client.update_allocation(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_allocation(found.id, revision).await)?;
        let blocks = found.blocks.iter().map(|block| block.cidr.to_string());
        Ok(format!(": {}", blocks.collect::<Vec<_>>().join(" and ")))
    }

    async fn more(verb: More) -> Result<String, Failure> {
        match verb {
            More::Resize(resize) => resize.run().await,
            More::Release(release) => release.run().await,
            More::Batch(batch) => batch.run().await,
        }
    }

    fn is_dry_run(new: &Ask) -> bool {
        new.dry_run
    }

    fn is_dry_change(change: &Change) -> bool {
        change.dry_run
    }
}

impl Resize {
    async fn run(self) -> Result<String, Failure> {
        let patch = AllocationPatch {
            hosts: self.size.hosts,
            prefix_length: self.size.prefix_length,
            ..AllocationPatch::default()
        };
        if patch == AllocationPatch::default() {
            let why = "give the new size with --hosts or --prefix-length";
            return Err(Failure::Usage(why.to_owned()));
        }
        let patch = AllocationPatch {
            dry_run: self.dry_run,
            ..patch
        };
        let client = self.connection.client().await?;
        let found = Allocation::find(&client, &self.which).await?;
        let after = client
            .update_allocation(found.id, &patch, self.revision)
            .await?;
        let did = match (self.dry_run, after.prefix_length == found.prefix_length) {
            (true, _) => "Would resize",
            (false, true) => "Has that size already:",
            (false, false) => "Resized",
        };
        let change = format!(" from {} to {}", found.cidr, after.cidr);
        let change = if after.cidr == found.cidr {
            ""
        } else {
            change.as_str()
        };
        told(&self.output, &after, did, change)
    }
}

const RESULTS: &[Column<BatchResult>] = &[
    Column::new("status", |it| u32::from(it.status).into()),
    Column::new("allocation", |it| {
        Value::of(it.allocation.as_ref().map(Noun::reference))
    }),
    Column::new("cidr", |it| {
        Value::of(it.allocation.as_ref().map(|it| it.cidr))
    }),
    Column::new("code", |it| {
        Value::of(it.problem.as_ref().map(|it| it.code.as_str()))
    }),
    Column::new("problem", |it| {
        Value::of(it.problem.as_ref().map(|it| it.detail.as_str()))
    }),
];

impl Batch {
    async fn run(self) -> Result<String, Failure> {
        let refuse = |why: String| Failure::Usage(format!("{}: {why}", self.file.display()));
        let file = input::read(&self.file).map_err(|error| refuse(error.to_string()))?;
        let requests = serde_json::from_slice(&file)
            .map_err(|error| refuse(format!("it is not a list of requests as JSON: {error}")))?;
        let batch = NewBatch {
            requests,
            atomic: !self.each,
            dry_run: self.dry_run,
        };
        let client = self.connection.client().await?;
        let done = client.create_allocations(&batch).await?;
        let failed = done.results.len() - done.succeeded;
        let things = Things {
            columns: RESULTS,
            name: |it: &BatchResult| {
                it.allocation
                    .as_ref()
                    .map_or_else(String::new, Noun::reference)
            },
            nothing: "requests",
        };
        let text = self.output.many(done.results, &things, usize::MAX, false)?;
        match failed {
            0 => Ok(text),
            _ => Err(Failure::Found(text, format!("{failed} of them failed"))),
        }
    }
}
