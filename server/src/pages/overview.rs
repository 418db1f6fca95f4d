//! `/`: totals, how full the pools are, and the latest allocations.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationFilter},
        pool::Pool,
        profile,
    },
    ids::PoolId,
};

use super::{
    Noted, Section, Shell,
    error::Failure,
    filters, page,
    session::SignedIn,
    spark::{Spark, sparks},
};
use crate::{
    app::App,
    db::{self, total::Count},
    rights::Right,
};

/// How many of the latest allocations are shown.
const RECENT: u16 = 8;
/// How many pools are shown, the fullest first.
const POOLS: i64 = 50;

#[derive(askama::Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    vpcs: Count,
    allocations: Count,
    usable: Vec<Usable>,
    /// The fullest pools of each VRF.
    vrfs: Vec<(String, Vec<Pool>)>,
    /// How their use went.
    sparks: BTreeMap<PoolId, Spark>,
    /// How many pools are not shown.
    more: i64,
    recent: Vec<Allocation>,
}

/// Usable addresses of one role.
#[derive(Debug, PartialEq, Eq)]
struct Usable {
    label: String,
    number: u128,
    exact: bool,
}

/// `GET /`
pub(super) async fn show(
    State(app): State<App>,
    axum::extract::Query(noted): axum::extract::Query<Noted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let (vpcs, allocations) = db::total::counts(&mut db).await?;
    let (fullest, count) = db::pool::fullest(&mut db, POOLS).await?;
    let pools = db::pool::some(&mut db, &fullest).await?;
    let sparks = sparks(&mut db, &signed_in, &pools).await?;
    let more = count.saturating_sub(POOLS).max(0);
    let roles = db::total::roles(&mut db).await?;
    // An estimate is of every pool of those names, shown or not.
    let every = if allocations.exact {
        Vec::new()
    } else {
        let names: Vec<_> = roles.iter().map(|(_, pool)| pool.clone()).collect();
        db::pool::named(&mut db, &names).await?
    };
    let counted = if allocations.exact {
        Some(db::total::usable_by_role(&mut db).await?)
    } else {
        None
    };
    let usable = roles
        .iter()
        .map(|(role, pool)| {
            let number = match &counted {
                Some(totals) => totals
                    .iter()
                    .find(|total| total.role == *role)
                    .map_or(0, |total| total.usable),
                None => every
                    .iter()
                    .filter(|known| known.name == *pool)
                    .map(|pool| estimate(pool, allocations.number))
                    .fold(0, u128::saturating_add),
            };
            Usable {
                label: role_label(role),
                number,
                exact: counted.is_some(),
            }
        })
        .collect();
    let ids = db::search::allocations(
        &mut db,
        &AllocationFilter::default(),
        None,
        None,
        None,
        RECENT,
    )
    .await?;
    let recent = super::allocations::load(&mut db, &ids).await?;
    Ok(page(&OverviewPage {
        shell: Shell::of(&mut db, &signed_in, Section::Overview)
            .await?
            .noting(&noted),
        vpcs,
        allocations,
        usable,
        vrfs: by_vrf(pools),
        sparks,
        more,
        recent,
    }))
}

/// Pools by VRF, the fullest first; of the VRFs, `default` first.
fn by_vrf(pools: Vec<Pool>) -> Vec<(String, Vec<Pool>)> {
    let mut vrfs: Vec<(String, Vec<Pool>)> = Vec::new();
    for pool in pools {
        match vrfs.last_mut() {
            Some((vrf, pools)) if *vrf == pool.vrf => pools.push(pool),
            _ => vrfs.push((pool.vrf.clone(), vec![pool])),
        }
    }
    for (_, pools) in &mut vrfs {
        pools.sort_by(|a, b| b.utilisation.total_cmp(&a.utilisation));
    }
    vrfs
}

/// The usable addresses of a pool's blocks if each allocation has one there.
fn estimate(pool: &Pool, allocations: u64) -> u128 {
    let reserved = u128::from(pool.reserved_addresses) * u128::from(allocations);
    pool.used_addresses.saturating_sub(reserved)
}

/// The built-in roles by their purpose.
fn role_label(role: &str) -> String {
    match role {
        profile::PRIMARY => "usable node addresses".to_owned(),
        profile::CGNAT => "usable pod addresses".to_owned(),
        other => format!("usable addresses for {other}"),
    }
}
