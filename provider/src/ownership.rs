//! Who owns what is there: the claim that a creation draws, kept in private state and shown at each read.
//!
//! The first read that shows it confirms the ownership, and from then on nobody takes the thing over by its name.
//! Terraform may leave out that read (`-refresh=false`), and then plan something new of the same name as what is about to
//! go: a successor under `create_before_destroy`, or the same resource at another address. Unconfirmed, the new one would
//! take over what the old one then deletes. So such a plan confirms first what is there.

use std::collections::{HashMap, HashSet};

use ipam_shared::ids::{AllocationId, Claim};
use tfplugin::{Context, Private, Result};

use crate::{call::finish, provider::Connection, run::Key};

/// Key of the claim in private state.
pub(crate) const CLAIM: &str = "claim";

/// Something whose claim was not shown yet in this run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unconfirmed {
    id: AllocationId,
    claim: Claim,
}

/// What this run knows of claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Those whose claim was shown.
    shown: HashSet<AllocationId>,
    unconfirmed: HashMap<Key, Unconfirmed>,
}

impl Claims {
    /// Notes that a claim was shown.
    pub(crate) fn show(&mut self, id: AllocationId) {
        self.shown.insert(id);
        self.unconfirmed.retain(|_, other| other.id != id);
    }

    /// Notes what has that name, unless its claim was shown.
    pub(crate) fn hold(&mut self, key: Key, held: Unconfirmed) {
        if !self.shown.contains(&held.id) {
            self.unconfirmed.insert(key, held);
        }
    }

    fn held(&self, key: &Key) -> Option<Unconfirmed> {
        self.unconfirmed.get(key).copied()
    }
}

/// Notes while planning what is there, of the name `key`, and confirms it if something new is to have that name.
pub(crate) async fn plan_present(
    ctx: &Context<Connection>,
    key: Option<Key>,
    id: AllocationId,
    private: &Private,
) -> Result<()> {
    let (Some(connection), Some(key), Some(claim)) =
        (ctx.try_client(), key, private.get::<Claim>(CLAIM))
    else {
        return Ok(());
    };
    let run = &connection.run;
    run.claims().hold(key.clone(), Unconfirmed { id, claim });
    if run.is_new(&key) {
        confirm(ctx, connection, &key).await?;
    }
    Ok(())
}

/// Confirms while planning what is there of the name that something new is to have.
pub(crate) async fn plan_new(ctx: &Context<Connection>, key: Option<&Key>) -> Result<()> {
    match (ctx.try_client(), key) {
        (Some(connection), Some(key)) => confirm(ctx, connection, key).await,
        _ => Ok(()),
    }
}

async fn confirm(ctx: &Context<Connection>, connection: &Connection, key: &Key) -> Result<()> {
    let Some(Unconfirmed { id, claim }) = connection.run.claims().held(key) else {
        return Ok(());
    };
    let call = connection.client.get_allocation(id, Some(claim));
    finish(ctx, "confirm what has the name already", call).await?;
    connection.run.claims().show(id);
    Ok(())
}
