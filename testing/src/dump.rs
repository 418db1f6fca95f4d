//! Dumps and restores, with the programs that come with the PostgreSQL that is tested on.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// A database as plain SQL, by `pg_dump`.
pub async fn dump(database: &PgConnectOptions) -> String {
    let mut command = program(database, "pg_dump").await;
    let output = command
        .args(["--no-owner", "--no-privileges"])
        .output()
        .expect("pg_dump can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg_dump: {error}");
    String::from_utf8(output.stdout).expect("a dump is UTF-8")
}

/// Runs a file of SQL, as `psql` does, which understands the data in a dump. Stops at the first error.
pub async fn restore(database: &PgConnectOptions, file: &Path) {
    let mut command = program(database, "psql").await;
    let output = command
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"])
        .arg(file)
        .output()
        .expect("psql can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "psql: {error}");
}

/// A program beside the `postgres` that serves the database, to be run on that database.
async fn program(database: &PgConnectOptions, name: &str) -> Command {
    let mut connection = database
        .connect()
        .await
        .unwrap_or_else(|error| panic!("cannot connect to the test database: {error}"));
    let directory: String =
        sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut connection)
            .await
            .expect("tests run as a superuser");
    let mut path = PathBuf::from(directory).join(name);
    if !path.exists() {
        // A packager may keep the clients elsewhere.
        path = name.into();
    }
    let mut command = Command::new(path);
    match database.get_socket() {
        Some(socket) => command.arg("--host").arg(socket),
        None => command.args(["--host", database.get_host()]),
    };
    command
        .args(["--port", &database.get_port().to_string()])
        .args(["--username", database.get_username()])
        .args([
            "--dbname",
            database.get_database().expect("tests name a database"),
        ]);
    command
}
