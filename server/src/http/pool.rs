//! `/api/v1/pools`.

use axum::{extract::State, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ipam_shared::{
    api::pool::{NewPool, Pool, PoolFilter, PoolPatch},
    page::Page,
};

use super::{
    error::Refusal,
    extract::{Body, IfMatch, Key, OfChange, OfCreation, OfReader, Params, ShownClaim},
    paging::{Paged, page},
    reply::{found, label, limit, made, not_a_cursor, shown},
};
use crate::{
    app::App,
    db,
    domain::{Caller, named::Filter, ownership::Maker},
    error::Error,
};

/// Create a pool
///
/// Ranges of one VRF never overlap. A pool with a parent has its ranges cut from that pool: as CIDRs that are free there,
/// or by prefix length.
#[utoipa::path(post, path = "/pools", tag = "pools", operation_id = "create_pool",
    request_body = NewPool, params(OfCreation), responses(
    (status = 201, body = Pool),
    (status = 200, body = Pool, description = "Created by an earlier attempt"),
    (status = 404, description = "No such VRF or parent"),
    (status = 409, description = "name_taken, claimed, overlap or pool_exhausted"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewPool>,
) -> Result<Response, Refusal> {
    let (pool, is_new) = app.ipam(&maker.caller).create_pool(maker, new).await?;
    Ok(made(&pool, is_new))
}

/// List pools
///
/// With what is left of them, including free blocks by size. Ordered by VRF, `default` first, and name.
#[utoipa::path(get, path = "/pools", tag = "pools", operation_id = "list_pools", params(PoolFilter), responses(
    (status = 200, body = Page<Pool>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<PoolFilter>,
) -> Result<Paged<Pool>, Refusal> {
    let limit = limit(filter.limit)?;
    let label = label(filter.label.as_deref())?;
    let after = filter.cursor.as_deref().map(place).transpose()?;
    let after = after
        .as_ref()
        .map(|(vrf, name)| (vrf.as_str(), name.as_str()));
    let mut connection = app.ipam(&caller).read().await?;
    let items = db::pool::list(&mut connection, &filter, label, after, limit).await?;
    if items.is_empty() {
        drop(connection);
        let named = [
            filter.vrf.as_deref().map(Filter::Vrf),
            filter.parent.as_deref().map(Filter::Pool),
        ];
        app.ipam(&caller).must_exist(&named).await?;
    }
    Ok(page(items, limit, cursor))
}

/// Get a pool
///
/// By id, or by name if only one VRF has a pool of that name.
#[utoipa::path(get, path = "/pools/{pool}", tag = "pools", operation_id = "get_pool",
    params(
        ("pool" = String, Path, description = "Id or name"),
        OfReader,
    ),
    responses(
        (status = 200, body = Pool),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let pool: Pool = app.ipam(&caller).show(caller, key, claim).await?;
    Ok(found(&pool))
}

/// Change a pool
///
/// Existing blocks stay as they are. New `ranges` are added, and those that are not listed are removed if nothing is in
/// them.
#[utoipa::path(patch, path = "/pools/{pool}", tag = "pools", operation_id = "update_pool",
    request_body = PoolPatch,
    params(
        ("pool" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 200, body = Pool),
        (status = 409, description = "name_taken, overlap, in_use or pool_exhausted"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<PoolPatch>,
) -> Result<Response, Refusal> {
    let id = app.ipam(&caller).find::<Pool>(&key).await?;
    let pool = app
        .ipam(&caller)
        .update_pool(caller, id, patch, revision)
        .await?;
    Ok(shown(&pool))
}

/// Delete a pool
///
/// Refused while something is in its ranges or other pools are cut from it. Its ranges go back to its parent.
#[utoipa::path(delete, path = "/pools/{pool}", tag = "pools", operation_id = "delete_pool",
    params(
        ("pool" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "in_use"),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Refusal> {
    let id = app.ipam(&caller).find::<Pool>(&key).await?;
    app.ipam(&caller).delete_pool(caller, id, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a page ends: by VRF and name, neither of which has a slash.
fn cursor(pool: &Pool) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{}", pool.vrf, pool.name))
}

/// The VRF and the name that a page begins after.
fn place(cursor: &str) -> Result<(String, String), Error> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            text.split_once('/')
                .map(|(vrf, name)| (vrf.to_owned(), name.to_owned()))
        })
        .ok_or_else(not_a_cursor)
}
