//! Whole requests, by the server's own router, as somebody who may do everything. There is no database, so what is understood
//! ends at the first question to it.

use std::sync::LazyLock;

use axum::{Router, body::Body};
use http::{HeaderName, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use ipam_server::{app::App, auth::Auth, domain::Ipam, router::router};
use ipam_shared::error::Problem;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use crate::bytes::{Bytes, text};

const KEY: &str = "correct-horse-battery-staple-and-a-paper-clip";

const HEADERS: &[&str] = &[
    "idempotency-key",
    "if-match",
    "if-none-match",
    "ipam-owner",
    "ipam-adopt",
    "ipam-claim",
    "ipam-workspace",
    "ipam-run",
    "ipam-commit",
    "content-type",
    "accept",
    "accept-encoding",
    "x-request-id",
    "origin",
    "range",
    "content-encoding",
];

static SERVER: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let nowhere = PgConnectOptions::new().socket("/nonexistent");
    let pool = PgPoolOptions::new()
        .acquire_timeout(std::time::Duration::from_millis(1))
        .connect_lazy_with(nowhere);
    let router = router(App::new(Ipam::new(pool), Auth::new(KEY)));
    drop(_entered);
    (runtime, router)
});

/// A line with method and address, lines with headers, and a body. Whatever it is, it is no failure of the server, and a
/// refusal by the API is a problem.
pub(super) fn request(input: &[u8]) {
    let mut bytes = Bytes(input);
    let method = [
        Method::GET,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::PUT,
    ][usize::from(bytes.below(5))]
    .clone();
    let target = text(bytes.line());
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("x-api-key", KEY);
    for _ in 0..bytes.below(4) {
        let name = HEADERS[usize::from(bytes.byte()) % HEADERS.len()];
        request = request.header(HeaderName::from_static(name), bytes.line());
    }
    let Ok(request) = request
        .header("content-type", "application/json")
        .body(Body::from(bytes.0.to_vec()))
    else {
        return;
    };
    let is_api = request.uri().path().starts_with("/api/v1/");
    let (runtime, router) = &*SERVER;
    let (status, body) = runtime.block_on(async {
        let response = router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = response.into_body().collect().await;
        (status, body.map(|body| body.to_bytes()))
    });
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        // What the original API answers without a database.
        let said = body.as_ref().map(|body| String::from_utf8_lossy(body));
        assert!(
            !is_api && said.is_ok_and(|said| said.contains("DB_CONNECTION_ERROR")),
            "{body:?}"
        );
    }
    if is_api
        && (status.is_client_error() || status.is_server_error())
        && !input.starts_with(b"HEAD")
    {
        let body = body.expect("a whole body");
        let problem = serde_json::from_slice::<Problem>(&body).expect("a problem");
        assert_eq!(problem.status, status.as_u16());
    }
}
