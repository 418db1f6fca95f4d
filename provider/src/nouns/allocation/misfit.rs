//! Whether the existing blocks satisfy a changed request, and if not, why.

use std::collections::BTreeMap;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        allocation::{Allocation, MAIN},
        ownership::Noun,
    },
    cidr::Cidr,
    error::Code,
    ids::PoolId,
    name::Name,
};
use tfplugin::{Context, Diagnostic, Plan, Result, Text, Value};

use super::model::{cidrs, id_of};
use crate::{
    connection::Connection,
    framework::{call::finish, labels::LabelMap},
    run::key::scoped,
};

/// Whether the attribute changes to something that is known.
fn is_changed(plan: &Plan, attribute: &str) -> bool {
    let planned = plan.planned.get(attribute);
    plan.changes(attribute) && !planned.is_null() && planned.is_wholly_known()
}

/// The pool that gave the only block: its name and that of its VRF.
fn origin(prior: &Value) -> Option<(&str, &str)> {
    let blocks = prior.get("blocks").as_map()?;
    let block = blocks.values().next()?;
    Some((block.get("pool").as_str()?, block.get("vrf").as_str()?))
}

/// Why a block is not from one of the wanted pools.
pub(super) async fn not_from_pools(
    ctx: &Context<Connection>,
    plan: &Plan,
    prior: &Value,
) -> Result<Option<String>> {
    if !is_changed(plan, "pools") {
        return Ok(None);
    }
    let (Some((pool, vrf)), Some(connection)) = (origin(prior), ctx.try_client()) else {
        return Ok(None);
    };
    let wanted: Vec<String> = plan.planned("pools")?;
    if wanted.iter().any(|wanted| wanted == pool) {
        return Ok(None);
    }
    // By its name in the state, and by its new name in this run.
    let is_renamed = |wanted: &String| {
        let key = |name: &str| scoped(Noun::Pool, vrf, name);
        connection.run.is_renamed(&key(pool), &key(wanted))
    };
    if wanted.iter().any(is_renamed) {
        return Ok(None);
    }
    for id in wanted
        .iter()
        .filter(|wanted| wanted.parse::<PoolId>().is_ok())
    {
        let found = finish(ctx, &format!("look up the pool {id}"), async {
            match connection.client.get_pool(id, None).await {
                Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
                found => found.map(Some),
            }
        })
        .await?;
        if found.is_some_and(|found| found.name == pool && found.vrf == vrf) {
            return Ok(None);
        }
    }
    if is_renamed_elsewhere(ctx, connection, prior, &wanted).await? {
        return Ok(None);
    }
    Ok(Some(not_among(prior, pool)))
}

/// Whether the pool may get one of the names although this run has not said so: it has it already, or nothing has it and
/// nothing new is to have it. The apply checks again.
async fn is_renamed_elsewhere(
    ctx: &Context<Connection>,
    connection: &Connection,
    prior: &Value,
    wanted: &[String],
) -> Result<bool> {
    let client = &connection.client;
    let what = "look up the pools that are wanted";
    let found = finish(ctx, what, client.get_allocation(id_of(prior)?, None)).await?;
    let from = found.blocks.first();
    if from.is_some_and(|block| wanted.iter().any(|name| block.pool == **name)) {
        return Ok(true);
    }
    for name in wanted.iter().filter(|name| name.parse::<PoolId>().is_err()) {
        let Ok(parsed) = name.parse::<Name>() else {
            continue;
        };
        let is_new = [found.vrf.as_str(), DEFAULT_VRF]
            .iter()
            .any(|vrf| connection.run.is_new(&scoped(Noun::Pool, vrf, name)));
        if !is_new
            && finish(ctx, what, client.find_pools(&parsed, None))
                .await?
                .is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn not_among(allocation: &Value, pool: &str) -> String {
    let cidr = allocation.get("cidr").as_str().unwrap_or_default();
    format!("It has {cidr} from the pool {pool}, which is not among them.")
}

/// Refuses pools that were assumed to be new names of the previous ones, if the block is from none of them.
pub(super) fn check_pools(found: &Value, planned: &Value) -> Result<()> {
    let wanted: Vec<String> = planned.attribute("pools")?;
    let first = found.get("blocks").get(MAIN).get("pool");
    match first.as_str() {
        Some(pool) if !wanted.iter().any(|wanted| wanted == pool) => Err(Diagnostic::error(
            "The pools of the allocation can't be changed",
            format!(
                "{} This was planned in place because no pool had one of the names, and it might have been the new one of \
                 that pool. Nothing was changed; the next plan knows better.",
                not_among(found, pool)
            ),
        )
        .at("pools")
        .into()),
        _ => Ok(()),
    }
}

/// Why a block is not from a pool that the wanted selector selects.
pub(super) async fn not_selected(
    ctx: &Context<Connection>,
    plan: &Plan,
    prior: &Value,
) -> Result<Option<String>> {
    if !is_changed(plan, "pool_selector") {
        return Ok(None);
    }
    let (Some((pool, vrf)), Some(connection)) = (origin(prior), ctx.try_client()) else {
        return Ok(None);
    };
    let wanted: LabelMap = plan.planned("pool_selector")?;
    let found = match pool.parse::<Name>() {
        Ok(name) => {
            let call = connection.client.find_pools(&name, Some(vrf));
            finish(ctx, &format!("look up the pool {pool}"), call).await?
        }
        Err(_) => Vec::new(),
    };
    let fits = found.iter().any(|found| {
        wanted
            .iter()
            .all(|(key, value)| found.labels.get(key) == Some(value))
    });
    Ok((!fits).then(|| {
        format!(
            "It has {} from the pool {pool}, which does not have these labels.",
            prior.get("cidr").as_str().unwrap_or_default()
        )
    }))
}

/// Why a block is where it must not be.
pub(super) fn excluded(plan: &Plan, prior: &Value) -> Result<Option<String>> {
    if !is_changed(plan, "exclude_cidrs") {
        return Ok(None);
    }
    let excluded = cidrs(plan.planned("exclude_cidrs")?);
    let blocks = prior.get("blocks").as_map();
    for block in blocks.into_iter().flat_map(BTreeMap::values) {
        let Text(block): Text<Cidr> = block.attribute("cidr")?;
        if let Some(excluded) = excluded.iter().find(|excluded| excluded.overlaps(block)) {
            return Ok(Some(format!("It has {block}, which overlaps {excluded}.")));
        }
    }
    Ok(None)
}

/// A block that overlaps an excluded network of the plan, and that network.
pub(super) fn first_excluded(plan: &Plan, found: &Allocation) -> Result<Option<(Cidr, Cidr)>> {
    if !plan.planned.get("exclude_cidrs").is_wholly_known() {
        return Ok(None);
    }
    let excluded = cidrs(plan.planned("exclude_cidrs")?);
    let mut pairs = found
        .blocks
        .iter()
        .flat_map(|block| excluded.iter().map(|excluded| (block.cidr, *excluded)));
    Ok(pairs.find(|(block, excluded)| block.overlaps(*excluded)))
}
