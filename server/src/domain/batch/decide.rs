//! What becomes of each request of a batch, decided in memory over what was read under the lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ipam_shared::{
    api::{allocation::Size, ownership::Noun, pool::Strategy},
    cidr::Cidr,
    ids::{AllocationId, Claim, PoolId, ProfileId, VpcId, VrfId},
    name::Name,
};

use super::{
    Mode, Request,
    prepare::{self, Prepared, Resolution, back},
};
use crate::{
    db::{
        Connection,
        allocate::{self, Existing, UsedKey, Wanted},
        block,
        convert::Asked,
        cooldown::{self, Cooling},
        event, free,
        vpc::Owner,
    },
    domain::{
        Ipam,
        address_plan::{AddressPlan, Source},
        check_new_name,
        ownership::{Title, judge},
        space::free_space::{self, FreeSpace},
    },
    error::{Error, Result},
    network::{Place, RangeId},
};

/// What becomes of a request.
pub(super) enum Decided {
    /// It gets these blocks.
    Grant(Grant),
    /// It gets what an earlier try of the same request made.
    Adopt(Existing),
    /// It gets what the same Idempotency-Key made.
    Replay(AllocationId),
    /// It gets an error.
    Refuse(Box<Error>),
    /// None of these pools had a block of that length.
    Full(Vec<(Source, u8)>),
    /// Another request of this batch, or a change meanwhile, is in its way; or this pool has no room, and others may.
    Later(Option<PoolId>),
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

/// How far the reading for a batch got.
pub(super) enum Read<'a> {
    /// It can be decided.
    Ready(Box<Batch<'a>>),
    /// The address plan is out of date.
    Stale,
    /// A VPC is in another VRF than was thought.
    Elsewhere,
}

/// The same, before there is a batch.
enum Look {
    Ready,
    Stale,
    Elsewhere,
}

/// Blocks for one request.
pub(super) struct Grant {
    pub(super) ask: usize,
    pub(super) vpc: VpcId,
    pub(super) vrf: VrfId,
    pub(super) profile: Option<(ProfileId, Name)>,
    pub(super) claim: Claim,
    pub(super) prefix_length: u8,
    pub(super) pieces: Vec<(Source, Place)>,
    /// Whether the pieces were cooling down for this name.
    pub(super) is_back: bool,
}

/// What was read for a batch, and what was decided so far.
pub(super) struct Batch<'a> {
    pub(super) asks: &'a [Request],
    pub(super) plan: Arc<AddressPlan>,
    mode: Mode,
    prepared: Vec<Prepared>,
    /// By the place of the request.
    pub(super) owners: HashMap<usize, Owner>,
    /// VPCs that are used for the first time, by lower-case name, with their VRF.
    new_vpcs: HashMap<String, (VpcId, VrfId)>,
    /// What has the name already, by the place of the request.
    existing: HashMap<usize, Existing>,
    keys: Vec<UsedKey>,
    /// What the name had until a short while ago, by the place of the request.
    cooling: HashMap<usize, Vec<Cooling>>,
    pub(super) space: FreeSpace,
    pub(super) claims: HashMap<AllocationId, Claim>,
}

impl<'a> Batch<'a> {
    /// Reads what the requests need, once their pools are locked. A plan that was read after that needs no more than the
    /// right revisions of these pools.
    pub(super) async fn read(
        db: &mut Connection,
        ipam: &Ipam,
        asks: &'a [Request],
        plan: Arc<AddressPlan>,
        prepared: Vec<Prepared>,
        mode: Mode,
        is_fresh: bool,
    ) -> Result<Read<'a>> {
        let mut batch = Self {
            asks,
            mode,
            prepared,
            owners: HashMap::new(),
            new_vpcs: HashMap::new(),
            existing: HashMap::new(),
            keys: Vec::new(),
            cooling: HashMap::new(),
            space: FreeSpace::default(),
            claims: HashMap::new(),
            plan,
        };
        let pools = prepare::pools(&batch.prepared);
        batch.space = FreeSpace::new(
            pools
                .iter()
                .filter_map(|pool| batch.plan.pool(*pool))
                .flat_map(|pool| pool.ranges.iter().copied()),
        );
        match batch.look(db, ipam, pools, is_fresh).await? {
            Look::Ready => {}
            Look::Stale => return Ok(Read::Stale),
            Look::Elsewhere => return Ok(Read::Elsewhere),
        }
        batch.read_cooling(db).await?;
        batch.read_keys(db).await?;
        Ok(Read::Ready(Box::new(batch)))
    }

    /// The pools that it takes from, with the revisions that it relies on.
    pub(super) fn pools(&self) -> Vec<(PoolId, i64)> {
        prepare::pools(&self.prepared)
            .into_iter()
            .filter_map(|id| Some((id, self.plan.pool(id)?.revision)))
            .collect()
    }

    /// Reads the VPCs, what has the wanted names, and as much of the free list as the requests can use.
    async fn look(
        &mut self,
        db: &mut Connection,
        ipam: &Ipam,
        pools: BTreeSet<PoolId>,
        is_fresh: bool,
    ) -> Result<Look> {
        let vpcs: Vec<_> = self
            .asks
            .iter()
            .map(|ask| ask.new.vpc.as_str().to_owned())
            .collect();
        let names: Vec<_> = self
            .asks
            .iter()
            .map(|ask| ask.new.name.as_ref().map(|name| name.as_str().to_owned()))
            .collect();
        let reading = self.reading();
        let pools: Vec<_> = pools.into_iter().collect();
        let seen = allocate::look(db, &pools, &vpcs, &names, &reading.best_fit).await?;
        let is_current = (is_fresh || seen.plan == self.plan.revision)
            && seen.pools.len() == pools.len()
            && seen.pools.iter().all(|(id, revision)| {
                self.plan
                    .pool(*id)
                    .is_some_and(|pool| pool.revision == *revision)
            });
        if !is_current {
            ipam.forget_address_plan(&self.plan);
            return Ok(Look::Stale);
        }
        let mut is_known = true;
        for (place, owner, found) in seen.owners {
            let (ask, thought) = (&self.asks[place], self.prepared[place].vrf);
            if owner.vrf != thought && ask.new.vrf.is_none() {
                ipam.remember_vrf(ask.new.vpc.folded(), owner.vrf);
                is_known = false;
            }
            self.existing.extend(found.map(|found| (place, found)));
            self.owners.insert(place, owner);
        }
        // A VPC that was thought to be somewhere and is gone is made anew in `default`.
        for (place, ask) in self.asks.iter().enumerate() {
            let default = self.plan.vrf(None)?;
            if !self.owners.contains_key(&place)
                && ask.new.vrf.is_none()
                && self.prepared[place].vrf != default
            {
                ipam.remember_vrf(ask.new.vpc.folded(), default);
                is_known = false;
            }
        }
        if !is_known {
            return Ok(Look::Elsewhere);
        }
        seen.free
            .into_iter()
            .for_each(|place| self.space.read(place));
        for ((highest, avoid), (sizes, most)) in reading.by_address {
            let sizes: Vec<_> = sizes.into_iter().collect();
            let limit = most + i64::try_from(avoid.len()).unwrap_or(i64::MAX);
            free::by_address(db, &sizes, highest, &avoid, limit)
                .await?
                .into_iter()
                .for_each(|place| self.space.read(place));
        }
        if !reading.explicit.is_empty() {
            free::find(db, &reading.explicit)
                .await?
                .into_iter()
                .for_each(|place| self.space.read(place));
        }
        Ok(Look::Ready)
    }

    /// How much of the free list the requests can use.
    fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        let mut best_fit = BTreeSet::new();
        // How many blocks are wanted of a pool in all.
        let mut most: BTreeMap<PoolId, i64> = BTreeMap::new();
        for source in self.prepared.iter().flat_map(Prepared::sources) {
            *most.entry(source.pool.id).or_default() += 1;
        }
        for (ask, one) in self.asks.iter().zip(&self.prepared) {
            let Resolution::Take {
                sources, lengths, ..
            } = &one.resolution
            else {
                continue;
            };
            for (position, (source, length)) in sources.iter().zip(&lengths.blocks).enumerate() {
                let pool = &source.pool;
                if let (Size::Cidr(cidr), 0) = (ask.size, position) {
                    if let Some(range) = self.space.range_of(pool.id, cidr) {
                        let place = Place {
                            range: range.id,
                            cidr,
                        };
                        reading
                            .explicit
                            .extend(free_space::ancestors(place, range.cidr));
                    }
                    continue;
                }
                let host_bits = pool.family.bits().saturating_sub(*length);
                let sizes = pool.ranges.iter().map(|range| (range.id, host_bits));
                if pool.strategy == Strategy::BestFit && ask.new.exclude_cidrs.is_empty() {
                    best_fit.extend(sizes);
                    let wanted = most.get(&pool.id).copied().unwrap_or_default();
                    reading.best_fit.limit = reading.best_fit.limit.max(wanted);
                } else {
                    let highest = pool.strategy == Strategy::LastFit;
                    let entry = reading
                        .by_address
                        .entry((highest, ask.new.exclude_cidrs.clone()))
                        .or_default();
                    entry.0.extend(sizes);
                    entry.1 = entry.1.max(most.get(&pool.id).copied().unwrap_or_default());
                }
            }
        }
        reading.best_fit.sizes = best_fit.into_iter().collect();
        reading
    }

    /// What the names that are asked for had until a short while ago. Only pools with a cooldown keep it.
    async fn read_cooling(&mut self, db: &mut Connection) -> Result<()> {
        let mut wanted = Vec::new();
        for (index, one) in self.prepared.iter().enumerate() {
            if let (Resolution::Take { sources, .. }, Some(name)) =
                (&one.resolution, &self.asks[index].new.name)
                && sources.iter().any(|source| source.pool.has_cooldown)
            {
                let vpc = self.asks[index].new.vpc.folded();
                wanted.push((index, vpc, name.as_str().to_owned()));
            }
        }
        if !wanted.is_empty() {
            self.cooling = cooldown::of_names(db, &wanted).await?;
        }
        Ok(())
    }

    async fn read_keys(&mut self, db: &mut Connection) -> Result<()> {
        let keyed = self
            .asks
            .iter()
            .filter_map(|ask| Some((ask.maker.caller.actor.clone(), ask.key.as_ref()?.0.clone())));
        let (actors, keys): (Vec<_>, Vec<_>) = keyed.unzip();
        if !keys.is_empty() {
            self.keys = allocate::find_keys(db, &actors, &keys).await?;
        }
        Ok(())
    }

    /// Decides one request in memory.
    pub(super) async fn decide(&mut self, db: &mut Connection, index: usize) -> Decided {
        match self.try_decide(db, index).await {
            Ok(decided) => decided,
            Err(error) => Decided::refuse(error),
        }
    }

    async fn try_decide(&mut self, db: &mut Connection, index: usize) -> Result<Decided> {
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
        let one = &mut self.prepared[index];
        if let Resolution::Refuse(error) = &mut one.resolution {
            let error = error.take();
            return Err(error.unwrap_or_else(|| Error::bug("a request was decided twice")));
        }
        if let Some(owner) = self.owners.get(&index)
            && owner.vrf != one.vrf
        {
            return Err(Error::Invalid(format!(
                "VPC \"{}\" is in VRF \"{}\", not in \"{}\"; leave vrf out, or name another VPC",
                owner.name,
                self.plan.vrf_name(owner.vrf),
                self.plan.vrf_name(one.vrf)
            )));
        }
        let vrf = one.vrf;
        let (sources, lengths, has_others) = match &mut one.resolution {
            Resolution::Refuse(_) => return Err(Error::bug("a refused request was decided")),
            Resolution::Full(full) => return Ok(Decided::Full(std::mem::take(full))),
            Resolution::Take {
                sources,
                lengths,
                has_others,
            } => (sources.clone(), lengths.clone(), *has_others),
        };
        if let Some(name) = &ask.new.name {
            check_new_name(name)?;
        }
        if !self.owners.contains_key(&index) {
            check_new_name(&ask.new.vpc)?;
        }
        let (vpc, vpc_vrf) = match self.owners.get(&index) {
            Some(owner) => (owner.id, owner.vrf),
            None => *self
                .new_vpcs
                .entry(ask.new.vpc.folded())
                .or_insert_with(|| (VpcId::generate(), vrf)),
        };
        if vpc_vrf != vrf {
            return Err(Error::Invalid(format!(
                "two requests of this batch want the new VPC \"{}\" in different VRFs",
                ask.new.vpc
            )));
        }
        let cut = |pieces, is_back, prefix_length| {
            Decided::Grant(Grant {
                ask: index,
                vpc,
                vrf,
                profile: self.prepared[index].profile.clone(),
                claim: Claim::generate(),
                prefix_length,
                pieces,
                is_back,
            })
        };
        if let Some(pieces) = self
            .cooling
            .remove(&index)
            .and_then(|cooling| back(ask, &sources, &lengths.blocks, &cooling))
        {
            return Ok(cut(pieces, true, lengths.allocation));
        }
        let mut pieces: Vec<(Source, Place)> = Vec::with_capacity(sources.len());
        for (position, (source, length)) in sources.into_iter().zip(lengths.blocks).enumerate() {
            let pool = &source.pool;
            let avoid = &ask.new.exclude_cidrs;
            let taken = match ask.size {
                Size::Cidr(cidr) if position == 0 => {
                    if let Some(other) = avoid.iter().find(|other| other.overlaps(cidr)) {
                        return Err(Error::Invalid(format!(
                            "{cidr} is asked for, and overlaps {other} of exclude_cidrs"
                        )));
                    }
                    self.space.take_exact(pool.id, cidr)
                }
                _ => self.space.take(pool.id, length, pool.strategy, avoid),
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
                _ if has_others => Ok(Decided::Later(Some(pool.id))),
                _ => Ok(Decided::Full(vec![(source, length)])),
            };
        }
        Ok(cut(pieces, false, lengths.allocation))
    }

    /// What an earlier try of the same request made, or what is in its way.
    fn replay(&self, index: usize) -> Result<Option<Decided>> {
        let ask = &self.asks[index];
        if let Some((key, fingerprint)) = &ask.key
            && let Some(used) = self
                .keys
                .iter()
                .find(|used| used.actor == ask.maker.caller.actor && used.key == *key)
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
        let title = Title::new(
            Noun::Allocation,
            format!("allocation \"{import_id}\""),
            import_id,
        );
        judge(&ask.maker, &existing.standing, &title)?;
        if !asks_for(ask, existing) {
            return Err(title.differs(&asked(existing)));
        }
        Ok(Some(Decided::Adopt(existing.clone())))
    }

    /// Why an explicit CIDR could not be had.
    async fn overlap(&self, db: &mut Connection, source: &Source, cidr: Cidr) -> Result<Decided> {
        let Some(range) = self.space.range_of(source.pool.id, cidr) else {
            let ranges: Vec<_> = source
                .pool
                .ranges
                .iter()
                .map(|range| range.cidr.to_string())
                .collect();
            return Err(Error::Invalid(format!(
                "{cidr} does not lie in pool \"{}\", which consists of {}",
                source.pool.name,
                ranges.join(", ")
            )));
        };
        let conflicts = block::overlapping(db, range.id, cidr).await?;
        let Some(first) = conflicts.first() else {
            if self.asks.len() == 1 {
                return Err(Error::bug(format!(
                    "{cidr} is neither free nor in use: the free list was changed by hand; see ipam verify"
                )));
            }
            // Not in the database yet, so another request of this batch has it.
            if self.mode == Mode::Each {
                return Ok(Decided::Later(None));
            }
            return Err(Error::Overlap {
                message: format!(
                    "{cidr} is not free: a request before it in this batch gets it, or a part of it"
                ),
                conflicts,
            });
        };
        Err(Error::Overlap {
            message: format!("{cidr} is not free: {} {}", first.cidr, first.whose()),
            conflicts,
        })
    }
}

/// Ranges with host bits, and how many blocks of each.
type ByAddress = (BTreeSet<(RangeId, u8)>, i64);

/// How much of the free list to read.
#[derive(Default)]
struct Reading {
    best_fit: Wanted,
    /// Whether the highest addresses come first, and what to keep away from: what is wanted that way.
    by_address: BTreeMap<(bool, Vec<Cidr>), ByAddress>,
    /// Networks one of which is free if an explicit block is.
    explicit: Vec<Place>,
}

/// Whether a request asks for what there is.
fn asks_for(ask: &Request, existing: &Existing) -> bool {
    let new = &ask.new;
    let profile = match &ask.recipe {
        ipam_shared::api::allocation::Recipe::Profile(name) => Some(name.as_str()),
        _ => None,
    };
    let asked = Asked::of(new);
    (
        new.hosts.and_then(|hosts| i64::try_from(hosts).ok()),
        new.prefix_length.map(i16::from),
        new.cidr,
    ) == (
        existing.requested_hosts,
        existing.requested_prefix_length,
        existing.requested_cidr,
    ) && profile == existing.profile.as_deref()
        && asked == existing.asked
}

/// How it was asked for, for people.
fn asked(existing: &Existing) -> String {
    let size = match (
        existing.requested_hosts,
        existing.requested_prefix_length,
        existing.requested_cidr,
    ) {
        (Some(hosts), ..) => format!("{hosts} hosts"),
        (_, Some(length), _) => format!("a /{length}"),
        (.., Some(cidr)) => cidr.to_string(),
        _ => "the default size".to_owned(),
    };
    let from = match (&existing.profile, &existing.asked.pools) {
        (Some(profile), _) => format!("of profile \"{profile}\""),
        (None, Some(pools)) => format!("from the pools {}", pools.join(", ")),
        (None, None) => "from pools selected by label".to_owned(),
    };
    format!("{size} {from}")
}
