//! Whether the process is alive, and whether it can do its work.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use crate::{app::App, error::RESTORED};

/// `GET /healthz`: the process is alive. Says nothing about the database, so that nobody restarts a server because of it.
pub(super) async fn alive() -> Response {
    Json(json!({ "status": "ok", "timestamp": now() })).into_response()
}

/// `GET /readyz`: requests can be answered. Fails if nothing can be read. If only changes fail, all servers share the
/// problem, so the body says it and reads go on.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.is_draining() {
        let body = json!({ "code": "SERVICE_UNAVAILABLE", "message": "The server is stopping", "details": null });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    let health = app.system().health().await;
    if health.reads.is_some() {
        // 500 and this message are what the original returns.
        let body = json!({ "code": "SERVICE_UNAVAILABLE", "message": "Database not ready", "details": null });
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response();
    }
    // What the original returns, and more only if something is wrong.
    let mut body = json!({ "status": "ready", "timestamp": now() });
    if let Some(why) = &health.writes {
        body["parts"] = json!({ "reads": "ok", "writes": why });
    }
    if app.system().is_restored() {
        body["restored"] = RESTORED.into();
    }
    Json(body).into_response()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
