//! Reservations: create, update, delete. A reservation takes the place of what could be allocated there: where a range
//! contains it, a block of exactly its network in the deepest such range; where it contains whole ranges, a block of each.
//! Outside of all ranges it has no block, and waits for a range to be added.
//!
//! The VRF is locked first, so that ranges and reservations of one VRF stand still; then the pools, as for allocations.

use std::collections::BTreeSet;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        reservation::{MAX_REASON, NewReservation, Reservation, ReservationPatch},
    },
    cidr::Cidr,
    ids::{Claim, PoolId, ReservationId, VrfId},
};
use serde_json::json;

use super::{
    Caller, Ipam, check_revision, commit, detached,
    ownership::{Maker, adopt, may_adopt},
    space::free_list::give_back,
};
use crate::{
    db::{
        Connection, block,
        event::{self, Event},
        free, pool, range, reservation, vrf,
    },
    domain::space::free_space::{self, FreeSpace},
    error::{Conflict, Error, Result},
    network::{Place, Range},
};

/// So many of those in the way are named.
const NAMED: usize = 10;

impl Ipam {
    /// Takes a network out of circulation, or answers what its owner reserved before by asking for the same; whether it was
    /// reserved now.
    pub async fn reserve(
        &self,
        maker: impl Into<Maker>,
        new: NewReservation,
    ) -> Result<(Reservation, bool)> {
        self.may_hand_out()?;
        self.take_out(maker.into(), new).await
    }

    /// Reserves also in a database that was restored.
    pub(super) async fn take_out(
        &self,
        maker: Maker,
        new: NewReservation,
    ) -> Result<(Reservation, bool)> {
        check_reason(&new.reason)?;
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let vrf_name = new.vrf.as_ref().map_or(DEFAULT_VRF, |vrf| vrf.as_str());
            let vrf = vrf::lock(&mut transaction, None, Some(vrf_name))
                .await?
                .ok_or_else(|| Error::NotFound(format!("there is no VRF \"{vrf_name}\"")))?
                .id;
            if let Some(existing) = reservation::find(&mut transaction, vrf, new.cidr).await? {
                let reservation = take(&mut transaction, &maker, existing.id, &new).await?;
                commit(transaction).await?;
                return Ok((reservation, false));
            }
            let ranges = reservation::ranges_for(&mut transaction, vrf, new.cidr).await?;
            let mut space = lock_and_read(&mut transaction, &ranges, new.cidr).await?;
            let (blocks, taken): (Vec<_>, Vec<_>) = ranges
                .iter()
                .map(|range| (wanted(*range, new.cidr), *range))
                .partition(|(place, range)| space.take_exact(range.pool, place.cidr).is_some());
            let conflicts = conflicts(&mut transaction, vrf, new.cidr, &taken).await?;
            if let Some(first) = conflicts.first() {
                return Err(Error::Overlap {
                    message: format!("{} is not free: {} {}", new.cidr, first.cidr, first.whose()),
                    conflicts,
                });
            }
            if let Some((place, _)) = taken.first() {
                return Err(Error::bug(format!(
                    "{} is neither free nor in use: the free list was changed by hand; see ipam verify",
                    place.cidr
                )));
            }
            let (id, claim) = (ReservationId::generate(), Claim::generate());
            let made_by = maker.made(claim);
            reservation::insert(&mut transaction, id, vrf, &new, &made_by).await?;
            if !blocks.is_empty() {
                free::update(&mut transaction, &space.changes()).await?;
                let blocks: Vec<_> = blocks.iter().map(|(place, _)| (*place, Some(id))).collect();
                range::insert_blocks(&mut transaction, &blocks).await?;
            }
            let mut made = get(&mut transaction, id).await?;
            let event = event(&made, "reservation.create", &maker.caller);
            event::insert(&mut transaction, &[event]).await?;
            made.claim = Some(claim);
            commit(transaction).await?;
            Ok((made, true))
        })
        .await
    }

    /// One reservation. With a claim, its reader must be its owner, and is confirmed as such.
    pub async fn show_reservation(
        &self,
        caller: Caller,
        id: ReservationId,
        claim: Option<Claim>,
    ) -> Result<Reservation> {
        let mut connection = self.read().await?;
        let Some(found) = reservation::get(&mut connection, id).await? else {
            return Err(gone_or_unknown(&mut connection, id).await);
        };
        self.shown(connection, caller, found, claim).await
    }

    /// Changes what is said about a reservation. With `if_match`, only if it is at that revision.
    pub async fn update_reservation(
        &self,
        caller: Caller,
        id: ReservationId,
        patch: ReservationPatch,
        if_match: Option<i64>,
    ) -> Result<Reservation> {
        if let Some(reason) = &patch.reason {
            check_reason(reason)?;
        }
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let Some(revision) = reservation::lock(&mut transaction, id).await? else {
                return Err(gone_or_unknown(&mut transaction, id).await);
            };
            check_revision(if_match, revision)?;
            if patch != ReservationPatch::default() {
                reservation::update(&mut transaction, id, &patch).await?;
                let detail =
                    serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
                let event = Event {
                    action: "reservation.update",
                    subject: id.0,
                    caller: &caller,
                    detail,
                };
                event::insert(&mut transaction, &[event]).await?;
            }
            let found = reservation::get(&mut transaction, id)
                .await?
                .ok_or_else(|| Error::bug("it was locked"))?;
            commit(transaction).await?;
            Ok(found)
        })
        .await
    }

    /// Puts a network back into circulation: it is free when this returns.
    pub async fn delete_reservation(
        &self,
        caller: Caller,
        id: ReservationId,
        if_match: Option<i64>,
    ) -> Result<()> {
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin().await?;
            let Some(vrf) = reservation::vrf(&mut transaction, id).await? else {
                return Err(gone_or_unknown(&mut transaction, id).await);
            };
            vrf::lock(&mut transaction, Some(vrf), None).await?;
            let Some(revision) = reservation::lock(&mut transaction, id).await? else {
                return Err(gone_or_unknown(&mut transaction, id).await);
            };
            check_revision(if_match, revision)?;
            let pools = reservation::pools(&mut transaction, id).await?;
            let ranges = pool::lock(&mut transaction, &pools).await?;
            let deleted = reservation::get(&mut transaction, id)
                .await?
                .ok_or_else(|| Error::bug("it was locked"))?;
            let freed = reservation::delete(&mut transaction, id).await?;
            give_back(&mut transaction, ranges, freed).await?;
            event::insert(
                &mut transaction,
                &[event(&deleted, "reservation.delete", &caller)],
            )
            .await?;
            commit(transaction).await
        })
        .await
    }
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

/// Locks the pools of these ranges, and reads what of them decides whether `cidr` is free.
async fn lock_and_read(db: &mut Connection, ranges: &[Range], cidr: Cidr) -> Result<FreeSpace> {
    let pools: BTreeSet<PoolId> = ranges.iter().map(|range| range.pool).collect();
    let pools: Vec<_> = pools.into_iter().collect();
    let mut space = FreeSpace::new(pool::lock(db, &pools).await?);
    let around: Vec<_> = ranges
        .iter()
        .flat_map(|range| free_space::ancestors(wanted(*range, cidr), range.cidr))
        .collect();
    for place in free::find(db, &around).await? {
        space.read(place);
    }
    Ok(space)
}

/// Who is in the way: reservations wherever they lie, and what has the blocks that could not be taken.
async fn conflicts(
    db: &mut Connection,
    vrf: VrfId,
    cidr: Cidr,
    taken: &[(Place, Range)],
) -> Result<Vec<Conflict>> {
    let mut conflicts = reservation::overlapping(db, vrf, cidr).await?;
    for (place, _) in taken {
        if conflicts.len() >= NAMED {
            break;
        }
        let blocks = block::overlapping(db, place.range, place.cidr).await?;
        // Those of reservations are there already.
        conflicts.extend(
            blocks
                .into_iter()
                .filter(|block| block.reservation_id.is_none()),
        );
    }
    conflicts.truncate(NAMED);
    Ok(conflicts)
}

/// Gives a reservation, whose VRF is locked, to whoever asked for the same again.
async fn take(
    db: &mut Connection,
    maker: &Maker,
    id: ReservationId,
    new: &NewReservation,
) -> Result<Reservation> {
    // Against those that change what is said of it, which need not lock the VRF.
    reservation::lock(db, id).await?;
    let before = get(db, id).await?;
    may_adopt(db, maker, &before).await?;
    let patch = ReservationPatch {
        reason: (before.reason != new.reason).then(|| new.reason.clone()),
        labels: (before.labels != new.labels).then(|| new.labels.clone()),
    };
    let mut reservation = before;
    if patch != ReservationPatch::default() {
        reservation::update(db, id, &patch).await?;
        reservation = get(db, id).await?;
    }
    let detail = json!({ "cidr": new.cidr, "vrf": reservation.vrf, "changed": patch });
    adopt(db, maker, &mut reservation, detail).await?;
    Ok(reservation)
}

/// A reservation that is there, since it was just made or locked.
async fn get(db: &mut Connection, id: ReservationId) -> Result<Reservation> {
    let found = reservation::get(db, id).await?;
    found.ok_or_else(|| Error::bug("a reservation went away while it was locked"))
}

fn event<'a>(reservation: &Reservation, action: &'static str, caller: &'a Caller) -> Event<'a> {
    Event {
        action,
        subject: reservation.id.0,
        caller,
        detail: json!({
            "cidr": reservation.cidr,
            "vrf": reservation.vrf,
            "reason": reservation.reason,
            "pools": reservation.pools,
            "owner": reservation.owner,
        }),
    }
}

async fn gone_or_unknown(db: &mut Connection, id: ReservationId) -> Error {
    match event::end_of(db, id.0, "reservation.delete").await {
        Ok(Some((at, by))) => Error::Gone {
            what: format!("reservation {id}"),
            at,
            by,
        },
        Ok(None) => Error::NotFound(format!("there is no reservation with the id {id}")),
        Err(error) => error,
    }
}

pub(super) fn check_reason(reason: &str) -> Result<()> {
    let length = reason.chars().count();
    if reason.trim().is_empty() || length > MAX_REASON {
        return Err(Error::Invalid(format!(
            "a reservation needs a reason of 1 to {MAX_REASON} characters, for those whose request it stands in the way \
             of; this one has {length}{}",
            if length > MAX_REASON {
                ""
            } else {
                ", all of them white space"
            }
        )));
    }
    if reason.contains('\0') {
        return Err(Error::Invalid(
            "a reason can't contain a NUL character".to_owned(),
        ));
    }
    Ok(())
}
