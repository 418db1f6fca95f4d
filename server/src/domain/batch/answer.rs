//! The answers, after the commit.

use std::collections::{HashMap, hash_map::Entry};

use ipam_shared::ids::{AllocationId, PoolId};

use super::{
    decide::Decided,
    read::Batch,
    request::{Outcome, Step},
    write::Found,
};
use crate::{
    db::allocate::{Existing, Inserted},
    domain::{Ipam, address_plan::Source, space},
    error::{Error, Exhausted, Result},
};

/// The answers, after the commit.
pub(super) async fn answer(
    ipam: &Ipam,
    batch: &Batch<'_>,
    decided: Vec<Decided>,
    inserted: HashMap<AllocationId, Inserted>,
    mut found: Found,
    is_dry: bool,
) -> Result<Vec<Step>> {
    let mut steps = Vec::with_capacity(decided.len());
    let mut left = HashMap::new();
    for (request, step) in batch.requests.iter().zip(decided) {
        let answer = match step {
            Decided::Later(tried) => {
                let mut request = request.clone();
                request.tried.extend(tried);
                steps.push(Step::Later(Box::new(request)));
                continue;
            }
            Decided::Over(pool, exceeded) => {
                let mut request = request.clone();
                request.tried.push(pool);
                request.exceeded.extend(exceeded);
                steps.push(Step::Later(Box::new(request)));
                continue;
            }
            Decided::Refuse(error) => Err(*error),
            Decided::Full(full) => Err(exhausted(ipam, full, &mut left).await),
            Decided::Grant(grant) if is_dry => Ok(Outcome {
                allocation: batch.allocation(&grant, 0, time::OffsetDateTime::now_utc(), true),
                created: false,
                request_id: request.maker.caller.request_id,
            }),
            Decided::Grant(grant) => match inserted.get(&request.id) {
                Some(row) => Ok(Outcome {
                    allocation: batch.allocation(&grant, row.number, row.created_at, false),
                    created: true,
                    request_id: request.maker.caller.request_id,
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

/// What is left in pools that had no room. It is looked up after the locks are released, and once for all requests of a
/// batch that got the same answer.
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
