//! Many requests, one transaction: they share the commit, but succeed or fail individually.
//!
//! 1. Find what can satisfy each (`prepare`), from the address plan in memory.
//! 2. Lock the pools in the order of their ids.
//! 3. Read, after the lock, whether the plan still holds, and as much of the free list as the requests can use.
//! 4. Decide each request in memory (`decide`); one that does not fit leaves no trace.
//! 5. Write what was decided in one statement, and commit.
//!
//! Nobody else can take a block between 3 and 5, since everybody locks the pool first; the exclusion constraint guards
//! against those who do not. A request that is alone skips step 2, and 5 checks whether what it read still holds
//! (`optimistic`). If the database refuses a batch anyway, each of its requests is tried alone, so that only the one at
//! fault gets the error.

mod answer;
mod decide;
mod optimistic;
mod prepare;
mod read;
mod request;
mod rows;
mod write;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ipam_shared::ids::PoolId;

pub use self::request::Outcome;
use self::{
    answer::answer,
    decide::Decided,
    read::{Batch, Read},
    request::Mode,
    write::{load, write},
};
pub(super) use self::{
    optimistic::Contention,
    request::{Request, Step},
};
use super::{Ipam, address_plan::AddressPlan};
use crate::{
    db::{
        Transaction,
        error::{is_connection, is_race as is_lost, is_slow},
        lock::Locks,
    },
    error::{Error, Result},
};

/// How often a batch starts over because the address plan changed meanwhile, or because it lost a race.
const TRIES: usize = 10;

/// A transaction that holds the pools of a queue. It begins before it is known which requests it will serve, so that it
/// includes all that arrive while it waits for the previous one.
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

/// Waits for the turn of requests like this one; none if each of them may need different pools.
pub(super) async fn lock_pools(ipam: &Ipam, request: &Request) -> Result<Option<LockedPools>> {
    if !request.is_of_profile() {
        return Ok(None);
    }
    let plan = ipam.address_plan().await?;
    let Ok(choice) = prepare::choice(ipam, &plan, request) else {
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
pub(super) async fn run(
    ipam: &Ipam,
    locked: Option<LockedPools>,
    requests: Vec<Request>,
) -> Vec<Step> {
    if let (None, [request]) = (&locked, &requests[..])
        && let Some(step) = optimistic::decide(ipam, request).await
    {
        return vec![step];
    }
    let alone = requests.len() == 1;
    match decide(ipam, locked, &requests, Mode::Each).await {
        Ok(steps) => steps,
        Err(Error::UnknownOutcome(error)) => {
            tracing::error!(%error, requests = requests.len(), "the outcome of a commit is not known");
            let error = || Error::UnknownOutcome(sqlx::Error::WorkerCrashed);
            requests
                .iter()
                .map(|_| Step::Done(Box::new(Err(error()))))
                .collect()
        }
        // Each retry would wait just as long again for whoever holds the pools or blocks the database.
        Err(error) if let Some((message, is_away)) = waited(&error) => {
            tracing::warn!(cause = ?error, requests = requests.len(), "a batch was given up");
            let cause = || is_away.then_some(sqlx::Error::WorkerCrashed);
            let error =
                |_: &Request| Step::Done(Box::new(Err(Error::Unavailable(message, cause()))));
            requests.iter().map(error).collect()
        }
        Err(error) if alone => vec![Step::Done(Box::new(again(ipam, requests, error).await))],
        Err(error) => {
            tracing::warn!(error = %error, requests = requests.len(), "a batch was refused; its requests are tried alone");
            let mut steps = Vec::with_capacity(requests.len());
            for request in requests {
                let answer =
                    match decide(ipam, None, std::slice::from_ref(&request), Mode::Each).await {
                        Ok(mut answer) => answer.pop().unwrap_or(Step::Later(Box::new(request))),
                        Err(error) => Step::Done(Box::new(again(ipam, vec![request], error).await)),
                    };
                steps.push(answer);
            }
            steps
        }
    }
}

/// The error for a request that was not decided because a lock or an answer took as long as a request may wait. And whether
/// the database was away.
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
async fn again(ipam: &Ipam, mut requests: Vec<Request>, mut error: Error) -> Result<Outcome> {
    for _ in 0..TRIES {
        if !is_race(&error) {
            break;
        }
        match decide(ipam, None, &requests, Mode::Each).await {
            Ok(mut steps) => match steps.pop() {
                Some(Step::Done(answer)) => return *answer,
                Some(Step::Later(request)) => requests = vec![*request],
                None => {}
            },
            Err(next) => error = next,
        }
    }
    Err(error)
}

/// Whether a retry may succeed.
fn is_race(error: &Error) -> bool {
    matches!(
        error,
        Error::NameTaken { .. } | Error::Overlap { .. } | Error::InUse { .. }
    ) || matches!(error, Error::Unavailable(_, Some(error)) if is_lost(error) && !is_slow(error))
}

/// Decides requests all or nothing, or, in a dry run, says what they would get together. With `atomic`, nothing was written
/// if one of the answers is an error; the others show what those requests would have got.
pub(super) async fn together(
    ipam: &Ipam,
    mut requests: Vec<Request>,
    is_dry: bool,
) -> Result<Vec<Result<Outcome>>> {
    let mode = if is_dry { Mode::Dry } else { Mode::Atomic };
    let mut last = None;
    // The pools of a list are tried one by one.
    for _ in 0..TRIES + ipam_shared::api::allocation::MAX_POOLS {
        let steps = match decide(ipam, None, &requests, mode).await {
            Ok(steps) => steps,
            Err(error) if is_race(&error) => {
                last = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut answers = Vec::with_capacity(steps.len());
        let mut is_later = false;
        for (request, step) in requests.iter_mut().zip(steps) {
            match step {
                Step::Done(answer) => answers.push(*answer),
                Step::Later(later) => {
                    is_later = true;
                    *request = *later;
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

/// One transaction for all; that of a turn, if there is one and it holds the necessary locks.
async fn decide(
    ipam: &Ipam,
    mut locked: Option<LockedPools>,
    requests: &[Request],
    mode: Mode,
) -> Result<Vec<Step>> {
    for _ in 0..TRIES {
        let plan = match &locked {
            Some(locked) => Arc::clone(&locked.plan),
            None => ipam.address_plan().await?,
        };
        let prepared = prepare::prepare(ipam, &plan, requests).await?;
        let pools = prepare::pools(&prepared);
        let (mut transaction, locked) = match locked.take() {
            Some(locked) if pools.is_subset(&locked.pools) => (locked.transaction, locked.pools),
            Some(locked) => {
                locked.transaction.rollback().await?;
                continue;
            }
            None if mode == Mode::Dry => (begin(ipam, &BTreeSet::new()).await?, pools),
            None => (begin(ipam, &pools).await?, pools),
        };
        // A new connection may lead to another database than those before.
        ipam.may_hand_out()?;
        let mut read = Batch::read(
            &mut transaction,
            ipam,
            requests,
            plan,
            prepared,
            mode,
            false,
        )
        .await?;
        if matches!(read, Read::Stale) && requests.iter().all(Request::is_of_profile) {
            // Read now, under the lock, the plan is right whatever changes elsewhere meanwhile. Starting over might repeat
            // for as long as somebody changes pools.
            let plan = ipam.current_address_plan(&mut transaction).await?;
            let prepared = prepare::prepare(ipam, &plan, requests).await?;
            if prepare::pools(&prepared).is_subset(&locked) {
                read = Batch::read(&mut transaction, ipam, requests, plan, prepared, mode, true)
                    .await?;
            }
        }
        let Read::Ready(mut batch) = read else {
            transaction.rollback().await?;
            continue;
        };
        let mut decided = Vec::with_capacity(requests.len());
        for index in 0..requests.len() {
            decided.push(batch.decide(&mut transaction, index).await);
        }
        let is_undone = mode == Mode::Dry
            || mode == Mode::Atomic
                && decided.iter().any(|step| {
                    matches!(
                        step,
                        Decided::Refuse(_)
                            | Decided::Full(_)
                            | Decided::Over(..)
                            | Decided::Later(_)
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
