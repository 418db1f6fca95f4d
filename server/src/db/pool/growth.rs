//! How much of pools was used before, from when blocks began and ended. The latest changes are read, and no more than a number
//! of them, whatever is stored: ids sort by time.

use ipam_shared::ids::PoolId;
use sqlx::query;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{db::Connection, error::Result};

/// What changed in one pool in one step of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The pool.
    pub pool: PoolId,
    /// Which step, from 0.
    pub step: i32,
    /// By how many addresses more is used after it.
    pub more: f64,
}

/// The moment since which no more than so many blocks were allocated, nor so many reserved, nor so many ended; none if there
/// never were so many.
pub async fn horizon(db: &mut Connection, most: i64) -> Result<Option<OffsetDateTime>> {
    let row = query!(
        "select greatest(
            (select created_at from allocation where allocation_id < $2 order by allocation_id desc offset $1 limit 1),
            (select created_at from reservation where reservation_id < $2 order by reservation_id desc offset $1 limit 1),
            (select until from past_block order by past_block_id desc offset $1 limit 1)
        ) as at",
        most,
        latest()
    )
    .fetch_one(db)
    .await?;
    Ok(row.at)
}

/// What changed in these pools since a moment, in steps of that length; of the latest `most` allocations and ends.
pub async fn steps(
    db: &mut Connection,
    pools: &[PoolId],
    since: OffsetDateTime,
    step: Duration,
    most: i64,
) -> Result<Vec<Step>> {
    let ids: Vec<_> = pools.iter().map(|id| id.0).collect();
    // Each block is looked up by itself: whoever guesses how many began lately guesses too many, and reads them all.
    // A block that was resized began later than its allocation: those of which something ended are looked at too. What cools
    // down is in use still, by nobody: all of what ended, or what was given back of it.
    let rows = query!(
        r#"with recent as materialized (
            select allocation_id from allocation where allocation_id >= $3 and allocation_id < $6
            order by allocation_id desc limit $5
        ), ended as materialized (
            select pool_id, cidr, allocation_id, since, until from (
                select * from past_block order by past_block_id desc limit $5
            ) as latest where until >= $1
        ), reserved as materialized (
            select reservation_id from reservation where reservation_id >= $3 and reservation_id < $6
            order by reservation_id desc limit $5
        ), began as (
            select new.* from (
                select allocation_id from recent union select allocation_id from ended where allocation_id is not null
            ) as candidate cross join lateral (
                select range_id, cidr, since from block where block.allocation_id = candidate.allocation_id offset 0
            ) as new
            union all
            select new.* from reserved cross join lateral (
                select range_id, cidr, since from block where block.reservation_id = reserved.reservation_id offset 0
            ) as new
            union all
            select block.range_id, block.cidr, block.since
            from pool_range join block on block.range_id = pool_range.parent_range_id and block.cidr = pool_range.cidr
            union all
            select distinct cool.* from ended cross join lateral (
                select range_id, cidr, released_at from cooldown
                where cooldown.allocation_id = ended.allocation_id and cooldown.cidr <<= ended.cidr offset 0
            ) as cool
        ), moved as (
            select pool_id, began.cidr, since as at, 1 as sign from began join pool_range using (range_id)
            union all
            select pool_id, cidr, until, -1 from ended
            union all
            select pool_id, cidr, since, 1 from ended
        )
        select pool_id as "pool_id!", floor(extract(epoch from at - $1) / $4)::integer as "step!",
            sum(sign * 2.0::float8 ^ (case family(cidr) when 4 then 32 else 128 end - masklen(cidr))) as "more!"
        from moved where at >= $1 and pool_id = any($2) group by 1, 2"#,
        since,
        &ids,
        floor(since),
        step.as_seconds_f64() as _,
        most,
        latest()
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Step {
            pool: PoolId(row.pool_id),
            step: row.step,
            more: row.more,
        })
        .collect())
}

/// The first id of that time.
fn floor(at: OffsetDateTime) -> Uuid {
    let milliseconds = at.unix_timestamp_nanos() / 1_000_000;
    Uuid::from_u128(u128::try_from(milliseconds).unwrap_or_default() << 80)
}

/// An id that is later than any of now: ids that somebody else made need not have a time in them.
fn latest() -> Uuid {
    floor(OffsetDateTime::now_utc() + Duration::DAY)
}
