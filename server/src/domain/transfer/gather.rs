//! From records to things: ranges to pools, members to profiles, blocks to allocations. Looks at the file alone.

use std::collections::HashMap;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{At, ConflictCode, Kind, Record},
    },
    cidr::Cidr,
};

use super::{conflict::Conflicts, parse::Line};

/// What a file says, thing by thing. The record of a thing has what any of its records said.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) vrfs: Vec<Line>,
    pub(super) pools: Vec<FilePool>,
    pub(super) profiles: Vec<FileProfile>,
    pub(super) vpcs: Vec<Line>,
    pub(super) reservations: Vec<Line>,
    pub(super) allocations: Vec<FileAllocation>,
    pub(super) cooldowns: Vec<Line>,
    pub(super) past: Vec<Line>,
}

/// A pool, with its ranges.
#[derive(Debug)]
pub(super) struct FilePool {
    pub(super) line: u64,
    pub(super) record: Record,
    pub(super) ranges: Vec<FileRange>,
    /// How many records it has.
    pub(super) records: u64,
}

/// A range of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRange {
    pub(super) line: u64,
    pub(super) cidr: Cidr,
    /// Since when it is cut from the parent.
    pub(super) since: Option<At>,
}

/// A profile, with its members.
#[derive(Debug)]
pub(super) struct FileProfile {
    pub(super) line: u64,
    pub(super) record: Record,
    pub(super) members: Vec<Line>,
}

/// An allocation, with its blocks.
#[derive(Debug)]
pub(super) struct FileAllocation {
    pub(super) line: u64,
    pub(super) record: Record,
    pub(super) blocks: Vec<FileBlock>,
}

/// A block.
#[derive(Clone, Debug)]
pub(super) struct FileBlock {
    pub(super) line: u64,
    pub(super) cidr: Cidr,
    pub(super) pool: Option<String>,
    pub(super) role: Option<String>,
    pub(super) since: Option<At>,
    /// The rules that applied when it was cut: offset, shortest and longest prefix.
    pub(super) rules: Option<(i16, u8, u8)>,
    /// When the member of the profile that it was cut by was replaced.
    pub(super) retired: Option<At>,
}

/// What makes several records one thing.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Vrf(String),
    Pool(String, String),
    Profile(String),
    Vpc(String),
    Named(String, String),
    Keyed(String, String),
    Id(uuid::Uuid),
}

/// Takes over what a thing does not say yet; what it says otherwise is a contradiction.
macro_rules! merge {
    ($into:expr, $from:expr, $first:expr, $line:expr, $conflicts:expr; $($field:ident)+) => {$(
        match (&$into.$field, $from.$field.take()) {
            (_, None) => {}
            (None, found) => $into.$field = found,
            (Some(is), Some(found)) if *is == found => {}
            (Some(_), Some(_)) => $conflicts.between(
                ($line, $first),
                ConflictCode::Contradiction,
                $from.cidr,
                format!(
                    "{} is not what line {} says of the same thing; say the same, or say it once",
                    stringify!($field),
                    $first
                ),
            ),
        }
    )+};
}

/// The VRF that a record means.
pub(super) fn vrf_of(record: &Record) -> &str {
    record.vrf.as_ref().map_or(DEFAULT_VRF, |vrf| vrf.as_str())
}

/// The VPC of a record, without case.
pub(super) fn vpc_of(record: &Record) -> String {
    record
        .vpc
        .as_ref()
        .map(|vpc| vpc.as_str().to_lowercase())
        .unwrap_or_default()
}

/// Puts together what belongs together.
pub(super) fn gather(lines: Vec<Line>, conflicts: &mut Conflicts) -> File {
    let mut file = File::default();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for Line { line, record } in lines {
        match record.kind {
            Kind::Vrf => {
                let key = Key::Vrf(vrf_of(&record).to_owned());
                once(
                    &mut file.vrfs,
                    &mut places,
                    key,
                    Line { line, record },
                    conflicts,
                );
            }
            Kind::Vpc => {
                let key = Key::Vpc(vpc_of(&record));
                once(
                    &mut file.vpcs,
                    &mut places,
                    key,
                    Line { line, record },
                    conflicts,
                );
            }
            Kind::Reservation => file.reservations.push(Line { line, record }),
            Kind::Cooldown => file.cooldowns.push(Line { line, record }),
            Kind::PastBlock => file.past.push(Line { line, record }),
            Kind::Pool => pool(&mut file.pools, &mut places, line, record, conflicts),
            Kind::ProfileMember => {
                profile(&mut file.profiles, &mut places, line, record, conflicts)
            }
            Kind::Allocation => {
                allocation(&mut file.allocations, &mut places, line, record, conflicts)
            }
        }
    }
    file
}

/// A thing with one record.
fn once(
    things: &mut Vec<Line>,
    places: &mut HashMap<Key, usize>,
    key: Key,
    line: Line,
    conflicts: &mut Conflicts,
) {
    if let Some(place) = places.get(&key) {
        let first = things.get(*place).map_or(0, |first| first.line);
        conflicts.between(
            (line.line, first),
            ConflictCode::Contradiction,
            None,
            format!(
                "the same {} is on line {first} already",
                line.record.kind.as_str()
            ),
        );
        return;
    }
    places.insert(key, things.len());
    things.push(line);
}

fn pool(
    pools: &mut Vec<FilePool>,
    places: &mut HashMap<Key, usize>,
    line: u64,
    mut record: Record,
    conflicts: &mut Conflicts,
) {
    let since = record.since.take();
    let range = record.cidr.map(|cidr| FileRange { line, cidr, since });
    let name = record.pool.clone().unwrap_or_default();
    let key = Key::Pool(vrf_of(&record).to_owned(), name);
    let found = places.get(&key).and_then(|place| pools.get_mut(*place));
    let Some(pool) = found else {
        places.insert(key, pools.len());
        pools.push(FilePool {
            line,
            record,
            ranges: range.into_iter().collect(),
            records: 1,
        });
        return;
    };
    let head = &mut pool.record;
    merge!(head, record, pool.line, line, conflicts; description labels parent family min_prefix_length
        max_prefix_length default_prefix_length reserved_addresses strategy release_cooldown_seconds required_labels id
        created_at created_by owner claim confirmed);
    pool.records += 1;
    pool.ranges.extend(range);
}

fn profile(
    profiles: &mut Vec<FileProfile>,
    places: &mut HashMap<Key, usize>,
    line: u64,
    mut record: Record,
    conflicts: &mut Conflicts,
) {
    let name = record
        .profile
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let member = Line {
        line,
        record: record.clone(),
    };
    let key = Key::Profile(name);
    let Some(profile) = places.get(&key).and_then(|place| profiles.get_mut(*place)) else {
        places.insert(key, profiles.len());
        profiles.push(FileProfile {
            line,
            record,
            members: vec![member],
        });
        return;
    };
    let head = &mut profile.record;
    merge!(head, record, profile.line, line, conflicts; description id created_at created_by owner claim
        confirmed);
    profile.members.push(member);
}

fn allocation(
    allocations: &mut Vec<FileAllocation>,
    places: &mut HashMap<Key, usize>,
    line: u64,
    mut record: Record,
    conflicts: &mut Conflicts,
) {
    let Some(cidr) = record.cidr else {
        return;
    };
    let block = FileBlock {
        line,
        cidr,
        pool: record.pool.take(),
        role: record.role.take(),
        since: record.since.take(),
        retired: record.retired_at.take(),
        rules: match (
            record.min_prefix_length.take(),
            record.max_prefix_length.take(),
            record.size_offset.take(),
        ) {
            (Some(shortest), Some(longest), offset) => {
                Some((offset.unwrap_or_default(), shortest, longest))
            }
            (None, None, None) => None,
            _ => {
                conflicts.add(
                    line,
                    ConflictCode::BadValue,
                    Some(cidr),
                    "the rules that a block was cut by are min_prefix_length and max_prefix_length together, with \
                     size_offset if it is not 0; leave all three empty to take those of the pool and the profile"
                        .to_owned(),
                );
                None
            }
        },
    };
    let vpc = vpc_of(&record);
    let key = match (&record.allocation, &record.name, record.id) {
        (Some(key), ..) => Some(Key::Keyed(vpc, key.clone())),
        (None, Some(name), _) => Some(Key::Named(vpc, name.to_string())),
        (None, None, Some(id)) => Some(Key::Id(id)),
        (None, None, None) => None,
    };
    let found = key.as_ref().and_then(|key| places.get(key));
    if let Some(allocation) = found.and_then(|place| allocations.get_mut(*place)) {
        let head = &mut allocation.record;
        merge!(head, record, allocation.line, line, conflicts; vrf name profile description labels
            deletion_protection requested_hosts requested_prefix_length requested_cidr requested_pools
            requested_pool_selector exclude_cidrs id number created_by created_at owner claim confirmed);
        allocation.blocks.push(block);
        return;
    }
    if let Some(key) = key {
        places.insert(key, allocations.len());
    }
    allocations.push(FileAllocation {
        line,
        record,
        blocks: vec![block],
    });
}
