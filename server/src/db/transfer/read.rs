//! What is stored, as the records that a file would have of it.

use ipam_shared::{
    api::transfer::{At, Kind, Record},
    cidr::{Cidr, Family},
    ids::{AllocationId, PoolId, ReservationId, VpcId, VrfId},
};
use sqlx::query;
use uuid::Uuid;

use crate::{
    db::{Connection, convert, pool},
    error::{Error, Result},
    network::RangeId,
};

/// All VRFs, by name, `default` first.
pub async fn vrfs(db: &mut Connection) -> Result<Vec<(VrfId, Record)>> {
    query!(
        r#"select vrf_id, name, description, labels, created_at, created_by, owner, claim,
            confirmed_at is not null as "confirmed!"
        from vrf order by name <> 'default', name"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let record = Record {
            kind: Kind::Vrf,
            vrf: Some(convert::name(row.name)?),
            description: Some(row.description),
            labels: Some(convert::labels(row.labels)?),
            id: Some(row.vrf_id),
            created_at: Some(At(row.created_at)),
            created_by: row.created_by,
            owner: convert::owner(row.owner)?,
            claim: Some(row.claim),
            confirmed: Some(row.confirmed),
            ..Record::default()
        };
        Ok((VrfId(row.vrf_id), record))
    })
    .collect()
}

/// A pool, with its ranges.
#[derive(Clone, Debug)]
pub struct StoredPool {
    /// Its id.
    pub id: PoolId,
    /// Its VRF.
    pub vrf: VrfId,
    /// The pool that its ranges are cut from.
    pub parent: Option<PoolId>,
    /// Everything but a range.
    pub record: Record,
    /// Ranges in address order.
    pub ranges: Vec<StoredRange>,
}

/// A range of a pool.
#[derive(Clone, Copy, Debug)]
pub struct StoredRange {
    /// Its key.
    pub id: RangeId,
    /// The network.
    pub cidr: Cidr,
    /// The range that it is cut from.
    pub parent: Option<RangeId>,
    /// Since when it is cut from that.
    pub since: Option<At>,
}

/// All pools, parents before their children, by VRF and name.
pub async fn pools(db: &mut Connection) -> Result<Vec<StoredPool>> {
    query!(
        r#"with recursive tree (pool_id, depth) as (
            select pool_id, 0 from pool where parent_pool_id is null
            union all
            select pool.pool_id, depth + 1 from tree join pool on pool.parent_pool_id = tree.pool_id
        )
        select pool.pool_id, pool.vrf_id, vrf.name as vrf, pool.name, family, min_prefix_length, max_prefix_length,
            default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, pool.labels, required_labels,
            pool.description, pool.created_at, pool.created_by, pool.owner, pool.claim,
            pool.confirmed_at is not null as "confirmed!", parent_pool_id,
            (select name from pool as parent where parent.pool_id = pool.parent_pool_id) as "parent?",
            array(select range_id from pool_range where pool_id = pool.pool_id order by cidr) as "range_ids!",
            array(select cidr from pool_range where pool_id = pool.pool_id order by cidr) as "cidrs!",
            array(select coalesce(parent_range_id, 0) from pool_range where pool_id = pool.pool_id order by cidr)
                as "parents!",
            array(select coalesce(since, 'epoch') from pool_range
                left join block on block.range_id = parent_range_id and block.cidr = pool_range.cidr
                where pool_id = pool.pool_id order by pool_range.cidr) as "since!"
        from tree join pool using (pool_id) join vrf using (vrf_id)
        order by vrf.name <> 'default', vrf.name, depth, pool.name"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let ranges = row.range_ids.into_iter().zip(row.cidrs).zip(row.parents).zip(row.since);
        Ok(StoredPool {
            id: PoolId(row.pool_id),
            vrf: VrfId(row.vrf_id),
            parent: row.parent_pool_id.map(PoolId),
            record: Record {
                kind: Kind::Pool,
                vrf: Some(convert::name(row.vrf)?),
                pool: Some(row.name),
                description: Some(row.description),
                labels: Some(convert::labels(row.labels)?),
                parent: row.parent.map(convert::name).transpose()?,
                family: Some(if row.family == 4 { Family::Ipv4 } else { Family::Ipv6 }),
                min_prefix_length: Some(convert::small(row.min_prefix_length)?),
                max_prefix_length: Some(convert::small(row.max_prefix_length)?),
                default_prefix_length: row.default_prefix_length.map(convert::small).transpose()?,
                reserved_addresses: Some(pool::reserved(row.reserved_addresses)?),
                strategy: Some(pool::strategy(&row.strategy)?),
                release_cooldown_seconds: Some(u32::try_from(row.release_cooldown_seconds).unwrap_or_default()),
                required_labels: Some(convert::required_labels(row.required_labels)?).filter(|labels| !labels.is_empty()),
                id: Some(row.pool_id),
                created_at: Some(At(row.created_at)),
                created_by: row.created_by,
                owner: convert::owner(row.owner)?,
                claim: Some(row.claim),
                confirmed: Some(row.confirmed),
                ..Record::default()
            },
            ranges: ranges
                .map(|(((id, net), parent), since)| StoredRange {
                    id,
                    cidr: Cidr::from(net),
                    parent: Some(parent).filter(|parent| *parent != 0),
                    since: (parent != 0).then_some(At(since)),
                })
                .collect(),
        })
    })
    .collect()
}

/// The members of all profiles, by profile and position: those in force, and those that blocks still keep to.
pub async fn members(db: &mut Connection) -> Result<Vec<(i32, Record)>> {
    query!(
        r#"select member_id, profile_id, profile.name, description, profile.created_at, position, role, pool_name,
            size_offset, min_prefix_length, max_prefix_length, retired_at, created_by, owner, claim,
            confirmed_at is not null as "confirmed!"
        from profile join profile_member using (profile_id)
        where retired_at is null or member_id in (select distinct member_id from block)
        order by profile.name, retired_at nulls last, position, member_id"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let record = Record {
            kind: Kind::ProfileMember,
            pool: Some(row.pool_name),
            profile: Some(convert::name(row.name)?),
            role: Some(row.role),
            description: Some(row.description),
            min_prefix_length: Some(convert::small(row.min_prefix_length)?),
            max_prefix_length: Some(convert::small(row.max_prefix_length)?),
            position: Some(row.position),
            size_offset: Some(row.size_offset),
            id: Some(row.profile_id),
            created_at: Some(At(row.created_at)),
            created_by: row.created_by,
            owner: convert::owner(row.owner)?,
            claim: Some(row.claim),
            confirmed: Some(row.confirmed),
            retired_at: row.retired_at.map(At),
            ..Record::default()
        };
        Ok((row.member_id, record))
    })
    .collect()
}

/// VPCs in the order of their ids, after `cursor`.
pub async fn vpcs(
    db: &mut Connection,
    cursor: Option<VpcId>,
    limit: i64,
) -> Result<Vec<(VpcId, Record)>> {
    query!(
        r#"select vpc_id, vpc.name, vrf.name as vrf, vpc.description, vpc.labels, vpc.created_at, implicit,
            vpc.created_by, vpc.owner, vpc.claim, vpc.confirmed_at is not null as "confirmed!"
        from vpc join vrf using (vrf_id) where vpc_id > $1 order by vpc_id limit $2"#,
        cursor.map_or(Uuid::nil(), |id| id.0),
        limit
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let record = Record {
            kind: Kind::Vpc,
            vrf: Some(convert::name(row.vrf)?),
            vpc: Some(convert::name(row.name)?),
            description: Some(row.description),
            labels: Some(convert::labels(row.labels)?),
            id: Some(row.vpc_id),
            created_at: Some(At(row.created_at)),
            implicit: row.implicit.then_some(true),
            created_by: row.created_by,
            owner: convert::owner(row.owner)?,
            claim: Some(row.claim),
            confirmed: Some(row.confirmed),
            ..Record::default()
        };
        Ok((VpcId(row.vpc_id), record))
    })
    .collect()
}

/// A reservation.
#[derive(Clone, Debug)]
pub struct StoredReservation {
    /// Its id; none of a block that somebody took out of circulation by hand, with SQL.
    pub id: Option<ReservationId>,
    /// Its VRF.
    pub vrf: VrfId,
    /// The network.
    pub cidr: Cidr,
    /// As a record.
    pub record: Record,
}

/// All reservations, and what else is out of circulation for good, by VRF and address.
pub async fn reservations(db: &mut Connection) -> Result<Vec<StoredReservation>> {
    query!(
        r#"select reservation_id as "reservation_id?", vrf_id as "vrf_id!", vrf.name as vrf, cidr as "cidr!",
            reason as "reason!", reserved.labels as "labels!", reserved.created_by as "created_by?",
            reserved.created_at as "created_at!", reserved.owner as "owner?", reserved.claim as "claim?",
            reserved.confirmed as "confirmed?"
        from (
            select reservation_id, vrf_id, cidr, reason, labels, created_by, created_at, owner, claim,
                confirmed_at is not null as confirmed
            from reservation
            union all
            select null, vrf_id, block.cidr, reason, '{}', null, since, null, null, null
            from block join pool_range using (range_id) where reason not in ('child_range', 'cooldown')
        ) as reserved join vrf using (vrf_id)
        order by vrf.name <> 'default', vrf.name, cidr"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let cidr = Cidr::from(row.cidr);
        Ok(StoredReservation {
            id: row.reservation_id.map(ReservationId),
            vrf: VrfId(row.vrf_id),
            cidr,
            record: Record {
                kind: Kind::Reservation,
                vrf: Some(convert::name(row.vrf)?),
                cidr: Some(cidr),
                reason: Some(row.reason),
                labels: Some(convert::labels(row.labels)?),
                id: row.reservation_id,
                created_by: row.created_by,
                owner: convert::owner(row.owner)?,
                claim: row.claim,
                confirmed: row.confirmed,
                created_at: Some(At(row.created_at)),
                ..Record::default()
            },
        })
    })
    .collect()
}

/// An allocation, with its blocks.
#[derive(Clone, Debug)]
pub struct StoredAllocation {
    /// Its id.
    pub id: AllocationId,
    /// Everything but a block.
    pub record: Record,
    /// In the order of the profile.
    pub blocks: Vec<StoredBlock>,
}

/// A block of an allocation.
#[derive(Clone, Debug)]
pub struct StoredBlock {
    /// The range that it lies in.
    pub range: RangeId,
    /// What a record says of it.
    pub record: Record,
}

impl StoredAllocation {
    /// A record per block.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.blocks.iter().map(|block| {
            let of_block = block.record.clone();
            Record {
                cidr: of_block.cidr,
                pool: of_block.pool,
                role: of_block.role,
                min_prefix_length: of_block.min_prefix_length,
                max_prefix_length: of_block.max_prefix_length,
                size_offset: of_block.size_offset,
                since: of_block.since,
                retired_at: of_block.retired_at,
                ..self.record.clone()
            }
        })
    }
}

/// Ids of allocations in their order, after `cursor`.
pub async fn allocation_ids(
    db: &mut Connection,
    cursor: Option<AllocationId>,
    limit: i64,
) -> Result<Vec<AllocationId>> {
    let rows = query!(
        "select allocation_id from allocation where allocation_id > $1 order by allocation_id limit $2",
        cursor.map_or(Uuid::nil(), |id| id.0),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AllocationId(row.allocation_id))
        .collect())
}

/// Allocations with all that belongs to them, in the order of `ids`.
pub async fn allocations(
    db: &mut Connection,
    ids: &[AllocationId],
) -> Result<Vec<StoredAllocation>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    query!(
        r#"select allocation.allocation_id, number, vpc.name as vpc, vpc_vrf.name as vrf, allocation.name,
            profile.name as "profile?", request, requested_hosts, requested_prefix_length, requested_cidr,
            allocation.labels, allocation.description, deletion_protection, allocation.created_by, allocation.owner,
            allocation.claim, allocation.confirmed_at is not null as "confirmed!", allocation.created_at, roles as "roles!", ranges as "ranges!",
            cidrs as "cidrs!", pools as "pools!", shortest as "shortest!", longest as "longest!", offsets as "offsets!",
            since as "since!", retired as "retired!: Vec<Option<time::OffsetDateTime>>"
        from unnest($1::uuid[]) with ordinality as wanted (allocation_id, place)
            join allocation using (allocation_id)
            join vpc using (vpc_id)
            join vrf as vpc_vrf on vpc_vrf.vrf_id = vpc.vrf_id
            left join profile using (profile_id)
            cross join lateral (
                select array_agg(coalesce(role, 'main') order by position) as roles,
                    array_agg(block.range_id order by position) as ranges,
                    array_agg(block.cidr order by position) as cidrs,
                    array_agg(case when pool.vrf_id = vpc.vrf_id then pool.name else vrf.name || '/' || pool.name end
                        order by position) as pools,
                    array_agg(block.min_prefix_length order by position) as shortest,
                    array_agg(block.max_prefix_length order by position) as longest,
                    array_agg(block.size_offset order by position) as offsets,
                    array_agg(block.since order by position) as since,
                    array_agg(retired_at order by position) as retired
                from block
                    left join profile_member using (member_id)
                    join pool_range using (range_id)
                    join pool using (pool_id)
                    join vrf on vrf.vrf_id = pool.vrf_id
                where block.allocation_id = allocation.allocation_id
            ) as blocks
        order by place"#,
        &ids
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let asked = convert::request(row.request)?;
        let mut blocks = Vec::with_capacity(row.cidrs.len());
        let columns = row.ranges.into_iter().zip(row.cidrs).zip(row.roles).zip(row.pools);
        let rules = row.shortest.into_iter().zip(row.longest).zip(row.offsets).zip(row.since).zip(row.retired);
        for ((((range, net), role), pool), ((((shortest, longest), offset), since), retired)) in columns.zip(rules) {
            blocks.push(StoredBlock {
                range,
                record: Record {
                    pool: Some(pool),
                    cidr: Some(Cidr::from(net)),
                    role: Some(role),
                    min_prefix_length: Some(convert::small(shortest)?),
                    max_prefix_length: Some(convert::small(longest)?),
                    size_offset: Some(offset),
                    // Most blocks are as old as their allocation.
                    since: (since != row.created_at).then_some(At(since)),
                    retired_at: retired.map(At),
                    ..Record::default()
                },
            });
        }
        if blocks.is_empty() {
            return Err(Error::bug(format!("allocation {} has no blocks", row.allocation_id)));
        }
        Ok(StoredAllocation {
            id: AllocationId(row.allocation_id),
            record: Record {
                kind: Kind::Allocation,
                vrf: Some(convert::name(row.vrf)?),
                vpc: Some(convert::name(row.vpc)?),
                name: row.name.map(convert::name).transpose()?,
                profile: row.profile.map(convert::name).transpose()?,
                description: Some(row.description),
                labels: Some(convert::labels(row.labels)?),
                deletion_protection: Some(row.deletion_protection),
                requested_hosts: row.requested_hosts.map(convert::count).transpose()?,
                requested_prefix_length: row.requested_prefix_length.map(convert::small).transpose()?,
                requested_cidr: row.requested_cidr.map(Cidr::from),
                requested_pools: asked.pools,
                requested_pool_selector: asked.pool_selector,
                exclude_cidrs: Some(asked.exclude_cidrs).filter(|cidrs| !cidrs.is_empty()),
                id: Some(row.allocation_id),
                number: Some(row.number),
                created_by: Some(row.created_by),
                owner: convert::owner(row.owner)?,
                created_at: Some(At(row.created_at)),
                claim: Some(row.claim),
                confirmed: Some(row.confirmed),
                ..Record::default()
            },
            blocks,
        })
    })
    .collect()
}
