//! What is around the blocks of a part: the free networks, when something changed, and how far its blocks reach.

use ipam_shared::cidr::Cidr;
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;

use super::{Part, columns};
use crate::{db::Connection, error::Result, network::Place};

/// When something began or ended in these parts: the last time before a moment and the first after it, among the first
/// thousand blocks and as many ends.
pub async fn moments(
    db: &mut Connection,
    parts: &[Part],
    at: OffsetDateTime,
) -> Result<(Option<OffsetDateTime>, Option<OffsetDateTime>)> {
    let pools: Vec<_> = parts.iter().map(|part| part.pool.0).collect();
    let (ranges, windows, lasts) = columns(parts);
    let row = query!(
        // Which blocks are the first is found in the index alone, and only these are looked at: whoever guesses how many there
        // are in a part reads all of them instead.
        r#"with moment as (
            (select since as at
            from (
                select part.range_id, inside.cidr
                from unnest($1::integer[], $3::cidr[], $5::cidr[]) as part (range_id, net, last_address)
                    cross join lateral (
                        select cidr from block where range_id = part.range_id and cidr >= part.net and cidr <= part.last_address
                        order by cidr limit 1000
                    ) as inside
                limit 1000
            ) as first cross join lateral (
                select since from block where block.range_id = first.range_id and block.cidr = first.cidr offset 0
            ) as began)
            union all
            (select unnest(array[since, until]) as at from unnest($2::uuid[], $3::cidr[]) as part (pool_id, net)
                cross join lateral (
                    select since, until from past_block where pool_id = part.pool_id and cidr && part.net limit 1000
                ) as ended
            limit 1000)
        )
        select max(at) filter (where at < $4) as before, min(at) filter (where at > $4) as after from moment"#,
        &ranges,
        &pools,
        &windows,
        at,
        &lasts
    )
    .fetch_one(db)
    .await?;
    Ok((row.before, row.after))
}

/// Whether there are more blocks than that in these parts now.
pub async fn are_more(db: &mut Connection, parts: &[Part], most: i64) -> Result<bool> {
    let (ranges, windows, lasts) = columns(parts);
    let row = query!(
        r#"select count(*) as "count!" from (
            select from unnest($1::integer[], $2::cidr[], $3::cidr[]) as part (range_id, net, last_address)
                cross join lateral (
                    select from block where range_id = part.range_id and cidr >= part.net and cidr <= part.last_address
                    order by cidr limit $4
                ) as inside
            limit $4
        ) as found"#,
        &ranges,
        &windows,
        &lasts,
        most + 1
    )
    .fetch_one(db)
    .await?;
    Ok(row.count > most)
}

/// The free networks of a part that are no smaller than `smallest`, and the one that contains the part.
pub async fn free(
    db: &mut Connection,
    part: &Part,
    smallest: u8,
    limit: i64,
) -> Result<Vec<Place>> {
    let window = IpNet::from(part.window);
    let rows = query!(
        r#"select free.cidr from free_count cross join lateral (
            select cidr from free_block
            where free_block.range_id = free_count.range_id and free_block.host_bits = free_count.host_bits
                and cidr >= $2::cidr and cidr <= $3::cidr
            order by cidr limit $5
        ) as free
        where range_id = $1 and blocks > 0 and host_bits >= $4 and free.cidr <<= $2
        union
        select cidr from free_block where range_id = $1 and host_bits >= $6 and cidr >>= $2
        order by cidr limit $5"#,
        part.range,
        window,
        IpNet::from(part.window.last()),
        i16::from(part.window.family().bits().saturating_sub(smallest)),
        limit,
        i16::from(part.window.host_bits())
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.cidr)
        .map(|cidr| Place {
            range: part.range,
            cidr: Cidr::from(cidr),
        })
        .collect())
}

/// The smallest network that holds every block of a part; none if it has no block.
pub async fn extent(db: &mut Connection, part: &Part) -> Result<Option<Cidr>> {
    let row = query!(
        r#"select (select cidr from block where range_id = $1 and cidr >= $2 and cidr <= $3 order by cidr limit 1) as first,
            (select cidr from block where range_id = $1 and cidr >= $2 and cidr <= $3 order by cidr desc limit 1) as last"#,
        part.range,
        IpNet::from(part.window),
        IpNet::from(part.window.last())
    )
    .fetch_one(db)
    .await?;
    let (Some(first), Some(last)) = (row.first.map(Cidr::from), row.last.map(Cidr::from)) else {
        return Ok(None);
    };
    let mut extent = first;
    while !extent.contains(last) {
        let Some(parent) = extent.parent() else { break };
        extent = parent;
    }
    Ok(Some(extent))
}
