//! Blocks that were released recently and are still out of circulation.

use std::collections::HashMap;

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, PoolId, VpcId},
};
use sqlx::{
    query,
    types::{Json, ipnet::IpNet},
};
use time::OffsetDateTime;

use crate::{
    db::{Connection, convert},
    error::Result,
    network::{Place, Range, RangeId},
};

/// What `block.reason` says of them.
pub const REASON: &str = "cooldown";

/// One that a name had until recently.
#[derive(Clone, Debug)]
pub struct Cooling {
    /// What it was for.
    pub role: String,
    /// Where it is.
    pub place: Place,
}

/// What the newest allocation of each of these names had, by the number that comes with the name. VPCs are in lower case.
pub async fn of_names(
    db: &mut Connection,
    names: &[(usize, String, String)],
) -> Result<HashMap<usize, Vec<Cooling>>> {
    let vpcs: Vec<_> = names.iter().map(|(_, vpc, _)| vpc.clone()).collect();
    let wanted: Vec<_> = names.iter().map(|(.., name)| name.clone()).collect();
    let rows = query!(
        r#"select place as "place!", range_id, cidr, role
        from unnest($1::text[], $2::text[]) with ordinality as wanted (vpc, name, place)
            cross join lateral (
                select allocation_id from cooldown where cooldown.vpc = wanted.vpc and cooldown.name = wanted.name
                order by released_at desc limit 1
            ) as newest
            join cooldown on cooldown.vpc = wanted.vpc and cooldown.name = wanted.name
                and cooldown.allocation_id = newest.allocation_id"#,
        &vpcs,
        &wanted
    )
    .fetch_all(db)
    .await?;
    let mut found: HashMap<usize, Vec<Cooling>> = HashMap::new();
    for row in rows {
        let place = usize::try_from(row.place - 1).unwrap_or_default();
        if let Some((index, ..)) = names.get(place) {
            found.entry(*index).or_default().push(Cooling {
                role: row.role,
                place: Place {
                    range: row.range_id,
                    cidr: Cidr::from(row.cidr),
                },
            });
        }
    }
    Ok(found)
}

/// Takes blocks out of cooldown, for the allocation that had them.
pub async fn end(db: &mut Connection, places: &[Place]) -> Result<u64> {
    let (ranges, nets) = columns(places);
    let done = query!(
        "with ended as (
            delete from cooldown using unnest($1::integer[], $2::cidr[]) as wanted (range_id, cidr)
            where cooldown.range_id = wanted.range_id and cooldown.cidr = wanted.cidr
        )
        delete from block using unnest($1::integer[], $2::cidr[]) as wanted (range_id, cidr)
        where block.range_id = wanted.range_id and block.cidr = wanted.cidr and reason = 'cooldown'",
        &ranges,
        &nets
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Pools with blocks whose cooldown is over.
pub async fn due(db: &mut Connection) -> Result<Vec<PoolId>> {
    let rows = query!(
        "select distinct pool_id from (
            select range_id from cooldown where free_at <= now() order by free_at limit 10000
        ) as due join pool_range using (range_id)"
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| PoolId(row.pool_id)).collect())
}

/// A block whose cooldown is over.
#[derive(Clone, Debug)]
pub struct Due {
    /// Where it is.
    pub place: Place,
    /// Its range.
    pub range: Range,
    /// Free networks that it could be merged with.
    pub free: Vec<Place>,
}

/// Blocks of a locked pool whose cooldown is over, at most `limit`.
pub async fn due_in(db: &mut Connection, pool: PoolId, limit: i64) -> Result<Vec<Due>> {
    let rows = query!(
        r#"select due.range_id, due.cidr, range_cidr,
            (
                select coalesce(jsonb_agg(jsonb_build_object('range', free_block.range_id, 'cidr', free_block.cidr)), '[]')
                from ipam_buddies(due.cidr, range_cidr) as buddy join free_block
                    on free_block.range_id = due.range_id and free_block.cidr = buddy
                        and free_block.host_bits = (case family(buddy) when 4 then 32 else 128 end) - masklen(buddy)
            ) as "free!: Json<Vec<Place>>"
        from (
            select cooldown.range_id, cooldown.cidr, pool_range.cidr as range_cidr
            from cooldown join pool_range using (range_id)
            where pool_id = $1 and free_at <= now() order by free_at limit $2
        ) as due"#,
        pool.0,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Due {
            place: Place {
                range: row.range_id,
                cidr: Cidr::from(row.cidr),
            },
            range: Range {
                id: row.range_id,
                pool,
                cidr: Cidr::from(row.range_cidr),
            },
            free: row.free.0,
        })
        .collect())
}

fn columns(places: &[Place]) -> (Vec<RangeId>, Vec<IpNet>) {
    (
        places.iter().map(|place| place.range).collect(),
        convert::nets(places.iter().map(|place| place.cidr)),
    )
}

/// Until when something of a released allocation cools down; none if nothing does.
pub async fn until(db: &mut Connection, id: AllocationId) -> Result<Option<OffsetDateTime>> {
    let row = query!(
        "select max(free_at) as until from cooldown where allocation_id = $1",
        id.0
    )
    .fetch_one(db)
    .await?;
    Ok(row.until)
}

/// What becomes of the blocks that are in one pool, when they are released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The name of the pool.
    pub pool: String,
    /// For how many seconds it keeps them out of circulation; 0 if they are free at once.
    pub seconds: u32,
    /// How many there are.
    pub blocks: u64,
}

/// What becomes of the blocks of a VPC, or of one of its allocations, when that is released; by pool.
pub async fn ahead(
    db: &mut Connection,
    vpc: VpcId,
    allocation: Option<AllocationId>,
) -> Result<Vec<Ahead>> {
    query!(
        r#"select pool.name, release_cooldown_seconds, count(*) as "blocks!"
        from allocation join block using (allocation_id) join pool_range using (range_id) join pool using (pool_id)
        where allocation.vpc_id = $1 and ($2::uuid is null or allocation_id = $2)
        group by pool_id, pool.name, release_cooldown_seconds order by pool.name, pool_id"#,
        vpc.0,
        allocation.map(|id| id.0)
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Ahead {
            pool: row.name,
            seconds: convert::count(i64::from(row.release_cooldown_seconds))?
                .try_into()
                .unwrap_or(u32::MAX),
            blocks: convert::count(row.blocks)?,
        })
    })
    .collect()
}
