//! `/api/v1/pools/{pool}/free`.

use axum::{Json, extract::State};
use ipam_shared::api::pool::{FreeQuery, Pool, PoolFree};

use super::{
    error::Refusal,
    extract::{Key, Params},
};
use crate::{app::App, domain::Caller};

/// Ask a pool whether it has room
///
/// If a block of that size does not fit, the answer says why, and names the smallest change that would make one fit.
#[utoipa::path(get, path = "/pools/{pool}/free", tag = "pools", operation_id = "get_pool_free",
    params(("pool" = String, Path, description = "Id or name"), FreeQuery), responses(
        (status = 200, body = PoolFree),
    ))]
pub(super) async fn free(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    Params(query): Params<FreeQuery>,
) -> Result<Json<PoolFree>, Refusal> {
    let id = app.ipam(&caller).find::<Pool>(&key).await?;
    Ok(Json(app.ipam(&caller).free(id, query.prefix_length).await?))
}
