//! `/api/v1/webhooks`.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use ipam_shared::{
    api::webhook::{
        NewWebhook, NewWebhookSecret, Webhook, WebhookFilter, WebhookPatch, WebhookResumption,
        WebhookTest,
    },
    page::Page,
};

use super::{
    error::Refusal,
    extract::{Body, IfMatch, Key, OfChange, OfCreation, OfReader, Params, ShownClaim},
    paging::{Paged, page},
    reply::{Wanted, by_id, found, made, shown},
};
use crate::{
    app::App,
    db,
    domain::{Caller, ownership::Maker},
};

/// Create a webhook
///
/// The audit log is sent to its address from now on, in order and at least once, in requests with a body as
/// `GET /api/v1/events/feed` replies, signed as Standard Webhooks says. Only the replies to this and to a rotation have the
/// secret. A creation that its owner repeats before confirming it gets the same webhook with the same secret.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", operation_id = "create_webhook",
    request_body = NewWebhook, params(OfCreation), responses(
    (status = 201, body = Webhook),
    (status = 200, body = Webhook, description = "Created by an earlier attempt"),
    (status = 409, description = "name_taken or claimed"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewWebhook>,
) -> Result<Response, Refusal> {
    let (webhook, is_new) = app.ipam(&maker.caller).create_webhook(maker, new).await?;
    Ok(made(&webhook, is_new))
}

/// List webhooks
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", operation_id = "list_webhooks", params(WebhookFilter), responses(
    (status = 200, body = Page<Webhook>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<WebhookFilter>,
) -> Result<Paged<Webhook>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let items = db::webhook::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(page(items, wanted.limit, by_id))
}

/// Get a webhook
///
/// With how far it is, and what went wrong last.
#[utoipa::path(get, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "get_webhook",
    params(
        ("webhook" = String, Path, description = "Id or name"),
        OfReader,
    ),
    responses(
        (status = 200, body = Webhook),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let webhook: Webhook = app.ipam(&caller).show(caller, key, claim).await?;
    Ok(found(&webhook))
}

/// Change a webhook
///
/// What could not be delivered before is tried at once.
#[utoipa::path(patch, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "update_webhook",
    request_body = WebhookPatch,
    params(
        ("webhook" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 200, body = Webhook),
        (status = 409, description = "name_taken"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<WebhookPatch>,
) -> Result<Response, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Webhook>(&key).await?;
    Ok(shown(
        &ipam.update_webhook(caller, id, patch, revision).await?,
    ))
}

/// Delete a webhook
///
/// A request that is under way may still arrive.
#[utoipa::path(delete, path = "/webhooks/{webhook}", tag = "webhooks", operation_id = "delete_webhook",
    params(
        ("webhook" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 204, description = "Deleted"),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Webhook>(&key).await?;
    ipam.delete_webhook(caller, id, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Rotate the secret of a webhook
///
/// Only the reply has the new one. Those before it also sign for a while, so that a receiver can be told in time.
#[utoipa::path(post, path = "/webhooks/{webhook}/rotate", tag = "webhooks", operation_id = "rotate_webhook",
    request_body = NewWebhookSecret,
    params(
        ("webhook" = String, Path, description = "Id or name"),
    ),
    responses(
        (status = 200, body = Webhook),
    ))]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    Body(rotation): Body<NewWebhookSecret>,
) -> Result<Response, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Webhook>(&key).await?;
    Ok(shown(&ipam.rotate_webhook(caller, id, rotation).await?))
}

/// Let a webhook go on
///
/// After it was stopped, or before its next attempt is due; where it was, or after another event.
#[utoipa::path(post, path = "/webhooks/{webhook}/resume", tag = "webhooks", operation_id = "resume_webhook",
    request_body = WebhookResumption,
    params(
        ("webhook" = String, Path, description = "Id or name"),
    ),
    responses(
        (status = 200, body = Webhook),
    ))]
pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    Body(resumption): Body<WebhookResumption>,
) -> Result<Response, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Webhook>(&key).await?;
    Ok(shown(&ipam.resume_webhook(caller, id, resumption).await?))
}

/// Test a webhook
///
/// Sends a signed request without events now, whatever state the webhook is in, and says what came of it. What is delivered
/// besides stays as it is.
#[utoipa::path(post, path = "/webhooks/{webhook}/test", tag = "webhooks", operation_id = "test_webhook",
    params(
        ("webhook" = String, Path, description = "Id or name"),
    ),
    responses(
        (status = 200, body = WebhookTest),
    ))]
pub(super) async fn test(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
) -> Result<Json<WebhookTest>, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Webhook>(&key).await?;
    Ok(Json(ipam.test_webhook(caller, id).await?))
}
