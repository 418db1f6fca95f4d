//! Many requests, one transaction: they share the commit and not their fate.
//!
//! 1. Find the VPCs, and lock the pools in the order of their ids.
//! 2. Read, after the lock, as much of the free list as the requests can use.
//! 3. Decide each request in memory (`plan`); one that does not fit leaves no trace.
//! 4. Write what was decided in a few statements, and commit.
//!
//! Nobody else can take a block between 2 and 4, since everybody locks the pool first; the exclusion constraint is there
//! for who does not. If the database refuses a batch all the same, each of its requests is tried alone, so that only the
//! one at fault gets the error.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipam_shared::{
    api::allocation::{Allocation, Block, NewAllocation, Size},
    cidr::{Cidr, usable_hosts},
    ids::{AllocationId, Claim, PoolId, VpcId},
};
use serde_json::json;
use sqlx::types::ipnet::IpNet;
use uuid::Uuid;

use super::{
    Caller, Ipam,
    allocation::Outcome,
    commit,
    plan::{self, FreeSpace, Place},
    sizing,
};
use crate::{
    db::{
        Connection,
        allocation::{self, Existing, NewRows, UsedKey},
        convert,
        event::{self, Event, Snapshot},
        free,
        pool::{self, Source},
        vpc::{self, Owner},
    },
    error::{Error, Exhausted, Result},
};

/// A checked request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The id that the allocation gets if it is new.
    pub(super) id: AllocationId,
    pub(super) new: NewAllocation,
    pub(super) size: Size,
    pub(super) caller: Caller,
    /// The Idempotency-Key, with SHA-256 of the request.
    pub(super) key: Option<(String, Vec<u8>)>,
}

impl Ask {
    /// What no two requests of a batch may have in common.
    pub(super) fn identities(&self) -> Vec<(u8, String, String)> {
        let name = self
            .new
            .name
            .as_ref()
            .map(|name| (0, lower(self.new.vpc.as_str()), name.as_str().to_owned()));
        let key = self
            .key
            .as_ref()
            .map(|(key, _)| (1, self.caller.actor.clone(), key.clone()));
        name.into_iter().chain(key).collect()
    }
}

/// How far a request got.
pub(super) enum Step {
    /// Decided.
    Done(Box<Result<Outcome>>),
    /// In the way of another one of the same batch; to be decided after it.
    Later(Box<Ask>),
}

/// Decides requests for one profile; an answer for each, in their order.
pub(super) async fn run(ipam: &Ipam, asks: Vec<Ask>) -> Vec<Step> {
    let alone = asks.len() == 1;
    match write(ipam, &asks).await {
        Ok(steps) => steps,
        Err(Error::UnknownOutcome(error)) => {
            tracing::error!(%error, requests = asks.len(), "the connection broke during a commit");
            let error = || Error::UnknownOutcome(sqlx::Error::WorkerCrashed);
            asks.iter()
                .map(|_| Step::Done(Box::new(Err(error()))))
                .collect()
        }
        Err(error) if alone => vec![Step::Done(Box::new(again(ipam, asks, error).await))],
        Err(error) => {
            tracing::warn!(error = %error, requests = asks.len(), "a batch was refused; its requests are tried alone");
            let mut steps = Vec::with_capacity(asks.len());
            for ask in asks {
                let answer = match write(ipam, std::slice::from_ref(&ask)).await {
                    Ok(mut answer) => answer.pop().unwrap_or(Step::Later(Box::new(ask))),
                    Err(error) => Step::Done(Box::new(again(ipam, vec![ask], error).await)),
                };
                steps.push(answer);
            }
            steps
        }
    }
}

/// Tries one request again that lost a race against somebody who does not lock the same pools, such as two first uses of
/// one VPC name with different profiles.
async fn again(ipam: &Ipam, asks: Vec<Ask>, mut error: Error) -> Result<Outcome> {
    for _ in 0..3 {
        let race = matches!(
            &error,
            Error::NameTaken { .. } | Error::Overlap { .. } | Error::InUse { .. }
        ) || matches!(&error, Error::Unavailable(_, Some(error)) if crate::db::error::is_race(error));
        if !race {
            break;
        }
        match write(ipam, &asks).await {
            Ok(mut steps) => match steps.pop() {
                Some(Step::Done(answer)) => return *answer,
                _ => return Err(Error::bug("a request alone in its batch was put off")),
            },
            Err(next) => error = next,
        }
    }
    Err(error)
}

/// Says what a request would get, and writes nothing.
pub(super) async fn dry_run(ipam: &Ipam, ask: Ask) -> Result<Outcome> {
    let mut transaction = ipam.begin().await?;
    let asks = [ask];
    let mut batch = Batch::read(&mut transaction, &asks, false).await?;
    let step = batch.decide(&mut transaction, 0).await;
    let step = batch.explain(&mut transaction, step).await;
    transaction.rollback().await?;
    match step {
        Decided::Cut(cut) => {
            let now = time::OffsetDateTime::now_utc();
            Ok(Outcome {
                allocation: batch.allocation(&cut, 0, now),
                created: false,
                request_id: asks[0].caller.request_id,
            })
        }
        Decided::Adopt(existing) => {
            let mut connection = ipam.read().await?;
            let found = allocation::load(&mut connection, &[existing.id])
                .await?
                .pop();
            let (allocation, request_id) =
                found.ok_or_else(|| Error::bug("an allocation went away meanwhile"))?;
            Ok(Outcome {
                allocation,
                created: false,
                request_id,
            })
        }
        Decided::Replay(id) => {
            let mut connection = ipam.read().await?;
            let found = allocation::load(&mut connection, &[id]).await?.pop();
            let (allocation, request_id) =
                found.ok_or_else(|| Error::bug("an allocation went away meanwhile"))?;
            Ok(Outcome {
                allocation,
                created: false,
                request_id,
            })
        }
        Decided::Refuse(error) => Err(*error),
        Decided::Full(..) | Decided::Later => Err(Error::bug("a dry run was left undecided")),
    }
}

/// One transaction for all.
async fn write(ipam: &Ipam, asks: &[Ask]) -> Result<Vec<Step>> {
    let mut transaction = ipam.begin().await?;
    let mut batch = Batch::read(&mut transaction, asks, true).await?;
    let mut decided = Vec::with_capacity(asks.len());
    for index in 0..asks.len() {
        decided.push(batch.decide(&mut transaction, index).await);
    }
    let changes = batch.space.changes();
    let mut rows = NewRows::default();
    let mut events = Vec::new();
    let mut steps = Vec::with_capacity(asks.len());
    for (ask, step) in asks.iter().zip(decided) {
        let step = batch.explain(&mut transaction, step).await;
        match &step {
            Decided::Cut(cut) => batch.add_rows(cut, &mut rows, &mut events)?,
            Decided::Adopt(existing) => {
                let claim = Claim::generate();
                let new = &ask.new;
                allocation::adopt(
                    &mut transaction,
                    existing.id,
                    claim,
                    &new.labels,
                    &new.description,
                    new.deletion_protection,
                )
                .await?;
                batch.claims.insert(existing.id, claim);
                // An answer that asserts ownership follows a commit of its own: this row makes it one.
                events.push(Event {
                    action: "allocation.adopt",
                    subject: existing.id.0,
                    caller: &ask.caller,
                    detail: json!({ "vpc": new.vpc, "name": new.name }),
                });
            }
            Decided::Replay(id) => events.push(Event {
                action: "allocation.replay",
                subject: id.0,
                caller: &ask.caller,
                detail: json!({}),
            }),
            Decided::Refuse(_) | Decided::Full(..) | Decided::Later => {}
        }
        steps.push(step);
    }
    let mut inserted = HashMap::new();
    if !rows.id.is_empty() {
        free::update(&mut transaction, &changes).await?;
        let done = allocation::insert(&mut transaction, &rows).await?;
        inserted.extend(done.into_iter().map(|row| (row.id, row)));
    }
    let found: Vec<_> = steps.iter().filter_map(Decided::existing).collect();
    let mut found: HashMap<_, _> = if found.is_empty() {
        HashMap::new()
    } else {
        let rows = allocation::load(&mut transaction, &found).await?;
        rows.into_iter()
            .map(|(allocation, request_id)| (allocation.id, (allocation, request_id)))
            .collect()
    };
    if events.is_empty() {
        transaction.rollback().await?;
    } else {
        event::insert(&mut transaction, &events).await?;
        commit(transaction).await?;
    }
    Ok(asks
        .iter()
        .zip(steps)
        .map(|(ask, step)| {
            let answer = match step {
                Decided::Later => return Step::Later(Box::new(ask.clone())),
                Decided::Refuse(error) => Err(*error),
                Decided::Full(..) => Err(Error::bug("a refusal was left unexplained")),
                Decided::Cut(cut) => match inserted.get(&ask.id) {
                    Some(row) => Ok(Outcome {
                        allocation: batch.allocation(&cut, row.number, row.created_at),
                        created: true,
                        request_id: ask.caller.request_id,
                    }),
                    None => Err(Error::bug("an inserted allocation was not answered")),
                },
                Decided::Adopt(Existing { id, .. }) | Decided::Replay(id) => {
                    match found.remove(&id) {
                        Some((mut allocation, request_id)) => {
                            allocation.claim = batch.claims.get(&id).copied();
                            Ok(Outcome {
                                allocation,
                                created: false,
                                request_id,
                            })
                        }
                        None => Err(Error::bug("an existing allocation was not answered")),
                    }
                }
            };
            Step::Done(Box::new(answer))
        })
        .collect())
}

/// What becomes of a request.
enum Decided {
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
    /// Another request of this batch is in its way.
    Later,
}

impl Decided {
    fn existing(&self) -> Option<AllocationId> {
        match self {
            Self::Adopt(existing) => Some(existing.id),
            Self::Replay(id) => Some(*id),
            _ => None,
        }
    }

    fn refuse(error: Error) -> Self {
        Self::Refuse(Box::new(error))
    }
}

/// Blocks for one request.
struct Cut {
    ask: usize,
    vpc: VpcId,
    claim: Claim,
    prefix_length: u8,
    pieces: Vec<(Source, Place)>,
}

/// What was read for a batch, and what was decided so far.
struct Batch<'a> {
    asks: &'a [Ask],
    /// By the place of the request.
    owners: HashMap<usize, Owner>,
    /// VPCs that are used for the first time, by lower-case name.
    new_vpcs: HashMap<String, VpcId>,
    sources: Vec<Source>,
    existing: Vec<Existing>,
    keys: Vec<UsedKey>,
    space: FreeSpace,
    claims: HashMap<AllocationId, Claim>,
    /// Why no request can be decided at all.
    broken: Option<String>,
}

impl<'a> Batch<'a> {
    async fn read(db: &mut Connection, asks: &'a [Ask], lock: bool) -> Result<Self> {
        let profile = asks
            .first()
            .map(|ask| ask.new.profile.as_str())
            .unwrap_or_default();
        let names: Vec<_> = asks
            .iter()
            .map(|ask| ask.new.vpc.as_str().to_owned())
            .collect();
        let owners: HashMap<_, _> = vpc::find_by_names(db, &names).await?.into_iter().collect();
        let vrfs: BTreeSet<_> = owners.values().map(|owner| owner.vrf).collect();
        let sources =
            pool::sources(db, profile, &vrfs.into_iter().collect::<Vec<_>>(), lock).await?;
        let broken = match sources.first() {
            Some(_) => None,
            None if pool::profile_exists(db, profile).await? => {
                Some(format!("none of the pools of profile \"{profile}\" exists"))
            }
            None => Some(format!("there is no profile \"{profile}\"")),
        };

        // Read after the lock, so that what an earlier holder of the lock made is seen.
        let named = asks.iter().enumerate().filter_map(|(index, ask)| {
            Some((
                owners.get(&index)?.id,
                ask.new.name.as_ref()?.as_str().to_owned(),
            ))
        });
        let (vpcs, names): (Vec<_>, Vec<_>) = named.unzip();
        let existing = if vpcs.is_empty() {
            Vec::new()
        } else {
            allocation::find_by_names(db, &vpcs, &names).await?
        };
        let keyed = asks
            .iter()
            .filter_map(|ask| Some((ask.caller.actor.clone(), ask.key.as_ref()?.0.clone())));
        let (actors, keys): (Vec<_>, Vec<_>) = keyed.unzip();
        let keys = if keys.is_empty() {
            Vec::new()
        } else {
            allocation::find_keys(db, &actors, &keys).await?
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
    async fn read_space(&mut self, db: &mut Connection) -> Result<()> {
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
    fn members(&self, index: usize) -> Result<(Vec<Source>, sizing::Lengths)> {
        let ask = &self.asks[index];
        let profile = ask.new.profile.as_str();
        if let Some(broken) = &self.broken {
            return Err(Error::NotFound(broken.clone()));
        }
        let vrf = self.owners.get(&index).map(|owner| owner.vrf);
        let mut members: BTreeMap<i16, &Source> = BTreeMap::new();
        for source in &self.sources {
            let own = Some(source.vrf) == vrf;
            let shared = source.vrf_name == ipam_shared::api::DEFAULT_VRF;
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
    async fn decide(&mut self, db: &mut Connection, index: usize) -> Decided {
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
            claim: Claim::generate(),
            prefix_length: lengths.allocation,
            pieces,
        }))
    }

    /// What an earlier try of the same request made, or what is in its way.
    fn replay(&self, index: usize) -> Result<Option<Decided>> {
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
        let (Some(name), Some(owner)) = (&ask.new.name, self.owners.get(&index)) else {
            return Ok(None);
        };
        let found = self
            .existing
            .iter()
            .find(|other| other.vpc == owner.id && other.name == name.as_str());
        let Some(existing) = found else {
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
            ask.new.profile.as_str(),
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
    async fn overlap(&self, db: &mut Connection, source: &Source, cidr: Cidr) -> Result<Decided> {
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
            // Not in the database yet, so another request of this batch has it.
            return Ok(Decided::Later);
        };
        let owner = match (&first.vpc, &first.name, &first.reason) {
            (Some(vpc), Some(name), _) => format!("allocation \"{vpc}/{name}\""),
            (Some(vpc), None, _) => format!("an allocation of VPC \"{vpc}\""),
            (.., Some(reason)) => format!("a reservation ({reason})"),
            _ => "something else".to_owned(),
        };
        Err(Error::Overlap {
            message: format!("{cidr} is not free: {} belongs to {owner}", first.cidr),
            conflicts,
        })
    }

    /// Turns a full pool into an error that says what is left, with what this batch took and left out of account.
    async fn explain(&self, db: &mut Connection, decided: Decided) -> Decided {
        let Decided::Full(source, prefix_length) = decided else {
            return decided;
        };
        let ids: Vec<_> = source.ranges.iter().map(|range| range.id).collect();
        let mut counts: BTreeMap<u8, i64> = BTreeMap::new();
        match pool::free_counts(db, source.family, &ids).await {
            Ok(free) => counts.extend(
                free.iter()
                    .map(|free| (free.prefix_length, free.count.cast_signed())),
            ),
            Err(error) => return Decided::refuse(error),
        }
        let changes = self.space.changes();
        for (places, one) in [(&changes.removed, -1), (&changes.added, 1)] {
            for place in places.iter().filter(|place| ids.contains(&place.range)) {
                *counts.entry(place.cidr.prefix_length()).or_default() += one;
            }
        }
        counts.retain(|_, count| *count > 0);
        let bits = source.family.bits();
        let free_addresses = counts
            .iter()
            .map(|(length, count)| {
                let size = 1_u128
                    .checked_shl((bits - length).into())
                    .unwrap_or(u128::MAX);
                size.saturating_mul(count.unsigned_abs().into())
            })
            .fold(0, u128::saturating_add);
        Decided::refuse(Error::Exhausted(Box::new(Exhausted {
            pool: source.pool_name.clone(),
            vrf: source.vrf_name.clone(),
            ranges: source.ranges.iter().map(|range| range.cidr).collect(),
            role: source.role.clone(),
            prefix_length,
            largest_free_prefix_length: counts.keys().next().copied(),
            free_addresses,
            fits_if_defragmented: free_addresses >> (bits - prefix_length),
        })))
    }

    /// The rows and events of one decided request.
    fn add_rows(&self, cut: &Cut, rows: &mut NewRows, events: &mut Vec<Event<'a>>) -> Result<()> {
        let ask = &self.asks[cut.ask];
        let new = &ask.new;
        if !self.owners.contains_key(&cut.ask) && !rows.vpc_id.contains(&cut.vpc.0) {
            // A VPC on first use goes where pools are shared.
            let vrf = cut
                .pieces
                .iter()
                .find(|(source, _)| source.vrf_name == ipam_shared::api::DEFAULT_VRF);
            let (source, _) =
                vrf.ok_or_else(|| Error::bug("a new VPC's pools are not in the default VRF"))?;
            rows.vpc_id.push(cut.vpc.0);
            rows.vpc_vrf.push(source.vrf.0);
            rows.vpc_name.push(new.vpc.as_str().to_owned());
            events.push(Event {
                action: "vpc.create",
                subject: cut.vpc.0,
                caller: &ask.caller,
                detail: json!({ "name": new.vpc }),
            });
        }
        rows.id.push(ask.id.0);
        rows.vpc.push(cut.vpc.0);
        rows.name
            .push(new.name.as_ref().map(|name| name.as_str().to_owned()));
        rows.profile.push(
            cut.pieces
                .first()
                .map(|(source, _)| source.profile.0)
                .unwrap_or_default(),
        );
        rows.prefix_length.push(cut.prefix_length.into());
        rows.members
            .push(i16::try_from(cut.pieces.len()).unwrap_or(i16::MAX));
        rows.requested_hosts
            .push(new.hosts.and_then(|hosts| i64::try_from(hosts).ok()));
        rows.requested_prefix_length
            .push(new.prefix_length.map(i16::from));
        rows.requested_cidr.push(new.cidr.map(IpNet::from));
        rows.labels.push(convert::labels_json(&new.labels)?);
        rows.description.push(new.description.clone());
        rows.deletion_protection.push(new.deletion_protection);
        rows.created_by.push(ask.caller.actor.clone());
        rows.request_id.push(ask.caller.request_id);
        rows.claim.push(cut.claim.0);
        for (source, place) in &cut.pieces {
            let range = self
                .space
                .range(place.range)
                .ok_or_else(|| Error::bug("a block in no range"))?;
            rows.block_range.push(place.range);
            rows.block_cidr.push(place.cidr.into());
            rows.block_range_cidr.push(range.cidr.into());
            rows.block_allocation.push(ask.id.0);
            rows.block_member.push(source.member);
            rows.block_prefix_length.push(cut.prefix_length.into());
            rows.block_size_offset.push(source.size_offset);
            rows.block_min.push(source.min_prefix_length.into());
            rows.block_max.push(source.max_prefix_length.into());
        }
        if let Some((key, fingerprint)) = &ask.key {
            rows.key_actor.push(ask.caller.actor.clone());
            rows.key.push(key.clone());
            rows.key_fingerprint.push(fingerprint.clone());
            rows.key_allocation.push(ask.id.0);
        }
        let snapshot = Snapshot {
            vpc: new.vpc.as_str(),
            name: new.name.as_ref().map(|name| name.as_str()),
            cidrs: cut.pieces.iter().map(|(_, place)| place.cidr).collect(),
        };
        events.push(Event {
            action: "allocation.create",
            subject: ask.id.0,
            caller: &ask.caller,
            detail: serde_json::to_value(snapshot)
                .map_err(|error| Error::Internal(error.into()))?,
        });
        Ok(())
    }

    /// The answer to a request that got blocks. A dry run has no id, no number and no claim.
    fn allocation(&self, cut: &Cut, number: i64, created_at: time::OffsetDateTime) -> Allocation {
        let ask = &self.asks[cut.ask];
        let new = &ask.new;
        let blocks: Vec<_> = cut
            .pieces
            .iter()
            .map(|(source, place)| Block {
                role: source.role.clone(),
                cidr: place.cidr,
                pool: source.pool_name.clone(),
                vrf: source.vrf_name.clone(),
                usable: usable_hosts(
                    source.family,
                    place.cidr.prefix_length(),
                    source.reserved_addresses,
                ),
            })
            .collect();
        let stored = self
            .owners
            .get(&cut.ask)
            .and_then(|owner| owner.name.parse().ok());
        Allocation {
            id: if new.dry_run {
                AllocationId(Uuid::nil())
            } else {
                ask.id
            },
            number,
            vpc: stored.unwrap_or_else(|| new.vpc.clone()),
            vpc_id: cut.vpc,
            name: new.name.clone(),
            profile: new.profile.clone(),
            cidr: cut.pieces[0].1.cidr,
            prefix_length: cut.prefix_length,
            requested_hosts: new.hosts,
            requested_prefix_length: new.prefix_length,
            requested_cidr: new.cidr,
            blocks,
            labels: new.labels.clone(),
            description: new.description.clone(),
            deletion_protection: new.deletion_protection,
            revision: 1,
            created_by: ask.caller.actor.clone(),
            created_at,
            updated_at: created_at,
            claim: (!new.dry_run).then_some(cut.claim),
        }
    }
}

/// Lower case as far as every database agrees on it. Where a database folds more, the unique index finds the clash, and
/// the request is tried again.
fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}
