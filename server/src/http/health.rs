//! Whether the process is alive, and whether it can do its work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::App;
use crate::error::RESTORED;

/// `GET /healthz`: the process is alive. Says nothing of the database, so that nobody restarts a server for its sake.
pub(super) async fn alive() -> Response {
    Json(json!({ "status": "ok", "timestamp": now() })).into_response()
}

/// `GET /readyz`: requests can be answered.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.is_draining() {
        let body = json!({ "code": "SERVICE_UNAVAILABLE", "message": "The server is stopping", "details": null });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    match tokio::time::timeout(Duration::from_secs(3), app.ipam.is_reachable()).await {
        // All servers share this, so none of them is left out: reads go on.
        Ok(true) if app.ipam.is_restored() => {
            let body = json!({ "status": "ready", "timestamp": now(), "restored": RESTORED });
            Json(body).into_response()
        }
        Ok(true) => Json(json!({ "status": "ready", "timestamp": now() })).into_response(),
        // 500 and these words are what the original answers.
        Ok(false) | Err(_) => {
            let body = json!({ "code": "SERVICE_UNAVAILABLE", "message": "Database not ready", "details": null });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
