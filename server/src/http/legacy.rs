//! The original API, at the root, for existing scripts and clients.
//!
//! It translates to the same domain calls as `/api/v1` and has no rules of its own except the original's bounds. What it
//! accepts and returns was recorded from the original: do not tidy it up. It can't express everything; whatever the
//! original did not know, such as profiles, is simply not shown.

mod ask;
mod handlers;
mod lenient;
mod reply;

use std::ops::RangeInclusive;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{
        FromRequestParts, Path, Query, Request, State,
        rejection::{BytesRejection, PathRejection},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use http::{HeaderMap, StatusCode, Uri, header::LOCATION, request::Parts};
use serde_json::{Map, Value};

use self::{
    handlers::{allocate, calculate, delete_vpc, list, move_to_vpc, release},
    lenient::Faults,
    reply::Refusal,
};
use super::{admission, key, request_id::RequestId, rights};
use crate::{app::App, auth::Denied, domain::Caller, error::Error};

const ANY: RangeInclusive<i128> = i128::MIN..=i128::MAX;

/// Every route of the original but its page, its documentation and its probes.
pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/allocate", post(allocate))
        .route("/allocations", get(list))
        .route("/allocations/{id}", put(move_to_vpc).delete(release))
        .route("/vpcs/{name}", delete(delete_vpc))
        .route("/calculate", get(calculate))
        .layer(middleware::from_fn_with_state(app.clone(), admit))
}

/// A slot for each authenticated request whose key allows it.
async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let _slot = match key::shown(request.extensions()) {
        Ok(who) if let Err(why) = rights::check(&request, &who) => {
            return Refusal::coded(StatusCode::FORBIDDEN, "FORBIDDEN", why).into_response();
        }
        Ok(_) => match admission::admit(&app, &request).await {
            Ok(slot) => slot,
            Err(error) => return refuse(error),
        },
        Err(_) => None,
    };
    next.run(request).await
}

/// Not found, for everything outside `/api`. A surplus slash is redirected, as in the original.
pub async fn not_found(uri: Uri) -> Response {
    let fixed = [
        "/allocate",
        "/allocations",
        "/calculate",
        "/healthz",
        "/readyz",
    ];
    let route = uri.path().strip_suffix('/').filter(|route| {
        fixed.contains(route) || route.starts_with("/allocations/") || route.starts_with("/vpcs/")
    });
    match (route, uri.query()) {
        (Some(route), None) => (
            StatusCode::TEMPORARY_REDIRECT,
            [(LOCATION, route.to_owned())],
        )
            .into_response(),
        (Some(route), Some(query)) => (
            StatusCode::TEMPORARY_REDIRECT,
            [(LOCATION, format!("{route}?{query}"))],
        )
            .into_response(),
        (None, _) => Refusal::Detail(StatusCode::NOT_FOUND, "Not Found").into_response(),
    }
}

/// A refusal before a request is read.
pub(super) fn refuse(error: Error) -> Response {
    Refusal::from(error).into_response()
}

/// A known path with a method that it does not have.
pub async fn method_not_allowed() -> Response {
    Refusal::Detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").into_response()
}

/// The caller with a valid key. The key is checked before anything else in the request.
struct Keyed(Caller);

impl FromRequestParts<App> for Keyed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let Extension(RequestId(request_id)) = Extension::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::bug("a request without an id"))?;
        match key::shown(&parts.extensions) {
            Ok(who) => Ok(Self(key::caller(&who, request_id))),
            Err(Denied::Missing) => {
                let mut faults = Faults::default();
                faults.add(&["header", "X-API-Key"], Value::Null, lenient::missing());
                Err(Refusal::Faults(faults.0))
            }
            Err(Denied::Unavailable) => Err(key::unavailable().into()),
            Err(Denied::Wrong | Denied::Expired(_)) => Err(Refusal::coded(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "Invalid API Key",
            )),
        }
    }
}

type Pairs = Query<Vec<(String, String)>>;
type Body = Result<Bytes, BytesRejection>;

/// The last of several equal keys counts.
fn last<'a>(query: &'a Pairs, key: &str) -> Option<&'a str> {
    query
        .0
        .iter()
        .rev()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

fn read_body(
    faults: &mut Faults,
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<Map<String, Value>>, Refusal> {
    let bytes = body.map_err(|error| Refusal::Detail(error.status(), "The body can't be read"))?;
    faults.body(headers, &bytes)
}

/// A number in the path. One that no allocation has is simply not found, whatever its size.
fn read_id(
    faults: &mut Faults,
    path: Result<Path<String>, PathRejection>,
) -> Result<Option<i128>, Refusal> {
    let Path(text) = path.map_err(|_| Refusal::Detail(StatusCode::NOT_FOUND, "Not Found"))?;
    Ok(faults.integer_text(&["path", "allocation_id"], &text, &ANY))
}
