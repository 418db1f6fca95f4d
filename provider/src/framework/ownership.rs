//! Ownership: the claim that a creation gets, kept in private state and shown at each read.
//!
//! The first read that shows it confirms the ownership, and from then on nobody can take the thing over by its name.
//! Terraform may skip that read (`-refresh=false`), and then plan something new with the name of something that is about to
//! be deleted: a successor under `create_before_destroy`, or the same resource at another address. Unconfirmed, the new one
//! would take over what the old one then deletes. So such a plan first confirms what exists.

use ipam_client::Created;
use ipam_shared::{
    api::ownership::{Confirmation, ConfirmationStatus, Noun, Owned},
    ids::Claim,
};
use tfplugin::{Context, Diagnostic, Private, Result, Value};

use super::call::finish;
use crate::{connection::Connection, run::key::Key};

/// Key of the claim in private state.
const CLAIM: &str = "claim";

/// The claim that a state holds; none after an import.
pub(crate) fn claim(private: &Private) -> Option<Claim> {
    private.get(CLAIM)
}

/// What the state keeps of a creation. Warns if the thing existed before.
pub(crate) fn keep<T: Owned>(
    ctx: &Context<Connection>,
    title: &str,
    created: &Created<T>,
) -> Private {
    if created.adopted {
        let word = T::NOUN.word();
        let why = match T::NOUN {
            Noun::Vpc => {
                "It was created when an allocation first named it, or it was requested before"
            }
            _ => {
                "It was requested before with the same name and in the same way, for the same owner"
            }
        };
        ctx.report(Diagnostic::warning(
            format!("The {word} {title} was there already"),
            format!(
                "{why}, and nobody has confirmed it since: most likely an apply was interrupted. This \
                 resource takes it over. If another configuration has a resource of the same name, give one of them \
                 another name, because the other one's next plan will fail; the provider's setting owner tells \
                 configurations apart before that."
            ),
        ));
    }
    let mut private = Private::default();
    if let Some(claim) = created.made.claim() {
        private.set(CLAIM, claim);
    }
    private
}

/// While planning, notes what exists with the name `key`, and confirms it if something new is to have that name.
pub(crate) async fn plan_present(
    ctx: &Context<Connection>,
    kind: Noun,
    key: Option<Key>,
    state: &Value,
    private: &Private,
) -> Result<()> {
    if let (Some(connection), Some(key)) = (ctx.try_client(), &key) {
        connection.run.has(key.clone());
    }
    let id = state.get("id").as_str().and_then(|id| id.parse().ok());
    let (Some(connection), Some(key), Some(id), Some(claim)) =
        (ctx.try_client(), key, id, claim(private))
    else {
        return Ok(());
    };
    let run = &connection.run;
    run.claims()
        .hold(key.clone(), Confirmation { kind, id, claim });
    if run.is_new(&key) {
        confirm(ctx, connection, &key).await?;
    }
    Ok(())
}

/// While planning, confirms what exists with the name that something new is to have.
pub(crate) async fn plan_new(ctx: &Context<Connection>, key: &Key) -> Result<()> {
    match ctx.try_client() {
        Some(connection) => confirm(ctx, connection, key).await,
        None => Ok(()),
    }
}

async fn confirm(ctx: &Context<Connection>, connection: &Connection, key: &Key) -> Result<()> {
    let Some(held) = connection.run.claims().held(key) else {
        return Ok(());
    };
    let word = held.kind.word();
    let call = connection.client.confirm(std::slice::from_ref(&held));
    let results = finish(ctx, &format!("confirm the {word} that is there"), call).await?;
    connection.run.claims().show(held.id);
    let taken = results
        .into_iter()
        .find(|result| result.status == ConfirmationStatus::Claimed);
    match taken {
        None => Ok(()),
        Some(result) => Err(Diagnostic::error(
            format!("The {word} that is to be replaced belongs to somebody else by now"),
            format!(
                "{} Nothing was planned. Run a plan with a refresh, which says more.",
                result.detail.unwrap_or_default()
            ),
        )
        .into()),
    }
}
