//! What a pool looks like, and what is left in it: `/api/v1/pools/{pool}/free`, `map.svg` and `map.png`.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use ipam_shared::api::pool::{FreeQuery, PictureQuery, Pool, PoolFree};

use super::{
    error::Refusal,
    extract::{Key, Params},
};
use crate::{
    app::App,
    db,
    domain::Caller,
    error::Error,
    picture::{self, Asked, Picture},
};

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

/// Draw the address map of a pool
///
/// As SVG that needs nothing else, to be put into a pull request or a document: what lies where, and who has the networks
/// that are to be reviewed.
#[utoipa::path(get, path = "/pools/{pool}/map.svg", tag = "pools", operation_id = "draw_pool",
    params(("pool" = String, Path, description = "Id or name"), PictureQuery), responses(
        (status = 200, body = String, content_type = "image/svg+xml"),
    ))]
pub(super) async fn svg(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    Params(query): Params<PictureQuery>,
) -> Result<Response, Refusal> {
    let picture = drawn(&app, &caller, &key, &query).await?;
    let etag = etag(&picture, "svg");
    Ok(image("image/svg+xml", etag, picture.svg.into_bytes()))
}

/// Draw the address map of a pool as PNG
///
/// The same, twice as large, for where SVG can't be shown.
#[utoipa::path(get, path = "/pools/{pool}/map.png", tag = "pools", operation_id = "paint_pool",
    params(("pool" = String, Path, description = "Id or name"), PictureQuery), responses(
        (status = 200, body = String, content_type = "image/png"),
    ))]
pub(super) async fn png(
    State(app): State<App>,
    caller: Caller,
    Key(key): Key<String>,
    Params(query): Params<PictureQuery>,
) -> Result<Response, Refusal> {
    let picture = drawn(&app, &caller, &key, &query).await?;
    let etag = etag(&picture, "png");
    let bytes = picture::png(picture.svg).await?;
    Ok(image("image/png", etag, bytes))
}

async fn drawn(
    app: &App,
    caller: &Caller,
    key: &str,
    query: &PictureQuery,
) -> Result<Picture, Error> {
    let asked = Asked::new(query)?;
    let ipam = app.ipam(caller);
    let id = ipam.find::<Pool>(key).await?;
    let mut db = ipam.read().await?;
    let pool = db::pool::get(&mut db, id).await?;
    let pool = pool.ok_or_else(|| Error::not_found(format!("there is no pool {key:?}")))?;
    picture::of_pool(&mut db, &pool, &asked).await
}

/// Of what is shown, whatever the time that is written beside it.
fn etag(picture: &Picture, kind: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{kind}-{:016x}\"", picture.hash)).ok()
}

fn image(kind: &'static str, etag: Option<HeaderValue>, bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static(kind);
    let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    let headers = response.headers_mut();
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    // Opened by itself it is a document of this server, with names in it that others chose.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(picture::POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
