//! Pools: create, update in place, delete. What happens to their ranges is in `range`.
//!
//! Every change locks the VRF first, so that changes of the pools of one VRF come one after the other, and then the pools
//! whose free lists it touches: the pool itself and its parent. Allocations lock pools only.

pub(super) mod range;
pub(super) mod rules;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        pool::{NewPool, Pool, PoolPatch},
    },
    cidr::{Cidr, Family},
    ids::{Claim, PoolId},
    name::Name,
};
use serde_json::json;

use self::{
    range::{Change, Owner, Parent, in_use},
    rules::{check_bounds, check_policies, family},
};
use super::{
    Caller, Ipam, check_description, check_new_name, check_revision, commit, detached, missing,
    ownership::{Maker, Title, adopt, may_adopt},
};
use crate::{
    db::{
        Connection,
        event::{self, Event},
        pool,
        range::of_pool,
        vrf::{self, Locked},
    },
    error::{Error, Result},
};

/// The action that ends a pool.
pub(super) const DELETE: &str = "pool.delete";

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
        let (ipam, maker) = (self.clone(), maker.into());
        detached(async move {
            let mut transaction = ipam.begin().await?;
            ipam.may_hand_out()?;
            let vrf_name = new.vrf.as_ref().map_or(DEFAULT_VRF, |name| name.as_str());
            let vrf = vrf::lock(&mut transaction, None, Some(vrf_name)).await?;
            let vrf = vrf.ok_or_else(|| {
                Error::NotFound(format!("there is no VRF \"{vrf_name}\"; make it first"))
            })?;
            // Nobody else makes a pool of this VRF meanwhile.
            if let Some(id) =
                pool::find_in(&mut transaction, vrf.id, None, new.name.as_str()).await?
            {
                let pool = take(&mut transaction, &maker, &vrf, id, &new).await?;
                commit(transaction).await?;
                return Ok((pool, false));
            }
            let parent = match &new.parent {
                Some(key) => Some(find_parent(&mut transaction, &vrf, key).await?),
                None => None,
            };
            let family = family(&new, parent.as_ref().map(|(parent, _)| parent))?;
            let longest = new.max_prefix_length.unwrap_or(family.bits());
            let shortest = new.min_prefix_length;
            check_bounds(family, shortest, longest, new.default_prefix_length)?;
            let (id, claim) = (PoolId::generate(), Claim::generate());
            let parent_id = parent.as_ref().map(|(parent, _)| parent.id);
            let made_by = maker.made(claim);
            pool::insert(
                &mut transaction,
                id,
                vrf.id,
                parent_id,
                family,
                &new,
                &made_by,
            )
            .await?;
            let owner = Owner {
                id,
                name: new.name.as_str(),
                vrf: vrf.id,
                vrf_name: &vrf.name,
                family,
                max_prefix_length: longest,
                parent: parent.map(|(_, parent)| parent),
            };
            let change = Change {
                add: &new.ranges,
                cut: &new.range_prefix_lengths,
                ..Change::default()
            };
            range::change(&mut transaction, &owner, change).await?;
            let mut made = get(&mut transaction, id).await?;
            let detail = json!({
                "name": made.name, "vrf": made.vrf, "parent": made.parent, "ranges": made.ranges, "owner": made.owner,
            });
            record(&mut transaction, &maker.caller, "pool.create", id, detail).await?;
            made.claim = Some(claim);
            commit(transaction).await?;
            Ok((made, true))
        })
        .await
    }

    /// One pool, by id, or by name if only one VRF has a pool of that name. With a claim, its reader must be its owner, and is
    /// confirmed as such.
    pub async fn show_pool(&self, caller: Caller, key: &str, claim: Option<Claim>) -> Result<Pool> {
        let id = self.find_pool(key).await?;
        let mut connection = self.read().await?;
        let Some(pool) = pool::get(&mut connection, id).await? else {
            let text = format!("there is no pool \"{key}\"");
            return Err(missing(&mut connection, Some(id.0), DELETE, "pool", text).await);
        };
        self.shown(connection, caller, pool, claim).await
    }

    /// The id of a pool by id, or by name if only one VRF has a pool of that name.
    pub async fn find_pool(&self, key: &str) -> Result<PoolId> {
        let mut connection = self.read().await?;
        let id: Option<PoolId> = key.parse().ok();
        let found = pool::find(&mut connection, id, key).await?;
        match found.as_slice() {
            [] => {
                let text = format!("there is no pool \"{key}\"");
                Err(missing(&mut connection, id.map(|id| id.0), DELETE, "pool", text).await)
            }
            [(only, _)] => Ok(*only),
            several => match id.filter(|id| several.iter().any(|(found, _)| found == id)) {
                Some(id) => Ok(id),
                None => {
                    let vrfs: Vec<_> = several
                        .iter()
                        .map(|(id, vrf)| format!("\"{vrf}\" ({id})"))
                        .collect();
                    Err(Error::Invalid(format!(
                        "several VRFs have a pool \"{key}\": {}; ask for it by id",
                        vrfs.join(", ")
                    )))
                }
            },
        }
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
        detached(async move {
            let mut transaction = ipam.begin().await?;
            if patch.ranges.is_some() || !patch.add_range_prefix_lengths.is_empty() {
                ipam.may_hand_out()?;
            }
            let (vrf, before, parent) = lock(&mut transaction, id).await?;
            check_revision(if_match, before.revision)?;
            if patch == PoolPatch::default() {
                transaction.rollback().await?;
                return Ok(before);
            }
            let longest = patch.max_prefix_length.unwrap_or(before.max_prefix_length);
            check_bounds(
                before.family,
                patch.min_prefix_length.unwrap_or(before.min_prefix_length),
                longest,
                patch
                    .default_prefix_length
                    .unwrap_or(before.default_prefix_length),
            )?;
            pool::update(&mut transaction, id, &patch)
                .await
                .map_err(|error| match (&patch.name, error) {
                    (Some(name), Error::NameTaken { .. }) => taken(name, &vrf.name),
                    (_, error) => error,
                })?;
            let owner = Owner {
                id,
                name: patch
                    .name
                    .as_ref()
                    .map_or(before.name.as_str(), |name| name.as_str()),
                vrf: vrf.id,
                vrf_name: &vrf.name,
                family: before.family,
                max_prefix_length: longest,
                parent,
            };
            let (added, removed) = change_ranges(&mut transaction, &owner, &patch).await?;
            let mut detail =
                serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
            if let Some(detail) = detail.as_object_mut() {
                for (key, cidrs) in [("added_ranges", added), ("removed_ranges", removed)] {
                    if !cidrs.is_empty() {
                        detail.insert(key.to_owned(), json!(cidrs));
                    }
                }
            }
            record(&mut transaction, &caller, "pool.update", id, detail).await?;
            let pool = get(&mut transaction, id).await?;
            commit(transaction).await?;
            Ok(pool)
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
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let (vrf, before, parent) = lock(&mut transaction, id).await?;
            check_revision(if_match, before.revision)?;
            let children = pool::children(&mut transaction, id).await?;
            if !children.is_empty() {
                let count = i64::try_from(children.len()).unwrap_or(i64::MAX);
                let users = children
                    .into_iter()
                    .map(|name| format!("\"{name}\""))
                    .collect();
                return Err(in_use(
                    &format!("pool \"{}\" is the parent of pools", before.name),
                    users,
                    count,
                ));
            }
            let owner = Owner {
                id,
                name: &before.name,
                vrf: vrf.id,
                vrf_name: &vrf.name,
                family: before.family,
                max_prefix_length: before.max_prefix_length,
                parent,
            };
            let stored = of_pool(&mut transaction, id).await?;
            let change = Change {
                remove: &stored,
                ..Change::default()
            };
            range::change(&mut transaction, &owner, change).await?;
            pool::delete(&mut transaction, id).await?;
            let detail = json!({ "name": before.name, "vrf": before.vrf, "ranges": before.ranges });
            record(&mut transaction, &caller, DELETE, id, detail).await?;
            commit(transaction).await
        })
        .await
    }
}

/// What is asked for, with what follows from it.
struct Wanted<'a> {
    new: &'a NewPool,
    family: Family,
    parent: Option<PoolId>,
}

impl Wanted<'_> {
    /// In what a pool that is there differs from what is asked for: the fields. Ranges that were asked for by size are
    /// compared by size, wherever they came to lie.
    fn differences(&self, there: &Pool) -> Vec<&'static str> {
        let Self {
            new,
            family,
            parent,
        } = self;
        let longest = new.max_prefix_length.unwrap_or(family.bits());
        [
            ("family", there.family != *family),
            ("parent", there.parent_id != *parent),
            ("ranges", !has_ranges(there, new)),
            (
                "min_prefix_length",
                there.min_prefix_length != new.min_prefix_length,
            ),
            ("max_prefix_length", there.max_prefix_length != longest),
            (
                "default_prefix_length",
                there.default_prefix_length != new.default_prefix_length,
            ),
            (
                "reserved_addresses",
                there.reserved_addresses != new.reserved_addresses,
            ),
            ("strategy", there.strategy != new.strategy),
            (
                "release_cooldown_seconds",
                there.release_cooldown_seconds != new.release_cooldown_seconds,
            ),
            (
                "required_labels",
                there.required_labels != new.required_labels,
            ),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
    }
}

/// Whether a pool consists of the ranges that are named, and beside them of ranges of the sizes that are asked for.
fn has_ranges(there: &Pool, new: &NewPool) -> bool {
    let others = there
        .ranges
        .iter()
        .filter(|range| !new.ranges.contains(range));
    let mut others: Vec<u8> = others.map(|range| range.prefix_length()).collect();
    let mut sizes = new.range_prefix_lengths.clone();
    others.sort_unstable();
    sizes.sort_unstable();
    new.ranges.iter().all(|range| there.ranges.contains(range)) && others == sizes
}

/// Gives a pool, whose VRF is locked, to whoever asked for the same again.
async fn take(
    db: &mut Connection,
    maker: &Maker,
    vrf: &Locked,
    id: PoolId,
    new: &NewPool,
) -> Result<Pool> {
    pool::lock(db, &[id]).await?;
    let before = get(db, id).await?;
    may_adopt(db, maker, &before).await?;
    // Under the lock of the VRF it stands still.
    let parent = match &new.parent {
        Some(key) => {
            let id = pool::find_in(db, vrf.id, key.parse().ok(), key).await?;
            let id = id.ok_or_else(|| no_parent(vrf, key))?;
            Some(get(db, id).await?)
        }
        None => None,
    };
    let wanted = Wanted {
        new,
        family: family(new, parent.as_ref())?,
        parent: parent.map(|parent| parent.id),
    };
    let differences = wanted.differences(&before);
    if !differences.is_empty() {
        let how = format!("in {}", differences.join(", "));
        return Err(Title::of(&before).differs(&how));
    }
    let patch = PoolPatch {
        labels: (before.labels != new.labels).then(|| new.labels.clone()),
        description: (before.description != new.description).then(|| new.description.clone()),
        ..PoolPatch::default()
    };
    let mut pool = before;
    if patch != PoolPatch::default() {
        pool::update(db, id, &patch).await?;
        pool = get(db, id).await?;
    }
    let detail = json!({ "name": pool.name, "vrf": pool.vrf, "changed": patch });
    adopt(db, maker, &mut pool, detail).await?;
    Ok(pool)
}

/// A pool that is there, since it was just made or locked.
async fn get(db: &mut Connection, id: PoolId) -> Result<Pool> {
    let found = pool::get(db, id).await?;
    found.ok_or_else(|| Error::bug("a pool went away while it was locked"))
}

/// Locks a pool for a change: its VRF, then the pool and its parent in the order of their ids. The VRF, the pool as it is,
/// and the parent.
async fn lock(db: &mut Connection, id: PoolId) -> Result<(Locked, Pool, Option<Parent>)> {
    let text = format!("there is no pool with the id {id}");
    let Some((vrf, parent)) = pool::home(db, id).await? else {
        return Err(missing(db, Some(id.0), DELETE, "pool", text).await);
    };
    let vrf = vrf::lock(db, Some(vrf), None).await?;
    let ids: Vec<_> = std::iter::once(id).chain(parent).collect();
    let ranges = pool::lock(db, &ids).await?;
    // Somebody may have deleted it before it was locked.
    let (Some(vrf), Some(pool)) = (vrf, pool::get(db, id).await?) else {
        return Err(missing(db, Some(id.0), DELETE, "pool", text).await);
    };
    let parent = match parent {
        None => None,
        Some(id) => {
            let parent = pool::get(db, id)
                .await?
                .ok_or_else(|| Error::bug("a pool without its parent"))?;
            Some(Parent {
                id,
                name: parent.name,
                strategy: parent.strategy,
                ranges: ranges
                    .into_iter()
                    .filter(|range| range.pool == id)
                    .collect(),
            })
        }
    };
    Ok((vrf, pool, parent))
}

/// The pool to cut ranges from, locked; the VRF is locked already.
async fn find_parent(db: &mut Connection, vrf: &Locked, key: &str) -> Result<(Pool, Parent)> {
    let unknown = || no_parent(vrf, key);
    let id = pool::find_in(db, vrf.id, key.parse().ok(), key)
        .await?
        .ok_or_else(unknown)?;
    let ranges = pool::lock(db, &[id]).await?;
    let pool = pool::get(db, id).await?.ok_or_else(unknown)?;
    let parent = Parent {
        id,
        name: pool.name.clone(),
        strategy: pool.strategy,
        ranges,
    };
    Ok((pool, parent))
}

fn no_parent(vrf: &Locked, key: &str) -> Error {
    Error::NotFound(format!(
        "there is no pool \"{key}\" in VRF \"{}\"; a parent is in the same VRF",
        vrf.name
    ))
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
    let change = Change {
        remove: &remove,
        add: &add,
        cut: &patch.add_range_prefix_lengths,
        kept: kept.len(),
    };
    let added = range::change(db, owner, change).await?;
    let removed = remove.iter().map(|stored| stored.range.cidr).collect();
    Ok((added, removed))
}

async fn record(
    db: &mut Connection,
    caller: &Caller,
    action: &'static str,
    id: PoolId,
    detail: serde_json::Value,
) -> Result<()> {
    let event = Event {
        action,
        subject: id.0,
        caller,
        detail,
    };
    event::insert(db, &[event]).await
}

fn taken(name: &Name, vrf: &str) -> Error {
    Error::NameTaken {
        message: format!("VRF \"{vrf}\" has a pool \"{name}\" already; choose another name"),
        import_id: None,
    }
}
