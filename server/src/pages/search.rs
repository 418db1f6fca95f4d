//! `/ui/search`: one box for everything. What can only mean one thing leads straight there.

use std::collections::BTreeMap;

use axum::{
    extract::{Query, State},
    response::{IntoResponse as _, Redirect, Response},
};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationFilter},
        lookup::{Holder, Lookup, PoolRange},
    },
    cidr::Cidr,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{Section, Shell, error::Failure, filters, map, page, query_value, session::SignedIn};
use crate::{
    app::App,
    db::{
        self,
        search::{Named, by_id, named},
    },
    domain::lookup::leaves_free,
    error::Result,
};

/// Allocations that are shown, and of every other noun.
const ALLOCATIONS: u16 = 20;
const OTHERS: i64 = 10;
/// How much of what is around an address its map shows, in bits.
const AROUND: u8 = 8;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
}

#[derive(askama::Template)]
#[template(path = "search.html")]
struct SearchPage {
    shell: Shell,
    q: String,
    /// Why it was not understood.
    problem: Option<String>,
    /// The network that was asked about, in each VRF that knows it.
    network: Option<Cidr>,
    places: Vec<InVrf>,
    named: Vec<Named>,
    allocations: Vec<Allocation>,
    /// Allocations that are found by a part of their name.
    newest: u64,
}

/// A network in one VRF.
struct InVrf {
    vrf: String,
    state: String,
    href: String,
}

/// `GET /ui/search`
pub(super) async fn show(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let q = asked.q.trim().replace('\0', "");
    let ipam = app.ipam(&signed_in.caller);
    let (mut places, mut network, mut problem) = (Vec::new(), None, None);
    let (mut found, mut allocations) = (Vec::new(), Vec::new());
    // Labels and names of allocations with their VPC have slashes too; no network has an equals sign.
    if let Some((key, value)) = q.split_once('=') {
        let label = format!("{}={}", key.trim(), value.trim());
        let to = format!("/ui/allocations?q={}", query_value(&label));
        return Ok(Redirect::to(&to).into_response());
    } else if q.contains('/') || q.parse::<std::net::IpAddr>().is_ok() {
        match Cidr::of_address_or_network(&q) {
            Ok(cidr) => {
                places = in_vrfs(&ipam.lookup(cidr, None, None).await?);
                network = Some(cidr);
            }
            Err(error) => {
                // Pages and the audit log write an allocation as VPC/NAME.
                if let Some((vpc, name)) = q.split_once('/') {
                    let mut db = ipam.read().await?;
                    allocations = super::allocations::called(&mut db, Some(vpc), name, 1).await?;
                }
                problem = allocations
                    .is_empty()
                    .then(|| super::error::sentence(&error.to_string()));
            }
        }
    } else if let Ok(id) = q.parse::<Uuid>() {
        found.extend(by_id(&mut ipam.read().await?, id).await?);
    } else if !q.is_empty() {
        let mut db = ipam.read().await?;
        found = named(&mut db, &q, OTHERS).await?;
        let filter = AllocationFilter::default();
        let ids =
            db::search::allocations(&mut db, &filter, None, Some(&q), None, ALLOCATIONS).await?;
        allocations = super::allocations::load(&mut db, &ids).await?;
    }
    if let Some(to) = only(&places, &found, &allocations) {
        return Ok(Redirect::to(&to).into_response());
    }
    let mut db = ipam.read().await?;
    let shell = Shell::of(&mut db, &signed_in, Section::Elsewhere).await?;
    Ok(page(&SearchPage {
        shell: shell.searching(&q),
        q,
        problem,
        network,
        places,
        named: found,
        allocations,
        newest: db::search::NEWEST.unsigned_abs(),
    }))
}

/// Where to, if there is only one answer.
fn only(places: &[InVrf], named: &[Named], allocations: &[Allocation]) -> Option<String> {
    match (places, named, allocations) {
        ([place], [], []) => Some(place.href.clone()),
        ([], [named], []) => Some(href(named)),
        ([], [], [allocation]) => Some(format!("/ui/allocations/{}", allocation.id)),
        _ => None,
    }
}

/// What a network is in each VRF that has a part of it.
fn in_vrfs(found: &Lookup) -> Vec<InVrf> {
    let mut vrfs: BTreeMap<&str, (Vec<Holder>, Vec<PoolRange>)> = BTreeMap::new();
    for pool in &found.pools {
        vrfs.entry(&pool.vrf).or_default().1.push(pool.clone());
    }
    for holder in &found.holders {
        vrfs.entry(&holder.vrf).or_default().0.push(holder.clone());
    }
    let each = vrfs.into_iter().map(|(vrf, (holders, pools))| {
        let range = pools.last().map_or(0, |pool| pool.cidr.prefix_length());
        let length = found.cidr.prefix_length();
        let at = found
            .cidr
            .ancestor(range.max(length.saturating_sub(AROUND)));
        let at = at.filter(|_| range > 0).map(|at| format!("&at={at}"));
        let seen = Lookup {
            free: !pools.is_empty() && holders.iter().all(|holder| leaves_free(holder, found.cidr)),
            holders,
            pools,
            more: found.more,
            ..*found
        };
        InVrf {
            href: format!(
                "/ui/map?vrf={}{}&pick={}#pick",
                query_value(vrf),
                at.unwrap_or_default(),
                found.cidr
            ),
            vrf: vrf.to_owned(),
            state: map::state(&seen),
        }
    });
    each.collect()
}

/// The page of something.
fn href(named: &Named) -> String {
    match named.kind.as_str() {
        "vrf" => format!("/ui/map?vrf={}", query_value(&named.name)),
        kind => format!("/ui/{kind}s/{}", named.id),
    }
}
