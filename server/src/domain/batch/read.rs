//! What is read for a batch, once its pools are locked or, for a request that is alone, without a lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ipam_shared::{
    api::{allocation::Size, pool::Strategy},
    cidr::Cidr,
    ids::{AllocationId, Claim, PoolId, VpcId, VrfId},
};

use super::{
    prepare::{self, Prepared, Resolution},
    request::{Mode, Request},
};
use crate::{
    db::{
        Connection,
        allocate::{self, Existing, UsedKey, Wanted},
        cooldown::{self, Cooling},
        free,
        vpc::Owner,
    },
    domain::{
        Ipam,
        address_plan::AddressPlan,
        quota::Allowance,
        space::free_space::{self, FreeSpace},
    },
    error::Result,
    network::{Place, RangeId},
};

/// The result of reading for a batch.
pub(super) enum Read<'a> {
    /// The batch can be decided.
    Ready(Box<Batch<'a>>),
    /// The address plan is out of date.
    Stale,
    /// A VPC is in a different VRF than assumed.
    Elsewhere,
}

/// The same, before there is a batch.
enum Look {
    Ready,
    Stale,
    Elsewhere,
}

/// What was read for a batch, and what has been decided so far.
pub(super) struct Batch<'a> {
    pub(super) requests: &'a [Request],
    pub(super) plan: Arc<AddressPlan>,
    pub(super) mode: Mode,
    pub(super) prepared: Vec<Prepared>,
    /// By the request's index.
    pub(super) owners: HashMap<usize, Owner>,
    /// VPCs that are used for the first time, by lower-case name, with their VRF.
    pub(super) new_vpcs: HashMap<String, (VpcId, VrfId)>,
    /// What already has the name, by the request's index.
    pub(super) existing: HashMap<usize, Existing>,
    pub(super) keys: Vec<UsedKey>,
    /// What the name had until recently, by the request's index.
    pub(super) cooling: HashMap<usize, Vec<Cooling>>,
    pub(super) space: FreeSpace,
    pub(super) claims: HashMap<AllocationId, Claim>,
    /// What the token may still take whose requests with quotas this batch decides.
    pub(super) allowance: Option<Allowance>,
}

impl<'a> Batch<'a> {
    /// Reads what the requests need, once their pools are locked. For a plan that was read after locking, the revisions of
    /// these pools are all that must match.
    pub(super) async fn read(
        db: &mut Connection,
        ipam: &Ipam,
        requests: &'a [Request],
        plan: Arc<AddressPlan>,
        prepared: Vec<Prepared>,
        mode: Mode,
        is_fresh: bool,
    ) -> Result<Read<'a>> {
        let mut batch = Self {
            requests,
            mode,
            prepared,
            owners: HashMap::new(),
            new_vpcs: HashMap::new(),
            existing: HashMap::new(),
            keys: Vec::new(),
            cooling: HashMap::new(),
            space: FreeSpace::default(),
            claims: HashMap::new(),
            allowance: None,
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
        batch.read_allowance(db).await?;
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
            .requests
            .iter()
            .map(|request| request.new.vpc.as_str().to_owned())
            .collect();
        let names: Vec<_> = self
            .requests
            .iter()
            .map(|request| {
                request
                    .new
                    .name
                    .as_ref()
                    .map(|name| name.as_str().to_owned())
            })
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
            let (request, thought) = (&self.requests[place], self.prepared[place].vrf);
            if owner.vrf != thought && request.new.vrf.is_none() {
                ipam.remember_vrf(request.new.vpc.folded(), owner.vrf);
                is_known = false;
            }
            self.existing.extend(found.map(|found| (place, found)));
            self.owners.insert(place, owner);
        }
        // A VPC that has been deleted since is created again in `default`.
        for (place, request) in self.requests.iter().enumerate() {
            let default = self.plan.vrf(None)?;
            if !self.owners.contains_key(&place)
                && request.new.vrf.is_none()
                && self.prepared[place].vrf != default
            {
                ipam.remember_vrf(request.new.vpc.folded(), default);
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
        for (request, one) in self.requests.iter().zip(&self.prepared) {
            let Resolution::Take {
                sources, lengths, ..
            } = &one.resolution
            else {
                continue;
            };
            for (position, (source, length)) in sources.iter().zip(&lengths.blocks).enumerate() {
                let pool = &source.pool;
                if let (Size::Cidr(cidr), 0) = (request.size, position) {
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
                if pool.strategy == Strategy::BestFit && request.new.exclude_cidrs.is_empty() {
                    best_fit.extend(sizes);
                    let wanted = most.get(&pool.id).copied().unwrap_or_default();
                    reading.best_fit.limit = reading.best_fit.limit.max(wanted);
                } else {
                    let highest = pool.strategy == Strategy::LastFit;
                    let entry = reading
                        .by_address
                        .entry((highest, request.new.exclude_cidrs.clone()))
                        .or_default();
                    entry.0.extend(sizes);
                    entry.1 = entry.1.max(most.get(&pool.id).copied().unwrap_or_default());
                }
            }
        }
        reading.best_fit.sizes = best_fit.into_iter().collect();
        reading
    }

    /// What the requested names had until recently. Only pools with a cooldown keep it.
    async fn read_cooling(&mut self, db: &mut Connection) -> Result<()> {
        let mut wanted = Vec::new();
        for (index, one) in self.prepared.iter().enumerate() {
            if let (Resolution::Take { sources, .. }, Some(name)) =
                (&one.resolution, &self.requests[index].new.name)
                && sources.iter().any(|source| source.pool.has_cooldown)
            {
                let vpc = self.requests[index].new.vpc.folded();
                wanted.push((index, vpc, name.as_str().to_owned()));
            }
        }
        if !wanted.is_empty() {
            self.cooling = cooldown::of_names(db, &wanted).await?;
        }
        Ok(())
    }

    /// What the first token with quotas may still take. Those of others are for later batches: what this one grants is not
    /// stored yet, and may count for them as well.
    async fn read_allowance(&mut self, db: &mut Connection) -> Result<()> {
        let mut tokens = self.requests.iter().zip(&self.prepared);
        let token = tokens.find_map(|(request, one)| {
            (request.maker.caller.rights.quotas()).filter(|_| !one.sources().is_empty())
        });
        if let Some(token) = token {
            let pools = prepare::pools(&self.prepared);
            self.allowance = Some(Allowance::read(db, token, &pools).await?);
        }
        Ok(())
    }

    async fn read_keys(&mut self, db: &mut Connection) -> Result<()> {
        let keyed = self.requests.iter().filter_map(|request| {
            Some((
                request.maker.caller.actor.clone(),
                request.key.as_ref()?.0.clone(),
            ))
        });
        let (actors, keys): (Vec<_>, Vec<_>) = keyed.unzip();
        if !keys.is_empty() {
            self.keys = allocate::find_keys(db, &actors, &keys).await?;
        }
        Ok(())
    }
}

/// How much of the free list to read.
#[derive(Default)]
struct Reading {
    best_fit: Wanted,
    /// Whether the highest addresses come first, and what to keep away from: what is wanted that way.
    by_address: BTreeMap<(bool, Vec<Cidr>), ByAddress>,
    /// Networks one of which is free if an explicit block is.
    explicit: Vec<Place>,
}

/// Ranges with host bits, and how many blocks of each.
type ByAddress = (BTreeSet<(RangeId, u8)>, i64);
