//! VRFs, pools, ranges, profiles and VPCs: those that are there and those that a file adds, so that records can refer to
//! either without knowing which.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipam_shared::{
    api::{DEFAULT_VRF, transfer::Record},
    cidr::{Cidr, Family},
    ids::{PoolId, ProfileId, VpcId, VrfId},
};

use crate::{
    db::{
        Connection,
        transfer::read::{self, StoredReservation},
    },
    error::Result,
    network::RangeId,
};

/// A VRF.
#[derive(Clone, Debug)]
pub(super) struct Vrf {
    pub(super) id: VrfId,
    pub(super) name: String,
    /// Made by this file.
    pub(super) new: bool,
    pub(super) record: Record,
}

/// A pool. VRFs and pools are known by their places in [`World`].
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) id: PoolId,
    pub(super) vrf: usize,
    pub(super) name: String,
    pub(super) family: Family,
    pub(super) parent: Option<usize>,
    pub(super) new: bool,
    /// With every setting.
    pub(super) record: Record,
}

impl Pool {
    /// Shortest and longest prefix of its blocks.
    pub(super) fn bounds(&self) -> (u8, u8) {
        (
            self.record.min_prefix_length.unwrap_or_default(),
            self.record.max_prefix_length.unwrap_or(self.family.bits()),
        )
    }
}

/// A range; the key of a new one is negative until it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) id: RangeId,
    pub(super) pool: usize,
    pub(super) cidr: Cidr,
    pub(super) parent: Option<RangeId>,
    /// Since when a new one is cut from its parent; now if not given.
    pub(super) since: Option<time::OffsetDateTime>,
}

/// A member of a profile; the key of a new one is negative until it is written.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: i32,
    pub(super) profile: usize,
    pub(super) position: i16,
    pub(super) role: String,
    pub(super) pool: String,
    pub(super) offset: i16,
    pub(super) shortest: u8,
    pub(super) longest: u8,
    pub(super) retired: Option<time::OffsetDateTime>,
}

impl Member {
    /// What makes two members the same.
    pub(super) fn rules(&self) -> (&str, &str, i16, u8, u8) {
        (
            &self.role,
            &self.pool,
            self.offset,
            self.shortest,
            self.longest,
        )
    }
}

/// A profile.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) id: ProfileId,
    pub(super) name: String,
    pub(super) new: bool,
    pub(super) record: Record,
}

/// A VPC.
#[derive(Clone, Debug)]
pub(super) struct Vpc {
    pub(super) id: VpcId,
    pub(super) vrf: usize,
    pub(super) new: bool,
    pub(super) record: Record,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) vrfs: Vec<Vrf>,
    pub(super) pools: Vec<Pool>,
    pub(super) ranges: BTreeMap<RangeId, Range>,
    pub(super) profiles: Vec<Profile>,
    pub(super) members: Vec<Member>,
    /// By name in lower case.
    pub(super) vpcs: HashMap<String, Vpc>,
    pub(super) reservations: Vec<StoredReservation>,
    vrf_names: HashMap<String, usize>,
    pool_names: HashMap<(usize, String), usize>,
    profile_names: HashMap<String, usize>,
    /// Ranges by VRF and network; of equal ones the deepest last.
    places: HashMap<(usize, Cidr), Vec<RangeId>>,
    lengths: BTreeSet<u8>,
    /// Ranges without a parent by VRF and address.
    roots: BTreeMap<(usize, Family, u128), RangeId>,
}

impl World {
    /// What is there, but for VPCs. `empty` leaves out everything, for a plan that takes its place.
    pub(super) async fn read(db: &mut Connection, empty: bool) -> Result<Self> {
        let mut world = Self::default();
        if empty {
            return Ok(world);
        }
        let mut places = HashMap::new();
        for (id, record) in read::vrfs(db).await? {
            let name = record
                .vrf
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            places.insert(id, world.vrfs.len());
            world.add_vrf(Vrf {
                id,
                name,
                new: false,
                record,
            });
        }
        let mut pools = HashMap::new();
        let mut ranges = Vec::new();
        for stored in read::pools(db).await? {
            let place = world.pools.len();
            pools.insert(stored.id, place);
            ranges.extend(stored.ranges.iter().map(|range| Range {
                id: range.id,
                pool: place,
                cidr: range.cidr,
                parent: range.parent,
                since: None,
            }));
            world.add_pool(Pool {
                id: stored.id,
                vrf: places.get(&stored.vrf).copied().unwrap_or_default(),
                name: stored.record.pool.clone().unwrap_or_default(),
                family: stored.record.family.unwrap_or(Family::Ipv4),
                parent: stored.parent.and_then(|parent| pools.get(&parent).copied()),
                new: false,
                record: stored.record,
            });
        }
        ranges.into_iter().for_each(|range| world.add_range(range));
        for (id, record) in read::members(db).await? {
            let name = record
                .profile
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let profile = world.profile(&name).unwrap_or_else(|| {
                world.add_profile(Profile {
                    id: ProfileId(record.id.unwrap_or_default()),
                    name,
                    new: false,
                    record: record.clone(),
                })
            });
            world.members.push(member(id, profile, &record));
        }
        world.reservations = read::reservations(db).await?;
        Ok(world)
    }

    pub(super) fn add_vrf(&mut self, vrf: Vrf) {
        self.vrf_names.insert(vrf.name.clone(), self.vrfs.len());
        self.vrfs.push(vrf);
    }

    pub(super) fn add_pool(&mut self, pool: Pool) {
        self.pool_names
            .insert((pool.vrf, pool.name.clone()), self.pools.len());
        self.pools.push(pool);
    }

    pub(super) fn add_profile(&mut self, profile: Profile) -> usize {
        let place = self.profiles.len();
        self.profile_names.insert(profile.name.clone(), place);
        self.profiles.push(profile);
        place
    }

    pub(super) fn add_range(&mut self, range: Range) {
        let Some(vrf) = self.pools.get(range.pool).map(|pool| pool.vrf) else {
            return;
        };
        self.places
            .entry((vrf, range.cidr))
            .or_default()
            .push(range.id);
        self.lengths.insert(range.cidr.prefix_length());
        if range.parent.is_none() {
            self.roots
                .insert((vrf, range.cidr.family(), range.cidr.number()), range.id);
        }
        self.ranges.insert(range.id, range);
    }

    /// The next key of a range that is not written yet.
    pub(super) fn new_range_id(&self) -> RangeId {
        self.ranges
            .keys()
            .next()
            .map_or(-1, |lowest| (*lowest).min(0) - 1)
    }

    /// The VRF of that name.
    pub(super) fn vrf(&self, name: &str) -> Option<usize> {
        self.vrf_names.get(name).copied()
    }

    /// The profile of that name.
    pub(super) fn profile(&self, name: &str) -> Option<usize> {
        self.profile_names.get(name).copied()
    }

    /// The pool of exactly that VRF and name.
    pub(super) fn pool_in(&self, vrf: usize, name: &str) -> Option<usize> {
        // A key that borrows would need a map in a map.
        self.pool_names.get(&(vrf, name.to_owned())).copied()
    }

    /// The pool that `text` means for a VPC of that VRF: `vrf/name`, or a name in that VRF or else in `default`.
    pub(super) fn pool(&self, vrf: usize, text: &str) -> Option<usize> {
        match text.split_once('/') {
            Some((vrf, name)) => self.pool_in(self.vrf(vrf)?, name),
            None => self
                .pool_in(vrf, text)
                .or_else(|| self.pool_in(self.vrf(DEFAULT_VRF)?, text)),
        }
    }

    /// The ranges of a VRF that contain `cidr`, the deepest first.
    pub(super) fn containing(&self, vrf: usize, cidr: Cidr) -> impl Iterator<Item = Range> {
        self.lengths
            .range(..=cidr.prefix_length())
            .rev()
            .filter_map(move |length| self.places.get(&(vrf, cidr.ancestor(*length)?)))
            .flat_map(|ids| ids.iter().rev())
            .filter_map(|id| self.ranges.get(id).copied())
    }

    /// The range of that pool that contains `cidr`.
    pub(super) fn range_of(&self, pool: usize, cidr: Cidr) -> Option<Range> {
        let vrf = self.pools.get(pool)?.vrf;
        self.containing(vrf, cidr).find(|range| range.pool == pool)
    }

    /// The ranges without a parent that lie inside of `cidr`.
    pub(super) fn roots_in(&self, vrf: usize, cidr: Cidr) -> impl Iterator<Item = Range> {
        let last = cidr.number() + (cidr.addresses() - 1);
        self.roots
            .range((vrf, cidr.family(), cidr.number())..=(vrf, cidr.family(), last))
            .filter_map(|(_, id)| self.ranges.get(id).copied())
            .filter(move |range| cidr.contains(range.cidr))
    }

    /// The members of a profile that are in force, by position.
    pub(super) fn members_of(&self, profile: usize) -> Vec<&Member> {
        let mut members: Vec<_> = self
            .members
            .iter()
            .filter(|member| member.profile == profile && member.retired.is_none())
            .collect();
        members.sort_by_key(|member| member.position);
        members
    }

    /// A pool as people call it.
    pub(super) fn pool_name(&self, pool: usize) -> String {
        let Some(pool) = self.pools.get(pool) else {
            return String::new();
        };
        match self.vrfs.get(pool.vrf) {
            Some(vrf) if vrf.name != DEFAULT_VRF => format!("{}/{}", vrf.name, pool.name),
            _ => pool.name.clone(),
        }
    }
}

/// A member from its record.
pub(super) fn member(id: i32, profile: usize, record: &Record) -> Member {
    Member {
        id,
        profile,
        position: record.position.unwrap_or_default(),
        role: record.role.clone().unwrap_or_default(),
        pool: record.pool.clone().unwrap_or_default(),
        offset: record.size_offset.unwrap_or_default(),
        shortest: record.min_prefix_length.unwrap_or_default(),
        longest: record.max_prefix_length.unwrap_or(128),
        retired: record.retired_at.map(|at| at.0),
    }
}
