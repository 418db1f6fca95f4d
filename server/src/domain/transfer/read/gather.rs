//! From records to things: ranges to pools, members to profiles, blocks to allocations. Looks at the file alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{At, ConflictCode, Kind, Record},
    },
    cidr::Cidr,
    name::Name,
};

use super::parse::Line;
use crate::domain::transfer::findings::{Findings, Problem};

/// What a file says, thing by thing.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) vrfs: Vec<Line>,
    pub(crate) pools: Vec<Thing<FileRange>>,
    pub(crate) profiles: Vec<Thing<Line>>,
    pub(crate) vpcs: Vec<Line>,
    pub(crate) reservations: Vec<Line>,
    pub(crate) allocations: Vec<Thing<FileBlock>>,
    pub(crate) cooldowns: Vec<Line>,
    pub(crate) past: Vec<Line>,
}

/// Something that may have several records: a pool, a profile or an allocation.
#[derive(Debug)]
pub(crate) struct Thing<P> {
    /// Of its first record.
    pub(crate) line: u64,
    /// What any of its records said of all of it.
    pub(crate) record: Record,
    /// What each of its records said of one part.
    pub(crate) parts: Vec<P>,
}

/// What a record of a pool says of a range, if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRange {
    pub(crate) line: u64,
    pub(crate) cidr: Option<Cidr>,
    /// Since when it is cut from the parent.
    pub(crate) since: Option<At>,
}

/// A block.
#[derive(Clone, Debug)]
pub(crate) struct FileBlock {
    pub(crate) line: u64,
    pub(crate) cidr: Cidr,
    pub(crate) pool: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) since: Option<At>,
    /// The rules that applied when it was cut: offset, shortest and longest prefix.
    pub(crate) rules: Option<(i16, u8, u8)>,
    /// When the member of the profile that it was cut by was replaced.
    pub(crate) retired: Option<At>,
}

/// A VPC that a file names.
#[derive(Clone, Debug)]
pub(crate) struct NamedVpc {
    /// Where it is named first.
    pub(crate) line: u64,
    /// As it is written there.
    pub(crate) name: Name,
    /// The VRF that is first said of it.
    pub(crate) vrf: Option<Name>,
}

impl File {
    /// Whether it is a whole plan, as an export is: it says under which id the VRF `default` is known.
    pub(crate) fn is_whole(&self) -> bool {
        self.vrfs
            .iter()
            .any(|line| vrf_of(&line.record) == DEFAULT_VRF && line.record.id.is_some())
    }

    /// The VPCs that it names, each once.
    pub(crate) fn vpc_names(&self) -> Vec<NamedVpc> {
        let mut names: BTreeMap<String, NamedVpc> = BTreeMap::new();
        let vpcs = self.vpcs.iter().map(|line| (line.line, &line.record));
        let allocations = self.allocations.iter().map(|it| (it.line, &it.record));
        for (line, record) in vpcs.chain(allocations) {
            let (Some(name), vrf) = (record.vpc.clone(), record.vrf.clone()) else {
                continue;
            };
            let known = names.entry(vpc_of(record)).or_insert(NamedVpc {
                line,
                name,
                vrf: None,
            });
            known.vrf = known.vrf.take().or(vrf);
        }
        names.into_values().collect()
    }

    /// The VRFs that it names, for whatever.
    pub(crate) fn vrf_names(&self) -> HashSet<String> {
        let lines = [&self.vrfs, &self.vpcs, &self.reservations, &self.cooldowns];
        let records = lines.into_iter().flatten().map(|line| &line.record);
        let pools = self.pools.iter().map(|it| &it.record);
        let allocations = self.allocations.iter().map(|it| &it.record);
        let records = records.chain(pools).chain(allocations);
        let blocks = self.allocations.iter().flat_map(|it| &it.parts);
        let of_blocks = blocks.filter_map(|block| block.pool.as_deref()?.split_once('/'));
        records
            .map(vrf_of)
            .chain(of_blocks.map(|(vrf, _)| vrf))
            .chain([DEFAULT_VRF])
            .map(str::to_owned)
            .collect()
    }
}

/// The VRF that a record means.
pub(crate) fn vrf_of(record: &Record) -> &str {
    record.vrf.as_ref().map_or(DEFAULT_VRF, |vrf| vrf.as_str())
}

/// The VPC of a record, without case.
pub(crate) fn vpc_of(record: &Record) -> String {
    text(record.vpc.as_ref()).to_lowercase()
}

/// A value of a record as text.
pub(crate) fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
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

/// Takes over what a thing does not say yet; answers what it says otherwise.
macro_rules! merge {
    ($into:expr, $from:expr; $($field:ident)+) => {{
        let mut contradictions = Vec::new();
        $(
            match ($into.$field.is_some(), $from.$field.is_some()) {
                (false, _) => $into.$field = $from.$field,
                (true, true) if $into.$field != $from.$field => contradictions.push(stringify!($field)),
                _ => {}
            }
        )+
        contradictions
    }};
}

/// Puts together what belongs together.
pub(crate) fn gather(lines: Vec<Line>, findings: &mut Findings) -> File {
    let mut file = File::default();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for Line { line, mut record } in lines {
        match record.kind {
            Kind::Vrf => {
                let key = Key::Vrf(vrf_of(&record).to_owned());
                once(
                    &mut file.vrfs,
                    &mut places,
                    key,
                    Line { line, record },
                    findings,
                );
            }
            Kind::Vpc => {
                let key = Key::Vpc(vpc_of(&record));
                once(
                    &mut file.vpcs,
                    &mut places,
                    key,
                    Line { line, record },
                    findings,
                );
            }
            Kind::Reservation => file.reservations.push(Line { line, record }),
            Kind::Cooldown => file.cooldowns.push(Line { line, record }),
            Kind::PastBlock => file.past.push(Line { line, record }),
            Kind::Pool => {
                let key = Key::Pool(vrf_of(&record).to_owned(), text(record.pool.as_ref()));
                let since = record.since.take();
                let cidr = record.cidr;
                let part = FileRange { line, cidr, since };
                let thing = Thing::new(line, record, part);
                add(
                    &mut file.pools,
                    &mut places,
                    Some(key),
                    thing,
                    findings,
                    |into, from| {
                        merge!(into, from; description labels parent family min_prefix_length max_prefix_length
                        default_prefix_length reserved_addresses strategy release_cooldown_seconds required_labels id
                        created_at created_by owner claim confirmed)
                    },
                );
            }
            Kind::ProfileMember => {
                let key = Key::Profile(text(record.profile.as_ref()));
                let part = Line {
                    line,
                    record: record.clone(),
                };
                let thing = Thing::new(line, record, part);
                add(
                    &mut file.profiles,
                    &mut places,
                    Some(key),
                    thing,
                    findings,
                    |into, from| merge!(into, from; description id created_at created_by owner claim confirmed),
                );
            }
            Kind::Allocation => {
                let vpc = vpc_of(&record);
                let key = match (&record.allocation, &record.name, record.id) {
                    (Some(key), ..) => Some(Key::Keyed(vpc, key.clone())),
                    (None, Some(name), _) => Some(Key::Named(vpc, name.to_string())),
                    (None, None, Some(id)) => Some(Key::Id(id)),
                    (None, None, None) => None,
                };
                let Some(part) = block(line, &mut record, findings) else {
                    continue;
                };
                let thing = Thing::new(line, record, part);
                add(
                    &mut file.allocations,
                    &mut places,
                    key,
                    thing,
                    findings,
                    |into, from| {
                        merge!(into, from; vrf name profile description labels deletion_protection requested_hosts
                        requested_prefix_length requested_cidr requested_pools requested_pool_selector exclude_cidrs id
                        number created_by created_at owner claim confirmed)
                    },
                );
            }
        }
    }
    file
}

impl<P> Thing<P> {
    fn new(line: u64, record: Record, part: P) -> Self {
        Self {
            line,
            record,
            parts: vec![part],
        }
    }
}

/// Adds a thing with one record.
fn once(
    things: &mut Vec<Line>,
    places: &mut HashMap<Key, usize>,
    key: Key,
    line: Line,
    findings: &mut Findings,
) {
    let known = places.get(&key).and_then(|place| things.get(*place));
    if let Some(first) = known.map(|first| first.line) {
        let kind = line.record.kind.as_str();
        let detail = format!("the same {kind} is on line {first} already");
        let problem = Problem::new(ConflictCode::Contradiction, detail).beside(first);
        findings.add(line.line, problem);
        return;
    }
    places.insert(key, things.len());
    things.push(line);
}

/// Adds a record to the thing that has its key, or makes one.
fn add<P>(
    things: &mut Vec<Thing<P>>,
    places: &mut HashMap<Key, usize>,
    key: Option<Key>,
    thing: Thing<P>,
    findings: &mut Findings,
    merge: impl FnOnce(&mut Record, Record) -> Vec<&'static str>,
) {
    let place = key.as_ref().and_then(|key| places.get(key));
    let Some(known) = place.and_then(|place| things.get_mut(*place)) else {
        if let Some(key) = key {
            places.insert(key, things.len());
        }
        things.push(thing);
        return;
    };
    let (cidr, first) = (thing.record.cidr, known.line);
    for column in merge(&mut known.record, thing.record) {
        let detail = format!(
            "{column} is not what line {first} says of the same thing; say the same, or say it once"
        );
        let problem = Problem::new(ConflictCode::Contradiction, detail);
        findings.add(thing.line, problem.about(cidr).beside(first));
    }
    known.parts.extend(thing.parts);
}

/// Takes what a record of an allocation says of its block.
fn block(line: u64, record: &mut Record, findings: &mut Findings) -> Option<FileBlock> {
    let cidr = record.cidr?;
    let bounds = (
        record.min_prefix_length.take(),
        record.max_prefix_length.take(),
        record.size_offset.take(),
    );
    let rules = match bounds {
        (Some(shortest), Some(longest), offset) => {
            Ok(Some((offset.unwrap_or_default(), shortest, longest)))
        }
        (None, None, None) => Ok(None),
        _ => {
            let detail = "the rules that a block was cut by are min_prefix_length and max_prefix_length together, with \
                          size_offset if it is not 0; leave all three empty to take those of the pool and the profile";
            Err(Problem::bad_value(detail).about(cidr))
        }
    };
    Some(FileBlock {
        line,
        cidr,
        pool: record.pool.take(),
        role: record.role.take(),
        since: record.since.take(),
        rules: findings.ok(line, rules).flatten(),
        retired: record.retired_at.take(),
    })
}
