//! `/api/v1/vpcs`.

use axum::{Json, extract::State, response::Response};
use ipam_shared::{
    api::vpc::{NewVpc, Vpc, VpcDeleted, VpcFilter, VpcPatch},
    page::Page,
};
use serde::Deserialize;

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

/// Create a VPC
///
/// Not needed before allocating: a VPC is created on first use.
#[utoipa::path(post, path = "/vpcs", tag = "vpcs", operation_id = "create_vpc",
    request_body = NewVpc, params(OfCreation), responses(
    (status = 201, body = Vpc),
    (status = 200, body = Vpc, description = "Created by an earlier attempt, or on first use, and now managed"),
    (status = 404, description = "No such VRF"),
    (status = 409, description = "name_taken or claimed"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewVpc>,
) -> Result<Response, Refusal> {
    let (vpc, is_new) = app.ipam(&maker.caller).create_vpc(maker, new).await?;
    Ok(made(&vpc, is_new))
}

/// List VPCs
#[utoipa::path(get, path = "/vpcs", tag = "vpcs", operation_id = "list_vpcs", params(VpcFilter), responses(
    (status = 200, body = Page<Vpc>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<VpcFilter>,
) -> Result<Paged<Vpc>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let items = db::vpc::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(page(items, wanted.limit, by_id))
}

/// Get a VPC
#[utoipa::path(get, path = "/vpcs/{vpc}", tag = "vpcs", operation_id = "get_vpc",
    params(
        ("vpc" = String, Path, description = "Id or name"),
        OfReader,
    ),
    responses(
        (status = 200, body = Vpc),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let vpc: Vpc = app.ipam(&caller).show(caller, key, claim).await?;
    Ok(found(&vpc))
}

/// Change a VPC
#[utoipa::path(patch, path = "/vpcs/{vpc}", tag = "vpcs", operation_id = "update_vpc",
    request_body = VpcPatch,
    params(
        ("vpc" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 200, body = Vpc),
        (status = 409, description = "name_taken"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<VpcPatch>,
) -> Result<Response, Refusal> {
    let id = app.ipam(&caller).find::<Vpc>(&key).await?;
    let vpc = app
        .ipam(&caller)
        .update_vpc(caller, id, patch, revision)
        .await?;
    Ok(shown(&vpc))
}

/// How to delete.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Deletion {
    /// Release its allocations too; otherwise, a VPC that has any is not deleted.
    #[serde(default)]
    cascade: bool,
}

/// Delete a VPC
#[utoipa::path(delete, path = "/vpcs/{vpc}", tag = "vpcs", operation_id = "delete_vpc",
    params(
        ("vpc" = String, Path, description = "Id or name"),
        Deletion,
        OfChange,
    ),
    responses(
        (status = 200, body = VpcDeleted),
        (status = 409, description = "in_use or deletion_protected"),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    Params(deletion): Params<Deletion>,
    IfMatch(revision): IfMatch,
) -> Result<Json<VpcDeleted>, Refusal> {
    let id = app.ipam(&caller).find::<Vpc>(&key).await?;
    Ok(Json(
        app.ipam(&caller)
            .delete_vpc(caller, id, deletion.cascade, revision)
            .await?,
    ))
}
