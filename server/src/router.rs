//! All routes, those of `http` and of `pages`, and what happens around each request.

use axum::{Router, middleware};

use crate::{
    app::App,
    http::{self, around},
    pages,
};

/// The whole application.
pub fn router(app: App) -> Router {
    http::routes(&app)
        .merge(pages::routes(&app))
        .with_state(app.clone())
        .layer(middleware::from_fn_with_state(app, around::everything))
}
