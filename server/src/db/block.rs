//! Blocks that conflict with something.

use ipam_shared::cidr::Cidr;
use sqlx::{query, types::ipnet::IpNet};

use crate::{
    db::Connection,
    error::{Conflict, Result},
    network::RangeId,
};

/// Who has these blocks; at most ten.
macro_rules! conflicts {
    ($db:expr, $blocks:literal, $($value:expr),+) => {
        query!(
            r#"select block.cidr as "cidr!", pool.name as pool, coalesce(vpc.name, cooldown.vpc) as vpc,
                coalesce(allocation.name, cooldown.name) as name,
                coalesce(block.allocation_id, cooldown.allocation_id) as allocation_id, block.reservation_id,
                coalesce(reservation.reason, block.reason) as reason, child_pool.name as "child_pool?",
                cooldown.free_at as "free_at?"
            from ("# + $blocks + r#") as block
                join pool_range using (range_id)
                join pool using (pool_id)
                left join allocation using (allocation_id)
                left join vpc using (vpc_id)
                left join reservation on reservation.reservation_id = block.reservation_id
                left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr
                left join pool_range as child on child.parent_range_id = block.range_id and child.cidr = block.cidr
                left join pool as child_pool on child_pool.pool_id = child.pool_id
            order by block.cidr limit 10"#,
            $($value),+
        )
        .fetch_all($db)
        .await?
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
        .collect()
    };
}

/// Who has what overlaps a network in one range; at most ten.
pub async fn overlapping(db: &mut Connection, range: RangeId, cidr: Cidr) -> Result<Vec<Conflict>> {
    Ok(conflicts!(
        db,
        "(select * from block where ipam_tag(range_id, cidr) >>= ipam_tag($1, $2::cidr) limit 1)
        union all
        -- What lies inside comes right behind it, in the order of the primary key: ten are read, and not all.
        (select * from block where range_id = $1 and cidr > $2::cidr and cidr <= set_masklen(
            broadcast($2::cidr), case family($2::cidr) when 4 then 32 else 128 end) order by cidr limit 10)",
        range,
        IpNet::from(cidr)
    ))
}

/// Who has blocks in these ranges: the first ten.
pub async fn blocks_in(db: &mut Connection, ranges: &[RangeId]) -> Result<Vec<Conflict>> {
    Ok(conflicts!(
        db,
        "select * from block where range_id = any($1) order by range_id, cidr limit 10",
        ranges
    ))
}

/// How many blocks there are in these ranges.
pub async fn count_in(db: &mut Connection, ranges: &[RangeId]) -> Result<i64> {
    let row = query!(
        r#"select count(*) as "count!" from block where range_id = any($1)"#,
        ranges
    )
    .fetch_one(db)
    .await?;
    Ok(row.count)
}
