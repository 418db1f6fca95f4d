//! `/ui/allocations/{id}`: one allocation, and its history. Its changes are forms like those of any other noun (`nouns`).

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use ipam_shared::{api::allocation::Allocation, ids::AllocationId};

use super::{
    Noted, Section, Shell,
    error::Failure,
    events::{EVENTS, Line},
    filters,
    nouns::asked_for,
    page,
    session::SignedIn,
    snippet::{Server, Snippets},
};
use crate::{app::App, db, rights::Right};

#[derive(askama::Template)]
#[template(path = "allocation.html")]
struct AllocationPage {
    shell: Shell,
    allocation: Allocation,
    /// The size as it was asked for.
    asked_for: String,
    may_change: bool,
    history: Vec<Line>,
    snippets: Snippets,
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
    let allocation: Allocation = ipam.show(signed_in.caller.clone(), id, None).await?;
    let mut db = ipam.read().await?;
    let history = db::event::history(&mut db, id.0, EVENTS).await?;
    let shell = Shell::of(&mut db, &signed_in, Section::Allocations)
        .await?
        .noting(&noted);
    Ok(page(&AllocationPage {
        may_change: shell.may(Right::Allocate),
        shell,
        history: history.into_iter().map(Line::new).collect(),
        snippets: Snippets::new(&allocation, &server),
        asked_for: asked_for(&allocation),
        allocation,
    }))
}
