//! Blocks that were released a short while ago and are still out of circulation.

use std::collections::HashMap;

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, PoolId},
};
use sqlx::{query, types::ipnet::IpNet};
use uuid::Uuid;

use crate::{
    db::{Connection, convert},
    error::Result,
    network::{Place, RangeId},
};

/// What `block.reason` says of them.
pub const REASON: &str = "cooldown";

/// One that a name had until a short while ago.
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

/// What an allocation gave up a short while ago.
pub async fn of_allocation(db: &mut Connection, id: AllocationId) -> Result<Vec<Place>> {
    let rows = query!(
        "select range_id, cidr from cooldown where allocation_id = $1",
        id.0
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

/// Takes blocks out of cooldown, for who had them.
pub async fn end(db: &mut Connection, places: &[Place]) -> Result<u64> {
    let (ranges, nets) = columns(places);
    let done = query!(
        "delete from block using unnest($1::integer[], $2::cidr[]) as wanted (range_id, cidr)
        where block.range_id = wanted.range_id and block.cidr = wanted.cidr and reason = 'cooldown'",
        &ranges,
        &nets
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A block that begins to cool down.
#[derive(Clone, Debug)]
pub struct Start {
    /// Where it is.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Whose it was.
    pub allocation: AllocationId,
    /// Name of the VPC, in lower case.
    pub vpc: String,
    /// Name of the allocation, if the same name is to get it back.
    pub name: Option<String>,
    /// What it was for.
    pub role: String,
    /// For how long, in seconds.
    pub seconds: i32,
}

/// Keeps free space out of circulation for a while.
pub async fn start(db: &mut Connection, blocks: &[Start]) -> Result<()> {
    let places: Vec<_> = blocks.iter().map(|block| block.place).collect();
    let (ranges, nets) = columns(&places);
    let range_nets = convert::nets(blocks.iter().map(|block| block.range_cidr));
    let allocations: Vec<Uuid> = blocks.iter().map(|block| block.allocation.0).collect();
    let vpcs: Vec<_> = blocks.iter().map(|block| block.vpc.clone()).collect();
    let names: Vec<_> = blocks.iter().map(|block| block.name.clone()).collect();
    let roles: Vec<_> = blocks.iter().map(|block| block.role.clone()).collect();
    let seconds: Vec<_> = blocks.iter().map(|block| block.seconds).collect();
    query!(
        "with cooling as (
            insert into block (range_id, cidr, range_cidr, reason)
            select *, 'cooldown' from unnest($1::integer[], $2::cidr[], $3::cidr[])
        )
        insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
        select range_id, cidr, allocation_id, vpc, name, role, now() + make_interval(secs => seconds)
        from unnest($1::integer[], $2::cidr[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::integer[])
            as cooling (range_id, cidr, allocation_id, vpc, name, role, seconds)",
        &ranges,
        &nets,
        &range_nets,
        &allocations,
        &vpcs,
        &names as &[Option<String>],
        &roles,
        &seconds
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Pools with blocks whose time is over.
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

/// Deletes blocks of these ranges whose time is over, at most `limit`, and answers where they were.
pub async fn delete_due(db: &mut Connection, ranges: &[RangeId], limit: i64) -> Result<Vec<Place>> {
    let rows = query!(
        "delete from block using (
            select range_id, cidr from cooldown where range_id = any($1) and free_at <= now() order by free_at limit $2
        ) as due
        where block.range_id = due.range_id and block.cidr = due.cidr
        returning block.range_id, block.cidr",
        ranges,
        limit
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

fn columns(places: &[Place]) -> (Vec<RangeId>, Vec<IpNet>) {
    (
        places.iter().map(|place| place.range).collect(),
        convert::nets(places.iter().map(|place| place.cidr)),
    )
}
