//! Ranges of child pools: blocks of the parent's ranges, taken from the parent's free list and given back to it like those of
//! allocations. The rows of both pools are locked; knows nothing of ranges that are cut from no other.

use ipam_shared::{api::pool::Strategy, cidr::Cidr};

use super::{Owner, Parent, RangeChange};
use crate::{
    db::{
        Connection, block, free,
        ledger::{self, Holder, Ledger, NewBlock},
        range,
    },
    domain::space::{
        self,
        free_space::{self, FreeSpace},
    },
    error::{Error, Exhausted, Result},
    network::Place,
};

/// Gives ranges back to the parent, and takes others from it.
pub(super) async fn change(
    db: &mut Connection,
    owner: &Owner<'_>,
    parent: &Parent,
    change: &RangeChange<'_>,
) -> Result<Vec<Cidr>> {
    let given: Vec<Place> = change
        .remove
        .iter()
        .map(|stored| {
            let range = stored
                .parent
                .ok_or_else(|| Error::bug("a child pool's range has no parent"))?;
            Ok(Place {
                range,
                cidr: stored.range.cidr,
            })
        })
        .collect::<Result<_>>()?;
    let mut space = FreeSpace::new(parent.ranges.iter().copied());
    read_space(db, &mut space, parent, &given, change).await?;
    given.iter().for_each(|place| space.give_back(*place));
    let mut taken = Vec::with_capacity(change.add.len() + change.cut.len());
    for cidr in change.add {
        match space.take_exact(parent.id, *cidr) {
            Some(place) => taken.push(place),
            None => return Err(not_free(db, &space, owner, parent, *cidr).await),
        }
    }
    // The largest first, which leaves the most room for the others.
    let mut lengths = change.cut.to_vec();
    lengths.sort_unstable();
    for length in lengths {
        match space.take(parent.id, length, parent.strategy, &[]) {
            Some(place) => taken.push(place),
            None => {
                // From the current state, which is rolled back with everything else.
                let ledger = Ledger {
                    free: space.changes(),
                    ..Ledger::default()
                };
                ledger::write(db, &ledger, &[]).await?;
                return Err(exhausted(db, parent, length).await);
            }
        }
    }
    let mut ledger = Ledger {
        ended: given,
        free: space.changes(),
        ..Ledger::default()
    };
    for place in &taken {
        let range = space
            .range(place.range)
            .ok_or_else(|| Error::bug("a block in a pool that is not locked"))?;
        ledger.begun.push(NewBlock {
            place: *place,
            range_cidr: range.cidr,
            holder: Holder::ChildRange,
        });
    }
    let gone: Vec<_> = change.remove.iter().map(|stored| stored.range.id).collect();
    range::replace_children(db, owner.id, &gone, &taken, &ledger).await?;
    Ok(taken.into_iter().map(|place| place.cidr).collect())
}

/// Reads as much of the parent's free list as the change can need.
async fn read_space(
    db: &mut Connection,
    space: &mut FreeSpace,
    parent: &Parent,
    given: &[Place],
    change: &RangeChange<'_>,
) -> Result<()> {
    let mut around = Vec::new();
    for place in given {
        let range = space
            .range(place.range)
            .ok_or_else(|| Error::bug("a range in a pool that is not locked"))?;
        around.extend(free_space::buddies(*place, range.cidr));
    }
    for cidr in change.add {
        if let Some(range) = space.range_of(parent.id, *cidr) {
            let place = Place {
                range: range.id,
                cidr: *cidr,
            };
            around.extend(free_space::ancestors(place, range.cidr));
        }
    }
    around.sort_unstable();
    around.dedup();
    let mut found = free::find(db, &around).await?;
    if let Some(longest) = change.cut.iter().max() {
        // Of this size and of every larger one as many as can be used, whatever the strategy.
        let most = i64::try_from(change.add.len() + change.cut.len()).unwrap_or(i64::MAX);
        let wanted: Vec<_> = parent
            .ranges
            .iter()
            .map(|range| {
                (
                    range.id,
                    range.cidr.family().bits().saturating_sub(*longest),
                )
            })
            .collect();
        let highest = parent.strategy == Strategy::LastFit;
        found.extend(free::by_address(db, &wanted, highest, &[], most).await?);
    }
    found.into_iter().for_each(|place| space.read(place));
    Ok(())
}

/// Why a network can't be taken from the parent.
async fn not_free(
    db: &mut Connection,
    space: &FreeSpace,
    owner: &Owner<'_>,
    parent: &Parent,
    cidr: Cidr,
) -> Error {
    let Some(range) = space.range_of(parent.id, cidr) else {
        let ranges: Vec<_> = parent
            .ranges
            .iter()
            .map(|range| range.cidr.to_string())
            .collect();
        return Error::invalid(format!(
            "{cidr} does not lie in pool \"{}\", the parent of \"{}\", which consists of {}",
            parent.name,
            owner.name,
            if ranges.is_empty() {
                "no range yet".to_owned()
            } else {
                ranges.join(", ")
            }
        ))
        .about("ranges");
    };
    match block::overlapping(db, range.id, cidr).await {
        Err(error) => error,
        Ok(conflicts) => match conflicts.first() {
            None => Error::bug(format!(
                "{cidr} is neither free nor in use: the free list was changed by hand; see ipam verify"
            )),
            Some(first) => Error::Overlap {
                message: format!(
                    "{cidr} is not free in pool \"{}\", the parent of \"{}\": {} {}",
                    parent.name,
                    owner.name,
                    first.cidr,
                    first.whose()
                ),
                conflicts,
            },
        },
    }
}

/// What is left of a parent that has no block of that size.
async fn exhausted(db: &mut Connection, parent: &Parent, prefix_length: u8) -> Error {
    match space::explain(db, parent.id, prefix_length, space::PIECES_OF_REFUSAL).await {
        Ok(space) => Error::Exhausted(vec![Exhausted {
            role: "child_range".to_owned(),
            space,
        }]),
        Err(error) => error,
    }
}
