//! `ipam free`: whether pools have room, and what would make some.

use clap_complete::engine::ArgValueCompleter;
use ipam_shared::api::pool::{FreeQuery, Pool, PoolFilter, PoolFree};

use super::{
    connection::Connection,
    listing::{Column, ListOutput, Things, facts},
    noun::{Noun as _, which},
    output::Failure,
    value::Value,
};

/// Show what is free in pools, and what would make room for a block that does not fit
#[derive(Debug, clap::Args)]
pub struct Free {
    /// Names, VRF/NAME or ids of pools; default: all that give blocks of the wanted size
    #[arg(value_name = "POOL", add = ArgValueCompleter::new(which::<Pool>))]
    pools: Vec<String>,
    /// Prefix length of the wanted block; default: that of the pool
    #[arg(long, value_name = "N", visible_alias = "prefix", value_parser = clap::value_parser!(u8).range(..=128))]
    prefix_length: Option<u8>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: &[Column<PoolFree>] = &[
    Column::new("pool", |it| (&it.pool).into()),
    Column::new("vrf", |it| (&it.vrf).into()),
    Column::wide("ranges", |it| (&it.ranges).into()),
    Column::new("wanted", |it| format!("/{}", it.prefix_length).into()),
    Column::new("fits", |it| it.fits.into()),
    Column::new("next", |it| Value::of(it.next)),
    Column::new("largest_free", |it| {
        Value::of(it.largest_free_prefix_length.map(|it| format!("/{it}")))
    }),
    Column::new("free_addresses", |it| it.free_addresses.into()),
    Column::wide("cooling_addresses", |it| it.cooling_addresses.into()),
    Column::wide("fits_if_defragmented", |it| it.fits_if_defragmented.into()),
    Column::wide("in_the_way", |it| {
        let blocks = it.fix.iter().flat_map(|fix| &fix.blocks);
        let blocks = blocks.map(|it| format!("{} ({})", it.cidr, it.owner()));
        (&blocks.collect::<Vec<_>>()).into()
    }),
    Column::wide("advice", |it| it.advice.as_str().into()),
];

impl Free {
    /// What to print.
    ///
    /// # Errors
    /// When there is no such pool, the server refuses, or it can't be asked.
    pub async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let query = FreeQuery {
            prefix_length: self.prefix_length,
        };
        let mut ids = Vec::new();
        for which in &self.pools {
            ids.push(Pool::find(&client, which).await?.id);
        }
        if self.pools.is_empty() {
            let all = client.all_pools(&PoolFilter::default()).await?;
            // Only those that give blocks of that size at all; a pool that is named is refused instead.
            let fits = |pool: &Pool| {
                let lengths = pool.min_prefix_length..=pool.max_prefix_length;
                self.prefix_length.is_none_or(|it| lengths.contains(&it))
            };
            ids.extend(all.iter().filter(|pool| fits(pool)).map(|pool| pool.id));
        }
        let mut found = Vec::new();
        for id in ids {
            found.push(client.pool_free(&id.to_string(), &query).await?);
        }
        if let ([one], [_], true) = (
            found.as_slice(),
            self.pools.as_slice(),
            self.output.is_plain_table(),
        ) {
            return Ok(facts(one, COLUMNS));
        }
        let things = Things {
            columns: COLUMNS,
            name: |it: &PoolFree| format!("{}/{}", it.vrf, it.pool),
            nothing: "pools",
        };
        self.output.many(found, &things, usize::MAX, false)
    }
}
