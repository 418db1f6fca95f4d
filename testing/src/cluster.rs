//! A PostgreSQL for tests: fast because it need not survive a crash, and gone with the process that started it.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ipam_postgres::{Error, Managed, Options};
use sqlx::ConnectOptions as _;
use sqlx::migrate::MigrateError;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::migrations::MIGRATOR;

/// Names the variable with the URL of a PostgreSQL (15 or later, whose user may create databases) to run tests on.
pub const DATABASE_URL: &str = "TEST_DATABASE_URL";

/// What waits for our end and then removes the directory. It sees our end, also by kill -9, as the end of its input.
const JANITOR: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
tries=0
while [ -e "$1/postgres/postmaster.pid" ] && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
rm -rf -- "$1"
"#;

/// A cluster in a temporary directory. However the process ends, PostgreSQL stops and the directory is removed.
#[derive(Debug)]
pub struct ThrowAwayCluster {
    postgres: Managed,
    janitor: Child,
}

impl ThrowAwayCluster {
    /// Starts it, in about half a second.
    ///
    /// # Errors
    /// As [`Managed::start`].
    pub async fn start() -> Result<Self, Error> {
        let dir = cluster_dir();
        let mut janitor = start_janitor(dir.path()).expect("a shell can be started");
        // From here on the janitor removes it.
        let path = dir.keep();
        let options = Options {
            durable: false,
            ..Options::default()
        };
        match Managed::start(&path, options).await {
            Ok(postgres) => Ok(Self { postgres, janitor }),
            Err(error) => {
                wait_for(&mut janitor);
                Err(error)
            }
        }
    }

    /// The URL for [`DATABASE_URL`].
    #[must_use]
    pub fn url(&self) -> String {
        self.postgres.database_url()
    }

    /// Applies the migrations to the database that [`Self::url`] names.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let mut connection = self.postgres.connect_options().connect().await?;
        MIGRATOR.run(&mut connection).await
    }

    /// See [`Managed::exited`].
    pub async fn exited(&self) -> Error {
        self.postgres.exited().await
    }

    /// Stops PostgreSQL and removes its files.
    ///
    /// # Errors
    /// As [`Managed::stop`].
    pub async fn stop(mut self) -> Result<(), Error> {
        let stopped = self.postgres.stop().await;
        wait_for(&mut self.janitor);
        stopped
    }
}

/// The URL of the cluster to test on: that of the run, else one that this process starts once and keeps to its end.
pub(crate) async fn url() -> String {
    static OWN: OnceCell<ThrowAwayCluster> = OnceCell::const_new();
    if let Ok(url) = std::env::var(DATABASE_URL) {
        return url;
    }
    let own = OWN.get_or_init(|| async {
        ThrowAwayCluster::start()
            .await
            .unwrap_or_else(|error| panic!("no PostgreSQL to test on: {error}"))
    });
    own.await.url()
}

/// A temporary directory for a PostgreSQL. Run by root, that is another user, who has to pass through.
#[must_use]
pub fn cluster_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("ipam-test-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .expect("the directory for temporary files can be written to")
}

/// Waiting closes the janitor's input, which is what it waits for.
fn wait_for(janitor: &mut Child) {
    janitor.wait().expect("the janitor was started by us");
}

fn start_janitor(dir: &Path) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(dir)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
