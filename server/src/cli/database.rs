//! How a subcommand reaches the database: one that exists, or the one that is managed in the data directory.

use std::{env, path::PathBuf, time::Duration};

use anyhow::Context as _;
use sqlx::{
    ConnectOptions as _, Connection as _,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    roles::{self, Login},
    waiting,
};
use crate::{
    db::{self, connections::Connections},
    postgres::Managed,
    postgres::Options,
    settings,
};

/// Maximum wait for other servers that migrate the same database, and for a lock on a table.
const MIGRATION_TURN: &str = "300s";

/// Time for connections to end when the server stops, after its requests have.
const CLOSE: Duration = Duration::from_secs(3);

/// Options of every subcommand that works on the database itself.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct Database {
    /// PostgreSQL 15 or later to use; default: POSTGRES_HOST, _PORT, _DB, _USER and _PASSWORD; if those are not set either,
    /// the server manages a PostgreSQL of its own in the data directory
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// File that holds the URL; see also POSTGRES_PASSWORD_FILE
    #[arg(long, value_name = "FILE", env = "DATABASE_URL_FILE")]
    database_url_file: Option<PathBuf>,
    /// Where a managed server keeps its database and key [default: /var/lib/ipam for root, else ~/.local/share/ipam]
    #[arg(long, value_name = "DIR", env = "IPAM_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the PostgreSQL binaries, if they are not found automatically
    #[arg(long, value_name = "DIR", env = "IPAM_PG_BIN")]
    pg_bin: Option<PathBuf>,
    /// Maximum number of connections to the database: two fifths for allocations, two for reads, one for other changes
    #[arg(long, value_name = "N", env = "IPAM_DATABASE_CONNECTIONS", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(3..=1000))]
    database_connections: u32,
    /// How long to wait at startup for a database that does not answer yet
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IPAM_DATABASE_WAIT",
        default_value_t = 60
    )]
    database_wait: u16,
}

/// The role of a server in a PostgreSQL that it manages. It reads and writes rows; the owner of the tables is another one.
const SERVER: &str = "ipam_server";

/// A database to work on, and the PostgreSQL behind it if we manage it.
pub struct Opened {
    /// Connections.
    pub connections: Connections,
    /// Where the owner of the tables connects.
    owner: Vec<PgConnectOptions>,
    /// The managed PostgreSQL, to be stopped in the end.
    pub managed: Option<Managed>,
    /// Its data directory.
    pub data_dir: Option<PathBuf>,
    /// How long to wait for it.
    pub(super) wait: Duration,
}

impl Database {
    /// Connects as the owner of the tables, or as whoever is set; starts the managed PostgreSQL if there is no other.
    pub async fn open(&self) -> anyhow::Result<Opened> {
        self.open_as(None).await
    }

    /// The same, but in a managed PostgreSQL as a role that can do what a server does, and no more. It exists once
    /// [`Opened::migrate`] was called.
    pub async fn open_to_serve(&self) -> anyhow::Result<Opened> {
        self.open_as(Some(SERVER)).await
    }

    async fn open_as(&self, role: Option<&str>) -> anyhow::Result<Opened> {
        let wait = Duration::from_secs(self.database_wait.into());
        let options = settings::database(
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
            |name| env::var(name).ok(),
        )?;
        if let Some(options) = options {
            return Ok(Opened {
                connections: self.connections(options.clone()),
                owner: self.hosts(options),
                managed: None,
                data_dir: None,
                wait,
            });
        }
        let data_dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => settings::default_data_dir().context(
                "there is no home directory to keep data in; choose one with --data-dir",
            )?,
        };
        let managed = Managed::start(
            &data_dir,
            Options {
                durable: true,
                bin_dir: self.pg_bin.clone(),
            },
        )
        .await?;
        let options = managed.connect_options();
        let owner = self.hosts(vec![options.clone()]);
        let options = match role {
            Some(role) => options.username(role),
            None => options,
        };
        Ok(Opened {
            connections: self.connections(vec![options]),
            owner,
            managed: Some(managed),
            data_dir: Some(data_dir),
            wait,
        })
    }

    fn connections(&self, hosts: Vec<PgConnectOptions>) -> Connections {
        let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(10));
        Connections::new(self.database_connections, pool, self.hosts(hosts))
    }

    fn hosts(&self, hosts: Vec<PgConnectOptions>) -> Vec<PgConnectOptions> {
        let hosts = hosts.into_iter().map(|host| {
            host.application_name("ipam")
                // Nothing waits forever: not for a lock, and not for a client that abandoned its transaction or was cut
                // off: what it holds is released after 15 s.
                .options([
                    ("lock_timeout", "10s"),
                    ("idle_in_transaction_session_timeout", "15s"),
                    // The default, whatever was set for the database or the role: warnings of commits are needed.
                    ("client_min_messages", "notice"),
                    ("client_connection_check_interval", "5s"),
                    ("tcp_user_timeout", "15s"),
                    ("tcp_keepalives_idle", "10s"),
                    ("tcp_keepalives_interval", "5s"),
                    ("tcp_keepalives_count", "3"),
                ])
                .log_statements(tracing::log::LevelFilter::Trace)
                .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(2))
        });
        hosts.collect()
    }
}

impl Opened {
    /// Brings the schema up to date. Several servers may do so at once: they take turns. A schema that is newer than this
    /// release is left alone.
    ///
    /// # Errors
    /// When the database does not answer in time, or its schema can't be brought to what this release works with.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        // A separate connection: waiting for the turn takes longer than a request may, and closing the connection always
        // ends the lock.
        let hosts: Vec<_> = (self.owner.iter().cloned())
            .map(|host| host.options([("lock_timeout", MIGRATION_TURN)]))
            .collect();
        let mut connection = waiting::connect(&hosts, self.wait).await?;
        if hosts.len() > 1 {
            self.connections.find_primary().await;
        }
        let migrated = db::MIGRATOR.run(&mut connection).await;
        let newest = match migrated {
            Err(MigrateError::VersionMissing(_)) => db::schema_version(&mut connection).await?,
            _ => 0,
        };
        match migrated {
            Err(MigrateError::VersionMissing(missing)) => {
                anyhow::bail!(unknown_schema(missing, newest))
            }
            migrated => migrated.context("the database schema could not be brought up to date")?,
        }
        // The first start on a database records where the database is.
        let noted = db::identity::insert(&mut connection).await;
        noted.context("the location of the database could not be recorded")?;
        if self.managed.is_some() {
            roles::grant_to(&mut connection, SERVER, &Login::WithoutPassword).await?;
        }
        connection.close().await.ok();
        Ok(())
    }

    /// Gives a role what a server needs, as the owner of the tables.
    ///
    /// # Errors
    /// When the database does not answer in time, or the role can't be given that, or has more.
    pub async fn grant_to(&self, role: &str, login: &Login) -> anyhow::Result<()> {
        let mut connection = waiting::connect(&self.owner, self.wait).await?;
        let granted = roles::grant_to(&mut connection, role, login).await;
        connection.close().await.ok();
        granted
    }

    /// Logs an error if an acknowledged allocation could be lost in a crash, and fails if we manage the database ourselves.
    pub async fn check_durability(&self) -> anyhow::Result<()> {
        let mut connection = self.connections.read().await?;
        if !db::settle::is_warned(&mut connection).await? {
            tracing::error!(
                "warnings from PostgreSQL do not arrive here: an allocation that a synchronous standby does not have can \
                 be acknowledged, lost in a failover, and then given to somebody else; if a proxy sits between ipam and \
                 PostgreSQL, make it pass on the messages of the server"
            );
        }
        let found = db::unsafe_settings(&mut connection).await?;
        if found.is_empty() {
            return Ok(());
        }
        let found = found.join(", ");
        anyhow::ensure!(
            self.managed.is_none(),
            "the managed PostgreSQL runs with {found}, so acknowledged allocations could be lost in a crash; remove \
             that setting from its configuration in the data directory"
        );
        tracing::error!(
            "PostgreSQL runs with {found}: acknowledged allocations can be lost in a crash and then given to somebody \
             else; switch it on"
        );
        Ok(())
    }

    /// Closes the connections and stops what was started.
    pub async fn close(self) -> anyhow::Result<()> {
        // Connections that wait for an unresponsive database are not waited for.
        let closed = tokio::time::timeout(CLOSE, self.connections.close());
        if closed.await.is_err() {
            tracing::warn!("some connections to the database were still busy and are cut off");
        }
        if let Some(managed) = self.managed {
            managed.stop().await?;
        }
        Ok(())
    }
}

/// Why a schema with migrations unknown to this release is left alone: `missing` is one of them, `newest` the
/// newest that the database has.
pub(super) fn unknown_schema(missing: i64, newest: i64) -> String {
    let release = env!("CARGO_PKG_VERSION");
    let known = db::MIGRATOR.iter().map(|migration| migration.version);
    let known = known.max().unwrap_or_default();
    if newest > known {
        format!(
            "the schema of the database is newer than this release: the database is at version {newest}, and ipam \
             {release} knows versions up to {known}. Nothing was changed. Run the release that upgraded the database, or a \
             later one; or restore the backup that was made before the upgrade"
        )
    } else {
        format!(
            "the schema of the database was not made by a release of ipam: version {missing} is not known to ipam {release}, \
             which knows versions up to {known}. Nothing was changed. Check that DATABASE_URL, or POSTGRES_HOST and \
             POSTGRES_DB, name the right database; or run the release that the database was used with"
        )
    }
}
