//! Allocations: allocate, show, update, release.

mod resize;

use std::collections::HashMap;

use ipam_shared::{
    api::{
        MAX_BATCH_IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY,
        allocation::{Allocation, AllocationPatch, AskError, MAX_BATCH, NewAllocation, NewBatch},
    },
    ids::{AllocationId, Claim},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::resize::NewSize;
pub use super::batch::Outcome;
use super::{
    Caller, Ipam,
    address_plan::check_required,
    admission::Kind,
    batch::{self, Request, lower},
    check_description, check_new_name, check_revision, commit, detached, missing_allocation,
    ownership::Maker,
    space::free_list::give_back,
};
use crate::{
    db::{
        Connection,
        allocation::{self, Update},
        block, cooldown,
        error::{Meaning, meaning},
        event::{self, Event, Snapshot},
        pool,
        vpc::{self, Owner},
    },
    error::{Error, Result},
    metrics::Allocated,
    network::Range,
};

/// What became of a batch.
#[derive(Debug)]
pub enum BatchOutcome {
    /// An answer for each request, in their order.
    Done(Vec<Result<Outcome>>),
    /// Nothing was written, since these requests, counted from 0, can't be met.
    Refused(Vec<(usize, Error)>),
}

fn refused<T>(answers: Vec<Result<T>>) -> Vec<(usize, Error)> {
    answers
        .into_iter()
        .enumerate()
        .filter_map(|(index, answer)| Some((index, answer.err()?)))
        .collect()
}

impl Ipam {
    /// Allocates, or answers what an earlier try of the same request made. Returns after the commit.
    pub async fn allocate(
        &self,
        maker: impl Into<Maker>,
        new: NewAllocation,
        key: Option<String>,
    ) -> Result<Outcome> {
        let is_dry = new.dry_run;
        self.may_hand_out()?;
        let ask = check(&maker.into(), new, key)?;
        if !is_dry {
            let answer = self.queues.submit(self, ask).await;
            self.count(&answer, false);
            return answer;
        }
        let _place = self.admit(Kind::Allocation).await?;
        let ipam = self.clone();
        let answers = detached(async move { batch::together(&ipam, vec![ask], true).await });
        let answer = answers
            .await?
            .pop()
            .ok_or_else(|| Error::bug("a dry run was left undecided"))?;
        self.count(&answer, true);
        answer
    }

    /// Counts a request for space that was met.
    fn count(&self, answer: &Result<Outcome>, is_dry: bool) {
        if let Ok(outcome) = answer {
            self.metrics.allocated(match (is_dry, outcome.created) {
                (true, _) => Allocated::DryRun,
                (false, true) => Allocated::Created,
                (false, false) => Allocated::Existing,
            });
        }
    }

    /// Allocates for several requests. Each answer comes after the commit.
    pub async fn allocate_batch(
        &self,
        maker: impl Into<Maker>,
        new: NewBatch,
        key: Option<String>,
    ) -> Result<BatchOutcome> {
        let maker = maker.into();
        self.may_hand_out()?;
        if !(1..=MAX_BATCH).contains(&new.requests.len()) {
            return Err(Error::Invalid(format!(
                "a batch has 1 to {MAX_BATCH} requests, this one has {}",
                new.requests.len()
            )));
        }
        if let Some(key) = &key {
            check_key(key, MAX_BATCH_IDEMPOTENCY_KEY)?;
        }
        let mut asks = Vec::with_capacity(new.requests.len());
        let mut seen = HashMap::new();
        for (index, request) in new.requests.into_iter().enumerate() {
            if request.dry_run {
                return Err(Error::Invalid(format!(
                    "request {index} says dry_run; say it of the whole batch"
                )));
            }
            // Each request has a key of its own, so that a repeated batch finds what each of them made.
            let key = key.as_ref().map(|key| format!("{key} {index}"));
            let ask = check(&maker, request, key);
            if let Ok(ask) = &ask {
                for identity in ask.identities() {
                    if let Some(other) = seen.insert(identity, index) {
                        return Err(Error::Invalid(format!(
                            "requests {other} and {index} ask for the same name in the same VPC; give each its own"
                        )));
                    }
                }
            }
            asks.push(ask);
        }
        if !new.atomic && !new.dry_run {
            let answers = asks.into_iter().map(|ask| async {
                match ask {
                    Ok(ask) => self.queues.join(self, ask).await,
                    Err(error) => Err(error),
                }
            });
            let answers = futures::future::join_all(answers).await;
            answers.iter().for_each(|answer| self.count(answer, false));
            return Ok(BatchOutcome::Done(answers));
        }
        if new.atomic && asks.iter().any(Result::is_err) {
            return Ok(BatchOutcome::Refused(refused(asks)));
        }
        let mut answers = Vec::with_capacity(asks.len());
        let (mut places, mut valid) = (Vec::new(), Vec::new());
        for (place, ask) in asks.into_iter().enumerate() {
            match ask {
                Ok(ask) => {
                    places.push(place);
                    valid.push(ask);
                }
                Err(error) => answers.push((place, Err(error))),
            }
        }
        let ipam = self.clone();
        let decided =
            detached(async move { batch::together(&ipam, valid, new.dry_run).await }).await?;
        answers.extend(places.into_iter().zip(decided));
        answers.sort_by_key(|(place, _)| *place);
        let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
        if new.atomic && answers.iter().any(Result::is_err) {
            return Ok(BatchOutcome::Refused(refused(answers)));
        }
        answers
            .iter()
            .for_each(|answer| self.count(answer, new.dry_run));
        Ok(BatchOutcome::Done(answers))
    }

    /// One allocation. With a claim, whoever asks must be its owner, and is confirmed as such: nobody adopts the
    /// allocation by name afterwards.
    pub async fn show(
        &self,
        caller: Caller,
        id: AllocationId,
        claim: Option<Claim>,
    ) -> Result<Allocation> {
        let mut connection = self.read().await?;
        let Some(allocation) = allocation::get(&mut connection, id).await? else {
            return Err(missing_allocation(&mut connection, id).await);
        };
        self.shown(connection, caller, allocation, claim).await
    }

    /// Changes an allocation in place. With `if_match`, only if it is at that revision.
    pub async fn update(
        &self,
        caller: Caller,
        id: AllocationId,
        patch: AllocationPatch,
        if_match: Option<i64>,
    ) -> Result<Allocation> {
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        let size = match (patch.hosts, patch.prefix_length) {
            (Some(_), Some(_)) => {
                return Err(Error::Invalid(
                    "give hosts or prefix_length, not both".to_owned(),
                ));
            }
            (Some(hosts), None) => Some(NewSize::Hosts(hosts)),
            (None, Some(length)) => Some(NewSize::PrefixLength(length)),
            (None, None) => None,
        };
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin_hot([]).await?;
            if size.is_some() {
                ipam.may_hand_out()?;
            }
            let db = &mut *transaction;
            // Pools, the VPC, the allocation: that is the order of locks.
            let ranges = if size.is_some() {
                let pools = allocation::pools(db, &[id]).await?;
                pool::lock(db, &pools).await?
            } else {
                Vec::new()
            };
            let target = match &patch.vpc {
                Some(name) => {
                    let target = vpc::find_or_insert(db, name.as_str()).await?;
                    if target.1 {
                        check_new_name(name)?;
                    }
                    Some(target)
                }
                None => None,
            };
            let Some(locked) = allocation::lock(db, id).await? else {
                return Err(missing_allocation(db, id).await);
            };
            check_revision(if_match, locked.revision)?;
            let before = allocation::get(db, id)
                .await?
                .ok_or_else(|| Error::bug("it was locked"))?;
            let changes_nothing = AllocationPatch {
                dry_run: patch.dry_run,
                ..AllocationPatch::default()
            };
            if patch == changes_nothing {
                return Ok(before);
            }
            if let Some((owner, created)) = &target {
                move_to(db, &caller, id, owner, *created).await?;
            }
            if let Some(labels) = &patch.labels {
                let plan = ipam.current_address_plan(db).await?;
                for pool in allocation::pools(db, &[id]).await? {
                    if let Some(pool) = plan.pool(pool) {
                        check_required(&pool.name, &pool.required_labels, labels)?;
                    }
                }
            }
            let mut change = Update {
                vpc: target.map(|(owner, _)| owner.id),
                name: patch.name.as_ref().map(|name| name.as_str()),
                requested: size.map(NewSize::requested),
                prefix_length: None,
                labels: patch.labels.as_ref(),
                description: patch.description.as_deref(),
                deletion_protection: patch.deletion_protection,
            };
            let resized = match size {
                Some(size) => resize::plan(block::held(db, id).await?, size)?,
                None => None,
            };
            let mut cooling = Vec::new();
            if let Some(resized) = &resized {
                cooling = resize::apply(db, &before, resized, ranges).await?;
                let changed: Vec<_> = resized
                    .blocks
                    .iter()
                    .filter(|(block, cidr)| block.place.cidr != *cidr)
                    .map(|(block, _)| block.place)
                    .collect();
                block::delete_blocks(db, id, &changed).await?;
                change.prefix_length = Some(resized.prefix_length);
            }
            if let Err(error) = allocation::update(db, id, &change).await {
                return Err(name_taken(error, &patch));
            }
            if let Some(resized) = &resized {
                block::insert_blocks(db, id, resized.prefix_length, &resized.blocks).await?;
            }
            if !cooling.is_empty() {
                cooldown::start(db, &cooling).await?;
            }
            let allocation = allocation::get(db, id)
                .await?
                .ok_or_else(|| Error::bug("it was locked"))?;
            let detail =
                serde_json::to_value(&patch).map_err(|error| Error::Internal(error.into()))?;
            let mut events = vec![Event {
                action: "allocation.update",
                subject: id.0,
                caller: &caller,
                detail,
            }];
            if resized.is_some() {
                let mut detail = snapshot(&allocation)?;
                detail["before"] = json!(
                    before
                        .blocks
                        .iter()
                        .map(|block| block.cidr)
                        .collect::<Vec<_>>()
                );
                events.push(Event {
                    action: "allocation.resize",
                    subject: id.0,
                    caller: &caller,
                    detail,
                });
            }
            event::insert(db, &events).await?;
            if patch.dry_run {
                transaction.rollback().await?;
            } else {
                commit(transaction).await?;
                if resized.is_some() {
                    ipam.metrics.resized();
                }
            }
            Ok(allocation)
        })
        .await
    }

    /// Releases an allocation: its blocks are free when this returns, or when the cooldown of their pools is over.
    pub async fn release(
        &self,
        caller: Caller,
        id: AllocationId,
        if_match: Option<i64>,
    ) -> Result<()> {
        let ipam = self.clone();
        detached(async move {
            let mut transaction = ipam.begin_hot([]).await?;
            let pools = allocation::pools(&mut transaction, &[id]).await?;
            let ranges = pool::lock(&mut transaction, &pools).await?;
            let Some(locked) = allocation::lock(&mut transaction, id).await? else {
                return Err(missing_allocation(&mut transaction, id).await);
            };
            check_revision(if_match, locked.revision)?;
            let found = allocation::load(&mut transaction, &[id]).await?;
            free_all(
                &mut transaction,
                &caller,
                ranges,
                found
                    .into_iter()
                    .map(|(allocation, _)| allocation)
                    .collect(),
            )
            .await?;
            commit(transaction).await?;
            ipam.metrics.released(1);
            Ok(())
        })
        .await
    }

    /// The id behind a number of the original API; an error if there is none now.
    pub async fn id_of_number(&self, number: i64) -> Result<AllocationId> {
        let mut connection = self.read().await?;
        let found = allocation::id_of_number(&mut connection, number).await?;
        found.ok_or_else(|| Error::NotFound(format!("Allocation {number} not found")))
    }
}

/// Deletes allocations and gives their space back, under the lock of their pools, whose ranges are passed.
pub(super) async fn free_all(
    db: &mut Connection,
    caller: &Caller,
    ranges: Vec<Range>,
    allocations: Vec<Allocation>,
) -> Result<()> {
    if let Some(protected) = allocations
        .iter()
        .find(|allocation| allocation.deletion_protection)
    {
        return Err(Error::Protected(format!(
            "{} is protected from deletion; set deletion_protection to false first, in a change of its own",
            describe(protected)
        )));
    }
    let ids: Vec<_> = allocations.iter().map(|allocation| allocation.id).collect();
    let (cooling, free): (Vec<_>, Vec<_>) = allocation::delete(db, &ids)
        .await?
        .into_iter()
        .partition(|block| block.cooldown_seconds > 0);
    give_back(
        db,
        ranges,
        free.into_iter().map(|block| block.place).collect(),
    )
    .await?;
    if !cooling.is_empty() {
        let cooling: Vec<_> = cooling
            .into_iter()
            .map(|block| cooldown::Start {
                place: block.place,
                range_cidr: block.range_cidr,
                allocation: block.allocation,
                vpc: lower(&block.vpc),
                name: block.name,
                role: block.role,
                seconds: block.cooldown_seconds,
            })
            .collect();
        cooldown::start(db, &cooling).await?;
    }
    let events = allocations
        .iter()
        .map(|allocation| {
            Ok(Event {
                action: "allocation.release",
                subject: allocation.id.0,
                caller,
                detail: snapshot(allocation)?,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    event::insert(db, &events).await
}

/// What the audit log keeps of an allocation.
fn snapshot(allocation: &Allocation) -> Result<serde_json::Value> {
    let snapshot = Snapshot {
        vpc: allocation.vpc.as_str(),
        name: allocation.name.as_ref().map(|name| name.as_str()),
        cidrs: allocation.blocks.iter().map(|block| block.cidr).collect(),
        vrfs: allocation
            .blocks
            .iter()
            .map(|block| block.vrf.as_str())
            .collect(),
    };
    serde_json::to_value(snapshot).map_err(|error| Error::Internal(error.into()))
}

/// Checks a move to another VPC, and keeps in the log that the VPC was made for it.
async fn move_to(
    db: &mut Connection,
    caller: &Caller,
    id: AllocationId,
    owner: &Owner,
    created: bool,
) -> Result<()> {
    if owner.vrf != allocation::vrf(db, id).await? {
        return Err(Error::Invalid(format!(
            "VPC \"{}\" is in another VRF, where these ranges mean something else; release the allocation \
             and allocate in that VPC",
            owner.name
        )));
    }
    if created {
        let detail = json!({ "name": owner.name });
        let event = Event {
            action: "vpc.create",
            subject: owner.id.0,
            caller,
            detail,
        };
        event::insert(db, &[event]).await?;
    }
    Ok(())
}

fn name_taken(error: sqlx::Error, patch: &AllocationPatch) -> Error {
    if meaning(&error) != Some(Meaning::NameTaken) {
        return error.into();
    }
    let message = match (&patch.vpc, &patch.name) {
        (Some(vpc), Some(name)) => {
            format!("VPC \"{vpc}\" has an allocation named \"{name}\" already")
        }
        (Some(vpc), None) => format!("VPC \"{vpc}\" has an allocation of the same name already"),
        (None, _) => "the VPC has an allocation of that name already".to_owned(),
    };
    Error::NameTaken {
        message: format!("{message}; choose another name"),
        import_id: None,
    }
}

pub(super) fn describe(allocation: &Allocation) -> String {
    match &allocation.name {
        Some(name) => format!(
            "allocation \"{}/{name}\" ({})",
            allocation.vpc, allocation.cidr
        ),
        None => format!(
            "the allocation {} of VPC \"{}\"",
            allocation.cidr, allocation.vpc
        ),
    }
}

/// Checks what holds whatever is stored.
fn check(maker: &Maker, new: NewAllocation, key: Option<String>) -> Result<Request> {
    let invalid = |error: AskError| Error::Invalid(error.to_string());
    let size = new.size().map_err(invalid)?;
    let recipe = new.recipe().map_err(invalid)?;
    check_description(&new.description)?;
    let key = key
        .map(|key| {
            check_key(&key, MAX_IDEMPOTENCY_KEY)?;
            Ok::<_, Error>((key, fingerprint(&new)?))
        })
        .transpose()?;
    Ok(Request {
        id: AllocationId::generate(),
        new,
        recipe,
        size,
        maker: maker.clone(),
        key,
        tried: Vec::new(),
    })
}

fn check_key(key: &str, longest: usize) -> Result<()> {
    if key.is_empty() || key.len() > longest || key.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "an Idempotency-Key has 1 to {longest} printable characters"
        )));
    }
    Ok(())
}

/// The request, boiled down: serialising the same struct always gives the same text.
fn fingerprint(new: &NewAllocation) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(new).map_err(|error| Error::Internal(error.into()))?;
    Ok(Sha256::digest(text).to_vec())
}
