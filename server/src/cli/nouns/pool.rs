//! `ipam pool`.

use std::convert::Infallible;

use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Created};
use ipam_shared::{
    api::{
        pool::{NewPool, Pool, PoolFilter, PoolPatch, RequiredLabels, Strategy},
        transfer::Cell as _,
        vrf::Vrf,
    },
    cidr::{Cidr, Family, RESERVED_ADDRESSES},
    name::Name,
};

use crate::cli::{
    listing::Column,
    noun::{
        NoOptions, Noun,
        args::{LabelChanges, NewLabels, OwnerFilter, required, required_labels},
        done, fits_path, found, name, names, some_change,
    },
    output::Failure,
    value::Value,
};

fn strategy(text: &str) -> Result<Strategy, String> {
    Strategy::read(text)
}

fn family(text: &str) -> Result<Family, String> {
    Family::read(text)
}

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// Its name, unique within the VRF
    name: Name,
    /// Its VRF; default: default
    #[arg(long, value_name = "VRF", add = ArgValueCompleter::new(names::<Vrf>))]
    vrf: Option<Name>,
    /// ipv4 or ipv6, if neither a range nor the parent tells it
    #[arg(long, value_parser = family)]
    family: Option<Family>,
    /// A network that it consists of; may be given several times
    #[arg(long = "range", value_name = "CIDR")]
    ranges: Vec<Cidr>,
    /// The pool of the same VRF that its ranges are cut from
    #[arg(long, value_name = "POOL", add = ArgValueCompleter::new(names::<Pool>))]
    parent: Option<String>,
    /// A range of this prefix length wherever the parent has room; may be given several times
    #[arg(long = "range-prefix-length", value_name = "N", requires = "parent")]
    range_prefix_lengths: Vec<u8>,
    /// Shortest prefix length, that is the largest block, that it hands out
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_prefix_length: u8,
    /// Longest prefix length, that is the smallest block, that it hands out; default: 32 or 128
    #[arg(long, value_name = "N")]
    max_prefix_length: Option<u8>,
    /// Prefix length for requests that give none
    #[arg(long, value_name = "N")]
    default_prefix_length: Option<u8>,
    /// Addresses of a block that are not for hosts
    #[arg(long, value_name = "N", default_value_t = RESERVED_ADDRESSES)]
    reserved_addresses: u32,
    /// How a free block is chosen: best_fit, first_fit, last_fit or sparse
    #[arg(long, value_parser = strategy, default_value = "best_fit")]
    strategy: Strategy,
    /// How long released blocks stay out of circulation
    #[arg(long = "release-cooldown", value_name = "SECONDS", default_value_t = 0)]
    release_cooldown_seconds: u32,
    /// A label that an allocation must have to get space here; may be given several times
    #[arg(long = "required-label", value_name = "KEY[=VALUE|VALUE]", value_parser = required)]
    required_labels: Vec<(String, Vec<String>)>,
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
    /// Only of this VRF
    #[arg(long, add = ArgValueCompleter::new(names::<Vrf>))]
    vrf: Option<String>,
    /// Only children of this pool
    #[arg(long, value_name = "POOL", add = ArgValueCompleter::new(names::<Pool>))]
    parent: Option<String>,
    /// Only with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// A new name
    #[arg(long)]
    name: Option<Name>,
    /// Add a network; may be given several times
    #[arg(long = "add-range", value_name = "CIDR")]
    add_ranges: Vec<Cidr>,
    /// Remove a network in which nothing is; may be given several times
    #[arg(long = "remove-range", value_name = "CIDR")]
    remove_ranges: Vec<Cidr>,
    /// Add a range of this prefix length, wherever the parent has room; may be given several times
    #[arg(long = "add-range-prefix-length", value_name = "N")]
    add_range_prefix_lengths: Vec<u8>,
    /// Shortest prefix length, that is the largest block, that it hands out
    #[arg(long, value_name = "N")]
    min_prefix_length: Option<u8>,
    /// Longest prefix length, that is the smallest block, that it hands out
    #[arg(long, value_name = "N")]
    max_prefix_length: Option<u8>,
    /// Prefix length for requests that give none
    #[arg(long, value_name = "N")]
    default_prefix_length: Option<u8>,
    /// Requests must give a prefix length
    #[arg(long, conflicts_with = "default_prefix_length")]
    no_default_prefix_length: bool,
    /// Addresses of a block that are not for hosts
    #[arg(long, value_name = "N")]
    reserved_addresses: Option<u32>,
    /// How a free block is chosen: best_fit, first_fit, last_fit or sparse
    #[arg(long, value_parser = strategy)]
    strategy: Option<Strategy>,
    /// How long released blocks stay out of circulation
    #[arg(long = "release-cooldown", value_name = "SECONDS")]
    release_cooldown_seconds: Option<u32>,
    /// All labels that an allocation must have to get space here; may be given several times
    #[arg(long = "required-label", value_name = "KEY[=VALUE|VALUE]", value_parser = required)]
    required_labels: Vec<(String, Vec<String>)>,
    /// No labels are required
    #[arg(long, conflicts_with = "required_labels")]
    no_required_labels: bool,
    #[command(flatten)]
    labels: LabelChanges,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Change {
    /// All ranges afterwards; nothing, if they are not to be changed.
    fn ranges(&self, found: &Pool) -> Result<Option<Vec<Cidr>>, Failure> {
        if self.add_ranges.is_empty() && self.remove_ranges.is_empty() {
            return Ok(None);
        }
        if let Some(unknown) = self
            .remove_ranges
            .iter()
            .find(|range| !found.ranges.contains(range))
        {
            let ranges = Value::from(&found.ranges).shown();
            return Err(Failure::Usage(format!(
                "the pool has no range {unknown}; it has {ranges}"
            )));
        }
        let mut ranges = found.ranges.clone();
        ranges.retain(|range| !self.remove_ranges.contains(range));
        for range in &self.add_ranges {
            if !ranges.contains(range) {
                ranges.push(*range);
            }
        }
        Ok(Some(ranges))
    }

    fn required(&self) -> Result<Option<RequiredLabels>, Failure> {
        match (self.no_required_labels, self.required_labels.is_empty()) {
            (true, _) => Ok(Some(RequiredLabels::new())),
            (false, true) => Ok(None),
            (false, false) => required_labels(&self.required_labels).map(Some),
        }
    }
}

impl Noun for Pool {
    const PLURAL: &'static str = "pools";
    const ABOUT: &'static str = "Pools: named ranges from which space is handed out";
    const WHICH: &'static str = "Its name, VRF/NAME, or its id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", |it| (&it.name).into()),
        Column::new("vrf", |it| (&it.vrf).into()),
        Column::new("parent", |it| Value::of(it.parent.as_ref())),
        Column::new("ranges", |it| (&it.ranges).into()),
        Column::new("utilisation", |it| Value::Fraction(it.utilisation)),
        Column::new("total_addresses", |it| it.total_addresses.into()),
        Column::wide("used_addresses", |it| it.used_addresses.into()),
        Column::new("largest_free", |it| {
            Value::of(it.largest_free_prefix_length.map(|it| format!("/{it}")))
        }),
        Column::wide("free", |it| {
            let free = it
                .free
                .iter()
                .map(|it| format!("{} of /{}", it.count, it.prefix_length));
            (&free.collect::<Vec<_>>()).into()
        }),
        Column::new("labels", |it| (&it.labels).into()),
        Column::new("description", |it| it.description.as_str().into()),
        Column::wide("family", |it| it.family.write().into()),
        Column::wide("min_prefix_length", |it| {
            Value::length(it.min_prefix_length)
        }),
        Column::wide("max_prefix_length", |it| {
            Value::length(it.max_prefix_length)
        }),
        Column::wide("default_prefix_length", |it| {
            Value::of(it.default_prefix_length)
        }),
        Column::wide("reserved_addresses", |it| it.reserved_addresses.into()),
        Column::wide("strategy", |it| it.strategy.as_str().into()),
        Column::wide("release_cooldown_seconds", |it| {
            it.release_cooldown_seconds.into()
        }),
        Column::wide("required_labels", |it| (&it.required_labels).into()),
        Column::wide("created_by", |it| Value::of(it.created_by.as_ref())),
    ];
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = Infallible;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        let request = NewPool {
            name: new.name,
            vrf: new.vrf,
            family: new.family,
            parent: new.parent,
            ranges: new.ranges,
            range_prefix_lengths: new.range_prefix_lengths,
            min_prefix_length: new.min_prefix_length,
            max_prefix_length: new.max_prefix_length,
            default_prefix_length: new.default_prefix_length,
            reserved_addresses: new.reserved_addresses,
            strategy: new.strategy,
            release_cooldown_seconds: new.release_cooldown_seconds,
            labels: new.labels.labels()?,
            required_labels: required_labels(&new.required_labels)?,
            description: new.description,
        };
        done(client.create_pool(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = PoolFilter {
            name: filter.name,
            vrf: filter.vrf,
            label: filter.label,
            parent: filter.parent,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..PoolFilter::default()
        };
        done(client.first_pools(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        let (vrf, bare) = match which.split_once('/') {
            None if fits_path(which) => return done(client.get_pool(which, None).await),
            None => (None, which),
            Some((vrf, bare)) => (Some(vrf), bare),
        };
        let mut pools = done(client.find_pools(&name(bare)?, vrf).await)?;
        found(pools.pop(), "pool", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let labels = change.labels.applied(&found.labels)?;
        let ranges = change.ranges(found)?;
        let is_by_what_was_read = labels.is_some() || ranges.is_some();
        let revision = revision.or(is_by_what_was_read.then_some(found.revision));
        let patch = some_change(PoolPatch {
            ranges,
            required_labels: change.required()?,
            name: change.name,
            add_range_prefix_lengths: change.add_range_prefix_lengths,
            min_prefix_length: change.min_prefix_length,
            max_prefix_length: change.max_prefix_length,
            default_prefix_length: match change.no_default_prefix_length {
                true => Some(None),
                false => change.default_prefix_length.map(Some),
            },
            reserved_addresses: change.reserved_addresses,
            strategy: change.strategy,
            release_cooldown_seconds: change.release_cooldown_seconds,
            labels,
            description: change.description,
        })?;
        done(client.update_pool(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_pool(found.id, revision).await)?;
        Ok(String::new())
    }

    async fn more(verb: Infallible) -> Result<String, Failure> {
        match verb {}
    }
}
