//! Which locks an import takes and when, and whether what it found without them still holds.

use std::{collections::HashSet, time::Instant};

use super::{
    read::gather::{File, vrf_of},
    resolve::{Import, vpc_key},
};
use crate::{
    db::{
        Connection, address_plan, free,
        transfer::{find, read},
    },
    error::{Error, Result},
};

/// When the locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locks {
    /// After everything that takes no space is written: what was found has to be checked again.
    Late,
    /// Before anything is read.
    First,
}

/// The locks that an import holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked {
    pub(super) since: Instant,
    pub(super) pools: usize,
}

/// Locks everything that a file may change, before it is known what it will change.
pub(super) async fn lock_all(db: &mut Connection, file: &File) -> Result<()> {
    let names = file.vpc_names().into_iter();
    let names: Vec<_> = names.map(|vpc| vpc.name.to_string()).collect();
    let vpcs = read::vpcs_named(db, &names).await?;
    let mut vrfs = file.vrf_names();
    vrfs.extend(vpcs.iter().map(|(_, vpc)| vrf_of(vpc).to_owned()));
    let stored = read::vrfs(db).await?.into_iter();
    let ids = stored.filter(|vrf| vrfs.contains(vrf_of(vrf)));
    let ids: HashSet<_> = ids.filter_map(|vrf| vrf.id).collect();
    find::lock_vrfs(db, &ids).await?;
    let stored = read::pools(db).await?.into_iter().map(|range| range.record);
    let pools = stored.filter(|pool| vrfs.contains(vrf_of(pool)));
    let pools = pools.filter_map(|pool| pool.id).collect();
    find::lock_pools(db, &pools).await?;
    let ids = vpcs.iter().filter_map(|(_, vpc)| vpc.id).collect();
    find::lock_vpcs(db, &ids).await?;
    let found = read::vpcs_named(db, &names).await?;
    if found.iter().any(|(_, vpc)| !vrfs.contains(vrf_of(vpc))) {
        return Err(Error::Unavailable(
            "a VPC of the file was just made in another VRF; try again",
            None,
        ));
    }
    Ok(())
}

/// Whether VRFs or profiles are made.
pub(super) fn changes_plan(import: &Import) -> bool {
    let plan = &import.plan;
    plan.vrfs.added().next().is_some() || plan.members.iter().any(|member| member.id < 0)
}

/// Locks the pools that space is taken from, and those that get ranges; before that the VRFs in which pools, ranges or
/// reservations are made.
pub(super) async fn lock(db: &mut Connection, import: &Import) -> Result<Locked> {
    let plan = &import.plan;
    let (mut vrfs, mut pools) = (HashSet::new(), HashSet::new());
    if import.basis.clear {
        // What exists is replaced, and is not part of the plan.
        vrfs.extend(read::vrfs(db).await?.into_iter().filter_map(|it| it.id));
        let stored = read::pools(db).await?.into_iter();
        pools.extend(stored.filter_map(|range| range.record.id));
    }
    let changed = plan.new_ranges().map(|range| &range.pool);
    let of_pools = changed.clone().chain(plan.pools.added()).map(|it| &it.vrf);
    let of_reservations = plan.reservations.added().map(|it| &it.vrf);
    let old_vrfs = of_pools.chain(of_reservations).filter(|vrf| !vrf.is_new());
    vrfs.extend(old_vrfs.map(|vrf| vrf.id));
    let parents = plan.new_ranges().filter_map(|range| range.parent);
    let taken = import.ranges_taken().into_iter().chain(parents);
    let taken = taken.filter_map(|range| Some(&plan.ranges.get(&range)?.pool));
    let old_pools = taken.chain(changed).filter(|pool| !pool.is_new());
    pools.extend(old_pools.map(|pool| pool.id));

    find::lock_vrfs(db, &vrfs).await?;
    find::lock_pools(db, &pools).await?;
    let since = Instant::now();
    let vpcs = import.basis.vpcs.iter().filter_map(|(id, _)| *id).collect();
    find::lock_vpcs(db, &vpcs).await?;
    Ok(Locked {
        since,
        pools: pools.len(),
    })
}

/// Whether everything that a file was checked against is unchanged, now that it is locked. What else could have come in
/// between is found by constraints: names, ids and numbers.
pub(super) async fn holds(db: &mut Connection, import: &Import) -> Result<bool> {
    let (basis, plan) = (&import.basis, &import.plan);
    if address_plan::revision(db).await? != basis.revision {
        return Ok(false);
    }
    let found = read::vpcs_named(db, &basis.names).await?;
    let found = found.iter().map(|(_, vpc)| vpc_key(vpc)).collect();
    if !basis.vpcs.is_subset(&found) {
        return Ok(false);
    }
    if basis.clear && !find::is_untouched(db).await? {
        return Ok(false);
    }
    if plan.new_ranges().any(|range| range.parent.is_none()) {
        // A range that is made takes over the reservations that lie in it.
        let now = read::reservations(db).await?;
        let now = now.iter().map(|it| (it.id, vrf_of(it), it.cidr));
        let before = plan.reservations.all().filter(|it| !it.is_new());
        let before = before.map(|it| (it.record.id, vrf_of(&it.record), it.record.cidr));
        if !before.eq(now) {
            return Ok(false);
        }
    }
    let removed = import.changes.removed.iter();
    let removed: Vec<_> = removed.filter(|place| place.range > 0).copied().collect();
    Ok(free::find(db, &removed).await?.len() == removed.len())
}
