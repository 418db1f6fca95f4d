//! `/api/v1/allocations`.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use ipam_shared::{
    api::allocation::{
        Allocation, AllocationFilter, AllocationPatch, Batch, BatchResult, NewAllocation, NewBatch,
    },
    error::{Code, Problem},
    ids::AllocationId,
    page::Page,
};
use serde_json::json;

use super::{
    error::Refusal,
    extract::{
        Body, IdempotencyKey, IfMatch, Key, OfChange, OfCreation, OfReader, Params, ShownClaim,
    },
    key::DeniesSome,
    paging::{Paged, page},
    reply::{Wanted, by_id, found, label, made, shown},
};
use crate::{
    app::App,
    db,
    domain::{
        Caller,
        allocation::{BatchOutcome, Outcome},
        named::Filter,
        ownership::Maker,
    },
    error::Error,
};

/// Allocate
///
/// Takes one block per member of the profile, all or none. With a `name` the request is idempotent: the same request
/// returns the same allocation. Without one, send an `Idempotency-Key` to make it so.
#[utoipa::path(post, path = "/allocations", tag = "allocations", operation_id = "create_allocation",
    request_body = NewAllocation,
    params(
        ("idempotency-key" = Option<String>, Header, description = "1 to 255 printable characters, kept for a day"),
        OfCreation,
    ),
    responses(
        (status = 201, body = Allocation, description = "Allocated"),
        (status = 200, body = Allocation, description = "Allocated by an earlier attempt, or a dry run"),
        (status = 404, description = "No such VRF, profile or pool"),
        (status = 410, description = "What the Idempotency-Key made was released, or a pool that is named by its id was deleted"),
        (status = 409, description = "pool_exhausted, quota_exceeded, overlap, name_taken or claimed"),
    ))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    IdempotencyKey(key): IdempotencyKey,
    Body(new): Body<NewAllocation>,
) -> Result<Response, Refusal> {
    let outcome = app.ipam(&maker.caller).allocate(maker, new, key).await?;
    Ok(made(&outcome.allocation, outcome.created))
}

/// Allocate for several requests at once
///
/// All or nothing, unless `atomic` is false; then each on its own. If an atomic batch can't be satisfied, nothing is
/// written, and the refusal is that of the first request that failed, with all of them in `details.refused`, counted from
/// 0. Named requests are idempotent as usual; an `Idempotency-Key` makes the unnamed ones so.
#[utoipa::path(post, path = "/allocations/batch", tag = "allocations", operation_id = "create_allocations",
    request_body = NewBatch,
    params(
        ("idempotency-key" = Option<String>, Header, description = "1 to 250 printable characters, kept for a day"),
        OfCreation,
    ),
    responses(
        (status = 200, body = Batch, description = "The outcome of each request"),
        (status = 404, description = "No such VRF, profile or pool; nothing was written"),
        (status = 410, description = "What the Idempotency-Key made was released, or a pool that is named by its id was deleted"),
        (status = 409, description = "pool_exhausted, quota_exceeded, overlap, name_taken or claimed; nothing was written"),
    ))]
pub(super) async fn create_batch(
    State(app): State<App>,
    maker: Maker,
    IdempotencyKey(key): IdempotencyKey,
    Body(new): Body<NewBatch>,
) -> Result<Response, Refusal> {
    let size = new.requests.len();
    match app
        .ipam(&maker.caller)
        .allocate_batch(maker, new, key)
        .await?
    {
        BatchOutcome::Done(answers) => {
            let results: Vec<_> = answers.into_iter().map(result).collect();
            let problems = results.iter().filter_map(|result| result.problem.as_ref());
            let codes: Vec<_> = problems.map(|problem| problem.code).collect();
            for code in &codes {
                app.system().metrics().refused(*code);
            }
            let succeeded = results.len() - codes.len();
            let batch = Json(Batch { succeeded, results });
            Ok(noting_denials(&codes, batch.into_response()))
        }
        BatchOutcome::Refused(refused) => {
            let refused: Vec<_> = refused
                .into_iter()
                .map(|(index, error)| (index, *Refusal::from(error).0))
                .collect();
            let Some((first, problem)) = refused.first() else {
                return Err(Error::bug("a batch was refused without a reason").into());
            };
            let mut whole = Problem::new(
                problem.code,
                format!(
                    "request {first} of {size} (counted from 0): {}{}; nothing was allocated",
                    problem.detail,
                    match refused.len() - 1 {
                        0 => String::new(),
                        1 => "; one more is refused".to_owned(),
                        more => format!("; {more} more are refused"),
                    }
                ),
            );
            let codes: Vec<_> = refused.iter().map(|(_, problem)| problem.code).collect();
            let refused: Vec<_> = refused
                .iter()
                .map(|(index, problem)| json!({ "request": index, "problem": problem }))
                .collect();
            whole.details = json!({ "refused": refused });
            let refusal = Refusal(Box::new(whole)).into_response();
            Ok(noting_denials(&codes, refusal))
        }
    }
}

/// The reply to a batch, whose status need not be that of each request, with a note for the audit log if some were denied.
fn noting_denials(codes: &[Code], mut response: Response) -> Response {
    if codes.contains(&Code::Forbidden) {
        response.extensions_mut().insert(DeniesSome);
    }
    response
}

/// The outcome of one request of a batch.
fn result(answer: Result<Outcome, Error>) -> BatchResult {
    match answer {
        Ok(outcome) => BatchResult {
            status: if outcome.created { 201 } else { 200 },
            allocation: Some(outcome.allocation),
            problem: None,
        },
        Err(error) => {
            let problem = *Refusal::from(error).0;
            BatchResult {
                status: problem.status,
                allocation: None,
                problem: Some(problem),
            }
        }
    }
}

/// List allocations
///
/// In the order in which they were created.
#[utoipa::path(get, path = "/allocations", tag = "allocations", operation_id = "list_allocations",
    params(AllocationFilter), responses(
        (status = 200, body = Page<Allocation>),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<AllocationFilter>,
) -> Result<Paged<Allocation>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let label = label(filter.label.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let ids =
        db::allocation::find(&mut connection, &filter, label, wanted.after, wanted.limit).await?;
    let items = if ids.is_empty() {
        drop(connection);
        let named = [
            filter.vpc.as_deref().map(Filter::Vpc),
            filter.pool.as_deref().map(Filter::Pool),
        ];
        app.ipam(&caller).must_exist(&named).await?;
        Vec::new()
    } else {
        let found = db::allocation::load(&mut connection, &ids).await?;
        found
            .into_iter()
            .map(|(allocation, _)| allocation)
            .collect()
    };
    Ok(page(items, wanted.limit, by_id))
}

/// Get an allocation
///
/// 410 if it was released, 404 if the id was never known.
#[utoipa::path(get, path = "/allocations/{id}", tag = "allocations", operation_id = "get_allocation",
    params(
        ("id" = AllocationId, Path),
        OfReader,
    ),
    responses(
        (status = 200, body = Allocation),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(id): Key<AllocationId>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let allocation: Allocation = app.ipam(&caller).show(caller, id, claim).await?;
    Ok(found(&allocation))
}

/// Change an allocation
///
/// What is missing from the body stays as it is. Another size grows or shrinks every block in place, or is refused with the
/// conflicts.
#[utoipa::path(patch, path = "/allocations/{id}", tag = "allocations", operation_id = "update_allocation",
    request_body = AllocationPatch,
    params(("id" = AllocationId, Path), OfChange),
    responses(
        (status = 200, body = Allocation),
        (status = 409, description = "name_taken, overlap or quota_exceeded"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(id): Key<AllocationId>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<AllocationPatch>,
) -> Result<Response, Refusal> {
    Ok(shown(
        &app.ipam(&caller)
            .update(caller, id, patch, revision)
            .await?,
    ))
}

/// Release an allocation
///
/// Its blocks are free when this returns, or when the cooldown of their pools is over.
#[utoipa::path(delete, path = "/allocations/{id}", tag = "allocations", operation_id = "delete_allocation",
    params(("id" = AllocationId, Path), OfChange),
    responses(
        (status = 204, description = "Released"),
        (status = 409, description = "deletion_protected"),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Key(id): Key<AllocationId>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Refusal> {
    app.ipam(&caller).release(caller, id, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}
