//! Signing in, with the administrator's key or the secret of a token, and signing out.

use std::time::Duration;

use axum::{
    Extension,
    extract::{Query, Request, State},
    http::{Extensions, StatusCode, header},
    response::{IntoResponse as _, Redirect, Response},
};
use axum_extra::extract::cookie::CookieJar;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ipam_shared::api::event::Source;
use serde::Deserialize;

use super::{
    assets::Assets,
    error::Failure,
    local, page,
    session::{Posted, address, administrator, cookie, parse, session_of},
};
use crate::{
    app::App,
    auth::Denied,
    db::session::Holder,
    domain::Note,
    front::Reached,
    http::{
        key::{SignedInAs, caller, request_id, unavailable, wrong_key},
        listen::Peer,
    },
    rights::Right,
};

/// Largest form of somebody who signs in, in bytes.
const SIGN_IN: usize = 4 << 10;
/// Delay after a wrong key, in addition to the delay of its address.
const WRONG_KEY_DELAY: Duration = Duration::from_millis(500);
/// How long a session lasts, regardless of activity.
const LIFETIME: Duration = Duration::from_hours(12);
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
pub(super) async fn form(extensions: Extensions, Query(Next { next }): Query<Next>) -> Response {
    if session_of(&extensions).is_some() {
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
    let from = address(&parts.extensions);
    let who = match app.recognise(key.trim(), from).await {
        Ok(who) => who,
        Err(Denied::Unavailable) => return Failure::from(unavailable()).into_response(),
        Err(denied) => {
            let request_id = request_id(&parts.extensions);
            let error = match denied {
                Denied::Expired { actor, source, .. } => {
                    app.system().note_later(Note {
                        action: "access.expired",
                        actor: Some(actor),
                        source: Source::clone(&source),
                        request: Some("POST /ui/sign-in".to_owned()),
                        request_id,
                    });
                    "That token has expired. Ask an administrator for a new one."
                }
                _ => {
                    wrong_key(&app, parts.extensions.get::<Peer>(), request_id).await;
                    "That key is not known to this server."
                }
            };
            tokio::time::sleep(WRONG_KEY_DELAY).await;
            let answer = page(&SignInPage {
                assets: Assets::get(),
                next: next.to_owned(),
                error: Some(error),
            });
            return (StatusCode::UNAUTHORIZED, answer).into_response();
        }
    };
    if !who.rights.may(Right::Read) {
        let refusal = Failure::forbidden(
            "this key may not read anything that the dashboard shows; sign in with another one",
        );
        return (Extension(SignedInAs(who)), refusal).into_response();
    }
    if let Some(peer) = parts.extensions.get::<Peer>() {
        peer.trust();
    }
    let holder = match (who.token, administrator(&app)) {
        (Some(id), _) => Holder::Token(id),
        (None, Some(check)) => Holder::Administrator(check),
        (None, None) => return Failure::forged().into_response(),
    };
    let user_agent = parts.headers.get(header::USER_AGENT);
    let user_agent = user_agent.map_or("", |value| value.to_str().unwrap_or_default());
    let caller = match caller(&who, &parts.extensions, &parts.headers) {
        Ok(caller) => caller,
        Err(error) => return Failure::from(error).into_response(),
    };
    let opened = app.system().open_session(caller, holder, from, user_agent);
    let value = match opened.await {
        Ok(cookie) => URL_SAFE_NO_PAD.encode(cookie),
        Err(error) => return Failure::from(error).into_response(),
    };
    let mut session = cookie(&reached, value);
    session.set_max_age(Some(time::Duration::seconds_f64(LIFETIME.as_secs_f64())));
    (CookieJar::new().add(session), Redirect::to(next)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `POST /ui/sign-out`
pub(super) async fn sign_out(
    State(app): State<App>,
    reached: Reached,
    Posted(signed_in, Nothing {}): Posted<Nothing>,
) -> Result<Response, Failure> {
    let (session, caller) = (signed_in.session, signed_in.caller);
    let id = Some(session.id);
    app.system()
        .close_sessions(caller, session.holder, id)
        .await?;
    Ok(signed_out(&reached))
}

/// To the sign-in page, without a cookie.
pub(super) fn signed_out(reached: &Reached) -> Response {
    let mut gone = cookie(reached, String::new());
    gone.set_max_age(Some(time::Duration::ZERO));
    (CookieJar::new().add(gone), Redirect::to("/ui/sign-in")).into_response()
}
