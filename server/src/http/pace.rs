//! Rate limits: what counts, and how a caller learns where it stands (`RateLimit`, `RateLimit-Policy` and `Retry-After`, as
//! in draft-ietf-httpapi-ratelimit-headers).
//!
//! Health checks never count, so that no crowd makes a server look sick, nor does the key of a token that is known here while
//! the database can't be asked about it: that is answered 503. What a page of the dashboard shows counts for whoever is signed in, which `pages` finds out.

use std::{fmt::Display, time::Duration};

use axum::{
    Json,
    extract::MatchedPath,
    http::{Extensions, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use ipam_shared::error::Code;
use serde_json::json;

use super::{error::Refusal, listen::Peer};
use crate::{
    app::App,
    auth::Denied,
    domain::token::Principal,
    manners::Who,
    rate::{Left, TooMany, WINDOW},
};

/// The limit that is in force.
pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it.
pub(super) const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Routes that never count, and where no key is looked at.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// Where a caller stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    kind: &'static str,
    left: Left,
}

/// One request too many.
#[derive(Debug)]
pub(crate) struct Exceeded {
    /// What happened, and what to do.
    pub(crate) detail: String,
    standing: Standing,
    next_in: Duration,
}

fn route(request: &Extensions) -> &str {
    let route = request.get::<MatchedPath>();
    route.map_or("", MatchedPath::as_str)
}

/// Whether it is a health check.
pub(super) fn is_health(request: &Extensions) -> bool {
    HEALTH.contains(&route(request))
}

/// Counts a request for whoever showed a key, or did not.
pub(super) fn count_request(
    app: &App,
    request: &Extensions,
    shown: Result<&Principal, &Denied>,
) -> Result<Option<Standing>, Exceeded> {
    let route = route(request);
    if is_health(request) || route == "/" || route.starts_with("/ui/") {
        return Ok(None);
    }
    match shown {
        Ok(who) => count_caller(app, who),
        Err(Denied::Unavailable) => Ok(None),
        Err(_) => count_stranger(app, request.get()),
    }
}

/// Counts a request of somebody who is known.
pub(crate) fn count_caller(app: &App, who: &Principal) -> Result<Option<Standing>, Exceeded> {
    let whose = if who.token.is_some() {
        "this token has"
    } else {
        "those who share the administrator's key have"
    };
    count(
        app,
        Who::Token(who.token.map(|token| token.0)),
        &who.actor,
        whose,
    )
}

/// Counts a request of somebody who is not; nobody, if it did not come over a socket.
pub(crate) fn count_stranger(app: &App, peer: Option<&Peer>) -> Result<Option<Standing>, Exceeded> {
    let Some(address) = peer.map(Peer::address) else {
        return Ok(None);
    };
    count(
        app,
        Who::Address(address),
        &address,
        "without a valid key, this address has",
    )
}

fn count(
    app: &App,
    who: Who,
    name: &dyn Display,
    whose: &str,
) -> Result<Option<Standing>, Exceeded> {
    let kind = who.kind();
    match app.manners.count(who) {
        None => Ok(None),
        Some(Ok(left)) => Ok(Some(Standing { kind, left })),
        Some(Err(TooMany {
            left,
            next_in,
            is_news,
        })) => {
            app.system().metrics().limited(kind);
            if is_news {
                tracing::warn!(caller = %name, quota = left.quota, "somebody makes more requests than the limit allows");
            }
            let wait = seconds(next_in);
            Err(Exceeded {
                detail: format!(
                    "{whose} made more requests than the {} a minute that this server allows, and this one was not started; \
                     send it again in {wait} s",
                    left.quota
                ),
                standing: Standing { kind, left },
                next_in,
            })
        }
    }
}

/// Whole seconds, and at least one, so that nobody tries at once.
fn seconds(duration: Duration) -> u64 {
    duration
        .as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
        .max(1)
}

impl Standing {
    /// Tells the caller.
    pub(crate) fn tell(self, response: &mut Response) {
        let Self { kind, left } = self;
        let policy = format!("\"{kind}\";q={};w={}", left.quota, WINDOW.as_secs());
        let standing = format!("\"{kind}\";r={};t={}", left.requests, seconds(left.full_in));
        for (name, value) in [(POLICY, policy), (LEFT, standing)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

impl Exceeded {
    /// Tells the caller, in a reply that says it in words.
    pub(crate) fn tell(&self, mut response: Response) -> Response {
        self.standing.tell(&mut response);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds(self.next_in).into());
        response
    }

    /// The refusal, as the API words it that the path belongs to.
    pub(super) fn refuse(self, path: &str) -> Response {
        let is_ours = ["/api/", "/metrics", "/docs", "/openapi.json"];
        let response = if is_ours.iter().any(|ours| path.starts_with(ours)) {
            Refusal::new(Code::RateLimited, &*self.detail).into_response()
        } else {
            // As the original API words refusals.
            let body =
                json!({ "code": "TOO_MANY_REQUESTS", "message": self.detail, "details": null });
            let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
            response.extensions_mut().insert(Code::RateLimited);
            response
        };
        self.tell(response)
    }
}
