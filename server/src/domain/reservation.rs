//! Reservations: create, update, delete. A reservation occupies what could be allocated there: where a range
//! contains it, a block of exactly its network in the deepest such range; where it contains whole ranges, a block of each.
//! Outside all ranges it has no block until a range is added.
//!
//! The VRF is locked first, so that ranges and reservations of one VRF can't change; then the pools, as for allocations.

use std::{collections::BTreeSet, sync::Arc};

use ipam_shared::{
    api::reservation::{MAX_REASON, NewReservation, Reservation, ReservationPatch},
    cidr::Cidr,
    ids::{Claim, PoolId, ReservationId, VrfId},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    Caller, Ipam, TRIES,
    address_plan::AddressPlan,
    change::{Change, Done, check_revision, set, was},
    named::there,
    of_whole_vrfs,
    ownership::{Maker, adopt, may_adopt},
    space::free_space::{self, FreeSpace},
    too_fast,
};
use crate::{
    db::{
        Connection, block,
        ledger::{Holder, Ledger, NewBlock},
        lock::Locks,
        reservation,
    },
    error::{Conflict, Error, Result},
    network::{Place, Range},
};

/// How many conflicts are named.
const NAMED: usize = 10;

impl Ipam {
    /// Takes a network out of circulation, or returns what its owner reserved before by the same request; and whether it
    /// was reserved now.
    pub async fn reserve(
        &self,
        maker: impl Into<Maker>,
        new: NewReservation,
    ) -> Result<(Reservation, bool)> {
        self.may_hand_out()?;
        self.take_out(maker.into(), new).await
    }

    /// Reserves even in a restored database.
    pub(super) async fn take_out(
        &self,
        maker: Maker,
        new: NewReservation,
    ) -> Result<(Reservation, bool)> {
        of_whole_vrfs(&maker.caller, "a reservation")?;
        check_reason(&new.reason)?;
        let mut plan = self.address_plan().await?;
        if plan.vrf(new.vrf.as_ref()).is_err() {
            // It may have been created since the address plan was read.
            plan = self.current_address_plan(&mut self.read().await?).await?;
        }
        for _ in 0..TRIES {
            let vrf = plan.vrf(new.vrf.as_ref())?;
            let ranges = plan.ranges_around(vrf, new.cidr);
            let pools: BTreeSet<_> = ranges.iter().map(|(range, _)| range.pool).collect();
            let pools: Vec<_> = pools.into_iter().collect();
            let (ipam, to_reserve) = (self.clone(), (maker.clone(), new.clone()));
            let (known, locked) = (Arc::clone(&plan), pools.clone());
            let locks = Locks::space(vrf, &pools);
            let done = self.change(maker.caller.clone(), locks, |change| async move {
                let (maker, new) = &to_reserve;
                reserve(change, &ipam, known, locked, maker, new).await
            });
            match done.await? {
                Reserved::Made(reservation) => return Ok((*reservation, true)),
                Reserved::Exists(id) => {
                    let to_take = (maker.clone(), new.clone());
                    let locks = Locks::reservation(id);
                    let done = self.change(maker.caller.clone(), locks, move |change| async move {
                        let (maker, new) = &to_take;
                        take(change, maker, id, new).await
                    });
                    match done.await {
                        // It went away before it was locked.
                        Err(Error::Gone { .. } | Error::NotFound(_)) => {}
                        taken => return Ok((taken?, false)),
                    }
                }
                Reserved::Elsewhere => {
                    plan = self.current_address_plan(&mut self.read().await?).await?;
                }
            }
        }
        Err(too_fast())
    }

    /// Changes the attributes of a reservation. With `if_match`, only if it is at that revision.
    pub async fn update_reservation(
        &self,
        caller: Caller,
        id: ReservationId,
        patch: ReservationPatch,
        if_match: Option<i64>,
    ) -> Result<Reservation> {
        of_whole_vrfs(&caller, "a change of a reservation")?;
        if let Some(reason) = &patch.reason {
            check_reason(reason)?;
        }
        self.change(
            caller,
            Locks::reservation(id),
            move |mut change| async move {
                let before: Reservation = there(&mut change.db, id).await?;
                check_revision(if_match, before.revision)?;
                if patch == ReservationPatch::default() {
                    return change.undo(before).await;
                }
                let event = change
                    .caller
                    .changed("reservation.update", id.0, &before, &patch)?;
                reservation::update(&mut change.db, id, &patch, &[event]).await?;
                let mut after = before;
                apply(&mut after, patch);
                change.commit(after).await
            },
        )
        .await
    }

    /// Puts a network back into circulation: it is free when this returns.
    pub async fn delete_reservation(
        &self,
        caller: Caller,
        id: ReservationId,
        if_match: Option<i64>,
    ) -> Result<()> {
        of_whole_vrfs(&caller, "the deletion of a reservation")?;
        let locks = Locks::reservation_with_space(id);
        self.change(caller, locks, move |mut change| async move {
            let deleted: Reservation = there(&mut change.db, id).await?;
            check_revision(if_match, deleted.revision)?;
            let mut ledger = Ledger::default();
            // A reservation outside all ranges has no space.
            if !deleted.pools.is_empty() {
                let held = reservation::space(&mut change.db, id).await?;
                let mut space = FreeSpace::new(held.blocks.iter().map(|(_, range)| *range));
                held.free.into_iter().for_each(|place| space.read(place));
                for (place, _) in held.blocks {
                    ledger.ended.push(place);
                    space.give_back(place);
                }
                ledger.free = space.changes();
            }
            let event =
                (change.caller).ended("reservation.delete", id.0, &told(&deleted), &deleted)?;
            reservation::delete(&mut change.db, id, &ledger, &[event]).await?;
            change.commit(()).await
        })
        .await
    }
}

/// How far a creation got.
enum Reserved {
    /// The network is reserved.
    Made(Box<Reservation>),
    /// It was reserved before. Reservations are locked before pools, so that has to begin anew.
    Exists(ReservationId),
    /// The VRF has another name by now, or other pools are to be locked.
    Elsewhere,
}

/// Reserves under the locks of the VRF and of these pools.
async fn reserve(
    mut change: Change,
    ipam: &Ipam,
    mut plan: Arc<AddressPlan>,
    locked: Vec<PoolId>,
    maker: &Maker,
    new: &NewReservation,
) -> Result<Done<Reserved>> {
    let vrf = plan.vrf(new.vrf.as_ref())?;
    let around = |plan: &AddressPlan| {
        let ranges = plan.ranges_around(vrf, new.cidr);
        let places = ranges
            .iter()
            .flat_map(|(range, _)| free_space::ancestors(wanted(*range, new.cidr), range.cidr));
        places.collect::<Vec<_>>()
    };
    let mut seen = reservation::look(&mut change.db, vrf, new.cidr, &around(&plan)).await?;
    if seen.plan != plan.revision {
        // What is read now stays valid for this VRF, whatever changes elsewhere.
        plan = ipam.current_address_plan(&mut change.db).await?;
        seen = reservation::look(&mut change.db, vrf, new.cidr, &around(&plan)).await?;
    }
    let ranges = plan.ranges_around(vrf, new.cidr);
    let mut pools = ranges.iter().map(|(range, _)| range.pool);
    if plan.vrf(new.vrf.as_ref())? != vrf || pools.any(|pool| !locked.contains(&pool)) {
        return change.undo(Reserved::Elsewhere).await;
    }
    if let Some(id) = seen.existing {
        return change.undo(Reserved::Exists(id)).await;
    }
    let mut space = FreeSpace::new(ranges.iter().map(|(range, _)| *range));
    seen.free.into_iter().for_each(|place| space.read(place));
    let (id, claim) = (ReservationId::generate(), Claim::generate());
    let mut ledger = Ledger::default();
    let mut taken = Vec::new();
    let mut pools = BTreeSet::new();
    for (range, pool) in ranges {
        let place = wanted(range, new.cidr);
        if space.take_exact(range.pool, place.cidr).is_none() {
            taken.push(place);
            continue;
        }
        pools.insert(pool.name.clone());
        ledger.begun.push(NewBlock {
            place,
            range_cidr: range.cidr,
            holder: Holder::Reservation(id),
        });
    }
    if seen.overlaps || !taken.is_empty() {
        let conflicts = conflicts(&mut change.db, vrf, new.cidr, &taken).await?;
        let Some(first) = conflicts.first() else {
            return Err(Error::bug(format!(
                "{} is neither free nor in use: the free list was changed by hand; see ipam verify",
                new.cidr
            )));
        };
        return Err(Error::Overlap {
            message: format!("{} is not free: {} {}", new.cidr, first.cidr, first.whose()),
            conflicts,
        });
    }
    ledger.free = space.changes();
    let mut made = Reservation {
        id,
        cidr: new.cidr,
        vrf: (plan.vrf_name(vrf).parse()).map_err(|_| Error::bug("a stored name is not valid"))?,
        reason: new.reason.clone(),
        labels: new.labels.clone(),
        pools: pools.into_iter().collect(),
        revision: 1,
        created_by: maker.caller.actor.clone(),
        owner: maker.owner.clone(),
        confirmed: false,
        claim_digest: Some(claim.digest()),
        created_at: OffsetDateTime::UNIX_EPOCH,
        claim: Some(claim),
    };
    let event = (maker.caller).began("reservation.create", made.id.0, &told(&made), &made)?;
    made.created_at = reservation::insert(
        &mut change.db,
        id,
        vrf,
        new,
        &maker.made(claim),
        &ledger,
        &[event],
    )
    .await?;
    change.commit(Reserved::Made(Box::new(made))).await
}

/// What a reservation of `cidr` takes from a range: itself, or the range if that lies inside.
fn wanted(range: Range, cidr: Cidr) -> Place {
    let cidr = if range.cidr.contains(cidr) {
        cidr
    } else {
        range.cidr
    };
    Place {
        range: range.id,
        cidr,
    }
}

/// The conflicts: reservations wherever they lie, and the holders of blocks that could not be taken.
async fn conflicts(
    db: &mut Connection,
    vrf: VrfId,
    cidr: Cidr,
    taken: &[Place],
) -> Result<Vec<Conflict>> {
    let mut conflicts = reservation::overlapping(db, vrf, cidr).await?;
    for place in taken {
        if conflicts.len() >= NAMED {
            break;
        }
        let blocks = block::overlapping(db, place.range, place.cidr).await?;
        // Those of reservations are already included.
        conflicts.extend(
            blocks
                .into_iter()
                .filter(|block| block.reservation_id.is_none()),
        );
    }
    conflicts.truncate(NAMED);
    Ok(conflicts)
}

/// Lets the caller adopt a locked reservation.
async fn take(
    mut change: Change,
    maker: &Maker,
    id: ReservationId,
    new: &NewReservation,
) -> Result<Done<Reservation>> {
    let mut reservation: Reservation = there(&mut change.db, id).await?;
    may_adopt(&mut change.db, maker, &reservation).await?;
    let patch = ReservationPatch {
        reason: (reservation.reason != new.reason).then(|| new.reason.clone()),
        labels: (reservation.labels != new.labels).then(|| new.labels.clone()),
    };
    let was = was(&reservation, &patch)?;
    if patch != ReservationPatch::default() {
        reservation::update(&mut change.db, id, &patch, &[]).await?;
        apply(&mut reservation, patch.clone());
    }
    let detail =
        json!({ "cidr": new.cidr, "vrf": reservation.vrf, "changed": patch, "before": was });
    adopt(&mut change.db, maker, &mut reservation, detail).await?;
    change.commit(reservation).await
}

/// The result of a change.
fn apply(reservation: &mut Reservation, patch: ReservationPatch) {
    set(&mut reservation.reason, patch.reason);
    set(&mut reservation.labels, patch.labels);
    reservation.revision += 1;
}

fn told(reservation: &Reservation) -> serde_json::Value {
    json!({
        "cidr": reservation.cidr,
        "vrf": reservation.vrf,
        "reason": reservation.reason,
        "pools": reservation.pools,
        "owner": reservation.owner,
    })
}

pub(super) fn check_reason(reason: &str) -> Result<()> {
    let length = reason.chars().count();
    if reason.trim().is_empty() || length > MAX_REASON {
        let this = match length {
            0 => "is empty".to_owned(),
            1..=MAX_REASON => "is nothing but whitespace".to_owned(),
            _ => format!("has {length}"),
        };
        return Err(Error::invalid(format!(
            "a reservation needs a reason of 1 to {MAX_REASON} characters, shown to everybody whose request it blocks; \
             this one {this}"
        )).about("reason"));
    }
    if reason.contains('\0') {
        return Err(Error::invalid("a reason can't contain a NUL character").about("reason"));
    }
    Ok(())
}
