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
    error::{Error, Result},
    network::Place,
};

/// A locked allocation.
#[derive(Clone, Debug)]
pub struct Locked {
    /// Its revision.
    pub revision: i64,
    /// Whether deletion is refused.
    pub deletion_protection: bool,
}

/// Locks an allocation against changes. Joins nothing: an allocation that was moved while the lock was waited for would
/// not match its old VPC any more, and seem not to exist.
pub async fn lock(db: &mut Connection, id: AllocationId) -> Result<Option<Locked>> {
    let row = query!(
        "select revision, deletion_protection from allocation where allocation_id = $1 for no key update",
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Locked {
        revision: row.revision,
        deletion_protection: row.deletion_protection,
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

/// Deletes allocations with their blocks, keeps in the history that they were there, and answers the blocks. What has
/// them since later than now, by another clock or from an old import, has them since now.
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
            select vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, role, least(since, statement_timestamp())
            from what
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
            allocation.description, deletion_protection, allocation.created_by, allocation.owner,
            allocation.confirmed_at is not null as "confirmed!", allocation.claim, request_id, allocation.revision,
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
            owner: convert::owner(row.owner)?,
            confirmed: row.confirmed,
                claim_digest: Some(Claim(row.claim).digest()),
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
            .push(")");
        if let Ok(id) = vpc.parse::<VpcId>() {
            sql.push(" or vpc_id = ").push_bind(id.0);
        }
        sql.push(" limit 1)");
    }
    if let Some(name) = &filter.name {
        sql.push(" and name = ").push_bind(name.clone());
    }
    if let Some(number) = filter.number {
        sql.push(" and number = ").push_bind(number);
    }
    convert::push_owned(sql, filter.owner.as_deref(), filter.confirmed);
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
                where block.allocation_id = allocation.allocation_id and ",
        );
        convert::push_named(sql, "pool", pool);
        sql.push(")");
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
