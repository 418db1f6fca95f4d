//! Ranges of pools: their rows, the blocks that they are in a parent, and what conflicts with new ones.

use ipam_shared::{
    cidr::Cidr,
    ids::{PoolId, ReservationId, VrfId},
};
use sqlx::{query, types::Json};

use crate::{
    db::{
        Connection, convert,
        ledger::{Ledger, ledger},
    },
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

/// A range as a block of the pool that it is cut from.
#[derive(Clone, Debug)]
pub struct InParent {
    /// The block.
    pub place: Place,
    /// The range of the parent.
    pub parent: Range,
    /// Free networks that the block could be merged with.
    pub free: Vec<Place>,
}

/// The ranges of a pool as blocks of its parent. Read it under the locks of both.
pub async fn in_parent(db: &mut Connection, pool: PoolId) -> Result<Vec<InParent>> {
    let rows = query!(
        r#"select parent.range_id, parent.pool_id, parent.cidr as parent_cidr, pool_range.cidr,
            (
                select coalesce(jsonb_agg(jsonb_build_object('range', free_block.range_id, 'cidr', free_block.cidr)), '[]')
                from ipam_buddies(pool_range.cidr, parent.cidr) as buddy join free_block
                    on free_block.range_id = parent.range_id and free_block.cidr = buddy
                        and free_block.host_bits = (case family(buddy) when 4 then 32 else 128 end) - masklen(buddy)
            ) as "free!: Json<Vec<Place>>"
        from pool_range join pool_range as parent on parent.range_id = pool_range.parent_range_id
        where pool_range.pool_id = $1"#,
        pool.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| InParent {
            place: Place {
                range: row.range_id,
                cidr: Cidr::from(row.cidr),
            },
            parent: Range {
                id: row.range_id,
                pool: PoolId(row.pool_id),
                cidr: Cidr::from(row.parent_cidr),
            },
            free: row.free.0,
        })
        .collect())
}

/// A range that conflicts with a new one.
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

/// Adds ranges to a pool. Each is one free block then.
pub async fn insert(db: &mut Connection, pool: PoolId, cidrs: &[Cidr]) -> Result<Vec<Range>> {
    let nets = convert::nets(cidrs.iter().copied());
    let rows = query!(
        "insert into pool_range (pool_id, vrf_id, family, cidr)
        select pool_id, vrf_id, family, new.cidr from pool, unnest($2::cidr[]) as new (cidr) where pool_id = $1
        returning range_id, cidr",
        pool.0,
        &nets
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

/// Takes ranges from a child pool, and gives it others, whose blocks in the parent end and begin as the ledger says. Each new
/// one is one free block then.
pub async fn replace_children(
    db: &mut Connection,
    pool: PoolId,
    gone: &[RangeId],
    new: &[Place],
    ledger: &Ledger,
) -> Result<()> {
    let parents: Vec<_> = new.iter().map(|place| place.range).collect();
    let nets = convert::nets(new.iter().map(|place| place.cidr));
    ledger!(
        ledger,
        &[],
        ", gone as (
            delete from pool_range where range_id = any($39)
        )
        insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id, parent_pool_id)
        select pool_id, vrf_id, family, new.cidr, new.parent, parent_pool_id
        from pool, unnest($40::cidr[], $41::integer[]) as new (cidr, parent) where pool_id = $38",
        pool.0,
        gone,
        &nets,
        &parents
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes ranges that nothing is in, with their free lists.
pub async fn delete(db: &mut Connection, ranges: &[RangeId]) -> Result<()> {
    query!("delete from pool_range where range_id = any($1)", ranges)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes blocks that have cooled down but have not been freed yet.
pub async fn delete_cooled(db: &mut Connection, ranges: &[RangeId]) -> Result<()> {
    query!(
        "with ended as (
            delete from cooldown where range_id = any($1) and free_at <= now() returning range_id, cidr
        )
        delete from block using ended where block.range_id = ended.range_id and block.cidr = ended.cidr",
        ranges
    )
    .execute(db)
    .await?;
    Ok(())
}
