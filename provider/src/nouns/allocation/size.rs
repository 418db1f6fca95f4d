//! The size of an allocation: the three ways to ask for it, and what a change does to the blocks.
//!
//! Blocks are resized where they are. The server computes the result in a dry run, so the plan shows the new networks or,
//! as an error, the conflicts; both before anything is changed.

use ipam_shared::{
    api::{
        allocation::{AllocationPatch, MAX_HOSTS, Size},
        profile::{DEFAULT_PROFILE, MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH},
    },
    cidr::Cidr,
    error::Code,
};
use tfplugin::{Context, Diagnostic, Field, Number, Plan, Result, Text, ToValue as _, Value};

use super::{
    agreement, misfit,
    model::{self, id_of, ranges},
    naming::title,
    request::{is_built_in, is_from_pools},
    sizing::{most_hosts, node_prefix_length, resized_prefix_length},
};
use crate::{
    command::report_obstacle,
    connection::Connection,
    framework::{
        attribute_spec::{CanonicalCidr, PrefixLength},
        call::until_stopped,
        failure::explained,
    },
};

/// The three ways to ask for a size.
const SIZES: [&str; 3] = ["hosts", "prefix_length", "cidr"];

/// Refuses a missing size, unless pools may have a default. One that is not known yet counts as given.
pub(super) fn check_given(ctx: &Context<Connection>, config: &Value) {
    let is_given = SIZES.iter().any(|name| !config.get(name).is_null());
    if !is_given && is_from_pools(config) == Some(false) {
        ctx.report(
            Diagnostic::error(
                "How much space?",
                "One of hosts, prefix_length and cidr must be set; none is. Only with pools or pool_selector may all be \
                 left out.",
            )
            .at("hosts"),
        );
    }
}

/// Refuses invalid sizes, and those that the built-in profile does not offer.
pub(super) fn check_value(config: &Value) -> Result<()> {
    let built_in = is_built_in(config)?;
    let refuse = |name: &str, reason: String| -> Result<()> {
        Err(Diagnostic::error("Unsuitable size", reason).at(name).into())
    };
    if let Field::Known(number) = config.attribute::<Field<Number>>("hosts")? {
        let Some(hosts) = number
            .as_u64()
            .filter(|hosts| built_in || *hosts <= MAX_HOSTS)
        else {
            let most = match built_in {
                true => most_hosts(),
                false => MAX_HOSTS.into(),
            };
            return refuse(
                "hosts",
                format!("This needs a whole number from 1 to {most}, but it is {number}."),
            );
        };
        let outcome = if built_in {
            node_prefix_length(hosts).map(drop)
        } else if hosts == 0 {
            Err("There must be at least 1 host.".to_owned())
        } else {
            Ok(())
        };
        if let Err(reason) = outcome {
            return refuse("hosts", reason);
        }
    }
    config.attribute::<Field<PrefixLength>>("prefix_length")?;
    let mut prefix_length: Field<u8> = config.attribute("prefix_length")?;
    let mut name = "prefix_length";
    if config
        .attribute::<Field<CanonicalCidr>>("cidr")?
        .as_known()
        .is_some()
    {
        let Text(cidr): Text<Cidr> = config.attribute("cidr")?;
        (prefix_length, name) = (Field::Known(cidr.prefix_length()), "cidr");
    }
    match prefix_length {
        Field::Known(length)
            if built_in && !(MIN_PREFIX_LENGTH..=MAX_PREFIX_LENGTH).contains(&length) =>
        {
            refuse(
                name,
                format!(
                    "A /{length} is outside the bounds of the profile {DEFAULT_PROFILE}: its node ranges are \
                 /{MIN_PREFIX_LENGTH} (the largest) to /{MAX_PREFIX_LENGTH}."
                ),
            )
        }
        _ => Ok(()),
    }
}

/// Plans a change of size in place, with the resulting networks; or replaces the allocation if it can't become the wanted
/// network, and says why. Returns whether the allocation is replaced; with `elsewhere` it is anyway.
pub(super) async fn plan(
    ctx: &Context<Connection>,
    plan: &mut Plan,
    elsewhere: bool,
) -> Result<bool> {
    let Some(prior) = plan.prior.clone() else {
        return Ok(elsewhere);
    };
    if elsewhere {
        return Ok(true);
    }
    let Text(now): Text<Cidr> = prior.attribute("cidr")?;
    if let Some(size) = SIZES
        .into_iter()
        .find(|size| plan.planned.get(size).is_unknown())
    {
        ctx.report(
            Diagnostic::warning(
                format!("It is not known yet whether {now} stays as it is"),
                format!(
                    "The value of {size} is known only after apply. If it turns out to need another size, the blocks are \
                     resized in place; if that can't be, the apply stops before anything happens to the allocation."
                ),
            )
            .at(size),
        );
        for name in resized(plan) {
            plan.set_unknown(name);
        }
        return Ok(false);
    }
    let Some((size, patch)) = wanted(plan, now)? else {
        return Ok(false);
    };
    let Some(patch) = patch else {
        let reason = format!(
            "{} is wanted, but the allocation has {now}, and a block can't move. This allocation is released with {}, and a \
             new one is allocated. Whatever uses the old ranges must move.",
            plan.planned.get("cidr").as_str().unwrap_or_default(),
            ranges(&prior)
        );
        plan.replace(size, reason);
        return Ok(true);
    };
    match ctx.try_client() {
        Some(connection) => dry_run(ctx, connection, plan, size, &patch).await?,
        None => compute(plan, &prior, now, &patch)?,
    }
    Ok(false)
}

/// The attributes that a change of size changes and that the configuration does not set.
fn resized(plan: &Plan) -> impl Iterator<Item = &'static str> + use<> {
    let all = ["hosts", "prefix_length", "cidr", "blocks"];
    let open = all.map(|name| (name, plan.config.get(name).is_null()));
    open.into_iter()
        .filter_map(|(name, is_open)| is_open.then_some(name))
}

/// The change of size that is asked for, and the attribute that asks for it; without a change if another network is wanted
/// than the block can become. Of several, a network comes first, since only that may be impossible.
fn wanted(plan: &Plan, now: Cidr) -> Result<Option<(&'static str, Option<AllocationPatch>)>> {
    let asked = |name: &str| !plan.config.get(name).is_null() && plan.changes(name);
    let mut patch = AllocationPatch {
        dry_run: true,
        ..AllocationPatch::default()
    };
    let mut attribute = None;
    if asked("cidr") {
        let Text(cidr): Text<Cidr> = plan.planned("cidr")?;
        if cidr != now {
            let length =
                i16::from(cidr.prefix_length()) - offset(plan.prior("prefix_length")?, now);
            let Ok(length) = u8::try_from(length) else {
                return Ok(Some(("cidr", None)));
            };
            if Cidr::containing(now.first(), cidr.prefix_length()) != Ok(cidr) {
                return Ok(Some(("cidr", None)));
            }
            patch.prefix_length = Some(length);
            attribute = Some("cidr");
        }
    }
    if asked("hosts") {
        patch.hosts = plan.planned("hosts")?;
        patch.prefix_length = None;
        attribute = Some("hosts");
    } else if asked("prefix_length") {
        patch.prefix_length = plan.planned("prefix_length")?;
        attribute = Some("prefix_length");
    }
    Ok(attribute.map(|attribute| (attribute, Some(patch))))
}

/// What the first member of the profile adds to the prefix length of the allocation, as its first block shows.
fn offset(prefix_length: u8, first: Cidr) -> i16 {
    i16::from(first.prefix_length()) - i16::from(prefix_length)
}

/// Asks the server for the result of the change, and what conflicts with it.
async fn dry_run(
    ctx: &Context<Connection>,
    connection: &Connection,
    plan: &mut Plan,
    size: &'static str,
    patch: &AllocationPatch,
) -> Result<()> {
    let id = id_of(&plan.planned)?;
    let what = format!("resize the allocation {}", title(&plan.planned));
    let call = connection.client.update_allocation(id, patch, None);
    let outcome = until_stopped(ctx, &what, call).await?;
    let found = match outcome.map_err(|error| {
        let advice = (error.code() == Some(Code::Overlap)).then(|| {
            "Blocks are resized where they are or not at all, and nothing was changed. Release what blocks it \
             first, and apply that; or leave this allocation as it is and add another one for the rest."
                .to_owned()
        });
        explained(&what, &error, advice).at(size)
    }) {
        Ok(found) => found,
        Err(obstacle) => {
            report_obstacle(ctx, obstacle);
            resized(plan).for_each(|name| plan.set_unknown(name));
            return Ok(());
        }
    };
    // The server knows those of the request that the allocation was created with.
    if let Some((block, excluded)) = misfit::first_excluded(plan, &found)? {
        let reason = format!("{block} overlaps {excluded}, which exclude_cidrs excludes.");
        let obstacle = Diagnostic::error(format!("Can't {what}"), reason).at(size);
        report_obstacle(ctx, obstacle);
    }
    let mut values = model::attributes(&found);
    keep_names(plan, &mut values);
    for name in resized(plan) {
        plan.set(name, values.get(name));
    }
    agreement::check_found(&plan.config, &found)
}

/// Pools and VRFs by their names in the state: by the time of the apply this run may have renamed them, and it must then
/// plan the same as now.
fn keep_names(plan: &Plan, values: &mut Value) {
    let before = plan.prior.as_ref().map(|prior| prior.get("blocks"));
    let Some(mut blocks) = values.get("blocks").as_map().cloned() else {
        return;
    };
    for (role, block) in &mut blocks {
        for name in ["pool", "vrf"] {
            if let Some(text) = before.and_then(|before| before.get(role).get(name).as_str()) {
                block.set(name, text);
            }
        }
    }
    values.set("blocks", blocks);
}

/// What is known without the server: the first block. Others may belong to members with a fixed size.
fn compute(plan: &mut Plan, prior: &Value, now: Cidr, patch: &AllocationPatch) -> Result<()> {
    let offset = offset(prior.attribute("prefix_length")?, now);
    let length = match (patch.prefix_length, patch.hosts) {
        (None, Some(hosts)) => {
            let profile: Option<String> = prior.attribute("profile")?;
            first_usable(prior, now).and_then(|usable| {
                resized_prefix_length(now, usable, hosts, profile.as_deref().unwrap_or_default())
            })
        }
        (length, _) => length.and_then(|length| u8::try_from(i16::from(length) + offset).ok()),
    };
    if length == Some(now.prefix_length()) {
        return Ok(());
    }
    let open: Vec<_> = resized(plan).collect();
    for name in &open {
        plan.set_unknown(name);
    }
    if let Some(length) = length
        && let Ok(cidr) = Cidr::containing(now.first(), length)
    {
        for (name, value) in [
            (
                "prefix_length",
                i64::from(i16::from(length) - offset).to_value(),
            ),
            ("cidr", cidr.to_string().into()),
        ] {
            if open.contains(&name) {
                plan.set(name, &value);
            }
        }
    }
    Ok(())
}

/// Addresses for hosts in the block `first`, as the state has them.
fn first_usable(state: &Value, first: Cidr) -> Option<u64> {
    let blocks = state.get("blocks").as_map()?;
    let block = blocks
        .values()
        .find(|block| block.get("cidr").as_str() == Some(&first.to_string()))?;
    block.attribute("usable").ok()
}

/// The size that the configuration gives; of several, the most exact one.
pub(super) fn asked(config: &Value) -> Result<Size> {
    let hosts: Option<u64> = config.attribute("hosts")?;
    let prefix_length: Option<u8> = config.attribute("prefix_length")?;
    let cidr: Option<Text<Cidr>> = config.attribute("cidr")?;
    match (cidr, hosts, prefix_length) {
        (Some(Text(cidr)), _, _) => Ok(Size::Cidr(cidr)),
        (None, Some(hosts), _) => Ok(Size::Hosts(hosts)),
        (None, None, Some(length)) => Ok(Size::PrefixLength(length)),
        (None, None, None) if is_from_pools(config) == Some(true) => Ok(Size::Default),
        _ => Err(Diagnostic::error(
            "How much space?",
            "One of hosts, prefix_length and cidr must be set; now that all of them are known, none is.",
        )
        .into()),
    }
}
