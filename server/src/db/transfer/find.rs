//! What an import has to know of what is there: locks, what has the names and ids of a file, and what has its space.

use std::collections::HashSet;

use ipam_shared::{
    api::transfer::Record,
    cidr::Cidr,
    ids::{AllocationId, VpcId},
};
use serde::Serialize;
use sqlx::{query, query_scalar, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, connection::LONG_PATIENCE, convert},
    error::{Conflict, Result},
    network::{Place, RangeId},
};

/// The server may compute for a while between two statements.
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
    let untouched = query_scalar!(
        r#"select not (exists (select from event) or exists (select from vpc) or exists (select from block)
            or exists (select from reservation)) as "untouched!""#
    );
    Ok(untouched.fetch_one(db).await?)
}

/// A function that locks the rows with some ids, in the order of these.
macro_rules! lock {
    ($(#[$doc:meta])+ $name:ident, $sql:literal) => {
        $(#[$doc])+
        pub async fn $name(db: &mut Connection, ids: &HashSet<Uuid>) -> Result<()> {
            let ids: Vec<_> = ids.iter().copied().collect();
            query!($sql, &ids).fetch_all(db).await?;
            Ok(())
        }
    };
}

lock! {
    /// Locks VRFs against changes of their pools and ranges.
    lock_vrfs, "select vrf_id from vrf where vrf_id = any($1) order by vrf_id for no key update"
}

lock! {
    /// Locks pools against changes of their ranges and against allocations.
    lock_pools, "select pool_id from pool where pool_id = any($1) order by pool_id for no key update"
}

lock! {
    /// Locks VPCs against deletion.
    lock_vpcs, "select vpc_id from vpc where vpc_id = any($1) order by vpc_id for key share"
}

/// Those of these ids that VPCs have.
pub async fn vpc_ids(db: &mut Connection, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    let found = query_scalar!("select vpc_id from vpc where vpc_id = any($1)", ids);
    Ok(found.fetch_all(db).await?)
}

/// What may identify an allocation of the file here.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KnownBy<'a> {
    /// Its id.
    pub id: Option<Uuid>,
    /// Its number.
    pub number: Option<i64>,
    /// Its VPC.
    pub vpc_id: Option<VpcId>,
    /// Its name there.
    pub name: Option<&'a str>,
    /// The range of its first block.
    pub range_id: Option<RangeId>,
    /// Its first block.
    pub cidr: Option<Cidr>,
}

/// The allocations that have these.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The one with the id.
    pub by_id: Option<AllocationId>,
    /// The one with the number.
    pub by_number: Option<AllocationId>,
    /// The one with the name.
    pub by_name: Option<AllocationId>,
    /// The one with the block.
    pub by_block: Option<AllocationId>,
}

/// For each of these, in their order, the allocations that are there.
pub async fn known(db: &mut Connection, wanted: &[KnownBy<'_>]) -> Result<Vec<Known>> {
    let rows = query!(
        "select (select allocation_id from allocation where allocation_id = wanted.id) as by_id,
            (select allocation_id from allocation where number = wanted.number) as by_number,
            (select allocation_id from allocation where vpc_id = wanted.vpc_id and name = wanted.name) as by_name,
            (select allocation_id from block where range_id = wanted.range_id and cidr = wanted.cidr) as by_block
        from rows from (jsonb_to_recordset($1) as (id uuid, number bigint, vpc_id uuid, name text, range_id integer,
            cidr cidr)) with ordinality as wanted (id, number, vpc_id, name, range_id, cidr, place)
        order by place",
        Json(wanted) as _
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Known {
            by_id: row.by_id.map(AllocationId),
            by_number: row.by_number.map(AllocationId),
            by_name: row.by_name.map(AllocationId),
            by_block: row.by_block.map(AllocationId),
        })
        .collect())
}

/// What makes two blocks of the past the same: whose it was, the network, since when and until when.
pub type PastKey = (Uuid, Cidr, OffsetDateTime, OffsetDateTime);

/// The blocks of the past that have the owner and the network of one of these records.
pub async fn past(db: &mut Connection, records: &[Record]) -> Result<HashSet<PastKey>> {
    let rows = query!(
        r#"select distinct coalesce(allocation_id, reservation_id) as "owner!", past_block.cidr, since, until
        from jsonb_to_recordset($1) as wanted (id uuid, cidr cidr)
            join past_block on past_block.cidr = wanted.cidr and coalesce(allocation_id, reservation_id) = wanted.id"#,
        Json(records) as _
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.owner, Cidr::from(row.cidr), row.since, row.until))
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
            (super::place(row.place), conflict)
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

/// Refreshes the planner's statistics of the tables that an import fills.
pub async fn analyze(db: &mut Connection) -> Result<()> {
    query!("analyze allocation, block, event, free_block, vpc")
        .execute(db)
        .await?;
    Ok(())
}
