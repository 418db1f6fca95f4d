//! What can go wrong with the managed PostgreSQL: what happened, why, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to start, run or stop the managed PostgreSQL. The text is meant for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory under the data directory could not be read, written or created.
    #[error("cannot {action} {}: {source}. Choose a directory that you may write to with --data-dir", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },

    /// Another server holds the lock of the data directory.
    #[error("another ipam server{} already uses {}. Stop it, or give this one a directory of its own with --data-dir",
        pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, as far as it left its number.
        pid: Option<String>,
    },

    /// No PostgreSQL that this server can use was found.
    #[error(
        "no PostgreSQL {} or later found{}. Install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17; \
        Fedora: dnf install postgresql-server postgresql-contrib), say where it is with --pg-bin, or use a running one with DATABASE_URL. Looked in: {}",
        crate::OLDEST_MAJOR,
        found_clause(found),
        list(searched)
    )]
    NotInstalled {
        /// Where it was looked for.
        searched: Vec<PathBuf>,
        /// What was found and is too old, as "version in directory".
        found: Vec<String>,
    },

    /// The cluster was made by another major version, whose files only that version can read.
    #[error("the database in {} was made by PostgreSQL {wanted}, and only that version can read it{}. Install PostgreSQL {wanted} \
        (Debian, Ubuntu: apt-get install postgresql-{wanted}) or say where it is with --pg-bin; to move to a newer one, dump with {wanted}, \
        start on a new --data-dir and restore", path.display(), found_clause(found))]
    WrongMajor {
        /// The data directory.
        path: PathBuf,
        /// The major version that is needed.
        wanted: u32,
        /// What was found instead, as "version in directory".
        found: Vec<String>,
    },

    /// PostgreSQL refuses to run as root and there is nobody else to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody` to run it as. \
        Start the server as an ordinary user, or use a running PostgreSQL with DATABASE_URL"
    )]
    NoAccount,

    /// Run as root, the data directory lies where the account of PostgreSQL cannot go.
    #[error("PostgreSQL runs as user `{user}`, who cannot reach {}: {} is closed to others. \
        Choose another directory with --data-dir (for root /var/lib/ipam is usual), or run: chmod o+x '{}'",
        path.display(), closed.display(), closed.display())]
    Unreachable {
        /// The directory of the cluster.
        path: PathBuf,
        /// The account that PostgreSQL runs as.
        user: String,
        /// The directory above it that keeps the account out.
        closed: PathBuf,
    },

    /// The place for the socket in /tmp belongs to somebody else.
    #[error("the path of {} is too long for a socket, and its replacement {} belongs to another user. Use a shorter --data-dir, or remove that directory",
        data_dir.display(), path.display())]
    SocketDir {
        /// The data directory.
        data_dir: PathBuf,
        /// The directory in /tmp.
        path: PathBuf,
    },

    /// `initdb` failed.
    #[error("could not create the database in {}: initdb said:\n{output}", path.display())]
    Initdb {
        /// The directory of the cluster.
        path: PathBuf,
        /// All it printed.
        output: String,
    },

    /// The processes of an earlier run do not go away.
    #[error(
        "PostgreSQL process {pid} does not stop, not even when killed. Look why (it may hang in the kernel on a broken disk), then start again"
    )]
    StillRunning {
        /// Its number.
        pid: i32,
    },

    /// PostgreSQL ended by itself.
    #[error("PostgreSQL ended ({status}). The end of its log, {}:\n{log}", log_path.display())]
    Died {
        /// How it ended.
        status: String,
        /// The end of what it logged since this start.
        log: String,
        /// Where there is more of it.
        log_path: PathBuf,
    },

    /// PostgreSQL runs and does not answer as it should.
    #[error("the managed PostgreSQL does not answer: {0}")]
    Connect(#[from] sqlx::Error),

    /// An extension that the schema needs is not installed.
    #[error("the PostgreSQL in {} lacks the extension `{name}`. Install the package with its additional modules (often called postgresql-contrib)", bin_dir.display())]
    ExtensionMissing {
        /// Its name.
        name: &'static str,
        /// The binaries in use.
        bin_dir: PathBuf,
    },

    /// A defect of ours.
    #[error("internal error while starting PostgreSQL: {0}")]
    Internal(String),
}

impl Error {
    /// For `map_err`: wraps an I/O error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn found_clause(found: &[String]) -> String {
    if found.is_empty() {
        String::new()
    } else {
        format!(" (there is only {})", found.join(", "))
    }
}
