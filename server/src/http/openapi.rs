//! The OpenAPI document, generated from the code, and its reader.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde_json::Value;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::Config;

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

/// What the page of Swagger UI may load: its own files, and styles and pictures that it holds itself.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page: that of Swagger UI, with our files.
const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API of ipam</title>
<link rel="stylesheet" href="./swagger-ui.css">
<link rel="stylesheet" href="./index.css">
<link rel="stylesheet" href="./ipam.css">
<link rel="icon" type="image/png" href="./favicon-32x32.png" sizes="32x32">
</head>
<body>
<main id="swagger-ui"></main>
<script src="./swagger-ui-bundle.js"></script>
<script src="./swagger-ui-standalone-preset.js"></script>
<script src="./swagger-initializer.js"></script>
<script src="./ipam.js"></script>
</body>
</html>
"#;

/// Colours that can be read.
const STYLE: &str = include_str!("../../static/docs.css");
/// Names for what has none.
const SCRIPT: &str = include_str!("../../static/docs.js");

/// `/docs`: Swagger UI, with all its files from this binary, and what makes it accessible (WCAG 2.1 A and AA).
pub(super) fn swagger_ui() -> Router<App> {
    let text = |kind, text: &'static str| {
        let kind = HeaderValue::from_static(kind);
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", text("text/html; charset=utf-8", PAGE))
        .route("/docs/ipam.css", text("text/css; charset=utf-8", STYLE))
        .route(
            "/docs/ipam.js",
            text("text/javascript; charset=utf-8", SCRIPT),
        )
        .route("/docs/{*file}", get(file))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ))
        .route(
            "/openapi.json",
            get(|| async { Redirect::permanent("/api/v1/openapi.json") }),
        )
}

/// One of Swagger UI's own files.
async fn file(Path(name): Path<String>) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        let config = Config::from("/api/v1/openapi.json")
            .try_it_out_enabled(true)
            .persist_authorization(false)
            .deep_linking(false)
            .use_base_layout();
        Arc::new(config)
    });
    match utoipa_swagger_ui::serve(&name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => {
            let kind = [(header::CONTENT_TYPE, file.content_type)];
            // Some have a megabyte: they are sent from the program, and not copied for everybody who asks.
            let mut reply = (kind, file.bytes).into_response();
            if file.gzpipped {
                let gzip = HeaderValue::from_static("gzip");
                reply.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            }
            reply
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
