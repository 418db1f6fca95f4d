//! `/ui/allocations`: all allocations, newest first, and a search by name, label, address or network.

use std::net::IpAddr;

use axum::{
    extract::{Query, State},
    response::Response,
};
use ipam_shared::{
    api::allocation::{Allocation, AllocationFilter},
    cidr::Cidr,
    ids::AllocationId,
};
use serde::Deserialize;

use super::{
    Noted, Section, Shell, error::Failure, filters, page, position, query_value, session::SignedIn,
};
use crate::{
    app::App,
    db::{self, Connection},
    error::Result,
};

/// Allocations on a page.
const ROWS: u16 = 50;
/// VPCs that are suggested.
pub(super) const SUGGESTIONS: i64 = 500;

#[derive(askama::Template)]
#[template(path = "allocations.html")]
struct AllocationsPage {
    shell: Shell,
    vpc: String,
    q: String,
    vpc_names: Vec<String>,
    allocations: Vec<Allocation>,
    /// Why the search was not understood.
    problem: Option<String>,
    /// The address of the next page.
    next: Option<String>,
    continued: bool,
    filtered: bool,
    /// Allocations that are found by a part of their name.
    newest: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    vpc: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    before: String,
}

/// `GET /ui/allocations`
pub(super) async fn list(
    State(app): State<App>,
    Query(search): Query<Search>,
    Query(noted): Query<Noted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let before = position::<AllocationId>(&search.before)?;
    let (vpc, q) = (search.vpc.trim(), search.q.trim());
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let (mut ids, problem) = match find(&mut db, vpc, q, before).await? {
        Ok(ids) => (ids, None),
        Err(problem) => (Vec::new(), Some(super::error::sentence(&problem))),
    };
    let next = if ids.len() > usize::from(ROWS) {
        ids.truncate(ROWS.into());
        ids.last().map(|last| {
            format!(
                "/ui/allocations?vpc={}&q={}&before={last}",
                query_value(vpc),
                query_value(q)
            )
        })
    } else {
        None
    };
    Ok(page(&AllocationsPage {
        allocations: load(&mut db, &ids).await?,
        vpc_names: db::search::vpc_names(&mut db, SUGGESTIONS).await?,
        filtered: !(vpc.is_empty() && q.is_empty()),
        vpc: vpc.to_owned(),
        q: q.to_owned(),
        problem,
        next,
        continued: before.is_some(),
        newest: db::search::NEWEST.unsigned_abs(),
        shell: Shell::of(&mut db, &signed_in, Section::Allocations)
            .await?
            .noting(&noted),
    }))
}

/// One page of what was searched for, plus one item if there is more; or why the search was not understood.
async fn find(
    db: &mut Connection,
    vpc: &str,
    q: &str,
    before: Option<AllocationId>,
) -> Result<Result<Vec<AllocationId>, String>> {
    let mut filter = AllocationFilter {
        vpc: (!vpc.is_empty()).then(|| vpc.to_owned()),
        ..AllocationFilter::default()
    };
    let (mut label, mut text) = (None, None);
    match Wanted::parse(q) {
        Ok(Wanted::Nothing) => {}
        Ok(Wanted::Address(address)) => filter.contains = Some(address),
        Ok(Wanted::Network(network)) => filter.within = Some(network),
        Ok(Wanted::Label(key, value)) => label = Some((key, value)),
        Ok(Wanted::Text(words)) => text = Some(words),
        Err(problem) => return Ok(Err(problem)),
    }
    let ids = db::search::allocations(db, &filter, label, text, before, ROWS + 1).await?;
    if let (true, None, Some(network)) = (ids.is_empty(), before, filter.within.take()) {
        // If nothing lies inside it, it may itself lie inside a block.
        filter.contains = Some(network.first());
        return Ok(Ok(db::search::allocations(
            db,
            &filter,
            None,
            None,
            None,
            ROWS + 1,
        )
        .await?));
    }
    Ok(Ok(ids))
}

/// What the search box contains.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Nothing,
    Address(IpAddr),
    Network(Cidr),
    Label(&'a str, &'a str),
    Text(&'a str),
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Nothing);
        }
        if text.contains('\0') {
            return Err("names have no NUL characters".to_owned());
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        // Labels may contain slashes, and no network has an equals sign.
        if let Some((key, value)) = text.split_once('=') {
            return Ok(Self::Label(key.trim(), value.trim()));
        }
        // Names contain no slash.
        if text.contains('/') {
            return text
                .parse()
                .map(Self::Network)
                .map_err(|error: ipam_shared::cidr::CidrError| error.to_string());
        }
        Ok(Self::Text(text))
    }
}

/// Allocations that have exactly that name, in a VPC or in any.
pub(super) async fn called(
    db: &mut Connection,
    vpc: Option<&str>,
    name: &str,
    limit: u16,
) -> Result<Vec<Allocation>> {
    let filter = AllocationFilter {
        vpc: vpc.map(str::to_owned),
        name: Some(name.to_owned()),
        ..AllocationFilter::default()
    };
    let ids = db::allocation::find(db, &filter, None, None, limit).await?;
    load(db, &ids).await
}

/// Allocations in the order of their ids.
pub(super) async fn load(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<Allocation>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = db::allocation::load(db, ids).await?;
    Ok(found
        .into_iter()
        .map(|(allocation, _)| allocation)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_takes_an_address_a_network_a_label_or_a_part_of_a_name() {
        assert_eq!(Wanted::parse(""), Ok(Wanted::Nothing));
        assert_eq!(
            Wanted::parse("10.0.0.7"),
            Ok(Wanted::Address("10.0.0.7".parse().unwrap()))
        );
        assert_eq!(
            Wanted::parse("10.0.0.0/23"),
            Ok(Wanted::Network("10.0.0.0/23".parse().unwrap()))
        );
        assert_eq!(
            Wanted::parse("env = prod"),
            Ok(Wanted::Label("env", "prod"))
        );
        assert_eq!(
            Wanted::parse("app.kubernetes.io/name=web"),
            Ok(Wanted::Label("app.kubernetes.io/name", "web"))
        );
        assert_eq!(Wanted::parse("cluster-1"), Ok(Wanted::Text("cluster-1")));
        assert!(
            Wanted::parse("10.0.0.5/24")
                .unwrap_err()
                .contains("10.0.0.0/24")
        );
        assert!(Wanted::parse("a\0").is_err());
    }
}
