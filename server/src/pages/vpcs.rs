//! `/ui/vpcs`: VPCs with their number of allocations, and their deletion.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationFilter},
        vpc::Vpc,
    },
    ids::VpcId,
};
use serde::Deserialize;

use super::{
    Noted, Section, Shell,
    error::Failure,
    filters, page, position, query_value,
    session::{Posted, SignedIn},
};
use crate::{
    app::App,
    db::{self, search::VpcLine},
};

/// VPCs on a page.
const ROWS: u16 = 50;
/// Allocations that the confirmation of a deletion names.
const NAMED: u16 = 20;

#[derive(askama::Template)]
#[template(path = "vpcs.html")]
struct VpcsPage {
    shell: Shell,
    q: String,
    vpcs: Vec<VpcLine>,
    next: Option<String>,
    continued: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

/// `GET /ui/vpcs`
pub(super) async fn list(
    State(app): State<App>,
    Query(search): Query<Search>,
    Query(noted): Query<Noted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let after = position::<VpcId>(&search.after)?;
    // No name contains a NUL, and PostgreSQL accepts none.
    let q = search.q.trim().replace('\0', "");
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let text = (!q.is_empty()).then_some(q.as_str());
    let mut vpcs = db::search::vpcs(&mut db, text, after, ROWS + 1).await?;
    let next = if vpcs.len() > usize::from(ROWS) {
        vpcs.truncate(ROWS.into());
        vpcs.last()
            .map(|last| format!("/ui/vpcs?q={}&after={}", query_value(&q), last.id))
    } else {
        None
    };
    Ok(page(&VpcsPage {
        shell: Shell::of(&mut db, &signed_in, Section::Vpcs)
            .await?
            .noting(&noted),
        q,
        vpcs,
        next,
        continued: after.is_some(),
    }))
}

#[derive(askama::Template)]
#[template(path = "delete_vpc.html")]
struct DeletePage {
    shell: Shell,
    vpc: Vpc,
    allocations: Vec<Allocation>,
    /// How many are not listed.
    more: i64,
    /// Whether the number has changed since it was shown.
    changed: bool,
}

/// `GET /ui/vpcs/{id}/delete`: are you sure?
pub(super) async fn confirm_delete(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let vpc = find(&app, &signed_in, &id).await?;
    confirm(&app, &signed_in, vpc, false).await
}

async fn confirm(
    app: &App,
    signed_in: &SignedIn,
    vpc: Vpc,
    changed: bool,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let filter = AllocationFilter {
        vpc: Some(vpc.name.to_string()),
        ..AllocationFilter::default()
    };
    let ids = db::search::allocations(&mut db, &filter, None, None, None, NAMED).await?;
    let allocations = super::allocations::load(&mut db, &ids).await?;
    let named = i64::try_from(allocations.len()).unwrap_or(i64::MAX);
    Ok(page(&DeletePage {
        shell: Shell::of(&mut db, signed_in, Section::Vpcs).await?,
        more: vpc.allocations.saturating_sub(named).max(0),
        vpc,
        allocations,
        changed,
    }))
}

async fn find(app: &App, signed_in: &SignedIn, id: &str) -> Result<Vpc, Failure> {
    let missing = || Failure::not_found("there is no VPC with that id; it may have been deleted");
    let id = id.parse().map_err(|_| missing())?;
    let mut db = app.ipam(&signed_in.caller).read().await?;
    db::vpc::get(&mut db, id).await?.ok_or_else(missing)
}

#[derive(Debug, Deserialize)]
pub(super) struct Delete {
    revision: i64,
    /// How many allocations the confirmation showed.
    allocations: i64,
}

/// `POST /ui/vpcs/{id}/delete`
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted(signed_in, form): Posted<Delete>,
) -> Result<Response, Failure> {
    let vpc = find(&app, &signed_in, &id).await?;
    if vpc.allocations != form.allocations {
        return confirm(&app, &signed_in, vpc, true).await;
    }
    // Nothing was to be released, so what was added in between stays.
    let cascade = form.allocations > 0;
    app.ipam(&signed_in.caller)
        .delete_vpc(signed_in.caller, vpc.id, cascade, Some(form.revision))
        .await?;
    Ok(Redirect::to("/ui/vpcs?notice=vpc-deleted").into_response())
}
