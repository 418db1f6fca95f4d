//! Writes what takes space, under the locks of the pools: pools and their ranges, reservations, blocks, and what is left.

use std::collections::{HashMap, HashSet};

use ipam_shared::{
    api::transfer::Phase,
    cidr::Cidr,
    ids::{AllocationId, PoolId, ReservationId, VrfId},
};
use serde_json::json;

use super::Keys;
use crate::{
    db::{
        Connection, cooldown,
        event::{self, Event},
        free,
        transfer::write::{self, Block, BlockOwner, CHUNK, Keyed},
    },
    domain::transfer::{
        Report,
        read::gather::vpc_of,
        resolve::{Import, NewAllocation, plan::Plan},
    },
    error::Result,
    network::{Changes, Place},
    rights::Caller,
};

/// Writes it; `members` are the keys that new members of profiles got.
pub(super) async fn write(
    db: &mut Connection,
    import: &Import,
    caller: &Caller,
    members: &Keys,
    report: &Report,
) -> Result<()> {
    let plan = &import.plan;
    let mut events = Vec::new();
    pools(db, import, caller, &mut events).await?;
    let keys = ranges(db, plan).await?;
    let reservations = plan.reservations.added_records();
    write::reservations(db, &reservations, &caller.actor).await?;
    events.extend(plan.reservations.added().map(|it| Event {
        action: "reservation.import",
        subject: it.id,
        caller,
        detail: json!({ "vrf": it.vrf.name, "cidr": it.record.cidr, "reason": it.record.reason }),
    }));
    event::insert(db, &events).await?;

    let changes = Changes {
        removed: places(&keys, &import.changes.removed),
        added: places(&keys, &import.changes.added),
    };
    free::update(db, &changes).await?;
    write::blocks(db, &without_allocation(import, &keys)).await?;
    let cooldowns = import.cooldowns.iter().map(|new| write::Cooldown {
        range_id: keys.of(new.place.range),
        lower_vpc: vpc_of(&new.record),
        record: &new.record,
    });
    let cooldowns: Vec<_> = cooldowns.collect();
    write::cooldowns(db, &cooldowns).await?;
    let total = import.allocations.len() as u64;
    let mut done = 0;
    for chunk in import.allocations.chunks(CHUNK) {
        let blocks = chunk.iter().flat_map(|new| blocks(new, &keys, members));
        write::blocks(db, &blocks.collect::<Vec<_>>()).await?;
        done += chunk.len() as u64;
        report.tell(Phase::Write, (total + done) / 2, total);
    }
    Ok(())
}

/// Inserts pools, and says which others changed: those that get ranges, and where something cools down, which is part of
/// the address plan that servers cache.
async fn pools<'a>(
    db: &mut Connection,
    import: &Import,
    caller: &'a Caller,
    events: &mut Vec<Event<'a>>,
) -> Result<()> {
    let plan = &import.plan;
    let mut cidrs: HashMap<_, Vec<Cidr>> = HashMap::new();
    for range in plan.new_ranges() {
        cidrs.entry(range.pool.id).or_default().push(range.cidr);
    }
    let cooling: HashSet<_> = import.cooldowns.iter().map(|new| new.pool.id).collect();
    let (mut touched, mut vrfs) = (Vec::new(), HashSet::new());
    for pool in plan.pools.all() {
        let added = cidrs.remove(&pool.id);
        let has_changed = pool.is_new() || added.is_some();
        if !pool.is_new() && (has_changed || cooling.contains(&pool.id)) {
            touched.push(PoolId(pool.id));
        }
        if !has_changed {
            continue;
        }
        if !pool.vrf.is_new() {
            vrfs.insert(VrfId(pool.vrf.id));
        }
        let ranges = added.unwrap_or_default();
        events.push(Event {
            action: "pool.import",
            subject: pool.id,
            caller,
            detail: json!({ "name": pool.name, "vrf": pool.vrf.name, "ranges": ranges }),
        });
    }
    write::pools(db, &plan.pools.added_records()).await?;
    let vrfs: Vec<_> = vrfs.into_iter().collect();
    write::touch(db, &touched, &vrfs).await
}

/// Inserts ranges, and returns the keys that they got.
async fn ranges(db: &mut Connection, plan: &Plan) -> Result<Keys> {
    // Each was found after its parent, under a lower number.
    let mut new: Vec<_> = plan.new_ranges().collect();
    new.reverse();
    let ids = new.iter().map(|range| range.id).collect();
    let keys = Keys::take(db, Keyed::Ranges, ids).await?;
    let rows = new.into_iter().map(|range| write::Range {
        range_id: keys.of(range.id),
        pool_id: PoolId(range.pool.id),
        cidr: range.cidr,
        parent_range_id: range.parent.map(|parent| keys.of(parent)),
    });
    let rows: Vec<_> = rows.collect();
    write::ranges(db, &rows).await?;
    Ok(keys)
}

/// Places, now that ranges have their keys.
fn places(keys: &Keys, places: &[Place]) -> Vec<Place> {
    let places = places.iter().map(|place| Place {
        range: keys.of(place.range),
        ..*place
    });
    places.collect()
}

/// The blocks that no allocation owns.
fn without_allocation(import: &Import, keys: &Keys) -> Vec<Block<'static>> {
    let children = import.plan.new_ranges().filter_map(|range| {
        let owner = BlockOwner::Nobody {
            reason: "child_range",
        };
        Some((range.parent?, range.cidr, range.since, owner))
    });
    let reserved = import.reserved.iter().map(|reserved| {
        let owner = BlockOwner::Reservation {
            reservation_id: ReservationId(reserved.reservation),
        };
        let Place { range, cidr } = reserved.place;
        (range, cidr, reserved.since, owner)
    });
    let cooling = import.cooldowns.iter().map(|new| {
        let owner = BlockOwner::Nobody {
            reason: cooldown::REASON,
        };
        let Place { range, cidr } = new.place;
        (range, cidr, new.record.since, owner)
    });
    let all = children.chain(reserved).chain(cooling);
    let blocks = all.map(|(range, cidr, since, owner)| Block {
        range_id: keys.of(range),
        cidr,
        since,
        owner,
    });
    blocks.collect()
}

/// The blocks of an allocation.
fn blocks(
    new: &NewAllocation,
    keys: &Keys,
    members: &Keys,
) -> impl Iterator<Item = Block<'static>> {
    new.blocks.iter().map(|block| {
        let (size_offset, min_prefix_length, max_prefix_length) = block.rules;
        let member_id = block.member.map(|id| members.of(id));
        Block {
            range_id: keys.of(block.place.range),
            cidr: block.place.cidr,
            since: block.since.or(new.record.created_at),
            owner: BlockOwner::Allocation {
                allocation_id: AllocationId(new.id),
                prefix_length: new.prefix_length,
                member_id,
                size_offset,
                min_prefix_length,
                max_prefix_length,
            },
        }
    })
}
