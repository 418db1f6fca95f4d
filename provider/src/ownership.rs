//! Who owns what is there: the claim that a creation draws, kept in private state and shown at each read.
//!
//! The first read that shows it confirms the ownership, and from then on nobody takes the thing over by its name.
//! Terraform may leave out that read (`-refresh=false`), and then plan something new of the same name as what is about to
//! go: a successor under `create_before_destroy`, or the same resource at another address. Unconfirmed, the new one would
//! take over what the old one then deletes. So such a plan confirms first what is there.

use std::collections::{HashMap, HashSet};

use ipam_client::Created;
use ipam_shared::{
    api::ownership::{Confirmation, ConfirmationStatus, Noun, Owned},
    ids::Claim,
};
use tfplugin::{Context, Diagnostic, FromValue, Path, Private, Result, ToValue, Value};
use uuid::Uuid;

use crate::{call::finish, provider::Connection, run::Key};

/// Key of the claim in private state.
const CLAIM: &str = "claim";

/// What the provider's setting says about things that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Adopt {
    /// What the same owner made and nobody has confirmed is taken over.
    #[default]
    Unconfirmed,
    /// Nothing is.
    Never,
}

impl Adopt {
    const ALL: [(Self, &'static str); 2] =
        [(Self::Unconfirmed, "unconfirmed"), (Self::Never, "never")];
}

impl FromValue for Adopt {
    fn from_value(value: &Value, path: &Path) -> std::result::Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(adopt, _)| adopt).ok_or_else(|| {
            let all = Self::ALL.map(|(_, name)| name).join(", ");
            let detail = format!("{text:?} is not one of these: {all}.");
            Diagnostic::error("Unknown way to adopt", detail).at(path)
        })
    }
}

impl ToValue for Adopt {
    fn to_value(&self) -> Value {
        let found = Self::ALL.into_iter().find(|(adopt, _)| adopt == self);
        found.map_or(Value::Null, |(_, name)| name.into())
    }
}

/// The claim that a state holds; none after an import.
pub(crate) fn claim(private: &Private) -> Option<Claim> {
    private.get(CLAIM)
}

/// What a state notes of a creation. Says if the thing was there before.
pub(crate) fn keep<T: Owned>(
    ctx: &Context<Connection>,
    title: &str,
    created: &Created<T>,
) -> Private {
    if created.adopted {
        let word = T::NOUN.word();
        let why = match T::NOUN {
            Noun::Vpc => "An allocation made it when it first named it, or it was asked for before",
            _ => {
                "It was asked for before with the same name and in the same way, for the same owner"
            }
        };
        ctx.report(Diagnostic::warning(
            format!("The {word} {title} was there already"),
            format!(
                "{why}, and nobody has confirmed since that it is theirs: most likely an apply was interrupted. This \
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

/// What this run knows of claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Those whose claim was shown.
    shown: HashSet<Uuid>,
    unconfirmed: HashMap<Key, Confirmation>,
}

impl Claims {
    /// Notes that a claim was shown.
    pub(crate) fn show(&mut self, id: Uuid) {
        self.shown.insert(id);
    }

    fn hold(&mut self, key: Key, held: Confirmation) {
        if !self.shown.contains(&held.id) {
            self.unconfirmed.insert(key, held);
        }
    }

    fn held(&self, key: &Key) -> Option<Confirmation> {
        let held = self.unconfirmed.get(key)?;
        (!self.shown.contains(&held.id)).then_some(*held)
    }
}

/// Notes while planning what is there, of the name `key`, and confirms it if something new is to have that name.
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

/// Confirms while planning what is there of the name that something new is to have.
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
