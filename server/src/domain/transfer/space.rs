//! Who takes which addresses: ranges, reservations and blocks of a file against each other and against what is there.
//!
//! Within the file a sweep in the order of addresses finds what overlaps, since of two CIDRs that overlap one contains the
//! other. Against the database the free list decides: what can't be taken from it is in use, and only then it is looked
//! up by what.

use std::collections::{BTreeMap, HashMap};

use ipam_shared::{api::transfer::ConflictCode, cidr::Cidr};

use super::check::{Check, ReservedBlock};
use crate::{
    db::{
        Connection, free,
        transfer::find::{self, Obstacle},
    },
    domain::plan::{self, Changes, FreeSpace, Place, RangeId},
    error::{Error, Result},
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
    /// New ranges without a parent overlap no other of their VRF, and lie in no reservation that was there before.
    pub(super) fn roots(&mut self) {
        let mut roots: Vec<_> = self
            .world
            .ranges
            .values()
            .filter(|range| range.parent.is_none())
            .filter_map(|range| {
                Some((
                    self.world.pools.get(range.pool)?.vrf,
                    range.cidr,
                    range.id,
                    range.pool,
                ))
            })
            .collect();
        roots.sort_unstable_by_key(|(vrf, cidr, id, _)| {
            (
                *vrf,
                cidr.family(),
                cidr.number(),
                cidr.prefix_length(),
                *id,
            )
        });
        let mut above: Option<(usize, Cidr, RangeId, usize)> = None;
        for root in roots {
            let Some(other) = above.filter(|other| other.0 == root.0 && other.1.contains(root.1))
            else {
                above = Some(root);
                continue;
            };
            // Of the two, the new one is in conflict, or the one that comes later in the file.
            let line = |id: RangeId| self.range_lines.get(&id).copied();
            let (one, two) = match (line(root.2), line(other.2)) {
                (Some(line), Some(before)) if line < before => (other, root),
                (None, _) => (other, root),
                _ => (root, other),
            };
            let Some(at) = line(one.2) else {
                continue;
            };
            let name = self.world.pool_name(two.3);
            let advice = "overlapping networks are a pool and its child: name the parent";
            match line(two.2) {
                Some(before) => self.conflicts.between(
                    (at, before),
                    ConflictCode::OverlapInFile,
                    Some(one.1),
                    format!(
                        "{} overlaps {} of pool \"{name}\", on line {before}; {advice}",
                        one.1, two.1
                    ),
                ),
                None => self.conflicts.add(
                    at,
                    ConflictCode::Overlap,
                    Some(one.1),
                    format!("{} overlaps {} of pool \"{name}\"; {advice}", one.1, two.1),
                ),
            }
        }
    }

    /// Where reservations take space: new ones, and those that are there in ranges that are new.
    pub(super) fn reserve(&mut self) {
        // Reservations don't overlap each other, wherever they are.
        let mut all: Vec<(usize, Cidr, Option<u64>)> = Vec::new();
        for stored in &self.world.reservations {
            if let Some(vrf) = self.world.vrfs.iter().position(|vrf| vrf.id == stored.vrf) {
                all.push((vrf, stored.cidr, None));
            }
        }
        all.extend(
            self.reservations
                .iter()
                .map(|new| (new.vrf, new.cidr, Some(new.line))),
        );
        all.sort_unstable_by_key(|(vrf, cidr, line)| {
            (
                *vrf,
                cidr.family(),
                cidr.number(),
                cidr.prefix_length(),
                *line,
            )
        });
        let mut above: Option<(usize, Cidr, Option<u64>)> = None;
        for one in all {
            let Some(other) = above.filter(|other| other.0 == one.0 && other.1.contains(one.1))
            else {
                above = Some(one);
                continue;
            };
            let (one, two) = match (one.2, other.2) {
                (None, _) => (other, one),
                (Some(line), Some(before)) if line < before => (other, one),
                _ => (one, other),
            };
            let Some(line) = one.2 else {
                continue;
            };
            // What one of them stands in the way of is said of the other.
            self.reservations.retain(|new| new.line != line);
            match two.2 {
                Some(before) => self.conflicts.between(
                    (line, before),
                    ConflictCode::OverlapInFile,
                    Some(one.1),
                    format!(
                        "{} overlaps the reservation of {} on line {before}",
                        one.1, two.1
                    ),
                ),
                None => {
                    let reason = self
                        .world
                        .reservations
                        .iter()
                        .find(|stored| stored.cidr == two.1);
                    let reason = reason
                        .and_then(|stored| stored.record.reason.clone())
                        .unwrap_or_default();
                    let detail =
                        format!("{} overlaps the reservation of {} ({reason})", one.1, two.1);
                    self.conflicts
                        .add(line, ConflictCode::Overlap, Some(one.1), detail);
                }
            }
        }

        let mut reserved = Vec::new();
        for new in &self.reservations {
            let since = new.record.created_at.map(|at| at.0);
            let block = |place| ReservedBlock {
                place,
                reservation: new.id,
                since,
            };
            match self.world.containing(new.vrf, new.cidr).next() {
                Some(range) => reserved.push(block(Place {
                    range: range.id,
                    cidr: new.cidr,
                })),
                None => reserved.extend(self.world.roots_in(new.vrf, new.cidr).map(|range| {
                    block(Place {
                        range: range.id,
                        cidr: range.cidr,
                    })
                })),
            }
        }
        let new_roots: Vec<_> = self
            .world
            .ranges
            .values()
            .filter(|range| range.id < 0 && range.parent.is_none())
            .copied()
            .collect();
        let mut refused = Vec::new();
        for stored in &self.world.reservations {
            let (Some(id), false) = (stored.id, new_roots.is_empty()) else {
                continue;
            };
            let Some(vrf) = self.world.vrfs.iter().position(|vrf| vrf.id == stored.vrf) else {
                continue;
            };
            let of_vrf = |range: &RangeId| {
                let range = self.world.ranges.get(range);
                range
                    .and_then(|range| self.world.pools.get(range.pool))
                    .is_some_and(|pool| pool.vrf == vrf)
            };
            for root in new_roots.iter().filter(|root| of_vrf(&root.id)) {
                if stored.cidr.contains(root.cidr) {
                    let reason = stored.record.reason.clone().unwrap_or_default();
                    refused.push((root.id, root.cidr, stored.cidr, reason));
                } else if root.cidr.contains(stored.cidr)
                    && let Some(range) = self.world.containing(vrf, stored.cidr).next()
                {
                    let place = Place {
                        range: range.id,
                        cidr: stored.cidr,
                    };
                    let since = stored.record.created_at.map(|at| at.0);
                    reserved.push(ReservedBlock {
                        place,
                        reservation: id,
                        since,
                    });
                }
            }
        }
        self.reserved.extend(reserved);
        for (id, cidr, other, reason) in refused {
            let line = self.range_lines.get(&id).copied().unwrap_or_default();
            let detail = format!("{cidr} lies in the reservation of {other} ({reason})");
            self.conflicts
                .add(line, ConflictCode::Overlap, Some(cidr), detail);
        }
    }

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
            let mut space = FreeSpace::new([plan::Range {
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
                            .flat_map(|range| plan::ancestors(claim.place, range))
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
        blocks.chain(reserved).chain(children).collect()
    }

    /// Finds what overlaps within the file, and leaves the first of each in the order of lines; answers the others.
    fn sweep(&mut self, claims: &mut Vec<Claim>) -> Vec<Claim> {
        claims.sort_unstable_by_key(|claim| {
            (
                claim.place.cidr.number(),
                claim.place.cidr.prefix_length(),
                claim.line,
            )
        });
        let mut kept: Vec<Claim> = Vec::with_capacity(claims.len());
        // What contains the address where the sweep is, the largest first.
        let mut above: Vec<Claim> = Vec::new();
        let mut lost: HashMap<(Option<u64>, Place), Claim> = HashMap::new();
        for claim in claims.drain(..) {
            while above
                .last()
                .is_some_and(|last| !last.place.cidr.contains(claim.place.cidr))
            {
                above.pop();
            }
            if let Some(other) = above.last() {
                let (one, two) = if claim.line < other.line {
                    (*other, claim)
                } else {
                    (claim, *other)
                };
                lost.entry((one.line, one.place)).or_insert(two);
            }
            above.push(claim);
            kept.push(claim);
        }
        for ((line, place), other) in &lost {
            let Some(line) = *line else {
                continue;
            };
            match other.line {
                Some(before) => self.conflicts.between(
                    (line, before),
                    ConflictCode::OverlapInFile,
                    Some(place.cidr),
                    format!(
                        "{} overlaps {} on line {before}",
                        place.cidr, other.place.cidr
                    ),
                ),
                None => self.conflicts.add(
                    line,
                    ConflictCode::Overlap,
                    Some(place.cidr),
                    format!(
                        "{} overlaps the reservation of {}",
                        place.cidr, other.place.cidr
                    ),
                ),
            }
        }
        let is_lost = |claim: &Claim| lost.contains_key(&(claim.line, claim.place));
        let (gone, left) = kept.into_iter().partition(is_lost);
        *claims = left;
        gone
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
        let found = find::obstacles(db, &places)
            .await?
            .into_iter()
            .map(|obstacle| (obstacle.place, obstacle));
        let found: HashMap<usize, Obstacle> = found.collect();
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
            let detail = format!(
                "{cidr} is not free: {} of pool \"{}\" {}",
                obstacle.cidr,
                obstacle.pool,
                owner(obstacle)
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

/// Whose it is, behind "10.0.0.0/24 of pool ...".
fn owner(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle {
            vpc: Some(vpc),
            name: Some(name),
            ..
        } => format!("belongs to the allocation \"{vpc}/{name}\""),
        Obstacle {
            vpc: Some(vpc),
            allocation,
            ..
        } => {
            let id = allocation.map(|id| id.to_string()).unwrap_or_default();
            format!("belongs to the allocation {id} of VPC \"{vpc}\"")
        }
        Obstacle {
            reserved: Some(reason),
            ..
        } => format!("is reserved ({reason})"),
        Obstacle {
            child: Some(child), ..
        } => format!("is a range of the pool \"{child}\""),
        Obstacle {
            reason: Some(reason),
            ..
        } if reason == "cooldown" => "was released a short while ago and cools down".to_owned(),
        Obstacle { reason, .. } => format!(
            "is out of circulation ({})",
            reason.as_deref().unwrap_or_default()
        ),
    }
}
