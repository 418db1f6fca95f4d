//! What lies where in a pool, in address order, and how full its parts are: reads for its address map. The cost is bounded
//! by what is drawn, not by what is allocated.

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, PoolId},
};
use sqlx::{query, types::ipnet::IpNet};

use crate::{
    db::{Connection, convert},
    error::Result,
    network::RangeId,
};

/// A block with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The range that it lies in.
    pub range: RangeId,
    /// The block.
    pub cidr: Cidr,
    /// The allocation; none for what is out of circulation.
    pub allocation: Option<AllocationId>,
    /// Name of the allocation's VPC.
    pub vpc: Option<String>,
    /// Name of the allocation.
    pub name: Option<String>,
    /// Why it is out of circulation.
    pub reason: Option<String>,
}

/// The ranges of a pool, in address order.
pub async fn ranges(db: &mut Connection, pool: PoolId, limit: i64) -> Result<Vec<(RangeId, Cidr)>> {
    let rows = query!(
        "select range_id, cidr from pool_range where pool_id = $1 order by cidr limit $2",
        pool.0,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.range_id, Cidr::from(row.cidr)))
        .collect())
}

/// The blocks of a pool in address order, after `after`.
pub async fn blocks(
    db: &mut Connection,
    pool: PoolId,
    after: Option<Cidr>,
    limit: i64,
) -> Result<Vec<Used>> {
    let rows = query!(
        r#"select range_id as "range_id!", block.cidr as "cidr!", allocation_id, vpc.name as "vpc?",
            allocation.name as "name?", coalesce(reservation.reason, block.reason) as reason
        from (
            select used.range_id, used.cidr, used.allocation_id, used.reservation_id, used.reason
            from pool_range cross join lateral (
                select range_id, cidr, allocation_id, reservation_id, reason from block
                where range_id = pool_range.range_id and ($2::cidr is null or cidr > $2)
                order by cidr limit $3
            ) as used
            where pool_id = $1 order by used.cidr limit $3
        ) as block
            left join allocation using (allocation_id) left join vpc using (vpc_id)
            left join reservation using (reservation_id)
        order by block.cidr"#,
        pool.0,
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
            allocation: row.allocation_id.map(AllocationId),
            vpc: row.vpc,
            name: row.name,
            reason: row.reason,
        })
        .collect())
}

/// What was found in one part of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Blocks that begin in it and were examined.
    pub blocks: u32,
    /// The part of it that they take, from 0 to 1.
    pub used: f64,
    /// The last of them.
    pub last: Option<Cidr>,
    /// Whether a block that begins before it reaches into it, and so covers it.
    pub covered: bool,
}

/// For each of these parts of a range, the first `sample` blocks in it, summed up.
pub async fn samples(
    db: &mut Connection,
    range: RangeId,
    parts: &[Cidr],
    sample: i64,
) -> Result<Vec<Sample>> {
    let firsts = convert::nets(parts.iter().copied());
    let lasts: Vec<IpNet> = parts.iter().map(|part| IpNet::from(part.last())).collect();
    let rows = query!(
        r#"select blocks as "blocks!", used as "used!", last as "last: IpNet",
            coalesce(before.cidr >>= part.first, false) as "covered!"
        from unnest($2::cidr[], $3::cidr[]) with ordinality as part (first, last_address, place)
            left join lateral (
                select cidr from block where range_id = $1 and cidr < part.first order by cidr desc limit 1
            ) as before on true
            cross join lateral (
                select count(*)::integer as blocks,
                    coalesce(sum(2.0::float8 ^ (masklen(part.first) - masklen(cidr))), 0) as used,
                    max(cidr::inet)::cidr as last
                from (
                    select cidr from block
                    where range_id = $1 and cidr >= part.first and cidr <= part.last_address
                    order by cidr limit $4
                ) as seen
            ) as inside
        order by place"#,
        range,
        &firsts,
        &lasts,
        sample
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Sample {
            blocks: u32::try_from(row.blocks).unwrap_or_default(),
            used: row.used,
            last: row.last.map(Cidr::from),
            covered: row.covered,
        })
        .collect())
}
