//! What lies where in a part of the address space, in address order, and how full its parts are: reads for maps. The cost is
//! bounded by what is drawn, not by what is allocated.

mod around;
mod density;

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, PoolId, ReservationId, VrfId},
    labels::Labels,
};
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;

pub use self::{
    around::{are_more, extent, free, moments},
    density::{Sample, samples},
};
use crate::{
    db::{Connection, convert},
    error::Result,
    network::RangeId,
};

/// A part of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The range.
    pub range: RangeId,
    /// All of the range.
    pub whole: Cidr,
    /// The part of it that is looked at.
    pub window: Cidr,
    /// Whose range it is.
    pub pool: PoolId,
    /// Its name.
    pub pool_name: String,
    /// The longest prefix of a block of the pool.
    pub smallest: u8,
}

/// A block and who holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// The range that it lies in; one that has gone since then has none.
    pub range: RangeId,
    /// The block.
    pub cidr: Cidr,
    /// Who.
    pub holder: Holder,
    /// Since when.
    pub since: OffsetDateTime,
}

/// Who holds a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Holder {
    /// An allocation.
    Allocation {
        /// Its id.
        id: AllocationId,
        /// The name of its VPC.
        vpc: String,
        /// Its name.
        name: Option<String>,
        /// Its labels; none are known of a past one.
        labels: Labels,
    },
    /// A reservation.
    Reservation {
        /// Its id.
        id: ReservationId,
        /// Why.
        reason: String,
    },
    /// A pool that was cut from this one.
    Child {
        /// Its id.
        id: PoolId,
        /// Its name.
        name: String,
    },
    /// It was released and is not yet free.
    Cooling {
        /// When it is free.
        until: OffsetDateTime,
    },
    /// Something that the caller does not see, or that has no name.
    Other {
        /// Why it is out of circulation.
        reason: String,
    },
}

/// Which ranges are meant.
#[derive(Clone, Copy, Debug)]
pub enum Ranges {
    /// Those of a pool.
    OfPool(PoolId),
    /// Those of a VRF that are not cut from another pool that the caller sees; if the window lies in one that is, that one.
    OfVrf(VrfId),
}

/// Parts as columns: their ranges, and the first and the last of their networks.
fn columns(parts: &[Part]) -> (Vec<RangeId>, Vec<IpNet>, Vec<IpNet>) {
    let part = |part: &Part| {
        let window = part.window;
        (
            part.range,
            (IpNet::from(window), IpNet::from(window.last())),
        )
    };
    let (ranges, (windows, lasts)) = parts.iter().map(part).unzip();
    (ranges, windows, lasts)
}

/// The parts of ranges that lie in a window, or all of the ranges, in address order. A window that is smaller than a range is
/// a part of it.
pub async fn parts(
    db: &mut Connection,
    ranges: Ranges,
    window: Option<Cidr>,
    limit: i64,
) -> Result<Vec<Part>> {
    let (pool, vrf) = match ranges {
        Ranges::OfPool(pool) => (Some(pool.0), None),
        Ranges::OfVrf(vrf) => (None, Some(vrf.0)),
    };
    let rows = query!(
        r#"select range_id, cidr, pool_id, pool.name, max_prefix_length
        from pool_range join pool using (pool_id)
        where ($1::uuid is null or pool_id = $1) and ($2::uuid is null or pool_range.vrf_id = $2)
            and ($3::cidr is null or cidr && $3)
            and ($2::uuid is null or parent_range_id is null or cidr >>= $3
                or not exists (select from pool_range as parent where parent.range_id = pool_range.parent_range_id))
        order by cidr, range_id limit $4"#,
        pool,
        vrf,
        window.map(IpNet::from) as _,
        limit
    )
    .fetch_all(db)
    .await?;
    let mut parts = Vec::with_capacity(rows.len());
    for row in rows {
        let whole = Cidr::from(row.cidr);
        parts.push(Part {
            range: row.range_id,
            whole,
            window: window
                .filter(|window| whole.contains(*window))
                .unwrap_or(whole),
            pool: PoolId(row.pool_id),
            pool_name: row.name,
            smallest: convert::small(row.max_prefix_length)?,
        });
    }
    // Of those that contain the window, the deepest has what is in it.
    if let Some(window) = window
        && let Some(deepest) = parts.iter().rposition(|part| part.whole.contains(window))
    {
        return Ok(vec![parts.swap_remove(deepest)]);
    }
    Ok(parts)
}

/// The blocks in these parts in address order, and those that contain one, after `after`: as they are now, or as they were.
pub async fn blocks(
    db: &mut Connection,
    parts: &[Part],
    at: Option<OffsetDateTime>,
    after: Option<Cidr>,
    limit: i64,
) -> Result<Vec<Used>> {
    let mut found = present(db, parts, at, after, limit).await?;
    if let Some(at) = at {
        found.extend(past(db, parts, at, after, limit).await?);
        found.sort_by_key(|used| used.cidr);
        found.truncate(usize::try_from(limit).unwrap_or_default());
    }
    Ok(found)
}

async fn present(
    db: &mut Connection,
    parts: &[Part],
    at: Option<OffsetDateTime>,
    after: Option<Cidr>,
    limit: i64,
) -> Result<Vec<Used>> {
    let (ranges, windows, lasts) = columns(parts);
    let rows = query!(
        r#"select block.range_id as "range_id!", block.cidr as "cidr!", block.since as "since!", block.allocation_id,
            block.reservation_id, vpc.name as "vpc?", allocation.name as "name?", allocation.labels as "labels?",
            coalesce(reservation.reason, block.reason) as reason, cooldown.free_at as "free_at?",
            child.pool_id as "child_id?", child.name as "child?"
        from (
            select used.* from unnest($1::integer[], $2::cidr[], $3::cidr[]) as part (range_id, net, last_address)
                cross join lateral (
                    (select range_id, cidr, allocation_id, reservation_id, reason, since from block
                    where ipam_tag(block.range_id, block.cidr) >>= ipam_tag(part.range_id, part.net)
                        and ($4::cidr is null or cidr > $4) and ($6::timestamptz is null or since <= $6))
                    union all
                    (select range_id, cidr, allocation_id, reservation_id, reason, since from block
                    where block.range_id = part.range_id and cidr > greatest(part.net, $4::cidr) and cidr <= part.last_address
                        and ($6::timestamptz is null or since <= $6)
                    order by cidr limit $5)
                ) as used
            order by used.cidr limit $5
        ) as block
            left join allocation using (allocation_id) left join vpc using (vpc_id)
            left join reservation using (reservation_id)
            left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr
            left join pool_range as child_range
                on child_range.parent_range_id = block.range_id and child_range.cidr = block.cidr
            left join pool as child on child.pool_id = child_range.pool_id
        order by block.cidr"#,
        &ranges,
        &windows,
        &lasts,
        after.map(IpNet::from) as _,
        limit,
        at
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let holder = match (
                row.allocation_id,
                row.vpc,
                row.reservation_id,
                row.child_id,
                row.free_at,
            ) {
                (Some(id), Some(vpc), ..) => Holder::Allocation {
                    id: AllocationId(id),
                    vpc,
                    name: row.name,
                    labels: row
                        .labels
                        .map(convert::labels)
                        .transpose()?
                        .unwrap_or_default(),
                },
                (_, _, Some(id), ..) => Holder::Reservation {
                    id: ReservationId(id),
                    reason: row.reason.unwrap_or_default(),
                },
                (_, _, _, Some(id), _) => Holder::Child {
                    id: PoolId(id),
                    name: row.child.unwrap_or_default(),
                },
                (_, _, _, _, Some(until)) => Holder::Cooling { until },
                _ => Holder::Other {
                    reason: row.reason.unwrap_or_else(|| "in use".to_owned()),
                },
            };
            Ok(Used {
                range: row.range_id,
                cidr: Cidr::from(row.cidr),
                holder,
                since: row.since,
            })
        })
        .collect()
}

/// What was there at a time and has ended since then.
async fn past(
    db: &mut Connection,
    parts: &[Part],
    at: OffsetDateTime,
    after: Option<Cidr>,
    limit: i64,
) -> Result<Vec<Used>> {
    let (ranges, windows, _) = columns(parts);
    let pools: Vec<_> = parts.iter().map(|part| part.pool.0).collect();
    let rows = query!(
        r#"select part.range_id as "range_id!", cidr, allocation_id, reservation_id, vpc, name, reason, since
        from unnest($1::integer[], $2::uuid[], $3::cidr[]) as part (range_id, pool_id, net)
            join past_block on past_block.pool_id = part.pool_id and cidr && part.net
        where tstzrange(since, until) @> $4::timestamptz and ($5::cidr is null or cidr > $5)
        order by cidr limit $6"#,
        &ranges,
        &pools,
        &windows,
        at,
        after.map(IpNet::from) as _,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Used {
            range: row.range_id,
            cidr: Cidr::from(row.cidr),
            holder: match (row.allocation_id, row.reservation_id) {
                (Some(id), _) => Holder::Allocation {
                    id: AllocationId(id),
                    vpc: row.vpc.unwrap_or_default(),
                    name: row.name,
                    labels: Labels::default(),
                },
                (None, Some(id)) => Holder::Reservation {
                    id: ReservationId(id),
                    reason: row.reason.unwrap_or_default(),
                },
                (None, None) => Holder::Other {
                    reason: row.reason.unwrap_or_default(),
                },
            },
            since: row.since,
        })
        .collect())
}
