//! Pools: create, update in place, delete. What happens to their ranges is in `range`.
//!
//! Every change locks the VRF first, so that changes of the pools of one VRF come one after the other, and then the pools
//! whose free lists it touches: the pool itself and its parent. Allocations lock pools only.

mod adopt;
pub(super) mod range;
pub(super) mod rules;

use std::sync::Arc;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        pool::{NewPool, Pool, PoolPatch},
    },
    cidr::Cidr,
    ids::{Claim, PoolId, VrfId},
    name::Name,
};
use serde_json::json;

use self::{
    range::{Owner, Parent, RangeChange},
    rules::{check_bounds, check_policies, family},
};
use super::{
    Caller, Ipam, TRIES,
    change::{Change, Done, check_revision, set},
    check_description, check_new_name,
    named::there,
    ownership::Maker,
    too_fast,
};
use crate::{
    db::{Connection, event, lock::Locks, pool, range::of_pool},
    error::{Error, Result},
};

impl Ipam {
    /// Makes a pool with its ranges, all or nothing, or answers what its owner made before by asking for the same; whether it
    /// was made now.
    pub async fn create_pool(&self, maker: impl Into<Maker>, new: NewPool) -> Result<(Pool, bool)> {
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        check_policies(
            Some(new.reserved_addresses),
            Some(new.release_cooldown_seconds),
            Some(&new.required_labels),
        )?;
        let (maker, new) = (Arc::new(maker.into()), Arc::new(new));
        let mut plan = self.address_plan().await?;
        for _ in 0..TRIES {
            let vrf = match plan.vrf(new.vrf.as_ref()) {
                Ok(vrf) => vrf,
                // It may have been made since the plan was read.
                Err(_) => {
                    plan = self.current_address_plan(&mut self.read().await?).await?;
                    plan.vrf(new.vrf.as_ref())?
                }
            };
            let (ipam, maker, new) = (self.clone(), Arc::clone(&maker), Arc::clone(&new));
            let caller = maker.caller.clone();
            let again = Arc::clone(&new);
            let made = self.change(caller, Locks::vrf(vrf), move |change| async move {
                ipam.may_hand_out()?;
                create(change, vrf, &maker, &new).await
            });
            match made.await {
                Ok(Some(made)) => return Ok(made),
                // The VRF has another name by now, or what had the name of the pool went away.
                Ok(None) => {
                    plan = self.current_address_plan(&mut self.read().await?).await?;
                }
                // The constraint knows that ranges overlap, and not which.
                Err(Error::Overlap { conflicts, .. }) if conflicts.is_empty() => {
                    let mut connection = self.read().await?;
                    range::check_overlap(
                        &mut connection,
                        vrf,
                        vrf_name(&again),
                        None,
                        &again.ranges,
                    )
                    .await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(too_fast())
    }

    /// Changes a pool in place; the blocks that exist stay as they are. With `if_match`, only if it is at that revision.
    pub async fn update_pool(
        &self,
        caller: Caller,
        id: PoolId,
        patch: PoolPatch,
        if_match: Option<i64>,
    ) -> Result<Pool> {
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        check_policies(
            patch.reserved_addresses,
            patch.release_cooldown_seconds,
            patch.required_labels.as_ref(),
        )?;
        let ipam = self.clone();
        self.change(caller, Locks::pool(id), move |mut change| async move {
            let has_ranges = patch.ranges.is_some() || !patch.add_range_prefix_lengths.is_empty();
            if has_ranges {
                ipam.may_hand_out()?;
            }
            let before: Pool = there(&mut change.db, id).await?;
            check_revision(if_match, before.revision)?;
            if patch == PoolPatch::default() {
                return change.undo(before).await;
            }
            let default = patch.default_prefix_length;
            check_bounds(
                before.family,
                patch.min_prefix_length.unwrap_or(before.min_prefix_length),
                patch.max_prefix_length.unwrap_or(before.max_prefix_length),
                default.unwrap_or(before.default_prefix_length),
            )?;
            let mut detail =
                serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
            if has_ranges {
                let owner = owner(&mut change.db, &before, Some(&patch)).await?;
                let (added, removed) = change_ranges(&mut change.db, &owner, &patch).await?;
                for (key, cidrs) in [("added_ranges", added), ("removed_ranges", removed)] {
                    if !cidrs.is_empty() {
                        detail[key] = json!(cidrs);
                    }
                }
            }
            let event = change.caller.event("pool.update", id.0, &detail)?;
            pool::update(&mut change.db, id, &patch, &[event])
                .await
                .map_err(|error| match (&patch.name, error) {
                    (Some(name), Error::NameTaken { .. }) => taken(name, &before.vrf),
                    (_, error) => error,
                })?;
            let after = if has_ranges {
                there(&mut change.db, id).await?
            } else {
                let mut after = before;
                apply(&mut after, patch);
                after
            };
            change.commit(after).await
        })
        .await
    }

    /// Deletes a pool that nothing is in, and gives its ranges back to its parent.
    pub async fn delete_pool(
        &self,
        caller: Caller,
        id: PoolId,
        if_match: Option<i64>,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let locks = Locks::pool(id);
            let deleted = self.change(caller.clone(), locks, move |mut change| async move {
                let before: Pool = there(&mut change.db, id).await?;
                check_revision(if_match, before.revision)?;
                let ledger = range::given_back(&mut change.db, &before).await?;
                let detail =
                    json!({ "name": before.name, "vrf": before.vrf, "ranges": before.ranges });
                let event = change.caller.event("pool.delete", id.0, &detail)?;
                pool::delete(&mut change.db, id, &ledger, &[event]).await?;
                change.commit(()).await
            });
            match deleted.await {
                // A constraint knows that it is used, and not by what.
                Err(Error::InUse { users: 0, .. }) => {
                    let mut connection = self.read().await?;
                    let pool: Pool = there(&mut connection, id).await?;
                    range::check_unused(&mut connection, &pool).await?;
                }
                other => return other,
            }
        }
        Err(too_fast())
    }
}

/// The name of the VRF that a new pool is in.
fn vrf_name(new: &NewPool) -> &str {
    new.vrf.as_ref().map_or(DEFAULT_VRF, |name| name.as_str())
}

/// Makes a pool in a VRF that is locked; nothing, if that is not called as it was thought any more.
async fn create(
    mut change: Change,
    vrf: VrfId,
    maker: &Maker,
    new: &NewPool,
) -> Result<Done<Option<(Pool, bool)>>> {
    let id = PoolId::generate();
    let refused = match check(&mut change.db, id, vrf, new).await {
        Ok(owner) => match insert(&mut change, maker, new, owner).await? {
            Some(made) => return change.commit(Some((made, true))).await,
            None => None,
        },
        Err(error @ (Error::Invalid(_) | Error::NotFound(_))) => Some(error),
        Err(error) => return Err(error),
    };
    // What has the name is answered as it is, whatever is wrong with the request.
    let name = new.name.as_str();
    match (
        pool::find_in(&mut change.db, vrf, None, name).await?,
        refused,
    ) {
        (Some(id), _) => {
            let pool = adopt::take(&mut change, maker, vrf, id, new).await?;
            change.commit(Some((pool, false))).await
        }
        (None, Some(error)) => Err(error),
        (None, None) => change.undo(None).await,
    }
}

/// Whether there can be such a pool, and what its ranges have to know of it.
async fn check<'a>(
    db: &mut Connection,
    id: PoolId,
    vrf: VrfId,
    new: &'a NewPool,
) -> Result<Owner<'a>> {
    let parent = match &new.parent {
        Some(key) => Some(find_parent(db, vrf, vrf_name(new), key).await?),
        None => None,
    };
    let family = family(new, parent.as_ref().map(|(parent, _)| parent))?;
    let longest = new.max_prefix_length.unwrap_or(family.bits());
    let (shortest, usual) = (new.min_prefix_length, new.default_prefix_length);
    check_bounds(family, shortest, longest, usual)?;
    let owner = Owner {
        id,
        name: new.name.as_str(),
        vrf,
        vrf_name: vrf_name(new),
        family,
        max_prefix_length: longest,
        parent: parent.map(|(_, parent)| parent),
    };
    range::check(&owner, &wanted_ranges(new))?;
    Ok(owner)
}

/// The ranges of a new pool.
fn wanted_ranges(new: &NewPool) -> RangeChange<'_> {
    RangeChange {
        add: &new.ranges,
        cut: &new.range_prefix_lengths,
        ..RangeChange::default()
    }
}

/// Makes a pool that was checked, with its ranges, unless something has its name.
async fn insert(
    change: &mut Change,
    maker: &Maker,
    new: &NewPool,
    owner: Owner<'_>,
) -> Result<Option<Pool>> {
    let (id, claim) = (owner.id, Claim::generate());
    let parent = owner.parent.as_ref();
    let tell = |mut ranges: Vec<Cidr>| {
        ranges.sort_unstable();
        let detail = json!({
            "name": new.name, "vrf": owner.vrf_name, "parent": parent.map(|parent| &parent.name), "ranges": ranges,
            "owner": maker.owner,
        });
        maker.caller.event("pool.create", id.0, &detail)
    };
    let events = match parent {
        None => vec![tell(new.ranges.clone())?],
        // Which ranges it gets is not known yet.
        Some(_) => Vec::new(),
    };
    let inserted = pool::insert(
        &mut change.db,
        id,
        (owner.vrf, owner.vrf_name),
        (parent.map(|parent| parent.id), owner.family),
        new,
        &maker.made(claim),
        &events,
    )
    .await?;
    let Some(inserted) = inserted else {
        return Ok(None);
    };
    if inserted.has_reservations {
        range::absorb_reservations(&mut change.db, owner.vrf, &inserted.ranges).await?;
    }
    if parent.is_some() {
        let ranges = range::change(&mut change.db, &owner, wanted_ranges(new)).await?;
        event::insert(&mut change.db, &[tell(ranges)?]).await?;
    }
    let mut made: Pool = there(&mut change.db, id).await?;
    made.claim = Some(claim);
    Ok(Some(made))
}

/// A locked pool as its ranges know it, with what a patch makes of it.
async fn owner<'a>(
    db: &mut Connection,
    pool: &'a Pool,
    patch: Option<&'a PoolPatch>,
) -> Result<Owner<'a>> {
    let parent = match pool.parent_id {
        None => None,
        Some(id) => {
            let pool = there(db, id).await?;
            Some(parent(db, pool).await?)
        }
    };
    let name = patch.and_then(|patch| patch.name.as_ref());
    let longest = patch.and_then(|patch| patch.max_prefix_length);
    Ok(Owner {
        id: pool.id,
        name: name.map_or(pool.name.as_str(), Name::as_str),
        vrf: pool::vrf(db, pool.id).await?,
        vrf_name: &pool.vrf,
        family: pool.family,
        max_prefix_length: longest.unwrap_or(pool.max_prefix_length),
        parent,
    })
}

/// A pool as one that ranges are cut from.
async fn parent(db: &mut Connection, pool: Pool) -> Result<Parent> {
    let ranges = of_pool(db, pool.id).await?;
    Ok(Parent {
        id: pool.id,
        name: pool.name,
        strategy: pool.strategy,
        ranges: ranges.into_iter().map(|stored| stored.range).collect(),
    })
}

/// The pool to cut ranges from, locked; the VRF is locked already.
async fn find_parent(
    db: &mut Connection,
    vrf: VrfId,
    vrf_name: &str,
    key: &str,
) -> Result<(Pool, Parent)> {
    let id = pool::find_in(db, vrf, key.parse().ok(), key).await?;
    let id = id.ok_or_else(|| no_parent(vrf_name, key))?;
    pool::lock(db, &[id]).await?;
    let pool: Pool = there(db, id).await?;
    let parent = parent(db, pool.clone()).await?;
    Ok((pool, parent))
}

fn no_parent(vrf: &str, key: &str) -> Error {
    Error::NotFound(format!(
        "there is no pool \"{key}\" in VRF \"{vrf}\"; a parent is in the same VRF"
    ))
}

/// What a change that leaves the ranges makes of a pool.
fn apply(pool: &mut Pool, patch: PoolPatch) {
    if let Some(name) = patch.name {
        pool.name = name.to_string();
    }
    set(&mut pool.min_prefix_length, patch.min_prefix_length);
    set(&mut pool.max_prefix_length, patch.max_prefix_length);
    set(&mut pool.default_prefix_length, patch.default_prefix_length);
    set(&mut pool.reserved_addresses, patch.reserved_addresses);
    set(&mut pool.strategy, patch.strategy);
    set(
        &mut pool.release_cooldown_seconds,
        patch.release_cooldown_seconds,
    );
    set(&mut pool.labels, patch.labels);
    set(&mut pool.required_labels, patch.required_labels);
    set(&mut pool.description, patch.description);
    pool.revision += 1;
}

/// Makes the ranges those of the patch; which came and which went.
async fn change_ranges(
    db: &mut Connection,
    owner: &Owner<'_>,
    patch: &PoolPatch,
) -> Result<(Vec<Cidr>, Vec<Cidr>)> {
    if patch.ranges.is_none() && patch.add_range_prefix_lengths.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let stored = of_pool(db, owner.id).await?;
    let (kept, remove): (Vec<_>, Vec<_>) = stored.into_iter().partition(|stored| {
        patch
            .ranges
            .as_ref()
            .is_none_or(|ranges| ranges.contains(&stored.range.cidr))
    });
    let add: Vec<_> = patch
        .ranges
        .iter()
        .flatten()
        .filter(|cidr| kept.iter().all(|stored| stored.range.cidr != **cidr))
        .copied()
        .collect();
    let change = RangeChange {
        remove: &remove,
        add: &add,
        cut: &patch.add_range_prefix_lengths,
        kept: kept.len(),
    };
    let added = range::change(db, owner, change).await?;
    let removed = remove.iter().map(|stored| stored.range.cidr).collect();
    Ok((added, removed))
}

fn taken(name: &Name, vrf: &str) -> Error {
    Error::NameTaken {
        message: format!("VRF \"{vrf}\" has a pool \"{name}\" already; choose another name"),
        import_id: None,
    }
}
