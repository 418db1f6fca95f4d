//! One request without competition, in two round trips instead of four: what it needs is read without a lock, it is
//! decided, and written in one statement that is a transaction of its own. That statement locks the pools and does nothing
//! if what was read no longer holds ([`allocate::insert_unlocked`]).
//!
//! That is as safe as locking first. What a decision rests on is checked under the lock or by constraints: the revisions of
//! the pools, which change with their ranges; that each free block which is used up is still there; names and keys by
//! uniqueness; VPC and profile by foreign keys. Any other change, such as a free block that would have fitted better, is as
//! if the request had come a moment earlier.
//!
//! Everything that is not simply a new allocation is left to a batch that locks first, including requests that lose a race.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    answer::answer,
    decide::Decided,
    prepare,
    read::{Batch, Read},
    request::{Mode, Request, Step},
};
use crate::{
    db::{
        allocate::{self, NewRows},
        error::{is_lock_timeout, is_unknown},
    },
    domain::{Ipam, change::of_commit},
    error::{Error, Result},
};

/// How long to lock first after contention was noticed.
const CAUTION: Duration = Duration::from_secs(1);

/// Whether others allocate at the same time: requests that waited here, or a race that was lost to another server. Then it is
/// better to lock first, and to serve all that arrive until the lock is there.
#[derive(Debug, Default)]
pub(crate) struct Contention(Mutex<Option<Instant>>);

impl Contention {
    /// Whether contention was noticed recently.
    pub(crate) fn is_noticed(&self) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < CAUTION)
    }

    /// Notes contention.
    pub(crate) fn notice(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Instant::now());
    }
}

/// Decides a request without locking first; none if that is not possible, in which case nothing was done.
pub(super) async fn decide(ipam: &Ipam, request: &Request) -> Option<Step> {
    // A quota can only be compared with what is held while nobody else takes from the pool.
    if ipam.contention.is_noticed() || request.maker.caller.rights.quotas().is_some() {
        return None;
    }
    match try_decide(ipam, request).await {
        Ok(step) => step,
        Err(Error::UnknownOutcome(error)) => {
            tracing::error!(%error, "the outcome of a commit is not known");
            Some(Step::Done(Box::new(Err(Error::UnknownOutcome(error)))))
        }
        // A retry would wait just as long.
        Err(error) if super::waited(&error).is_some() => Some(Step::Done(Box::new(Err(error)))),
        // The batch that locks first will report the error.
        Err(error) => {
            tracing::debug!(%error, "a request was not decided without locking first");
            None
        }
    }
}

async fn try_decide(ipam: &Ipam, request: &Request) -> Result<Option<Step>> {
    let requests = std::slice::from_ref(request);
    let plan = ipam.address_plan().await?;
    let prepared = prepare::prepare(ipam, &plan, requests).await?;
    let mut connection = ipam.unless_in_doubt(ipam.db.hot()).await?;
    // It may lead to a different database than the previous ones.
    ipam.may_hand_out()?;
    let db = &mut connection;
    let Read::Ready(mut batch) =
        Batch::read(db, ipam, requests, plan, prepared, Mode::Each, false).await?
    else {
        return Ok(None);
    };
    let grant = match batch.decide(db, 0).await {
        Decided::Grant(grant) if !grant.is_back => grant,
        _ => return Ok(None),
    };
    let (mut rows, mut events) = (NewRows::default(), Vec::new());
    batch.add_rows(&grant, &mut rows, &mut events)?;
    let (pools, changes) = (batch.pools(), batch.space.changes());
    let written = allocate::insert_unlocked(db, &pools, &rows, &changes, &events).await;
    drop(connection);
    let inserted = match written {
        Ok(inserted) => inserted.into_iter().map(|row| (row.id, row)).collect(),
        // A retry would wait just as long for whoever holds the pools, such as an import.
        Err(error) if is_lock_timeout(&error) => {
            return Ok(Some(Step::Done(Box::new(Err(error.into())))));
        }
        Err(error) => {
            if !is_unknown(&error) {
                ipam.contention.notice();
            }
            return Err(of_commit(error));
        }
    };
    let decided = vec![Decided::Grant(grant)];
    let mut steps = answer(ipam, &batch, decided, inserted, HashMap::new(), false).await?;
    Ok(steps.pop())
}
