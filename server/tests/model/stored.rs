//! What must be stored after a step, to the address.

use std::collections::{BTreeMap, BTreeSet};

use ipam_shared::cidr::Family;
use sqlx::PgPool;

use crate::model::{Flag, Model, VRFS};

/// All that is there, a line each.
const EVERYTHING: &str = "
    select format('block %s %s %s %s', pool_id, pool_range.cidr, block.cidr, coalesce(
        'allocation ' || block.allocation_id, 'reservation ' || reservation_id,
        'child ' || (select child.pool_id from pool_range as child
            where child.parent_range_id = block.range_id and child.cidr = block.cidr and reason = 'child_range'),
        'cooling ' || cooldown.allocation_id || ' ' || vpc || ' ' || coalesce(name, '-') || ' ' || role || ' '
            || (free_at <= now()))) as line
    from block join pool_range using (range_id)
        left join cooldown on cooldown.range_id = block.range_id and cooldown.cidr = block.cidr and reason = 'cooldown'
    union all
    select format('free %s %s %s', pool_id, pool_range.cidr, free_block.cidr)
    from free_block join pool_range using (range_id)
    union all
    select format('count %s %s %s %s', pool_id, pool_range.cidr, host_bits, blocks)
    from free_count join pool_range using (range_id) where blocks <> 0
    union all
    select format('range %s %s', pool_id, cidr) from pool_range
    union all
    select format('allocation %s %s %s %s %s', allocation_id, lower(vpc.name), coalesce(allocation.name, '-'),
        prefix_length, deletion_protection)
    from allocation join vpc using (vpc_id)
    union all
    select format('vpc %s %s', lower(vpc.name), vrf.name) from vpc join vrf using (vrf_id)
    union all
    select format('reservation %s %s %s', reservation_id, vrf.name, cidr) from reservation join vrf using (vrf_id)
    union all
    select format('pool %s %s %s', pool_id, vrf.name, pool.name) from pool join vrf using (vrf_id)
    union all
    select format('range %s %s holds %s of %s addresses', pool_id, pool_range.cidr, used + free, size)
    from pool_range cross join lateral (
        select 2::numeric ^ (case family(cidr) when 4 then 32 else 128 end - masklen(cidr)) as size,
            (select coalesce(sum(2::numeric ^ (case family(cidr) when 4 then 32 else 128 end - masklen(cidr))), 0)
                from block where block.range_id = pool_range.range_id) as used,
            (select coalesce(sum(2::numeric ^ host_bits), 0) from free_block
                where free_block.range_id = pool_range.range_id) as free
    ) as sums
    where used + free <> size";

/// What is stored is what the model has, and what the server shows of pools adds up.
pub(crate) async fn compare(db: &PgPool, model: &Model) -> Result<(), String> {
    let lines: Vec<String> = sqlx::query_scalar(EVERYTHING)
        .fetch_all(db)
        .await
        .expect("everything can be read");
    let count = lines.len();
    let stored: BTreeSet<_> = lines.into_iter().collect();
    let expected = everything(model);
    if stored != expected || stored.len() != count {
        return Err(format!(
            "only in the database: {:#?}\nonly in the model: {:#?}",
            stored.difference(&expected).collect::<Vec<_>>(),
            expected.difference(&stored).collect::<Vec<_>>()
        ));
    }
    if model.clock % 3 > 0 {
        return Ok(());
    }
    let connection = db.acquire().await.expect("a connection");
    let shown = ipam_server::db::pool::all(&mut connection.detach().into())
        .await
        .map_err(|error| error.to_string())?;
    for shown in shown {
        let pool = model
            .pools
            .iter()
            .find(|pool| pool.exists && pool.id == shown.id);
        let pool = pool.ok_or_else(|| format!("a pool that is gone: {shown:?}"))?;
        let unit: u128 = if pool.family == Family::Ipv4 {
            1
        } else {
            1 << 64
        };
        let flags = || pool.ranges.iter().flat_map(|range| &range.flags);
        let total = flags().count() as u128 * unit;
        let used = flags().filter(|flag| **flag != Flag::Free).count() as u128 * unit;
        let free: u128 = shown.free.iter().fold(0, |sum, free| {
            sum + (u128::from(free.count) << (pool.family.bits() - free.prefix_length))
        });
        if (shown.total_addresses, shown.used_addresses, free) != (total, used, total - used)
            || shown.largest_free_prefix_length != pool.largest_free()
        {
            return Err(format!(
                "{used} of {total} addresses are used, not as shown: {shown:#?}"
            ));
        }
    }
    Ok(())
}

/// What the database must hold, a line each.
fn everything(model: &Model) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (pool, cidr, flag) in model.blocks() {
        let range = model.pools[pool].range_of(cidr).expect("it lies in one");
        assert!(range.is_all(cidr, flag), "{cidr} is not {flag:?} alone");
        let whose = match flag {
            Flag::Free => unreachable!("a block is not free"),
            Flag::Allocation(number) => format!("allocation {}", model.allocations[number].id),
            Flag::Reservation(number) => format!("reservation {}", model.reservations[number].id),
            Flag::Child(number) => format!("child {}", model.pools[number].id),
            Flag::Cooling(number) => {
                let cooling = &model.cooling[number];
                format!(
                    "cooling {} {} {} {} {}",
                    model.allocations[cooling.allocation].id,
                    cooling.vpc,
                    cooling.name.as_deref().unwrap_or("-"),
                    cooling.role,
                    cooling.due
                )
            }
        };
        lines.insert(format!(
            "block {} {} {cidr} {whose}",
            model.pools[pool].id, range.cidr
        ));
    }
    for pool in model.pools.iter().filter(|pool| pool.exists) {
        lines.insert(format!("pool {} {} {}", pool.id, VRFS[pool.vrf], pool.name));
        for range in &pool.ranges {
            lines.insert(format!("range {} {}", pool.id, range.cidr));
            let mut counts: BTreeMap<u8, u64> = BTreeMap::new();
            for free in range.free() {
                lines.insert(format!("free {} {} {free}", pool.id, range.cidr));
                *counts.entry(free.host_bits()).or_default() += 1;
            }
            for (bits, count) in counts {
                lines.insert(format!("count {} {} {bits} {count}", pool.id, range.cidr));
            }
        }
    }
    for allocation in model
        .allocations
        .iter()
        .filter(|allocation| allocation.exists)
    {
        lines.insert(format!(
            "allocation {} {} {} {} {}",
            allocation.id,
            allocation.vpc,
            allocation.name.as_deref().unwrap_or("-"),
            allocation.prefix_length,
            if allocation.protected { "t" } else { "f" }
        ));
    }
    for (name, vrf) in &model.vpcs {
        lines.insert(format!("vpc {name} {}", VRFS[*vrf]));
    }
    for reservation in model
        .reservations
        .iter()
        .filter(|reservation| reservation.exists)
    {
        lines.insert(format!(
            "reservation {} {} {}",
            reservation.id, VRFS[reservation.vrf], reservation.cidr
        ));
    }
    lines
}
