//! From what a file says to what would be written, with everything that stands in the way. Reads, and writes nothing.

pub(super) mod config;
pub(super) mod past;

use std::collections::{HashMap, HashSet};

use ipam_shared::{
    api::transfer::{ConflictCode, Imported, Record},
    cidr::Cidr,
    ids::ReservationId,
};
use uuid::Uuid;

use self::{
    config::taken,
    past::{NewCooldown, NewPast},
};
use super::{
    conflict::Conflicts,
    gather::{FileAllocation, vrf_of},
    parse::Line,
    world::World,
};
use crate::{
    db::{
        Connection,
        transfer::{
            find,
            read::{self, StoredAllocation},
        },
    },
    error::Result,
    network::{Changes, Place, RangeId},
};

/// Allocations that are read at once.
pub(in crate::domain::transfer) const CHUNK: usize = 5_000;

/// A reservation to be made.
#[derive(Debug)]
pub(in crate::domain::transfer) struct NewReservation {
    pub(in crate::domain::transfer) line: u64,
    pub(in crate::domain::transfer) id: ReservationId,
    pub(in crate::domain::transfer) vrf: usize,
    pub(in crate::domain::transfer) cidr: Cidr,
    pub(in crate::domain::transfer) record: Record,
}

/// A block that a reservation, new or not, takes from a pool.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain::transfer) struct ReservedBlock {
    pub(in crate::domain::transfer) place: Place,
    pub(in crate::domain::transfer) reservation: ReservationId,
    pub(in crate::domain::transfer) since: Option<time::OffsetDateTime>,
}

/// A block to be made.
#[derive(Debug)]
pub(in crate::domain::transfer) struct NewBlock {
    pub(in crate::domain::transfer) line: u64,
    pub(in crate::domain::transfer) place: Place,
    /// Key of the member, and its place in the profile.
    pub(in crate::domain::transfer) member: Option<(i32, i16)>,
    pub(in crate::domain::transfer) role: String,
    pub(in crate::domain::transfer) offset: i16,
    pub(in crate::domain::transfer) shortest: u8,
    pub(in crate::domain::transfer) longest: u8,
    pub(in crate::domain::transfer) since: Option<time::OffsetDateTime>,
}

/// An allocation to be made.
#[derive(Debug)]
pub(in crate::domain::transfer) struct NewAllocation {
    pub(in crate::domain::transfer) line: u64,
    pub(in crate::domain::transfer) id: Uuid,
    pub(in crate::domain::transfer) record: Record,
    /// Name of the VPC in lower case.
    pub(in crate::domain::transfer) vpc: String,
    pub(in crate::domain::transfer) profile: Option<usize>,
    pub(in crate::domain::transfer) prefix_length: u8,
    pub(in crate::domain::transfer) request: Option<serde_json::Value>,
    /// In the order of the profile.
    pub(in crate::domain::transfer) blocks: Vec<NewBlock>,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(in crate::domain::transfer) struct Check {
    pub(in crate::domain::transfer) world: World,
    pub(in crate::domain::transfer) conflicts: Conflicts,
    pub(in crate::domain::transfer) unchanged: u64,
    /// Pools whose records are in conflict, by VRF and name: what refers to them needs no conflict of its own.
    pub(in crate::domain::transfer) refused: HashSet<(String, String)>,
    /// Where new ranges come from.
    pub(in crate::domain::transfer) range_lines: HashMap<RangeId, u64>,
    pub(in crate::domain::transfer) reservations: Vec<NewReservation>,
    pub(in crate::domain::transfer) reserved: Vec<ReservedBlock>,
    pub(in crate::domain::transfer) allocations: Vec<NewAllocation>,
    pub(in crate::domain::transfer) cooldowns: Vec<NewCooldown>,
    pub(in crate::domain::transfer) past: Vec<NewPast>,
    pub(in crate::domain::transfer) changes: Changes,
}

impl Check {
    /// How much would be made.
    pub(in crate::domain::transfer) fn counts(&self) -> Imported {
        let count = |count: usize| count as u64;
        Imported {
            vrfs: count(self.world.vrfs.iter().filter(|vrf| vrf.new).count()),
            pools: count(self.world.pools.iter().filter(|pool| pool.new).count()),
            ranges: count(
                self.world
                    .ranges
                    .values()
                    .filter(|range| range.id < 0)
                    .count(),
            ),
            profiles: count(
                self.world
                    .profiles
                    .iter()
                    .filter(|profile| profile.new)
                    .count(),
            ),
            vpcs: count(self.world.vpcs.values().filter(|vpc| vpc.new).count()),
            allocations: count(self.allocations.len()),
            blocks: self
                .allocations
                .iter()
                .map(|allocation| count(allocation.blocks.len()))
                .sum(),
            reservations: count(self.reservations.len()),
            cooldowns: count(self.cooldowns.len()),
            past_blocks: count(self.past.len()),
        }
    }

    /// New reservations.
    pub(in crate::domain::transfer) fn reservations(&mut self, lines: Vec<Line>) {
        let mut ids: HashSet<_> = self
            .world
            .reservations
            .iter()
            .filter_map(|stored| stored.id)
            .collect();
        let there: HashMap<_, _> = self
            .world
            .reservations
            .iter()
            .enumerate()
            .map(|(place, stored)| ((stored.vrf, stored.cidr), place))
            .collect();
        for Line { line, record } in lines {
            let Some(cidr) = record.cidr else {
                continue;
            };
            let Some(vrf) = self.world.vrf(vrf_of(&record)) else {
                let name = vrf_of(&record).to_owned();
                self.unknown_vrf(line, &name, Some(cidr));
                continue;
            };
            let key = self.world.vrfs.get(vrf).map(|vrf| (vrf.id, cidr));
            let stored = key.and_then(|key| self.world.reservations.get(*there.get(&key)?));
            if let Some(stored) = stored {
                let asked = Record {
                    created_at: None,
                    created_by: None,
                    owner: None,
                    claim: None,
                    confirmed: None,
                    ..record
                };
                let differences = asked.differences(&stored.record);
                self.same(line, 1, &format!("a reservation of {cidr}"), &differences);
                continue;
            }
            let id = record
                .id
                .map_or_else(ReservationId::generate, ReservationId);
            if !ids.insert(id) {
                self.conflicts.add(
                    line,
                    ConflictCode::IdTaken,
                    Some(cidr),
                    taken("reservation", id.0),
                );
                continue;
            }
            self.reservations.push(NewReservation {
                line,
                id,
                vrf,
                cidr,
                record,
            });
        }
    }

    /// New allocations.
    pub(in crate::domain::transfer) async fn allocations(
        &mut self,
        db: &mut Connection,
        files: Vec<FileAllocation>,
    ) -> Result<()> {
        let resolved = self.resolve(files);
        let there = self.there(db, &resolved).await?;
        let mut ids = HashMap::new();
        let mut numbers = HashMap::new();
        let mut names = HashMap::new();
        for (new, there) in resolved.into_iter().zip(there) {
            if let Some(there) = there {
                match there {
                    There::Same => self.unchanged += new.blocks.len() as u64,
                    There::Conflict(code, detail) => {
                        let cidr = new.blocks.first().map(|block| block.place.cidr);
                        self.conflicts.add(new.line, code, cidr, detail);
                    }
                }
                continue;
            }
            let mut twice = None;
            if let Some(other) = ids.insert(new.id, new.line) {
                twice = Some((other, ConflictCode::IdTaken, format!("id {}", new.id)));
            }
            if let Some(number) = new.record.number
                && let Some(other) = numbers.insert(number, new.line)
            {
                twice = Some((other, ConflictCode::IdTaken, format!("number {number}")));
            }
            if let Some(name) = &new.record.name
                && let Some(other) = names.insert((new.vpc.clone(), name.clone()), new.line)
            {
                twice = Some((
                    other,
                    ConflictCode::NameTaken,
                    format!("name \"{}/{name}\"", new.vpc),
                ));
            }
            match twice {
                Some((other, code, what)) => {
                    let detail =
                        format!("another allocation of the file, on line {other}, has the {what}");
                    self.conflicts
                        .between((new.line, other), code, None, detail);
                }
                None => self.allocations.push(new),
            }
        }
        self.forget_unused_members();
        Ok(())
    }

    /// Leaves out new members that were replaced and that no new block was cut by: nobody needs them.
    fn forget_unused_members(&mut self) {
        let blocks = self.allocations.iter().flat_map(|new| &new.blocks);
        let used: HashSet<i32> = blocks
            .filter_map(|block| block.member.map(|(id, _)| id))
            .collect();
        let World {
            members, profiles, ..
        } = &mut self.world;
        let before = members.len();
        let mut of_new = 0;
        members.retain(|member| {
            let keep = member.id > 0 || member.retired.is_none() || used.contains(&member.id);
            let is_new = profiles.get(member.profile).is_some_and(|it| it.new);
            of_new += usize::from(!keep && is_new);
            keep
        });
        self.unchanged += (before - members.len() - of_new) as u64;
    }

    /// For each allocation, what is there already that has its id, its number, its name or its first block.
    async fn there(
        &self,
        db: &mut Connection,
        new: &[NewAllocation],
    ) -> Result<Vec<Option<There>>> {
        let mut found: Vec<Option<Uuid>> = vec![None; new.len()];
        let mut names = (Vec::new(), Vec::new(), Vec::new());
        let mut firsts = (Vec::new(), Vec::new());
        for (place, new) in new.iter().enumerate() {
            let vpc = self.world.vpcs.get(&new.vpc).filter(|vpc| !vpc.new);
            match (&new.record.name, vpc, new.blocks.first()) {
                (Some(name), Some(vpc), _) => {
                    names.0.push(vpc.id.0);
                    names.1.push(name.to_string());
                    names.2.push(place);
                }
                (None, Some(_), Some(block)) if block.place.range > 0 => {
                    firsts.0.push(block.place);
                    firsts.1.push(place);
                }
                _ => {}
            }
        }
        for (index, id) in find::owners(db, &firsts.0).await? {
            if let Some(slot) = firsts.1.get(index).and_then(|place| found.get_mut(*place)) {
                *slot = Some(id.0);
            }
        }
        // Found by its block alone it may be somebody else's, which is then an overlap.
        let by_block: HashSet<_> = found.iter().flatten().copied().collect();
        for (index, id) in find::names(db, &names.0, &names.1).await? {
            if let Some(slot) = names.2.get(index).and_then(|place| found.get_mut(*place)) {
                *slot = Some(id.0);
            }
        }
        let given: Vec<_> = new.iter().filter_map(|new| new.record.id).collect();
        let taken: HashSet<_> = find::allocation_ids(db, &given)
            .await?
            .into_iter()
            .collect();
        for (slot, new) in found.iter_mut().zip(new) {
            if let Some(id) = new.record.id.filter(|id| taken.contains(id)) {
                *slot = Some(id);
            }
        }
        let given: Vec<_> = new.iter().filter_map(|new| new.record.number).collect();
        let numbers: HashMap<_, _> = find::numbers(db, &given).await?.into_iter().collect();

        let ids: Vec<_> = found
            .iter()
            .flatten()
            .map(|id| ipam_shared::ids::AllocationId(*id))
            .collect();
        let mut stored = HashMap::new();
        for chunk in ids.chunks(CHUNK) {
            let read = read::allocations(db, chunk).await?;
            stored.extend(read.into_iter().map(|stored| (stored.id.0, stored)));
        }
        Ok(new
            .iter()
            .zip(found)
            .map(|(new, found)| {
                let is = found.and_then(|id| stored.get(&id));
                let number = new.record.number.and_then(|number| numbers.get(&number));
                match is {
                    Some(is) => {
                        let differences = self.compare(new, is);
                        if differences.is_empty() {
                            return Some(There::Same);
                        }
                        // By its block alone nothing says that this one is meant.
                        if by_block.contains(&is.id.0) && new.record.name.is_none() && new.record.id != Some(is.id.0) {
                            return None;
                        }
                        let code = match &new.record.id {
                            Some(id) if *id == is.id.0 => ConflictCode::IdTaken,
                            _ => ConflictCode::NameTaken,
                        };
                        Some(There::Conflict(code, different(is, &differences)))
                    }
                    None => number.map(|owner| {
                        let detail = format!(
                            "the number belongs to the allocation {owner}; leave it out to get a new one"
                        );
                        There::Conflict(ConflictCode::IdTaken, detail)
                    }),
                }
            })
            .collect())
    }

    /// In what an allocation that is there differs from the file.
    fn compare(&self, new: &NewAllocation, is: &StoredAllocation) -> Vec<&'static str> {
        let mut differences = Vec::new();
        if is
            .record
            .vpc
            .as_ref()
            .map(|vpc| vpc.as_str().to_lowercase())
            .as_ref()
            != Some(&new.vpc)
        {
            differences.push("vpc");
        }
        let mut ours: Vec<_> = new
            .blocks
            .iter()
            .map(|block| (block.place, block.role.as_str()))
            .collect();
        let mut theirs: Vec<_> = is
            .blocks
            .iter()
            .filter_map(|block| {
                let place = Place {
                    range: block.range,
                    cidr: block.record.cidr?,
                };
                Some((place, block.record.role.as_deref().unwrap_or_default()))
            })
            .collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        if ours != theirs {
            differences.push("blocks");
        }
        let asked = Record {
            vrf: None,
            vpc: None,
            cidr: None,
            allocation: None,
            created_at: None,
            created_by: None,
            owner: None,
            claim: None,
            confirmed: None,
            ..new.record.clone()
        };
        differences.extend(asked.differences(&is.record));
        // Without a name it is another one than one that has a name.
        if new.record.name.is_none() && new.record.id.is_none() && is.record.name.is_some() {
            differences.push("name");
        }
        differences
    }
}

/// What is there already.
enum There {
    /// Exactly what the file says.
    Same,
    /// Something else.
    Conflict(ConflictCode, String),
}

fn different(is: &StoredAllocation, differences: &[&str]) -> String {
    let vpc = is
        .record
        .vpc
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let what = match &is.record.name {
        Some(name) => format!("the allocation \"{vpc}/{name}\" ({})", is.id),
        None => format!("the allocation {} of VPC \"{vpc}\"", is.id),
    };
    let cidrs: Vec<_> = is
        .blocks
        .iter()
        .filter_map(|block| Some(block.record.cidr?.to_string()))
        .collect();
    format!(
        "{what} is there with {} and differs in {}; release or change it, or take another name or id",
        cidrs.join(" and "),
        differences.join(", ")
    )
}
