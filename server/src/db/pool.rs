//! Pools, their ranges, and the members of profiles that cut blocks from them.

use ipam_shared::{
    api::pool::{FreeBlocks, NewPool, Pool, PoolFilter, PoolPatch, Strategy},
    cidr::{Cidr, Family},
    ids::{Claim, PoolId, VrfId},
};
use sqlx::{query, types::ipnet::IpNet};

use crate::{
    db::{
        Connection, convert,
        event::{self, Event, recorded},
        ledger::{Ledger, ledger},
        ownership::Made,
    },
    error::{Error, Result},
    network::{Range, RangeId},
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
        .flat_map(|row| ranges(PoolId(row.pool_id), row.range_ids, row.cidrs))
        .collect())
}

fn ranges(pool: PoolId, ids: Vec<RangeId>, nets: Vec<IpNet>) -> impl Iterator<Item = Range> {
    ids.into_iter().zip(nets).map(move |(id, net)| Range {
        id,
        pool,
        cidr: Cidr::from(net),
    })
}

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

/// The VRF of a pool, which never changes.
pub async fn vrf(db: &mut Connection, id: PoolId) -> Result<VrfId> {
    let row = query!("select vrf_id from pool where pool_id = $1", id.0)
        .fetch_one(db)
        .await?;
    Ok(VrfId(row.vrf_id))
}

/// A pool that was made.
#[derive(Clone, Debug)]
pub struct Inserted {
    /// Its ranges.
    pub ranges: Vec<Range>,
    /// Whether some reservation of the VRF overlaps one of them.
    pub has_reservations: bool,
}

/// Makes a pool with ranges that are cut from no other, unless its VRF has one of that name, or is not called so any more.
/// Each range is one free block then.
pub async fn insert(
    db: &mut Connection,
    id: PoolId,
    (vrf, vrf_name): (VrfId, &str),
    (parent, family): (Option<PoolId>, Family),
    new: &NewPool,
    made: &Made<'_>,
    events: &[Event<'_>],
) -> Result<Option<Inserted>> {
    let columns = event::Columns::of(events);
    let nets = convert::nets(new.ranges.iter().copied().filter(|_| parent.is_none()));
    let row = query!(
        r#"with made as (
            insert into pool (pool_id, vrf_id, parent_pool_id, name, family, min_prefix_length, max_prefix_length,
                default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, labels, required_labels,
                description, created_by, owner, claim)
            select $6, vrf_id, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
            from vrf where vrf_id = $7 and name = $23
            on conflict (vrf_id, name) do nothing
            returning pool_id, vrf_id, family
        ), new_range as (
            insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, family, new.cidr from made, unnest($24::cidr[]) as new (cidr)
            returning range_id, cidr
        ), new_event as (
            insert into event (action, subject, actor, request_id, detail)
            select new.* from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[])
                as new (action, subject, actor, request_id, detail)
            where exists (select from made)
        )
        select exists (select from made) as "is_made!",
            (select coalesce(array_agg(range_id order by range_id), '{}') from new_range) as "range_ids!",
            (select coalesce(array_agg(cidr order by range_id), '{}') from new_range) as "cidrs!",
            exists (
                select from unnest($24::cidr[]) as new (cidr)
                    join reservation on reservation.vrf_id = $7 and reservation.cidr && new.cidr
            ) as "has_reservations!""#,
        &columns.actions,
        &columns.subjects,
        &columns.actors,
        &columns.requests,
        &columns.details,
        id.0,
        vrf.0,
        parent.map(|id| id.0),
        new.name.as_str(),
        if family == Family::Ipv4 { 4 } else { 6 },
        i16::from(new.min_prefix_length),
        i16::from(new.max_prefix_length.unwrap_or(family.bits())),
        new.default_prefix_length.map(i16::from),
        i32::try_from(new.reserved_addresses).unwrap_or(i32::MAX),
        new.strategy.as_str(),
        i32::try_from(new.release_cooldown_seconds).unwrap_or(i32::MAX),
        convert::labels_json(&new.labels)?,
        convert::required_labels_json(&new.required_labels)?,
        new.description,
        made.by,
        made.owner(),
        made.claim.0,
        vrf_name,
        &nets
    )
    .fetch_one(db)
    .await?;
    Ok(row.is_made.then(|| Inserted {
        ranges: ranges(id, row.range_ids, row.cidrs).collect(),
        has_reservations: row.has_reservations,
    }))
}

/// Changes a pool; its revision grows also when only its ranges change.
pub async fn update(
    db: &mut Connection,
    id: PoolId,
    patch: &PoolPatch,
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        "update pool set name = coalesce($7, name), min_prefix_length = coalesce($8, min_prefix_length),
            max_prefix_length = coalesce($9, max_prefix_length),
            default_prefix_length = case when $10 then $11 else default_prefix_length end,
            reserved_addresses = coalesce($12, reserved_addresses), strategy = coalesce($13, strategy),
            release_cooldown_seconds = coalesce($14, release_cooldown_seconds), labels = coalesce($15, labels),
            required_labels = coalesce($16, required_labels), description = coalesce($17, description),
            revision = revision + 1
        where pool_id = $6",
        id.0,
        patch.name.as_ref().map(|name| name.as_str()),
        patch.min_prefix_length.map(i16::from),
        patch.max_prefix_length.map(i16::from),
        patch.default_prefix_length.is_some(),
        patch.default_prefix_length.flatten().map(i16::from),
        patch
            .reserved_addresses
            .map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
        patch.strategy.map(Strategy::as_str),
        patch
            .release_cooldown_seconds
            .map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
        patch
            .labels
            .as_ref()
            .map(convert::labels_json)
            .transpose()?,
        patch
            .required_labels
            .as_ref()
            .map(convert::required_labels_json)
            .transpose()?,
        patch.description.as_deref()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a pool with ranges in which nothing is but what has cooled down, and that are no other pool's parent. What is in the
/// way is refused by the constraints. The blocks that its ranges are in a parent are ended by the ledger.
pub async fn delete(
    db: &mut Connection,
    id: PoolId,
    ledger: &Ledger,
    events: &[Event<'_>],
) -> Result<()> {
    ledger!(
        ledger,
        events,
        ", cooled as (
            delete from cooldown using pool_range
            where pool_range.pool_id = $37 and cooldown.range_id = pool_range.range_id and free_at <= now()
            returning cooldown.range_id, cooldown.cidr
        ), free as (
            delete from block using cooled where block.range_id = cooled.range_id and block.cidr = cooled.cidr
        ), gone as (
            delete from pool_range where pool_id = $37
        )
        delete from pool where pool_id = $37",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
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

pub(super) fn family(number: i16) -> Family {
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
