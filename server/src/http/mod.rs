//! HTTP: parse, authorise, call the domain, reply. Knows no SQL.
//!
//! Every route is on this screen; each file holds the handlers of one noun. Writes go to `domain`, plain reads to `db`.

pub(crate) mod admission;
pub mod allocation;
pub(crate) mod around;
mod conditional;
mod contract;
mod cors;
pub mod error;
pub mod event;
mod extract;
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
mod host;
pub(crate) mod key;
pub mod legacy;
pub mod limits;
pub mod listen;
pub mod lookup;
mod metrics;
pub mod openapi;
pub mod ownership;
pub(crate) mod pace;
mod paging;
pub mod pool;
pub mod profile;
mod proof;
mod reply;
pub mod request_id;
pub mod reservation;
pub mod rights;
mod source;
pub mod space;
pub(crate) mod stream;
pub mod token;
pub mod transfer;
pub mod vpc;
pub mod vrf;
pub mod webhook;

use axum::{
    Router,
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header},
    middleware,
    routing::get,
};
use tower_http::{
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    set_header::SetResponseHeaderLayer,
};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// Replies smaller than this, in bytes, fit into one packet anyway.
const COMPRESSED: u64 = 1400;

/// The routes that the OpenAPI document describes: those that need a key, and those that need none.
fn described() -> (OpenApiRouter<App>, OpenApiRouter<App>) {
    let open = OpenApiRouter::new().routes(routes!(proof::prove));
    let api = OpenApiRouter::new()
        .routes(routes!(allocation::create, allocation::list))
        .routes(routes!(allocation::create_batch))
        .routes(routes!(
            allocation::get,
            allocation::update,
            allocation::delete
        ))
        .routes(routes!(vpc::create, vpc::list))
        .routes(routes!(vpc::get, vpc::update, vpc::delete))
        .routes(routes!(vrf::create, vrf::list))
        .routes(routes!(vrf::get, vrf::update, vrf::delete))
        .routes(routes!(pool::create, pool::list))
        .routes(routes!(pool::get, pool::update, pool::delete))
        .routes(routes!(profile::create, profile::list))
        .routes(routes!(profile::get, profile::update, profile::delete))
        .routes(routes!(reservation::create, reservation::list))
        .routes(routes!(
            reservation::get,
            reservation::update,
            reservation::delete
        ))
        .routes(routes!(token::create, token::list))
        .routes(routes!(token::get, token::update, token::delete))
        .routes(routes!(token::whoami))
        .routes(routes!(webhook::create, webhook::list))
        .routes(routes!(webhook::get, webhook::update, webhook::delete))
        .routes(routes!(webhook::rotate))
        .routes(routes!(webhook::resume))
        .routes(routes!(webhook::test))
        .routes(routes!(ownership::confirm))
        .routes(routes!(ownership::take_over))
        .routes(routes!(space::free))
        .routes(routes!(space::svg))
        .routes(routes!(space::png))
        .routes(routes!(lookup::lookup))
        .routes(routes!(lookup::history))
        .routes(routes!(event::list))
        .routes(routes!(event::feed))
        .routes(routes!(event::head))
        .routes(routes!(transfer::import))
        .routes(routes!(transfer::export));
    (
        OpenApiRouter::with_openapi(openapi::Document::openapi()).nest("/api/v1", api),
        OpenApiRouter::new().nest("/api/v1", open),
    )
}

/// Every route except those of pages.
pub(crate) fn routes(app: &App) -> Router<App> {
    let (api, open) = described();
    let (api, open) = (api.split_for_parts().0, open.split_for_parts().0);
    let api = api
        .layer(middleware::from_fn_with_state(app.clone(), around::api))
        .merge(open)
        .route("/api/v1/openapi.json", get(openapi::json))
        .route("/api/{*rest}", axum::routing::any(error::unknown_path))
        .method_not_allowed_fallback(error::unknown_method)
        .layer((
            SetResponseHeaderLayer::if_not_present(
                header::CACHE_CONTROL,
                HeaderValue::from_static("no-store"),
            ),
            compress(),
        ));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .merge(openapi::swagger_ui())
        .merge(legacy::routes(app))
        .merge(api)
        .fallback(legacy::not_found)
        .method_not_allowed_fallback(legacy::method_not_allowed)
}

/// Compresses replies that are large enough to gain from it, for clients that ask for that.
pub(crate) fn compress() -> CompressionLayer<impl Predicate> {
    let may_wait = |status: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
        // What has no body has no length either, which could be any.
        status != StatusCode::NOT_MODIFIED && extensions.get::<stream::LineByLine>().is_none()
    };
    CompressionLayer::new().compress_when(
        SizeAbove::new(COMPRESSED)
            .and(NotForContentType::const_new("image/"))
            .and(may_wait),
    )
}
