//! Pools, their ranges, and the members of profiles that cut blocks from them.

use ipam_shared::{
    api::pool::{FreeBlocks, Pool, Strategy},
    cidr::{Cidr, Family},
    ids::PoolId,
};
use sqlx::query;

use crate::{
    db::{Connection, convert},
    domain::plan::{Range, RangeId},
    error::{Error, Result},
};

/// Locks pools, in the order of their ids, and answers their ranges.
pub async fn lock(db: &mut Connection, pools: &[PoolId]) -> Result<Vec<Range>> {
    let ids: Vec<_> = pools.iter().map(|id| id.0).collect();
    let rows = query!(
        r#"select pool_id,
            array(select range_id from pool_range where pool_id = pool.pool_id order by range_id) as "range_ids!",
            array(select cidr from pool_range where pool_id = pool.pool_id order by range_id) as "cidrs!"
        from pool where pool_id = any($1) order by pool_id for no key update"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .flat_map(|row| {
            let pool = PoolId(row.pool_id);
            row.range_ids
                .into_iter()
                .zip(row.cidrs)
                .map(move |(id, net)| Range {
                    id,
                    pool,
                    cidr: Cidr::from(net),
                })
        })
        .collect())
}

/// All pools with what is left of them, by VRF and name; or one of them, by id or name.
pub async fn list(
    db: &mut Connection,
    id: Option<PoolId>,
    name: Option<&str>,
    vrf: Option<&str>,
) -> Result<Vec<Pool>> {
    query!(
        r#"select pool_id, pool.name, vrf.name as vrf, family, min_prefix_length, max_prefix_length,
            default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, pool.labels, required_labels,
            pool.description, pool.revision, pool.created_at, parent_pool_id,
            (select name from pool as parent where parent.pool_id = pool.parent_pool_id) as parent,
            array(select cidr from pool_range where pool_id = pool.pool_id order by cidr) as "ranges!",
            coalesce(free.host_bits, '{}') as "host_bits!", coalesce(free.counts, '{}') as "counts!"
        from pool join vrf using (vrf_id)
            left join lateral (
                select array_agg(host_bits order by host_bits desc) as host_bits,
                    array_agg(blocks order by host_bits desc) as counts
                from (
                    select host_bits, sum(blocks)::bigint as blocks
                    from free_count join pool_range using (range_id)
                    where pool_id = pool.pool_id group by host_bits having sum(blocks) > 0
                ) as by_size
            ) as free on true
        where ($1::uuid is null or pool_id = $1) and ($2::text is null or pool.name = $2)
            and ($3::text is null or vrf.name = $3)
        order by vrf.name <> 'default', vrf.name, pool.name"#,
        id.map(|id| id.0),
        name,
        vrf
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let family = family(row.family);
        let ranges: Vec<Cidr> = row.ranges.into_iter().map(Cidr::from).collect();
        let free = row
            .host_bits
            .into_iter()
            .zip(row.counts)
            .map(|(host_bits, count)| {
                let prefix_length = family.bits().saturating_sub(convert::small(host_bits)?);
                Ok(FreeBlocks { prefix_length, count: convert::count(count)? })
            })
            .collect::<Result<Vec<_>>>()?;
        let total = ranges.iter().map(|cidr| cidr.addresses()).fold(0, u128::saturating_add);
        let used = total.saturating_sub(free_addresses(family, &free));
        Ok(Pool {
            id: PoolId(row.pool_id),
            name: row.name,
            vrf: row.vrf,
            family,
            parent: row.parent,
            parent_id: row.parent_pool_id.map(PoolId),
            ranges,
            min_prefix_length: convert::small(row.min_prefix_length)?,
            max_prefix_length: convert::small(row.max_prefix_length)?,
            default_prefix_length: row.default_prefix_length.map(convert::small).transpose()?,
            reserved_addresses: reserved(row.reserved_addresses)?,
            strategy: strategy(&row.strategy)?,
            release_cooldown_seconds: u32::try_from(row.release_cooldown_seconds).unwrap_or_default(),
            labels: convert::labels(row.labels)?,
            required_labels: convert::required_labels(row.required_labels)?,
            description: row.description,
            revision: row.revision,
            created_at: row.created_at,
            total_addresses: total,
            used_addresses: used,
            utilisation: if total == 0 { 0.0 } else { used as f64 / total as f64 },
            largest_free_prefix_length: free.first().map(|free| free.prefix_length),
            free,
        })
    })
    .collect()
}

/// Free blocks of some ranges by size, largest first.
pub async fn free_counts(
    db: &mut Connection,
    family: Family,
    ranges: &[RangeId],
) -> Result<Vec<FreeBlocks>> {
    query!(
        r#"select host_bits, sum(blocks)::bigint as "blocks!" from free_count
        where range_id = any($1) group by host_bits having sum(blocks) > 0 order by host_bits desc"#,
        ranges
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let prefix_length = family.bits().saturating_sub(convert::small(row.host_bits)?);
        Ok(FreeBlocks { prefix_length, count: convert::count(row.blocks)? })
    })
    .collect()
}

/// Addresses in free blocks.
pub fn free_addresses(family: Family, free: &[FreeBlocks]) -> u128 {
    free.iter()
        .map(|free| {
            let size = 1_u128
                .checked_shl((family.bits() - free.prefix_length).into())
                .unwrap_or(u128::MAX);
            size.saturating_mul(free.count.into())
        })
        .fold(0, u128::saturating_add)
}

pub(super) fn family(number: i16) -> Family {
    if number == 4 {
        Family::Ipv4
    } else {
        Family::Ipv6
    }
}

pub(super) fn reserved(number: i32) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_| Error::bug(format!("stored reserved_addresses {number} is negative")))
}

pub(super) fn strategy(text: &str) -> Result<Strategy> {
    Strategy::ALL
        .into_iter()
        .find(|strategy| strategy.as_str() == text)
        .ok_or_else(|| Error::bug(format!("stored strategy {text:?} is not known")))
}
