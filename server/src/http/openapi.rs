//! The OpenAPI document, generated from the code, and its reader.

use std::sync::LazyLock;

use axum::{
    Router,
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect},
    routing::get,
};
use serde_json::Value;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{contract, described};
use crate::app::App;

/// What the document says besides the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "ipam",
        description = "Hands out network ranges that never overlap.\n\n\
            Refusals are problems (RFC 9457) with a stable `code`. Repeat a request after a lost reply: a creation with \
            a `name`, or with an `Idempotency-Key`, never allocates twice.",
        license(name = "MIT", identifier = "MIT")
    ),
    components(schemas(ipam_shared::error::Problem)),
    modifiers(&Keys),
    security(("api_key" = []), ("bearer" = []))
)]
pub(super) struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "api_key",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))),
        );
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
    }
}

/// The document, complete.
pub fn document() -> Value {
    let (api, open) = described();
    let document = api.merge(open).split_for_parts().1;
    let mut document = serde_json::to_value(document).unwrap_or_default();
    contract::complete(&mut document);
    document
}

/// `GET /api/v1/openapi.json`: the document, without a key. It is generated once.
pub(super) async fn json() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], DOCUMENT.as_str())
}

/// What the pages of Swagger UI may load: their own files, and styles and pictures that they hold themselves.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/docs`: Swagger UI, with all its files from this binary.
pub(super) fn swagger_ui() -> Router<App> {
    let config = Config::from("/api/v1/openapi.json")
        .try_it_out_enabled(true)
        .persist_authorization(false);
    Router::new()
        .merge(SwaggerUi::new("/docs").config(config))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ))
        .route(
            "/openapi.json",
            get(|| async { Redirect::permanent("/api/v1/openapi.json") }),
        )
}
