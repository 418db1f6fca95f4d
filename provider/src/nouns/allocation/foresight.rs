//! What the plan of a new allocation can know: whether the server would refuse it, and what follows from the configuration.

use ipam_shared::{
    api::allocation::{MAIN, NewAllocation},
    ids::PoolId,
    name::Name,
};
use tfplugin::{Context, Diagnostic, Field, Plan, Result, Severity, Text, Value};

use super::{
    agreement,
    excuse::{excuse, is_ahead_of_server},
    model::name_of,
    naming::{self, key, title},
    request, size,
};
use crate::{
    command::is_destroy,
    connection::Connection,
    framework::{
        call::{finish, until_stopped},
        failure::failure,
        labels,
        verdict::{Verdict, verdict},
    },
};

/// What a creation asks for.
pub(super) fn request(
    connection: &Connection,
    config: &Value,
    planned: &Value,
) -> Result<NewAllocation> {
    let wanted = NewAllocation {
        name: Some(name_of(planned, "name")?),
        labels: labels::effective(connection, planned)?,
        description: planned.attribute("description")?,
        deletion_protection: planned.attribute("deletion_protection")?,
        ..NewAllocation::new(name_of(planned, "vpc")?, size::asked(config)?)
    };
    request::asked(wanted, config)
}

/// Plans a creation.
pub(super) async fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
    promise(ctx, plan).await?;
    agreement::check(&plan.config)?;
    try_out(ctx, plan).await
}

/// Asks the server what the creation would get, and reports if that is nothing.
async fn try_out(ctx: &Context<Connection>, plan: &Plan) -> Result<()> {
    let Some(connection) = ctx.try_client() else {
        return Ok(());
    };
    // During an apply, the creation itself will tell.
    if is_destroy() || !plan.config.is_wholly_known() || connection.run.is_applying() {
        return Ok(());
    }
    let key = key(&plan.planned);
    let mut wanted = request(connection, &plan.config, &plan.planned)?;
    if key
        .as_ref()
        .is_some_and(|key| connection.run.is_present(key))
    {
        // Planned as the successor of what has the name now: ask without the name whether anything else is wrong.
        wanted.name = None;
    }
    if is_ahead_of_server(&connection.run, &wanted) {
        return Ok(());
    }
    let what = format!("create the allocation {}", title(&plan.planned));
    let error = match until_stopped(ctx, &what, connection.previews.ask(wanted.clone())).await? {
        Ok(Ok(found)) => return agreement::check_found(&plan.config, &found),
        Ok(Err(error)) => error,
        Err(error) => {
            if connection.run.is_planning() && connection.previews.complains(&error) {
                return Err(failure(&format!("plan to {what}"), &error).into());
            }
            tracing::warn!(%error, "creations are planned without asking the server");
            return Ok(());
        }
    };
    let mut refusal = naming::refused(&what, &error);
    let excuse = || excuse(&connection.run, &wanted, key.as_ref(), &error);
    match verdict(ctx, connection, excuse).await {
        Verdict::None => return Ok(()),
        Verdict::Possible => {
            refusal = Diagnostic {
                severity: Severity::Warning,
                summary: format!(
                    "Perhaps the allocation {} can't be created",
                    title(&plan.planned)
                ),
                ..refusal
            };
            refusal.detail.push_str(
                "\n\nThis is the current state. Other changes of this run may make it possible first.",
            );
        }
        Verdict::Certain => refusal.detail.push_str("\n\nNothing was changed."),
    }
    ctx.report(refusal);
    Ok(())
}

/// Plans what the configuration alone decides: the roles of the blocks, and what it says of the first one.
async fn promise(ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
    let (roles, pool) = match request::is_from_pools(&plan.config) {
        Some(true) => (Some(vec![MAIN.to_owned()]), only_pool(&plan.config)),
        Some(false) => (roles_of_profile(ctx, plan).await?, Value::Null),
        None => (None, Value::Null),
    };
    let Some(roles) = roles else {
        return Ok(());
    };
    let known = |value: &Value| match value {
        Value::Null => Value::Unknown,
        value => value.clone(),
    };
    let (cidr, pool) = (known(plan.config.get("cidr")), known(&pool));
    let blocks = roles.into_iter().enumerate().map(|(position, role)| {
        let of_first = |value: &Value| match position {
            0 => value.clone(),
            _ => Value::Unknown,
        };
        let block = Value::object([
            ("cidr", of_first(&cidr)),
            ("pool", of_first(&pool)),
            ("vrf", Value::Unknown),
            ("usable", Value::Unknown),
        ]);
        (role, block)
    });
    plan.set("blocks", &Value::Map(blocks.collect()));
    Ok(())
}

/// The roles of the blocks of the planned profile, as far as known.
async fn roles_of_profile(ctx: &Context<Connection>, plan: &Plan) -> Result<Option<Vec<String>>> {
    let profile: Field<Text<Name>> = plan.planned("profile")?;
    match (ctx.try_client(), profile) {
        (Some(connection), Field::Known(Text(name))) if !is_destroy() => {
            let what = format!("look up the profile {name}");
            finish(ctx, &what, connection.roles.of(&connection.client, &name)).await
        }
        _ => Ok(None),
    }
}

/// The name of the pool, if there is no other; null otherwise.
fn only_pool(config: &Value) -> Value {
    let pools: std::result::Result<Field<Vec<Field<String>>>, _> = config.attribute("pools");
    match pools {
        Ok(Field::Known(pools)) => match pools.as_slice() {
            // An id does not tell the name.
            [Field::Known(name)] if name.parse::<PoolId>().is_err() => name.as_str().into(),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}
