//! Sessions: a cookie that the server signs but does not store, so that people stay signed in across restarts and replicas.
//! It gives access to the pages only: `/api` and the original API never look at it.
//!
//! ```text
//! base64url(issued, 8 bytes | random id, 16 bytes | actor) "." base64url(HMAC-SHA256 of that)
//! ```
//!
//! The signing key is derived from the API key, so a new API key signs everybody out.

use std::time::{Duration, UNIX_EPOCH};

use axum::{
    extract::{Form, FromRequest, FromRequestParts, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware,
    response::{IntoResponse as _, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::Sha256;

use super::{assets::Assets, error::Failure, page};
use crate::{
    app::App,
    auth::Auth,
    domain::Caller,
    front::Reached,
    http::{admission::admit, key::wrong_key, listen::Peer, request_id::RequestId},
};

/// How long a session lasts, regardless of activity.
const LIFETIME: Duration = Duration::from_hours(12);
/// Delay after a wrong key, in addition to the delay of its address.
const WRONG_KEY_DELAY: Duration = Duration::from_millis(500);
/// Largest form of somebody who signs in, in bytes.
const SIGN_IN: usize = 4 << 10;

/// A signed-in user. As a handler argument it redirects everybody else to the sign-in page.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    /// Proof that a form came from a page of this session.
    pub(super) csrf: String,
}

/// A form that a signed-in user sent from one of our pages.
#[derive(Debug)]
pub(super) struct Posted<T>(pub(super) SignedIn, pub(super) T);

/// Signs and checks.
struct Sessions([u8; 32]);

impl Sessions {
    fn new(auth: &Auth) -> Self {
        Self(auth.derive("ipam dashboard session, version 1"))
    }

    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        mac
    }

    fn issue(&self, actor: &str, id: [u8; 16], now: u64) -> String {
        let mut payload = now.to_be_bytes().to_vec();
        payload.extend(id);
        payload.extend(actor.as_bytes());
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let mac = self.mac("session", &payload).finalize().into_bytes();
        format!("{payload}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// The actor of a cookie that is ours and has not expired.
    fn open(&self, cookie: &str, now: u64) -> Option<String> {
        let (payload, mac) = cookie.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        // In constant time.
        self.mac("session", payload).verify_slice(&mac).ok()?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let (issued, rest) = payload.split_first_chunk::<8>()?;
        let (_, actor) = rest.split_first_chunk::<16>()?;
        let issued = u64::from_be_bytes(*issued);
        // A clock slightly behind that of the issuing replica is no reason to reject a session.
        let young = now.saturating_sub(issued) < LIFETIME.as_secs() && issued <= now + 60;
        young
            .then(|| String::from_utf8(actor.to_vec()).ok())
            .flatten()
    }

    fn csrf(&self, cookie: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac("csrf", cookie).finalize().into_bytes())
    }

    fn is_csrf(&self, cookie: &str, token: &str) -> bool {
        let token = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        self.mac("csrf", cookie).verify_slice(&token).is_ok()
    }
}

fn now() -> u64 {
    UNIX_EPOCH
        .elapsed()
        .unwrap_or_else(|before: std::time::SystemTimeError| before.duration())
        .as_secs()
}

/// With the prefix, browsers let nobody else set it, not even a sibling subdomain; it requires https.
fn cookie_name(reached: &Reached) -> &'static str {
    if reached.is_https() {
        "__Host-ipam_session"
    } else {
        "ipam_session"
    }
}

fn cookie(reached: &Reached, value: String) -> Cookie<'static> {
    Cookie::build((cookie_name(reached), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(reached.is_https())
        .build()
}

fn session_of(reached: &Reached, headers: &HeaderMap, app: &App) -> Option<(String, String)> {
    let jar = CookieJar::from_headers(headers);
    let cookie = jar.get(cookie_name(reached))?.value().to_owned();
    let actor = Sessions::new(&app.auth).open(&cookie, now())?;
    Some((cookie, actor))
}

/// Connections of signed-in users are kept when others have to make room, and their requests need a slot. Everybody else is
/// rejected without much work.
pub(super) async fn recognise(
    State(app): State<App>,
    request: Request,
    next: middleware::Next,
) -> Response {
    let reached = Reached::of(request.extensions());
    if session_of(&reached, request.headers(), &app).is_none() {
        return next.run(request).await;
    }
    if let Some(peer) = request.extensions().get::<Peer>() {
        peer.trust();
    }
    let _slot = match admit(&app, &request).await {
        Ok(slot) => slot,
        Err(error) => return Failure::from(error).into_response(),
    };
    next.run(request).await
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let reached = Reached::of(&parts.extensions);
        let Some((cookie, actor)) = session_of(&reached, &parts.headers, app) else {
            return Err(sign_in_first(parts));
        };
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map(|id| id.0)
            .unwrap_or_default();
        Ok(Self {
            caller: Caller { actor, request_id },
            csrf: Sessions::new(&app.auth).csrf(&cookie),
        })
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
        let reached = Reached::of(&parts.extensions);
        if !reached.is_own_form(&parts.headers) {
            return Err(Failure::forged().into_response());
        }
        let signed_in = SignedIn::from_request_parts(&mut parts, app).await?;
        let Some((cookie, _)) = session_of(&reached, &parts.headers, app) else {
            return Err(sign_in_first(&parts));
        };
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
        if !Sessions::new(&app.auth).is_csrf(&cookie, &token.csrf) {
            return Err(Failure::forged().into_response());
        }
        Ok(Self(signed_in, parse(body, app).await?))
    }
}

async fn parse<T: DeserializeOwned>(body: axum::body::Bytes, app: &App) -> Result<T, Response> {
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

#[derive(askama::Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    assets: &'static Assets,
    next: String,
    error: Option<&'static str>,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// `GET /ui/sign-in`
pub(super) async fn form(
    State(app): State<App>,
    reached: Reached,
    headers: HeaderMap,
    Query(Next { next }): Query<Next>,
) -> Response {
    if session_of(&reached, &headers, &app).is_some() {
        return Redirect::to(local(&next)).into_response();
    }
    page(&SignInPage {
        assets: Assets::get(),
        next: local(&next).to_owned(),
        error: None,
    })
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(default)]
    key: String,
    #[serde(default)]
    next: String,
}

/// `POST /ui/sign-in`
pub(super) async fn sign_in(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let reached = Reached::of(&parts.extensions);
    // There is no session yet that a token could belong to. Requiring our own form keeps others from signing a browser in
    // with their key.
    if !reached.is_own_form(&parts.headers) {
        return Failure::forged().into_response();
    }
    // The user is not authenticated yet, so no large body is read.
    let Ok(body) = axum::body::to_bytes(body, SIGN_IN).await else {
        return Failure::too_large().into_response();
    };
    let SignIn { key, next } = match parse(body, &app).await {
        Ok(form) => form,
        Err(failure) => return failure,
    };
    let next = local(&next);
    let Ok(actor) = app.auth.check_key(key.trim()) else {
        wrong_key(&app, parts.extensions.get::<Peer>()).await;
        tokio::time::sleep(WRONG_KEY_DELAY).await;
        let answer = page(&SignInPage {
            assets: Assets::get(),
            next: next.to_owned(),
            error: Some("That key is not known to this server."),
        });
        return (StatusCode::UNAUTHORIZED, answer).into_response();
    };
    if let Some(peer) = parts.extensions.get::<Peer>() {
        peer.trust();
    }
    let mut id = [0; 16];
    if let Err(error) = getrandom::fill(&mut id) {
        return Failure::from(crate::error::Error::Internal(error.to_string().into()))
            .into_response();
    }
    let value = Sessions::new(&app.auth).issue(actor, id, now());
    let mut session = cookie(&reached, value);
    session.set_max_age(Some(time::Duration::seconds_f64(LIFETIME.as_secs_f64())));
    (CookieJar::new().add(session), Redirect::to(next)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `POST /ui/sign-out`
pub(super) async fn sign_out(reached: Reached, _: Posted<Nothing>) -> Response {
    let mut gone = cookie(&reached, String::new());
    gone.set_max_age(Some(time::Duration::ZERO));
    (CookieJar::new().add(gone), Redirect::to("/ui/sign-in")).into_response()
}

/// One of our pages, whatever a link asks for: nobody is redirected elsewhere after signing in.
fn local(next: &str) -> &str {
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with("/ui/") && !next.contains("//") && !next.starts_with("/ui/sign-") {
        next
    } else {
        "/"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_DAY: u64 = 12 * 3600;

    fn sessions() -> Sessions {
        Sessions::new(&Auth::new("a key"))
    }

    #[test]
    fn a_session_lasts_twelve_hours() {
        let cookie = sessions().issue("admin", [7; 16], 1_000_000);
        let at = |now| sessions().open(&cookie, now);
        assert_eq!(at(1_000_000).as_deref(), Some("admin"));
        assert_eq!(at(1_000_000 + HALF_DAY - 1).as_deref(), Some("admin"));
        assert_eq!(at(1_000_000 + HALF_DAY), None);
        assert_eq!(at(1_000_000 - 60).as_deref(), Some("admin"));
        assert_eq!(at(1_000_000 - 61), None);
    }

    #[test]
    fn a_session_can_not_be_forged() {
        let cookie = sessions().issue("admin", [7; 16], 1_000_000);
        assert_eq!(
            Sessions::new(&Auth::new("another")).open(&cookie, 1_000_000),
            None
        );
        for index in 0..cookie.len() {
            let mut bytes = cookie.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).unwrap();
            // The last digit of each half contains unused bits.
            let unchanged = |text: &str| {
                text.split('.')
                    .map(|half| URL_SAFE_NO_PAD.decode(half).ok())
                    .collect::<Vec<_>>()
            };
            if unchanged(&altered) != unchanged(&cookie) || altered.matches('.').count() != 1 {
                assert_eq!(sessions().open(&altered, 1_000_000), None, "{index}");
            }
        }
        for text in [
            "",
            ".",
            "a",
            "a.b",
            "..",
            &cookie[..cookie.len() - 4],
            &format!("{cookie}."),
        ] {
            assert_eq!(sessions().open(text, 1_000_000), None);
        }
    }

    #[test]
    fn a_form_token_belongs_to_one_session() {
        let (one, two) = (
            sessions().issue("admin", [1; 16], 5),
            sessions().issue("admin", [2; 16], 5),
        );
        let token = sessions().csrf(&one);
        assert!(sessions().is_csrf(&one, &token));
        assert!(!sessions().is_csrf(&two, &token));
        assert!(!sessions().is_csrf(&one, ""));
    }

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for next in ["/ui/vpcs", "/ui/allocations?vpc=a&q=10.0.0.1"] {
            assert_eq!(local(next), next);
        }
        for next in [
            "",
            "/",
            "//evil.example",
            "/ui//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/ui/\\evil",
            "/ui/sign-out",
            "/ui/a\nb",
            "/docs",
        ] {
            assert_eq!(local(next), "/");
        }
    }
}
