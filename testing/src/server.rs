//! The real server as a process of its own, that tests can kill, restart on the same address, and read the log of.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::TestDatabase;

/// How long a start or a stop may take before a test gives up: far more than either needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `ipam serve`. Killed when dropped.
#[derive(Debug)]
pub struct TestServer {
    process: Child,
    address: SocketAddr,
    database_url: String,
    environment: Vec<(String, String)>,
    /// Holds the log and the address file.
    dir: TempDir,
}

impl TestServer {
    /// The admin key that the server is started with.
    pub const API_KEY: &str = "test-admin-key-0123456789abcdef";

    /// Starts the server on `database`, on a free port, and waits until it listens.
    pub async fn start(database: &TestDatabase) -> Self {
        Self::start_with(&database.url(), &[]).await
    }

    /// The same on any database, with more variables in its environment.
    pub async fn start_with(database_url: &str, environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("the directory for temporary files can be written to");
        let environment: Vec<_> = environment
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let process = spawn(any_port, database_url, &environment, dir.path());
        let mut server = Self {
            process,
            address: any_port,
            database_url: database_url.to_owned(),
            environment,
            dir,
        };
        server.wait_until_listening().await;
        server
    }

    /// Such as `http://127.0.0.1:40123`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All that it logged, over all its restarts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(self.dir.path())).expect("the log exists")
    }

    /// Ends it as a power failure would.
    pub fn kill_9(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the server does not stop:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid =
            Pid::from_raw(i32::try_from(self.process.id()).expect("process numbers are small"));
        kill(pid, signal).expect("it is our child");
    }

    /// Starts it again on the same address, after [`Self::kill_9`] or [`Self::stop`].
    pub async fn restart(&mut self) {
        assert!(
            self.process.try_wait().expect("it is our child").is_some(),
            "it still runs"
        );
        fs::remove_file(address_path(self.dir.path()))
            .or_else(ignore_missing)
            .expect("our own file");
        self.process = spawn(
            self.address,
            &self.database_url,
            &self.environment,
            self.dir.path(),
        );
        self.wait_until_listening().await;
    }

    async fn wait_until_listening(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.address = loop {
            let text = fs::read_to_string(address_path(self.dir.path())).unwrap_or_default();
            if let Some(address) = text
                .trim()
                .split_once("://")
                .map(|(_, address)| address)
                .and_then(|address| address.parse().ok())
            {
                break address;
            }
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                panic!(
                    "the server ended ({status}) before it listened:\n{}",
                    self.log()
                );
            }
            assert!(
                Instant::now() < deadline,
                "the server does not come up:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(
    listen: SocketAddr,
    database_url: &str,
    environment: &[(String, String)],
    dir: &Path,
) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(dir))
        .expect("the log can be written");
    Command::new(ipam_binary())
        .args(["serve", "--listen", &listen.to_string(), "--address-file"])
        .arg(address_path(dir))
        // Nothing of the developer's environment decides how a test ends.
        .env_clear()
        .env("DATABASE_URL", database_url)
        .env("API_KEY", TestServer::API_KEY)
        .env("IPAM_TOKEN_PEPPER", "a pepper that only these tests know")
        .env("HOME", dir)
        .envs(std::env::var_os("RUST_LOG").map(|filter| ("RUST_LOG", filter)))
        .envs(environment.iter().map(|(k, v)| (k, v)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("the ipam binary can be started")
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("server.log")
}

fn address_path(dir: &Path) -> PathBuf {
    dir.join("address")
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// The binary `ipam`: that of `IPAM_BIN` (as `./test` sets it), else the one that cargo built with the test, else one
/// that cargo brings up to date now, since a test of another crate does not make cargo build it.
#[must_use]
pub fn ipam_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let given = std::env::var_os("IPAM_BIN");
        if let Some(path) = given.or_else(|| std::env::var_os("CARGO_BIN_EXE_ipam")) {
            return path.into();
        }
        // TARGET/PROFILE/deps/TEST
        let exe = std::env::current_exe().expect("a test knows where it is");
        let profile_dir = exe
            .parent()
            .and_then(Path::parent)
            .expect("cargo puts tests two directories deep");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "build",
            "--quiet",
            "--package",
            "ipam-server",
            "--bin",
            "ipam",
            "--target-dir",
        ]);
        cargo.arg(
            profile_dir
                .parent()
                .expect("a profile lies in a target directory"),
        );
        if profile_dir.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo can be started");
        assert!(status.success(), "ipam does not build");
        profile_dir.join("ipam")
    })
}
