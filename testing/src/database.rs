//! A database for each test, cloned from a template that holds the schema. Cloning takes tens of milliseconds;
//! running the migrations for every test would take several times as long.

use std::process;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};

use crate::cluster;
use crate::migrations::MIGRATOR;

/// Serializes the creation of templates. Any number will do that nobody else uses.
const TEMPLATE_LOCK: i64 = 0x6970_616d_7465_7374;

/// A database with the current schema and its defaults, that no other test sees. Dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    /// Of the cluster, with the maintenance database.
    maintenance: PgConnectOptions,
}

impl TestDatabase {
    /// Creates a database with all migrations applied.
    pub async fn new() -> Self {
        let maintenance = PgConnectOptions::from_str(&cluster::url().await)
            .expect("TEST_DATABASE_URL is a PostgreSQL URL")
            .database("postgres");
        let mut connection = connect(&maintenance).await;
        let template = template(&mut connection, &maintenance).await;
        let database = Self::unused(maintenance);
        let name = &database.name;
        execute(
            &mut connection,
            format!(r#"create database "{name}" template "{template}" strategy file_copy"#),
        )
        .await;
        close(connection).await;
        database
    }

    /// Creates a database without a schema, for tests of the migrations.
    pub async fn empty() -> Self {
        let maintenance = PgConnectOptions::from_str(&cluster::url().await)
            .expect("TEST_DATABASE_URL is a PostgreSQL URL")
            .database("postgres");
        let mut connection = connect(&maintenance).await;
        let database = Self::unused(maintenance);
        execute(
            &mut connection,
            format!(r#"create database "{}""#, database.name),
        )
        .await;
        close(connection).await;
        database
    }

    /// How to connect.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.maintenance.clone().database(&self.name)
    }

    /// A new connection.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.connect_options()).await
    }

    /// A new pool of up to `max_connections`, opened as they are needed.
    #[must_use]
    pub fn pool(&self, max_connections: u32) -> PgPool {
        PgPoolOptions::new()
            .max_connections(max_connections)
            .connect_lazy_with(self.connect_options())
    }

    /// The URL, for a server in another process.
    #[must_use]
    pub fn url(&self) -> String {
        self.connect_options().to_url_lossy().to_string()
    }

    /// A name that no other test of this cluster has.
    fn unused(maintenance: PgConnectOptions) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // A process number comes back in time; the time does not.
        let nanos = std::time::UNIX_EPOCH
            .elapsed()
            .expect("the clock is past 1970")
            .as_nanos();
        let name = format!("test_{}_{count}_{nanos:x}", process::id());
        Self { name, maintenance }
    }
}

impl Drop for TestDatabase {
    /// On a thread of its own, since the runtime of the test cannot wait here; also when the test fails.
    #[expect(
        clippy::print_stderr,
        reason = "the test harness shows it with the test"
    )]
    fn drop(&mut self) {
        let (name, maintenance) = (self.name.clone(), self.maintenance.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut connection = maintenance.connect().await?;
                let statement = format!(r#"drop database if exists "{name}" with (force)"#);
                sqlx::query(AssertSqlSafe(statement))
                    .execute(&mut connection)
                    .await?;
                connection.close().await?;
                anyhow::Ok(())
            })
        });
        // A test that stopped its PostgreSQL has nothing to drop, and a panic here would hide that of the test.
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("could not drop the test database {}", self.name);
        }
    }
}

/// The template of the current migrations; made by the first who asks.
async fn template(connection: &mut PgConnection, maintenance: &PgConnectOptions) -> String {
    let name = template_name();
    // Almost always it exists, and then nobody needs to wait for the lock.
    if exists(connection, &name).await {
        return name;
    }
    sqlx::query("select pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *connection)
        .await
        .expect("lock");
    if !exists(connection, &name).await {
        // Under another name until it is whole: its maker may be killed.
        let partial = format!("{name}_partial");
        execute(
            connection,
            format!(r#"drop database if exists "{partial}" with (force)"#),
        )
        .await;
        execute(connection, format!(r#"create database "{partial}""#)).await;
        let mut inside = connect(&maintenance.clone().database(&partial)).await;
        MIGRATOR
            .run(&mut inside)
            .await
            .unwrap_or_else(|error| panic!("the migrations fail: {error}"));
        close(inside).await;
        execute(
            connection,
            format!(r#"alter database "{partial}" rename to "{name}""#),
        )
        .await;
        execute(
            connection,
            format!(r#"alter database "{name}" with is_template true allow_connections false"#),
        )
        .await;
    }
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(connection)
        .await
        .expect("unlock");
    name
}

/// Named by the content of the migrations, so that a cluster that stays serves several versions of them.
fn template_name() -> String {
    let mut hash = Sha256::new();
    for migration in MIGRATOR.iter() {
        hash.update(&migration.checksum);
    }
    let digest = hash.finalize();
    let hex: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("ipam_template_{hex}")
}

async fn exists(connection: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .expect("pg_database can be read")
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    options
        .connect()
        .await
        .unwrap_or_else(|error| panic!("cannot connect to the test database: {error}"))
}

async fn close(connection: PgConnection) {
    connection.close().await.expect("closed");
}

async fn execute(connection: &mut PgConnection, statement: String) {
    let result = sqlx::query(AssertSqlSafe(statement.as_str()))
        .execute(connection)
        .await;
    result.unwrap_or_else(|error| panic!("{statement}: {error}"));
}
