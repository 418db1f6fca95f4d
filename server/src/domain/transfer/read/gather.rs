//! From records to things: ranges to pools, members to profiles, blocks to allocations. Looks at the file alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
};

use ipam_shared::name::fold;
use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{At, ConflictCode, Kind, Record},
    },
    cidr::Cidr,
    name::Name,
};
use uuid::Uuid;

use super::parse::Line;
use crate::domain::transfer::findings::{Findings, Problem};

/// What a file says, thing by thing.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) vrfs: Vec<Thing<()>>,
    pub(crate) pools: Vec<Thing<FileRange>>,
    pub(crate) profiles: Vec<Thing<Line>>,
    pub(crate) vpcs: Vec<Thing<()>>,
    pub(crate) reservations: Vec<Line>,
    pub(crate) allocations: Vec<Thing<FileBlock>>,
    pub(crate) cooldowns: Vec<Line>,
    pub(crate) past: Vec<Line>,
}

/// Something that may have several records, as pools, profiles and allocations have.
#[derive(Debug)]
pub(crate) struct Thing<P> {
    /// The line of its first record.
    pub(crate) line: u64,
    /// What any of its records said of the whole.
    pub(crate) record: Record,
    /// What each of its records said of one part.
    pub(crate) parts: Vec<P>,
}

/// What a record of a pool says of a range, if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRange {
    pub(crate) line: u64,
    pub(crate) cidr: Option<Cidr>,
    /// Since when it has been cut from the parent.
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
    /// Whether it is a complete plan, as an export is: it gives the id of the VRF `default`.
    pub(crate) fn is_whole(&self) -> bool {
        self.vrfs
            .iter()
            .any(|vrf| vrf_of(&vrf.record) == DEFAULT_VRF && vrf.record.id.is_some())
    }

    /// The VPCs that it names, each once.
    pub(crate) fn vpc_names(&self) -> Vec<NamedVpc> {
        let mut names: BTreeMap<String, NamedVpc> = BTreeMap::new();
        let vpcs = self.vpcs.iter().map(|it| (it.line, &it.record));
        let allocations = self.allocations.iter().map(|it| (it.line, &it.record));
        for (line, record) in vpcs.chain(allocations) {
            let Some(name) = record.vpc.clone() else {
                continue;
            };
            let vrf = None;
            let new = NamedVpc { line, name, vrf };
            let known = names.entry(vpc_of(record)).or_insert(new);
            known.vrf = known.vrf.take().or_else(|| record.vrf.clone());
        }
        names.into_values().collect()
    }

    /// All VRFs that it names.
    pub(crate) fn vrf_names(&self) -> HashSet<String> {
        let things = self.vrfs.iter().chain(&self.vpcs).map(|it| &it.record);
        let lines = self.reservations.iter().chain(&self.cooldowns);
        let lines = lines.map(|line| &line.record);
        let pools = self.pools.iter().map(|it| &it.record);
        let allocations = self.allocations.iter().map(|it| &it.record);
        let records = things.chain(lines).chain(pools).chain(allocations);
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
    fold(&text(record.vpc.as_ref()))
}

/// A value of a record as text.
pub(crate) fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Things of one kind, by what makes several records one thing.
struct Things<K, P> {
    all: Vec<Thing<P>>,
    places: HashMap<K, usize>,
}

impl<K: Hash + Eq, P> Things<K, P> {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Adds a record, and what it says of one part, to the thing that has its key, or makes one. `merge` takes over what
    /// the thing does not say yet, and returns the contradictions.
    fn add(
        &mut self,
        key: impl Into<Option<K>>,
        (line, record, part): (u64, Record, P),
        merge: impl FnOnce(&mut Record, Record, u64) -> Vec<String>,
        findings: &mut Findings,
    ) {
        let key = key.into();
        let place = key.as_ref().and_then(|key| self.places.get(key));
        let Some(known) = place.and_then(|place| self.all.get_mut(*place)) else {
            if let Some(key) = key {
                self.places.insert(key, self.all.len());
            }
            let parts = vec![part];
            self.all.push(Thing {
                line,
                record,
                parts,
            });
            return;
        };
        let (cidr, first) = (record.cidr, known.line);
        for detail in merge(&mut known.record, record, first) {
            let problem = Problem::new(ConflictCode::Contradiction, detail);
            findings.add(line, problem.about(cidr).beside(first));
        }
        known.parts.push(part);
    }
}

/// A thing with one record only has none to merge.
fn merge_nothing(_: &mut Record, from: Record, first: u64) -> Vec<String> {
    let kind = from.kind.as_str();
    vec![format!("the same {kind} is on line {first} already")]
}

/// A function that merges these columns.
macro_rules! merge {
    ($name:ident: $($column:ident)+) => {
        fn $name(into: &mut Record, from: Record, first: u64) -> Vec<String> {
            let mut contradictions = Vec::new();
            $(
                if into.$column.is_none() {
                    into.$column = from.$column;
                } else if from.$column.is_some() && into.$column != from.$column {
                    contradictions.push(stringify!($column));
                }
            )+
            let detail = |column| {
                format!(
                    "{column} differs from what line {first} says of the same thing; give the same value, or give it once"
                )
            };
            contradictions.into_iter().map(detail).collect()
        }
    };
}

merge!(merge_pool: description labels parent family min_prefix_length max_prefix_length default_prefix_length
    reserved_addresses strategy release_cooldown_seconds required_labels id created_at created_by owner claim confirmed);
merge!(merge_profile: description id created_at created_by owner claim confirmed);
merge!(merge_allocation: vrf name profile description labels deletion_protection requested_hosts requested_prefix_length
    requested_cidr requested_pools requested_pool_selector exclude_cidrs id number created_by created_at owner claim
    confirmed);

/// What makes several records one allocation.
#[derive(PartialEq, Eq, Hash)]
enum AllocationKey {
    /// By VPC and name.
    Named(String, String),
    /// By VPC and what else the records have in common.
    Keyed(String, String),
    Id(Uuid),
}

impl AllocationKey {
    fn of(record: &Record) -> Option<Self> {
        let vpc = vpc_of(record);
        match (&record.allocation, &record.name, record.id) {
            (Some(key), ..) => Some(Self::Keyed(vpc, key.clone())),
            (None, Some(name), _) => Some(Self::Named(vpc, name.to_string())),
            (None, None, Some(id)) => Some(Self::Id(id)),
            (None, None, None) => None,
        }
    }
}

/// Puts together what belongs together.
pub(crate) fn gather(lines: Vec<Line>, findings: &mut Findings) -> File {
    let (mut vrfs, mut vpcs) = (Things::new(), Things::new());
    let (mut pools, mut profiles) = (Things::new(), Things::new());
    let mut allocations = Things::<AllocationKey, _>::new();
    let mut file = File::default();
    for Line { line, mut record } in lines {
        let vrf = vrf_of(&record).to_owned();
        match record.kind {
            Kind::Vrf => vrfs.add(vrf, (line, record, ()), merge_nothing, findings),
            Kind::Vpc => {
                let key = vpc_of(&record);
                vpcs.add(key, (line, record, ()), merge_nothing, findings);
            }
            Kind::Pool => {
                let key = (vrf, text(record.pool.as_ref()));
                let (cidr, since) = (record.cidr, record.since.take());
                let range = FileRange { line, cidr, since };
                pools.add(key, (line, record, range), merge_pool, findings);
            }
            Kind::ProfileMember => {
                let key = text(record.profile.as_ref());
                let member = record.clone();
                let member = Line {
                    line,
                    record: member,
                };
                profiles.add(key, (line, record, member), merge_profile, findings);
            }
            Kind::Allocation => {
                let key = AllocationKey::of(&record);
                if let Some(block) = block(line, &mut record, findings) {
                    allocations.add(key, (line, record, block), merge_allocation, findings);
                }
            }
            Kind::Reservation => file.reservations.push(Line { line, record }),
            Kind::Cooldown => file.cooldowns.push(Line { line, record }),
            Kind::PastBlock => file.past.push(Line { line, record }),
        }
    }
    File {
        vrfs: vrfs.all,
        pools: pools.all,
        profiles: profiles.all,
        vpcs: vpcs.all,
        allocations: allocations.all,
        ..file
    }
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
