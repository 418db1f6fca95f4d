//! What an allocation's blocks are cut from: a profile, or pools; in which VRF; excluding which networks.
//!
//! The server keeps the request that an allocation was made with, and blocks never move. So if the existing blocks satisfy
//! a changed request, only the state records it. Otherwise the allocation is replaced, and the plan says which block does
//! not fit and why.

use std::collections::BTreeMap;

use ipam_client::Client;
use ipam_shared::{
    api::{
        DEFAULT_VRF,
        allocation::{MAX_EXCLUDE_CIDRS, MAX_POOLS, NewAllocation},
        ownership::Noun,
        profile::DEFAULT_PROFILE,
    },
    cidr::Cidr,
    ids::PoolId,
    labels::Labels,
    name::Name,
};
use tfplugin::{
    Attribute, Context, Diagnostic, Field, Path, Plan, Result, Text, Type, Update, Value,
};

use super::{
    misfit::{self, excluded, not_from_pools, not_selected},
    model::{WORD, cidrs},
};
use crate::{
    connection::Connection,
    framework::{
        attribute_spec::{AttributeSpec, CanonicalCidr},
        call::finish,
        labels, place,
    },
    nouns::vpc,
    run::key::Key,
};

const CONSEQUENCE: &str =
    "This allocation and its ranges are released, and new ones are allocated.";

/// The three ways to say what blocks are cut from.
const RECIPES: [&str; 3] = ["profile", "pools", "pool_selector"];

/// Refuses invalid requests.
pub(super) fn check(config: &Value) -> Result<()> {
    for name in ["vrf", "profile"] {
        config.attribute::<Field<Text<Name>>>(name)?;
    }
    let given: Vec<&str> = RECIPES
        .into_iter()
        .filter(|name| !config.get(name).is_null() && !config.get(name).is_unknown())
        .collect();
    let refuse = |summary: &str, detail: String, at: &str| {
        Err(Diagnostic::error(summary, detail).at(at).into())
    };
    if let [first, second, ..] = given.as_slice() {
        return refuse(
            "Conflicting sources",
            format!(
                "At most one of profile, pools and pool_selector may be set, but there are {first} and {second}."
            ),
            second,
        );
    }
    if let Some(pools) = config.get("pools").as_list()
        && !(1..=MAX_POOLS).contains(&pools.len())
    {
        let detail = format!("pools takes 1 to {MAX_POOLS} names or ids.");
        return refuse("Unsuitable pools", detail, "pools");
    }
    if config
        .get("pool_selector")
        .as_map()
        .is_some_and(BTreeMap::is_empty)
    {
        let detail =
            "pool_selector needs at least one label; without any it would select every pool."
                .to_owned();
        return refuse("Unsuitable selector", detail, "pool_selector");
    }
    labels::check(config, "pool_selector")?;
    if let Some(cidrs) = config.get("exclude_cidrs").as_list()
        && cidrs.len() > MAX_EXCLUDE_CIDRS
    {
        let detail = format!("exclude_cidrs takes at most {MAX_EXCLUDE_CIDRS} networks.");
        return refuse("Too many networks", detail, "exclude_cidrs");
    }
    AttributeSpec::new("exclude_cidrs", Attribute::list(Type::String), "", "")
        .is::<Vec<CanonicalCidr>>()
        .check(
            config.get("exclude_cidrs"),
            &Path::attribute("exclude_cidrs"),
        )
}

/// Whether the request is from pools; nothing if that is not known yet.
pub(super) fn is_from_pools(config: &Value) -> Option<bool> {
    let [pools, selector] = ["pools", "pool_selector"].map(|name| config.get(name));
    if pools.is_unknown() || selector.is_unknown() {
        return None;
    }
    Some(!pools.is_null() || !selector.is_null())
}

/// Whether the profile is the built-in one; not while that is not known yet.
pub(super) fn is_built_in(config: &Value) -> Result<bool> {
    let profile: Field<String> = config.attribute("profile")?;
    Ok(match &profile {
        Field::Null => is_from_pools(config) == Some(false),
        Field::Unknown => false,
        Field::Known(name) => name == DEFAULT_PROFILE,
    })
}

/// Whether the first block certainly has the prefix length that is asked for: to that the first member of another profile
/// may add an offset.
pub(super) fn is_of_first_block(config: &Value) -> Result<bool> {
    Ok(is_built_in(config)? || is_from_pools(config) == Some(true))
}

/// Fills in the default profile.
pub(super) fn fill_in(plan: &mut Plan) {
    if !plan.config.get("profile").is_null() {
        return;
    }
    match is_from_pools(&plan.config) {
        Some(true) => plan.set("profile", &Value::Null),
        Some(false) => plan.set("profile", &DEFAULT_PROFILE),
        None => {}
    }
}

/// Plans the VRF that comes with another VPC: it stays if the VPC is in the same, else it is known after apply, because a
/// name that the plan shows might be another one by then.
pub(super) async fn plan_moved(ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
    let (before, after): (Field<Text<Name>>, Field<Text<Name>>) =
        (plan.prior("vpc")?, plan.planned("vpc")?);
    if plan.is_create() || !plan.config.get("vrf").is_null() {
        return Ok(());
    }
    let stays = match (before, after, ctx.try_client()) {
        (Field::Known(Text(before)), Field::Known(Text(after)), Some(connection)) => {
            let (before, after) = (vpc::key(before.as_str()), (vpc::key(after.as_str()), after));
            if before == after.0 || connection.run.is_renamed(&before, &after.0) {
                return Ok(());
            }
            let call = connection.client.find_vpc(&after.1);
            let found = finish(ctx, &format!("look up the VPC {}", after.1), call).await?;
            let vrf = plan.prior::<String>("vrf")?;
            let key = |name: &str| Key::new(Noun::Vrf, name);
            found.is_some_and(|found| {
                found.vrf.as_str() == vrf
                    || connection
                        .run
                        .is_renamed(&key(&vrf), &key(found.vrf.as_str()))
            })
        }
        (Field::Known(Text(before)), Field::Known(Text(after)), None) => before == after,
        _ => false,
    };
    if !stays {
        plan.set_unknown("vrf");
    }
    Ok(())
}

/// The request with what the configuration says besides the size.
pub(super) fn asked(wanted: NewAllocation, config: &Value) -> Result<NewAllocation> {
    let name = |name: &str| -> Result<Option<Name>> {
        let text: Option<Text<Name>> = config.attribute(name)?;
        Ok(text.map(|Text(name)| name))
    };
    let selector: Option<labels::LabelMap> = config.attribute("pool_selector")?;
    let exclude: Option<Vec<Text<Cidr>>> = config.attribute("exclude_cidrs")?;
    Ok(NewAllocation {
        vrf: name("vrf")?,
        profile: name("profile")?,
        pools: config.attribute("pools")?,
        pool_selector: selector.map(selector_labels).transpose()?,
        exclude_cidrs: cidrs(exclude),
        ..wanted
    })
}

fn selector_labels(labels: labels::LabelMap) -> std::result::Result<Labels, Diagnostic> {
    Labels::new(labels).map_err(|error| {
        Diagnostic::error("Invalid labels", format!("In pool_selector: {error}."))
            .at("pool_selector")
    })
}

/// Replaces the allocation if its blocks do not satisfy the changed request. Returns whether it does.
pub(super) async fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> Result<bool> {
    let Some(prior) = plan.prior.clone() else {
        return Ok(false);
    };
    let mut replaced = false;
    if !plan.config.get("vrf").is_null() {
        replaced = place::plan_vrf(ctx, plan, CONSEQUENCE).await?;
    }
    if plan.planned.get("profile").is_null() == prior.get("profile").is_null() {
        let exists =
            async |client: &Client, name: &Name| Ok(client.find_profile(name).await?.is_some());
        let consequence = format!(
            "The blocks of another profile come from other pools or have other sizes. {CONSEQUENCE}"
        );
        replaced |=
            place::plan_name(ctx, plan, "profile", Noun::Profile, exists, &consequence).await?;
    } else if !plan.planned.get("profile").is_unknown() {
        let reason = format!("Its blocks are to be cut from something else. {CONSEQUENCE}");
        plan.replace("profile", reason);
        return Ok(true);
    }
    for (attribute, misfit) in [
        ("pools", not_from_pools(ctx, plan, &prior).await?),
        ("pool_selector", not_selected(ctx, plan, &prior).await?),
        ("exclude_cidrs", excluded(plan, &prior)?),
    ] {
        if let Some(misfit) = misfit {
            plan.replace(attribute, format!("{misfit} {CONSEQUENCE}"));
            replaced = true;
        }
    }
    Ok(replaced)
}

/// The places whose names change in the plan, which is right only if they were renamed. The VRF of another VPC is not among
/// them.
fn renamed(request: &Update) -> impl Iterator<Item = &'static str> + '_ {
    ["vrf", "profile"].into_iter().filter(|name| {
        let is_asked = *name == "profile" || !request.config.get(name).is_null();
        is_asked && request.changes(name) && request.planned.get(name).is_wholly_known()
    })
}

/// Whether there is such a place.
pub(super) fn may_be_renamed(request: &Update) -> bool {
    renamed(request).next().is_some() || may_be_from_renamed(request)
}

/// Refuses a change of place that turns out not to be a renaming.
pub(super) fn check_renamed(request: &Update, found: &Value) -> Result<()> {
    for name in renamed(request) {
        place::check(WORD, name, found, &request.planned)?;
    }
    if may_be_from_renamed(request) {
        misfit::check_pools(found, &request.planned)?;
    }
    Ok(())
}

/// Leaves defaults out of a configuration.
pub(super) fn keep_needful(config: &mut Value) {
    for (name, usual) in [("profile", DEFAULT_PROFILE), ("vrf", DEFAULT_VRF)] {
        if config.get(name).as_str() == Some(usual) {
            config.set(name, Value::Null);
        }
    }
}

/// Whether the pools differ, and are given by names, not ids.
fn may_be_from_renamed(request: &Update) -> bool {
    let names = request.planned.get("pools").as_list();
    request.changes("pools")
        && names.is_some_and(|names| {
            names.iter().all(|name| {
                name.as_str()
                    .is_some_and(|name| name.parse::<PoolId>().is_err())
            })
        })
}

/// Keeps the request of the configuration; the server knows the one that the allocation was created with.
pub(super) fn settle(known: &Value, state: &mut Value) {
    if known.as_map().is_none() {
        return;
    }
    for name in ["pools", "pool_selector", "exclude_cidrs"] {
        let before = known.get(name);
        if before.is_wholly_known() {
            state.set(name, before.clone());
        }
    }
}

/// Keeps the names of pools and VRFs that the plan shows: they may be renamed in the same apply, and a result has to be
/// what was planned. The next read learns the new ones.
pub(super) fn settle_names(request: &Update, state: &mut Value) {
    let planned = &request.planned;
    if request.config.get("vrf").is_null() && planned.get("vrf").is_wholly_known() {
        state.set("vrf", planned.get("vrf").clone());
    }
    let Some(mut blocks) = state.get("blocks").as_map().cloned() else {
        return;
    };
    for (role, block) in &mut blocks {
        for name in ["pool", "vrf"] {
            if let Some(text) = planned.get("blocks").get(role).get(name).as_str() {
                block.set(name, text);
            }
        }
    }
    state.set("blocks", blocks);
}
