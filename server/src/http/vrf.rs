//! `/api/v1/vrfs`.

use axum::{extract::State, http::StatusCode, response::Response};
use ipam_shared::{
    api::vrf::{NewVrf, Vrf, VrfFilter, VrfPatch},
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

/// Create a VRF
///
/// A separate address space: the same network may exist once in each. `default` always exists.
#[utoipa::path(post, path = "/vrfs", tag = "vrfs", operation_id = "create_vrf",
    request_body = NewVrf, params(OfCreation), responses(
    (status = 201, body = Vrf),
    (status = 200, body = Vrf, description = "Created by an earlier attempt"),
    (status = 409, description = "name_taken or claimed"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewVrf>,
) -> Result<Response, Refusal> {
    let (vrf, is_new) = app.ipam(&maker.caller).create_vrf(maker, new).await?;
    Ok(made(&vrf, is_new))
}

/// List VRFs
#[utoipa::path(get, path = "/vrfs", tag = "vrfs", operation_id = "list_vrfs", params(VrfFilter), responses(
    (status = 200, body = Page<Vrf>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<VrfFilter>,
) -> Result<Paged<Vrf>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let items = db::vrf::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(page(items, wanted.limit, by_id))
}

/// Get a VRF
#[utoipa::path(get, path = "/vrfs/{vrf}", tag = "vrfs", operation_id = "get_vrf",
    params(
        ("vrf" = String, Path, description = "Id or name"),
        OfReader,
    ),
    responses(
        (status = 200, body = Vrf),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let vrf: Vrf = app.ipam(&caller).show(caller, key, claim).await?;
    Ok(found(&vrf))
}

/// Change a VRF
#[utoipa::path(patch, path = "/vrfs/{vrf}", tag = "vrfs", operation_id = "update_vrf",
    request_body = VrfPatch,
    params(
        ("vrf" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 200, body = Vrf),
        (status = 409, description = "name_taken"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<VrfPatch>,
) -> Result<Response, Refusal> {
    let id = app.ipam(&caller).find::<Vrf>(&key).await?;
    let vrf = app
        .ipam(&caller)
        .update_vrf(caller, id, patch, revision)
        .await?;
    Ok(shown(&vrf))
}

/// Delete a VRF
///
/// Refused while it has pools, VPCs or reservations.
#[utoipa::path(delete, path = "/vrfs/{vrf}", tag = "vrfs", operation_id = "delete_vrf",
    params(
        ("vrf" = String, Path, description = "Id or name"),
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
    let id = app.ipam(&caller).find::<Vrf>(&key).await?;
    app.ipam(&caller).delete_vrf(caller, id, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}
