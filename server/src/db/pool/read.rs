//! Pools as they are shown, and how they are found.

use ipam_shared::{
    api::pool::{FreeBlocks, Pool, PoolFilter, Strategy},
    cidr::{Cidr, Family},
    ids::{Claim, PoolId, VrfId},
};
use sqlx::query;

use crate::{
    db::{Connection, convert},
    error::{Error, Result},
};

/// Pools that pass a condition, with what is left of them, by VRF and name. First come those of `default`.
macro_rules! pools {
    ($db:expr, $condition:literal $(, $value:expr)*) => {
        query!(
            r#"select pool_id, name, vrf, family, min_prefix_length, max_prefix_length,
                default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, labels, required_labels,
                description, revision, created_at, created_by, owner, confirmed_at is not null as "confirmed!", claim as "claim!", parent_pool_id, parent as "parent?",
                array(select cidr from pool_range where pool_id = page.pool_id order by cidr) as "ranges!",
                coalesce(free.host_bits, '{}') as "host_bits!", coalesce(free.counts, '{}') as "counts!"
            from (
                select pool.*, vrf.name as vrf, parent.name as parent
                from pool join vrf using (vrf_id) left join pool as parent on parent.pool_id = pool.parent_pool_id
                where "# + $condition + r#"
            ) as page
                left join lateral (
                    select array_agg(host_bits order by host_bits desc) as host_bits,
                        array_agg(blocks order by host_bits desc) as counts
                    from (
                        select host_bits, sum(blocks)::bigint as blocks
                        from free_count join pool_range using (range_id)
                        where pool_id = page.pool_id group by host_bits having sum(blocks) > 0
                    ) as by_size
                ) as free on true
            order by vrf <> 'default', vrf, name"#
            $(, $value)*
        )
        .fetch_all($db)
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
                created_by: row.created_by,
                owner: convert::owner(row.owner)?,
                confirmed: row.confirmed,
                claim_digest: Some(Claim(row.claim).digest()),
                revision: row.revision,
                created_at: row.created_at,
                total_addresses: total,
                used_addresses: used,
                utilisation: if total == 0 { 0.0 } else { used as f64 / total as f64 },
                largest_free_prefix_length: free.first().map(|free| free.prefix_length),
                free,
                claim: None,
            })
        })
        .collect::<Result<Vec<_>>>()
    };
}

/// One pool, with what is left of it.
pub async fn get(db: &mut Connection, id: PoolId) -> Result<Option<Pool>> {
    Ok(pools!(db, "pool.pool_id = $1", id.0)?.pop())
}

/// These pools, by VRF and name.
pub async fn some(db: &mut Connection, ids: &[PoolId]) -> Result<Vec<Pool>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    pools!(db, "pool.pool_id = any($1)", &ids)
}

/// The pools that have one of these names, in every VRF.
pub async fn named(db: &mut Connection, names: &[String]) -> Result<Vec<Pool>> {
    pools!(db, "pool.name = any($1)", names)
}

/// All pools.
pub async fn all(db: &mut Connection) -> Result<Vec<Pool>> {
    pools!(db, "true")
}

/// A page of the pools that a filter lets through, after the one with that VRF and name.
pub async fn list(
    db: &mut Connection,
    filter: &PoolFilter,
    label: Option<(&str, &str)>,
    after: Option<(&str, &str)>,
    limit: u16,
) -> Result<Vec<Pool>> {
    let (vrf, name) = after.unzip();
    pools!(
        db,
        "($1::text is null or pool.name = $1) and ($2::text is null or vrf.name = $2 or vrf.vrf_id::text = $2)
            and ($3::text is null or parent.name = $3 or parent.pool_id::text = $3)
            and ($4::jsonb is null or pool.labels @> $4)
            and ($5::text is null or (vrf.name <> 'default', vrf.name, pool.name) > ($5 <> 'default', $5, $6))
            and ($7::text is null or coalesce(pool.owner, '') = $7)
            and ($8::boolean is null or (pool.confirmed_at is not null) = $8)
        order by vrf.name <> 'default', vrf.name, pool.name limit $9",
        filter.name.as_deref(),
        filter.vrf.as_deref(),
        filter.parent.as_deref(),
        label.map(|(key, value)| serde_json::json!({ key: value })),
        vrf,
        name,
        filter.owner.as_deref(),
        filter.confirmed,
        i64::from(limit)
    )
}

/// Pools with that id or name: id, and name of the VRF, by VRF.
pub async fn find(
    db: &mut Connection,
    id: Option<PoolId>,
    name: &str,
) -> Result<Vec<(PoolId, String)>> {
    let rows = query!(
        "select pool_id, vrf.name as vrf from pool join vrf using (vrf_id)
        where pool_id = $1 or pool.name = $2 order by vrf.name <> 'default', vrf.name",
        id.map(|id| id.0),
        name
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (PoolId(row.pool_id), row.vrf))
        .collect())
}

/// The pool of a VRF with that id or name; an id wins over a name that looks like one.
pub async fn find_in(
    db: &mut Connection,
    vrf: VrfId,
    id: Option<PoolId>,
    name: &str,
) -> Result<Option<PoolId>> {
    let row = query!(
        "select pool_id from pool where vrf_id = $1 and (pool_id = $2 or name = $3) order by (pool_id = $2) desc limit 1",
        vrf.0,
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| PoolId(row.pool_id)))
}

/// Names of the pools whose parent this one is.
pub async fn children(db: &mut Connection, id: PoolId) -> Result<Vec<String>> {
    let rows = query!(
        "select name from pool where parent_pool_id = $1 order by name",
        id.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.name).collect())
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

pub(in crate::db) fn family(number: i16) -> Family {
    if number == 4 {
        Family::Ipv4
    } else {
        Family::Ipv6
    }
}

pub(crate) fn reserved(number: i32) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_| Error::bug(format!("stored reserved_addresses {number} is negative")))
}

pub(crate) fn strategy(text: &str) -> Result<Strategy> {
    Strategy::ALL
        .into_iter()
        .find(|strategy| strategy.as_str() == text)
        .ok_or_else(|| Error::bug(format!("stored strategy {text:?} is not known")))
}
