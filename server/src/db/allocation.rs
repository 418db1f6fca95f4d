//! Allocations and their blocks.

use ipam_shared::{
    api::allocation::{Allocation, AllocationFilter, Block},
    cidr::{Cidr, usable_hosts},
    ids::{AllocationId, Claim, PoolId, VpcId, VrfId},
    labels::Labels,
};
use sqlx::{Postgres, QueryBuilder, Row, query, types::ipnet::IpNet};
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
    /// Another size that needs the same blocks: all three are written, so that one of them is set.
    pub requested: Option<(Option<i64>, Option<i16>)>,
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
        prefix_length
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

/// Deletes allocations with their blocks, and answers the blocks.
pub async fn delete(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<Place>> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let rows = query!(
        "with released as (delete from block where allocation_id = any($1) returning range_id, cidr),
            gone as (delete from allocation where allocation_id = any($1))
        select range_id, cidr from released",
        &ids
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
            " and allocation_id in (select block.allocation_id from pool_range join block
                on block.range_id = pool_range.range_id
                and ipam_tag(block.range_id, block.cidr) >>= ipam_tag(pool_range.range_id, ",
        )
        .push_bind(host)
        .push("::cidr) where pool_range.cidr >>= ")
        .push_bind(host)
        .push(")");
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

/// What decides which number of hosts an allocation's first block stands for.
#[derive(Clone, Copy, Debug)]
pub struct FirstBlock {
    /// The block.
    pub cidr: Cidr,
    /// Longest prefix that its member and pool allow.
    pub max_prefix_length: u8,
    /// Addresses that are not for hosts.
    pub reserved_addresses: u32,
    /// What the size that was asked for differs by from the block's.
    pub size_offset: i16,
}

/// The first block of an allocation.
pub async fn first_block(db: &mut Connection, id: AllocationId) -> Result<FirstBlock> {
    let row = query!(
        r#"select block.cidr, least(block.max_prefix_length, pool.max_prefix_length) as "max_prefix_length!",
            reserved_addresses, block.size_offset as "size_offset!"
        from block left join profile_member using (member_id) join pool_range using (range_id) join pool using (pool_id)
        where allocation_id = $1 order by position limit 1"#,
        id.0
    )
    .fetch_one(db)
    .await?;
    Ok(FirstBlock {
        cidr: Cidr::from(row.cidr),
        max_prefix_length: convert::small(row.max_prefix_length)?,
        reserved_addresses: u32::try_from(row.reserved_addresses).unwrap_or_default(),
        size_offset: row.size_offset,
    })
}

/// Who has what overlaps a network in one range; at most ten.
pub async fn overlapping(db: &mut Connection, range: RangeId, cidr: Cidr) -> Result<Vec<Conflict>> {
    let rows = query!(
        r#"select block.cidr as "cidr!", pool.name as pool, coalesce(vpc.name, cooldown.vpc) as vpc,
            coalesce(allocation.name, cooldown.name) as name,
            coalesce(block.allocation_id, cooldown.allocation_id) as allocation_id, block.reservation_id,
            coalesce(reservation.reason, block.reason) as reason, child_pool.name as "child_pool?",
            cooldown.free_at as "free_at?"
        from (
            (select * from block where ipam_tag(range_id, cidr) >>= ipam_tag($1, $2::cidr) limit 1)
            union all
            -- What lies inside comes right behind it, in the order of the primary key: ten are read, and not all.
            (select * from block where range_id = $1 and cidr > $2::cidr and cidr <= set_masklen(
                broadcast($2::cidr), case family($2::cidr) when 4 then 32 else 128 end) order by cidr limit 10)
        ) as block
            join pool_range using (range_id) join pool using (pool_id)
            left join allocation using (allocation_id)
            left join vpc using (vpc_id)
            left join reservation on reservation.reservation_id = block.reservation_id
            left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr
            left join pool_range as child on child.parent_range_id = block.range_id and child.cidr = block.cidr
            left join pool as child_pool on child_pool.pool_id = child.pool_id
        order by block.cidr limit 10"#,
        range,
        IpNet::from(cidr)
    )
    .fetch_all(db)
    .await?;
    Ok(rows
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
        .collect())
}
