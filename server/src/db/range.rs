//! Ranges of pools: their rows, the blocks that they are in a parent, and what is in the way of new ones.

use ipam_shared::{
    cidr::Cidr,
    ids::{PoolId, ReservationId, VrfId},
};
use sqlx::{query, types::ipnet::IpNet};

use crate::{
    db::{Connection, convert},
    error::Result,
    network::{Place, Range, RangeId},
};

/// A range, and the range of the parent pool that it is cut from.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// The range.
    pub range: Range,
    /// Key of the parent range.
    pub parent: Option<RangeId>,
}

/// Ranges of a pool in address order. Read it after the VRF is locked.
pub async fn of_pool(db: &mut Connection, pool: PoolId) -> Result<Vec<Stored>> {
    let rows = query!(
        "select range_id, cidr, parent_range_id from pool_range where pool_id = $1 order by cidr",
        pool.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Stored {
            range: Range {
                id: row.range_id,
                pool,
                cidr: Cidr::from(row.cidr),
            },
            parent: row.parent_range_id,
        })
        .collect())
}

/// A range in the way of a new one.
#[derive(Clone, Debug)]
pub struct Overlap {
    /// The new one.
    pub wanted: Cidr,
    /// The one that exists.
    pub cidr: Cidr,
    /// Its pool.
    pub pool: PoolId,
    /// Name of its pool.
    pub pool_name: String,
}

/// Ranges of a VRF that are not cut from others and overlap one of these networks; at most ten.
pub async fn overlapping(db: &mut Connection, vrf: VrfId, wanted: &[Cidr]) -> Result<Vec<Overlap>> {
    let nets = convert::nets(wanted.iter().copied());
    let rows = query!(
        r#"select wanted.cidr as "wanted!", pool_range.cidr, pool_id, pool.name
        from unnest($2::cidr[]) as wanted (cidr)
            join pool_range on pool_range.vrf_id = $1 and pool_range.cidr && wanted.cidr and parent_range_id is null
            join pool using (pool_id)
        order by wanted.cidr, pool_range.cidr limit 10"#,
        vrf.0,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Overlap {
            wanted: Cidr::from(row.wanted),
            cidr: Cidr::from(row.cidr),
            pool: PoolId(row.pool_id),
            pool_name: row.name,
        })
        .collect())
}

/// A reservation that overlaps a new range.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// Its id.
    pub id: ReservationId,
    /// Its network.
    pub cidr: Cidr,
    /// Why.
    pub reason: String,
    /// The new range.
    pub range: Range,
}

/// Reservations of a VRF that overlap one of these ranges, in address order.
pub async fn reservations(
    db: &mut Connection,
    vrf: VrfId,
    ranges: &[Range],
) -> Result<Vec<Reserved>> {
    let nets = convert::nets(ranges.iter().map(|range| range.cidr));
    let rows = query!(
        r#"select reservation_id, reservation.cidr, reason, place as "place!"
        from unnest($2::cidr[]) with ordinality as new (cidr, place)
            join reservation on reservation.vrf_id = $1 and reservation.cidr && new.cidr
        order by reservation.cidr, place"#,
        vrf.0,
        &nets
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let place = usize::try_from(row.place - 1).ok()?;
            Some(Reserved {
                id: ReservationId(row.reservation_id),
                cidr: Cidr::from(row.cidr),
                reason: row.reason,
                range: *ranges.get(place)?,
            })
        })
        .collect())
}

/// Adds ranges to a pool, each with the range of the parent pool that it is cut from. Each is one free block then.
pub async fn insert(
    db: &mut Connection,
    pool: PoolId,
    ranges: &[(Cidr, Option<RangeId>)],
) -> Result<Vec<Range>> {
    let nets = convert::nets(ranges.iter().map(|(cidr, _)| *cidr));
    let parents: Vec<_> = ranges.iter().map(|(_, parent)| *parent).collect();
    let rows = query!(
        "insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id, parent_pool_id)
        select pool_id, vrf_id, family, new.cidr, new.parent, parent_pool_id
        from pool, unnest($2::cidr[], $3::integer[]) as new (cidr, parent) where pool_id = $1
        returning range_id, cidr",
        pool.0,
        &nets,
        &parents as &[Option<RangeId>]
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Range {
            id: row.range_id,
            pool,
            cidr: Cidr::from(row.cidr),
        })
        .collect())
}

/// Deletes ranges that nothing is in, with their free lists.
pub async fn delete(db: &mut Connection, ranges: &[RangeId]) -> Result<()> {
    query!("delete from pool_range where range_id = any($1)", ranges)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes blocks that have cooled down but that nobody has freed yet.
pub async fn delete_cooled(db: &mut Connection, ranges: &[RangeId]) -> Result<()> {
    query!(
        "delete from block using cooldown
        where block.range_id = any($1) and block.reason is not null
            and cooldown.range_id = block.range_id and cooldown.cidr = block.cidr and free_at <= now()",
        ranges
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes networks of ranges out of circulation: for a reservation, or for the range of a child pool.
pub async fn insert_blocks(
    db: &mut Connection,
    blocks: &[(Place, Option<ReservationId>)],
) -> Result<()> {
    let ranges: Vec<_> = blocks.iter().map(|(place, _)| place.range).collect();
    let nets = convert::nets(blocks.iter().map(|(place, _)| place.cidr));
    let reservations: Vec<_> = blocks
        .iter()
        .map(|(_, reservation)| reservation.map(|id| id.0))
        .collect();
    query!(
        "insert into block (range_id, cidr, range_cidr, reservation_id, reason)
        select range_id, new.cidr, pool_range.cidr, reservation_id, case when reservation_id is null then 'child_range' end
        from unnest($1::integer[], $2::cidr[], $3::uuid[]) as new (range_id, cidr, reservation_id)
            join pool_range using (range_id)",
        &ranges,
        &nets,
        &reservations as &[Option<uuid::Uuid>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the blocks that the ranges of a child pool were in its parent.
pub async fn delete_child_blocks(db: &mut Connection, places: &[Place]) -> Result<()> {
    let ranges: Vec<_> = places.iter().map(|place| place.range).collect();
    let nets: Vec<IpNet> = convert::nets(places.iter().map(|place| place.cidr));
    query!(
        "delete from block using unnest($1::integer[], $2::cidr[]) as gone (range_id, cidr)
        where block.range_id = gone.range_id and block.cidr = gone.cidr and allocation_id is null",
        &ranges,
        &nets
    )
    .execute(db)
    .await?;
    Ok(())
}
