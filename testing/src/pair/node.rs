//! One PostgreSQL of a pair: its files, its process, and its end.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;

use crate::link::Link;

/// How long anything here may take before a test gives up: far more than it needs on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// Runs PostgreSQL and sees our end, also by kill -9, as the end of its input. Then PostgreSQL stops at once.
const WARDEN: &str = r#"
trap '' HUP INT TERM
"$@" </dev/null & postgres=$!
cat >/dev/null
kill -QUIT $postgres 2>/dev/null
wait $postgres
"#;

/// Settings of both; the command line wins over every file.
const SETTINGS: [&str; 9] = [
    "listen_addresses=",
    "port=5432",
    "unix_socket_permissions=0700",
    "logging_collector=off",
    "synchronous_commit=on",
    // The base backup of a new standby has another name, and is not waited for.
    "synchronous_standby_names=standby",
    // A standby that lost its primary looks again so often, also before it is promoted; 5 s otherwise.
    "wal_retrieve_retry_interval=200ms",
    "max_connections=100",
    "jit=off",
];

/// One of the two.
#[derive(Debug)]
pub(super) struct Node {
    dir: TempDir,
    bin_dir: PathBuf,
    /// Whom its files belong to, if that is not us.
    account: Option<(u32, u32)>,
    warden: Option<Child>,
}

impl Node {
    /// One that has no files yet.
    pub(super) fn new(dir: TempDir, bin_dir: &Path) -> Self {
        Self {
            dir,
            bin_dir: bin_dir.to_path_buf(),
            account: None,
            warden: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("postgres")
    }

    fn socket_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// The socket that it listens on.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir().join(".s.PGSQL.5432")
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("postgres.log")).unwrap_or_default()
    }

    /// How to reach it.
    pub(super) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket_dir())
            .username("postgres")
            .database("ipam")
            .ssl_mode(PgSslMode::Disable)
    }

    /// Fills its data directory with what `primary` has.
    pub(super) async fn copy_from(&mut self, primary: &Self) {
        self.account = primary.owner();
        remove(&self.data());
        self.make_dir(&self.data());
        let mut command = self.command("pg_basebackup");
        command
            .args(["--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .args(["--username=postgres", "--no-password", "--pgdata"])
            .arg(self.data())
            .arg("--host")
            .arg(primary.socket_dir());
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("it does not panic")
            .expect("pg_basebackup can be started");
        assert!(
            output.status.success(),
            "no base backup: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs it, as the standby of what is behind a link, or as a primary, and waits until it takes connections.
    pub(super) async fn run(&mut self, primary: Option<&Link>) {
        if self.account.is_none() {
            self.account = self.owner();
        }
        let signal = self.data().join("standby.signal");
        let mut settings = SETTINGS.map(str::to_owned).to_vec();
        let sockets = self.socket_dir();
        settings.push(format!("unix_socket_directories={}", sockets.display()));
        if let Some(link) = primary {
            File::create(&signal).expect("a file can be made there");
            let address = link.address();
            settings.push(format!(
                "primary_conninfo=host={} port={} user=postgres application_name=standby sslmode=disable",
                address.ip(),
                address.port()
            ));
        }
        remove(&sockets);
        self.make_dir(&sockets);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("postgres.log"))
            .expect("the log can be written");
        let mut command = self.command("/bin/sh");
        command
            .args(["-c", WARDEN, "warden"])
            .arg(self.bin_dir.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        self.warden = Some(command.spawn().expect("a shell can be started"));
        let begin = Instant::now();
        while self.options().connect().await.is_err() {
            assert!(
                begin.elapsed() < PATIENCE,
                "PostgreSQL does not take connections:\n{}",
                self.log()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it as a machine that fails would.
    pub(super) fn kill_9(&mut self) {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let pid = text
            .lines()
            .next()
            .and_then(|line| line.parse().ok())
            .map(Pid::from_raw)
            .expect("the first line is the number of the process");
        // Its sessions end soon after it, and nothing can be started in their place before.
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let sessions = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok());
        kill(pid, Signal::SIGKILL).expect("it runs");
        let begin = Instant::now();
        for pid in std::iter::once(pid).chain(sessions.map(Pid::from_raw)) {
            while kill(pid, None) != Err(Errno::ESRCH) {
                assert!(begin.elapsed() < PATIENCE, "it does not die");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.end_warden();
    }

    fn end_warden(&mut self) {
        if let Some(mut warden) = self.warden.take() {
            // Closes its input, which is what it waits for.
            warden.wait().expect("it is our child");
        }
    }

    /// A command of the account, with an environment of its own. `program` is one of PostgreSQL's, or a whole path.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(program));
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .current_dir("/");
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    /// Whom the data directory belongs to, if that is not us.
    fn owner(&self) -> Option<(u32, u32)> {
        let metadata = fs::metadata(self.data()).expect("it is there");
        (metadata.uid() != geteuid().as_raw()).then(|| (metadata.uid(), metadata.gid()))
    }

    /// Makes an empty directory of the account's.
    fn make_dir(&self, path: &Path) {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .expect("a directory can be made there");
        if let Some((user, group)) = self.account {
            std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may do that");
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end_warden();
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            panic!("{}: {error}", path.display())
        }
        _ => {}
    }
}

/// Connects to one that has to be there.
pub(super) async fn connect(options: &PgConnectOptions) -> PgConnection {
    options
        .connect()
        .await
        .unwrap_or_else(|error| panic!("no connection: {error}"))
}
