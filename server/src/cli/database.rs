//! How a verb reaches the database: one that exists, or the one that is managed in the data directory.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use sqlx::{
    ConnectOptions as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{db, postgres::Managed, postgres::Options, settings};

/// Options of every verb that works on the database itself.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct Database {
    /// PostgreSQL 15 or later to use; without it POSTGRES_HOST, _PORT, _DB, _USER and _PASSWORD; without these too the
    /// server manages a PostgreSQL of its own in the data directory
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where a managed server keeps its database and key [default: /var/lib/ipam for root, else ~/.local/share/ipam]
    #[arg(long, value_name = "DIR", env = "IPAM_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the binaries of PostgreSQL are, if they are not found by themselves
    #[arg(long, value_name = "DIR", env = "IPAM_PG_BIN")]
    pg_bin: Option<PathBuf>,
    /// Most connections to the database
    #[arg(long, value_name = "N", env = "IPAM_DATABASE_CONNECTIONS", default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(2..=1000))]
    database_connections: u32,
}

/// A database to work on, and the PostgreSQL behind it if it is ours.
pub struct Opened {
    /// Connections.
    pub pool: PgPool,
    /// The managed PostgreSQL, to be stopped in the end.
    pub managed: Option<Managed>,
    /// Its data directory.
    pub data_dir: Option<PathBuf>,
}

impl Database {
    /// Connects; starts the managed PostgreSQL if there is no other.
    pub async fn open(&self) -> anyhow::Result<Opened> {
        if let Some(options) = settings::database(self.database_url.as_deref())? {
            return Ok(Opened {
                pool: self.pool(options),
                managed: None,
                data_dir: None,
            });
        }
        let data_dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => settings::default_data_dir()
                .context("there is no home directory to keep data in; say where with --data-dir")?,
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
        Ok(Opened {
            pool: self.pool(options),
            managed: Some(managed),
            data_dir: Some(data_dir),
        })
    }

    fn pool(&self, options: PgConnectOptions) -> PgPool {
        let options = options
            .application_name("ipam")
            // Nobody waits for ever: not for a lock, and not for a client that forgot its transaction.
            .options([
                ("lock_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ])
            .log_statements(tracing::log::LevelFilter::Trace)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(2));
        PgPoolOptions::new()
            .max_connections(self.database_connections)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            // A round trip before each use is dear; `Ipam::begin` replaces a connection that went stale.
            .test_before_acquire(false)
            .connect_lazy_with(options)
    }
}

impl Opened {
    /// Brings the schema up to date. Several servers may do so at once: they take turns.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        wait_for(&self.pool).await?;
        db::MIGRATOR
            .run(&self.pool)
            .await
            .context("the database schema could not be brought up to date")
    }

    /// Says loudly when an acknowledged allocation could be lost in a crash, and refuses if the database is our own.
    pub async fn check_durability(&self) -> anyhow::Result<()> {
        let mut connection = self.pool.acquire().await?;
        let found = db::unsafe_settings(&mut connection).await?;
        if found.is_empty() {
            return Ok(());
        }
        let found = found.join(", ");
        anyhow::ensure!(
            self.managed.is_none(),
            "the managed PostgreSQL runs with {found}, so that acknowledged allocations could be lost in a crash; remove \
             that setting from its configuration in the data directory"
        );
        tracing::error!(
            "PostgreSQL runs with {found}: allocations that were acknowledged can be lost in a crash, and then be given \
             to somebody else; switch it on"
        );
        Ok(())
    }

    /// Closes the connections and stops what was started.
    pub async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        if let Some(managed) = self.managed {
            managed.stop().await?;
        }
        Ok(())
    }
}

/// Waits for the database as long as that makes sense, and says what it waits for.
async fn wait_for(pool: &PgPool) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        // A connection of its own, so that the error is the real one and not the pool's timeout.
        let error = match pool.connect_options().connect().await {
            Ok(connection) => {
                sqlx::Connection::close(connection).await.ok();
                return Ok(());
            }
            Err(error) => error,
        };
        let hopeless = matches!(&error, sqlx::Error::Database(error)
            if error.code().is_some_and(|code| code.starts_with("28") || code == "3D000"));
        if hopeless || started.elapsed() > Duration::from_secs(60) {
            return Err(error).context(
                "the database can't be used; check DATABASE_URL or the POSTGRES_ variables",
            );
        }
        tracing::warn!(%error, "waiting for the database");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
