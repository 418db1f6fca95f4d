//! `/ui/allocations/{id}`: one allocation, and its history. Its changes are forms like those of any other noun (`nouns`).

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use ipam_shared::{api::allocation::Allocation, error::Code, ids::AllocationId};
use time::OffsetDateTime;

use super::{
    Noted, Section, Shell,
    error::Failure,
    events::{EVENTS, Line},
    filters,
    life::{self, Step},
    nouns::asked_for,
    page,
    session::SignedIn,
    snippet::{Server, Snippets},
};
use crate::{app::App, db, error::Error, rights::Right};

#[derive(askama::Template)]
#[template(path = "allocation.html")]
struct AllocationPage {
    shell: Shell,
    allocation: Allocation,
    /// The size as it was asked for.
    asked_for: String,
    may_change: bool,
    life: Vec<Step>,
    history: Vec<Line>,
    snippets: Snippets,
}

/// What was released.
#[derive(askama::Template)]
#[template(path = "gone.html")]
struct GonePage {
    shell: Shell,
    id: String,
    at: OffsetDateTime,
    by: String,
    life: Vec<Step>,
    /// What it had, as far as its history says.
    cidrs: Vec<String>,
    history: Vec<Line>,
    /// Its events, for who may read them.
    events: Option<String>,
    request_id: String,
}

/// `GET /ui/allocations/{id}`
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(noted): Query<Noted>,
    server: Server,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let missing = || Failure::not_found("there is no allocation with that id");
    let id: AllocationId = id.parse().map_err(|_| missing())?;
    let ipam = app.ipam(&signed_in.caller);
    let found = ipam.show(signed_in.caller.clone(), id, None).await;
    let allocation: Allocation = match found {
        Err(Error::Gone { at, by, .. }) => return gone(&app, &signed_in, id, (at, by)).await,
        found => found?,
    };
    let mut db = ipam.read().await?;
    let history = db::event::history(&mut db, id.0, EVENTS).await?;
    let shell = Shell::of(&mut db, &signed_in, Section::Allocations)
        .await?
        .noting(&noted);
    let history: Vec<_> = history.into_iter().map(Line::new).collect();
    Ok(page(&AllocationPage {
        may_change: shell.may(Right::Allocate),
        shell,
        life: life::living(allocation.created_at, &allocation.created_by, &history),
        history,
        snippets: Snippets::new(&allocation, &server),
        asked_for: asked_for(&allocation),
        allocation,
    }))
}

/// The page of what was released: how it went, until when it cools down, and who did it.
async fn gone(
    app: &App,
    signed_in: &SignedIn,
    id: AllocationId,
    (at, by): (OffsetDateTime, String),
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let history = db::event::history(&mut db, id.0, EVENTS).await?;
    let cooling = db::cooldown::until(&mut db, id).await?;
    let history: Vec<_> = history.into_iter().map(Line::new).collect();
    let shell = Shell::of(&mut db, signed_in, Section::Allocations).await?;
    let events = shell
        .may(Right::Audit)
        .then(|| format!("/ui/events?subject={id}"));
    let content = page(&GonePage {
        shell,
        id: id.to_string(),
        at,
        by: by.clone(),
        life: life::ended((at, by), &history, cooling),
        cidrs: had(&history),
        history,
        events,
        request_id: signed_in.caller.request_id.simple().to_string(),
    });
    let mut response = (StatusCode::GONE, content).into_response();
    response.extensions_mut().insert(Code::Gone);
    Ok(response)
}

/// What it had when it was released.
fn had(history: &[Line]) -> Vec<String> {
    let detail = history.first().map(|line| &line.entry.detail["cidrs"]);
    let cidrs = detail.and_then(|cidrs| cidrs.as_array());
    let cidrs = cidrs.into_iter().flatten().filter_map(|cidr| cidr.as_str());
    cidrs.map(str::to_owned).collect()
}
