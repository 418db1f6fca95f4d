//! Queries about how ranges, reservations, cooldowns and owners relate, whose correct result is empty.
//!
//! Each goes once through its tables, or from each range by index: their cost grows with what there is, not faster.

use sqlx::query;

use crate::{db::Connection, error::Result};

/// A question as a function: its answer is one column of findings.
macro_rules! question {
    ($(#[$doc:meta])* $name:ident, $sql:literal) => {
        $(#[$doc])*
        pub async fn $name(db: &mut Connection) -> Result<Vec<String>> {
            let rows = query!("select finding as \"finding!\" from (" + $sql + ") as found limit 100")
                .fetch_all(db)
                .await?;
            Ok(rows.into_iter().map(|row| row.finding).collect())
        }
    };
}

question!(
    /// Ranges that do not have exactly their block in the parent of their pool, pools whose parent is not one, and blocks
    /// that are kept for a range which does not exist.
    nesting,
    r"select format('range %s of pool %s has no block of its own in range %s', child.cidr, pool.name, parent.cidr) as finding
    from pool_range as child join pool using (pool_id)
        left join pool_range as parent on parent.range_id = child.parent_range_id
        left join block on block.range_id = child.parent_range_id and block.cidr = child.cidr and block.reason = 'child_range'
    where child.parent_range_id is not null and block.cidr is null
    union all
    select format('%s of pool %s is kept for the range of another pool, which does not exist', block.cidr, pool.name)
    from block join pool_range using (range_id) join pool using (pool_id)
        left join pool_range as child on child.parent_range_id = block.range_id and child.cidr = block.cidr
    where block.reason = 'child_range' and child.range_id is null
    union all
    select format('range %s of pool %s is cut from pool %s, and the parent of its pool is %s', child.cidr, pool.name,
        coalesce(other.name, 'none'), coalesce(parent.name, 'none'))
    from pool_range as child join pool using (pool_id)
        left join pool as parent on parent.pool_id = pool.parent_pool_id
        left join pool_range as parent_range on parent_range.range_id = child.parent_range_id
        left join pool as other on other.pool_id = parent_range.pool_id
    where pool.parent_pool_id is distinct from parent_range.pool_id
        or child.parent_pool_id is distinct from parent_range.pool_id
    union all
    select format('range %s of pool %s does not lie in range %s, which it is cut from', child.cidr, pool.name, parent.cidr)
    from pool_range as child join pool using (pool_id) join pool_range as parent on parent.range_id = child.parent_range_id
    where not child.cidr <<= parent.cidr
    union all
    select format('range %s is of another VRF or family than its pool %s', pool_range.cidr, pool.name)
    from pool_range join pool using (pool_id)
    where (pool_range.vrf_id, pool_range.family) <> (pool.vrf_id, pool.family) or family(pool_range.cidr) <> pool.family
    union all
    select format('pool %s is of another VRF or family than its parent %s', child.name, parent.name)
    from pool as child join pool as parent on parent.pool_id = child.parent_pool_id
    where (child.vrf_id, child.family) <> (parent.vrf_id, parent.family)
    union all
    select format('the parents of pool %s go round in a circle, or do not exist', name)
    from pool where pool_id not in (
        with recursive rooted as (
            select pool_id from pool where parent_pool_id is null
            union select pool.pool_id from pool join rooted on pool.parent_pool_id = rooted.pool_id
        ) select pool_id from rooted
    )"
);

question!(
    /// Reservations that overlap each other, that do not take the space that they should, and blocks that are not where
    /// their reservation is.
    ///
    /// In a range that contains it, a reservation has a block of exactly its network. If that is not the deepest such
    /// range, the block of the deeper one overlaps it, which is another question.
    reservations,
    r"select format('reservations %s and %s of VRF %s overlap', before, cidr, vrf.name) as finding
    from (
        select vrf_id, cidr, lag(cidr) over (partition by vrf_id order by cidr) as before from reservation
    ) as neighbours join vrf using (vrf_id)
    where before >>= cidr
    union all
    select format('block %s of range %s is not what reservation %s takes there', block.cidr, pool_range.cidr, reservation.cidr)
    from block join reservation using (reservation_id) join pool_range using (range_id)
    where reservation.vrf_id <> pool_range.vrf_id
        or not (reservation.cidr <<= pool_range.cidr and block.cidr = reservation.cidr
            or reservation.cidr >> pool_range.cidr and block.cidr = pool_range.cidr and pool_range.parent_range_id is null)
    union all
    select format('reservation %s has %s blocks, though it lies in one range', cidr, count(*))
    from (
        select reservation.* from block join reservation using (reservation_id) join pool_range using (range_id)
        where reservation.cidr <<= pool_range.cidr
    ) as inside
    group by reservation_id, cidr having count(*) > 1
    union all
    select format('reservation %s takes no space from range %s of pool %s, which it overlaps', reserved.cidr, root.cidr, pool.name)
    from pool_range as root join pool using (pool_id)
        -- From each range by the index on reservations: the offset keeps the planner from joining all with all.
        cross join lateral (
            select reservation_id, cidr from reservation where vrf_id = root.vrf_id and cidr && root.cidr offset 0
        ) as reserved
    where root.parent_range_id is null and not exists (
        select from block where block.reservation_id = reserved.reservation_id and block.cidr <<= root.cidr
    )"
);

question!(
    /// Cooling blocks without a cooldown row, and cooldown rows without a cooling block.
    cooldowns,
    r"select format('%s of pool %s cools down, and nothing says until when', block.cidr, pool.name) as finding
    from block join pool_range using (range_id) join pool using (pool_id)
        left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr
    where block.reason = 'cooldown' and cooldown.cidr is null
    union all
    select format('%s cools down until %s, and is no block that does', cooldown.cidr, free_at)
    from cooldown left join block on block.range_id = cooldown.range_id and block.cidr = cooldown.cidr
        and block.reason = 'cooldown'
    where block.cidr is null
    union all
    select format('%s cools down until %s, before it was released', cidr, free_at) from cooldown where free_at < released_at"
);

question!(
    /// Blocks that do not suit their allocation: its profile, its size, its VRF.
    owners,
    r"select format('block %s is of another family than its range %s', block.cidr, pool_range.cidr) as finding
    from block join pool_range using (range_id) where family(block.cidr) <> pool_range.family
    union all
    select format('block %s of allocation %s was cut for a member of another profile', block.cidr, allocation_id)
    from block join allocation using (allocation_id) left join profile_member using (member_id)
    where profile_member.profile_id is distinct from allocation.profile_id
    union all
    select format('block %s of allocation %s has not the length that was asked for: /%s and %s bits', block.cidr, allocation_id,
        allocation.prefix_length, block.size_offset)
    from block join allocation using (allocation_id) left join profile_member using (member_id)
    where block.prefix_length is distinct from allocation.prefix_length
        or block.size_offset is distinct from coalesce(profile_member.size_offset, 0)
        or member_id is not null and (block.min_prefix_length, block.max_prefix_length)
            is distinct from (profile_member.min_prefix_length, profile_member.max_prefix_length)
        or not masklen(block.cidr) between block.min_prefix_length and block.max_prefix_length
        or masklen(block.cidr) <> block.prefix_length + block.size_offset
            and block.min_prefix_length is distinct from block.max_prefix_length
    union all
    select format('block %s of allocation %s lies in VRF %s, and VPC %s in VRF %s', block.cidr, allocation_id, vrf.name, vpc.name,
        home.name)
    from block join pool_range using (range_id) join vrf on vrf.vrf_id = pool_range.vrf_id
        join allocation using (allocation_id) join vpc using (vpc_id) join vrf as home on home.vrf_id = vpc.vrf_id
    where vrf.vrf_id <> home.vrf_id and vrf.name <> 'default'
    union all
    select format('block %s of pool %s has %s', block.cidr, pool.name,
        case when num_nonnulls(allocation_id, reservation_id, reason) = 0 then 'no owner' else 'several owners' end)
    from block join pool_range using (range_id) join pool using (pool_id)
    where num_nonnulls(allocation_id, reservation_id, reason) <> 1"
);

question!(
    /// Impossible history: ended before it began, in the future, without an owner, or with two at once.
    ///
    /// When another machine takes over, or the clock is set back, one may seem to begin before the previous one ended: a
    /// few minutes are not reported.
    past,
    r"select format('past block %s of %s was held from %s until %s', past_block_id, cidr, since, until) as finding
    from past_block where since > until or until > now() + interval '1 minute'
    union all
    select format('past block %s of %s belonged to %s', past_block_id, cidr,
        case when num_nonnulls(allocation_id, reservation_id) = 0 then 'nobody' else 'two at once' end)
    from past_block where num_nonnulls(allocation_id, reservation_id) <> 1
    union all
    select format('%s was held by two at once: until %s by the one, since %s by the other', cidr, before, since)
    from (
        select vrf_id, cidr, since, lag(until) over (partition by vrf_id, cidr order by since, until) as before
        from (
            select vrf_id, cidr, since, until from past_block
            union all
            select vrf_id, block.cidr, since, 'infinity' from block join pool_range using (range_id)
            where num_nonnulls(allocation_id, reservation_id) = 1
        ) as held
    ) as neighbours
    where before > since + interval '5 minutes'"
);
