//! The harness itself: databases of tests do not see each other and go away, a cluster ends with its process.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use ipam_testing::{DATABASE_URL, TestDatabase, ThrowAwayCluster};
use sqlx::Connection as _;
use sqlx::postgres::PgConnectOptions;

#[tokio::test]
async fn each_database_has_the_schema_and_is_alone_and_is_dropped() {
    let (first, second) = tokio::join!(TestDatabase::new(), TestDatabase::new());
    let mut connection = first.connect().await;
    sqlx::query("create table only_here ()")
        .execute(&mut connection)
        .await
        .unwrap();
    for (database, expected) in [(&first, true), (&second, false)] {
        let mut connection = database.connect().await;
        let exists: bool = sqlx::query_scalar("select to_regclass('only_here') is not null")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(exists, expected);
        let has_schema: bool = sqlx::query_scalar("select to_regclass('pool') is not null")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(has_schema);
        connection.close().await.unwrap();
    }
    let name = first.connect_options().get_database().unwrap().to_owned();
    // Also while somebody is connected.
    drop(first);
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&second.pool(1))
            .await
            .unwrap();
    assert!(!exists);
}

#[tokio::test]
async fn the_url_reaches_the_same_database() {
    let database = TestDatabase::empty().await;
    let mut connection = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        Some(name.as_str()),
        database.connect_options().get_database()
    );
}

#[tokio::test]
async fn a_stopped_cluster_leaves_nothing() {
    let cluster = ThrowAwayCluster::start().await.unwrap();
    let mut connection = sqlx::PgConnection::connect(&cluster.url()).await.unwrap();
    let dir: String = sqlx::query_scalar("show data_directory")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    drop(connection);
    cluster.stop().await.unwrap();
    assert!(!PathBuf::from(dir).parent().unwrap().exists());
}

/// How a run of `with-test-cluster` on `script` ended, and what it printed after the URL of its cluster, whose directory
/// comes first.
#[expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
fn with_test_cluster(script: &str) -> (PathBuf, String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_with-test-cluster"))
        .args(["sh", "-c", &format!("echo \"${DATABASE_URL}\"; {script}")])
        .env_remove(DATABASE_URL)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let output_text = String::from_utf8(output.stdout).unwrap();
    let (url, rest) = output_text.split_once('\n').unwrap();
    let options = PgConnectOptions::from_str(url).unwrap();
    // The socket directory lies in that of the cluster.
    let dir = options
        .get_socket()
        .unwrap()
        .parent()
        .unwrap()
        .to_path_buf();
    (dir, rest.to_owned(), output.status.code())
}

#[test]
fn a_command_runs_beside_a_cluster_and_its_status_is_passed_on() {
    let (dir, output, status) = with_test_cluster("echo done; exit 7");
    assert_eq!((output.trim(), status), ("done", Some(7)));
    assert!(!dir.exists(), "it is gone with the command");
}

#[test]
fn an_interrupted_run_stops_the_command_and_the_cluster() {
    // The parent of the command is interrupted, as by a script; the command must hear of it.
    let script = "trap 'echo heard; exit 3' INT; kill -INT $PPID; while :; do sleep 0.05; done";
    let (dir, output, status) = with_test_cluster(script);
    assert_eq!((output.trim(), status), ("heard", Some(3)));
    assert!(!dir.exists());
}

#[test]
fn a_killed_run_leaves_no_cluster() {
    let (dir, _, status) = with_test_cluster("kill -KILL $PPID");
    assert_eq!(status, None, "it was killed");
    let deadline = Instant::now() + Duration::from_secs(20);
    while dir.exists() {
        assert!(
            Instant::now() < deadline,
            "{} is still there",
            dir.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
