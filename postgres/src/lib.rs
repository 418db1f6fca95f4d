//! The PostgreSQL that the server manages itself when nobody gave it one. A crate of its own, because the tests and the
//! generation of query descriptions need it before, and without, the server.
//!
//! Real PostgreSQL binaries of the machine, one cluster in the data directory, no TCP port, a private socket. The
//! database does not outlive the server: it stops when the server stops, is told to stop by the kernel when the
//! server is killed, and what was committed is there at the next start. This room must not know what is stored in the
//! database, nor anything of HTTP.
//!
//! ```text
//! DIR/lock            held while a server uses DIR
//! DIR/postgres/       the cluster (PGDATA)
//! DIR/postgres.log    what PostgreSQL says
//! DIR/run/            its socket, mode 0700 (in /tmp when DIR is too long for a socket path)
//! ```
//!
//! The rooms: `install` finds the binaries, `account` chooses the user that runs them, `cluster` prepares the data
//! directory, `leftover` clears what a killed server left there, `child` starts the process so that it cannot outlive
//! us.

mod account;
mod child;
mod cluster;
mod error;
mod install;
mod leftover;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use child::Child;
use cluster::{Cluster, State};
pub use error::Error;

/// `CREATE DATABASE ... STRATEGY` and the exclusion constraints as we use them are tested from here on.
const OLDEST_MAJOR: u32 = 15;

/// The superuser of the cluster; trust is safe because only its owner can reach the socket.
const SUPERUSER: &str = "postgres";
/// The database that the server uses.
const DATABASE: &str = "ipam";
/// Only names the socket file: there is no TCP port.
const PORT: u16 = 5432;

/// How often the start looks at the state of PostgreSQL, which has no way of telling us by itself.
const POLL: Duration = Duration::from_millis(5);
/// How long a start keeps trying while the processes of a killed predecessor go away.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(15);
/// What each stop signal is given: fast (disconnects, writes a checkpoint), quit (recovers at the next start), kill.
const STOP: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// How to run the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether a commit survives a crash of the machine. Only throw-away clusters of tests say no, whose commits still
    /// survive that processes are killed.
    pub durable: bool,
    /// Where `postgres` and `initdb` are; looked for in the usual places when absent.
    pub bin_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durable: true,
            bin_dir: None,
        }
    }
}

/// A running PostgreSQL and the data directory that it alone uses.
///
/// Dropping it tells PostgreSQL to stop without waiting for that; [`Managed::stop`] waits.
#[derive(Debug)]
pub struct Managed {
    cluster: Cluster,
    child: Child,
}

impl Managed {
    /// Starts PostgreSQL on `data_dir`, creating both the directory and the cluster when they are missing, and returns
    /// when it accepts connections and the database `ipam` exists.
    ///
    /// After a crash this takes as long as recovery does; dropping the future gives up and stops PostgreSQL.
    ///
    /// # Errors
    /// When no suitable binaries are found, the directory is in use or not usable, or PostgreSQL does not come up.
    pub async fn start(data_dir: &Path, options: Options) -> Result<Self, Error> {
        let dir = data_dir.to_path_buf();
        // Everything up to the first spawn is short and blocking: files, `initdb`, the end of a leftover process.
        let mut cluster = tokio::task::spawn_blocking(move || Cluster::open(&dir, options))
            .await
            .map_err(|panic| Error::Internal(panic.to_string()))??;
        let patience = Instant::now() + LEFTOVER_PATIENCE;
        let managed = loop {
            let child = cluster.spawn()?;
            let mut managed = Self { cluster, child };
            match managed.ready().await {
                Ok(()) => break managed,
                // Backends of a postmaster that was killed need a moment to notice it; until then the next one must
                // not touch the files, and PostgreSQL refuses to.
                Err(Error::Died { log, .. })
                    if log.contains("pre-existing shared memory block")
                        && Instant::now() < patience =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    cluster = managed.into_cluster();
                }
                Err(error) => return Err(error),
            }
        };
        managed.create_database().await?;
        tracing::info!(data_dir = %managed.cluster.data_dir().display(), version = managed.cluster.version(),
            durable = managed.cluster.durable(), "managed PostgreSQL is ready");
        Ok(managed)
    }

    /// Options to connect to the database `ipam`, independent of any `PG*` variable of the environment.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(self.cluster.socket_dir(), DATABASE)
    }

    /// The same as a URL, for sqlx and for `psql`: the host is the socket directory, percent-encoded.
    #[must_use]
    pub fn database_url(&self) -> String {
        let host = percent_encode(self.cluster.socket_dir());
        format!("postgres://{SUPERUSER}@{host}:{PORT}/{DATABASE}?sslmode=disable")
    }

    /// A command line that opens the database, to be shown to the user.
    #[must_use]
    pub fn psql_hint(&self) -> String {
        let psql = shell_quote(&self.cluster.bin_dir().join("psql"));
        let dir = shell_quote(self.cluster.socket_dir());
        format!("{psql} -h {dir} -p {PORT} -U {SUPERUSER} {DATABASE}")
    }

    /// The data directory, absolute.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.cluster.data_dir()
    }

    /// The process that owns the cluster, for tests that kill it and for monitoring.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid().as_raw().unsigned_abs()
    }

    /// Waits until PostgreSQL has exited, whatever made it, and returns why as an error with the end of its log.
    /// The server cannot go on without its database, so it stops with this error.
    pub async fn exited(&self) -> Error {
        let status = self.child.exited().await;
        self.cluster.died(status)
    }

    /// Stops PostgreSQL and waits for its end: first politely (sessions are ended, a checkpoint is written), then not.
    ///
    /// # Errors
    /// When even a kill did not end it.
    pub async fn stop(self) -> Result<(), Error> {
        for (signal, patience) in STOP {
            self.child.signal(signal);
            if tokio::time::timeout(patience, self.child.exited())
                .await
                .is_ok()
            {
                return Ok(());
            }
            tracing::warn!(pid = self.pid(), %signal, "PostgreSQL does not stop");
        }
        Err(Error::StillRunning {
            pid: self.child.pid().as_raw(),
        })
    }

    /// Waits for PostgreSQL to accept connections; that it does, it writes into `postmaster.pid`.
    async fn ready(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        let mut notice = Duration::from_secs(5);
        loop {
            if self.cluster.state(self.child.pid()) == State::Ready {
                return Ok(());
            }
            if let Ok(status) = tokio::time::timeout(POLL, self.child.exited()).await {
                return Err(self.cluster.died(status));
            }
            if begin.elapsed() > notice {
                tracing::info!(seconds = notice.as_secs(), log = %self.cluster.log_path().display(),
                    "waiting for PostgreSQL, which may be recovering from a crash");
                notice *= 2;
            }
        }
    }

    async fn create_database(&self) -> Result<(), Error> {
        let mut maintenance = connect_options(self.cluster.socket_dir(), "postgres")
            .connect()
            .await?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut maintenance)
                .await?;
        if !exists {
            // Some distributions package it apart, and its absence would only show up in the first migration.
            let has_btree_gist: bool = sqlx::query_scalar(
                "select exists (select from pg_available_extensions where name = 'btree_gist')",
            )
            .fetch_one(&mut maintenance)
            .await?;
            if !has_btree_gist {
                return Err(Error::ExtensionMissing {
                    name: "btree_gist",
                    bin_dir: self.cluster.bin_dir().to_path_buf(),
                });
            }
            sqlx::query("create database ipam")
                .execute(&mut maintenance)
                .await?;
        }
        maintenance.close().await?;
        Ok(())
    }

    /// Takes the cluster back from a process that has exited.
    fn into_cluster(self) -> Cluster {
        self.cluster
    }
}

fn connect_options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(PORT)
        .username(SUPERUSER)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// Encodes everything but RFC 3986's unreserved characters, so that the path can stand as the host of a URL.
fn percent_encode(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut encoded = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Quotes a path for a POSIX shell where it needs that.
fn shell_quote(path: &Path) -> String {
    let text = path.display().to_string();
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~@+".contains(&byte))
    {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell_when_needed() {
        assert_eq!(
            shell_quote(Path::new("/var/lib/ipam/run")),
            "/var/lib/ipam/run"
        );
        assert_eq!(shell_quote(Path::new("/it's a dir")), r"'/it'\''s a dir'");
    }

    #[test]
    fn socket_directories_become_url_hosts() {
        assert_eq!(
            percent_encode(Path::new("/var/my data/é~-_.x")),
            "%2Fvar%2Fmy%20data%2F%C3%A9~-_.x"
        );
    }
}
