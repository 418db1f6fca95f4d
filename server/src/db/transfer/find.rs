//! What an import has to know of what is there: locks, what has the names and ids of a file, and what has its space.

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, PoolId, VpcId, VrfId},
};
use sqlx::query;
use uuid::Uuid;

use crate::{
    db::{Connection, connection::LONG_PATIENCE, convert},
    error::{Conflict, Result},
    network::{Place, RangeId},
};

/// The server may think for a while between two statements.
pub async fn be_patient(db: &mut Connection) -> Result<()> {
    db.set_patience(LONG_PATIENCE);
    query!("set local idle_in_transaction_session_timeout = '10min'")
        .execute(&mut *db)
        .await?;
    query!("set local jit = off").execute(db).await?;
    Ok(())
}

/// Whether nothing was ever done here: everything that is done leaves an event.
pub async fn is_untouched(db: &mut Connection) -> Result<bool> {
    let row = query!(
        r#"select not (exists (select from event) or exists (select from vpc) or exists (select from block)
            or exists (select from reservation)) as "untouched!""#
    )
    .fetch_one(db)
    .await?;
    Ok(row.untouched)
}

/// Locks VRFs against changes of their pools and ranges.
pub async fn lock_vrfs(db: &mut Connection, vrfs: &[VrfId]) -> Result<()> {
    let ids: Vec<_> = vrfs.iter().map(|id| id.0).collect();
    query!(
        "select vrf_id from vrf where vrf_id = any($1) order by vrf_id for no key update",
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Locks pools against changes of their ranges and against allocations.
pub async fn lock_pools(db: &mut Connection, pools: &[PoolId]) -> Result<()> {
    let ids: Vec<_> = pools.iter().map(|id| id.0).collect();
    query!(
        "select pool_id from pool where pool_id = any($1) order by pool_id for no key update",
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Counts the changes of VRFs, pools, ranges and profiles.
pub async fn revision(db: &mut Connection) -> Result<i64> {
    Ok(query!("select revision from address_plan")
        .fetch_one(db)
        .await?
        .revision)
}

/// Locks VPCs against deletion.
pub async fn lock_vpcs(db: &mut Connection, vpcs: &[VpcId]) -> Result<()> {
    let ids: Vec<_> = vpcs.iter().map(|id| id.0).collect();
    query!(
        "select vpc_id from vpc where vpc_id = any($1) order by vpc_id for key share",
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// A VPC that has one of the names that were asked for.
#[derive(Clone, Debug)]
pub struct FoundVpc {
    /// Which of the names.
    pub place: usize,
    /// Its id.
    pub id: VpcId,
    /// Its VRF.
    pub vrf: VrfId,
    /// Its name as it was first written.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it is for, as labels.
    pub labels: serde_json::Value,
}

/// The VPCs with these names, whatever their case.
pub async fn vpcs(db: &mut Connection, names: &[String]) -> Result<Vec<FoundVpc>> {
    let rows = query!(
        r#"select place as "place!", vpc_id, vrf_id, vpc.name, description, labels
        from unnest($1::text[]) with ordinality as wanted (name, place) join vpc on lower(vpc.name collate "C") = lower(wanted.name collate "C")"#,
        names
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| FoundVpc {
            place: place(row.place),
            id: VpcId(row.vpc_id),
            vrf: VrfId(row.vrf_id),
            name: row.name,
            description: row.description,
            labels: row.labels,
        })
        .collect())
}

/// Those of these ids that VPCs have.
pub async fn vpc_ids(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let rows = query!("select vpc_id from vpc where vpc_id = any($1)", ids)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.vpc_id).collect())
}

/// Those of these ids that allocations have.
pub async fn allocation_ids(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let rows = query!(
        "select allocation.allocation_id from unnest($1::uuid[]) as wanted (id) join allocation on allocation_id = id",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.allocation_id).collect())
}

/// The allocations that have these numbers.
pub async fn numbers(db: &mut Connection, numbers: &[i64]) -> Result<Vec<(i64, AllocationId)>> {
    let rows = query!(
        "select allocation.number, allocation_id from unnest($1::bigint[]) as wanted (number)
            join allocation on allocation.number = wanted.number",
        numbers
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.number, AllocationId(row.allocation_id)))
        .collect())
}

/// For each (VPC, name) pair that an allocation has, its place and the allocation.
pub async fn names(
    db: &mut Connection,
    vpcs: &[Uuid],
    names: &[String],
) -> Result<Vec<(usize, AllocationId)>> {
    let rows = query!(
        r#"select place as "place!", allocation_id
        from unnest($1::uuid[], $2::text[]) with ordinality as wanted (vpc_id, name, place)
            join allocation using (vpc_id, name)"#,
        vpcs,
        names
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (place(row.place), AllocationId(row.allocation_id)))
        .collect())
}

/// For each of these networks that is the block of an allocation, its place and the allocation.
pub async fn owners(db: &mut Connection, places: &[Place]) -> Result<Vec<(usize, AllocationId)>> {
    let ranges: Vec<_> = places.iter().map(|place| place.range).collect();
    let nets = convert::nets(places.iter().map(|place| place.cidr));
    let rows = query!(
        r#"select place as "place!", allocation_id as "allocation_id!"
        from unnest($1::integer[], $2::cidr[]) with ordinality as wanted (range_id, cidr, place)
            join block using (range_id, cidr)
        where allocation_id is not null"#,
        &ranges,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (place(row.place), AllocationId(row.allocation_id)))
        .collect())
}

/// For each of these networks that something overlaps, its place and the first thing that does.
pub async fn obstacles(db: &mut Connection, places: &[Place]) -> Result<Vec<(usize, Conflict)>> {
    let ranges: Vec<_> = places.iter().map(|place| place.range).collect();
    let nets = convert::nets(places.iter().map(|place| place.cidr));
    let rows = query!(
        r#"select place as "place!", block.cidr, pool.name as pool, coalesce(vpc.name, cooldown.vpc) as vpc,
            coalesce(allocation.name, cooldown.name) as name,
            coalesce(block.allocation_id, cooldown.allocation_id) as allocation_id, block.reservation_id,
            coalesce(reservation.reason, block.reason) as reason, child_pool.name as "child_pool?",
            cooldown.free_at as "free_at?"
        from unnest($1::integer[], $2::cidr[]) with ordinality as wanted (range_id, cidr, place)
            cross join lateral (
                select * from block
                where ipam_tag(block.range_id, block.cidr) && ipam_tag(wanted.range_id, wanted.cidr)
                limit 1
            ) as block
            join pool_range on pool_range.range_id = block.range_id
            join pool on pool.pool_id = pool_range.pool_id
            left join allocation on allocation.allocation_id = block.allocation_id
            left join vpc on vpc.vpc_id = allocation.vpc_id
            left join reservation on reservation.reservation_id = block.reservation_id
            left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr
            left join pool_range as child on child.parent_range_id = block.range_id and child.cidr = block.cidr
            left join pool as child_pool on child_pool.pool_id = child.pool_id"#,
        &ranges,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let conflict = Conflict {
                cidr: Cidr::from(row.cidr),
                pool: Some(row.pool),
                vpc: row.vpc,
                name: row.name,
                allocation_id: row.allocation_id.map(|id| id.to_string()),
                reservation_id: row.reservation_id.map(|id| id.to_string()),
                reason: row.reason,
                child_pool: row.child_pool,
                free_at: row.free_at,
            };
            (place(row.place), conflict)
        })
        .collect())
}

/// All free blocks of these ranges.
pub async fn free(db: &mut Connection, ranges: &[RangeId]) -> Result<Vec<Place>> {
    let rows = query!(
        "select range_id, cidr from free_block where range_id = any($1)",
        ranges
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

/// Counts anew what the planner knows of the tables that an import fills.
pub async fn analyze(db: &mut Connection) -> Result<()> {
    query!("analyze allocation, block, event, free_block, vpc")
        .execute(db)
        .await?;
    Ok(())
}

/// A place among what was asked for, which SQL counts from 1.
fn place(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}
