//! The name of an allocation: it is unique, changes in place, and makes a creation idempotent.

use ipam_client::Error;
use ipam_shared::name::fold;
use ipam_shared::{
    api::{
        allocation::{Allocation, AllocationPatch},
        ownership::Noun,
    },
    error::Code,
    ids::AllocationId,
};
use tfplugin::{Context, Diagnostic, Plan, Result, Update, Value};

use super::model::{WORD, ranges};
use crate::{
    command::report_obstacle,
    connection::Connection,
    framework::{
        failure::{explained, not_made, wanted_twice},
        ownership, rename,
    },
    run::{
        key::Key,
        names::{Attempt, Taking, aside, taking},
    },
};

/// Its name for people: `vpc/name`, or its id while the names are not known.
pub(crate) fn title(values: &Value) -> String {
    match (values.get("vpc").as_str(), values.get("name").as_str()) {
        (Some(vpc), Some(name)) => format!("{vpc}/{name}"),
        _ => values
            .get("id")
            .as_str()
            .unwrap_or("with an unknown name")
            .to_owned(),
    }
}

/// What distinguishes it from all others; nothing while that is not known.
pub(super) fn key(values: &Value) -> Option<Key> {
    let (vpc, name) = (values.get("vpc").as_str()?, values.get("name").as_str()?);
    let text = format!("{}/{name}", fold(vpc));
    Some(Key::new(Noun::Allocation, text))
}

/// Notes the wanted name, and refuses a second resource with it.
pub(super) async fn note(ctx: &Context<Connection>, plan: &Plan) -> Result<()> {
    let (Some(connection), Some(wanted)) = (ctx.try_client(), key(&plan.planned)) else {
        return Ok(());
    };
    let twice = match &plan.prior {
        None => {
            let twice = connection.run.creates(&wanted);
            ownership::plan_new(ctx, &wanted).await?;
            twice
        }
        Some(prior) => {
            let (id, before): (String, _) = (prior.attribute("id")?, key(prior));
            let twice = connection.run.keeps(&id, before.as_ref(), &wanted);
            ownership::plan_present(ctx, Noun::Allocation, before, prior, &plan.private).await?;
            twice
        }
    };
    if twice {
        report_obstacle(ctx, wanted_twice(WORD, &title(&plan.planned), "name"));
    }
    Ok(())
}

/// Plans a new name, which keeps the ranges. Returns whether it gets new ones instead.
pub(super) fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> Result<bool> {
    let Some(prior) = plan.prior.clone() else {
        return Ok(false);
    };
    if !plan.changes("name") || plan.planned.get("name").is_unknown() {
        return Ok(false);
    }
    let (before, after) = (title(&prior), title(&plan.planned));
    rename::plan(ctx, plan, WORD, [&before, &after], &ranges(&prior))
}

/// Changes it, even if another resource is about to give up its new name.
pub(super) async fn updating(
    ctx: &Context<Connection>,
    connection: &Connection,
    request: &Update,
    id: AllocationId,
    patch: &AllocationPatch,
) -> std::result::Result<Allocation, Error> {
    let (from, to) = (key(&request.prior), key(&request.planned));
    let to = to.filter(|to| Some(to) != from.as_ref());
    let shown_id = id.to_string();
    let why = from
        .as_ref()
        .map_or(Taking::New, |from| Taking::Rename(from, &shown_id));
    let away = AllocationPatch {
        name: aside(&shown_id).parse().ok(),
        ..AllocationPatch::default()
    };
    taking(ctx, &connection.run, &why, to.as_ref(), |attempt| {
        let patch = match attempt {
            Attempt::Planned => patch,
            Attempt::Aside => &away,
        };
        Box::pin(connection.client.update_allocation(id, patch, None))
    })
    .await
}

/// Why it was not created.
pub(super) fn refused(what: &str, error: &Error) -> Diagnostic {
    if error.code() != Some(Code::NameTaken) {
        return not_made(what, error);
    }
    let advice = "An allocation of this name was requested differently before. Change the name; or, if it is the one that \
                  you mean, import it by vpc/name. A resource that is replaced with create_before_destroy needs a name \
                  that changes with its size, because for a while both exist.";
    explained(what, error, Some(advice.to_owned()))
}
