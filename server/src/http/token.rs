//! `/api/v1/tokens` and `/api/v1/whoami`.

use axum::{Extension, Json, extract::State, http::StatusCode, response::Response};
use ipam_shared::{
    api::token::{NewToken, Token, TokenFilter, TokenPatch, Whoami},
    page::Page,
};

use super::{
    error::Refusal,
    extract::{Body, IfMatch, Key, OfChange, OfCreation, OfReader, Params, ShownClaim},
    key::Shown,
    paging::{Paged, page},
    reply::{Wanted, by_id, found, made, shown},
};
use crate::{
    app::App,
    db,
    domain::{Caller, ownership::Maker},
};

/// Create a token
///
/// The reply is the only one that has the secret. A creation that its owner repeats before confirming it gets a new secret,
/// and the one before is no longer valid. A request may bring the secret instead; then no reply has it.
#[utoipa::path(post, path = "/tokens", tag = "tokens", operation_id = "create_token",
    request_body = NewToken, params(OfCreation), responses(
    (status = 201, body = Token),
    (status = 200, body = Token, description = "Created by an earlier attempt"),
    (status = 409, description = "name_taken, secret_taken or claimed"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewToken>,
) -> Result<Response, Refusal> {
    let (token, is_new) = app.ipam(&maker.caller).create_token(maker, new).await?;
    Ok(made(&token, is_new))
}

/// List tokens
#[utoipa::path(get, path = "/tokens", tag = "tokens", operation_id = "list_tokens", params(TokenFilter), responses(
    (status = 200, body = Page<Token>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<TokenFilter>,
) -> Result<Paged<Token>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let items = db::token::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(page(items, wanted.limit, by_id))
}

/// Get a token
#[utoipa::path(get, path = "/tokens/{token}", tag = "tokens", operation_id = "get_token",
    params(
        ("token" = String, Path, description = "Id or name"),
        OfReader,
    ),
    responses(
        (status = 200, body = Token),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let mut token: Token = app.ipam(&caller).show(caller, key, claim).await?;
    if !token.limits.quotas.is_empty() {
        token.usage = Some(app.system().usage(token.id).await?);
    }
    Ok(found(&token))
}

/// Change a token
///
/// It takes effect on every server within a second, a new secret too: the one before is no longer valid then.
#[utoipa::path(patch, path = "/tokens/{token}", tag = "tokens", operation_id = "update_token",
    request_body = TokenPatch,
    params(
        ("token" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 200, body = Token),
        (status = 409, description = "secret_taken"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<TokenPatch>,
) -> Result<Response, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Token>(&key).await?;
    Ok(shown(
        &ipam.update_token(caller, id, patch, revision).await?,
    ))
}

/// Revoke a token
///
/// Every server refuses it within a second, and its sessions end.
#[utoipa::path(delete, path = "/tokens/{token}", tag = "tokens", operation_id = "delete_token",
    params(
        ("token" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 204, description = "Revoked"),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Refusal> {
    let ipam = app.ipam(&caller);
    let id = ipam.find::<Token>(&key).await?;
    ipam.revoke_token(caller, id, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who am I?
///
/// What the audit log calls the caller, what the key allows, where, and how much of its quotas is used.
#[utoipa::path(get, path = "/whoami", tag = "tokens", operation_id = "whoami", responses(
    (status = 200, body = Whoami),
))]
pub(super) async fn whoami(
    State(app): State<App>,
    _: Caller,
    Extension(shown): Extension<Shown>,
) -> Result<Json<Whoami>, Refusal> {
    let who = shown.0?;
    let usage = match who.rights.quotas() {
        Some(token) => Some(app.system().usage(token).await?),
        None => None,
    };
    Ok(Json(Whoami {
        usage,
        actor: who.actor.clone(),
        token: who.token,
        roles: who.rights.roles().clone(),
        limits: who.limits.clone(),
        expires_at: who.expires_at,
    }))
}
