//! Who takes which addresses: ranges, reservations and blocks of a file against each other and against what is there.
//!
//! Within the file `overlap` finds what is in each other's way. Against the database the free list decides: what can't be taken from it is in use, and only then it is looked
//! up by what.

use std::collections::{BTreeMap, HashMap, HashSet};

use ipam_shared::api::transfer::ConflictCode;

use super::{
    check::Check,
    overlap::{Wanted, overlaps},
};
use crate::{
    db::{Connection, free, transfer::find},
    domain::space::free_space::{self, FreeSpace},
    error::{Error, Result},
    network::{Changes, Place, Range, RangeId},
};

/// For up to so many networks the free blocks around each are read, for more those of the whole ranges.
const FEW: usize = 1_000;

/// Something that wants addresses.
#[derive(Clone, Copy, Debug)]
struct Claim {
    place: Place,
    /// None for a reservation that is there, of a range that is new.
    line: Option<u64>,
}

impl Check {
    /// Takes everything from the free lists, and keeps what changes in them; what can't be taken is a conflict.
    pub(super) async fn take(&mut self, db: &mut Connection) -> Result<()> {
        let claims = self.claims();
        let mut by_range: BTreeMap<RangeId, Vec<Claim>> = BTreeMap::new();
        for claim in claims {
            by_range.entry(claim.place.range).or_default().push(claim);
        }
        let mut good = 0;
        let mut lost = Vec::new();
        for claims in by_range.values_mut() {
            lost.extend(self.sweep(claims));
            good += claims.len();
        }
        // What is in conflict with the file may be in conflict with the database too.
        lost.retain(|claim| claim.place.range > 0);
        lost.truncate(self.conflicts.room());
        let mut spaces = HashMap::new();
        for id in by_range.keys() {
            let Some(range) = self.world.ranges.get(id) else {
                return Err(Error::bug("a claim on a range that is not known"));
            };
            let pool = self
                .world
                .pools
                .get(range.pool)
                .ok_or_else(|| Error::bug("a range of no pool"))?
                .id;
            let mut space = FreeSpace::new([Range {
                id: *id,
                pool,
                cidr: range.cidr,
            }]);
            if *id < 0 {
                // It will be one free block when it is made.
                space.read(Place {
                    range: *id,
                    cidr: range.cidr,
                });
            }
            spaces.insert(*id, (pool, space));
        }
        let stored: Vec<RangeId> = by_range.keys().copied().filter(|id| *id > 0).collect();
        let free = if good > FEW {
            find::free(db, &stored).await?
        } else {
            let around = by_range
                .iter()
                .filter(|(id, _)| **id > 0)
                .flat_map(|(id, claims)| {
                    let range = self.world.ranges.get(id).map(|range| range.cidr);
                    claims.iter().flat_map(move |claim| {
                        range
                            .into_iter()
                            .flat_map(|range| free_space::ancestors(claim.place, range))
                    })
                });
            let mut around: Vec<_> = around.collect();
            around.sort_unstable();
            around.dedup();
            free::find(db, &around).await?
        };
        for place in free {
            if let Some((_, space)) = spaces.get_mut(&place.range) {
                space.read(place);
            }
        }
        let mut blocked: Vec<Claim> = Vec::new();
        for claim in by_range.values().flatten() {
            let Some((pool, space)) = spaces.get_mut(&claim.place.range) else {
                continue;
            };
            if space.take_exact(*pool, claim.place.cidr).is_none() {
                blocked.push(*claim);
            }
        }
        for (_, space) in spaces.into_values() {
            let Changes { removed, added } = space.changes();
            self.changes.removed.extend(removed);
            self.changes.added.extend(added);
        }
        self.changes.removed.sort_unstable();
        self.changes.added.sort_unstable();
        self.name_obstacles(db, blocked, lost).await
    }

    /// Everything that wants addresses of a range.
    fn claims(&self) -> Vec<Claim> {
        let lines: HashMap<_, _> = self
            .reservations
            .iter()
            .map(|new| (new.id, new.line))
            .collect();
        let blocks = self.allocations.iter().flat_map(|new| &new.blocks);
        let blocks = blocks.map(|block| Claim {
            place: block.place,
            line: Some(block.line),
        });
        let reserved = self.reserved.iter().map(|reserved| Claim {
            place: reserved.place,
            line: lines.get(&reserved.reservation).copied(),
        });
        let children = self
            .world
            .ranges
            .values()
            .filter(|range| range.id < 0)
            .filter_map(|range| {
                Some(Claim {
                    place: Place {
                        range: range.parent?,
                        cidr: range.cidr,
                    },
                    line: self.range_lines.get(&range.id).copied(),
                })
            });
        let cooling = self.cooldowns.iter().map(|new| Claim {
            place: new.place,
            line: Some(new.line),
        });
        blocks
            .chain(reserved)
            .chain(children)
            .chain(cooling)
            .collect()
    }

    /// Finds what overlaps within the file, and leaves the first of each in the order of lines; answers the others.
    fn sweep(&mut self, claims: &mut Vec<Claim>) -> Vec<Claim> {
        let wanted: Vec<_> = claims
            .iter()
            .map(|claim| Wanted {
                space: (),
                cidr: claim.place.cidr,
                line: claim.line,
            })
            .collect();
        let mut lost = HashSet::new();
        for (later, before) in overlaps(&wanted) {
            lost.insert(later);
            let (Some(one), Some(other)) = (wanted.get(later), wanted.get(before)) else {
                continue;
            };
            let Some(line) = one.line else {
                continue;
            };
            let (cidr, theirs) = (one.cidr, other.cidr);
            match other.line {
                Some(before) => self.conflicts.between(
                    (line, before),
                    ConflictCode::OverlapInFile,
                    Some(cidr),
                    format!("{cidr} overlaps {theirs} on line {before}"),
                ),
                None => self.conflicts.add(
                    line,
                    ConflictCode::Overlap,
                    Some(cidr),
                    format!("{cidr} overlaps the reservation of {theirs}"),
                ),
            }
        }
        let (gone, left): (Vec<_>, Vec<_>) = claims
            .drain(..)
            .enumerate()
            .partition(|(place, _)| lost.contains(place));
        *claims = left.into_iter().map(|(_, claim)| claim).collect();
        gone.into_iter().map(|(_, claim)| claim).collect()
    }

    /// Says what has the addresses that could not be taken, or perhaps could not.
    async fn name_obstacles(
        &mut self,
        db: &mut Connection,
        blocked: Vec<Claim>,
        doubtful: Vec<Claim>,
    ) -> Result<()> {
        if blocked.is_empty() && doubtful.is_empty() {
            return Ok(());
        }
        let (first, rest) = blocked.split_at(blocked.len().min(self.conflicts.room()));
        let places: Vec<_> = first
            .iter()
            .chain(&doubtful)
            .map(|claim| claim.place)
            .collect();
        let found: HashMap<_, _> = find::obstacles(db, &places).await?.into_iter().collect();
        for (index, claim) in first.iter().chain(&doubtful).enumerate() {
            let cidr = claim.place.cidr;
            let Some(obstacle) = found.get(&index) else {
                if index >= first.len() {
                    continue;
                }
                return Err(Error::bug(format!(
                    "{cidr} is neither free nor in use: the free list was changed by hand; see ipam verify"
                )));
            };
            let pool = obstacle.pool.as_deref().unwrap_or_default();
            let detail = format!(
                "{cidr} is not free: {} of pool \"{pool}\" {}",
                obstacle.cidr,
                obstacle.whose()
            );
            self.conflicts.add(
                claim.line.unwrap_or_default(),
                ConflictCode::Overlap,
                Some(cidr),
                detail,
            );
        }
        for claim in rest {
            let detail = format!("{} is not free", claim.place.cidr);
            self.conflicts.add(
                claim.line.unwrap_or_default(),
                ConflictCode::Overlap,
                Some(claim.place.cidr),
                detail,
            );
        }
        Ok(())
    }
}
