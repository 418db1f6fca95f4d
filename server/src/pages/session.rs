//! Sessions: a cookie with 256 random bits, of which the database has a hash. It gives access to the pages only: `/api` and
//! the original API never look at it. It ends by signing out, here or everywhere, with the key that it began with, after half
//! an hour without use, and after twelve hours.

use std::net::IpAddr;

use axum::{
    extract::{Form, FromRequest, FromRequestParts, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware,
    response::{IntoResponse as _, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::Sha256;

use super::error::Failure;
use crate::{
    app::App,
    domain::{Caller, token::Opened},
    error::Error,
    front::Reached,
    http::{
        admission::admit,
        key::{SignedInAs, caller},
        listen::Peer,
        pace, rights,
    },
};

/// A page that shows itself anew, because others did something, says so in this header: nobody uses it.
const ANEW: &str = "ipam-anew";
/// Where a page waits for something to happen.
pub(super) const LIVE: &str = "/ui/live";

/// A signed-in user. As a handler argument it redirects everybody else to the sign-in page.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    /// Proof that a form came from a page of this session.
    pub(super) csrf: String,
    pub(super) session: Opened,
}

/// A form that a signed-in user sent from one of our pages.
#[derive(Debug)]
pub(super) struct Posted<T>(pub(super) SignedIn, pub(super) T);

/// The session of a request, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct Current {
    cookie: [u8; 32],
    opened: Opened,
}

/// Proof that a form came from a page of the session: only who has the cookie can make it.
fn csrf(cookie: &[u8; 32]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(cookie).expect("a key");
    mac.update(b"ipam dashboard form, version 1");
    mac
}

fn is_csrf(cookie: &[u8; 32], token: &str) -> bool {
    let token = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    csrf(cookie).verify_slice(&token).is_ok()
}

/// Changes when the administrator's key does.
pub(super) fn administrator(app: &App) -> Option<i32> {
    let hash = app.auth.derive("ipam dashboard session, version 2")?;
    hash.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// With the prefix, browsers let nobody else set it, not even a sibling subdomain; it requires https.
fn cookie_name(reached: &Reached) -> &'static str {
    if reached.is_https() {
        "__Host-ipam_session"
    } else {
        "ipam_session"
    }
}

pub(super) fn cookie(reached: &Reached, value: String) -> Cookie<'static> {
    Cookie::build((cookie_name(reached), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(reached.is_https())
        .build()
}

/// What the cookie of a request says, if it has one.
fn cookie_of(reached: &Reached, headers: &HeaderMap) -> Option<[u8; 32]> {
    let jar = CookieJar::from_headers(headers);
    let text = jar.get(cookie_name(reached))?.value().to_owned();
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// The session of a request, which [`recognise`] found.
pub(super) fn session_of(extensions: &Extensions) -> Option<&Current> {
    extensions.get()
}

pub(super) fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(Peer::address)
}

/// Finds the session of a request. Connections of signed-in users are kept when others have to make room, and their requests
/// need a slot, and the right for what they ask. Everybody else is rejected without much work. Requests count for whoever is
/// signed in, like those with the same key, or else for the address.
pub(super) async fn recognise(
    State(app): State<App>,
    mut request: Request,
    next: middleware::Next,
) -> Response {
    let reached = Reached::of(request.extensions());
    let cookie = cookie_of(&reached, request.headers());
    // Browsers begin the stream of what happens anew by themselves, whenever it was cut.
    let is_anew = request.headers().contains_key(ANEW) || request.uri().path() == LIVE;
    let current = match current(&app, cookie, address(request.extensions()), is_anew).await {
        Ok(current) => current,
        Err(failure) => return failure.into_response(),
    };
    let counted = match &current {
        Some(current) => pace::count_caller(&app, &current.opened.who),
        None => pace::count_stranger(&app, request.extensions().get()),
    };
    let standing = match counted {
        Ok(standing) => standing,
        Err(exceeded) => return Failure::too_many(&exceeded),
    };
    let mut response = match current {
        Some(current) => {
            if let Some(peer) = request.extensions().get::<Peer>() {
                peer.trust();
            }
            request.extensions_mut().insert(current.clone());
            let signed_in = SignedIn::of(&current, request.extensions(), request.headers()).ok();
            let mut response = within_rights(&app, &current, request, next).await;
            // For the page that a failure gets, which is made outside of this.
            if let Some(signed_in) = signed_in.filter(|_| !response.status().is_success()) {
                response.extensions_mut().insert(signed_in);
            }
            response
        }
        None => next.run(request).await,
    };
    if let Some(standing) = standing {
        standing.tell(&mut response);
    }
    response
}

/// The session of the cookie, if there is one.
async fn current(
    app: &App,
    cookie: Option<[u8; 32]>,
    from: Option<IpAddr>,
    is_anew: bool,
) -> Result<Option<Current>, Failure> {
    let Some(cookie) = cookie else {
        return Ok(None);
    };
    let (system, administrator) = (app.system(), administrator(app));
    let opened = if is_anew {
        system.session_unused(&cookie, administrator).await?
    } else {
        system.session(&cookie, administrator, from).await?
    };
    Ok(opened.map(|opened| Current { cookie, opened }))
}

async fn within_rights(
    app: &App,
    current: &Current,
    request: Request,
    next: middleware::Next,
) -> Response {
    if let Err(why) = rights::check(&request, &current.opened.who) {
        return denied(current, Failure::forbidden(&why).into_response());
    }
    let _slot = match admit(app, &request).await {
        Ok(slot) => slot,
        Err(error) => return Failure::from(error).into_response(),
    };
    denied(current, next.run(request).await)
}

/// Says in a reply whose session it was, for the audit log.
fn denied(current: &Current, mut response: Response) -> Response {
    if response.status() == StatusCode::FORBIDDEN {
        let who = SignedInAs(std::sync::Arc::clone(&current.opened.who));
        response.extensions_mut().insert(who);
    }
    response
}

impl SignedIn {
    /// Whose session it is, in a request.
    fn of(current: &Current, extensions: &Extensions, headers: &HeaderMap) -> Result<Self, Error> {
        Ok(Self {
            caller: caller(&current.opened.who, extensions, headers)?,
            csrf: URL_SAFE_NO_PAD.encode(csrf(&current.cookie).finalize().into_bytes()),
            session: current.opened.clone(),
        })
    }
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        let Some(current) = session_of(&parts.extensions) else {
            return Err(sign_in_first(parts));
        };
        Self::of(current, &parts.extensions, &parts.headers)
            .map_err(|error| Failure::from(error).into_response())
    }
}

/// Who sends a form, before it is known that it comes from a page of the session.
pub(super) struct Sender {
    signed_in: SignedIn,
    cookie: [u8; 32],
}

impl Sender {
    /// Of a request that can have come from one of our pages.
    pub(super) async fn of(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let reached = Reached::of(&parts.extensions);
        if !reached.is_own_form(&parts.headers) {
            return Err(Failure::forged().into_response());
        }
        let signed_in = SignedIn::from_request_parts(parts, app).await?;
        match session_of(&parts.extensions).map(|current| current.cookie) {
            Some(cookie) => Ok(Self { signed_in, cookie }),
            None => Err(sign_in_first(parts)),
        }
    }

    /// For a form of which nothing is read.
    pub(super) fn unproven(self) -> SignedIn {
        self.signed_in
    }

    /// Once the form has shown what only a page of the session has.
    pub(super) fn with(self, token: &str) -> Result<SignedIn, Failure> {
        if is_csrf(&self.cookie, token) {
            Ok(self.signed_in)
        } else {
            Err(Failure::forged())
        }
    }
}

/// The session of a request that goes on for so long that it may end before.
#[derive(Clone, Debug)]
pub(super) struct Open([u8; 32]);

impl Open {
    /// Whether it goes on.
    pub(super) async fn goes_on(&self, app: &App) -> bool {
        let session = app.system().session_unused(&self.0, administrator(app));
        session.await.is_ok_and(|session| session.is_some())
    }
}

impl FromRequestParts<App> for Open {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        match session_of(&parts.extensions) {
            Some(current) => Ok(Self(current.cookie)),
            None => Err(sign_in_first(parts)),
        }
    }
}

/// To the sign-in page, and back here afterwards if this is a page.
fn sign_in_first(parts: &Parts) -> Response {
    let next = match parts.method.as_str() {
        "GET" | "HEAD" => parts.uri.path_and_query().map_or("/", |path| path.as_str()),
        _ => "/",
    };
    let to = if next == "/" {
        "/ui/sign-in".to_owned()
    } else {
        format!("/ui/sign-in?next={}", super::query_value(next))
    };
    Redirect::to(&to).into_response()
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let sender = Sender::of(&mut parts, app).await?;
        let is_form = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| {
                value
                    .as_bytes()
                    .starts_with(b"application/x-www-form-urlencoded")
            });
        if !is_form {
            return Err(
                Failure::invalid("only forms of the dashboard are accepted here").into_response(),
            );
        }
        let body = axum::body::to_bytes(body, crate::http::limits::BODY)
            .await
            .map_err(|_| Failure::invalid("the form did not arrive completely").into_response())?;
        let token: Token = parse(body.clone(), app).await?;
        let signed_in = sender.with(&token.csrf).map_err(Failure::into_response)?;
        Ok(Self(signed_in, parse(body, app).await?))
    }
}

pub(super) async fn parse<T: DeserializeOwned>(
    body: axum::body::Bytes,
    app: &App,
) -> Result<T, Response> {
    let mut request = Request::new(body.into());
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    match Form::<T>::from_request(request, app).await {
        Ok(Form(value)) => Ok(value),
        Err(_) => Err(Failure::invalid("the form lacks a field or has it twice").into_response()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_token_belongs_to_one_session() {
        let token = URL_SAFE_NO_PAD.encode(csrf(&[1; 32]).finalize().into_bytes());
        assert!(is_csrf(&[1; 32], &token));
        assert!(!is_csrf(&[2; 32], &token));
        assert!(!is_csrf(&[1; 32], ""));
    }
}
