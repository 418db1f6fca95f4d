//! Decides each request of a batch in memory, on what was read under the lock.

use ipam_shared::{
    api::{allocation::Size, ownership::Noun},
    cidr::Cidr,
    ids::{AllocationId, Claim, PoolId, ProfileId, VpcId, VrfId},
    name::Name,
};

use super::{
    prepare::{Resolution, back, elsewhere},
    read::Batch,
    request::{Mode, Request},
};
use crate::{
    db::{
        Connection,
        allocate::Existing,
        allocation::{self, WithSpace},
        block,
        convert::Asked,
        event,
    },
    domain::{
        address_plan::{Source, check_required},
        check_new_name,
        ownership::{Title, judge},
        quota::Addresses,
    },
    error::{Error, Exceeded, Result},
    network::Place,
};

/// The decision on a request.
pub(super) enum Decided {
    /// It gets these blocks.
    Grant(Grant),
    /// It gets what an earlier attempt of the same request created.
    Adopt(Existing),
    /// It gets what the same Idempotency-Key created.
    Replay(AllocationId),
    /// It gets an error.
    Refuse(Box<Error>),
    /// None of these pools had a block of that length.
    Full(Vec<(Source, u8)>),
    /// Quotas of its token keep it from taking from this pool, and others may do.
    Over(PoolId, Vec<Exceeded>),
    /// It conflicts with another request of this batch or a concurrent change; or this pool has no room, and others may.
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

/// Blocks for one request.
pub(super) struct Grant {
    pub(super) request: usize,
    pub(super) vpc: VpcId,
    pub(super) vrf: VrfId,
    pub(super) profile: Option<(ProfileId, Name)>,
    pub(super) claim: Claim,
    pub(super) prefix_length: u8,
    pub(super) pieces: Vec<(Source, Place)>,
    /// Whether the pieces were cooling down for this name.
    pub(super) is_back: bool,
}

impl Batch<'_> {
    /// Decides one request in memory.
    pub(super) async fn decide(&mut self, db: &mut Connection, index: usize) -> Decided {
        match self.try_decide(db, index).await {
            Ok(decided) => decided,
            Err(error) => Decided::refuse(error),
        }
    }

    async fn try_decide(&mut self, db: &mut Connection, index: usize) -> Result<Decided> {
        let request = &self.requests[index];
        if let Some(decided) = self.replay(index)? {
            match &decided {
                Decided::Replay(id) => {
                    if let Some((at, by)) = event::release_of(db, *id).await? {
                        return Err(Error::Gone {
                            what: format!("the allocation {id} that this Idempotency-Key made"),
                            at,
                            by,
                        });
                    }
                }
                // The labels of a repeated request win, and are then a change like any other.
                Decided::Adopt(existing) if existing.labels != request.new.labels => {
                    let held = allocation::with_space(db, &[existing.id]).await?;
                    for (pool, required) in held.iter().flat_map(WithSpace::required_labels) {
                        check_required(pool, required, &request.new.labels)?;
                    }
                }
                _ => {}
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
            let scope = request.maker.caller.rights.scope();
            if scope.is_some_and(|scope| !scope.covers_vrf(owner.vrf)) {
                return Err(elsewhere(request));
            }
            return Err(Error::invalid(format!(
                "VPC \"{}\" is in VRF \"{}\", not in \"{}\"; leave vrf out, or name another VPC",
                owner.name,
                self.plan.vrf_name(owner.vrf),
                self.plan.vrf_name(one.vrf)
            ))
            .about("vrf"));
        }
        let vrf = one.vrf;
        let (sources, lengths, has_others) = match &mut one.resolution {
            Resolution::Refuse(_) => return Err(Error::bug("a refused request was decided")),
            Resolution::Full(_) if !request.exceeded.is_empty() => {
                return Err(Error::QuotaExceeded(request.exceeded.clone()));
            }
            Resolution::Full(full) => return Ok(Decided::Full(std::mem::take(full))),
            Resolution::Take {
                sources,
                lengths,
                has_others,
            } => (sources.clone(), lengths.clone(), *has_others),
        };
        if let Some(name) = &request.new.name {
            check_new_name(name)?;
        }
        if !self.owners.contains_key(&index) {
            check_new_name(&request.new.vpc)?;
        }
        let (vpc, vpc_vrf) = match self.owners.get(&index) {
            Some(owner) => (owner.id, owner.vrf),
            None => *self
                .new_vpcs
                .entry(request.new.vpc.folded())
                .or_insert_with(|| (VpcId::generate(), vrf)),
        };
        if vpc_vrf != vrf {
            return Err(Error::invalid(format!(
                "two requests of this batch want the new VPC \"{}\" in different VRFs",
                request.new.vpc
            )));
        }
        let profile = one.profile.clone();
        let grant = |pieces, is_back, prefix_length| {
            Decided::Grant(Grant {
                request: index,
                vpc,
                vrf,
                profile: profile.clone(),
                claim: Claim::generate(),
                prefix_length,
                pieces,
                is_back,
            })
        };
        if let Some(pieces) = self
            .cooling
            .remove(&index)
            .and_then(|cooling| back(request, &sources, &lengths.blocks, &cooling))
        {
            return Ok(match self.over_quota(index, &pieces, has_others)? {
                Some(instead) => instead,
                None => grant(pieces, true, lengths.allocation),
            });
        }
        let mut pieces: Vec<(Source, Place)> = Vec::with_capacity(sources.len());
        for (position, (source, length)) in sources.into_iter().zip(lengths.blocks).enumerate() {
            let pool = &source.pool;
            let avoid = &request.new.exclude_cidrs;
            let taken = match request.size {
                Size::Cidr(cidr) if position == 0 => {
                    if let Some(other) = avoid.iter().find(|other| other.overlaps(cidr)) {
                        return Err(Error::invalid(format!(
                            "{cidr} is asked for, but overlaps {other} of exclude_cidrs"
                        ))
                        .about("exclude_cidrs"));
                    }
                    self.space.take_exact(pool.id, cidr)
                }
                _ => self.space.take(pool.id, length, pool.strategy, avoid),
            };
            if let Some(place) = taken {
                pieces.push((source, place));
                continue;
            }
            // All or none: what the other members got is given back as if it had never been taken.
            pieces
                .drain(..)
                .rev()
                .for_each(|(_, place)| self.space.give_back(place));
            return match request.size {
                Size::Cidr(cidr) if position == 0 => self.overlap(db, &source, cidr).await,
                _ if has_others => Ok(Decided::Later(Some(pool.id))),
                _ => Ok(Decided::Full(vec![(source, length)])),
            };
        }
        match self.over_quota(index, &pieces, has_others) {
            Ok(None) => Ok(grant(pieces, false, lengths.allocation)),
            instead => {
                let places = pieces.iter().rev().map(|(_, place)| *place);
                places.for_each(|place| self.space.give_back(place));
                instead.map(|instead| instead.unwrap_or(Decided::Later(None)))
            }
        }
    }

    /// What a request gets instead of these blocks, if the quotas of its token don't allow them.
    fn over_quota(
        &mut self,
        index: usize,
        pieces: &[(Source, Place)],
        has_others: bool,
    ) -> Result<Option<Decided>> {
        let Some(token) = self.requests[index].maker.caller.rights.quotas() else {
            return Ok(None);
        };
        let mut asked = Addresses::new();
        for (source, place) in pieces {
            let of_pool = asked.entry(source.pool.id).or_default();
            *of_pool = of_pool.saturating_add(place.cidr.addresses());
        }
        let Some(allowance) = (self.allowance.as_mut()).filter(|known| known.token() == token)
        else {
            return Ok(Some(Decided::Later(None)));
        };
        match (allowance.take(&asked), pieces.first()) {
            (Ok(()), _) => Ok(None),
            (Err(exceeded), Some((source, _))) if has_others => {
                Ok(Some(Decided::Over(source.pool.id, exceeded)))
            }
            (Err(exceeded), _) => Err(Error::QuotaExceeded(exceeded)),
        }
    }

    /// What an earlier attempt of the same request created, or what conflicts with it.
    fn replay(&self, index: usize) -> Result<Option<Decided>> {
        let request = &self.requests[index];
        if let Some((key, fingerprint)) = &request.key
            && let Some(used) = self
                .keys
                .iter()
                .find(|used| used.actor == request.maker.caller.actor && used.key == *key)
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
        judge(&request.maker, &existing.standing, &title)?;
        if !asks_for(request, existing) {
            return Err(title.differs(&asked(existing)));
        }
        Ok(Some(Decided::Adopt(existing.clone())))
    }

    /// Why an explicit CIDR could not be taken.
    async fn overlap(&self, db: &mut Connection, source: &Source, cidr: Cidr) -> Result<Decided> {
        let Some(range) = self.space.range_of(source.pool.id, cidr) else {
            let ranges: Vec<_> = source
                .pool
                .ranges
                .iter()
                .map(|range| range.cidr.to_string())
                .collect();
            return Err(Error::invalid(format!(
                "{cidr} does not lie in pool \"{}\", which consists of {}",
                source.pool.name,
                ranges.join(", ")
            ))
            .about("cidr"));
        };
        let conflicts = block::overlapping(db, range.id, cidr).await?;
        let Some(first) = conflicts.first() else {
            if self.requests.len() == 1 {
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
                    "{cidr} is not free: an earlier request of this batch gets it, or a part of it"
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

/// Whether a request asks for what exists.
fn asks_for(request: &Request, existing: &Existing) -> bool {
    let new = &request.new;
    let profile = match &request.recipe {
        ipam_shared::api::allocation::Recipe::Profile(name) => Some(name.as_str()),
        _ => None,
    };
    let asked = Asked::of(new);
    (new.hosts, new.prefix_length.map(i16::from), new.cidr)
        == (
            existing.requested_hosts.map(i64::unsigned_abs),
            existing.requested_prefix_length,
            existing.requested_cidr,
        )
        && profile == existing.profile.as_deref()
        && asked == existing.asked
}

/// How it was requested, for people.
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
