//! `/api/v1/pools`.

use axum::{Json, extract::State};
use ipam_shared::{api::pool::Pool, error::Problem, page::Page};
use serde::Deserialize;

use super::{
    App,
    error::Refusal,
    extract::{Key, Params},
};
use crate::{db, domain::Caller, error::Error};

/// What a list can be narrowed to.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolFilter {
    /// Only with this name.
    name: Option<String>,
    /// Only of this VRF.
    vrf: Option<String>,
}

/// List pools
///
/// With what is left of them, free blocks by size included.
#[utoipa::path(get, path = "/pools", tag = "pools", operation_id = "list_pools", params(PoolFilter), responses(
    (status = 200, body = Page<Pool>),
))]
pub(super) async fn list(
    State(app): State<App>,
    _: Caller,
    Params(filter): Params<PoolFilter>,
) -> Result<Json<Page<Pool>>, Refusal> {
    let mut connection = app.ipam.read().await?;
    let items = db::pool::list(
        &mut connection,
        None,
        filter.name.as_deref(),
        filter.vrf.as_deref(),
    )
    .await?;
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Get a pool
///
/// By id, or by name if only one VRF has a pool of that name.
#[utoipa::path(get, path = "/pools/{pool}", tag = "pools", operation_id = "get_pool",
    params(("pool" = String, Path, description = "Id or name")), responses(
        (status = 200, body = Pool),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    _: Caller,
    Key(key): Key<String>,
) -> Result<Json<Pool>, Refusal> {
    let mut connection = app.ipam.read().await?;
    let mut found = match key.parse() {
        Ok(id) => db::pool::list(&mut connection, Some(id), None, None).await?,
        Err(_) => db::pool::list(&mut connection, None, Some(&key), None).await?,
    };
    if found.len() > 1 {
        let vrfs: Vec<_> = found
            .iter()
            .map(|pool| format!("\"{}\" ({})", pool.vrf, pool.id))
            .collect();
        return Err(Error::Invalid(format!(
            "several VRFs have a pool \"{key}\": {}; ask for it by id",
            vrfs.join(", ")
        ))
        .into());
    }
    match found.pop() {
        Some(pool) => Ok(Json(pool)),
        None => Err(Error::NotFound(format!("there is no pool \"{key}\"")).into()),
    }
}
