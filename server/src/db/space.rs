//! The largest pieces of a pool that are free, or will be.

use ipam_shared::cidr::Cidr;
use sqlx::query;

use crate::{
    db::Connection,
    error::Result,
    network::{Place, RangeId},
};

/// Free blocks of these ranges that are smaller than `host_bits`, the largest first; at most `limit`.
pub async fn pieces(
    db: &mut Connection,
    ranges: &[RangeId],
    host_bits: u8,
    limit: i64,
) -> Result<Vec<Place>> {
    // The counts say how many to take of each size, so that no more than the limit are read and none are sorted.
    let rows = query!(
        r#"select sizes.range_id, piece.cidr
        from (
            select range_id, host_bits, blocks,
                (sum(blocks) over (order by host_bits desc, range_id) - blocks)::bigint as before
            from free_count where range_id = any($1) and host_bits < $2 and blocks > 0
        ) as sizes cross join lateral (
            select cidr from free_block where free_block.range_id = sizes.range_id and free_block.host_bits = sizes.host_bits
            order by cidr limit greatest($3 - sizes.before, 0)
        ) as piece
        where sizes.before < $3"#,
        ranges,
        i16::from(host_bits),
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

/// Blocks of these ranges that cool down; at most `limit`.
pub async fn cooling(db: &mut Connection, ranges: &[RangeId], limit: i64) -> Result<Vec<Place>> {
    let rows = query!(
        "select range_id, cidr from cooldown where range_id = any($1) limit $2",
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
