//! `/`: totals, how full the pools are, and the latest allocations.

use axum::{extract::State, response::Response};
use ipam_shared::api::{
    allocation::{Allocation, AllocationFilter},
    pool::Pool,
    profile,
};

use super::{Noted, Section, Shell, error::Failure, filters, page, session::SignedIn};
use crate::{
    app::App,
    db::{self, total::Count},
};

/// How many of the latest allocations are shown.
const RECENT: u16 = 8;

#[derive(askama::Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    vpcs: Count,
    allocations: Count,
    usable: Vec<Usable>,
    pools: Vec<Pool>,
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
    let pools = db::pool::all(&mut db).await?;
    let roles = db::total::roles(&mut db).await?;
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
                None => pools
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
        pools,
        recent,
    }))
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
