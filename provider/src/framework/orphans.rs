//! What an interrupted apply left behind and no state knows of: a destroy does not remove it, and says so.
//!
//! An apply takes over what it finds of its own. Only when everything is destroyed does nobody come back for the rest, so
//! the first deletion looks for what was created for this owner and nobody has confirmed: the refresh before it has
//! confirmed everything that the state knows. Terraform does not call the provider if the state is empty; then `ipam
//! orphans` finds it.

use ipam_shared::api::{
    allocation::{Allocation, AllocationFilter},
    ownership::Owned as _,
};
use ipam_shared::shell::quoted;
use tfplugin::{Context, Diagnostic};
use time::format_description::well_known::Rfc3339;

use super::call::finish;
use crate::{
    command::{is_destroy, is_partial},
    connection::Connection,
};

/// How many are named.
const NAMED: usize = 10;

/// Reports once what else of this owner is left when everything is destroyed.
pub(crate) async fn before_deletion(ctx: &Context<Connection>, connection: &Connection) {
    let Some(owner) = &connection.owner else {
        return;
    };
    if !is_destroy() || is_partial() || connection.run.says_orphans() {
        return;
    }
    let filter = AllocationFilter {
        owner: Some(owner.clone()),
        confirmed: Some(false),
        ..AllocationFilter::default()
    };
    let call = connection.client.all_allocations(&filter);
    let left = match finish(ctx, "look up what no state has confirmed", call).await {
        Ok(left) => left,
        // A destroy does not fail because leftovers can't be looked up.
        Err(error) => {
            tracing::warn!(%error, "what no state has confirmed can't be looked up");
            return;
        }
    };
    if left.is_empty() {
        return;
    }
    let named = left.iter().take(NAMED);
    let lines: Vec<String> = named.map(|found| format!("  {}", line(found))).collect();
    ctx.report(Diagnostic::warning(
        format!(
            "Allocations of the owner {owner} that no state has confirmed stay: {}",
            left.len()
        ),
        format!(
            "They were created for the same owner as what is destroyed, and no refresh has found them in a state: most \
             likely an apply was interrupted. They are not destroyed:\n\n{}\n\n\"ipam orphans --owner {}\" lists all of \
             them.",
            lines.join("\n"),
            quoted(owner)
        ),
    ));
}

/// What it is, and what to do about it.
fn line(found: &Allocation) -> String {
    let id = quoted(&found.import_id());
    let made = found
        .created_at
        .replace_nanosecond(0)
        .unwrap_or(found.created_at);
    format!(
        "{} with {}, made at {}; import it with: terraform import ADDRESS {id}, or release it with: ipam release {id}",
        found.title(),
        found.cidr,
        made.format(&Rfc3339).unwrap_or_default()
    )
}
