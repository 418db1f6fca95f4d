//! VRFs, pools and VPCs of a file: each is new, or there already and the same, or a conflict.

use std::collections::HashSet;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        pool::{MAX_RANGES, Strategy},
        transfer::{ConflictCode, Record},
    },
    cidr::{Cidr, RESERVED_ADDRESSES},
    ids::{PoolId, VrfId},
    name::Name,
};
use uuid::Uuid;

use super::{
    super::{
        conflict::Conflicts,
        gather::{FilePool, FileRange, vrf_of},
        parse::Line,
        world::{Pool, Range, Vrf, World},
    },
    Check,
};
use crate::domain::pool::{
    range::check_range,
    rules::{check_bounds, check_policies},
};

/// Pools that every database is born with, under ids of its own.
const BORN: [&str; 2] = ["primary", "cgnat"];

impl Check {
    /// New VRFs.
    pub(in crate::domain::transfer) fn vrfs(&mut self, lines: Vec<Line>) {
        let mut ids: HashSet<Uuid> = self.world.vrfs.iter().map(|vrf| vrf.id.0).collect();
        for Line { line, record } in lines {
            let name = vrf_of(&record).to_owned();
            if let Some(is) = self
                .world
                .vrf(&name)
                .and_then(|place| self.world.vrfs.get(place))
            {
                let differences = differences(&record, &is.record, name == DEFAULT_VRF);
                self.same(line, 1, &format!("the VRF \"{name}\""), &differences);
                continue;
            }
            let id = record.id.map_or_else(VrfId::generate, VrfId);
            if !ids.insert(id.0) {
                self.conflicts
                    .add(line, ConflictCode::IdTaken, None, taken("VRF", id.0));
                continue;
            }
            self.world.add_vrf(Vrf {
                id,
                name,
                new: true,
                record,
            });
        }
    }

    /// New pools, and new ranges of pools. Parents come before their children, whatever the order of the file.
    pub(in crate::domain::transfer) fn pools(&mut self, pools: Vec<FilePool>) {
        let mut ids: HashSet<Uuid> = self.world.pools.iter().map(|pool| pool.id.0).collect();
        let names: HashSet<_> = pools.iter().map(|pool| key(&pool.record)).collect();
        let mut waiting = pools;
        loop {
            let before = waiting.len();
            let mut later = Vec::new();
            for pool in waiting {
                let (vrf, _) = key(&pool.record);
                let parent = pool
                    .record
                    .parent
                    .as_ref()
                    .map(|parent| (vrf, parent.to_string()));
                let ready = parent.is_none_or(|parent| {
                    let known = self
                        .world
                        .vrf(&parent.0)
                        .and_then(|vrf| self.world.pool_in(vrf, &parent.1));
                    known.is_some() || !names.contains(&parent) || self.refused.contains(&parent)
                });
                if ready {
                    self.pool(pool, &mut ids);
                } else {
                    later.push(pool);
                }
            }
            if later.is_empty() {
                return;
            }
            if later.len() == before {
                for pool in later {
                    let detail =
                        "its parents form a cycle; a pool is cut from one that is there before it";
                    self.conflicts
                        .add(pool.line, ConflictCode::BadValue, None, detail.to_owned());
                }
                return;
            }
            waiting = later;
        }
    }

    fn pool(&mut self, file: FilePool, ids: &mut HashSet<Uuid>) {
        let (vrf_name, name) = key(&file.record);
        let Some(vrf) = self.world.vrf(&vrf_name) else {
            self.unknown_vrf(file.line, &vrf_name, None);
            self.refused.insert((vrf_name, name));
            return;
        };
        let place = match self.world.pool_in(vrf, &name) {
            Some(place) => {
                let born = vrf_name == DEFAULT_VRF && BORN.contains(&name.as_str());
                let is = self
                    .world
                    .pools
                    .get(place)
                    .map(|pool| pool.record.clone())
                    .unwrap_or_default();
                let differences = differences(&file.record, &is, born);
                if !self.same(file.line, 0, &format!("the pool \"{name}\""), &differences) {
                    return;
                }
                place
            }
            None => match new_pool(&self.world, vrf, &file, &mut self.conflicts) {
                Some(pool) if !ids.insert(pool.id.0) => {
                    self.conflicts.add(
                        file.line,
                        ConflictCode::IdTaken,
                        None,
                        taken("pool", pool.id.0),
                    );
                    self.refused.insert((vrf_name, name));
                    return;
                }
                Some(pool) => {
                    self.world.add_pool(pool);
                    self.world.pools.len() - 1
                }
                None => {
                    self.refused.insert((vrf_name, name));
                    return;
                }
            },
        };
        let new = self.world.pools.get(place).is_some_and(|pool| pool.new);
        // Records that add no range, and whose pool is there.
        let mut unchanged = if new {
            0
        } else {
            file.records - file.ranges.len() as u64
        };
        let mut ranges = self
            .world
            .ranges
            .values()
            .filter(|range| range.pool == place)
            .count();
        for range in file.ranges {
            let FileRange { line, cidr, .. } = range;
            let there = self
                .world
                .range_of(place, cidr)
                .filter(|range| range.cidr == cidr);
            match there {
                Some(range) if range.id > 0 => unchanged += 1,
                Some(_) => self.conflicts.add(
                    line,
                    ConflictCode::Contradiction,
                    Some(cidr),
                    format!("{cidr} is a range of pool \"{name}\" twice in this file"),
                ),
                None => {
                    ranges += 1;
                    self.range(place, range);
                }
            }
        }
        if ranges > MAX_RANGES {
            let detail = format!(
                "a pool has at most {MAX_RANGES} ranges, with this file \"{name}\" would have {ranges}"
            );
            self.conflicts
                .add(file.line, ConflictCode::BadValue, None, detail);
        }
        self.unchanged += unchanged;
    }

    fn range(&mut self, place: usize, file: FileRange) {
        let FileRange { line, cidr, since } = file;
        let Some(pool) = self.world.pools.get(place).cloned() else {
            return;
        };
        let (_, longest) = pool.bounds();
        if let Err(error) = check_range(
            (&pool.name, pool.family, longest),
            cidr.prefix_length(),
            Some(cidr),
        ) {
            self.conflicts.add(
                line,
                ConflictCode::OutOfBounds,
                Some(cidr),
                error.to_string(),
            );
            return;
        }
        let id = self.world.new_range_id();
        let parent = match pool.parent {
            None => None,
            Some(parent) => match self.world.range_of(parent, cidr) {
                Some(range) => Some(range.id),
                None => {
                    let detail = format!(
                        "{cidr} lies in no range of pool \"{}\", from which those of \"{}\" are cut",
                        self.world.pool_name(parent),
                        pool.name
                    );
                    self.conflicts
                        .add(line, ConflictCode::OutsidePool, Some(cidr), detail);
                    return;
                }
            },
        };
        self.world.add_range(Range {
            id,
            pool: place,
            cidr,
            parent,
            since: since.map(|at| at.0),
        });
        self.range_lines.insert(id, line);
    }

    /// Counts what is there already, or says how it differs. Whether it is the same.
    pub(in crate::domain::transfer) fn same(
        &mut self,
        line: u64,
        records: u64,
        what: &str,
        differences: &[&str],
    ) -> bool {
        if differences.is_empty() {
            self.unchanged += records;
            return true;
        }
        let detail = format!(
            "{what} is there and differs in {}; an import changes nothing that is there: leave these out, or change it \
             before",
            differences.join(", ")
        );
        self.conflicts
            .add(line, ConflictCode::Different, None, detail);
        false
    }

    pub(in crate::domain::transfer) fn unknown_vrf(
        &mut self,
        line: u64,
        name: &str,
        cidr: Option<Cidr>,
    ) {
        let detail =
            format!("there is no VRF \"{name}\"; make it before, or with a record of kind vrf");
        self.conflicts
            .add(line, ConflictCode::UnknownVrf, cidr, detail);
    }
}

/// VRF and name of a pool's record.
fn key(record: &Record) -> (String, String) {
    (
        vrf_of(record).to_owned(),
        record.pool.clone().unwrap_or_default(),
    )
}

pub(in crate::domain::transfer) fn taken(what: &str, id: Uuid) -> String {
    format!("the id {id} belongs to another {what}; leave it out to get a new one")
}

/// What a record says otherwise than what is there. When, by whom and for whom something was made, and the range of a pool,
/// are no part of it; nor is the id of what every database is born with.
pub(in crate::domain::transfer) fn differences(
    record: &Record,
    is: &Record,
    born: bool,
) -> Vec<&'static str> {
    let record = Record {
        cidr: None,
        created_at: None,
        created_by: None,
        owner: None,
        claim: None,
        confirmed: None,
        implicit: None,
        id: record.id.filter(|_| !born),
        required_labels: record
            .required_labels
            .clone()
            .filter(|labels| !labels.is_empty()),
        ..record.clone()
    };
    record.differences(is)
}

/// A pool from its records, with everything that they leave out.
fn new_pool(world: &World, vrf: usize, file: &FilePool, conflicts: &mut Conflicts) -> Option<Pool> {
    let record = &file.record;
    let mut refuse = |code, detail: String| conflicts.add(file.line, code, None, detail);
    let name: Name = match record.pool.as_deref().unwrap_or_default().parse() {
        Ok(name) => name,
        Err(error) => {
            refuse(ConflictCode::BadValue, format!("pool: {error}"));
            return None;
        }
    };
    let parent = match &record.parent {
        None => None,
        Some(parent) => {
            let found = world.pool_in(vrf, parent.as_str());
            if found.is_none() {
                refuse(
                    ConflictCode::UnknownPool,
                    format!("there is no pool \"{parent}\" in the same VRF to be its parent"),
                );
                return None;
            }
            found
        }
    };
    let of_parent = parent
        .and_then(|parent| world.pools.get(parent))
        .map(|parent| parent.family);
    let of_range = file.ranges.first().map(|range| range.cidr.family());
    let Some(family) = record.family.or(of_range).or(of_parent) else {
        refuse(
            ConflictCode::BadValue,
            "give a cidr, or the family: ipv4 or ipv6".to_owned(),
        );
        return None;
    };
    if of_parent.is_some_and(|other| other != family) {
        refuse(
            ConflictCode::BadValue,
            "its parent is of the other address family".to_owned(),
        );
        return None;
    }
    let shortest = record.min_prefix_length.unwrap_or_default();
    let longest = record.max_prefix_length.unwrap_or(family.bits());
    let checked =
        check_bounds(family, shortest, longest, record.default_prefix_length).and_then(|()| {
            check_policies(
                record.reserved_addresses,
                record.release_cooldown_seconds,
                record.required_labels.as_ref(),
            )
        });
    if let Err(error) = checked {
        refuse(ConflictCode::BadValue, error.to_string());
        return None;
    }
    let id = record.id.map_or_else(PoolId::generate, PoolId);
    Some(Pool {
        id,
        vrf,
        name: name.into(),
        family,
        parent,
        new: true,
        record: Record {
            family: Some(family),
            min_prefix_length: Some(shortest),
            max_prefix_length: Some(longest),
            reserved_addresses: record.reserved_addresses.or(Some(RESERVED_ADDRESSES)),
            strategy: record.strategy.or(Some(Strategy::default())),
            ..record.clone()
        },
    })
}
