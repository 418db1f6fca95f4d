//! Writes what takes space, under the locks of the pools: pools and their ranges, reservations, blocks, and what is left.

use std::collections::{BTreeMap, HashMap, HashSet};

use ipam_shared::{
    api::transfer::Phase,
    cidr::Cidr,
    ids::{AllocationId, PoolId, ReservationId, VrfId},
};
use serde_json::json;

use crate::{
    db::{
        Connection, cooldown,
        event::{self, Caller, Event},
        free,
        transfer::write::{self, Block, BlockOwner, CHUNK},
    },
    domain::transfer::{
        Report,
        resolve::{Import, NewAllocation, plan::Plan},
    },
    error::{Error, Result},
    network::{Changes, Place, RangeId},
};

/// The keys that new ranges got.
struct RangeKeys(HashMap<RangeId, RangeId>);

impl RangeKeys {
    fn of(&self, range: RangeId) -> RangeId {
        self.0.get(&range).copied().unwrap_or(range)
    }

    fn places(&self, places: &[Place]) -> Vec<Place> {
        let places = places.iter().map(|place| Place {
            range: self.of(place.range),
            ..*place
        });
        places.collect()
    }
}

/// Writes it; `members` are the keys that new members of profiles got.
pub(super) async fn write(
    db: &mut Connection,
    import: &Import,
    caller: &Caller,
    members: &HashMap<i32, i32>,
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
        removed: keys.places(&import.changes.removed),
        added: keys.places(&import.changes.added),
    };
    free::update(db, &changes).await?;
    write::blocks(db, &without_allocation(import, &keys)).await?;
    let cooldowns = import.cooldowns.iter().map(|new| write::Cooldown {
        range_id: keys.of(new.place.range),
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

/// Inserts pools, and says which others changed: those that get ranges, and where something cools down, which is part of the
/// plan that servers keep.
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

/// Inserts ranges, parents first, and answers the keys that they got.
async fn ranges(db: &mut Connection, plan: &Plan) -> Result<RangeKeys> {
    let mut keys = HashMap::new();
    let mut waiting: Vec<_> = plan.new_ranges().collect();
    while !waiting.is_empty() {
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|range| {
            let parent = range.parent;
            parent.is_none_or(|parent| parent > 0 || keys.contains_key(&parent))
        });
        if now.is_empty() {
            return Err(Error::bug("ranges that are cut from each other"));
        }
        let mut ids: BTreeMap<(PoolId, Cidr), RangeId> = BTreeMap::new();
        let mut rows = Vec::with_capacity(now.len());
        for range in now {
            let pool_id = PoolId(range.pool.id);
            ids.insert((pool_id, range.cidr), range.id);
            let key_of = |parent| keys.get(&parent).copied().unwrap_or(parent);
            rows.push(write::Range {
                pool_id,
                cidr: range.cidr,
                parent_range_id: range.parent.map(key_of),
            });
        }
        for (pool, cidr, key) in write::ranges(db, &rows).await? {
            if let Some(id) = ids.get(&(pool, cidr)) {
                keys.insert(*id, key);
            }
        }
        waiting = later;
    }
    Ok(RangeKeys(keys))
}

/// The blocks that no allocation owns.
fn without_allocation(import: &Import, keys: &RangeKeys) -> Vec<Block<'static>> {
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
    keys: &RangeKeys,
    members: &HashMap<i32, i32>,
) -> impl Iterator<Item = Block<'static>> {
    new.blocks.iter().map(|block| {
        let (size_offset, min_prefix_length, max_prefix_length) = block.rules;
        let member_id = block
            .member
            .map(|id| members.get(&id).copied().unwrap_or(id));
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
