//! Extractors of `/api` that refuse with a problem: JSON bodies, queries, ids, If-Match.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, header, request::Parts},
};
use ipam_shared::{
    api::{
        CLAIM_HEADER, IDEMPOTENCY_HEADER,
        ownership::{ADOPT_HEADER, NEVER, OWNER_HEADER},
    },
    error::{Code, Problem},
    ids::Claim,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::error::{self, Refusal};
use crate::{
    domain::{Caller, ownership::Maker},
    json::Strict,
};

/// A JSON body. Unknown fields and wrong types are refused with their location, and so are arrays in place of objects.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        plain(request.headers())?;
        if !is_json(request.headers()) {
            return Err(Refusal::new(Code::UnsupportedMediaType, SEND_JSON));
        }
        match Json::<Strict<T>>::from_request(request, state).await {
            Ok(Json(Strict(body))) => Ok(Self(body)),
            Err(rejection) => Err(body_refusal(&rejection)),
        }
    }
}

const SEND_JSON: &str = "send the body as JSON, with \"Content-Type: application/json\"";

/// Whether the body is plain JSON, not a format based on it: a JSON Patch, for example, means something else.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Refuses a compressed body, which would otherwise look malformed.
pub(super) fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(is_plain)
    {
        return Ok(());
    }
    Err(Refusal::new(
        Code::UnsupportedMediaType,
        "send the body as it is, without Content-Encoding: compressed bodies are not read",
    ))
}

fn body_refusal(rejection: &JsonRejection) -> Refusal {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            Refusal::new(Code::UnsupportedMediaType, SEND_JSON)
        }
        JsonRejection::BytesRejection(bytes) if bytes.status().as_u16() == 413 => {
            Refusal(Box::new(error::body_too_large(super::limits::BODY)))
        }
        // Serde's message names the field and what was expected.
        other => {
            let mut problem = Problem::new(Code::InvalidRequest, other.body_text());
            problem.details =
                field(other).map_or(Value::Null, |field| serde_json::json!({ "field": field }));
            Refusal(Box::new(problem))
        }
    }
}

/// The field that does not have the right type or form, such as `limits.vrfs`; that of a list stands for its elements.
fn field(rejection: &JsonRejection) -> Option<String> {
    let mut error: &dyn std::error::Error = rejection;
    let path = loop {
        error = error.source()?;
        if let Some(found) = error.downcast_ref::<serde_path_to_error::Error<serde_json::Error>>() {
            break found.path();
        }
    };
    let names = path.iter().map_while(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| names.join("."))
}

/// The query of a request.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Refusal::new(Code::InvalidRequest, rejection.body_text())),
        }
    }
}

/// The last part of the path: an id, or a name in place of it.
pub(super) struct Key<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Key<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(key)) => Ok(Self(key)),
            Err(rejection) => Err(Refusal::new(Code::InvalidRequest, rejection.body_text())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // Put there by `key::require`; if it is missing, the route was registered outside that layer, which is a bug that
        // must not let anybody in.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Refusal::new(Code::Unauthorized, "this request was not authenticated"))
    }
}

/// The headers of creations.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `Maker` is made of")]
pub(super) struct OfCreation {
    /// For whom it is created, such as a workspace of a pipeline: 1 to 255 characters. Only the same owner gets the same
    /// thing when the request is repeated.
    #[param(rename = "ipam-owner")]
    owner: Option<String>,
    /// `never`: refuse to adopt what already exists.
    #[param(rename = "ipam-adopt")]
    adopt: Option<String>,
}

/// The headers of changes and deletions.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes `IfMatch`")]
pub(super) struct OfChange {
    /// ETag of an earlier reply
    #[param(rename = "if-match")]
    if_match: Option<String>,
}

/// The headers of reading one thing.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes `ShownClaim`")]
pub(super) struct OfReader {
    /// The claim from the reply that created it: confirms its owner
    #[param(rename = "ipam-claim")]
    claim: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Maker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let invalid = |text: String| Refusal::new(Code::InvalidRequest, text);
        let owner = match single(&parts.headers, OWNER_HEADER)? {
            None => None,
            // Names of workspaces need not be ASCII.
            Some(value) => {
                let text = std::str::from_utf8(value.as_bytes())
                    .map_err(|_| invalid("Ipam-Owner is not UTF-8".to_owned()))?;
                let owner = text.parse();
                Some(owner.map_err(|error| invalid(format!("Ipam-Owner: {error}")))?)
            }
        };
        let adopts = match text(&parts.headers, ADOPT_HEADER)? {
            None => true,
            Some(text) if text.eq_ignore_ascii_case(NEVER) => false,
            Some(other) => {
                return Err(invalid(format!(
                    "Ipam-Adopt must be \"{NEVER}\" or left out, not {other:?}"
                )));
            }
        };
        Ok(Self {
            caller,
            owner,
            adopts,
        })
    }
}

/// The revision in If-Match, if there is one, with which each ETag begins. `*` matches any.
pub(super) struct IfMatch(pub(super) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Some(value) = single(&parts.headers, header::IF_MATCH.as_str())? else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        // Behind a dash is the hash of a body, which may be another one though nobody has changed anything.
        let revision = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .and_then(|text| text.split('-').next())
            // A number may have a sign, a revision has none.
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        match revision {
            Some(revision) => Ok(Self(Some(revision))),
            None => Err(Refusal::new(
                Code::InvalidRequest,
                "If-Match takes one ETag of an earlier reply, such as \"3\"",
            )),
        }
    }
}

/// The claim that a read shows, if any.
pub(super) struct ShownClaim(pub(super) Option<Claim>);

impl<S: Send + Sync> FromRequestParts<S> for ShownClaim {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match text(&parts.headers, CLAIM_HEADER)? {
            None => Ok(Self(None)),
            Some(text) => text.parse().map(|claim| Self(Some(claim))).map_err(|_| {
                Refusal::new(
                    Code::InvalidRequest,
                    "Ipam-Claim takes the claim of the reply that created it",
                )
            }),
        }
    }
}

/// The Idempotency-Key, if any.
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        text(&parts.headers, IDEMPOTENCY_HEADER).map(Self)
    }
}

/// A header that has one value. With two of them, it would be left to chance which one counts.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Refusal::new(
            Code::InvalidRequest,
            format!("the header {name} is there more than once; send it once"),
        )),
    }
}

/// A header as text.
fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let Some(value) = single(headers, name)? else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Refusal::new(
            Code::InvalidRequest,
            format!("the header {name} has characters that are not ASCII"),
        )),
    }
}
