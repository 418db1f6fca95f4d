//! The dashboard.

use axum::Router;

use crate::http::App;

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
}
