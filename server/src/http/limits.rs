//! What no single client may do: send huge bodies, send them for ever, keep a request running without end, or take the
//! server down with a panic. Headers and connections are limited in `listen`.
//!
//! Files that are imported are larger than any other body. They have a limit of their own, by the path, and are read only
//! when the key is known. The reply to an import that says how far it is begins at once, so that the limit for answers
//! does not end it.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::header,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http_body_util::Limited;
use ipam_shared::{
    api::transfer::MAX_IMPORT,
    error::{Code, Problem},
};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};

use super::{error, request_id};

/// Largest body of a request, in bytes.
pub const BODY: usize = 1 << 20;
/// Where the limit is [`MAX_IMPORT`].
const IMPORT_PATH: &str = "/api/v1/import";
/// Longest pause between two pieces of a body.
const BODY_PAUSE: Duration = Duration::from_secs(10);
/// Longest time for an answer. A change goes on to its end all the same.
const ANSWER: Duration = Duration::from_secs(60);

/// Wraps the whole application.
pub fn layer(router: Router) -> Router {
    router
        .layer(middleware::from_fn(answer_in_time))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(limit_body))
        .layer(RequestBodyTimeoutLayer::new(BODY_PAUSE))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(error::finish))
        .layer(middleware::from_fn(request_id::layer))
}

async fn answer_in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(ANSWER, next.run(request)).await.unwrap_or_else(|_| {
        let problem = Problem::new(
            Code::UnknownOutcome,
            "the server did not get an answer from its database in time, and goes on trying; repeat the same request \
             with the same name or Idempotency-Key to learn the outcome",
        );
        error::respond(&problem)
    })
}

/// Refuses a body that says beforehand that it is too large, and ends one that turns out to be.
async fn limit_body(request: Request, next: Next) -> Response {
    let limit = if request.uri().path() == IMPORT_PATH {
        MAX_IMPORT
    } else {
        BODY
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return error::respond(&error::body_too_large(limit));
    }
    next.run(request.map(|body| Body::new(Limited::new(body, limit))))
        .await
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = %message, "a handler panicked");
    error::respond(&Problem::new(
        Code::Internal,
        "the server failed; the log says why under this request's id",
    ))
    .into_response()
}
