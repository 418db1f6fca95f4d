//! The address plan as it would be: what is stored and what a file adds, so that records can refer to either.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        transfer::{At, ConflictCode, Record},
    },
    cidr::{Cidr, Family},
    ids::ProfileId,
};
use uuid::Uuid;

use super::nouns::{Noun, Nouns};
use crate::{
    db::{
        Connection,
        transfer::{read, write::Member},
    },
    domain::transfer::{
        findings::Problem,
        read::gather::{text, vrf_of},
    },
    error::Result,
    network::RangeId,
};

/// What is particular about a VRF.
#[derive(Debug)]
pub(crate) struct OfVrf {
    pub(crate) name: String,
}

/// What is particular about a pool.
#[derive(Debug)]
pub(crate) struct OfPool {
    pub(crate) name: String,
    pub(crate) vrf: Arc<Vrf>,
    pub(crate) family: Family,
    pub(crate) parent: Option<Arc<Pool>>,
}

/// What is particular about a VPC, or a reservation.
#[derive(Debug)]
pub(crate) struct InVrf {
    pub(crate) vrf: Arc<Vrf>,
}

pub(crate) type Vrf = Noun<OfVrf>;
pub(crate) type Pool = Noun<OfPool>;
pub(crate) type Vpc = Noun<InVrf>;
pub(crate) type Reservation = Noun<InVrf>;

impl Pool {
    /// Shortest and longest prefix of its blocks.
    pub(crate) fn bounds(&self) -> (u8, u8) {
        (
            self.record.min_prefix_length.unwrap_or_default(),
            self.record.max_prefix_length.unwrap_or(self.family.bits()),
        )
    }

    /// Its name for people.
    pub(crate) fn full_name(&self) -> String {
        if self.vrf.name == DEFAULT_VRF {
            self.name.clone()
        } else {
            format!("{}/{}", self.vrf.name, self.name)
        }
    }
}

/// A range; the key of a new one is negative until it is written.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) id: RangeId,
    pub(crate) pool: Arc<Pool>,
    pub(crate) cidr: Cidr,
    pub(crate) parent: Option<RangeId>,
    /// Since when a new one is cut from its parent; now if not given.
    pub(crate) since: Option<At>,
    /// Where the file says it, if it is new.
    pub(crate) line: Option<u64>,
}

/// The address plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) vrfs: Nouns<String, OfVrf>,
    /// By VRF and name.
    pub(crate) pools: Nouns<(String, String), OfPool>,
    pub(crate) profiles: Nouns<String, ()>,
    /// By name in lower case. Of the stored ones, those that the file names.
    pub(crate) vpcs: Nouns<String, InVrf>,
    /// By VRF and network.
    pub(crate) reservations: Nouns<(String, Cidr), InVrf>,
    pub(crate) members: Vec<Member>,
    pub(crate) ranges: BTreeMap<RangeId, Range>,
    /// Pools whose records are in conflict, by VRF and name: references to them need no conflict of their own.
    pub(crate) refused: HashSet<(String, String)>,
    /// Ranges by VRF and network; of equal ones the deepest last.
    by_network: HashMap<(Uuid, Cidr), Vec<RangeId>>,
    lengths: BTreeSet<u8>,
    /// Ranges without a parent by VRF and address.
    roots: BTreeMap<(Uuid, Family, u128), RangeId>,
}

impl Plan {
    /// Nothing at all.
    pub(crate) fn empty() -> Self {
        Self {
            vrfs: Nouns::new("VRF"),
            pools: Nouns::new("pool"),
            profiles: Nouns::new("profile"),
            vpcs: Nouns::new("VPC"),
            reservations: Nouns::new("reservation"),
            members: Vec::new(),
            ranges: BTreeMap::new(),
            refused: HashSet::new(),
            by_network: HashMap::new(),
            lengths: BTreeSet::new(),
            roots: BTreeMap::new(),
        }
    }

    /// What is stored, but for VPCs.
    pub(crate) async fn read(db: &mut Connection) -> Result<Self> {
        let mut plan = Self::empty();
        for record in read::vrfs(db).await? {
            let name = vrf_of(&record).to_owned();
            plan.vrfs.store(name.clone(), record, OfVrf { name });
        }
        for stored in read::pools(db).await? {
            plan.store_range(stored);
        }
        for (id, record) in read::members(db).await? {
            let name = text(record.profile.as_ref());
            let profile = plan.profiles.get(&name).cloned();
            let profile = profile.unwrap_or_else(|| plan.profiles.store(name, record.clone(), ()));
            plan.members.push(member(id, profile.id, &record));
        }
        for record in read::reservations(db).await? {
            if let Some((vrf, cidr)) = plan.vrf_of(&record).ok().zip(record.cidr) {
                let key = (vrf.name.clone(), cidr);
                plan.reservations.store(key, record, InVrf { vrf });
            }
        }
        Ok(plan)
    }

    /// Remembers a range that is stored, and its pool. Parents come before their children.
    fn store_range(&mut self, stored: read::StoredRange) {
        let record = stored.record;
        let Ok(vrf) = self.vrf_of(&record) else {
            return;
        };
        let cidr = record.cidr;
        let name = record.pool.clone().unwrap_or_default();
        let key = (vrf.name.clone(), name.clone());
        let pool = self.pools.get(&key).cloned().unwrap_or_else(|| {
            let parent = record.parent.as_ref();
            let parent = parent.and_then(|parent| self.pool_in(&vrf.name, parent.as_str()));
            let own = OfPool {
                name,
                family: record.family.unwrap_or(Family::Ipv4),
                parent: parent.cloned(),
                vrf,
            };
            let record = Record {
                cidr: None,
                since: None,
                ..record
            };
            self.pools.store(key, record, own)
        });
        if let Some((id, cidr)) = stored.id.zip(cidr) {
            self.add_range(Range {
                id,
                pool,
                cidr,
                parent: stored.parent,
                since: None,
                line: None,
            });
        }
    }

    pub(crate) fn add_range(&mut self, range: Range) {
        let (vrf, cidr) = (range.pool.vrf.id, range.cidr);
        let of_network = self.by_network.entry((vrf, cidr)).or_default();
        of_network.push(range.id);
        self.lengths.insert(cidr.prefix_length());
        if range.parent.is_none() {
            let key = (vrf, cidr.family(), cidr.number());
            self.roots.insert(key, range.id);
        }
        self.ranges.insert(range.id, range);
    }

    /// The next key of a range that is not written yet.
    pub(crate) fn new_range_id(&self) -> RangeId {
        self.ranges
            .keys()
            .next()
            .map_or(-1, |lowest| (*lowest).min(0) - 1)
    }

    /// Adds a member, under a key that is not written yet.
    pub(crate) fn add_member(&mut self, member: Member) {
        let lowest = self.members.iter().map(|member| member.id).min();
        let id = lowest.map_or(-1, |lowest| lowest.min(0) - 1);
        self.members.push(Member { id, ..member });
    }

    /// The VRF that a record means.
    pub(crate) fn vrf_of(&self, record: &Record) -> Result<Arc<Vrf>, Problem> {
        let name = vrf_of(record);
        self.vrfs.get(&name.to_owned()).cloned().ok_or_else(|| {
            let detail = format!(
                "there is no VRF \"{name}\"; create it first, or with a record of kind vrf"
            );
            Problem::new(ConflictCode::UnknownVrf, detail)
        })
    }

    /// The pool of exactly that VRF and name.
    pub(crate) fn pool_in(&self, vrf: &str, name: &str) -> Option<&Arc<Pool>> {
        // A borrowed key would need nested maps.
        self.pools.get(&(vrf.to_owned(), name.to_owned()))
    }

    /// The VRFs and names that `text` may mean for a VPC of that VRF: `vrf/name`, or a name in that VRF or else in
    /// `default`.
    fn meanings<'a>(vrf: &'a Vrf, text: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        match text.split_once('/') {
            Some(exact) => [Some(exact), None],
            None => [Some((vrf.name.as_str(), text)), Some((DEFAULT_VRF, text))],
        }
        .into_iter()
        .flatten()
    }

    /// The pool that `text` means for a VPC of that VRF. An error without a problem: its record has one.
    pub(crate) fn pool(&self, vrf: &Vrf, text: &str) -> Result<&Arc<Pool>, Option<Problem>> {
        let mut meanings = Self::meanings(vrf, text);
        if let Some(pool) = meanings.find_map(|(vrf, name)| self.pool_in(vrf, name)) {
            return Ok(pool);
        }
        let refused = |(vrf, name): (&str, &str)| {
            let key = (vrf.to_owned(), name.to_owned());
            self.refused.contains(&key)
        };
        if Self::meanings(vrf, text).any(refused) {
            return Err(None);
        }
        let own = &vrf.name;
        let detail = if text.contains('/') || own == DEFAULT_VRF {
            format!("there is no pool \"{text}\"")
        } else {
            format!("there is no pool \"{text}\" in VRF \"{own}\" or \"{DEFAULT_VRF}\"")
        };
        Err(Some(Problem::new(ConflictCode::UnknownPool, detail)))
    }

    /// The ranges of a VRF that contain `cidr`, the deepest first.
    pub(crate) fn containing(&self, vrf: Uuid, cidr: Cidr) -> impl Iterator<Item = &Range> {
        self.lengths
            .range(..=cidr.prefix_length())
            .rev()
            .filter_map(move |length| self.by_network.get(&(vrf, cidr.ancestor(*length)?)))
            .flat_map(|ids| ids.iter().rev())
            .filter_map(|id| self.ranges.get(id))
    }

    /// The range of that pool that contains `cidr`.
    pub(crate) fn range_of(&self, pool: &Pool, cidr: Cidr) -> Option<&Range> {
        self.containing(pool.vrf.id, cidr)
            .find(|range| range.pool.id == pool.id)
    }

    /// The ranges without a parent that lie inside of `cidr`.
    pub(crate) fn roots_in(&self, vrf: Uuid, cidr: Cidr) -> impl Iterator<Item = &Range> {
        let last = cidr.number() + (cidr.addresses() - 1);
        self.roots
            .range((vrf, cidr.family(), cidr.number())..=(vrf, cidr.family(), last))
            .filter_map(|(_, id)| self.ranges.get(id))
            .filter(move |range| cidr.contains(range.cidr))
    }

    /// The ranges that the file adds.
    pub(crate) fn new_ranges(&self) -> impl Iterator<Item = &Range> + Clone {
        self.ranges.values().filter(|range| range.line.is_some())
    }
}

/// A member from its record.
pub(crate) fn member(id: i32, profile: Uuid, record: &Record) -> Member {
    Member {
        id,
        profile_id: ProfileId(profile),
        position: record.position.unwrap_or_default(),
        role: record.role.clone().unwrap_or_default(),
        pool: record.pool.clone().unwrap_or_default(),
        size_offset: record.size_offset.unwrap_or_default(),
        min_prefix_length: record.min_prefix_length.unwrap_or_default(),
        max_prefix_length: record.max_prefix_length.unwrap_or(128),
        retired_at: record.retired_at,
    }
}
