//! `/api/v1/profiles`.

use axum::{extract::State, http::StatusCode, response::Response};
use ipam_shared::{
    api::profile::{NewProfile, Profile, ProfileFilter, ProfilePatch},
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

/// Create a profile
///
/// Its pools are looked up at each allocation and need not exist yet.
#[utoipa::path(post, path = "/profiles", tag = "profiles", operation_id = "create_profile",
    request_body = NewProfile, params(OfCreation), responses(
    (status = 201, body = Profile),
    (status = 200, body = Profile, description = "Created by an earlier attempt"),
    (status = 409, description = "name_taken or claimed"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewProfile>,
) -> Result<Response, Refusal> {
    let (profile, is_new) = app.ipam(&maker.caller).create_profile(maker, new).await?;
    Ok(made(&profile, is_new))
}

/// List profiles
#[utoipa::path(get, path = "/profiles", tag = "profiles", operation_id = "list_profiles", params(ProfileFilter),
    responses(
        (status = 200, body = Page<Profile>),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<ProfileFilter>,
) -> Result<Paged<Profile>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let items = db::profile::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(page(items, wanted.limit, by_id))
}

/// Get a profile
///
/// 410 if it was deleted, when asked by id.
#[utoipa::path(get, path = "/profiles/{profile}", tag = "profiles", operation_id = "get_profile",
    params(
        ("profile" = String, Path, description = "Id or name"),
        OfReader,
    ),
    responses(
        (status = 200, body = Profile),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let profile: Profile = app.ipam(&caller).show(caller, key, claim).await?;
    Ok(found(&profile))
}

/// Change a profile
///
/// This applies to later allocations: existing ones stay as they are.
#[utoipa::path(patch, path = "/profiles/{profile}", tag = "profiles", operation_id = "update_profile",
    request_body = ProfilePatch,
    params(
        ("profile" = String, Path, description = "Id or name"),
        OfChange,
    ),
    responses(
        (status = 200, body = Profile),
        (status = 409, description = "name_taken"),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<ProfilePatch>,
) -> Result<Response, Refusal> {
    let id = app.ipam(&caller).find::<Profile>(&key).await?;
    let profile = app
        .ipam(&caller)
        .update_profile(caller, id, patch, revision)
        .await?;
    Ok(shown(&profile))
}

/// Delete a profile
///
/// Refused while allocations use it.
#[utoipa::path(delete, path = "/profiles/{profile}", tag = "profiles", operation_id = "delete_profile",
    params(
        ("profile" = String, Path, description = "Id or name"),
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
    let id = app.ipam(&caller).find::<Profile>(&key).await?;
    app.ipam(&caller)
        .delete_profile(caller, id, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
