//! `/api/v1/lookup` and `/api/v1/history`.

use std::net::IpAddr;

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ipam_shared::{
    api::lookup::{HistoryQuery, Holder, Lookup, LookupQuery, target},
    cidr::Cidr,
    page::Page,
};

use super::{error::Refusal, extract::Params, paging::Paged, reply::limit};
use crate::{
    app::App,
    domain::{Caller, lookup::HistoryCursor},
    error::Error,
};

/// Who holds an address
///
/// Or a network, now or at any earlier time: allocations, reservations, ranges of child pools, and what cools down after
/// its release. For an earlier time, an allocation has the names of that time, as far as the audit log tells.
#[utoipa::path(get, path = "/lookup", tag = "history", operation_id = "lookup", params(LookupQuery), responses(
    (status = 200, body = Lookup),
    (status = 404, description = "No such VRF"),
))]
pub(super) async fn lookup(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<LookupQuery>,
) -> Result<Json<Lookup>, Refusal> {
    let cidr = asked(query.ip, query.cidr)?;
    let ipam = app.ipam(&caller);
    let found = ipam.lookup(cidr, query.vrf.as_deref(), query.at).await?;
    Ok(Json(found))
}

/// Who ever held an address
///
/// Or a part of a network: current holders first, then past ones, latest first. Names are the current ones, or those at the
/// end.
#[utoipa::path(get, path = "/history", tag = "history", operation_id = "list_history", params(HistoryQuery), responses(
    (status = 200, body = Page<Holder>),
    (status = 404, description = "No such VRF"),
))]
pub(super) async fn history(
    State(app): State<App>,
    caller: Caller,
    Params(query): Params<HistoryQuery>,
) -> Result<Paged<Holder>, Refusal> {
    let limit = limit(query.limit)?;
    let cidr = asked(query.ip, query.cidr)?;
    let cursor = query.cursor.as_deref().map(place).transpose()?;
    let page = app
        .ipam(&caller)
        .history(cidr, query.vrf.as_deref(), cursor, limit)
        .await?;
    let (items, next) = page;
    let next_cursor = next.map(|next| {
        let place = serde_json::to_vec(&next).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(place)
    });
    Ok(Paged(Page { items, next_cursor }))
}

fn asked(ip: Option<IpAddr>, cidr: Option<Cidr>) -> Result<Cidr, Error> {
    target(ip, cidr).map_err(|error| Error::invalid(error.to_string()))
}

/// Where a page begins.
fn place(cursor: &str) -> Result<HistoryCursor, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| Error::invalid("cursor takes the next_cursor of the page before"))
}
