//! Where ranges and reservations lie: ranges without a parent side by side in their VRF, and reservations where they take
//! space from ranges. Looks at the file and the world.

use std::collections::HashSet;

use ipam_shared::{api::transfer::ConflictCode, cidr::Cidr};

use super::{
    check::{Check, ReservedBlock},
    overlap::{Wanted, overlaps},
};

use crate::network::{Place, RangeId};

impl Check {
    /// New ranges without a parent overlap no other of their VRF, and lie in no reservation that was there before.
    pub(super) fn roots(&mut self) {
        let roots: Vec<_> = self
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
        // A range that is there has no line.
        let line = |id: RangeId| self.range_lines.get(&id).copied();
        let wanted: Vec<_> = roots
            .iter()
            .map(|(vrf, cidr, id, _)| Wanted {
                space: *vrf,
                cidr: *cidr,
                line: line(*id),
            })
            .collect();
        for (later, before) in overlaps(&wanted) {
            let (Some(one), Some(two)) = (roots.get(later), roots.get(before)) else {
                continue;
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
        let wanted: Vec<_> = all
            .iter()
            .map(|(vrf, cidr, line)| Wanted {
                space: *vrf,
                cidr: *cidr,
                line: *line,
            })
            .collect();
        let mut lost = HashSet::new();
        for (later, before) in overlaps(&wanted) {
            let (Some(one), Some(two)) = (all.get(later), all.get(before)) else {
                continue;
            };
            let Some(line) = one.2 else {
                continue;
            };
            // What one of them stands in the way of is said of the other.
            lost.insert(line);
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

        self.reservations.retain(|new| !lost.contains(&new.line));

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
}
