//! Replies that go on: what is sent piece by piece, and who asks for that.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures::{Stream, StreamExt as _};

/// Marks a reply whose lines must be delivered as they are written, without buffering.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineByLine;

/// A reply whose length is not known yet.
pub(crate) fn lines(
    kind: &'static str,
    pieces: impl Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static,
) -> Response {
    // A compressing layer polls once more after the end.
    let mut response = Body::from_stream(pieces.fuse()).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether the client asks for that kind of reply by name.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    accepted
        .split(',')
        .any(|accepted| accepted.split(';').next().unwrap_or_default().trim() == kind)
}
