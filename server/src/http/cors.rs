//! Cross-origin requests (CORS): scripts on pages of other sites may use the API only if the operator has named the site.
//!
//! They send a key of their own, as any client does. Cookies are never allowed, so no page can act as whoever is signed in
//! to the dashboard. This is around everything else, since a script has to be able to read refusals too.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::app::App;

/// Where scripts may be let in.
const PREFIX: &str = "/api/v1/";
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
/// What a script may send.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "X-API-Key, Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, Ipam-Owner, Ipam-Adopt, \
     Ipam-Claim, Ipam-Workspace, Ipam-Run, Ipam-Commit",
);
/// What a script may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id",
);
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What a request means for the browser that sent it.
pub(super) struct Crossing {
    /// Whether replies differ by origin, which caches must know.
    varies: bool,
    /// The origin that is let in.
    origin: Option<HeaderValue>,
    /// Whether the browser asks what its script may send.
    is_preflight: bool,
}

impl Crossing {
    pub(super) fn of(app: &App, request: &Request) -> Self {
        let origins = &app.manners.origins;
        let varies = !origins.is_empty() && request.uri().path().starts_with(PREFIX);
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN);
        let origin = origin.filter(|origin| varies && origins.contains(origin.as_bytes()));
        Self {
            varies,
            is_preflight: origin.is_some()
                && *request.method() == Method::OPTIONS
                && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
            origin: origin.cloned(),
        }
    }

    /// The answer to a browser that asks first. It says nothing about anything behind the path, so it needs no key.
    pub(super) fn preflight(&self) -> Option<Response> {
        self.is_preflight.then(|| {
            let headers = [
                (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            ];
            (StatusCode::NO_CONTENT, headers).into_response()
        })
    }

    /// Tells the browser whose script may read the reply.
    pub(super) fn tell(self, response: &mut Response) {
        if !self.varies {
            return;
        }
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_name(header::ORIGIN));
        if let Some(origin) = self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if !self.is_preflight {
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
    }
}
