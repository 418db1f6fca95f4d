//! What becomes of each request of a batch, decided in memory over what was read under the lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipam_shared::{
    api::{DEFAULT_VRF, allocation::Size},
    cidr::Cidr,
    ids::{AllocationId, Claim, PoolId, VpcId},
    name::Name,
};

use super::Ask;
use crate::{
    db::{
        Connection, allocation,
        creation::{self, Existing, UsedKey},
        event, free,
        pool::{self, Source},
        vpc::Owner,
    },
    domain::{
        plan::{self, FreeSpace, Place},
        sizing, space,
    },
    error::{Error, Exhausted, Result},
};

/// What becomes of a request.
pub(super) enum Decided {
    /// It gets these blocks.
    Cut(Cut),
    /// It gets what an earlier try of the same request made.
    Adopt(Existing),
    /// It gets what the same Idempotency-Key made.
    Replay(AllocationId),
    /// It gets an error.
    Refuse(Box<Error>),
    /// A pool had no block of that length: the member, and the length.
    Full(Box<Source>, u8),
    /// Another request of this batch, or a change meanwhile, is in its way.
    Later,
}

impl Decided {
    pub(super) fn existing(&self) -> Option<AllocationId> {
        match self {
            Self::Adopt(existing) => Some(existing.id),
            Self::Replay(id) => Some(*id),
            _ => None,
        }
    }

    pub(super) fn refuse(error: Error) -> Self {
        Self::Refuse(Box::new(error))
    }
}

/// Blocks for one request.
pub(super) struct Cut {
    pub(super) ask: usize,
    pub(super) vpc: VpcId,
    pub(super) vrf: String,
    pub(super) profile: Option<Name>,
    pub(super) claim: Claim,
    pub(super) prefix_length: u8,
    pub(super) pieces: Vec<(Source, Place)>,
}

/// What was read for a batch, and what was decided so far.
pub(super) struct Batch<'a> {
    pub(super) asks: &'a [Ask],
    /// By the place of the request.
    pub(super) owners: HashMap<usize, Owner>,
    /// VPCs that are used for the first time, by lower-case name.
    new_vpcs: HashMap<String, VpcId>,
    sources: Vec<Source>,
    /// What has the name already, by the place of the request.
    existing: HashMap<usize, Existing>,
    keys: Vec<UsedKey>,
    pub(super) space: FreeSpace,
    pub(super) claims: HashMap<AllocationId, Claim>,
    /// Why no request can be decided at all.
    broken: Option<String>,
}

impl<'a> Batch<'a> {
    pub(super) async fn read(db: &mut Connection, asks: &'a [Ask], lock: bool) -> Result<Self> {
        let profile = asks.first().map(Ask::profile).unwrap_or_default();
        let vpcs: Vec<_> = asks
            .iter()
            .map(|ask| ask.new.vpc.as_str().to_owned())
            .collect();
        let names: Vec<_> = asks
            .iter()
            .map(|ask| ask.new.name.as_ref().map(|name| name.as_str().to_owned()))
            .collect();
        let mut sources = pool::sources(db, profile, &vpcs, lock).await?;
        let broken = match sources.first() {
            Some(_) => None,
            None if pool::profile_exists(db, profile).await? => {
                Some(format!("none of the pools of profile \"{profile}\" exists"))
            }
            None => Some(format!("there is no profile \"{profile}\"")),
        };

        // Read after the lock, so that what an earlier holder of the lock made is seen.
        let mut owners = HashMap::new();
        let mut existing = HashMap::new();
        for (place, owner, found) in creation::find_owners(db, &vpcs, &names).await? {
            owners.insert(place, owner);
            existing.extend(found.map(|found| (place, found)));
        }
        let is_known = |owner: &Owner| {
            sources
                .iter()
                .any(|source| source.vrf == owner.vrf && source.vrf_name != DEFAULT_VRF)
        };
        let default = sources
            .iter()
            .find(|source| source.vrf_name == DEFAULT_VRF)
            .map(|source| source.vrf);
        if owners
            .values()
            .any(|owner| Some(owner.vrf) != default && !is_known(owner))
        {
            // Its VRF has no pools of its own, or the VPC was made after the pools were looked up: look again.
            sources = pool::sources(db, profile, &vpcs, lock).await?;
        }
        let keyed = asks
            .iter()
            .filter_map(|ask| Some((ask.caller.actor.clone(), ask.key.as_ref()?.0.clone())));
        let (actors, keys): (Vec<_>, Vec<_>) = keyed.unzip();
        let keys = if keys.is_empty() {
            Vec::new()
        } else {
            creation::find_keys(db, &actors, &keys).await?
        };

        let ranges = sources
            .iter()
            .flat_map(|source| source.ranges.iter().copied());
        let mut batch = Self {
            asks,
            new_vpcs: HashMap::new(),
            space: FreeSpace::new(ranges),
            owners,
            sources,
            existing,
            keys,
            claims: HashMap::new(),
            broken,
        };
        batch.read_space(db).await?;
        Ok(batch)
    }

    /// Reads as much of the free list as the requests can use.
    pub(super) async fn read_space(&mut self, db: &mut Connection) -> Result<()> {
        let mut wanted = BTreeSet::new();
        let mut explicit = Vec::new();
        let mut most: BTreeMap<PoolId, i64> = BTreeMap::new();
        for (index, ask) in self.asks.iter().enumerate() {
            let Ok((members, lengths)) = self.members(index) else {
                continue;
            };
            for (position, (source, length)) in members.iter().zip(&lengths.members).enumerate() {
                *most.entry(source.pool).or_default() += 1;
                match ask.size {
                    Size::Cidr(cidr) if position == 0 => {
                        if let Some(range) = self.space.range_of(source.pool, cidr) {
                            explicit.extend(plan::ancestors(
                                Place {
                                    range: range.id,
                                    cidr,
                                },
                                range.cidr,
                            ));
                        }
                    }
                    _ => {
                        let host_bits = source.family.bits().saturating_sub(*length);
                        wanted.extend(source.ranges.iter().map(|range| (range.id, host_bits)));
                    }
                }
            }
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        let most = most.into_values().max().unwrap_or_default();
        let mut free = if wanted.is_empty() {
            Vec::new()
        } else {
            free::candidates(db, &wanted, most).await?
        };
        if !explicit.is_empty() {
            free.extend(free::find(db, &explicit).await?);
        }
        free.into_iter().for_each(|place| self.space.read(place));
        Ok(())
    }

    /// The members of the profile with the pools that the request's VPC means, and their lengths.
    pub(super) fn members(&self, index: usize) -> Result<(Vec<Source>, sizing::Lengths)> {
        let ask = &self.asks[index];
        let profile = ask.profile();
        if let Some(broken) = &self.broken {
            return Err(Error::NotFound(broken.clone()));
        }
        let vrf = self.owners.get(&index).map(|owner| owner.vrf);
        let mut members: BTreeMap<i16, &Source> = BTreeMap::new();
        for source in &self.sources {
            let own = Some(source.vrf) == vrf;
            let shared = source.vrf_name == DEFAULT_VRF;
            if own || (shared && !members.contains_key(&source.position)) {
                members.insert(source.position, source);
            }
        }
        let members: Vec<_> = members.into_values().collect();
        if members
            .first()
            .is_none_or(|first| usize::try_from(first.members) != Ok(members.len()))
        {
            return Err(Error::NotFound(format!(
                "profile \"{profile}\" names a pool that does not exist in the VRF of VPC \"{}\" or in \"default\"",
                ask.new.vpc
            )));
        }
        let lengths = sizing::lengths(profile, ask.size, &members)?;
        Ok((members.into_iter().cloned().collect(), lengths))
    }

    /// Decides one request in memory.
    pub(super) async fn decide(&mut self, db: &mut Connection, index: usize) -> Decided {
        match self.try_decide(db, index).await {
            Ok(decided) => decided,
            Err(error) => Decided::refuse(error),
        }
    }

    pub(super) async fn try_decide(
        &mut self,
        db: &mut Connection,
        index: usize,
    ) -> Result<Decided> {
        let ask = &self.asks[index];
        if let Some(decided) = self.replay(index)? {
            if let Decided::Replay(id) = decided
                && let Some((at, by)) = event::release_of(db, id).await?
            {
                return Err(Error::Gone {
                    what: format!("the allocation {id} that this Idempotency-Key made"),
                    at,
                    by,
                });
            }
            return Ok(decided);
        }
        let (members, lengths) = self.members(index)?;
        let mut pieces: Vec<(Source, Place)> = Vec::with_capacity(members.len());
        for (position, (source, length)) in members.into_iter().zip(lengths.members).enumerate() {
            let taken = match ask.size {
                Size::Cidr(cidr) if position == 0 => self.space.take_exact(source.pool, cidr),
                _ => self.space.take(source.pool, length),
            };
            if let Some(place) = taken {
                pieces.push((source, place));
                continue;
            }
            // All or none: what the other members got goes back as if it had never been taken.
            pieces
                .drain(..)
                .rev()
                .for_each(|(_, place)| self.space.give_back(place));
            return match ask.size {
                Size::Cidr(cidr) if position == 0 => self.overlap(db, &source, cidr).await,
                _ => Ok(Decided::Full(Box::new(source), length)),
            };
        }
        let vpc = match self.owners.get(&index) {
            Some(owner) => owner.id,
            None => *self
                .new_vpcs
                .entry(lower(ask.new.vpc.as_str()))
                .or_insert_with(VpcId::generate),
        };
        Ok(Decided::Cut(Cut {
            ask: index,
            vpc,
            vrf: DEFAULT_VRF.to_owned(),
            profile: ask.profile().parse().ok(),
            claim: Claim::generate(),
            prefix_length: lengths.allocation,
            pieces,
        }))
    }

    /// What an earlier try of the same request made, or what is in its way.
    pub(super) fn replay(&self, index: usize) -> Result<Option<Decided>> {
        let ask = &self.asks[index];
        if let Some((key, fingerprint)) = &ask.key
            && let Some(used) = self
                .keys
                .iter()
                .find(|used| used.actor == ask.caller.actor && used.key == *key)
        {
            if used.fingerprint != *fingerprint {
                return Err(Error::KeyReused(key.clone()));
            }
            return Ok(Some(Decided::Replay(used.allocation)));
        }
        let (Some(owner), Some(existing)) = (self.owners.get(&index), self.existing.get(&index))
        else {
            return Ok(None);
        };
        let import_id = format!("{}/{}", owner.name, existing.name);
        if existing.created_by != ask.caller.actor || existing.confirmed {
            let who = if existing.created_by == ask.caller.actor {
                "whoever made it has confirmed to own it, so a second owner is not let in by name"
            } else {
                "it was made with another key"
            };
            return Err(Error::Claimed {
                message: format!(
                    "the allocation \"{import_id}\" exists, and {who}; choose another name, or take it over with: \
                     terraform import <address> '{import_id}'"
                ),
                import_id,
            });
        }
        let asked = (
            ask.new.hosts.and_then(|hosts| i64::try_from(hosts).ok()),
            ask.new.prefix_length.map(i16::from),
            ask.new.cidr,
            ask.profile(),
        );
        let is = (
            existing.requested_hosts,
            existing.requested_prefix_length,
            existing.requested_cidr,
            existing.profile.as_str(),
        );
        if asked != is {
            let size = match (
                existing.requested_hosts,
                existing.requested_prefix_length,
                existing.requested_cidr,
            ) {
                (Some(hosts), ..) => format!("{hosts} hosts"),
                (_, Some(length), _) => format!("a /{length}"),
                (.., Some(cidr)) => cidr.to_string(),
                _ => String::new(),
            };
            return Err(Error::NameTaken {
                message: format!(
                    "the allocation \"{import_id}\" exists and was asked for differently ({size} of profile \"{}\"); \
                     choose another name, ask for the same, or release it first",
                    existing.profile
                ),
                import_id: Some(import_id),
            });
        }
        Ok(Some(Decided::Adopt(existing.clone())))
    }

    /// Why an explicit CIDR could not be had.
    pub(super) async fn overlap(
        &self,
        db: &mut Connection,
        source: &Source,
        cidr: Cidr,
    ) -> Result<Decided> {
        let Some(range) = self.space.range_of(source.pool, cidr) else {
            let ranges: Vec<_> = source
                .ranges
                .iter()
                .map(|range| range.cidr.to_string())
                .collect();
            return Err(Error::Invalid(format!(
                "{cidr} does not lie in pool \"{}\", which consists of {}",
                source.pool_name,
                ranges.join(", ")
            )));
        };
        let conflicts = allocation::overlapping(db, range.id, cidr).await?;
        let Some(first) = conflicts.first() else {
            if self.asks.len() == 1 {
                return Err(Error::bug(format!(
                    "{cidr} is neither free nor in use: the free list was changed by hand; see ipam verify"
                )));
            }
            // Not in the database yet, so another request of this batch has it.
            return Ok(Decided::Later);
        };
        Err(Error::Overlap {
            message: format!("{cidr} is not free: {} {}", first.cidr, first.whose()),
            conflicts,
        })
    }

    /// Turns a full pool into an error that says what is left and what would make room.
    pub(super) async fn explain(&mut self, db: &mut Connection, decided: Decided) -> Decided {
        let Decided::Full(source, prefix_length) = decided else {
            return decided;
        };
        let limit = space::PIECES_OF_REFUSAL;
        match space::explain(db, source.pool, prefix_length, limit).await {
            Ok(space) => Decided::refuse(Error::Exhausted(Box::new(Exhausted {
                role: source.role.clone(),
                space,
            }))),
            Err(error) => Decided::refuse(error),
        }
    }
}

/// Lower case as far as every database agrees on it. Where a database folds more, the unique index finds the clash, and
/// the request is tried again.
pub(super) fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}
