//! Allocations and their blocks.

use ipam_shared::{
    api::allocation::{Allocation, AllocationFilter, Block},
    cidr::{Cidr, usable_hosts},
    ids::{AllocationId, Claim, PoolId, VpcId, VrfId},
    labels::Labels,
};
use sqlx::{Postgres, QueryBuilder, Row, query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, convert},
    domain::plan::{Place, RangeId},
    error::{Conflict, Error, Result},
};

/// A locked allocation.
#[derive(Clone, Debug)]
pub struct Locked {
    /// Its revision.
    pub revision: i64,
    /// Whether deletion is refused.
    pub deletion_protection: bool,
    /// Its claim.
    pub claim: Claim,
    /// Whether a reader showed the claim.
    pub confirmed: bool,
}

/// Locks an allocation against changes. Joins nothing: an allocation that was moved while the lock was waited for would
/// not match its old VPC any more, and seem not to exist.
pub async fn lock(db: &mut Connection, id: AllocationId) -> Result<Option<Locked>> {
    let row = query!(
        r#"select revision, deletion_protection, claim, confirmed_at is not null as "confirmed!"
        from allocation where allocation_id = $1 for no key update"#,
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Locked {
        revision: row.revision,
        deletion_protection: row.deletion_protection,
        claim: Claim(row.claim),
        confirmed: row.confirmed,
    }))
}

/// The VRF of a locked allocation.
pub async fn vrf(db: &mut Connection, id: AllocationId) -> Result<VrfId> {
    let row = query!(
        "select vrf_id from allocation join vpc using (vpc_id) where allocation_id = $1",
        id.0
    )
    .fetch_one(db)
    .await?;
    Ok(VrfId(row.vrf_id))
}

/// The claim of an allocation, and whether it is confirmed.
pub async fn claim(db: &mut Connection, id: AllocationId) -> Result<Option<(Claim, bool)>> {
    let row = query!(
        r#"select claim, confirmed_at is not null as "confirmed!" from allocation where allocation_id = $1"#,
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (Claim(row.claim), row.confirmed)))
}

/// Keeps that the owner showed the claim.
pub async fn confirm(db: &mut Connection, id: AllocationId) -> Result<()> {
    query!("update allocation set confirmed_at = now() where allocation_id = $1 and confirmed_at is null", id.0)
        .execute(db)
        .await?;
    Ok(())
}

/// What changes; none leaves as it is.
#[derive(Debug, Default)]
pub struct Update<'a> {
    pub vpc: Option<VpcId>,
    pub name: Option<&'a str>,
    /// The size as it is asked for now: all three are written, so that one of them is set.
    pub requested: Option<(Option<i64>, Option<i16>)>,
    /// The size that it has now. Its blocks must be gone.
    pub prefix_length: Option<u8>,
    pub labels: Option<&'a Labels>,
    pub description: Option<&'a str>,
    pub deletion_protection: Option<bool>,
}

/// Changes an allocation.
pub async fn update(
    db: &mut Connection,
    id: AllocationId,
    update: &Update<'_>,
) -> Result<(), sqlx::Error> {
    let (hosts, prefix_length) = update.requested.unwrap_or_default();
    query!(
        "update allocation set vpc_id = coalesce($2, vpc_id), name = coalesce($3, name), labels = coalesce($4, labels),
            description = coalesce($5, description), deletion_protection = coalesce($6, deletion_protection),
            requested_hosts = case when $7 then $8 else requested_hosts end,
            requested_prefix_length = case when $7 then $9 else requested_prefix_length end,
            requested_cidr = case when $7 then null else requested_cidr end,
            prefix_length = coalesce($10, prefix_length),
            revision = revision + 1, updated_at = now()
        where allocation_id = $1",
        id.0,
        update.vpc.map(|id| id.0),
        update.name,
        update.labels.map(sqlx::types::Json) as _,
        update.description,
        update.deletion_protection,
        update.requested.is_some(),
        hosts,
        prefix_length,
        update.prefix_length.map(i16::from)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The pools that the blocks of some allocations lie in.
pub async fn pools(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<PoolId>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let rows = query!(
        "select distinct pool_id from block join pool_range using (range_id) where allocation_id = any($1) order by 1",
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| PoolId(row.pool_id)).collect())
}

/// A block that was released.
#[derive(Clone, Debug)]
pub struct Released {
    /// Where it was.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Whose it was.
    pub allocation: AllocationId,
    /// What it was for.
    pub role: String,
    /// Name of the VPC.
    pub vpc: String,
    /// Name of the allocation.
    pub name: Option<String>,
    /// For how many seconds its pool keeps it out of circulation.
    pub cooldown_seconds: i32,
}

/// Deletes allocations with their blocks, keeps in the history that they were there, and answers the blocks.
pub async fn delete(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<Released>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let rows = query!(
        r#"with released as (
            delete from block where allocation_id = any($1)
            returning range_id, cidr, range_cidr, allocation_id, member_id, since
        ), gone as (
            delete from allocation where allocation_id = any($1) returning allocation_id, vpc_id, name
        ), what as (
            select released.*, pool.vrf_id, pool_id, pool.name as pool, vpc.name as vpc, gone.name as name,
                coalesce(role, 'main') as role, release_cooldown_seconds
            from released join gone using (allocation_id) join vpc using (vpc_id)
                join pool_range using (range_id) join pool using (pool_id) left join profile_member using (member_id)
        ), past as (
            insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, role, since)
            select vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, role, since from what
        )
        select range_id as "range_id!", cidr as "cidr!", range_cidr as "range_cidr!", allocation_id as "allocation_id!",
            role as "role!", vpc as "vpc!", name, release_cooldown_seconds as "cooldown_seconds!"
        from what"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Released {
            place: Place {
                range: row.range_id,
                cidr: Cidr::from(row.cidr),
            },
            range_cidr: Cidr::from(row.range_cidr),
            allocation: AllocationId(row.allocation_id),
            role: row.role,
            vpc: row.vpc,
            name: row.name,
            cooldown_seconds: row.cooldown_seconds,
        })
        .collect())
}

/// Locks the allocations of a VPC; their ids. One that is being moved away is waited for, and then it is not among them.
pub async fn lock_of_vpc(db: &mut Connection, vpc: VpcId) -> Result<Vec<AllocationId>> {
    let rows = query!(
        "select allocation_id from allocation where vpc_id = $1 order by 1 for update",
        vpc.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AllocationId(row.allocation_id))
        .collect())
}

/// Ids of the allocations of a VPC.
pub async fn ids_of_vpc(db: &mut Connection, vpc: VpcId) -> Result<Vec<AllocationId>> {
    let rows = query!(
        "select allocation_id from allocation where vpc_id = $1 order by 1",
        vpc.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AllocationId(row.allocation_id))
        .collect())
}

/// The id behind a number of the original API.
pub async fn id_of_number(db: &mut Connection, number: i64) -> Result<Option<AllocationId>> {
    let row = query!(
        "select allocation_id from allocation where number = $1",
        number
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| AllocationId(row.allocation_id)))
}

/// One allocation.
pub async fn get(db: &mut Connection, id: AllocationId) -> Result<Option<Allocation>> {
    Ok(load(db, &[id])
        .await?
        .pop()
        .map(|(allocation, _)| allocation))
}

/// Allocations with all that belongs to them, and the request that made each, in the order of `ids`.
pub async fn load(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<(Allocation, Uuid)>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    query!(
        r#"select allocation.allocation_id, number, allocation.vpc_id, vpc.name as vpc, vpc_vrf.name as vrf, allocation.name,
            profile.name as "profile?", request,
            allocation.prefix_length, requested_hosts, requested_prefix_length, requested_cidr, allocation.labels,
            allocation.description, deletion_protection, created_by, request_id, allocation.revision,
            allocation.created_at, updated_at, roles as "roles!", cidrs as "cidrs!", pools as "pools!", vrfs as "vrfs!",
            reserved as "reserved!"
        from unnest($1::uuid[]) with ordinality as wanted (allocation_id, place)
            join allocation using (allocation_id)
            join vpc using (vpc_id)
            join vrf as vpc_vrf on vpc_vrf.vrf_id = vpc.vrf_id
            left join profile using (profile_id)
            cross join lateral (
                select array_agg(coalesce(role, 'main') order by position) as roles,
                    array_agg(block.cidr order by position) as cidrs,
                    array_agg(pool.name order by position) as pools, array_agg(vrf.name order by position) as vrfs,
                    array_agg(reserved_addresses order by position) as reserved
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
        let id = AllocationId(row.allocation_id);
        let mut blocks = Vec::with_capacity(row.cidrs.len());
        for ((((role, net), pool), vrf), reserved) in
            row.roles.into_iter().zip(row.cidrs).zip(row.pools).zip(row.vrfs).zip(row.reserved)
        {
            let cidr = Cidr::from(net);
            let reserved = u32::try_from(reserved).unwrap_or_default();
            blocks.push(Block { role, cidr, pool, vrf, usable: usable_hosts(cidr.family(), cidr.prefix_length(), reserved) });
        }
        let asked = convert::request(row.request)?;
        let first = blocks.first().ok_or_else(|| Error::bug(format!("allocation {id} has no blocks")))?;
        let allocation = Allocation {
            id,
            number: row.number,
            vpc: convert::name(row.vpc)?,
            vpc_id: VpcId(row.vpc_id),
            name: row.name.map(convert::name).transpose()?,
            vrf: row.vrf,
            profile: row.profile.map(convert::name).transpose()?,
            requested_pools: asked.pools,
            requested_pool_selector: asked.pool_selector,
            exclude_cidrs: asked.exclude_cidrs,
            cidr: first.cidr,
            prefix_length: convert::small(row.prefix_length)?,
            requested_hosts: row.requested_hosts.map(convert::count).transpose()?,
            requested_prefix_length: row.requested_prefix_length.map(convert::small).transpose()?,
            requested_cidr: row.requested_cidr.map(Cidr::from),
            blocks,
            labels: convert::labels(row.labels)?,
            description: row.description,
            deletion_protection: row.deletion_protection,
            revision: row.revision,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            claim: None,
        };
        Ok((allocation, row.request_id))
    })
    .collect()
}

/// Ids that pass a filter, in their order, after `cursor`. Only the conditions that are asked for become SQL, so that
/// each filter gets the plan that suits it.
pub async fn find(
    db: &mut Connection,
    filter: &AllocationFilter,
    label: Option<(&str, &str)>,
    cursor: Option<AllocationId>,
    limit: u16,
) -> Result<Vec<AllocationId>> {
    let mut sql = QueryBuilder::new("select allocation_id from allocation where true");
    conditions(&mut sql, filter, label);
    if let Some(cursor) = cursor {
        sql.push(" and allocation_id > ").push_bind(cursor.0);
    }
    sql.push(" order by allocation_id limit ")
        .push_bind(i64::from(limit));
    let rows = sql.build().fetch_all(db).await?;
    rows.into_iter()
        .map(|row| Ok(AllocationId(row.try_get(0)?)))
        .collect()
}

/// What a filter asks for, as conditions on `allocation`.
pub(super) fn conditions(
    sql: &mut QueryBuilder<Postgres>,
    filter: &AllocationFilter,
    label: Option<(&str, &str)>,
) {
    if let Some(vpc) = &filter.vpc {
        sql.push(" and vpc_id = (select vpc_id from vpc where lower(name) = lower(")
            .push_bind(vpc.clone())
            .push("))");
    }
    if let Some(name) = &filter.name {
        sql.push(" and name = ").push_bind(name.clone());
    }
    if let Some(number) = filter.number {
        sql.push(" and number = ").push_bind(number);
    }
    if let Some((key, value)) = label {
        sql.push(" and labels @> jsonb_build_object(")
            .push_bind(key.to_owned())
            .push("::text, ")
            .push_bind(value.to_owned())
            .push("::text)");
    }
    if let Some(pool) = &filter.pool {
        sql.push(
            " and exists (select from block join pool_range using (range_id) join pool using (pool_id)
                where block.allocation_id = allocation.allocation_id and pool.name = ",
        )
        .push_bind(pool.clone())
        .push(")");
    }
    if let Some(address) = filter.contains {
        // Through the tag, since that is what the index is on.
        let host = IpNet::from(address);
        sql.push(
            // An array is looked up by its few ids; a subquery would be merged with all allocations in their order.
            " and allocation_id = any(array(select block.allocation_id from pool_range join block
                on block.range_id = pool_range.range_id
                and ipam_tag(block.range_id, block.cidr) >>= ipam_tag(pool_range.range_id, ",
        )
        .push_bind(host)
        .push("::cidr) where pool_range.cidr >>= ")
        .push_bind(host)
        .push("))");
    }
    if let Some(within) = filter.within {
        let net = IpNet::from(within);
        sql.push(
            " and allocation_id in (select block.allocation_id from pool_range join block
                on block.range_id = pool_range.range_id
                and ipam_tag(block.range_id, block.cidr) <<= ipam_tag(pool_range.range_id,
                    case when pool_range.cidr <<= ",
        )
        .push_bind(net)
        .push(" then pool_range.cidr else ")
        .push_bind(net)
        .push("::cidr end) where pool_range.cidr && ")
        .push_bind(net)
        .push(")");
    }
}

/// A block that an allocation holds, with the rules that apply to its size.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it is.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Its pool.
    pub pool: PoolId,
    /// Name of its pool.
    pub pool_name: String,
    /// The member of the profile that it was cut for.
    pub member: Option<i32>,
    /// What it is for.
    pub role: String,
    /// Bits added to the prefix length that was asked for.
    pub size_offset: i16,
    /// Bounds that apply: those of its member; without one, those of the pool.
    pub min_prefix_length: u8,
    /// Bounds that apply.
    pub max_prefix_length: u8,
    /// Bounds of the pool.
    pub pool_min_prefix_length: u8,
    /// Bounds of the pool.
    pub pool_max_prefix_length: u8,
    /// Addresses that are not for hosts.
    pub reserved_addresses: u32,
    /// For how many seconds the pool keeps released space out of circulation.
    pub cooldown_seconds: i32,
    /// Since when it is there.
    pub since: OffsetDateTime,
}

/// The blocks of an allocation, in their order.
pub async fn held(db: &mut Connection, id: AllocationId) -> Result<Vec<Held>> {
    query!(
        r#"select range_id, block.cidr, range_cidr, pool_id, pool.name as pool_name, member_id,
            coalesce(role, 'main') as "role!", block.size_offset as "size_offset!",
            case when member_id is null then pool.min_prefix_length else block.min_prefix_length end as "shortest!",
            case when member_id is null then pool.max_prefix_length else block.max_prefix_length end as "longest!",
            pool.min_prefix_length as pool_shortest, pool.max_prefix_length as pool_longest,
            reserved_addresses, release_cooldown_seconds, since
        from block left join profile_member using (member_id) join pool_range using (range_id) join pool using (pool_id)
        where allocation_id = $1 order by position"#,
        id.0
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Held {
            place: Place { range: row.range_id, cidr: Cidr::from(row.cidr) },
            range_cidr: Cidr::from(row.range_cidr),
            pool: PoolId(row.pool_id),
            pool_name: row.pool_name,
            member: row.member_id,
            role: row.role,
            size_offset: row.size_offset,
            min_prefix_length: convert::small(row.shortest)?,
            max_prefix_length: convert::small(row.longest)?,
            pool_min_prefix_length: convert::small(row.pool_shortest)?,
            pool_max_prefix_length: convert::small(row.pool_longest)?,
            reserved_addresses: u32::try_from(row.reserved_addresses).unwrap_or_default(),
            cooldown_seconds: row.release_cooldown_seconds,
            since: row.since,
        })
    })
    .collect()
}

/// Deletes the blocks of an allocation that is about to get others. Those of `changed` are kept in the history.
pub async fn delete_blocks(db: &mut Connection, id: AllocationId, changed: &[Place]) -> Result<()> {
    let ranges: Vec<_> = changed.iter().map(|place| place.range).collect();
    let nets = convert::nets(changed.iter().map(|place| place.cidr));
    query!(
        "with gone as (
            delete from block where allocation_id = $1 returning range_id, cidr, member_id, since
        )
        insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, role, since)
        select pool.vrf_id, pool_id, pool.name, gone.cidr, $1, vpc.name, allocation.name, coalesce(role, 'main'), since
        from unnest($2::integer[], $3::cidr[]) as changed (range_id, cidr)
            join gone using (range_id, cidr) join pool_range using (range_id) join pool using (pool_id)
            left join profile_member using (member_id)
            join allocation on allocation_id = $1 join vpc using (vpc_id)",
        id.0,
        &ranges,
        &nets
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Inserts the blocks of an allocation that has none, at its new prefix length.
pub async fn insert_blocks(
    db: &mut Connection,
    id: AllocationId,
    prefix_length: u8,
    blocks: &[(Held, Cidr)],
) -> Result<()> {
    let ranges: Vec<_> = blocks.iter().map(|(held, _)| held.place.range).collect();
    let nets = convert::nets(blocks.iter().map(|(_, cidr)| *cidr));
    let range_nets = convert::nets(blocks.iter().map(|(held, _)| held.range_cidr));
    let members: Vec<_> = blocks.iter().map(|(held, _)| held.member).collect();
    let offsets: Vec<_> = blocks.iter().map(|(held, _)| held.size_offset).collect();
    let shortest: Vec<i16> = blocks
        .iter()
        .map(|(held, _)| held.min_prefix_length.into())
        .collect();
    let longest: Vec<i16> = blocks
        .iter()
        .map(|(held, _)| held.max_prefix_length.into())
        .collect();
    // What did not change is there since it was.
    let since: Vec<_> = blocks
        .iter()
        .map(|(held, cidr)| (held.place.cidr == *cidr).then_some(held.since))
        .collect();
    query!(
        "insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
            min_prefix_length, max_prefix_length, since)
        select range_id, cidr, range_cidr, $1, member_id, $2, size_offset, shortest, longest,
            coalesce(since, clock_timestamp())
        from unnest($3::integer[], $4::cidr[], $5::cidr[], $6::integer[], $7::smallint[], $8::smallint[], $9::smallint[],
            $10::timestamptz[])
            as block (range_id, cidr, range_cidr, member_id, size_offset, shortest, longest, since)",
        id.0,
        i16::from(prefix_length),
        &ranges,
        &nets,
        &range_nets,
        &members as &[Option<i32>],
        &offsets,
        &shortest,
        &longest,
        &since as &[Option<OffsetDateTime>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Who has these blocks; at most ten.
macro_rules! conflicts {
    ($db:expr, $blocks:literal, $($value:expr),+) => {
        query!(
            r#"select block.cidr as "cidr!", pool.name as pool, coalesce(vpc.name, cooldown.vpc) as vpc,
                coalesce(allocation.name, cooldown.name) as name,
                coalesce(block.allocation_id, cooldown.allocation_id) as allocation_id, block.reservation_id,
                coalesce(reservation.reason, block.reason) as reason, child_pool.name as "child_pool?",
                cooldown.free_at as "free_at?"
            from ("# + $blocks + r#") as block
                join pool_range using (range_id)
                join pool using (pool_id)
                left join allocation using (allocation_id)
                left join vpc using (vpc_id)
                left join reservation on reservation.reservation_id = block.reservation_id
                left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr
                left join pool_range as child on child.parent_range_id = block.range_id and child.cidr = block.cidr
                left join pool as child_pool on child_pool.pool_id = child.pool_id
            order by block.cidr limit 10"#,
            $($value),+
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|row| Conflict {
            cidr: Cidr::from(row.cidr),
            pool: Some(row.pool),
            vpc: row.vpc,
            name: row.name,
            allocation_id: row.allocation_id.map(|id| id.to_string()),
            reservation_id: row.reservation_id.map(|id| id.to_string()),
            reason: row.reason,
            child_pool: row.child_pool,
            free_at: row.free_at,
        })
        .collect()
    };
}

/// Who has what overlaps a network in one range; at most ten.
pub async fn overlapping(db: &mut Connection, range: RangeId, cidr: Cidr) -> Result<Vec<Conflict>> {
    Ok(conflicts!(
        db,
        "(select * from block where ipam_tag(range_id, cidr) >>= ipam_tag($1, $2::cidr) limit 1)
        union all
        -- What lies inside comes right behind it, in the order of the primary key: ten are read, and not all.
        (select * from block where range_id = $1 and cidr > $2::cidr and cidr <= set_masklen(
            broadcast($2::cidr), case family($2::cidr) when 4 then 32 else 128 end) order by cidr limit 10)",
        range,
        IpNet::from(cidr)
    ))
}

/// Who has blocks in these ranges: the first ten.
pub async fn blocks_in(db: &mut Connection, ranges: &[RangeId]) -> Result<Vec<Conflict>> {
    Ok(conflicts!(
        db,
        "select * from block where range_id = any($1) order by range_id, cidr limit 10",
        ranges
    ))
}

/// How many blocks there are in these ranges.
pub async fn count_in(db: &mut Connection, ranges: &[RangeId]) -> Result<i64> {
    let row = query!(
        r#"select count(*) as "count!" from block where range_id = any($1)"#,
        ranges
    )
    .fetch_one(db)
    .await?;
    Ok(row.count)
}
