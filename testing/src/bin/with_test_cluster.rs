//! Runs a command with a throw-away PostgreSQL beside it, whose URL is in `TEST_DATABASE_URL`, and ends with its
//! status: `with-test-cluster cargo test`. The cluster goes away however the command or this program ends.
//! With `--schema` first, `DATABASE_URL` is a database of it with the current schema, as the query macros need.
#![expect(clippy::print_stderr, reason = "this is a command line program")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitCode;

use anyhow::Context as _;
use ipam_testing::{DATABASE_URL, ThrowAwayCluster};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let wants_schema = arguments
        .next_if(|argument| argument == "--schema")
        .is_some();
    let program = arguments
        .next()
        .context("usage: with-test-cluster [--schema] COMMAND [ARGUMENT...]")?;
    // Before anything is started: from here on no signal ends us before we have stopped what we started.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;

    let cluster = ThrowAwayCluster::start().await?;
    let mut environment = vec![(DATABASE_URL, cluster.url())];
    if wants_schema {
        cluster.migrate().await?;
        environment.push(("DATABASE_URL", cluster.url()));
    }
    // In a group of its own, so that each signal reaches it once: from us, whether it came from a terminal or a script.
    let mut command = Command::new(&program)
        .args(arguments)
        .envs(environment)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let group = Pid::from_raw(
        command
            .id()
            .context("it has just been started")?
            .try_into()?,
    );
    let mut cluster_runs = true;
    let status = loop {
        let signal = tokio::select! {
            status = command.wait() => break status?,
            error = cluster.exited(), if cluster_runs => {
                eprintln!("{error}");
                cluster_runs = false;
                Signal::SIGTERM
            }
            _ = interrupt.recv() => Signal::SIGINT,
            _ = terminate.recv() => Signal::SIGTERM,
            _ = hang_up.recv() => Signal::SIGHUP,
        };
        // It can only fail because the command has just ended.
        let _ = killpg(group, signal);
    };
    cluster.stop().await?;
    // As a shell tells it: 128 and the number of the signal.
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
