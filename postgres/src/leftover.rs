//! What a killed server left in the data directory: a PostgreSQL that still runs, files of one that does not.
//!
//! Whoever calls this holds the lock of the data directory, so no living server uses what is found.

use std::path::Path;
use std::time::Instant;
use std::{fs, io, thread};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::{Error, POLL, PORT, STOP};

/// Stops a PostgreSQL that a killed server left running, and waits for its end.
pub(crate) fn stop_postgres(pgdata: &Path) -> Result<(), Error> {
    let path = pgdata.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let Some(pid) = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok())
        .map(Pid::from_raw)
    else {
        return Ok(());
    };
    for (signal, patience) in STOP {
        if !runs_cluster(pid, pgdata) {
            return remove_stale_pid_file(pid, &path);
        }
        tracing::info!(%pid, %signal, "stopping the PostgreSQL that an earlier run left behind");
        // It can only fail because the process has just ended.
        let _ = kill(pid, signal);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && runs_cluster(pid, pgdata) {
            thread::sleep(POLL);
        }
    }
    if runs_cluster(pid, pgdata) {
        return Err(Error::StillRunning { pid: pid.as_raw() });
    }
    remove_stale_pid_file(pid, &path)
}

/// PostgreSQL itself ignores the file of a process that is gone. It takes a zombie, or another process that got the
/// number since (usual in containers), for a running database; we know better.
fn remove_stale_pid_file(pid: Pid, path: &Path) -> Result<(), Error> {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return Ok(());
    }
    remove_if_exists(path)
}

/// The lock of the socket has the same weakness, and guards nothing that our own lock does not.
pub(crate) fn remove_socket(socket_dir: &Path) -> Result<(), Error> {
    let socket = socket_dir.join(format!(".s.PGSQL.{PORT}"));
    remove_if_exists(&socket.with_added_extension("lock"))?;
    remove_if_exists(&socket)
}

fn remove_if_exists(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Whether `pid` is a living `postgres` that works in `pgdata`.
#[cfg(target_os = "linux")]
fn runs_cluster(pid: Pid, pgdata: &Path) -> bool {
    // "123 (postgres) S 1 ...": the name may hold anything, also spaces and brackets.
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let Some((before, after)) = stat.rsplit_once(')') else {
        return false;
    };
    let is_postgres = before.ends_with("(postgres") || before.ends_with("(postmaster");
    let is_alive = !after.trim_start().starts_with(['Z', 'X']);
    // A root without the right to trace (the default in containers) may not read it; then the name has to do.
    let works_here = fs::read_link(format!("/proc/{pid}/cwd")).map_or(true, |cwd| cwd == pgdata);
    is_postgres && is_alive && works_here
}

/// Whether `pid` is a living `postgres` that works in `pgdata`, as far as `ps` tells.
#[cfg(not(target_os = "linux"))]
fn runs_cluster(pid: Pid, pgdata: &Path) -> bool {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "stat=,command=", "-p", &pid.to_string()])
        .output();
    let Ok(output) = output else { return true };
    let text = String::from_utf8_lossy(&output.stdout);
    !text.trim().is_empty()
        && !text.trim().starts_with('Z')
        && text.contains(&*pgdata.to_string_lossy())
}
