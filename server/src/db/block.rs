//! Blocks: those that an allocation holds, and those that are in the way of something.

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, PoolId},
};
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;

use crate::{
    db::{Connection, convert},
    error::{Conflict, Result},
    network::{Place, RangeId},
};

/// A block that an allocation holds, with the rules that apply to its size.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it is.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Its pool.
    pub pool: PoolId,
    /// Name of its pool.
    pub pool_name: String,
    /// The member of the profile that it was cut for.
    pub member: Option<i32>,
    /// What it is for.
    pub role: String,
    /// Bits added to the prefix length that was asked for.
    pub size_offset: i16,
    /// Bounds that apply: those of its member; without one, those of the pool.
    pub min_prefix_length: u8,
    /// Bounds that apply.
    pub max_prefix_length: u8,
    /// Bounds of the pool.
    pub pool_min_prefix_length: u8,
    /// Bounds of the pool.
    pub pool_max_prefix_length: u8,
    /// Addresses that are not for hosts.
    pub reserved_addresses: u32,
    /// For how many seconds the pool keeps released space out of circulation.
    pub cooldown_seconds: i32,
    /// Since when it is there.
    pub since: OffsetDateTime,
}

/// The blocks of an allocation, in their order.
pub async fn held(db: &mut Connection, id: AllocationId) -> Result<Vec<Held>> {
    query!(
        r#"select range_id, block.cidr, range_cidr, pool_id, pool.name as pool_name, member_id,
            coalesce(role, 'main') as "role!", block.size_offset as "size_offset!",
            case when member_id is null then pool.min_prefix_length else block.min_prefix_length end as "shortest!",
            case when member_id is null then pool.max_prefix_length else block.max_prefix_length end as "longest!",
            pool.min_prefix_length as pool_shortest, pool.max_prefix_length as pool_longest,
            reserved_addresses, release_cooldown_seconds, since
        from block left join profile_member using (member_id) join pool_range using (range_id) join pool using (pool_id)
        where allocation_id = $1 order by position"#,
        id.0
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Held {
            place: Place { range: row.range_id, cidr: Cidr::from(row.cidr) },
            range_cidr: Cidr::from(row.range_cidr),
            pool: PoolId(row.pool_id),
            pool_name: row.pool_name,
            member: row.member_id,
            role: row.role,
            size_offset: row.size_offset,
            min_prefix_length: convert::small(row.shortest)?,
            max_prefix_length: convert::small(row.longest)?,
            pool_min_prefix_length: convert::small(row.pool_shortest)?,
            pool_max_prefix_length: convert::small(row.pool_longest)?,
            reserved_addresses: u32::try_from(row.reserved_addresses).unwrap_or_default(),
            cooldown_seconds: row.release_cooldown_seconds,
            since: row.since,
        })
    })
    .collect()
}

/// Deletes the blocks of an allocation that is about to get others. Those of `changed` are kept in the history. What has
/// them since later than now, by another clock or from an old import, has them since now.
pub async fn delete_blocks(db: &mut Connection, id: AllocationId, changed: &[Place]) -> Result<()> {
    let ranges: Vec<_> = changed.iter().map(|place| place.range).collect();
    let nets = convert::nets(changed.iter().map(|place| place.cidr));
    query!(
        "with gone as (
            delete from block where allocation_id = $1 returning range_id, cidr, member_id, since
        )
        insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, role, since)
        select pool.vrf_id, pool_id, pool.name, gone.cidr, $1, vpc.name, allocation.name, coalesce(role, 'main'),
            least(since, statement_timestamp())
        from unnest($2::integer[], $3::cidr[]) as changed (range_id, cidr)
            join gone using (range_id, cidr) join pool_range using (range_id) join pool using (pool_id)
            left join profile_member using (member_id)
            join allocation on allocation_id = $1 join vpc using (vpc_id)",
        id.0,
        &ranges,
        &nets
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Inserts the blocks of an allocation that has none, at its new prefix length.
pub async fn insert_blocks(
    db: &mut Connection,
    id: AllocationId,
    prefix_length: u8,
    blocks: &[(Held, Cidr)],
) -> Result<()> {
    let ranges: Vec<_> = blocks.iter().map(|(held, _)| held.place.range).collect();
    let nets = convert::nets(blocks.iter().map(|(_, cidr)| *cidr));
    let range_nets = convert::nets(blocks.iter().map(|(held, _)| held.range_cidr));
    let members: Vec<_> = blocks.iter().map(|(held, _)| held.member).collect();
    let offsets: Vec<_> = blocks.iter().map(|(held, _)| held.size_offset).collect();
    let shortest: Vec<i16> = blocks
        .iter()
        .map(|(held, _)| held.min_prefix_length.into())
        .collect();
    let longest: Vec<i16> = blocks
        .iter()
        .map(|(held, _)| held.max_prefix_length.into())
        .collect();
    // What did not change is there since it was.
    let since: Vec<_> = blocks
        .iter()
        .map(|(held, cidr)| (held.place.cidr == *cidr).then_some(held.since))
        .collect();
    query!(
        "insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
            min_prefix_length, max_prefix_length, since)
        select range_id, cidr, range_cidr, $1, member_id, $2, size_offset, shortest, longest,
            coalesce(since, clock_timestamp())
        from unnest($3::integer[], $4::cidr[], $5::cidr[], $6::integer[], $7::smallint[], $8::smallint[], $9::smallint[],
            $10::timestamptz[])
            as block (range_id, cidr, range_cidr, member_id, size_offset, shortest, longest, since)",
        id.0,
        i16::from(prefix_length),
        &ranges,
        &nets,
        &range_nets,
        &members as &[Option<i32>],
        &offsets,
        &shortest,
        &longest,
        &since as &[Option<OffsetDateTime>]
    )
    .execute(db)
    .await?;
    Ok(())
}

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
