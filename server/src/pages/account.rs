//! Who is signed in, and the sessions of the same key, each of which can be ended here.

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Section, Shell,
    error::Failure,
    filters,
    nouns::{limits, quotas_held},
    page,
    session::{Posted, SignedIn},
    shown::{Fact, Shown},
    sign_in::signed_out,
};
use crate::{app::App, db::session::Session, front::Reached};

#[derive(askama::Template)]
#[template(path = "account.html")]
struct AccountPage {
    shell: Shell,
    actor: String,
    roles: Vec<&'static str>,
    expires_at: Option<OffsetDateTime>,
    limits: Vec<Fact>,
    sessions: Vec<Session>,
    current: Uuid,
}

/// `GET /ui/sessions`: who is signed in, and where else.
pub(super) async fn show(State(app): State<App>, signed_in: SignedIn) -> Result<Response, Failure> {
    let who = &signed_in.session.who;
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let shell = Shell::of(&mut db, &signed_in, Section::Account).await?;
    drop(db);
    let mut limits = limits(&who.limits);
    limits.retain(|limit| limit.value != Shown::Nothing);
    if let Some(token) = who.rights.quotas() {
        limits.push(quotas_held(app.system(), token).await?);
    }
    Ok(page(&AccountPage {
        shell,
        actor: who.actor.clone(),
        roles: who
            .rights
            .roles()
            .iter()
            .map(|role| role.as_str())
            .collect(),
        expires_at: who.expires_at,
        limits,
        sessions: app.system().sessions(signed_in.session.holder).await?,
        current: signed_in.session.id,
    }))
}

#[derive(Debug, Deserialize)]
pub(super) struct End {
    /// The session; all if it is missing.
    #[serde(default)]
    session: Option<Uuid>,
}

/// `POST /ui/sessions`: ends one session, or all.
pub(super) async fn end(
    State(app): State<App>,
    reached: Reached,
    Posted(signed_in, End { session }): Posted<End>,
) -> Result<Response, Failure> {
    let (current, caller) = (signed_in.session, signed_in.caller);
    app.system()
        .close_sessions(caller, current.holder, session)
        .await?;
    Ok(match session {
        Some(id) if id != current.id => Redirect::to("/ui/sessions").into_response(),
        _ => signed_out(&reached),
    })
}
