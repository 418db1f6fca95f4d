//! One request that nobody competes with, in two round trips instead of four: what it needs is read without a lock, it is
//! decided, and written in one statement that is a transaction of its own. That statement locks the pools and does nothing
//! if what was read does not hold any more ([`allocate::insert_unlocked`]).
//!
//! That is as safe as locking first. What a decision rests on is checked under the lock or by constraints: the revisions of
//! the pools, which move on with their ranges; that each free block which is used up is still there; names and keys by being
//! unique; VPC and profile by being referred to. What else may have changed, such as a free block that would have fitted
//! better, is as if the request had come a moment earlier.
//!
//! Everything that is not simply a new allocation is left to a batch that locks first, also what loses a race.

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

/// How long to lock first after others were noticed.
const CAUTION: Duration = Duration::from_secs(1);

/// Whether others allocate at the same time: requests that waited here, or a race that was lost to another server. Then it is
/// better to lock first, and to serve all that arrive until the lock is there.
#[derive(Debug, Default)]
pub(crate) struct Contention(Mutex<Option<Instant>>);

impl Contention {
    /// Whether others were noticed just now.
    pub(crate) fn is_noticed(&self) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < CAUTION)
    }

    /// Others were noticed.
    pub(crate) fn notice(&self) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Instant::now());
    }
}

/// Decides a request without locking first; none if that can't be done, and then nothing was.
pub(super) async fn decide(ipam: &Ipam, request: &Request) -> Option<Step> {
    if ipam.contention.is_noticed() {
        return None;
    }
    match try_decide(ipam, request).await {
        Ok(step) => step,
        Err(Error::UnknownOutcome(error)) => {
            tracing::error!(%error, "the outcome of a commit is not known");
            Some(Step::Done(Box::new(Err(Error::UnknownOutcome(error)))))
        }
        // It would be waited for as long once more.
        Err(error) if super::waited(&error).is_some() => Some(Step::Done(Box::new(Err(error)))),
        // The batch that locks first finds out, and says so.
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
    // It may lead to another database than those before.
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
        // Whoever holds the pools, such as an import, would be waited for as long once more.
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
