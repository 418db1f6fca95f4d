//! Questions over the whole database whose right answer is "nothing".

pub mod definitions;
pub mod space;

use sqlx::query;

use crate::{db::Connection, error::Result};

/// Networks in use or free that overlap another one of their VRF. Aligned networks only nest, and in address order a
/// network comes directly before the first one inside it, so that comparing neighbours finds every overlap.
pub async fn overlaps(db: &mut Connection) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('%s overlaps %s in VRF %s', cidr, before, vrf.name) as "finding!"
        from (
            select vrf_id, cidr, lag(cidr) over (partition by vrf_id order by cidr) as before
            from (
                select vrf_id, block.cidr from block join pool_range using (range_id)
                -- The block that a child pool's range is lies in its parent on purpose.
                where not exists (select from pool_range as child
                    where child.parent_range_id = block.range_id and child.cidr = block.cidr)
                union all
                select vrf_id, free_block.cidr from free_block join pool_range using (range_id)
            ) as pieces
        ) as neighbours join vrf using (vrf_id)
        where before >>= cidr limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Ranges whose blocks and free blocks do not add up to the range, or lie outside of it.
pub async fn uncovered(db: &mut Connection) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('range %s of pool %s: %s addresses are in blocks, %s are free, %s lie outside; it has %s',
            cidr, pool.name, used, free, outside, size) as "finding!"
        from (
            select pool_range.*,
                2::numeric ^ (case pool_range.family when 4 then 32 else 128 end - masklen(cidr)) as size,
                (select coalesce(sum(2::numeric ^ (case family(b.cidr) when 4 then 32 else 128 end - masklen(b.cidr))), 0)
                    from block b where b.range_id = pool_range.range_id) as used,
                (select coalesce(sum(2::numeric ^ f.host_bits), 0)
                    from free_block f where f.range_id = pool_range.range_id) as free,
                (select count(*) from (
                    select b.cidr from block b where b.range_id = pool_range.range_id
                    union all select f.cidr from free_block f where f.range_id = pool_range.range_id
                ) as piece where not piece.cidr <<= pool_range.cidr) as outside
            from pool_range
        ) as sums join pool using (pool_id)
        where used + free <> size or outside > 0 limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Free blocks that should have been merged.
pub async fn split(db: &mut Connection) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('%s and %s are both free and not merged', min(free_block.cidr::inet), max(free_block.cidr::inet))
            as "finding!"
        from free_block join pool_range using (range_id)
        where masklen(free_block.cidr) > masklen(pool_range.cidr)
        group by range_id, host_bits, network(set_masklen(free_block.cidr::inet, masklen(free_block.cidr) - 1))
        having count(*) > 1 limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Counts by size that do not agree with the free blocks.
pub async fn miscounted(db: &mut Connection) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('range %s: %s free blocks of %s host bits are counted, there are %s',
            range_id, coalesce(free_count.blocks, 0), host_bits, coalesce(actual.blocks, 0)) as "finding!"
        from free_count full join (select range_id, host_bits, count(*) as blocks from free_block group by 1, 2) as actual
            using (range_id, host_bits)
        where coalesce(free_count.blocks, 0) <> coalesce(actual.blocks, 0) limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Allocations that do not own all their blocks.
pub async fn incomplete(db: &mut Connection) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('allocation %s has %s of its %s blocks', allocation_id, count(block.cidr), members) as "finding!"
        from allocation left join block using (allocation_id)
        group by allocation_id, members having count(block.cidr) <> members limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Constraints that the guarantees rest on and that are missing or not enforced.
pub async fn missing_constraints(db: &mut Connection, names: &[String]) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('constraint %s is missing or not enforced', wanted.name) as "finding!"
        from unnest($1::text[]) as wanted (name)
        where not exists (
            select from pg_constraint c left join pg_index i on i.indexrelid = c.conindid
            where c.conname = wanted.name and c.convalidated and coalesce(i.indisvalid and i.indisready, true)
        ) and not exists (
            select from pg_index i join pg_class on pg_class.oid = i.indexrelid
            where relname = wanted.name and i.indisunique and i.indisvalid
        )"#,
        names
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Triggers that are missing, and triggers of any table, also those behind foreign keys, that are switched off.
pub async fn missing_triggers(db: &mut Connection) -> Result<Vec<String>> {
    let (names, tables): (Vec<_>, Vec<_>) = definitions::triggers().unzip();
    let rows = query!(
        r#"select format('trigger %s on %s is missing', wanted.name, wanted.relation) as "finding!"
        from unnest($1::text[], $2::text[]) as wanted (relation, name)
        where not exists (select from pg_trigger where tgname = wanted.name and tgrelid = wanted.relation::regclass)
        union all
        select format('trigger %s on %s is switched off', tgname, tgrelid::regclass)
        from pg_trigger join pg_class on pg_class.oid = tgrelid
        where tgenabled not in ('O', 'A')
            and relnamespace = (select relnamespace from pg_class where oid = 'block'::regclass)
        limit 100"#,
        &tables,
        &names
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// Rows whose owner is gone, which foreign keys rule out as long as nobody switches them off.
pub async fn orphans(db: &mut Connection) -> Result<Vec<String>> {
    let rows = query!(
        r#"select format('block %s belongs to allocation %s, which does not exist', cidr, allocation_id) as "finding!"
        from block where allocation_id is not null
            and not exists (select from allocation where allocation.allocation_id = block.allocation_id)
        union all
        select format('block %s lies in range %s, which does not exist', cidr, range_id)
        from block where not exists (select from pool_range where pool_range.range_id = block.range_id)
        union all
        select format('allocation %s belongs to VPC %s, which does not exist', allocation_id, vpc_id)
        from allocation where not exists (select from vpc where vpc.vpc_id = allocation.vpc_id)
        union all
        select format('block %s belongs to reservation %s, which does not exist', cidr, reservation_id)
        from block where reservation_id is not null
            and not exists (select from reservation where reservation.reservation_id = block.reservation_id)
        union all
        select format('range %s belongs to pool %s, which does not exist', cidr, pool_id)
        from pool_range where not exists (select from pool where pool.pool_id = pool_range.pool_id)
        union all
        select format('%s %s lies in VRF %s, which does not exist', what, name, vrf_id)
        from (
            select 'pool' as what, name, vrf_id from pool
            union all select 'VPC', name, vrf_id from vpc
            union all select 'reservation', cidr::text, vrf_id from reservation
        ) as named where not exists (select from vrf where vrf.vrf_id = named.vrf_id)
        limit 100"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| row.finding).collect())
}

/// How much there was to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// Ranges.
    pub ranges: i64,
    /// Blocks.
    pub blocks: i64,
    /// Free blocks.
    pub free_blocks: i64,
    /// Allocations.
    pub allocations: i64,
    /// Events of the audit log.
    pub events: i64,
}

/// How much there is.
pub async fn extent(db: &mut Connection) -> Result<Extent> {
    let row = query!(
        r#"select (select count(*) from pool_range) as "ranges!", (select count(*) from block) as "blocks!",
            (select count(*) from free_block) as "free_blocks!", (select count(*) from allocation) as "allocations!",
            (select count(*) from event) as "events!""#
    )
    .fetch_one(db)
    .await?;
    Ok(Extent {
        ranges: row.ranges,
        blocks: row.blocks,
        free_blocks: row.free_blocks,
        allocations: row.allocations,
        events: row.events,
    })
}
