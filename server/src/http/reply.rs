//! What the requests and replies of all nouns have in common: a thing with its ETag, the location of a new one, pages.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use ipam_shared::{
    api::ownership::Owned,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::error::Refusal;
use crate::error::Error;

/// Something that was asked for, with an ETag for this state of it: the revision, which is what If-Match compares, and a hash
/// of the body. The revision alone would not do, since what a body counts, such as the used addresses of a pool, changes
/// without it.
pub(super) fn found<T: Owned + Serialize>(thing: &T) -> Response {
    let body = match serde_json::to_vec(thing) {
        Ok(body) => body,
        Err(error) => return Refusal::from(Error::Internal(error.into())).into_response(),
    };
    let hash = Sha256::digest(&body);
    let hash = u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8]));
    let etag = format!("\"{}-{hash:016x}\"", thing.revision());
    let json = HeaderValue::from_static("application/json");
    let mut response = ([(header::CONTENT_TYPE, json)], body).into_response();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// What was made or changed, with the ETag of its revision.
pub(super) fn shown<T: Owned + Serialize>(thing: &T) -> Response {
    let mut response = Json(thing).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", thing.revision())) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// The reply to a creation, which may return something that existed before; with its location if it is new.
pub(super) fn made<T: Owned + Serialize>(thing: &T, is_new: bool) -> Response {
    let mut response = shown(thing);
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
        let location = format!("/api/v1/{}s/{}", T::NOUN.as_str(), thing.uuid());
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    response
}

/// Which part of a list is requested.
pub(super) struct Wanted<Id> {
    /// Items on a page.
    pub(super) limit: u16,
    /// The id that it begins after.
    pub(super) after: Option<Id>,
}

impl<Id: std::str::FromStr> Wanted<Id> {
    /// From the query.
    pub(super) fn new(limit: Option<u16>, cursor: Option<&str>) -> Result<Self, Error> {
        let after = cursor.map(|text| text.parse().map_err(|_| not_a_cursor()));
        Ok(Self {
            limit: self::limit(limit)?,
            after: after.transpose()?,
        })
    }
}

/// Items on a page.
pub(super) fn limit(wanted: Option<u16>) -> Result<u16, Error> {
    match wanted {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::invalid(format!(
            "limit must be between 1 and {MAX_LIMIT}"
        ))),
    }
}

/// Not the end of a previous page.
pub(super) fn not_a_cursor() -> Error {
    Error::invalid("cursor takes the next_cursor of the page before")
}

/// The cursor of a list in the order of ids.
pub(super) fn by_id<T: Owned>(thing: &T) -> String {
    thing.uuid().to_string()
}

/// Key and value of a label to look for.
pub(super) fn label(text: Option<&str>) -> Result<Option<(&str, &str)>, Error> {
    text.map(|text| {
        text.split_once('=')
            .ok_or_else(|| Error::invalid("label takes key=value, such as environment=prod"))
    })
    .transpose()
}
