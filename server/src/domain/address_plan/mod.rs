//! The address plan in memory: which pools a request means. Looked up in the VPC's VRF first, then in `default`.
//!
//! VRFs, pools and profiles change rarely, and every allocation needs them. So they are read once, and again when their
//! revision has moved on, which is checked under the lock of the pools: a plan that is out of date decides nothing. A
//! failover may undo a change, and another change may get its revision; so the plan is read again after each failover.

mod memory;
mod part;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        allocation::{MAIN, Recipe},
        pool::RequiredLabels,
        profile::Member,
    },
    cidr::Cidr,
    ids::{PoolId, ProfileId, VrfId},
    labels::Labels,
    name::Name,
};

pub(in crate::domain) use self::memory::Memory;
use crate::{
    db::{
        Connection,
        address_plan::{self, PoolSnapshot, ProfileMember},
    },
    error::{Error, Result},
    network::Range,
};

/// One block of a request: from which pool, and how its size relates to that of the request.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The member of the profile; none for a request from pools.
    pub(crate) member: Option<i32>,
    pub(crate) role: Arc<str>,
    /// Bits added to the prefix length that was asked for.
    pub(crate) size_offset: i16,
    /// Bounds of the member.
    pub(crate) min_prefix_length: u8,
    /// Bounds of the member.
    pub(crate) max_prefix_length: u8,
    pub(crate) pool: Arc<PoolSnapshot>,
}

impl Source {
    /// Shortest and longest prefix that member and pool both allow.
    pub(crate) fn bounds(&self) -> (u8, u8) {
        (
            self.min_prefix_length.max(self.pool.min_prefix_length),
            self.max_prefix_length.min(self.pool.max_prefix_length),
        )
    }
}

#[cfg(test)]
impl Source {
    /// A member of a profile, from an IPv4 pool that gives /8 to /28.
    pub(crate) fn example(role: &str, size_offset: i16, bounds: (u8, u8)) -> Self {
        Self {
            member: Some(1),
            role: role.into(),
            size_offset,
            min_prefix_length: bounds.0,
            max_prefix_length: bounds.1,
            pool: Arc::new(PoolSnapshot {
                id: PoolId::generate(),
                name: role.to_owned(),
                vrf: VrfId::generate(),
                vrf_name: DEFAULT_VRF.to_owned(),
                parent: None,
                family: ipam_shared::cidr::Family::Ipv4,
                min_prefix_length: 8,
                max_prefix_length: 28,
                default_prefix_length: None,
                reserved_addresses: 5,
                strategy: ipam_shared::api::pool::Strategy::BestFit,
                has_cooldown: false,
                labels: Labels::default(),
                required_labels: RequiredLabels::default(),
                revision: 1,
                ranges: Vec::new(),
            }),
        }
    }
}

/// What can satisfy a request: the first of these that fits, each of which has one source per block.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// The profile that it comes from.
    pub(crate) profile: Option<(ProfileId, Name)>,
    /// In the order of preference.
    pub(crate) options: Vec<Vec<Source>>,
}

/// A profile.
#[derive(Debug)]
struct Profile {
    id: ProfileId,
    name: Name,
    members: Vec<(i32, Arc<str>, Member)>,
}

/// VRFs, pools and profiles as they were at one revision.
#[derive(Debug)]
pub(crate) struct AddressPlan {
    pub(crate) revision: i64,
    /// That of the database that it was read from.
    timeline: u32,
    default: VrfId,
    vrfs: HashMap<String, VrfId>,
    pools: HashMap<PoolId, Arc<PoolSnapshot>>,
    by_name: HashMap<VrfId, BTreeMap<String, Arc<PoolSnapshot>>>,
    profiles: HashMap<String, Arc<Profile>>,
}

impl AddressPlan {
    /// The revision is read first: a concurrent change makes the plan out of date, never wrong.
    async fn read(db: &mut Connection, timeline: u32) -> Result<Self> {
        let revision = address_plan::revision(db).await?;
        let vrfs: HashMap<_, _> = address_plan::vrfs(db)
            .await?
            .into_iter()
            .map(|vrf| (vrf.name, vrf.id))
            .collect();
        let default = *vrfs
            .get(DEFAULT_VRF)
            .ok_or_else(|| Error::bug("there is no VRF \"default\""))?;
        let mut pools = HashMap::new();
        let mut by_name: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for pool in address_plan::pools(db).await? {
            let pool = Arc::new(pool);
            by_name
                .entry(pool.vrf)
                .or_default()
                .insert(pool.name.clone(), Arc::clone(&pool));
            pools.insert(pool.id, pool);
        }
        let mut profiles: HashMap<String, Profile> = HashMap::new();
        for ProfileMember {
            profile,
            profile_name,
            id,
            member,
        } in address_plan::members(db).await?
        {
            let name: Name = profile_name
                .parse()
                .map_err(|error| Error::bug(format!("stored name {profile_name:?}: {error}")))?;
            let role = member.role.as_str().into();
            profiles
                .entry(profile_name)
                .or_insert_with(|| Profile {
                    id: profile,
                    name,
                    members: Vec::new(),
                })
                .members
                .push((id, role, member));
        }
        Ok(Self {
            revision,
            timeline,
            default,
            vrfs,
            pools,
            by_name,
            profiles: profiles
                .into_iter()
                .map(|(name, profile)| (name, Arc::new(profile)))
                .collect(),
        })
    }

    /// The VRF of that name, or `default`.
    pub(crate) fn vrf(&self, name: Option<&Name>) -> Result<VrfId> {
        match name {
            None if self.vrfs.contains_key(DEFAULT_VRF) => Ok(self.default),
            // It always exists, but who is limited to others does not see it.
            None => Err(Error::not_found(format!(
                "what names no VRF is in \"{DEFAULT_VRF}\", which this token does not cover; name a VRF that it covers"
            )).about("vrf")),
            Some(name) => self.vrfs.get(name.as_str()).copied().ok_or_else(|| {
                Error::not_found(format!("there is no VRF \"{name}\"; create it first")).about("vrf")
            }),
        }
    }

    /// The name of a VRF.
    pub(crate) fn vrf_name(&self, id: VrfId) -> &str {
        self.vrfs
            .iter()
            .find(|(_, vrf)| **vrf == id)
            .map_or("", |(name, _)| name)
    }

    /// The pool with that id.
    pub(crate) fn pool(&self, id: PoolId) -> Option<&Arc<PoolSnapshot>> {
        self.pools.get(&id)
    }

    /// The ranges of a VRF that a network out of circulation takes space from, each with its pool: the deepest one that contains
    /// it, or else every one inside of it that is not cut from another.
    pub(crate) fn ranges_around(&self, vrf: VrfId, cidr: Cidr) -> Vec<(Range, &Arc<PoolSnapshot>)> {
        let pools = self
            .by_name
            .get(&vrf)
            .into_iter()
            .flat_map(BTreeMap::values);
        let ranges: Vec<_> = pools
            .flat_map(|pool| pool.ranges.iter().map(move |range| (*range, pool)))
            .collect();
        let around = ranges.iter().filter(|(range, _)| range.cidr.contains(cidr));
        // A child pool may have all of a range of its parent.
        match around.max_by_key(|(range, _)| (range.cidr.prefix_length(), range.id)) {
            Some(deepest) => vec![*deepest],
            None => {
                let inside = ranges.into_iter();
                inside
                    .filter(|(range, pool)| pool.parent.is_none() && cidr.contains(range.cidr))
                    .collect()
            }
        }
    }

    fn pool_named(&self, vrf: VrfId, name: &str) -> Option<&Arc<PoolSnapshot>> {
        [vrf, self.default]
            .iter()
            .find_map(|vrf| self.by_name.get(vrf)?.get(name))
    }

    /// Where a VPC of that VRF gets its blocks from.
    fn searched(&self, vrf: VrfId) -> String {
        let name = self.vrf_name(vrf);
        if vrf == self.default {
            format!("VRF \"{name}\"")
        } else {
            format!("VRF \"{name}\" or in \"{DEFAULT_VRF}\"")
        }
    }

    /// What can satisfy a request of a VPC in that VRF.
    pub(crate) fn choice(&self, recipe: &Recipe, vrf: VrfId) -> Result<Choice> {
        match recipe {
            Recipe::Profile(name) => {
                let profile = self.profiles.get(name.as_str()).ok_or_else(|| {
                    Error::not_found(format!("there is no profile \"{name}\"")).about("profile")
                })?;
                let sources = profile
                    .members
                    .iter()
                    .map(|(id, role, member)| {
                        let pool = self.pool_named(vrf, member.pool.as_str()).ok_or_else(|| {
                            Error::not_found(format!(
                                "profile \"{name}\" takes \"{role}\" from pool \"{}\", which {} does not \
                                 have, or which you may not use; create the pool, change the profile or name other pools",
                                member.pool,
                                self.searched(vrf)
                            )).about("profile")
                        })?;
                        Ok(Source {
                            member: Some(*id),
                            role: Arc::clone(role),
                            size_offset: member.size_offset.into(),
                            min_prefix_length: member.min_prefix_length,
                            max_prefix_length: member.max_prefix_length,
                            pool: Arc::clone(pool),
                        })
                    })
                    .collect::<Result<_>>()?;
                Ok(Choice {
                    profile: Some((profile.id, profile.name.clone())),
                    options: vec![sources],
                })
            }
            Recipe::Pools(names) => {
                let mut options: Vec<Vec<Source>> = Vec::with_capacity(names.len());
                for name in names {
                    let pool = match name.parse() {
                        Ok(id) => self.pools.get(&id),
                        Err(_) => self.pool_named(vrf, name),
                    };
                    let pool = pool.ok_or_else(|| {
                        Error::not_found(format!(
                            "there is no pool \"{name}\" in {}",
                            self.searched(vrf)
                        ))
                        .about("pools")
                    })?;
                    if pool.vrf != vrf && pool.vrf != self.default {
                        return Err(Error::invalid(format!(
                            "pool \"{}\" is in VRF \"{}\", where a VPC of VRF \"{}\" gets nothing; only its own pools and \
                             those of \"{DEFAULT_VRF}\" can be used",
                            pool.name,
                            pool.vrf_name,
                            self.vrf_name(vrf)
                        )).about("pools"));
                    }
                    // A pool that is named twice counts once.
                    if options.iter().all(|option| option[0].pool.id != pool.id) {
                        options.push(vec![single(pool)]);
                    }
                }
                Ok(Choice {
                    profile: None,
                    options,
                })
            }
            Recipe::Selector(labels) => {
                let vrfs: &[VrfId] = if vrf == self.default {
                    &[self.default]
                } else {
                    &[vrf, self.default]
                };
                let options: Vec<_> = vrfs
                    .iter()
                    .filter_map(|vrf| self.by_name.get(vrf))
                    .flat_map(BTreeMap::values)
                    .filter(|pool| {
                        labels
                            .iter()
                            .all(|(key, value)| pool.labels.get(key) == Some(value))
                    })
                    .map(|pool| vec![single(pool)])
                    .collect();
                if options.is_empty() {
                    let wanted: Vec<_> = labels
                        .iter()
                        .map(|(key, value)| format!("{key}={value}"))
                        .collect();
                    return Err(Error::not_found(format!(
                        "no pool in {} has the labels {}",
                        self.searched(vrf),
                        wanted.join(", ")
                    ))
                    .about("pool_selector"));
                }
                Ok(Choice {
                    profile: None,
                    options,
                })
            }
        }
    }
}

fn single(pool: &Arc<PoolSnapshot>) -> Source {
    Source {
        member: None,
        role: MAIN.into(),
        size_offset: 0,
        min_prefix_length: pool.min_prefix_length,
        max_prefix_length: pool.max_prefix_length,
        pool: Arc::clone(pool),
    }
}

/// Whether an allocation with these labels may get space in a pool that requires some.
pub(crate) fn check_required(pool: &str, required: &RequiredLabels, labels: &Labels) -> Result<()> {
    for (key, allowed) in required {
        let wanted = || {
            if allowed.is_empty() {
                "with any value".to_owned()
            } else {
                format!("as one of {}", allowed.join(", "))
            }
        };
        match labels.get(key) {
            Some(value) if allowed.is_empty() || allowed.iter().any(|one| one == value) => {}
            Some(value) => {
                return Err(Error::invalid(format!(
                    "pool \"{pool}\" requires the label \"{key}\" {}, and this allocation has \"{value}\"",
                    wanted()
                )).about("labels"));
            }
            None => {
                return Err(Error::invalid(format!(
                    "pool \"{pool}\" requires the label \"{key}\" {}, and this allocation does not have it",
                    wanted()
                )).about("labels"));
            }
        }
    }
    Ok(())
}
