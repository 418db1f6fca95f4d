//! Creates pools, with their ranges.

use std::sync::Arc;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        pool::{NewPool, Pool},
    },
    cidr::Cidr,
    ids::{Claim, PoolId, VrfId},
};
use serde_json::json;

use super::{
    adopt, no_parent, parent, range,
    range::{Owner, Parent, RangeChange},
    rules::{check_bounds, check_policies, family},
};
use crate::domain::{
    Ipam, TRIES,
    change::{Change, Done},
    check_description, check_new_name,
    named::there,
    of_whole_vrfs,
    ownership::Maker,
    too_fast,
};
use crate::{
    db::{Connection, event, lock::Locks, pool, vrf},
    error::{Error, Result},
};

impl Ipam {
    /// Makes a pool with its ranges, all or nothing, or returns what its owner created before by the same request; and
    /// whether it was created now.
    pub async fn create_pool(&self, maker: impl Into<Maker>, new: NewPool) -> Result<(Pool, bool)> {
        let maker = maker.into();
        of_whole_vrfs(&maker.caller, "a new pool")?;
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        check_policies(
            Some(new.reserved_addresses),
            Some(new.release_cooldown_seconds),
            Some(&new.required_labels),
        )?;
        let (maker, new) = (Arc::new(maker), Arc::new(new));
        let mut plan = self.address_plan().await?;
        for _ in 0..TRIES {
            let vrf = match plan.vrf(new.vrf.as_ref()) {
                Ok(vrf) => vrf,
                // It may have been created since the address plan was read.
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
                // The VRF has been renamed, or what had the pool's name was deleted.
                Ok(None) => {
                    plan = self.current_address_plan(&mut self.read().await?).await?;
                }
                // The constraint says that ranges overlap, but not which.
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
}

/// The name of the VRF that a new pool is in.
fn vrf_name(new: &NewPool) -> &str {
    new.vrf.as_ref().map_or(DEFAULT_VRF, |name| name.as_str())
}

/// Makes a pool in a VRF that is locked; nothing, if the VRF no longer has the expected name.
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
    // Another server may have renamed the VRF since the address plan was read.
    if vrf::find_id(&mut change.db, None, vrf_name(new)).await? != Some(vrf) {
        return change.undo(None).await;
    }
    // What has the name is returned as it is, whatever is wrong with the request.
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

/// Checks that such a pool is possible; returns what its ranges have to know of it.
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
        cut_field: "range_prefix_lengths",
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
        maker.caller.began("pool.create", id.0, &detail, new)
    };
    let events = match parent {
        None => vec![tell(new.ranges.clone())?],
        // Its ranges are not known yet.
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
