//! Pools, their ranges, and the members of profiles that cut blocks from them.

pub mod growth;
mod outline;
mod read;

use ipam_shared::{
    api::pool::{NewPool, PoolPatch, Strategy},
    cidr::{Cidr, Family},
    ids::{PoolId, VrfId},
};
use sqlx::{query, types::ipnet::IpNet};

use crate::{
    db::{
        Connection, convert,
        event::{self, Event, recorded},
        ledger::{Ledger, ledger},
        ownership::Made,
    },
    error::Result,
    network::{Range, RangeId},
};

pub use self::outline::{Outlined, fullest, outline};
pub(super) use self::read::family;
pub use self::read::{all, children, find, find_in, free_addresses, get, list, named, some};
pub(crate) use self::read::{reserved, strategy};

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

/// Makes a pool with ranges that are cut from no other, unless its VRF has one of that name, or no longer has that name
/// itself. Each range is one free block then.
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
            select $7, vrf_id, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23
            from vrf where vrf_id = $8 and name = $24
            on conflict (vrf_id, name) do nothing
            returning pool_id, vrf_id, family
        ), new_range as (
            insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, family, new.cidr from made, unnest($25::cidr[]) as new (cidr)
            returning range_id, cidr
        ), new_event as (
            insert into event (action, subject, actor, request_id, detail, source)
            select new.* from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[])
                as new (action, subject, actor, request_id, detail, source)
            where exists (select from made) and (select pg_current_xact_id()) is not null
        )
        select exists (select from made) as "is_made!",
            (select coalesce(array_agg(range_id order by range_id), '{}') from new_range) as "range_ids!",
            (select coalesce(array_agg(cidr order by range_id), '{}') from new_range) as "cidrs!",
            exists (
                select from unnest($25::cidr[]) as new (cidr)
                    join reservation on reservation.vrf_id = $8 and reservation.cidr && new.cidr
            ) as "has_reservations!""#,
        &columns.actions,
        &columns.subjects,
        &columns.actors,
        &columns.requests,
        &columns.details,
        &columns.sources as &[Option<serde_json::Value>],
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
        "update pool set name = coalesce($8, name), min_prefix_length = coalesce($9, min_prefix_length),
            max_prefix_length = coalesce($10, max_prefix_length),
            default_prefix_length = case when $11 then $12 else default_prefix_length end,
            reserved_addresses = coalesce($13, reserved_addresses), strategy = coalesce($14, strategy),
            release_cooldown_seconds = coalesce($15, release_cooldown_seconds), labels = coalesce($16, labels),
            required_labels = coalesce($17, required_labels), description = coalesce($18, description),
            revision = revision + 1
        where pool_id = $7",
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

/// Deletes a pool with ranges in which nothing is but what has cooled down, and that are no other pool's parent. The
/// constraints refuse anything else. The blocks that its ranges are in a parent are ended by the ledger.
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
            where pool_range.pool_id = $38 and cooldown.range_id = pool_range.range_id and free_at <= now()
            returning cooldown.range_id, cooldown.cidr
        ), free as (
            delete from block using cooled where block.range_id = cooled.range_id and block.cidr = cooled.cidr
        ), gone as (
            delete from pool_range where pool_id = $38
        )
        delete from pool where pool_id = $38",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}
