//! The free list and its counts by size.

use std::collections::{BTreeMap, HashMap};

use ipam_shared::{cidr::Cidr, ids::PoolId};
use sqlx::{query, types::ipnet::IpNet};

use crate::{
    db::{Connection, convert},
    error::Result,
    network::{Changes, Place, RangeId},
};

/// For each (range, host bits) pair, of every size from there on the `limit` free blocks with the lowest addresses, or with
/// `highest` those with the highest, that do not lie in one of `avoid`. Read it after the pools are locked.
pub async fn by_address(
    db: &mut Connection,
    wanted: &[(RangeId, u8)],
    highest: bool,
    avoid: &[Cidr],
    limit: i64,
) -> Result<Vec<Place>> {
    let (ranges, sizes): (Vec<RangeId>, Vec<i16>) = wanted
        .iter()
        .map(|(range, bits)| (*range, i16::from(*bits)))
        .unzip();
    let avoid = convert::nets(avoid.iter().copied());
    macro_rules! by_address {
        ($direction:literal) => {
            query!(
                r#"select free.range_id, free.cidr from unnest($1::integer[], $2::smallint[]) as wanted (range_id, host_bits)
                    join free_count on free_count.range_id = wanted.range_id and free_count.host_bits >= wanted.host_bits
                        and free_count.blocks > 0
                    cross join lateral (
                        select range_id, cidr from free_block
                        where free_block.range_id = free_count.range_id and free_block.host_bits = free_count.host_bits
                            and not cidr <<= any($3::inet[])
                        order by free_block.cidr "# + $direction + r#" limit $4
                    ) as free"#,
                &ranges,
                &sizes,
                &avoid,
                limit
            )
            .fetch_all(db)
            .await?
            .into_iter()
            .map(|row| Place {
                range: row.range_id,
                cidr: Cidr::from(row.cidr),
            })
            .collect()
        };
    }
    Ok(if highest {
        by_address!("desc")
    } else {
        by_address!("asc")
    })
}

/// Host bits of the largest free block of each of these pools that has one.
pub async fn largest(db: &mut Connection, pools: &[PoolId]) -> Result<HashMap<PoolId, u8>> {
    let ids: Vec<_> = pools.iter().map(|id| id.0).collect();
    query!(
        r#"select pool_id, max(host_bits) as "host_bits!" from free_count join pool_range using (range_id)
        where pool_id = any($1) and blocks > 0 group by pool_id"#,
        &ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| Ok((PoolId(row.pool_id), convert::small(row.host_bits)?)))
    .collect()
}

/// Those of these networks that are free blocks.
pub async fn find(db: &mut Connection, places: &[Place]) -> Result<Vec<Place>> {
    let (ranges, sizes, nets) = columns(places);
    let rows = query!(
        r#"select free_block.range_id, free_block.cidr
        from unnest($1::integer[], $2::smallint[], $3::cidr[]) as wanted (range_id, host_bits, cidr)
            join free_block using (range_id, host_bits, cidr)"#,
        &ranges,
        &sizes,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Place {
            range: row.range_id,
            cidr: Cidr::from(row.cidr),
        })
        .collect())
}

/// Range, host bits and network of some places.
pub(super) type PlaceColumns = (Vec<RangeId>, Vec<i16>, Vec<IpNet>);

/// Changes of the free list and of its counts, a vector per column.
#[derive(Debug)]
pub struct Columns {
    pub removed: PlaceColumns,
    pub added: PlaceColumns,
    /// Range, host bits, and by how much the count changes.
    pub counts: (Vec<RangeId>, Vec<i16>, Vec<i64>),
}

impl Columns {
    /// The columns of some changes.
    pub fn of(changes: &Changes) -> Self {
        let mut counts: BTreeMap<(RangeId, i16), i64> = BTreeMap::new();
        for (places, one) in [(&changes.removed, -1), (&changes.added, 1)] {
            for place in places {
                *counts
                    .entry((place.range, place.cidr.host_bits().into()))
                    .or_default() += one;
            }
        }
        counts.retain(|_, change| *change != 0);
        let ((ranges, sizes), changed) = counts.into_iter().unzip();
        Self {
            removed: columns(&changes.removed),
            added: columns(&changes.added),
            counts: (ranges, sizes, changed),
        }
    }
}

/// Writes changes of the free list, and its counts with them.
pub async fn update(db: &mut Connection, changes: &Changes) -> Result<()> {
    let free = Columns::of(changes);
    query!(
        "with removed as (
            delete from free_block using unnest($1::integer[], $2::smallint[], $3::cidr[]) as gone (range_id, host_bits, cidr)
            where free_block.range_id = gone.range_id and free_block.host_bits = gone.host_bits
                and free_block.cidr = gone.cidr
        ), added as (
            insert into free_block (range_id, host_bits, cidr)
            select * from unnest($4::integer[], $5::smallint[], $6::cidr[])
        )
        update free_count set blocks = blocks + changed.change
        from unnest($7::integer[], $8::smallint[], $9::bigint[]) as changed (range_id, host_bits, change)
        where free_count.range_id = changed.range_id and free_count.host_bits = changed.host_bits",
        &free.removed.0,
        &free.removed.1,
        &free.removed.2,
        &free.added.0,
        &free.added.1,
        &free.added.2,
        &free.counts.0,
        &free.counts.1,
        &free.counts.2,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) fn columns(places: &[Place]) -> PlaceColumns {
    (
        places.iter().map(|place| place.range).collect(),
        places
            .iter()
            .map(|place| place.cidr.host_bits().into())
            .collect(),
        convert::nets(places.iter().map(|place| place.cidr)),
    )
}
