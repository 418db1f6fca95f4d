//! Conditional requests (RFC 9110, section 13): a read of what the caller has already, and a change that must say which
//! revision it is about.
//!
//! A read is made as if there were no condition, so whoever may not see a thing learns nothing by asking whether it has
//! changed. What that saves is the body.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures::stream;
use ipam_shared::error::Code;

use super::{error::Refusal, rights};
use crate::app::App;

/// What the caller of a read has already: the values of If-None-Match.
pub(super) struct Had(Vec<HeaderValue>);

impl Had {
    pub(super) fn of(request: &Request) -> Self {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Self(Vec::new());
        }
        let values = request.headers().get_all(header::IF_NONE_MATCH);
        Self(values.iter().cloned().collect())
    }

    /// The reply, or 304 in place of what the caller has.
    pub(super) fn answer(self, mut response: Response) -> Response {
        let is_had = response.status() == StatusCode::OK
            && response.headers().get(header::ETAG).is_some_and(|tag| {
                self.0
                    .iter()
                    .any(|value| names(value.as_bytes(), tag.as_bytes()))
            });
        if is_had {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            // Of no length: that of 304 would have to be the length of what is not sent.
            *response.body_mut() = Body::from_stream(stream::empty::<Result<Bytes, Infallible>>());
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        response
    }
}

/// Whether a list of tags names this one, by weak comparison. What follows something that is no tag is not read: then
/// the caller gets more than it needs, and nothing that is out of date.
pub(super) fn names(list: &[u8], tag: &[u8]) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    let mut rest = list;
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        rest = rest.strip_prefix(b"W/").unwrap_or(rest);
        let [b'"', inside @ ..] = rest else {
            return false;
        };
        let Some(end) = inside.iter().position(|byte| *byte == b'"') else {
            return false;
        };
        let (one, after) = rest.split_at(end + 2);
        if one == tag {
            return true;
        }
        rest = after;
    }
}

/// Refuses a change that does not say which revision it is about, where the operator wants that.
pub(super) fn require_if_match(app: &App, request: &Request) -> Result<(), Refusal> {
    let is_change = matches!(*request.method(), Method::PATCH | Method::DELETE);
    if !app.manners.requires_if_match
        || !is_change
        || request.headers().contains_key(header::IF_MATCH)
        || !rights::is_operation(request)
    {
        return Ok(());
    }
    Err(Refusal::new(
        Code::PreconditionRequired,
        "this server changes and deletes nothing without If-Match, so that nobody overwrites what they have not seen: read \
         it, and send its ETag as If-Match, or * if any revision will do",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_a_tag_whatever_is_around_it() {
        for list in [
            "\"3-ab\"",
            "W/\"3-ab\"",
            "\"1\", \"3-ab\"",
            "\"1\",W/\"3-ab\",\"x",
            " , ,\"a,b\",\t\"3-ab\" , junk",
            "\"\", \"3-ab\"",
            "*",
            " * ",
        ] {
            assert!(names(list.as_bytes(), b"\"3-ab\""), "{list}");
            assert!(names(list.as_bytes(), b"W/\"3-ab\""), "{list}");
        }
        for list in [
            "",
            "3-ab",
            "\"3-ab",
            "3-ab\"",
            "\"3\"",
            "\"3-abc\"",
            "w/\"3-ab\"",
            "W/ \"3-ab\"",
            "'3-ab'",
            "\"a\" * \"3-ab\"",
            "*, \"x\"",
            "\"\\\"3-ab\"",
            "\"x \"3-ab\"",
        ] {
            assert!(!names(list.as_bytes(), b"\"3-ab\""), "{list}");
        }
        assert!(!names(b"\xff, \"3-ab\"", b"\"3-ab\""));
        assert!(names(b"\"\xff\", \"3-ab\"", b"\"3-ab\""));
    }

    #[test]
    fn a_long_list_is_read_once() {
        let mut list = "\"a\",".repeat(16 << 10);
        assert!(!names(list.as_bytes(), b"\"3\""));
        list.push_str("\"3\"");
        assert!(names(list.as_bytes(), b"\"3\""));
        assert!(!names("\"".repeat(64 << 10).as_bytes(), b"\"3\""));
        assert!(!names(",".repeat(64 << 10).as_bytes(), b"\"3\""));
    }
}
