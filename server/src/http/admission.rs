//! A place for each request that needs the database, among those that are worked on. Only whoever is known takes one:
//! strangers are sent away without.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{App, auth, error::Refusal, simple};
use crate::{domain::admission::Kind, error::Error};

/// Where one request for space is made. These take their places in the queue of what they ask for.
const FOR_SPACE: [&str; 3] = ["/api/v1/allocations", "/allocate", "/ui/allocations/new"];

const BATCH: &str = "/api/v1/allocations/batch";
/// Where allocations are changed.
const OF_ALLOCATIONS: [&str; 3] = ["/api/v1/allocations/", "/allocations/", "/ui/allocations/"];

fn is_of_allocation(path: &str) -> bool {
    path != BATCH && OF_ALLOCATIONS.iter().any(|prefix| path.starts_with(prefix))
}

/// Answers a request once there is a place for it, or refuses it.
pub(crate) async fn admit(
    app: &App,
    request: Request,
    next: Next,
    refuse: impl FnOnce(Error) -> Response,
) -> Response {
    let kind = if request.method().is_safe() {
        Kind::Read
    } else if FOR_SPACE.contains(&request.uri().path()) {
        return next.run(request).await;
    } else if is_of_allocation(request.uri().path()) {
        Kind::Allocation
    } else {
        Kind::Change
    };
    match app.ipam.admit(kind).await {
        // A reply that is a stream goes on after that.
        Ok(_place) => next.run(request).await,
        Err(error) => refuse(error),
    }
}

/// For `/api`, where the key was checked before.
pub(super) async fn api(State(app): State<App>, request: Request, next: Next) -> Response {
    admit(&app, request, next, |error| {
        Refusal::from(error).into_response()
    })
    .await
}

/// For the original API.
pub(super) async fn original(State(app): State<App>, request: Request, next: Next) -> Response {
    if auth::shown(request.extensions()).is_err() {
        return next.run(request).await;
    }
    admit(&app, request, next, simple::refuse).await
}
