//! An id for each request: in the reply's `X-Request-Id`, in the log, in the audit log and in problem bodies.
//!
//! It is made here, whatever the client sends, so that two requests never share one.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    response::Response,
};
use tracing::Span;
use uuid::Uuid;

/// Header of every reply.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

impl RequestId {
    /// As written in headers and bodies: 32 hex digits.
    pub fn text(self) -> String {
        self.0.simple().to_string()
    }
}

/// A request that has its id.
pub(super) struct Named {
    id: RequestId,
    text: String,
    span: Span,
    start: Instant,
}

impl Named {
    /// Gives a request its id.
    pub(super) fn begin(request: &mut Request) -> Self {
        let id = RequestId(Uuid::new_v4());
        request.extensions_mut().insert(id);
        let text = id.text();
        // The path without its parameters, if a route was found; never the query, which may hold secrets.
        let route = request.extensions().get::<MatchedPath>();
        let span = tracing::info_span!(
            "request",
            request_id = %text,
            method = %request.method(),
            route = route.map_or("unknown", MatchedPath::as_str),
        );
        Self {
            id,
            text,
            span,
            start: Instant::now(),
        }
    }

    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// What is logged meanwhile carries the id.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Logs the outcome, and tells the client the id.
    pub(super) fn end(self, response: &mut Response) {
        self.span.in_scope(|| {
            let status = response.status().as_u16();
            let ms = self.start.elapsed().as_secs_f64() * 1000.0;
            match status {
                500.. => tracing::warn!(status, ms, "answered"),
                _ => tracing::debug!(status, ms, "answered"),
            }
        });
        if let Ok(value) = HeaderValue::from_str(&self.text) {
            response.headers_mut().insert(HEADER, value);
        }
    }
}
