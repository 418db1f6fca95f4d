//! How a refusal looks on the wire of `/api`: a problem (RFC 9457) with the status of its code.

use std::error::Error as _;

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use ipam_shared::error::{Code, Problem};
use serde_json::json;

use super::request_id::RequestId;
use crate::{app::App, error::Error, json::rounded};

/// A refusal of `/api`.
#[derive(Debug)]
pub struct Refusal(pub(super) Box<Problem>);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        log(&error);
        let mut problem = Problem::new(error.code(), error.to_string());
        problem.details = details(&error);
        Self(Box::new(problem))
    }
}

impl Refusal {
    /// A refusal that needs no domain.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        respond(&self.0)
    }
}

/// Logs what operators must see, with all its causes, once and here. Also used by callers that word the answer themselves.
pub(crate) fn log(error: &Error) {
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(cause.to_string());
        source = cause.source();
    }
    match error {
        Error::Internal(_) => tracing::error!(cause = chain.join(": "), "internal error"),
        Error::Unavailable(..) | Error::UnknownOutcome(_) => {
            tracing::warn!(cause = chain.join(": "), "{error}")
        }
        // Without its text, which repeats what the client sent: a key that ended up in a path would be in the log.
        _ => tracing::debug!(code = error.code().as_str(), "refused"),
    }
}

/// What programs get besides the code.
fn details(error: &Error) -> serde_json::Value {
    match error {
        Error::Gone { at, by, .. } => {
            json!({ "deleted_at": at.format(&time::format_description::well_known::Rfc3339).ok(), "deleted_by": by })
        }
        Error::NameTaken {
            import_id: Some(import_id),
            ..
        }
        | Error::Claimed { import_id, .. } => {
            json!({ "import_id": import_id })
        }
        Error::Invalid(reason) | Error::NotFound(reason) if reason.field.is_some() => {
            json!({ "field": reason.field })
        }
        Error::Overlap { conflicts, .. } => json!({ "conflicts": conflicts }),
        Error::Exhausted(pools) => {
            json!({ "pools": rounded(pools).unwrap_or_default() })
        }
        Error::QuotaExceeded(quotas) => {
            json!({ "quotas": rounded(quotas).unwrap_or_default() })
        }
        Error::InUse { users, .. } => json!({ "users": users }),
        Error::Stale { now } => json!({ "revision": now }),
        _ => serde_json::Value::Null,
    }
}

/// A problem as a reply. The request's id is added by [`finish`], which knows it.
pub(super) fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if is_worth_repeating(problem.code) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if problem.code == Code::Unauthorized {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.extensions_mut().insert(problem.code);
    response.extensions_mut().insert(problem.clone());
    response
}

/// Seconds to wait for temporary problems.
pub(super) const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Whether a retry may soon have another answer.
pub(super) fn is_worth_repeating(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Overloaded | Code::RateLimited | Code::UnknownOutcome
    )
}

/// The body is too large.
pub(super) fn body_too_large(limit: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("a body may have at most {limit} bytes"),
    )
}

fn body(problem: &Problem) -> Vec<u8> {
    serde_json::to_vec(problem).unwrap_or_default()
}

/// Adds the request's id to a problem.
pub(super) fn finish(response: &mut Response, id: RequestId) {
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.text());
        let body = body(&problem);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = body.into();
    }
}

/// A change that is refused because it was done before, or because something exists: a caller that repeats a change, after
/// an answer that was lost or said that the outcome is not known, takes the refusal for the answer. So it is given only
/// when what it says can no longer be lost, like every other answer to a change.
pub(super) async fn settle(app: &App, method: &Method, response: Response) -> Response {
    let is_relied_on = match response.extensions().get::<Code>() {
        Some(Code::Gone | Code::NameTaken | Code::SecretTaken | Code::Claimed) => !method.is_safe(),
        // A deleted thing can no longer be found by name.
        Some(Code::NotFound) => *method == Method::DELETE,
        _ => false,
    };
    if is_relied_on {
        // Even if the client is gone meanwhile, so that the database connection is not left in the middle of a commit.
        let ipam = app.system().clone();
        let settled = tokio::spawn(async move { ipam.settle().await }).await;
        let settled = settled.unwrap_or_else(|error| Err(Error::Internal(error.into())));
        if let Err(error) = settled {
            return Refusal::from(error).into_response();
        }
    }
    response
}

/// No such path under `/api`.
pub(super) async fn unknown_path() -> Refusal {
    Refusal::new(
        Code::NotFound,
        "there is no such path; /docs lists those that exist",
    )
}

/// No such method on a path under `/api`.
pub(super) async fn unknown_method() -> Refusal {
    Refusal::new(
        Code::MethodNotAllowed,
        "the path exists, but not with this method; /docs lists what it takes",
    )
}
