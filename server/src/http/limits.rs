//! What no single client may do: send huge bodies, send them for ever, keep a request running without end, or take the
//! server down with a panic. Headers and connections are limited in `listen`.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use ipam_shared::error::{Code, Problem};
use tower_http::{
    catch_panic::CatchPanicLayer, limit::RequestBodyLimitLayer, timeout::RequestBodyTimeoutLayer,
};

use super::{error, request_id};

/// Largest body of a request, in bytes.
pub const BODY: usize = 1 << 20;
/// Longest pause between two pieces of a body.
const BODY_PAUSE: Duration = Duration::from_secs(10);
/// Longest time for an answer. A change goes on to its end all the same.
const ANSWER: Duration = Duration::from_secs(60);

/// Wraps the whole application.
pub fn layer(router: Router) -> Router {
    router
        .layer(middleware::from_fn(answer_in_time))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY))
        .layer(middleware::from_fn(too_large))
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

/// A body that says beforehand that it is too large is refused by the layer that counts, in words of its own.
async fn too_large(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if response.status() != StatusCode::PAYLOAD_TOO_LARGE || !is_plain {
        return response;
    }
    error::respond(&error::body_too_large())
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
