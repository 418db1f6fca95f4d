//! Pools: create, update in place, delete. Their ranges are handled in `range`.
//!
//! Every change locks the VRF first, so that changes of the pools of one VRF are serialised, and then the pools
//! whose free lists it touches: the pool itself and its parent. Allocations lock pools only. From what changes the address
//! plan until the commit, changes of all VRFs are serialised by the row that counts them.

mod adopt;
mod create;
pub(super) mod range;
pub(super) mod rules;
mod trend;

use ipam_shared::{
    api::pool::{Pool, PoolPatch},
    cidr::Cidr,
    ids::PoolId,
    name::Name,
};
use serde_json::json;

pub use self::trend::{Forecast, Trend, trends};
use self::{
    range::{Owner, Parent, RangeChange},
    rules::{check_bounds, check_policies},
};
use super::{
    Caller, Ipam, TRIES,
    change::{check_revision, set},
    check_description, check_new_name,
    named::there,
    too_fast,
};
use crate::{
    db::{Connection, lock::Locks, pool, range::of_pool},
    error::{Error, Result},
};

impl Ipam {
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
            if let Some(longest) = patch
                .max_prefix_length
                .filter(|longest| *longest < before.max_prefix_length)
            {
                let stays = |cidr: &&Cidr| {
                    (patch.ranges.as_ref()).is_none_or(|ranges| ranges.contains(cidr))
                };
                for cidr in before.ranges.iter().filter(stays) {
                    let pool = (before.name.as_str(), before.family, longest);
                    range::check_range(pool, cidr.prefix_length(), Some(*cidr))?;
                }
            }
            let mut event = change
                .caller
                .changed("pool.update", id.0, &before, &patch)?;
            if has_ranges {
                let owner = owner(&mut change.db, &before, &patch).await?;
                let (added, removed) = change_ranges(&mut change.db, &owner, &patch).await?;
                event.detail["before"]["ranges"] = json!(before.ranges);
                if patch.ranges.is_none() {
                    let mut ranges = [&before.ranges[..], &added[..]].concat();
                    ranges.sort_unstable();
                    event.detail["ranges"] = json!(ranges);
                }
                for (key, cidrs) in [("added_ranges", added), ("removed_ranges", removed)] {
                    if !cidrs.is_empty() {
                        event.detail[key] = json!(cidrs);
                    }
                }
            }
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
                let event = change.caller.ended("pool.delete", id.0, &detail, &before)?;
                pool::delete(&mut change.db, id, &ledger, &[event]).await?;
                change.commit(()).await
            });
            match deleted.await {
                // A constraint says that it is used, but not by what: that may be what a limited caller does not see.
                Err(Error::InUse { users: 0, .. }) => {
                    let mut connection = self.seen_by_all().read().await?;
                    let pool: Pool = there(&mut connection, id).await?;
                    let unused = range::check_unused(&mut connection, &pool).await;
                    match caller.rights.scope() {
                        None => unused?,
                        Some(_) => unused.map_err(Error::without_names)?,
                    }
                }
                other => return other,
            }
        }
        Err(too_fast())
    }
}

/// A locked pool as `range` sees it, after a patch.
async fn owner<'a>(db: &mut Connection, pool: &'a Pool, patch: &'a PoolPatch) -> Result<Owner<'a>> {
    let parent = match pool.parent_id {
        None => None,
        Some(id) => {
            let pool = there(db, id).await?;
            Some(parent(db, pool).await?)
        }
    };
    Ok(Owner {
        id: pool.id,
        name: (patch.name.as_ref()).map_or(pool.name.as_str(), Name::as_str),
        vrf: pool::vrf(db, pool.id).await?,
        vrf_name: &pool.vrf,
        family: pool.family,
        max_prefix_length: patch.max_prefix_length.unwrap_or(pool.max_prefix_length),
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

fn no_parent(vrf: &str, key: &str) -> Error {
    Error::not_found(format!(
        "there is no pool \"{key}\" in VRF \"{vrf}\"; a parent is in the same VRF"
    ))
    .about("parent")
}

/// The result of a change that does not touch the ranges.
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

/// Sets the ranges to those of the patch; returns which were added and which were removed.
async fn change_ranges(
    db: &mut Connection,
    owner: &Owner<'_>,
    patch: &PoolPatch,
) -> Result<(Vec<Cidr>, Vec<Cidr>)> {
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
        cut_field: "add_range_prefix_lengths",
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
