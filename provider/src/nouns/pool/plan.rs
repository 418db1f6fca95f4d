//! What the plan of a pool can know in advance: whether the parent changes, and what happens to the ranges.

use ipam_shared::{
    api::ownership::Noun,
    cidr::{Cidr, Family},
    ids::PoolId,
    name::Name,
};
use tfplugin::{Context, Field, Plan, Result, Text, Value};

use super::{
    Pool,
    ranges::{by_size, check_agreement, lengths},
};
use crate::{
    connection::Connection,
    framework::{call::finish, noun::Noun as _, rename},
    run::key::scoped,
};

/// Keeps a parent that is only named differently, and replaces the pool if it is another one.
pub(super) async fn parent(ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
    if plan.config.get("parent").is_null() {
        plan.set("parent_id", &Value::Null);
    }
    let Some(prior) = &plan.prior else {
        return Ok(());
    };
    if !plan.changes("parent") {
        return Ok(());
    }
    let before = prior.get("parent").clone();
    let id = prior.get("parent_id").clone();
    let wanted = plan.planned.get("parent").clone();
    let reason = "The ranges of a pool are cut from the parent that it was created with. This one is deleted, which \
        requires that nothing is in it any more, and a new one is created.";
    match (wanted.as_str(), id.as_str()) {
        (Some(wanted), Some(id)) if wanted == id => {
            // The id of a parent that the state has by name, or it was imported that way.
            plan.keep("parent");
            plan.keep("parent_id");
        }
        (Some(wanted), Some(id)) => {
            let vrf: Field<String> = plan.prior("vrf")?;
            let is_renamed = |connection: &Connection| {
                let key = |name: &str| vrf.as_known().map(|vrf| scoped(Noun::Pool, vrf, name));
                let names = (before.as_str().and_then(key), key(wanted));
                matches!(names, (Some(before), Some(after)) if connection.run.is_renamed(&before, &after))
            };
            let named = match (
                ctx.try_client(),
                wanted.parse::<Name>(),
                wanted.parse::<PoolId>(),
            ) {
                // Another id is another pool.
                (_, _, Ok(_)) => Some(wanted.to_owned()),
                (Some(connection), ..) if is_renamed(connection) => Some(id.to_owned()),
                (Some(connection), Ok(name), _) => {
                    let vrf = vrf.known();
                    let call = connection.client.find_pools(&name, vrf.as_deref());
                    let found = finish(ctx, &format!("look up the pool {name}"), call).await?;
                    found.first().map(|found| found.id.to_string())
                }
                _ => None,
            };
            match named {
                Some(named) if named == id => {
                    if before.as_str() == Some(id) {
                        plan.keep("parent");
                    }
                    plan.keep("parent_id");
                }
                // It may be about to get that name; the apply checks again.
                None => plan.keep("parent_id"),
                Some(_) => plan.replace("parent", reason),
            }
        }
        // From none to some or vice versa, or to a pool that is yet to be created.
        _ => plan.replace("parent", reason),
    }
    Ok(())
}

/// Plans the ranges by size and the sizes of ranges, whichever of the two the configuration leaves out.
pub(super) fn ranges(plan: &mut Plan) -> Result<()> {
    let (ranges, sizes) = ("ranges", "range_prefix_lengths");
    let before: Field<Vec<Text<Cidr>>> = plan.prior(ranges)?;
    let before: Vec<Cidr> = before
        .known()
        .unwrap_or_default()
        .into_iter()
        .map(|Text(cidr)| cidr)
        .collect();
    if plan.config.get(ranges).is_null() && !plan.config.get(sizes).is_null() {
        match plan.planned.get(sizes).is_wholly_known() && !plan.is_create() {
            true => {
                let wanted: Vec<u8> = plan.planned(sizes)?;
                let change = by_size(before, &wanted);
                if !change.added.is_empty() {
                    plan.set_unknown(ranges);
                } else if change.removes {
                    let kept: Vec<String> = change.kept.iter().map(ToString::to_string).collect();
                    plan.set(ranges, &kept);
                } else {
                    plan.keep(ranges);
                    plan.keep(sizes);
                }
            }
            false => plan.set_unknown(ranges),
        }
        return Ok(());
    }
    if !plan.config.get(sizes).is_null() {
        // Both are given, and may differ in their order.
        check_agreement(&plan.config)?;
        if !plan.changes(ranges) && plan.planned.get(sizes).is_wholly_known() {
            plan.keep(sizes);
        }
        return Ok(());
    }
    let parent = plan.config.get("parent");
    if parent.is_null() {
        plan.set(sizes, &Value::Null);
    } else if parent.is_unknown() || !plan.planned.get(ranges).is_wholly_known() {
        plan.set_unknown(sizes);
    } else if plan.is_create() || plan.changes(ranges) {
        let planned: Field<Vec<Text<Cidr>>> = plan.planned(ranges)?;
        let planned: Vec<Cidr> = planned
            .known()
            .unwrap_or_default()
            .into_iter()
            .map(|Text(cidr)| cidr)
            .collect();
        plan.set(sizes, &lengths(&planned));
    }
    Ok(())
}

/// What happens to ranges that were cut by size, and so belong only to the name, if that changes.
pub(super) fn name(ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
    if plan.is_create()
        || !plan.changes("name")
        || plan.config.get("range_prefix_lengths").is_null()
    {
        return Ok(());
    }
    let names: (Field<String>, Field<String>) = (plan.prior("name")?, plan.planned("name")?);
    let (Field::Known(before), Field::Known(after)) = names else {
        return Ok(());
    };
    let ranges: Vec<String> = plan.prior("ranges")?;
    if ranges.is_empty() {
        return Ok(());
    }
    let names = [before.as_str(), after.as_str()];
    rename::plan(ctx, plan, Pool::WORD, names, &ranges.join(" and ")).map(drop)
}

/// What the first range tells: the family, and with it the longest prefix.
pub(super) fn family(plan: &mut Plan) -> Result<()> {
    if plan.is_create() {
        if plan.planned.get("ranges").is_wholly_known()
            && plan.config.get("family").is_null()
            && let Field::Known(ranges) = plan.planned::<Field<Vec<Text<Cidr>>>>("ranges")?
            && let Some(Text(first)) = ranges.first()
        {
            let family = match first.family() {
                Family::Ipv4 => "ipv4",
                Family::Ipv6 => "ipv6",
            };
            plan.set("family", &family);
        }
        if plan.config.get("ranges").is_null() && plan.config.get("range_prefix_lengths").is_null()
        {
            plan.set("ranges", &Value::List(Vec::new()));
            if !plan.config.get("parent").is_null() {
                plan.set("range_prefix_lengths", &Value::List(Vec::new()));
            }
        }
    }
    if plan.config.get("max_prefix_length").is_null() {
        match plan.planned.get("family").as_str() {
            Some("ipv4") => plan.set("max_prefix_length", &Family::Ipv4.bits()),
            Some("ipv6") => plan.set("max_prefix_length", &Family::Ipv6.bits()),
            _ => {}
        }
    }
    Ok(())
}
