//! What no single client may do: send huge bodies, send them endlessly, keep a request running forever, or take the server
//! down with a panic. Headers and connections are limited in `listen`.
//!
//! Files that are imported are larger than any other body. They have a limit of their own, by path, and are read only if
//! the key is valid. An import that reports its progress starts its reply once it has the whole file, so that the timeout for
//! answers does not end it.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, Request},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use http_body_util::Limited;
use ipam_shared::{
    api::transfer::MAX_IMPORT,
    error::{Code, Problem},
};
use tower_http::timeout::TimeoutBody;

use super::error::{self, Refusal};

/// Largest body of a request, in bytes.
pub const BODY: usize = 1 << 20;
/// Where the limit is [`MAX_IMPORT`].
const IMPORT_PATH: &str = "/api/v1/import";
/// The same on a page, which says by itself what is too large: a browser shows nothing to people but pages.
const IMPORT_PAGE: &str = "/ui/import";
/// Timeout between two pieces of a body.
const BODY_PAUSE: Duration = Duration::from_secs(10);
/// Timeout for an answer. A change continues to its end anyway.
const ANSWER: Duration = Duration::from_secs(60);

/// Answers a request within the limits.
pub(super) async fn within<F: Future<Output = Response>>(
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let request = match limit_body(request) {
        Ok(request) => request,
        Err(refusal) => return refusal.into_response(),
    };
    let answer = AssertUnwindSafe(answer(request)).catch_unwind();
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => error::respond(&Problem::new(
            Code::UnknownOutcome,
            "the server did not get an answer from its database in time, and keeps trying; repeat the same request \
             with the same name or Idempotency-Key to learn the outcome",
        )),
    }
}

/// Refuses a body that announces that it is too large, and ends one that turns out to be, or that stops arriving.
fn limit_body(request: Request) -> Result<Request, Refusal> {
    let path = request.uri().path();
    let is_page = path == IMPORT_PAGE;
    let limit = if is_page || path == IMPORT_PATH {
        MAX_IMPORT
    } else {
        BODY
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if !is_page && length.is_some_and(|length| length > limit as u64) {
        return Err(Refusal(Box::new(error::body_too_large(limit))));
    }
    let mut request =
        request.map(|body| Body::new(TimeoutBody::new(BODY_PAUSE, Limited::new(body, limit))));
    DefaultBodyLimit::disable().apply(&mut request);
    Ok(request)
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
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
}
