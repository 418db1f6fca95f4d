//! Names of new things that are already taken: reported in the plan, not in the apply.

use std::collections::HashMap;

use ipam_shared::api::ownership::Owned as _;
use tfplugin::{Context, Result, Value};

use super::{
    call::finish,
    failure::not_made,
    noun::Noun,
    state::imported,
    verdict::{Verdict, verdict},
};
use crate::{
    command::is_destroy,
    connection::Connection,
    run::{ahead::Listed as _, key::Key, taken::Holder},
};

/// How many pages of a list are read; what is not among them is looked up individually.
const PAGES: usize = 3;

/// Refuses to plan something new with a name that is taken and that nothing in this run gives up.
pub(super) async fn check<N: Noun>(
    ctx: &Context<Connection>,
    connection: &Connection,
    planned: &Value,
    key: &Key,
) -> Result<()> {
    let run = &connection.run;
    if is_destroy() || !run.is_planning() || run.is_applying() || run.is_present(key) {
        return Ok(());
    }
    let Some(holder) = holder::<N>(ctx, connection, planned, key).await? else {
        return Ok(());
    };
    // What the state has with that name is deleted, replaced, or renamed.
    let excuse = || (run.is_applying() || run.is_present(key)).then_some(Verdict::None);
    if verdict(ctx, connection, excuse).await == Verdict::Certain {
        let what = format!("create the {} {}", N::WORD, N::title(planned));
        let mut refusal = not_made(&what, &holder.refusal());
        refusal.detail.push_str("\n\nNothing was changed.");
        ctx.report(refusal.at(N::KEY));
    }
    Ok(())
}

async fn holder<N: Noun>(
    ctx: &Context<Connection>,
    connection: &Connection,
    planned: &Value,
    key: &Key,
) -> Result<Option<Holder>> {
    let list = list::<N>(ctx, connection);
    let listed = connection.taken.listed(N::Found::NOUN, list).await?;
    if let Some(listed) = listed {
        let found = listed.names.get(key).cloned();
        if found.is_some() || !listed.is_partial {
            return Ok(found);
        }
    }
    let text = planned.get(N::KEY).as_str().unwrap_or_default();
    let vrf = planned.get("vrf").as_str().filter(|_| N::SCOPED);
    let call = N::find(&connection.client, text, vrf);
    let found = finish(ctx, &format!("look up the {} {text}", N::WORD), call).await?;
    Ok(found.iter().find_map(Holder::of))
}

async fn list<N: Noun>(
    ctx: &Context<Connection>,
    connection: &Connection,
) -> Result<(HashMap<Key, Holder>, bool)> {
    let what = format!("list what has the name of a {}", N::WORD);
    let (mut names, mut cursor) = (HashMap::new(), None);
    for _ in 0..PAGES {
        let call = N::Found::page(&connection.client, None, cursor);
        let page = finish(ctx, &what, call).await?;
        for found in &page.items {
            let state = imported::<N>(found, connection)?.state;
            names.extend(N::key(&state).zip(Holder::of(found)));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((names, false));
        }
    }
    Ok((names, true))
}
