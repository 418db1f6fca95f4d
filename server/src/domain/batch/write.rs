//! Writes what was decided, and commits.

use std::collections::HashMap;

use ipam_shared::{
    api::allocation::{Allocation, NewAllocation},
    ids::{AllocationId, Claim},
};
use serde_json::json;
use uuid::Uuid;

use super::{decide::Decided, read::Batch, request::Mode};
use crate::{
    db::{
        Connection, Transaction,
        allocate::{self, Inserted, NewRows, Replaced},
        allocation, cooldown,
        event::{self, Event},
    },
    domain::change::commit,
    error::{Error, Result},
};

/// Allocations that exist, with the request that made each.
pub(super) type Found = HashMap<AllocationId, (Allocation, Uuid)>;

pub(super) async fn load(
    db: &mut Connection,
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

/// Writes what was decided, and commits. Not if an atomic batch adopts something that was changed since it was read: then
/// nothing is written, and the batch has to be decided again.
pub(super) async fn write(
    mut transaction: Transaction,
    batch: &mut Batch<'_>,
    decided: &mut [Decided],
    inserted: &mut HashMap<AllocationId, Inserted>,
    found: &mut Found,
    mode: Mode,
) -> Result<bool> {
    let requests = batch.requests;
    let mut rows = NewRows::default();
    let mut events = Vec::new();
    let mut back = Vec::new();
    for (request, step) in requests.iter().zip(decided.iter()) {
        match step {
            Decided::Grant(grant) => {
                batch.add_rows(grant, &mut rows, &mut events)?;
                if grant.is_back {
                    back.extend(grant.pieces.iter().map(|(_, place)| *place));
                }
            }
            // An answer that asserts ownership must follow a commit of its own: this row makes it one.
            Decided::Replay(id) => events.push(Event {
                action: "allocation.replay",
                subject: id.0,
                caller: &request.maker.caller,
                detail: json!({}),
            }),
            Decided::Adopt(_)
            | Decided::Refuse(_)
            | Decided::Full(_)
            | Decided::Over(..)
            | Decided::Later(_) => {}
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
    for (index, (request, step)) in requests.iter().zip(decided.iter_mut()).enumerate() {
        if let Decided::Adopt(existing) = step {
            let (claim, new) = (Claim::generate(), &request.new);
            let Some(was) = allocate::adopt(&mut transaction, existing, claim, new).await? else {
                // Its owner confirmed or changed it since it was read, so it has to be decided again.
                if mode == Mode::Atomic {
                    transaction.rollback().await?;
                    return Ok(false);
                }
                *step = Decided::Later(None);
                continue;
            };
            batch.claims.insert(existing.id, claim);
            adoptions.push(Event {
                action: "allocation.adopt",
                subject: existing.id.0,
                caller: &request.maker.caller,
                detail: adopted(batch.vpc_name(index), new, &was),
            });
        }
    }
    let ids: Vec<_> = decided.iter().filter_map(Decided::existing).collect();
    load(&mut transaction, &ids, found).await?;
    if !adoptions.is_empty() {
        event::insert(&mut transaction, &adoptions).await?;
    }
    if events.is_empty() && adoptions.is_empty() {
        transaction.rollback().await?;
    } else {
        commit(transaction).await?;
    }
    Ok(true)
}

/// What an adoption changed, and what it was before.
fn adopted(vpc: &str, new: &NewAllocation, was: &Replaced) -> serde_json::Value {
    let (mut changed, mut before) = (json!({}), json!({}));
    if was.labels != new.labels {
        (changed["labels"], before["labels"]) = (json!(new.labels), json!(was.labels));
    }
    if was.description != new.description {
        (changed["description"], before["description"]) =
            (json!(new.description), json!(was.description));
    }
    if was.deletion_protection != new.deletion_protection {
        changed["deletion_protection"] = json!(new.deletion_protection);
        before["deletion_protection"] = json!(was.deletion_protection);
    }
    json!({ "vpc": vpc, "name": new.name, "changed": changed, "before": before })
}
