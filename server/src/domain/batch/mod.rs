//! Many requests, one transaction: they share the commit and not their fate.
//!
//! 1. Say what each can be met with (`prepare`), from the address plan in memory.
//! 2. Lock the pools in the order of their ids.
//! 3. Read, after the lock, whether the plan still holds, and as much of the free list as the requests can use.
//! 4. Decide each request in memory (`decide`, `plan`); one that does not fit leaves no trace.
//! 5. Write what was decided in one statement, and commit.
//!
//! Nobody else can take a block between 3 and 5, since everybody locks the pool first; the exclusion constraint is there
//! for who does not. A request that is alone skips step 2, and 5 looks whether what it read still holds (`alone`). If the
//! database refuses a batch all the same, each of its requests is tried alone, so that only the
//! one at fault gets the error.

mod decide;
mod optimistic;
mod prepare;
mod rows;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use ipam_shared::{
    api::allocation::{Allocation, NewAllocation, Recipe, Size},
    ids::{AllocationId, Claim, PoolId, VrfId},
};
use serde_json::json;
use uuid::Uuid;

use self::decide::{Batch, Decided, Read};
pub(super) use self::optimistic::Contention;
use super::{
    Ipam,
    address_plan::{AddressPlan, Source},
    change::commit,
    ownership::Maker,
    space,
};
use crate::{
    db::{
        Transaction,
        allocate::{self, Existing, Inserted, NewRows},
        allocation, cooldown,
        error::{is_connection, is_race as is_lost, is_slow},
        event::Event,
        lock::Locks,
    },
    error::{Error, Exhausted, Result},
};

/// How often a batch begins anew because the address plan changed meanwhile, or somebody was faster.
const TRIES: usize = 10;

/// The answer to a request for space.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the caller has now, or would have.
    pub allocation: Allocation,
    /// Whether this request made it.
    pub created: bool,
    /// The request that made it.
    pub request_id: Uuid,
}

/// A checked request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The id that the allocation gets if it is new.
    pub(super) id: AllocationId,
    pub(super) new: NewAllocation,
    pub(super) recipe: Recipe,
    pub(super) size: Size,
    pub(super) maker: Maker,
    /// The Idempotency-Key, with SHA-256 of the request.
    pub(super) key: Option<(String, Vec<u8>)>,
    /// Pools that turned out to have no room for it.
    pub(super) tried: Vec<PoolId>,
}

impl Request {
    /// What no two requests of a batch may have in common.
    pub(super) fn identities(&self) -> Vec<(u8, String, String)> {
        let name = self
            .new
            .name
            .as_ref()
            .map(|name| (0, self.new.vpc.folded(), name.as_str().to_owned()));
        let key = self
            .key
            .as_ref()
            .map(|(key, _)| (1, self.maker.caller.actor.clone(), key.clone()));
        name.into_iter().chain(key).collect()
    }

    /// Whether the address plan alone says which pools it means.
    fn is_of_profile(&self) -> bool {
        matches!(self.recipe, Recipe::Profile(_))
    }

    /// Requests that want the same pools, as far as is known: the recipe, and the VRF in which it is looked up.
    pub(super) fn queue(&self, ipam: &Ipam) -> (Recipe, Option<String>, Option<VrfId>) {
        let vrf = self.new.vrf.as_ref().map(ToString::to_string);
        let hint = match vrf {
            Some(_) => None,
            None => ipam.vrf_hint(&self.new.vpc.folded()),
        };
        (self.recipe.clone(), vrf, hint)
    }
}

/// How far a request got.
pub(super) enum Step {
    /// Decided.
    Done(Box<Result<Outcome>>),
    /// In the way of another one of the same batch, or of a change meanwhile; to be decided after it.
    Later(Box<Request>),
}

/// What becomes of what was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Written, whatever becomes of the others.
    Each,
    /// Written if every request gets what it asks for.
    Atomic,
    /// Only answered.
    Dry,
}

/// A transaction that holds the pools of a queue. It is begun before it is known which requests it will serve, so that all
/// that arrive while it waits for the one before are among them.
pub(super) struct LockedPools {
    transaction: Transaction,
    plan: Arc<AddressPlan>,
    pools: BTreeSet<PoolId>,
}

/// Begins a transaction that holds these pools.
async fn begin(ipam: &Ipam, pools: &BTreeSet<PoolId>) -> Result<Transaction> {
    let pools: Vec<_> = pools.iter().copied().collect();
    ipam.begin(&Locks::pools(&pools)).await
}

/// Waits for the turn of requests like this one; none if each of them may want other pools.
pub(super) async fn lock_pools(ipam: &Ipam, ask: &Request) -> Result<Option<LockedPools>> {
    if !ask.is_of_profile() {
        return Ok(None);
    }
    let plan = ipam.address_plan().await?;
    let Ok(choice) = prepare::choice(ipam, &plan, ask) else {
        return Ok(None);
    };
    let pools: BTreeSet<_> = choice
        .options
        .iter()
        .flatten()
        .map(|source| source.pool.id)
        .collect();
    let transaction = begin(ipam, &pools).await?;
    Ok(Some(LockedPools {
        transaction,
        plan,
        pools,
    }))
}

/// Decides requests that want the same pools; an answer for each, in their order.
pub(super) async fn run(ipam: &Ipam, turn: Option<LockedPools>, asks: Vec<Request>) -> Vec<Step> {
    if let (None, [ask]) = (&turn, &asks[..])
        && let Some(step) = optimistic::decide(ipam, ask).await
    {
        return vec![step];
    }
    let alone = asks.len() == 1;
    match decide(ipam, turn, &asks, Mode::Each).await {
        Ok(steps) => steps,
        Err(Error::UnknownOutcome(error)) => {
            tracing::error!(%error, requests = asks.len(), "the outcome of a commit is not known");
            let error = || Error::UnknownOutcome(sqlx::Error::WorkerCrashed);
            asks.iter()
                .map(|_| Step::Done(Box::new(Err(error()))))
                .collect()
        }
        // Whoever holds the pools, or keeps the database from answering, would be waited for as long once more for each.
        Err(error) if let Some((message, is_away)) = waited(&error) => {
            tracing::warn!(cause = ?error, requests = asks.len(), "a batch was given up");
            let cause = || is_away.then_some(sqlx::Error::WorkerCrashed);
            let error =
                |_: &Request| Step::Done(Box::new(Err(Error::Unavailable(message, cause()))));
            asks.iter().map(error).collect()
        }
        Err(error) if alone => vec![Step::Done(Box::new(again(ipam, asks, error).await))],
        Err(error) => {
            tracing::warn!(error = %error, requests = asks.len(), "a batch was refused; its requests are tried alone");
            let mut steps = Vec::with_capacity(asks.len());
            for ask in asks {
                let answer = match decide(ipam, None, std::slice::from_ref(&ask), Mode::Each).await
                {
                    Ok(mut answer) => answer.pop().unwrap_or(Step::Later(Box::new(ask))),
                    Err(error) => Step::Done(Box::new(again(ipam, vec![ask], error).await)),
                };
                steps.push(answer);
            }
            steps
        }
    }
}

/// What to say if a request was not decided because something took as long as a request may wait: a lock, or an answer. And
/// whether the database was away.
fn waited(error: &Error) -> Option<(&'static str, bool)> {
    match error {
        Error::Unavailable(message, Some(cause)) if is_slow(cause) => {
            Some((message, is_connection(cause)))
        }
        _ => None,
    }
}

/// Tries one request again that lost a race against somebody who does not lock the same pools, such as two first uses of
/// one VPC name with different profiles.
async fn again(ipam: &Ipam, mut asks: Vec<Request>, mut error: Error) -> Result<Outcome> {
    for _ in 0..TRIES {
        if !is_race(&error) {
            break;
        }
        match decide(ipam, None, &asks, Mode::Each).await {
            Ok(mut steps) => match steps.pop() {
                Some(Step::Done(answer)) => return *answer,
                Some(Step::Later(ask)) => asks = vec![*ask],
                None => {}
            },
            Err(next) => error = next,
        }
    }
    Err(error)
}

/// Whether a second try may succeed.
fn is_race(error: &Error) -> bool {
    matches!(
        error,
        Error::NameTaken { .. } | Error::Overlap { .. } | Error::InUse { .. }
    ) || matches!(error, Error::Unavailable(_, Some(error)) if is_lost(error) && !is_slow(error))
}

/// Decides requests all or nothing, or, in a dry run, says what they would get together. With `atomic`, nothing was written
/// if one of the answers is an error; the others say what those requests would have got.
pub(super) async fn together(
    ipam: &Ipam,
    mut asks: Vec<Request>,
    is_dry: bool,
) -> Result<Vec<Result<Outcome>>> {
    let mode = if is_dry { Mode::Dry } else { Mode::Atomic };
    let mut last = None;
    // A list of pools is gone through one by one.
    for _ in 0..TRIES + ipam_shared::api::allocation::MAX_POOLS {
        let steps = match decide(ipam, None, &asks, mode).await {
            Ok(steps) => steps,
            Err(error) if is_race(&error) => {
                last = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut answers = Vec::with_capacity(steps.len());
        let mut is_later = false;
        for (ask, step) in asks.iter_mut().zip(steps) {
            match step {
                Step::Done(answer) => answers.push(*answer),
                Step::Later(later) => {
                    is_later = true;
                    *ask = *later;
                }
            }
        }
        if !is_later {
            return Ok(answers);
        }
    }
    Err(last.unwrap_or(Error::Unavailable(
        "too many requests want the same space at the moment; try again",
        None,
    )))
}

/// One transaction for all; that of a turn, if there is one and it holds what they need.
async fn decide(
    ipam: &Ipam,
    mut turn: Option<LockedPools>,
    asks: &[Request],
    mode: Mode,
) -> Result<Vec<Step>> {
    for _ in 0..TRIES {
        let plan = match &turn {
            Some(turn) => Arc::clone(&turn.plan),
            None => ipam.address_plan().await?,
        };
        let prepared = prepare::prepare(ipam, &plan, asks).await?;
        let pools = prepare::pools(&prepared);
        let (mut transaction, locked) = match turn.take() {
            Some(turn) if pools.is_subset(&turn.pools) => (turn.transaction, turn.pools),
            Some(turn) => {
                turn.transaction.rollback().await?;
                continue;
            }
            None if mode == Mode::Dry => (begin(ipam, &BTreeSet::new()).await?, pools),
            None => (begin(ipam, &pools).await?, pools),
        };
        // A new connection may lead to another database than those before.
        ipam.may_hand_out()?;
        let mut read =
            Batch::read(&mut transaction, ipam, asks, plan, prepared, mode, false).await?;
        if matches!(read, Read::Stale) && asks.iter().all(Request::is_of_profile) {
            // Read now, under the lock, the plan is right whatever changes elsewhere meanwhile. Beginning anew might go on
            // for as long as somebody changes pools.
            let plan = ipam.current_address_plan(&mut transaction).await?;
            let prepared = prepare::prepare(ipam, &plan, asks).await?;
            if prepare::pools(&prepared).is_subset(&locked) {
                read =
                    Batch::read(&mut transaction, ipam, asks, plan, prepared, mode, true).await?;
            }
        }
        let Read::Ready(mut batch) = read else {
            transaction.rollback().await?;
            continue;
        };
        let mut decided = Vec::with_capacity(asks.len());
        for index in 0..asks.len() {
            decided.push(batch.decide(&mut transaction, index).await);
        }
        let is_undone = mode == Mode::Dry
            || mode == Mode::Atomic
                && decided.iter().any(|step| {
                    matches!(
                        step,
                        Decided::Refuse(_) | Decided::Full(_) | Decided::Later(_)
                    )
                });
        let mut inserted = HashMap::new();
        let mut found = HashMap::new();
        if is_undone {
            let ids: Vec<_> = decided.iter().filter_map(Decided::existing).collect();
            load(&mut transaction, &ids, &mut found).await?;
            transaction.rollback().await?;
        } else {
            let is_written = write(
                transaction,
                &mut batch,
                &mut decided,
                &mut inserted,
                &mut found,
                mode,
            )
            .await?;
            if !is_written {
                continue;
            }
        }
        return answer(ipam, &batch, decided, inserted, found, is_undone).await;
    }
    Err(Error::Unavailable(
        "pools and profiles change faster than requests can be decided; try again",
        None,
    ))
}

/// Allocations that exist, with the request that made each.
type Found = HashMap<AllocationId, (Allocation, Uuid)>;

async fn load(
    db: &mut crate::db::Connection,
    ids: &[AllocationId],
    found: &mut Found,
) -> Result<()> {
    if !ids.is_empty() {
        for (allocation, request_id) in allocation::load(db, ids).await? {
            found.insert(allocation.id, (allocation, request_id));
        }
    }
    Ok(())
}

/// Writes what was decided, and commits. Not if an atomic batch adopts what was changed since it was read: then nothing is
/// written, and it has to be decided anew.
async fn write(
    mut transaction: Transaction,
    batch: &mut Batch<'_>,
    decided: &mut [Decided],
    inserted: &mut HashMap<AllocationId, Inserted>,
    found: &mut Found,
    mode: Mode,
) -> Result<bool> {
    let asks = batch.asks;
    let mut rows = NewRows::default();
    let mut events = Vec::new();
    let mut back = Vec::new();
    for (ask, step) in asks.iter().zip(decided.iter()) {
        match step {
            Decided::Grant(cut) => {
                batch.add_rows(cut, &mut rows, &mut events)?;
                if cut.is_back {
                    back.extend(cut.pieces.iter().map(|(_, place)| *place));
                }
            }
            // An answer that asserts ownership follows a commit of its own: this row makes it one.
            Decided::Replay(id) => events.push(Event {
                action: "allocation.replay",
                subject: id.0,
                caller: &ask.maker.caller,
                detail: json!({}),
            }),
            Decided::Adopt(_) | Decided::Refuse(_) | Decided::Full(_) | Decided::Later(_) => {}
        }
    }
    if !back.is_empty() {
        let ended = cooldown::end(&mut transaction, &back).await?;
        if usize::try_from(ended) != Ok(back.len()) {
            return Err(Error::bug(
                "a block that cools down went away under the lock",
            ));
        }
    }
    if !events.is_empty() {
        let changes = batch.space.changes();
        let done = allocate::insert(&mut transaction, &rows, &changes, &events).await?;
        inserted.extend(done.into_iter().map(|row| (row.id, row)));
    }
    // After the insert, which may make VPCs: allocations are locked after VPCs.
    let mut adoptions = Vec::new();
    for (ask, step) in asks.iter().zip(decided.iter_mut()) {
        if let Decided::Adopt(existing) = step {
            let (claim, new) = (Claim::generate(), &ask.new);
            if !allocate::adopt(&mut transaction, existing, claim, new).await? {
                // Its owner confirmed or changed it since it was read, so that it has to be looked at again.
                if mode == Mode::Atomic {
                    transaction.rollback().await?;
                    return Ok(false);
                }
                *step = Decided::Later(None);
                continue;
            }
            batch.claims.insert(existing.id, claim);
            adoptions.push(Event {
                action: "allocation.adopt",
                subject: existing.id.0,
                caller: &ask.maker.caller,
                detail: json!({ "vpc": new.vpc, "name": new.name }),
            });
        }
    }
    let ids: Vec<_> = decided.iter().filter_map(Decided::existing).collect();
    load(&mut transaction, &ids, found).await?;
    if !adoptions.is_empty() {
        crate::db::event::insert(&mut transaction, &adoptions).await?;
    }
    if events.is_empty() && adoptions.is_empty() {
        transaction.rollback().await?;
    } else {
        commit(transaction).await?;
    }
    Ok(true)
}

/// The answers, after the commit.
async fn answer(
    ipam: &Ipam,
    batch: &Batch<'_>,
    decided: Vec<Decided>,
    inserted: HashMap<AllocationId, Inserted>,
    mut found: Found,
    is_dry: bool,
) -> Result<Vec<Step>> {
    let mut steps = Vec::with_capacity(decided.len());
    let mut left = HashMap::new();
    for (ask, step) in batch.asks.iter().zip(decided) {
        let answer = match step {
            Decided::Later(tried) => {
                let mut ask = ask.clone();
                ask.tried.extend(tried);
                steps.push(Step::Later(Box::new(ask)));
                continue;
            }
            Decided::Refuse(error) => Err(*error),
            Decided::Full(full) => Err(exhausted(ipam, full, &mut left).await),
            Decided::Grant(cut) if is_dry => Ok(Outcome {
                allocation: batch.allocation(&cut, 0, time::OffsetDateTime::now_utc(), true),
                created: false,
                request_id: ask.maker.caller.request_id,
            }),
            Decided::Grant(cut) => match inserted.get(&ask.id) {
                Some(row) => Ok(Outcome {
                    allocation: batch.allocation(&cut, row.number, row.created_at, false),
                    created: true,
                    request_id: ask.maker.caller.request_id,
                }),
                None => Err(Error::bug("an inserted allocation was not answered")),
            },
            Decided::Adopt(Existing { id, .. }) | Decided::Replay(id) => match found.remove(&id) {
                Some((mut allocation, request_id)) => {
                    allocation.claim = batch.claims.get(&id).copied();
                    Ok(Outcome {
                        allocation,
                        created: false,
                        request_id,
                    })
                }
                None => Err(Error::bug("an existing allocation was not answered")),
            },
        };
        steps.push(Step::Done(Box::new(answer)));
    }
    Ok(steps)
}

/// What is left in pools that had no room. It is looked up when the locks are gone, and once for all requests of a batch
/// that got the same answer.
async fn exhausted(
    ipam: &Ipam,
    full: Vec<(Source, u8)>,
    left: &mut HashMap<(PoolId, u8), Exhausted>,
) -> Error {
    let mut pools = Vec::with_capacity(full.len());
    for (source, prefix_length) in full {
        let exhausted = match left.entry((source.pool.id, prefix_length)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match look_at(ipam, &source, prefix_length).await {
                Ok(exhausted) => entry.insert(exhausted),
                Err(error) => return error,
            },
        };
        pools.push(exhausted.clone());
    }
    Error::Exhausted(pools)
}

async fn look_at(ipam: &Ipam, source: &Source, prefix_length: u8) -> Result<Exhausted> {
    let mut connection = ipam.read().await?;
    let limit = space::PIECES_OF_REFUSAL;
    let space = space::explain(&mut connection, source.pool.id, prefix_length, limit).await?;
    Ok(Exhausted {
        role: source.role.to_string(),
        space,
    })
}
