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

mod decide;
mod rows;

use std::collections::HashMap;

use ipam_shared::{
    api::allocation::{NewAllocation, Recipe, Size},
    ids::{AllocationId, Claim},
};
use serde_json::json;

use self::decide::{Batch, Decided, lower};
use super::{Caller, Ipam, allocation::Outcome, commit};
use crate::{
    db::{
        allocation,
        creation::{self, Existing, NewRows},
        event::{self, Event},
        free,
    },
    error::{Error, Result},
};

/// A checked request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The id that the allocation gets if it is new.
    pub(super) id: AllocationId,
    pub(super) new: NewAllocation,
    pub(super) recipe: Recipe,
    pub(super) size: Size,
    pub(super) caller: Caller,
    /// The Idempotency-Key, with SHA-256 of the request.
    pub(super) key: Option<(String, Vec<u8>)>,
}

impl Ask {
    pub(super) fn profile(&self) -> &str {
        match &self.recipe {
            Recipe::Profile(name) => name.as_str(),
            _ => "",
        }
    }

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
    /// In the way of another one of the same batch, or of a change meanwhile; to be decided after it.
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
            Ok(mut steps) => {
                if let Some(Step::Done(answer)) = steps.pop() {
                    return *answer;
                }
            }
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
    if let Some(id) = step.existing() {
        let mut connection = ipam.read().await?;
        let found = allocation::load(&mut connection, &[id]).await?.pop();
        let (allocation, request_id) =
            found.ok_or_else(|| Error::bug("an allocation went away meanwhile"))?;
        return Ok(Outcome {
            allocation,
            created: false,
            request_id,
        });
    }
    match step {
        Decided::Cut(cut) => {
            let now = time::OffsetDateTime::now_utc();
            Ok(Outcome {
                allocation: batch.allocation(&cut, 0, now),
                created: false,
                request_id: asks[0].caller.request_id,
            })
        }
        Decided::Refuse(error) => Err(*error),
        _ => Err(Error::bug("a dry run was left undecided")),
    }
}

/// One transaction for all.
async fn write(ipam: &Ipam, asks: &[Ask]) -> Result<Vec<Step>> {
    let mut transaction = ipam.begin_hot().await?;
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
            // An answer that asserts ownership follows a commit of its own: this row makes it one.
            Decided::Replay(id) => events.push(Event {
                action: "allocation.replay",
                subject: id.0,
                caller: &ask.caller,
                detail: json!({}),
            }),
            Decided::Adopt(_) | Decided::Refuse(_) | Decided::Full(..) | Decided::Later => {}
        }
        steps.push(step);
    }
    let mut inserted = HashMap::new();
    if !rows.id.is_empty() {
        free::update(&mut transaction, &changes).await?;
        let done = creation::insert(&mut transaction, &rows).await?;
        inserted.extend(done.into_iter().map(|row| (row.id, row)));
    }
    // After the insert, which may make VPCs: allocations are locked after VPCs.
    for (ask, step) in asks.iter().zip(&mut steps) {
        if let Decided::Adopt(existing) = step {
            let (claim, new) = (Claim::generate(), &ask.new);
            if !creation::adopt(&mut transaction, existing, claim, new).await? {
                // Its owner confirmed or changed it since it was read, so that it has to be looked at again.
                *step = Decided::Later;
                continue;
            }
            batch.claims.insert(existing.id, claim);
            events.push(Event {
                action: "allocation.adopt",
                subject: existing.id.0,
                caller: &ask.caller,
                detail: json!({ "vpc": new.vpc, "name": new.name }),
            });
        }
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
    if !events.is_empty() {
        event::insert(&mut transaction, &events).await?;
    }
    if events.is_empty() && rows.id.is_empty() {
        transaction.rollback().await?;
    } else {
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
