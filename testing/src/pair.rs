//! Two PostgreSQL: a primary, and a standby that each commit waits for. The primary can be killed, the standby take over,
//! and the one that was killed be built anew as the standby of the other, as often as a test likes.
//!
//! Nothing is promoted that might lack what was acknowledged, as a cluster manager would see to: only a standby that was
//! in step, and a primary without one waits.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipam_postgres::{Managed, Options};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;

use crate::cluster::cluster_dir;
use crate::link::Link;

/// How long anything here may take before a test gives up: far more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked.
const POLL: Duration = Duration::from_millis(10);

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

/// A primary and its synchronous standby, with the database `ipam`, without a schema.
#[derive(Debug)]
pub struct Pair {
    nodes: [Node; 2],
    primary: usize,
    /// Leads to the primary.
    address: Link,
    /// Each leads to one of the two for ever.
    fixed: [Link; 2],
    replication: Link,
}

impl Pair {
    /// Starts both, in a few seconds. A commit waits for the standby from the beginning.
    pub async fn start() -> Self {
        let dir = cluster_dir();
        let options = Options {
            durable: false,
            ..Options::default()
        };
        let managed = Managed::start(dir.path(), options)
            .await
            .unwrap_or_else(|error| panic!("PostgreSQL does not start: {error}"));
        let mut connection = connect(&managed.connect_options()).await;
        let bin_dir: String =
            sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
                .fetch_one(&mut connection)
                .await
                .expect("pg_config can be read");
        drop(connection);
        managed.stop().await.expect("PostgreSQL stops");

        let mut first = Node::new(dir, bin_dir.as_ref());
        let mut second = Node::new(cluster_dir(), bin_dir.as_ref());
        first.run(None).await;
        let address = Link::start(&first.socket()).await;
        let fixed = [
            Link::start(&first.socket()).await,
            Link::start(&second.socket()).await,
        ];
        let replication = Link::start(&first.socket()).await;
        second.copy_from(&first).await;
        second.run(Some(&replication)).await;
        let pair = Self {
            nodes: [first, second],
            primary: 0,
            address,
            fixed,
            replication,
        };
        pair.wait_until_in_step().await;
        pair
    }

    /// The URL of the database at the address that moves along with the primary.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.address.address();
        format!("postgres://postgres@{address}/ipam?sslmode=disable")
    }

    /// A URL with the addresses of both, which stay where they are.
    #[must_use]
    pub fn url_of_both(&self) -> String {
        let [first, second] = self.fixed.each_ref().map(Link::address);
        format!(
            "postgres://postgres@{first},{second}/ipam?sslmode=disable&target_session_attrs=read-write"
        )
    }

    /// Leads the address that moves to the standby, as one that moved too early does, and ends what goes through it.
    pub fn lead_to_standby(&self) {
        self.address
            .point_to(&self.nodes[1 - self.primary].socket());
    }

    /// Leads it to the primary again. What goes through it to the standby goes on.
    pub fn lead_to_primary(&self) {
        self.address.lead_to(&self.nodes[self.primary].socket());
    }

    /// How to reach the primary of the moment, past the address.
    #[must_use]
    pub fn primary(&self) -> PgConnectOptions {
        self.nodes[self.primary].options()
    }

    /// What the standby is told by the primary goes through here: held, commits wait.
    #[must_use]
    pub fn replication(&self) -> &Link {
        &self.replication
    }

    /// Something that cancels waits for the standby, on the primary of the moment.
    pub async fn canceller(&self) -> Canceller {
        Canceller {
            connection: connect(&self.primary()).await,
            seen: HashSet::new(),
        }
    }

    /// Kills the primary, loses what the standby has not got by then, and has the standby take over, which has no standby
    /// itself: its commits wait until [`Self::rebuild`].
    pub async fn fail_over(&mut self) {
        let standby = 1 - self.primary;
        self.nodes[self.primary].kill_9();
        // Cuts what is under way. Nobody listens there any more.
        self.replication
            .point_to(&self.nodes[self.primary].socket());
        let mut connection = connect(&self.nodes[standby].options()).await;
        let promoted: bool = sqlx::query_scalar("select pg_promote(true, 60)")
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("the standby is not promoted: {error}"));
        assert!(promoted, "the standby is not promoted");
        self.primary = standby;
        self.address.point_to(&self.nodes[standby].socket());
    }

    /// Kills the primary and starts it again, which takes no longer than its recovery.
    pub async fn restart(&mut self) {
        let primary = &mut self.nodes[self.primary];
        primary.kill_9();
        let socket = primary.socket();
        // Cuts what is under way, as the end of the machine would.
        self.address.point_to(&socket);
        self.replication.point_to(&socket);
        primary.run(None).await;
        self.wait_until_in_step().await;
    }

    /// Makes the one that was killed the standby of the other, and waits until commits wait for it.
    pub async fn rebuild(&mut self) {
        let (first, second) = self.nodes.split_at_mut(1);
        let (primary, standby) = match self.primary {
            0 => (&first[0], &mut second[0]),
            _ => (&second[0], &mut first[0]),
        };
        standby.copy_from(primary).await;
        self.replication.point_to(&primary.socket());
        standby.run(Some(&self.replication)).await;
        self.wait_until_in_step().await;
    }

    async fn wait_until_in_step(&self) {
        let mut connection = connect(&self.primary()).await;
        let begin = Instant::now();
        loop {
            let in_step: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'sync'",
            )
            .fetch_one(&mut connection)
            .await
            .expect("pg_stat_replication can be read");
            if in_step == 1 {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "the standby does not follow:\n{}",
                self.nodes[1 - self.primary].log()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Cancels commits that wait for the standby, each once: PostgreSQL then warns and says that they are done.
#[derive(Debug)]
pub struct Canceller {
    connection: PgConnection,
    /// Sessions, with when their statement began.
    seen: HashSet<(i32, String)>,
}

impl Canceller {
    /// How many commits wait at the moment.
    pub async fn waiting(&mut self) -> usize {
        self.waits().await.len()
    }

    /// Cancels those that wait at the moment and were not cancelled before; how many.
    pub async fn cancel(&mut self) -> usize {
        let mut cancelled = 0;
        for wait in self.waits().await {
            let pid = wait.0;
            if self.seen.insert(wait) {
                sqlx::query("select pg_cancel_backend($1)")
                    .bind(pid)
                    .execute(&mut self.connection)
                    .await
                    .expect("a superuser may cancel");
                cancelled += 1;
            }
        }
        cancelled
    }

    async fn waits(&mut self) -> Vec<(i32, String)> {
        sqlx::query_as(
            "select pid, query_start::text from pg_stat_activity where wait_event = 'SyncRep' and query_start is not null",
        )
        .fetch_all(&mut self.connection)
        .await
        .expect("pg_stat_activity can be read")
    }
}

/// One of the two.
#[derive(Debug)]
struct Node {
    dir: TempDir,
    bin_dir: PathBuf,
    /// Whom its files belong to, if that is not us.
    account: Option<(u32, u32)>,
    warden: Option<Child>,
}

impl Node {
    fn new(dir: TempDir, bin_dir: &Path) -> Self {
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

    fn socket(&self) -> PathBuf {
        self.socket_dir().join(".s.PGSQL.5432")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("postgres.log")).unwrap_or_default()
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket_dir())
            .username("postgres")
            .database("ipam")
            .ssl_mode(PgSslMode::Disable)
    }

    /// Fills its data directory with what `primary` has.
    async fn copy_from(&mut self, primary: &Self) {
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
    async fn run(&mut self, primary: Option<&Link>) {
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
    fn kill_9(&mut self) {
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

async fn connect(options: &PgConnectOptions) -> PgConnection {
    options
        .connect()
        .await
        .unwrap_or_else(|error| panic!("no connection: {error}"))
}
