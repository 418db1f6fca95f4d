//! The free list and its counts by size.

use std::collections::BTreeMap;

use ipam_shared::cidr::Cidr;
use sqlx::query;

use crate::{
    db::{Connection, convert},
    domain::plan::{Changes, Place, RangeId},
    error::Result,
};

/// For each (range, host bits) pair, the first `limit` free blocks that hold that size, smallest and lowest first.
/// Read it after the pools are locked: the statement sees what was committed before it began.
pub async fn candidates(
    db: &mut Connection,
    wanted: &[(RangeId, u8)],
    limit: i64,
) -> Result<Vec<Place>> {
    let (ranges, sizes): (Vec<RangeId>, Vec<i16>) = wanted
        .iter()
        .map(|(range, bits)| (*range, i16::from(*bits)))
        .unzip();
    let rows = query!(
        r#"select free.range_id, free.cidr from unnest($1::integer[], $2::smallint[]) as wanted (range_id, host_bits)
        cross join lateral (
            select range_id, cidr from free_block
            where free_block.range_id = wanted.range_id and free_block.host_bits >= wanted.host_bits
            order by free_block.host_bits, free_block.cidr limit $3
        ) as free"#,
        &ranges,
        &sizes,
        limit
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

/// Writes changes of the free list, and its counts with them.
pub async fn update(db: &mut Connection, changes: &Changes) -> Result<()> {
    let mut counts: BTreeMap<(RangeId, i16), i64> = BTreeMap::new();
    for (places, one) in [(&changes.removed, -1), (&changes.added, 1)] {
        for place in places {
            *counts
                .entry((place.range, place.cidr.host_bits().into()))
                .or_default() += one;
        }
    }
    counts.retain(|_, change| *change != 0);
    let (removed_ranges, removed_sizes, removed_nets) = columns(&changes.removed);
    let (added_ranges, added_sizes, added_nets) = columns(&changes.added);
    let ((count_ranges, count_sizes), count_changes): ((Vec<_>, Vec<_>), Vec<_>) =
        counts.into_iter().unzip();
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
        &removed_ranges,
        &removed_sizes,
        &removed_nets,
        &added_ranges,
        &added_sizes,
        &added_nets,
        &count_ranges,
        &count_sizes,
        &count_changes,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn columns(places: &[Place]) -> (Vec<RangeId>, Vec<i16>, Vec<sqlx::types::ipnet::IpNet>) {
    (
        places.iter().map(|place| place.range).collect(),
        places
            .iter()
            .map(|place| place.cidr.host_bits().into())
            .collect(),
        convert::nets(places.iter().map(|place| place.cidr)),
    )
}
