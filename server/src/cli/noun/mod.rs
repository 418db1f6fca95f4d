//! What the nouns of the API have in common on the command line: the verbs, how they are called, and what they print. Names
//! no noun; those are in `nouns`.

pub(super) mod args;
mod verbs;

use std::ffi::OsStr;

use clap::{Args, Subcommand};
use clap_complete::engine::CompletionCandidate;
use ipam_client::{Client, Created, Error};
use ipam_shared::{api::ownership::Owned, name::Name};
use serde::Serialize;

pub(super) use verbs::{Verbs, told};

use super::{complete, listing::Column, output::Failure, value::Value};

/// A thing that the API has many of. All methods are calls of the client; the verbs do the rest.
pub(super) trait Noun: Owned + Serialize + Clone + Sized + Send + 'static {
    /// What many of them are called in a sentence.
    const PLURAL: &'static str;
    /// What they are, for the help: one line.
    const ABOUT: &'static str;
    /// How one of them is named on the command line.
    const WHICH: &'static str;
    /// What is shown of one, before what is shown of all nouns.
    const COLUMNS: &'static [Column<Self>];

    /// What a creation is told.
    type New: Args;
    /// What a list is told.
    type Filter: Args + Default;
    /// What a change is told.
    type Change: Args;
    /// What a deletion is told; `NoOptions` if nothing.
    type End: Args;
    /// Verbs that only this noun has; `Infallible` if there are none.
    type More: Subcommand;

    /// Creates one, or finds what the same request created before.
    async fn create(client: &Client, new: Self::New) -> Result<Created<Self>, Failure>;

    /// The first ones that match the filter, at most `most`, and whether there are more.
    async fn list(
        client: &Client,
        filter: Self::Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure>;

    /// The one that is named like that.
    async fn find(client: &Client, which: &str) -> Result<Self, Failure>;

    /// Changes one. With a revision only if nobody has changed it since.
    async fn update(
        client: &Client,
        found: &Self,
        change: Self::Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure>;

    /// Deletes one. With a revision only if nobody has changed it since. Returns what else there is to say.
    async fn delete(
        client: &Client,
        found: &Self,
        end: Self::End,
        revision: Option<i64>,
    ) -> Result<String, Failure>;

    /// What a verb prints that only this noun has.
    async fn more(verb: Self::More) -> Result<String, Failure>;

    /// Whether a creation writes nothing, and only shows what it would do.
    fn is_dry_run(_: &Self::New) -> bool {
        false
    }

    /// Whether a change writes nothing, and only shows what it would do.
    fn is_dry_change(_: &Self::Change) -> bool {
        false
    }

    /// Whether a creation makes a secret that is shown only once.
    fn makes_secret(_: &Self::New) -> bool {
        false
    }

    /// How it is named on the command line, and nothing else is.
    fn reference(&self) -> String {
        self.import_id()
    }

    /// What is shown of a new one and never again, behind its title.
    fn shown_once(&self) -> Option<String> {
        None
    }

    /// The word for what became of one that was deleted.
    const DELETED: &'static str = "Deleted";
}

/// What is shown of one: its own columns, and those that all nouns have.
pub(super) fn columns<N: Noun>() -> Vec<Column<N>> {
    let mut columns = N::COLUMNS.to_vec();
    columns.extend([
        Column::wide("owner", |it: &N| {
            Value::of(it.owner().map(|owner| owner.as_str()))
        }),
        Column::wide("confirmed", |it| it.is_confirmed().into()),
        Column::wide("created_at", |it| it.created_at().into()),
        Column::wide("revision", |it| Value::count(it.revision())),
        Column::wide("id", |it| it.uuid().to_string().into()),
    ]);
    columns
}

/// No options.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct NoOptions {}

/// Completes what names one of them on the command line, with what the server has.
pub(super) fn which<N: Noun>(begun: &OsStr) -> Vec<CompletionCandidate> {
    complete::from_server(begun, async |client| {
        let (found, _) = N::list(&client, N::Filter::default(), complete::MOST).await?;
        Ok(found
            .iter()
            .map(|thing| (thing.reference(), thing.title()))
            .collect())
    })
}

/// The same for an option that takes the bare name, such as that of a pool without its VRF.
pub(super) fn names<N: Noun>(begun: &OsStr) -> Vec<CompletionCandidate> {
    complete::from_server(begun, async |client| {
        let (found, _) = N::list(&client, N::Filter::default(), complete::MOST).await?;
        Ok(found
            .iter()
            .map(|thing| {
                let id = thing.reference();
                let name = id.rsplit('/').next().unwrap_or_default().to_owned();
                (name, thing.title())
            })
            .collect())
    })
}

/// The result of a call of the client.
pub(super) fn done<T>(result: Result<T, Error>) -> Result<T, Failure> {
    result.map_err(Failure::from)
}

/// Whether a name can stand in the path of a URL, in which these two mean directories.
pub(super) fn fits_path(which: &str) -> bool {
    !matches!(which, "." | "..")
}

/// What a search by name found.
pub(super) fn found<T>(found: Option<T>, noun: &str, which: &str) -> Result<T, Failure> {
    found.ok_or_else(|| {
        Failure::Refused(format!(
            "there is no {noun} {which}; `ipam {} list` shows what there is",
            noun.to_lowercase()
        ))
    })
}

/// A name, where only a name can stand.
pub(super) fn name(text: &str) -> Result<Name, Failure> {
    text.parse()
        .map_err(|error| Failure::Usage(format!("{text:?}: {error}")))
}

/// Refuses a change that changes nothing.
pub(super) fn some_change<T: Default + PartialEq>(patch: T) -> Result<T, Failure> {
    if patch == T::default() {
        return Err(Failure::Usage(
            "nothing to change: give at least one option that says what; --help lists them"
                .to_owned(),
        ));
    }
    Ok(patch)
}
