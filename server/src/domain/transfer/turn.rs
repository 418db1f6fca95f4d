//! When an import has its turn: which locks it takes and when, and whether what it found without them is still so.

use std::{collections::HashSet, time::Instant};

use ipam_shared::{
    ids::{PoolId, VpcId, VrfId},
    name::Name,
};

use super::{Report, check::Check, gather::File, write};
use crate::{
    db::{
        Connection,
        event::Caller,
        free,
        transfer::{find, read, write as rows},
    },
    error::{Error, Result},
    network::RangeId,
};

/// When the locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    /// When what takes no space is written: what was found has to be looked at again.
    Late,
    /// Before anything is looked at.
    First,
}

/// What a file was checked against.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    /// Of the address plan.
    pub(super) revision: i64,
    /// Whether what a fresh database holds gives way.
    pub(super) clear: bool,
    /// The VPCs that the file names.
    pub(super) names: Vec<String>,
    /// Those of them that are there, with their VRFs.
    pub(super) vpcs: HashSet<(VpcId, VrfId)>,
}

/// The locks that an import holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked {
    pub(super) since: Instant,
    pub(super) pools: usize,
}

/// Locks all that a file may change, before anybody knows what it will.
pub(super) async fn lock_all(
    db: &mut Connection,
    file: &File,
    wanted: &[(u64, Name, Option<Name>)],
) -> Result<()> {
    let names: Vec<_> = wanted.iter().map(|(_, name, _)| name.to_string()).collect();
    let named = file.vrf_names();
    let found = find::vpcs(db, &names).await?;
    let vrfs: HashSet<VrfId> = read::vrfs(db)
        .await?
        .into_iter()
        .filter(|(_, record)| {
            record
                .vrf
                .as_ref()
                .is_some_and(|name| named.contains(name.as_str()))
        })
        .map(|(id, _)| id)
        .chain(found.iter().map(|vpc| vpc.vrf))
        .collect();
    let ids: Vec<_> = vrfs.iter().copied().collect();
    find::lock_vrfs(db, &ids).await?;
    let pools = read::pools(db).await?.into_iter();
    let pools: Vec<_> = pools
        .filter(|pool| vrfs.contains(&pool.vrf))
        .map(|pool| pool.id)
        .collect();
    find::lock_pools(db, &pools).await?;
    let vpcs: Vec<_> = found.iter().map(|vpc| vpc.id).collect();
    find::lock_vpcs(db, &vpcs).await?;
    let found = find::vpcs(db, &names).await?;
    if found.iter().any(|vpc| !vrfs.contains(&vpc.vrf)) {
        return Err(Error::Unavailable(
            "a VPC of the file was just made in another VRF; try again",
            None,
        ));
    }
    Ok(())
}

/// Writes everything, if what was found still holds; otherwise nothing that stays.
pub(super) async fn write(
    db: &mut Connection,
    (check, basis): (&Check, &Basis),
    locks: Locks,
    caller: &Caller,
    report: &Report,
) -> Result<Option<Locked>> {
    // The plan's own row is locked by who changes it, after the locks of VRFs and pools.
    let is_early = locks == Locks::First || basis.clear || changes_plan(check);
    let mut locked = None;
    if is_early {
        let now = lock(db, check, basis).await?;
        if locks == Locks::Late && !holds(db, check, basis).await? {
            return Ok(None);
        }
        if basis.clear {
            rows::clear(db).await?;
        }
        locked = Some(now);
    }
    let members = write::owners(db, check, caller, report).await?;
    let locked = match locked {
        Some(locked) => locked,
        None => {
            let now = lock(db, check, basis).await?;
            if !holds(db, check, basis).await? {
                return Ok(None);
            }
            now
        }
    };
    write::space(db, check, caller, &members, report).await?;
    Ok(Some(locked))
}

/// Whether VRFs or profiles are made.
fn changes_plan(check: &Check) -> bool {
    check.world.vrfs.iter().any(|vrf| vrf.new) || check.world.members.iter().any(|it| it.id < 0)
}

/// Locks the pools that space is taken from, and those that get ranges; before that the VRFs in which pools, ranges or
/// reservations are made.
async fn lock(db: &mut Connection, check: &Check, basis: &Basis) -> Result<Locked> {
    let world = &check.world;
    let mut vrfs: HashSet<VrfId> = HashSet::new();
    let mut pools: HashSet<PoolId> = HashSet::new();
    if basis.clear {
        // What is there gives way, and is not part of the world.
        vrfs.extend(read::vrfs(db).await?.into_iter().map(|(id, _)| id));
        pools.extend(read::pools(db).await?.into_iter().map(|pool| pool.id));
    }
    let new = world.ranges.values().filter(|range| range.id < 0);
    let of_new = new.clone().map(|range| range.pool);
    let with_new = (0..world.pools.len()).filter(|place| world.pools[*place].new);
    let changed: HashSet<usize> = of_new.clone().chain(with_new).collect();
    let in_vrfs = changed.iter().filter_map(|place| world.pools.get(*place));
    let in_vrfs = in_vrfs.map(|pool| pool.vrf);
    let reserved = check.reservations.iter().map(|new| new.vrf);
    for vrf in in_vrfs.chain(reserved) {
        vrfs.extend(world.vrfs.get(vrf).filter(|vrf| !vrf.new).map(|vrf| vrf.id));
    }
    let parents = new.filter_map(|range| world.ranges.get(&range.parent?));
    let taken = ranges_taken(check);
    let taken = taken.iter().filter_map(|range| world.ranges.get(range));
    let places = parents.chain(taken).map(|range| range.pool);
    for place in places.chain(of_new) {
        pools.extend(
            world
                .pools
                .get(place)
                .filter(|pool| !pool.new)
                .map(|pool| pool.id),
        );
    }
    let vrfs: Vec<_> = vrfs.into_iter().collect();
    find::lock_vrfs(db, &vrfs).await?;
    let pools: Vec<_> = pools.into_iter().collect();
    find::lock_pools(db, &pools).await?;
    let since = Instant::now();
    let vpcs: Vec<_> = basis.vpcs.iter().map(|(vpc, _)| *vpc).collect();
    find::lock_vpcs(db, &vpcs).await?;
    Ok(Locked {
        since,
        pools: pools.len(),
    })
}

/// The ranges that something is taken from.
fn ranges_taken(check: &Check) -> HashSet<RangeId> {
    let blocks = check.allocations.iter().flat_map(|new| &new.blocks);
    let blocks = blocks.map(|block| block.place.range);
    let reserved = check.reserved.iter().map(|block| block.place.range);
    let cooling = check.cooldowns.iter().map(|block| block.place.range);
    blocks.chain(reserved).chain(cooling).collect()
}

/// Whether all that a file was checked against is as it was, now that it is locked. What else could have come in between
/// is found by constraints: names, ids and numbers.
async fn holds(db: &mut Connection, check: &Check, basis: &Basis) -> Result<bool> {
    if find::revision(db).await? != basis.revision {
        return Ok(false);
    }
    let found = find::vpcs(db, &basis.names).await?;
    let found: HashSet<_> = found.into_iter().map(|vpc| (vpc.id, vpc.vrf)).collect();
    if !basis.vpcs.is_subset(&found) {
        return Ok(false);
    }
    if basis.clear && !find::is_untouched(db).await? {
        return Ok(false);
    }
    let mut new = check.world.ranges.values().filter(|range| range.id < 0);
    if new.any(|range| range.parent.is_none()) {
        // A range that is made takes over the reservations that lie in it.
        let key = |stored: &read::StoredReservation| (stored.id, stored.vrf, stored.cidr);
        let before = check.world.reservations.iter().map(key);
        let now = read::reservations(db).await?;
        if !before.eq(now.iter().map(key)) {
            return Ok(false);
        }
    }
    let removed = check.changes.removed.iter();
    let removed: Vec<_> = removed.filter(|place| place.range > 0).copied().collect();
    Ok(free::find(db, &removed).await?.len() == removed.len())
}
