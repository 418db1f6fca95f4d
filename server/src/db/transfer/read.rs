//! What is stored, as the records that a file would have of it: each statement names its columns as the file does.

use ipam_shared::{api::transfer::Record, ids::AllocationId};
use sqlx::{query, query_scalar, types::Json};
use uuid::Uuid;

use crate::{
    db::Connection,
    error::{Error, Result},
    network::RangeId,
};

/// A record as SQL builds it. The query macros call their own rows `Record`.
type JsonRecord = Json<Record>;

/// Records built from rows.
fn records(rows: Vec<JsonRecord>) -> Vec<Record> {
    rows.into_iter().map(|Json(record)| record).collect()
}

/// All VRFs, by name, `default` first.
pub async fn vrfs(db: &mut Connection) -> Result<Vec<Record>> {
    let rows = query_scalar!(
        r#"select to_jsonb(stored) as "record!: JsonRecord" from (
            select 'vrf' as kind, name as vrf, description, labels, vrf_id as id, created_at, created_by, owner, claim,
                confirmed_at is not null as confirmed
            from vrf
        ) as stored order by vrf <> 'default', vrf"#
    );
    Ok(records(rows.fetch_all(db).await?))
}

/// A range of a pool, or a pool that has none.
#[derive(Clone, Debug)]
pub struct StoredRange {
    /// Its key, if it is a range.
    pub id: Option<RangeId>,
    /// The range that it is cut from.
    pub parent: Option<RangeId>,
    /// The pool, with this range.
    pub record: Record,
}

/// All pools, a record per range: parents before their children, by VRF and name, ranges in address order.
pub async fn pools(db: &mut Connection) -> Result<Vec<StoredRange>> {
    let rows = query!(
        r#"with recursive tree (pool_id, depth) as (
            select pool_id, 0 from pool where parent_pool_id is null
            union all
            select pool.pool_id, depth + 1 from tree join pool on pool.parent_pool_id = tree.pool_id
        )
        select range_id as "range_id?", parent_range_id as "parent_range_id?",
            to_jsonb(stored) - '{depth,range_id,parent_range_id}'::text[] as "record!: JsonRecord"
        from (
            select 'pool' as kind, depth, pool_range.range_id, parent_range_id, vrf.name as vrf, pool.name as pool, pool_range.cidr,
                since, pool.description, pool.labels, parent.name as parent,
                case pool.family when 4 then 'ipv4' else 'ipv6' end as family, pool.min_prefix_length,
                pool.max_prefix_length, pool.default_prefix_length, pool.reserved_addresses, pool.strategy,
                pool.release_cooldown_seconds, nullif(pool.required_labels, '{}') as required_labels, pool.pool_id as id,
                pool.created_at, pool.created_by, pool.owner, pool.claim, pool.confirmed_at is not null as confirmed
            from tree join pool using (pool_id) join vrf using (vrf_id)
                left join pool as parent on parent.pool_id = pool.parent_pool_id
                left join pool_range on pool_range.pool_id = pool.pool_id
                left join block on block.range_id = parent_range_id and block.cidr = pool_range.cidr
        ) as stored order by vrf <> 'default', vrf, depth, pool, cidr"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StoredRange {
            id: row.range_id,
            parent: row.parent_range_id,
            record: row.record.0,
        })
        .collect())
}

/// The members of all profiles, by profile and position: those in force, and those that blocks still keep to. Each with its
/// key.
pub async fn members(db: &mut Connection) -> Result<Vec<(i32, Record)>> {
    let rows = query!(
        r#"select member_id as "member_id!", to_jsonb(stored) - 'member_id' as "record!: JsonRecord" from (
            select 'profile_member' as kind, member_id, name as profile, role, pool_name as pool, description,
                min_prefix_length, max_prefix_length, position, size_offset, profile_id as id, created_at, created_by,
                owner, claim, confirmed_at is not null as confirmed, retired_at
            from profile join profile_member using (profile_id)
            where retired_at is null or member_id in (select distinct member_id from block)
        ) as stored order by profile, retired_at nulls last, position, member_id"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.member_id, row.record.0))
        .collect())
}

/// The columns of a VPC, from `vpc` and its VRF, which a condition follows.
macro_rules! vpcs {
    ($columns:literal, $rest:literal, $($value:expr),+) => {
        query!(
            "select " + $columns + r#" to_jsonb(stored) as "record!: JsonRecord" from (
                select 'vpc' as kind, vrf.name as vrf, vpc.name as vpc, vpc.description, vpc.labels, vpc_id as id,
                    vpc.created_at, nullif(implicit, false) as implicit, vpc.created_by, vpc.owner, vpc.claim,
                    vpc.confirmed_at is not null as confirmed
                from vpc join vrf using (vrf_id)
            ) as stored "# + $rest,
            $($value),+
        )
    };
}

/// VPCs in the order of their ids, after that one.
pub async fn vpcs(db: &mut Connection, after: Uuid, limit: i64) -> Result<Vec<Record>> {
    let rows = vpcs!("", "where id > $1 order by id limit $2", after, limit)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.record.0).collect())
}

/// The VPCs with these names, whatever their case, each with the place of its name.
pub async fn vpcs_named(db: &mut Connection, names: &[String]) -> Result<Vec<(usize, Record)>> {
    let rows = vpcs!(
        r#"place as "place!", "#,
        "join unnest($1::text[]) with ordinality as wanted (name, place) on lower(vpc collate \"C\") = lower(wanted.name collate \"C\")",
        names
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (super::place(row.place), row.record.0))
        .collect())
}

/// All reservations, and what else is out of circulation for good, by VRF and address. Those without an id are blocks that
/// somebody took out of circulation by hand, with SQL.
pub async fn reservations(db: &mut Connection) -> Result<Vec<Record>> {
    let rows = query_scalar!(
        r#"select to_jsonb(stored) as "record!: JsonRecord" from (
            select 'reservation' as kind, vrf.name as vrf, cidr, reason, reserved.labels, id, reserved.created_by,
                reserved.owner, reserved.claim, confirmed, reserved.created_at
            from (
                select reservation_id as id, vrf_id, cidr, reason, labels, created_by, created_at, owner, claim,
                    confirmed_at is not null as confirmed
                from reservation
                union all
                select null, vrf_id, block.cidr, reason, '{}', null, since, null, null, null
                from block join pool_range using (range_id) where reason not in ('child_range', 'cooldown')
            ) as reserved join vrf using (vrf_id)
        ) as stored order by vrf <> 'default', vrf, cidr"#
    );
    Ok(records(rows.fetch_all(db).await?))
}

/// A block that is kept, with the range that it lies in.
#[derive(Clone, Debug)]
pub struct StoredBlock {
    /// The range.
    pub range: RangeId,
    /// What has the block, with this block.
    pub record: Record,
}

/// Ids of allocations in their order, after that one.
pub async fn allocation_ids(
    db: &mut Connection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<AllocationId>> {
    let rows = query_scalar!(
        "select allocation_id from allocation where allocation_id > $1 order by allocation_id limit $2",
        after,
        limit
    );
    let ids = rows.fetch_all(db).await?;
    Ok(ids.into_iter().map(AllocationId).collect())
}

/// Allocations, a record per block, in the order of `ids` and of their profiles.
pub async fn allocations(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<StoredBlock>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let rows = query!(
        r#"select id as "id!", range_id as "range_id?",
            to_jsonb(stored) - '{place,member_position,range_id}'::text[] as "record!: JsonRecord"
        from (
            select 'allocation' as kind, place, position as member_position, block.range_id, vpc_vrf.name as vrf,
                case when pool.vrf_id = vpc.vrf_id then pool.name else vrf.name || '/' || pool.name end as pool,
                block.cidr, vpc.name as vpc, allocation.name, profile.name as profile, coalesce(role, 'main') as role,
                allocation.description, allocation.labels, deletion_protection, block.min_prefix_length,
                block.max_prefix_length, block.size_offset, requested_hosts, requested_prefix_length, requested_cidr,
                request -> 'pools' as requested_pools, request -> 'pool_selector' as requested_pool_selector,
                nullif(request -> 'exclude_cidrs', '[]') as exclude_cidrs, allocation.allocation_id as id, number,
                allocation.created_by, allocation.owner, allocation.created_at,
                -- Most blocks are as old as their allocation.
                nullif(block.since, allocation.created_at) as since, allocation.claim,
                allocation.confirmed_at is not null as confirmed, retired_at
            from unnest($1::uuid[]) with ordinality as wanted (allocation_id, place)
                join allocation using (allocation_id)
                join vpc using (vpc_id)
                join vrf as vpc_vrf on vpc_vrf.vrf_id = vpc.vrf_id
                left join profile using (profile_id)
                left join block on block.allocation_id = allocation.allocation_id
                left join profile_member using (member_id)
                left join pool_range on pool_range.range_id = block.range_id
                left join pool using (pool_id)
                left join vrf on vrf.vrf_id = pool.vrf_id
        ) as stored order by place, member_position"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let range = row.range_id;
            Ok(StoredBlock {
                range: range
                    .ok_or_else(|| Error::bug(format!("allocation {} has no blocks", row.id)))?,
                record: row.record.0,
            })
        })
        .collect()
}

/// All blocks that cool down, by VRF and address.
pub async fn cooldowns(db: &mut Connection) -> Result<Vec<StoredBlock>> {
    let rows = query!(
        r#"select range_id as "range_id!", to_jsonb(stored) - 'range_id' as "record!: JsonRecord" from (
            select 'cooldown' as kind, range_id, vrf.name as vrf, pool.name as pool, cooldown.cidr, vpc, cooldown.name,
                role, cooldown.allocation_id as id, since, free_at as until, released_at
            from cooldown join block using (range_id, cidr) join pool_range using (range_id) join pool using (pool_id)
                join vrf on vrf.vrf_id = pool.vrf_id
        ) as stored order by vrf <> 'default', vrf, cidr"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StoredBlock {
            range: row.range_id,
            record: row.record.0,
        })
        .collect())
}

/// Blocks that are no more, in the order in which they ended, after the one of that key, and each with its key.
pub async fn past_after(db: &mut Connection, after: i64, limit: i64) -> Result<Vec<(i64, Record)>> {
    let rows = query!(
        r#"select past_block_id as "key!", to_jsonb(stored) - 'past_block_id' as "record!: JsonRecord" from (
            select 'past_block' as kind, past_block_id, case when vrf.name is null then past_block.vrf_id end as vrf_id,
                vrf.name as vrf, pool, pool_id, cidr, vpc, past_block.name, role, reason,
                coalesce(allocation_id, reservation_id) as id, since, until
            from past_block left join vrf using (vrf_id)
            where past_block_id > $1 order by past_block_id limit $2
        ) as stored order by past_block_id"#,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.key, row.record.0))
        .collect())
}
