//! The command line: one subcommand per file.

pub mod allocate;
mod anybody;
pub mod audit;
pub mod calculate;
mod complete;
pub mod completion;
mod config;
pub mod connection;
pub mod context;
pub mod database;
pub mod entrance;
pub mod events;
pub mod export;
pub mod free;
#[doc(hidden)]
pub mod fuzzing;
pub mod healthcheck;
pub mod history;
pub mod import;
mod input;
pub mod list;
pub mod listing;
pub mod lookup;
pub mod man;
pub mod manners;
pub mod migrate;
mod noun;
mod nouns;
pub mod openapi;
pub mod orphans;
pub mod output;
mod proof;
pub mod reconcile;
pub mod release;
pub mod roles;
mod schema;
mod scram;
mod screen;
pub mod serve;
mod span;
mod table;
mod target;
mod value;
pub mod verify;
pub mod waiting;
pub mod whoami;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::env::CompleteEnv;

use self::output::Failure;
use crate::telemetry;

/// What is said below every list of commands.
const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the server can't be reached.
`ipam help COMMAND` says more, such as `ipam help pool create`. Servers and keys: `ipam help context`.";

/// Hands out network ranges that never overlap.
#[derive(Parser)]
#[command(
    name = "ipam",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Serve(Box<serve::Serve>),
    Migrate(migrate::Migrate),
    Verify(verify::Verify),
    Reconcile(reconcile::Reconcile),
    Healthcheck(healthcheck::Healthcheck),
    Allocate(allocate::Allocate),
    List(list::List),
    Lookup(lookup::Lookup),
    History(history::History),
    #[command(visible_alias = "delete")]
    Release(release::Release),
    Import(import::Import),
    Export(export::Export),
    Orphans(orphans::Orphans),
    Whoami(whoami::Whoami),
    Free(free::Free),
    Events(events::Events),
    Audit(audit::Audit),
    #[command(flatten)]
    Noun(nouns::Noun),
    Calculate(calculate::Calculate),
    Context(context::Context),
    Completion(completion::Completion),
    Man(man::Man),
    #[command(hide = true)]
    Openapi(openapi::Openapi),
}

/// Runs the command and says how it ended.
pub fn run() -> ExitCode {
    // Ends here if a shell asks for the words that may follow.
    CompleteEnv::with_factory(Cli::command)
        .var(completion::VARIABLE)
        .complete();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime could not be started: {error}"), 1),
    };
    let serves = matches!(cli.verb, Verb::Serve(_));
    let result = runtime.block_on(async {
        match cli.verb {
            Verb::Serve(serve) => serve.run().await.map(|()| String::new()).map_err(chain),
            Verb::Migrate(migrate) => migrate.run().await.map_err(chain),
            Verb::Verify(verify) => verify.run().await,
            Verb::Reconcile(reconcile) => reconcile.run().await,
            Verb::Healthcheck(healthcheck) => healthcheck.run().await,
            Verb::Allocate(allocate) => allocate.run().await,
            Verb::List(list) => list.run().await,
            Verb::Lookup(lookup) => lookup.run().await,
            Verb::History(history) => history.run().await,
            Verb::Release(release) => release.run().await,
            Verb::Import(import) => import.run().await,
            Verb::Export(export) => export.run().await,
            Verb::Orphans(orphans) => orphans.run().await,
            Verb::Whoami(whoami) => whoami.run().await,
            Verb::Free(free) => free.run().await,
            Verb::Events(events) => events.run().await,
            Verb::Audit(audit) => audit.run().await,
            Verb::Noun(noun) => noun.run().await,
            Verb::Calculate(calculate) => calculate.run(),
            Verb::Context(context) => context.run(),
            Verb::Completion(completion) => completion.run(),
            Verb::Man(man) => man.run(Cli::command()),
            Verb::Openapi(openapi) => openapi.run().map_err(chain),
        }
    });
    match result {
        Ok(text) => print(&text),
        // Whatever reads a server's log as JSON must be able to read its last line too.
        Err(failure) if serves && telemetry::logs_errors_as_json() => {
            tracing::error!("{failure}");
            ExitCode::from(failure.exit_code())
        }
        Err(failure) => {
            if let Failure::Found(text, _) = &failure {
                print(text);
            }
            fail(&failure.to_string(), failure.exit_code())
        }
    }
}

fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // `ipam list | head` closes our output early, on purpose.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(&format!("cannot write: {error}"), 1)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// An error with its causes, outermost first. Libraries often repeat a cause within their own message; it is printed once.
pub(crate) fn chain(error: anyhow::Error) -> Failure {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    Failure::Refused(text)
}

fn fail(message: &str, code: u8) -> ExitCode {
    // It may quote what other people have written.
    let lines: Vec<_> = message.lines().map(output::printable).collect();
    let message = lines.join("\n");
    // If stderr is closed as well, only the exit code is left.
    let _ = writeln!(io::stderr(), "ipam: {message}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_options_of_a_command_are_in_conflict() {
        Cli::command().debug_assert();
    }
}
