//! The managed PostgreSQL against the real one: first start, restart, kill -9, a second instance, other users.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use ipam_postgres::{Error, Managed, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;

/// Tells a re-executed test binary which directory to run PostgreSQL in.
const HOST_DIR: &str = "IPAM_TEST_HOST_DIR";

/// A directory that also other users may pass through, as `/var/lib` is and a plain temporary directory is not.
fn scratch() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Most tests kill processes and not machines, and need not wait for the disk.
fn quick() -> Options {
    Options {
        durable: false,
        ..Options::default()
    }
}

async fn start(dir: &Path) -> Managed {
    Managed::start(dir, quick()).await.unwrap()
}

async fn start_durable(dir: &Path) -> Managed {
    Managed::start(dir, Options::default()).await.unwrap()
}

async fn start_error(dir: &Path) -> Error {
    match Managed::start(dir, quick()).await {
        Ok(_) => panic!("PostgreSQL started where it should have refused to"),
        Err(error) => error,
    }
}

async fn connect(postgres: &Managed) -> PgConnection {
    postgres.connect_options().connect().await.unwrap()
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    sqlx::query_scalar("select current_setting($1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .unwrap()
}

async fn write_row(connection: &mut PgConnection) {
    sqlx::query("create table if not exists kept (n int)")
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query("insert into kept values (1)")
        .execute(connection)
        .await
        .unwrap();
}

async fn count_rows(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from kept")
        .fetch_one(connection)
        .await
        .unwrap()
}

fn is_alive(pid: u32) -> bool {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    // An unreaped process still has a number; its state tells.
    let is_zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z')
    });
    kill(pid, None).is_ok() && !is_zombie
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process of its own that runs the managed PostgreSQL until it is killed: this test binary once more.
struct Host {
    process: Child,
    postgres_pid: u32,
}

impl Host {
    fn start(dir: &Path) -> Self {
        Self::spawn(Command::new(std::env::current_exe().unwrap()), dir)
    }

    fn spawn(mut command: Command, dir: &Path) -> Self {
        let mut process = command
            .args(["--exact", "host_process", "--nocapture"])
            .env(HOST_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let postgres_pid = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .find_map(|line| {
                line.unwrap()
                    .split_once("STARTED ")
                    .map(|(_, pid)| pid.parse().unwrap())
            })
            .expect("the host process says when PostgreSQL runs");
        Self {
            process,
            postgres_pid,
        }
    }

    fn kill_9(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test of its own: what [`Host`] runs. It does nothing when the tests are run as usual.
#[test]
fn host_process() {
    let Some(dir) = std::env::var_os(HOST_DIR) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let postgres = start(&PathBuf::from(dir)).await;
        write_row(&mut connect(&postgres).await).await;
        println!("STARTED {}", postgres.pid());
        panic!("{}", postgres.exited().await);
    });
}

#[tokio::test]
async fn first_start_creates_a_durable_private_database_and_a_restart_keeps_it() {
    let scratch = scratch();
    let dir = scratch.path().join("a path, with \"quotes\" & späces");
    let postgres = start_durable(&dir).await;
    let mut connection = connect(&postgres).await;
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(setting(&mut connection, name).await, value, "{name}");
    }
    write_row(&mut connection).await;
    // A configuration file cannot weaken a commit.
    sqlx::query("alter system set fsync = off")
        .execute(&mut connection)
        .await
        .unwrap();
    drop(connection);
    let pid = postgres.pid();
    postgres.stop().await.unwrap();
    assert!(!is_alive(pid), "stop returns when the process is gone");

    let postgres = start_durable(&dir).await;
    let mut connection = connect(&postgres).await;
    assert_eq!(count_rows(&mut connection).await, 1);
    assert_eq!(setting(&mut connection, "fsync").await, "on");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_url_and_the_hint_lead_to_the_database() {
    let scratch = scratch();
    let postgres = start(&scratch.path().join("it's here")).await;
    let mut connection = PgConnectOptions::from_str(&postgres.database_url())
        .unwrap()
        .connect()
        .await
        .unwrap();
    assert_eq!(setting(&mut connection, "port").await, "5432");

    let by_hint = format!("{} -Atc 'select current_database()'", postgres.psql_hint());
    let by_url = format!(
        "psql -At '{}' -c 'select current_database()'",
        postgres.database_url()
    );
    for line in [by_hint, by_url] {
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "ipam",
            "{line}: {output:?}"
        );
    }
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_else_can_reach_the_files_or_the_socket_and_postgres_is_not_root() {
    let scratch = scratch();
    let postgres = start(scratch.path()).await;
    for name in ["postgres", "run"] {
        let metadata = fs::metadata(scratch.path().join(name)).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o700, "{name}");
        assert_ne!(metadata.uid(), 0, "{name}");
    }
    assert_eq!(
        fs::metadata(scratch.path().join("lock")).unwrap().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(scratch.path().join("postgres.log"))
            .unwrap()
            .mode()
            & 0o777,
        0o600
    );
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_takes_postgres_along_and_loses_nothing() {
    let scratch = scratch();
    let mut host = Host::start(scratch.path());
    assert!(is_alive(host.postgres_pid));
    host.kill_9();
    // On Linux the kernel tells it; elsewhere the next start does.
    if cfg!(target_os = "linux") {
        wait_until("PostgreSQL ends with the server that ran it", || {
            !is_alive(host.postgres_pid)
        });
    }
    let postgres = start(scratch.path()).await;
    assert_eq!(count_rows(&mut connect(&postgres).await).await, 1);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_right_after_a_kill_waits_for_the_leftover() {
    let scratch = scratch();
    let mut host = Host::start(scratch.path());
    host.kill_9();
    let postgres = start(scratch.path()).await;
    assert!(!is_alive(host.postgres_pid));
    assert_eq!(count_rows(&mut connect(&postgres).await).await, 1);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn everything_killed_at_once_recovers() {
    let scratch = scratch();
    let mut host = Host::start(scratch.path());
    let postmaster = Pid::from_raw(i32::try_from(host.postgres_pid).unwrap());
    // Stopped first, so that neither notices the end of the other and tidies up.
    kill(postmaster, Signal::SIGSTOP).unwrap();
    host.kill_9();
    kill(postmaster, Signal::SIGKILL).unwrap();
    let postgres = start(scratch.path()).await;
    assert_eq!(count_rows(&mut connect(&postgres).await).await, 1);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_postmaster_pid_of_another_process_is_no_obstacle() {
    let scratch = scratch();
    let postgres = start(scratch.path()).await;
    let pid_file = scratch.path().join("postgres/postmaster.pid");
    let left = fs::read_to_string(&pid_file).unwrap();
    let (pid, rest) = left.split_once('\n').unwrap();
    assert_eq!(pid, postgres.pid().to_string());
    postgres.stop().await.unwrap();
    // The number belongs to somebody else now, who must survive, as it happens after a restart of a container.
    let mut somebody = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", somebody.id())).unwrap();
    let postgres = start(scratch.path()).await;
    assert!(is_alive(somebody.id()));
    postgres.stop().await.unwrap();
    somebody.kill().unwrap();
    somebody.wait().unwrap();
}

#[tokio::test]
async fn a_second_instance_is_refused_and_told_why() {
    let scratch = scratch();
    let postgres = start(scratch.path()).await;
    let error = start_error(scratch.path()).await;
    let text = error.to_string();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    assert!(text.contains("already uses"), "{text}");
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains("--data-dir"), "{text}");
    assert_eq!(
        setting(&mut connect(&postgres).await, "port").await,
        "5432",
        "the first one goes on"
    );
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_end_of_postgres_is_reported_with_its_log() {
    let scratch = scratch();
    let postgres = start(scratch.path()).await;
    kill(
        Pid::from_raw(i32::try_from(postgres.pid()).unwrap()),
        Signal::SIGQUIT,
    )
    .unwrap();
    let error = tokio::time::timeout(Duration::from_secs(20), postgres.exited())
        .await
        .unwrap();
    assert!(matches!(error, Error::Died { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("received immediate shutdown request"),
        "{error}"
    );
}

#[tokio::test]
async fn a_configuration_that_postgres_refuses_is_shown() {
    let scratch = scratch();
    start(scratch.path()).await.stop().await.unwrap();
    fs::write(
        scratch.path().join("postgres/postgresql.conf"),
        "max_connections = many\n",
    )
    .unwrap();
    let error = start_error(scratch.path()).await;
    assert!(error.to_string().contains("max_connections"), "{error}");
}

#[tokio::test]
async fn an_interrupted_creation_is_begun_again() {
    let scratch = scratch();
    let partial = scratch.path().join("postgres.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("PG_VERSION"), "15\n").unwrap();
    let postgres = start(scratch.path()).await;
    assert!(!partial.exists());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_major_version_names_what_to_install() {
    let scratch = scratch();
    fs::create_dir(scratch.path().join("postgres")).unwrap();
    fs::write(scratch.path().join("postgres/PG_VERSION"), "12\n").unwrap();
    let error = start_error(scratch.path()).await;
    assert!(
        matches!(error, Error::WrongMajor { wanted: 12, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("postgresql-12"), "{error}");
}

#[tokio::test]
async fn missing_binaries_name_what_to_install_and_where_we_looked() {
    let scratch = scratch();
    let options = Options {
        bin_dir: Some("/nowhere/bin".into()),
        ..Options::default()
    };
    let error = Managed::start(scratch.path(), options)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("apt-get install postgresql"), "{error}");
    assert!(error.contains("/nowhere/bin"), "{error}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works_and_is_found_again() {
    let scratch = scratch();
    let dir = scratch
        .path()
        .join("long-".repeat(20))
        .join("longer-".repeat(20));
    // Made open to all, so that the account of PostgreSQL can pass.
    fs::create_dir_all(&dir).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let postgres = start(&dir).await;
        sockets.push(postgres.connect_options().get_socket().cloned().unwrap());
        write_row(&mut connect(&postgres).await).await;
        postgres.stop().await.unwrap();
    }
    assert!(sockets[0].starts_with("/tmp"), "{sockets:?}");
    assert_eq!(sockets[0], sockets[1]);
    fs::remove_dir_all(&sockets[0]).unwrap();
}

#[tokio::test]
async fn giving_up_a_start_stops_postgres() {
    let scratch = scratch();
    start(scratch.path()).await.stop().await.unwrap();
    let start = Managed::start(scratch.path(), quick());
    // Long enough for the process to be there in most runs; in the others there is nothing to stop.
    let _ = tokio::time::timeout(Duration::from_millis(30), start).await;
    // The lock is free again, or will be as soon as the blocking part has ended.
    let deadline = Instant::now() + Duration::from_secs(20);
    let postgres = loop {
        match Managed::start(scratch.path(), quick()).await {
            Ok(postgres) => break postgres,
            Err(Error::InUse { .. }) if Instant::now() < deadline => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    postgres.stop().await.unwrap();
}

/// As root only, for nobody else can become another user; without root every other test covers the unprivileged case.
#[tokio::test]
async fn started_by_root_or_by_an_ordinary_user_it_works_alike() {
    if !geteuid().is_root() {
        return;
    }
    let user = User::from_name("nobody").unwrap().unwrap();
    let scratch = scratch();
    // The test binary may lie where nobody cannot go.
    let exe = scratch.path().join("host");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    let dir = scratch.path().join("data of nobody");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    let mut command = Command::new(&exe);
    command
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .current_dir("/")
        .env_clear();
    let host = Host::spawn(command, &dir);
    let owner = fs::metadata(format!("/proc/{}", host.postgres_pid))
        .unwrap()
        .uid();
    assert_eq!(owner, user.uid.as_raw());
    assert_eq!(
        fs::metadata(dir.join("postgres")).unwrap().uid(),
        user.uid.as_raw()
    );
}

/// As root only: an ordinary user's PostgreSQL runs as that user and goes where that user can.
#[tokio::test]
async fn root_is_told_which_directory_keeps_postgres_out() {
    if !geteuid().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let error = start_error(&closed.path().join("data")).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains(&format!("chmod o+x '{}'", closed.path().display())),
        "{error}"
    );
}
