//! The verbs that every noun has.

use std::num::NonZeroUsize;

use clap_complete::engine::ArgValueCompleter;

use super::{Noun, columns, which};
use crate::cli::{
    connection::Connection,
    listing::{ListOutput, Output, Things, facts},
    output::{Failure, printable},
};

/// A noun, and what to do with it.
#[derive(clap::Args)]
#[command(about = N::ABOUT, long_about = None, arg_required_else_help = true)]
pub(in crate::cli) struct Verbs<N: Noun> {
    #[command(subcommand)]
    verb: Verb<N>,
}

#[derive(clap::Subcommand)]
enum Verb<N: Noun> {
    #[command(about = format!("Create {}", one::<N>()), visible_alias = "add")]
    Create(Create<N>),
    #[command(about = format!("List {}", N::PLURAL), visible_alias = "ls")]
    List(List<N>),
    #[command(about = format!("Show {}", one::<N>()), visible_alias = "get")]
    Show(Show<N>),
    #[command(about = format!("Change {}: what is not given stays as it is", one::<N>()))]
    Update(Update<N>),
    #[command(about = format!("Delete {}", one::<N>()), visible_alias = "rm")]
    Delete(Delete<N>),
    #[command(flatten)]
    More(N::More),
}

/// One of them, in a sentence.
fn one<N: Noun>() -> String {
    let word = N::NOUN.word();
    let article = if word.starts_with('a') { "an" } else { "a" };
    format!("{article} {word}")
}

#[derive(clap::Args)]
struct Create<N: Noun> {
    #[command(flatten)]
    new: N::New,
    /// For whom it is created, such as a workspace of a pipeline: only the same owner gets the same thing when asking again
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
struct List<N: Noun> {
    #[command(flatten)]
    filter: N::Filter,
    /// Show at most this many: the first in the order of --sort, else in that in which they are listed
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
struct Show<N: Noun> {
    #[arg(help = N::WHICH, add = ArgValueCompleter::new(which::<N>))]
    which: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
    #[arg(skip)]
    noun: std::marker::PhantomData<N>,
}

#[derive(clap::Args)]
struct Update<N: Noun> {
    #[arg(help = N::WHICH, add = ArgValueCompleter::new(which::<N>))]
    which: String,
    #[command(flatten)]
    change: N::Change,
    /// Only if it still has this revision, as `show` tells it
    #[arg(long, value_name = "N")]
    revision: Option<i64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(clap::Args)]
struct Delete<N: Noun> {
    #[arg(help = N::WHICH, add = ArgValueCompleter::new(which::<N>))]
    which: String,
    #[command(flatten)]
    end: N::End,
    /// Only if it still has this revision, as `show` tells it
    #[arg(long, value_name = "N")]
    revision: Option<i64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl<N: Noun> Verbs<N> {
    /// What to print.
    ///
    /// # Errors
    /// When the server refuses, or can't be asked.
    pub(in crate::cli) async fn run(self) -> Result<String, Failure> {
        match self.verb {
            Verb::Create(it) => it.run().await,
            Verb::List(it) => it.run().await,
            Verb::Show(it) => it.run().await,
            Verb::Update(it) => it.run().await,
            Verb::Delete(it) => it.run().await,
            Verb::More(it) => N::more(it).await,
        }
    }
}

impl<N: Noun> Create<N> {
    async fn run(self) -> Result<String, Failure> {
        if N::makes_secret(&self.new) {
            self.output.check_shows_secret()?;
        }
        let client = self.connection.client_of(self.owner).await?;
        let is_dry = N::is_dry_run(&self.new);
        let created = N::create(&client, self.new).await?;
        let did = match (is_dry, created.new) {
            (true, _) => "Would create",
            (false, true) => "Created",
            (false, false) => "There already:",
        };
        let once = created.made.shown_once().unwrap_or_default();
        told(&self.output, &created.made, did, &once)
    }
}

impl<N: Noun> List<N> {
    async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let (read, most) = self.output.amounts(self.limit);
        let (found, more) = N::list(&client, self.filter, read).await?;
        let things = Things {
            columns: &columns(),
            name: N::reference,
            nothing: N::PLURAL,
        };
        self.output.many(found, &things, most, more)
    }
}

impl<N: Noun> Show<N> {
    async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let found = N::find(&client, &self.which).await?;
        self.output.one(&found, &columns::<N>(), N::reference, || {
            facts(&found, &columns::<N>())
        })
    }
}

impl<N: Noun> Update<N> {
    async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let is_dry = N::is_dry_change(&self.change);
        let found = N::find(&client, &self.which).await?;
        let after = N::update(&client, &found, self.change, self.revision).await?;
        let did = if is_dry { "Would change to" } else { "Changed" };
        told(&self.output, &after, did, "")
    }
}

impl<N: Noun> Delete<N> {
    async fn run(self) -> Result<String, Failure> {
        let client = self.connection.client().await?;
        let found = N::find(&client, &self.which).await?;
        let more = N::delete(&client, &found, self.end, self.revision).await?;
        let text = || {
            let title = printable(&found.title());
            format!("{} {title}{more}\n", N::DELETED)
        };
        self.output.one(&found, &columns::<N>(), N::reference, text)
    }
}

/// What was done to a thing, and what it is now.
pub(in crate::cli) fn told<N: Noun>(
    output: &Output,
    thing: &N,
    did: &str,
    more: &str,
) -> Result<String, Failure> {
    output.one(thing, &columns::<N>(), N::reference, || {
        let facts = facts(thing, &columns::<N>());
        let facts: String = facts.lines().map(|line| format!("  {line}\n")).collect();
        format!("{did} {}{more}\n{facts}", printable(&thing.title()))
    })
}
