//! Names that something new is planned to have and somebody else has already: said in the plan, not in the apply.

use std::{collections::HashMap, sync::Arc};

use ipam_client::Error;
use ipam_shared::{
    api::ownership::Owned as _,
    error::{Code, Problem},
};
use serde_json::json;
use tfplugin::{Context, Result, Value};
use tokio::sync::Mutex;

use super::{Noun, resource};
use crate::{
    ahead::Listed as _,
    call::finish,
    command::is_destroy,
    failure::foreseen,
    preview::{Verdict, verdict},
    provider::Connection,
    run::{Key, not_made},
};

/// So many are looked up one by one before a list is read.
const ALONE: usize = 4;
/// So many pages of a list are read; what is not among them is looked up by itself.
const PAGES: usize = 3;

/// What the server has, of each type.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<HashMap<&'static str, Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Look-ups so far.
    alone: usize,
    /// The names of a list, each with who has it.
    listed: Option<Arc<HashMap<Key, Holder>>>,
    /// Whether the list has more than was read.
    is_partial: bool,
}

/// Who has a name and will not give it to whoever asks for the same.
#[derive(Clone, Debug)]
struct Holder {
    title: String,
    import_id: String,
    owner: Option<String>,
}

impl Holder {
    fn of<N: Noun>(found: &N::Found) -> Option<Self> {
        // What nobody has confirmed may be given to this configuration; the server decides, when it is asked.
        found.is_confirmed().then(|| Self {
            title: found.title(),
            import_id: found.import_id(),
            owner: found.owner().map(ToString::to_string),
        })
    }

    /// The refusal of the creation, in the server's words.
    fn refusal(self) -> Error {
        let owner = self
            .owner
            .map_or_else(String::new, |owner| format!(" (\"{owner}\")"));
        let mut problem = Problem::new(
            Code::Claimed,
            format!(
                "the {} exists, and its owner{owner} has confirmed to own it",
                self.title
            ),
        );
        problem.details = json!({ "import_id": self.import_id });
        foreseen(problem)
    }
}

/// Refuses to plan something new of a name that somebody has and nothing in this run gives up.
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
    // What the state has of that name goes, is replaced, or gets another name.
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
    let (listed, is_partial) = {
        // Held while a list is read: whoever comes meanwhile finds what he wants in it.
        let mut all = connection.taken.0.lock().await;
        let known = all.entry(N::TYPE).or_default();
        known.alone += 1;
        if known.alone > ALONE && known.listed.is_none() {
            let (names, is_partial) = list::<N>(ctx, connection).await?;
            known.listed = Some(Arc::new(names));
            known.is_partial = is_partial;
        }
        (known.listed.clone(), known.is_partial)
    };
    let found = listed.as_ref().and_then(|listed| listed.get(key)).cloned();
    if found.is_some() || listed.is_some() && !is_partial {
        return Ok(found);
    }
    let text = planned.get(N::KEY).as_str().unwrap_or_default();
    let vrf = planned.get("vrf").as_str().filter(|_| N::SCOPED);
    let call = N::find(&connection.client, text, vrf);
    let found = finish(ctx, &format!("look up the {} {text}", N::WORD), call).await?;
    Ok(found.iter().find_map(Holder::of::<N>))
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
            let state = resource::imported::<N>(found, connection)?.state;
            names.extend(N::key(&state).zip(Holder::of::<N>(found)));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok((names, false));
        }
    }
    Ok((names, true))
}
