//! What happens to ranges when their holder is renamed.
//!
//! A new name is a change in place, which is right when somebody thinks of a better one. But `count` identifies a resource
//! by its number: when an element in the middle of a list is removed, each name after it moves to the previous resource,
//! and would take over the ranges of another name, which are in use. So the plan says which ranges go where, or refuses.

use tfplugin::{Context, Diagnostic, Plan, Result};

use crate::{
    command::{is_destroy, report_obstacle},
    connection::Connection,
    settings::Rename,
};

/// Plans the new name of something that has `ranges`, according to the setting. Returns whether the thing is replaced.
pub(crate) fn plan(
    ctx: &Context<Connection>,
    plan: &mut Plan,
    word: &str,
    [before, after]: [&str; 2],
    ranges: &str,
) -> Result<bool> {
    let Some(connection) = ctx.try_client() else {
        return Ok(false);
    };
    let count = "If a resource with count has lost an element of its list, every name after it takes over the ranges of \
        the name before it, and those of the last one are released. With for_each, and the names as its keys, each name \
        keeps its own.";
    match connection.rename {
        Rename::InPlace if !is_destroy() => {
            ctx.report(
                Diagnostic::warning(
                    format!("{ranges} will belong to {after} instead of {before}"),
                    format!(
                        "The {word} is renamed and keeps its ranges, with all that is in them. {count} With rename = \
                         \"refuse\" in the block provider \"ipam\" such a plan fails; with rename = \"replace\" a new \
                         name gets ranges of its own."
                    ),
                )
                .at("name"),
            );
            Ok(false)
        }
        Rename::InPlace => Ok(false),
        Rename::Replace => {
            plan.replace(
                "name",
                format!(
                    "The {word} {before} is to be called {after}, and the provider's setting rename says that a new name \
                     gets ranges of its own: {ranges} are released, and others are taken. {count}"
                ),
            );
            Ok(true)
        }
        Rename::Refuse => {
            report_obstacle(
                ctx,
                Diagnostic::error(
                    format!("The {word} {before} would be renamed to {after}"),
                    format!(
                        "It would keep {ranges}, and the provider's setting rename refuses that. {count} If the new name \
                         is meant, plan with rename = \"in_place\" in the block provider \"ipam\"."
                    ),
                )
                .at("name"),
            );
            Ok(false)
        }
    }
}
