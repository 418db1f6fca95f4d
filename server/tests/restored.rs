//! A database that was restored from a dump knows it, and hands out nothing that others got since. With the real server,
//! the programs of PostgreSQL, and two clusters.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use ipam_shared::cidr::Cidr;
use ipam_testing::{TestDatabase, TestServer, ThrowAwayCluster, dump, ipam_binary, restore};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, postgres::PgConnectOptions};

#[path = "support/client.rs"]
mod client;

use client::{Client, Reply};

const BATCH: usize = 250;

#[track_caller]
fn ok(reply: Reply, status: u16) -> Value {
    let id = reply.headers.get("x-request-id");
    assert_eq!(reply.status, status, "{id:?}: {}", reply.json);
    reply.json
}

async fn connect(server: &TestServer) -> Client {
    Client::connect(server.address()).await.expect("connected")
}

/// Makes a pool that has room, with a dozen of blocks a batch; the CIDRs that were acknowledged.
async fn allocate(client: &mut Client, prefix: &str, count: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for first in (0..count).step_by(BATCH) {
        let requests: Vec<_> = (first..(first + BATCH).min(count))
            .map(|number| {
                json!({"vpc": "prod", "name": format!("{prefix}-{number}"), "pools": ["wide"], "prefix_length": 28})
            })
            .collect();
        let body = json!({"atomic": true, "requests": requests});
        let made = ok(
            client
                .post("/api/v1/allocations/batch", &body)
                .await
                .expect("answered"),
            200,
        );
        for item in made["results"].as_array().expect("results") {
            let cidr = item["allocation"]["blocks"][0]["cidr"].as_str();
            let cidr = cidr.unwrap_or_else(|| panic!("no block: {item}"));
            assert!(found.insert(cidr.to_owned()));
        }
    }
    assert_eq!(found.len(), count);
    found
}

fn ipam(arguments: &[&str], database: &str) -> Output {
    Command::new(ipam_binary())
        .args(arguments)
        .args(["--database-url", database])
        .output()
        .expect("ipam can be started")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What is new may take a moment to be noticed by a server that runs.
async fn until_allocating(client: &mut Client) -> String {
    for _ in 0..300 {
        let body = json!({"vpc": "prod", "name": "after", "pools": ["wide"], "prefix_length": 28});
        let reply = client
            .post("/api/v1/allocations", &body)
            .await
            .expect("answered");
        if reply.status == 201 {
            return reply.json["blocks"][0]["cidr"]
                .as_str()
                .expect("a block")
                .to_owned();
        }
        assert_eq!(reply.json["code"], "restored", "{}", reply.json);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is handed out after the reconciliation");
}

/// Everything that hands out space is refused, reads and releases go on, and it is said wherever somebody looks.
async fn refuses(client: &mut Client, server: &TestServer, database: &str) {
    let wide = json!({"vpc": "prod", "pools": ["wide"], "prefix_length": 28});
    let held = ok(
        client
            .get("/api/v1/allocations?vpc=prod&name=old-0")
            .await
            .expect("answered"),
        200,
    );
    let old = format!(
        "/api/v1/allocations/{}",
        held["items"][0]["id"].as_str().expect("an id")
    );
    let mut dry = wide.clone();
    dry["dry_run"] = json!(true);
    for (method, path, body) in [
        ("POST", "/api/v1/allocations", wide.clone()),
        ("POST", "/api/v1/allocations", dry),
        (
            "POST",
            "/api/v1/allocations/batch",
            json!({"requests": [wide], "atomic": false}),
        ),
        ("PATCH", &old, json!({"prefix_length": 27})),
        (
            "POST",
            "/api/v1/reservations",
            json!({"cidr": "11.255.0.0/16", "reason": "x"}),
        ),
        (
            "POST",
            "/api/v1/pools",
            json!({"name": "more", "ranges": ["12.0.0.0/16"]}),
        ),
        (
            "PATCH",
            "/api/v1/pools/wide",
            json!({"ranges": ["11.0.0.0/8", "12.0.0.0/16"]}),
        ),
        (
            "POST",
            "/api/v1/import",
            json!([{"vpc": "prod", "name": "imported", "cidr": "11.254.0.0/28"}]),
        ),
    ] {
        let reply = client
            .send(method, path, &[], &body)
            .await
            .expect("answered");
        assert_eq!(
            (reply.status, &reply.json["code"]),
            (503, &json!("restored")),
            "{method} {path}: {}",
            reply.json
        );
        let detail = reply.json["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("ipam reconcile"), "{detail}");
    }
    // The real client says it at once: repeating is of no use until an operator has done something.
    let begin = Instant::now();
    let asked = Command::new(ipam_binary())
        .args([
            "allocate",
            "prod",
            "--hosts",
            "20",
            "--endpoint",
            &server.url(),
        ])
        .env("API_KEY", TestServer::API_KEY)
        .output()
        .expect("ipam can be started");
    assert!(!asked.status.success());
    assert!(text(&asked).contains("ipam reconcile"), "{}", text(&asked));
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "it took {:?}",
        begin.elapsed()
    );
    let legacy = json!({"vpc": "prod", "hosts": 20});
    let reply = client.post("/allocate", &legacy).await.expect("answered");
    assert_eq!(reply.status, 503, "{}", reply.json);
    let patch = json!({"description": "still changed"});
    ok(
        client
            .send("PATCH", &old, &[], &patch)
            .await
            .expect("answered"),
        200,
    );
    let ready = ok(client.get("/readyz").await.expect("answered"), 200);
    assert!(
        ready["restored"].to_string().contains("ipam reconcile"),
        "{ready}"
    );
    assert!(
        server.log().contains("restored from a backup"),
        "{}",
        server.log()
    );
    let verified = ipam(&["verify"], database);
    assert!(!verified.status.success());
    assert!(
        text(&verified).contains("restored from a backup"),
        "{}",
        text(&verified)
    );
}

#[tokio::test]
async fn what_was_acknowledged_after_the_dump_is_not_handed_out_again() {
    let first = TestDatabase::empty().await;
    let server = TestServer::start(&first).await;
    let mut client = connect(&server).await;
    let pool = json!({"name": "wide", "ranges": ["11.0.0.0/8"], "max_prefix_length": 28});
    ok(
        client.post("/api/v1/pools", &pool).await.expect("answered"),
        201,
    );
    allocate(&mut client, "old", 5_000).await;
    let dir = tempfile::tempdir().expect("a directory");
    let backup = dir.path().join("backup.sql");
    std::fs::write(&backup, dump(&first.connect_options()).await).expect("written");
    let later = allocate(&mut client, "new", 500).await;
    let export = dir.path().join("export.csv");
    let exported = Command::new(ipam_binary())
        .args(["export", "--endpoint", &server.url(), "--output"])
        .arg(&export)
        .env("API_KEY", TestServer::API_KEY)
        .output()
        .expect("ipam can be started");
    assert!(exported.status.success(), "{}", text(&exported));
    drop((client, server));

    let cluster = ThrowAwayCluster::start().await.expect("a second cluster");
    let url = cluster.url();
    let options: PgConnectOptions = url.parse().expect("a URL");
    restore(&options, &backup).await;
    let server = TestServer::start_with(&url, &[]).await;
    let mut client = connect(&server).await;
    refuses(&mut client, &server, &url).await;

    // A start says it again, and migrating does not make the place its home.
    let migrated = ipam(&["migrate"], &url);
    assert!(migrated.status.success(), "{}", text(&migrated));
    refuses(&mut client, &server, &url).await;

    let export = export.to_str().expect("UTF-8").to_owned();
    let done = ipam(&["reconcile", "--export", &export], &url);
    assert!(done.status.success(), "{}", text(&done));
    assert!(
        text(&done).contains("500 networks were reserved"),
        "{}",
        text(&done)
    );
    let mut made = BTreeSet::from([until_allocating(&mut client).await]);
    made.extend(allocate(&mut client, "newer", 1_000).await);
    let later: Vec<Cidr> = later
        .iter()
        .map(|cidr| cidr.parse().expect("a CIDR"))
        .collect();
    for cidr in &made {
        let cidr: Cidr = cidr.parse().expect("a CIDR");
        assert!(
            later.iter().all(|other| !other.overlaps(cidr)),
            "{cidr} was acknowledged after the dump"
        );
    }
    let verified = ipam(&["verify"], &url);
    assert!(verified.status.success(), "{}", text(&verified));
    let again = ipam(&["reconcile", "--accept-loss"], &url);
    assert!(
        text(&again).contains("nothing to reconcile"),
        "{}",
        text(&again)
    );
    drop((client, server));
    cluster.stop().await.expect("stopped");
}

/// Puts a dump of a database into another one of the same cluster, or into the same after it was emptied.
async fn put(file: &Path, database: &PgConnectOptions) {
    let mut db = database.clone().connect().await.expect("connected");
    sqlx::raw_sql("drop schema public cascade; drop schema if exists ipam_scoped cascade; create schema public")
        .execute(&mut db)
        .await
        .expect("emptied");
    restore(database, file).await;
}

#[tokio::test]
async fn a_restore_in_the_same_cluster_is_noticed_while_the_server_runs() {
    let (first, second) = (TestDatabase::empty().await, TestDatabase::empty().await);
    let mut server = TestServer::start(&first).await;
    let mut client = connect(&server).await;
    let pool = json!({"name": "wide", "ranges": ["11.0.0.0/8"], "max_prefix_length": 28});
    ok(
        client.post("/api/v1/pools", &pool).await.expect("answered"),
        201,
    );
    allocate(&mut client, "old", 10).await;
    let dir = tempfile::tempdir().expect("a directory");
    let backup = dir.path().join("backup.sql");
    std::fs::write(&backup, dump(&first.connect_options()).await).expect("written");

    // Restarting where it was made changes nothing.
    drop(client);
    server.stop().await;
    server.restart().await;
    let mut client = connect(&server).await;
    allocate(&mut client, "more", 10).await;

    put(&backup, &second.connect_options()).await;
    let other = TestServer::start(&second).await;
    refuses(&mut connect(&other).await, &other, &second.url()).await;
    // Moving on purpose is one command.
    let moved = ipam(&["reconcile", "--moved"], &second.url());
    assert!(moved.status.success(), "{}", text(&moved));
    until_allocating(&mut connect(&other).await).await;

    // Under a server that runs.
    put(&backup, &first.connect_options()).await;
    for _ in 0..300 {
        let ready = ok(client.get("/readyz").await.expect("answered"), 200);
        if !ready["restored"].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    refuses(&mut client, &server, &first.url()).await;
    let bare = ipam(&["reconcile"], &first.url());
    assert_eq!(bare.status.code(), Some(2), "{}", text(&bare));
    let lost = ipam(&["reconcile", "--accept-loss"], &first.url());
    assert!(lost.status.success(), "{}", text(&lost));
    until_allocating(&mut client).await;
}

const PLAIN: &str = "plain_owner";

/// Makes a role that is no superuser the owner of a database, and forbids it to read the system identifier; its URL.
async fn plain(database: &TestDatabase) -> PgConnectOptions {
    let options = database.connect_options();
    let (role, name) = (PLAIN, options.get_database().expect("a database"));
    let mut db = database.connect().await;
    for statement in [
        format!(
            "do $$ begin create role {role} login password '{role}';
            exception when duplicate_object or unique_violation then null; end $$"
        ),
        format!("alter database \"{name}\" owner to {role}"),
        "revoke execute on function pg_control_system() from public".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut db)
            .await
            .expect("as a superuser");
    }
    options.username(role).password(role)
}

async fn execute(database: &PgConnectOptions, statement: &'static str) {
    let mut db = database.clone().connect().await.expect("connected");
    sqlx::raw_sql(statement)
        .execute(&mut db)
        .await
        .expect(statement);
}

#[tokio::test]
async fn a_role_that_may_not_read_the_system_identifier_knows_a_restored_dump_too() {
    let databases = (TestDatabase::empty().await, TestDatabase::empty().await);
    let (first, second) = (plain(&databases.0).await, plain(&databases.1).await);
    let url = |options: &PgConnectOptions| options.to_url_lossy().to_string();
    let mut server = TestServer::start_with(&url(&first), &[]).await;
    let mut client = connect(&server).await;
    let pool = json!({"name": "wide", "ranges": ["11.0.0.0/8"], "max_prefix_length": 28});
    ok(
        client.post("/api/v1/pools", &pool).await.expect("answered"),
        201,
    );
    allocate(&mut client, "old", 10).await;
    let mut db = first.clone().connect().await.expect("connected");
    let known: Option<i64> = sqlx::query_scalar("select system_identifier from origin")
        .fetch_one(&mut db)
        .await
        .expect("a row");
    assert_eq!(known, None, "it must not be able to read it");
    let dir = tempfile::tempdir().expect("a directory");
    let backup = dir.path().join("backup.sql");
    let dumped = dump(&databases.0.connect_options()).await;
    let dumped = format!("set role {PLAIN};\n{dumped}");
    std::fs::write(&backup, dumped).expect("written");

    // Nothing that happens to the row where it is makes it look like another one.
    execute(&first, "vacuum (full, freeze) origin").await;
    drop(client);
    server.stop().await;
    server.restart().await;
    allocate(&mut connect(&server).await, "more", 10).await;

    execute(&second, "drop schema public").await;
    execute(&second, "create schema public").await;
    restore(&databases.1.connect_options(), &backup).await;
    let other = TestServer::start_with(&url(&second), &[]).await;
    refuses(&mut connect(&other).await, &other, &url(&second)).await;

    // Two clusters that were filled by the same steps give the same ids to database and table.
    execute(
        &second,
        "update origin set (database_id, relation_id) = (select database_id, relation_id from ipam_present_origin())",
    )
    .await;
    drop(other);
    let other = TestServer::start_with(&url(&second), &[]).await;
    refuses(&mut connect(&other).await, &other, &url(&second)).await;

    let moved = ipam(&["reconcile", "--moved"], &url(&second));
    assert!(moved.status.success(), "{}", text(&moved));
    until_allocating(&mut connect(&other).await).await;
}

/// All events since a time, as whoever keeps them would fetch them: page by page into one file.
async fn events(client: &mut Client, after: &str) -> String {
    let (mut file, mut cursor) = (String::new(), String::new());
    loop {
        let path = format!("/api/v1/events?limit=20&after={after}{cursor}");
        let page = ok(client.get(&path).await.expect("answered"), 200);
        file += &page.to_string();
        let Some(next) = page["next_cursor"].as_str() else {
            return file;
        };
        cursor = format!("&cursor={next}");
    }
}

fn cidr_of(reply: &Value) -> Cidr {
    let text = reply["blocks"][0]["cidr"].as_str();
    let text = text.unwrap_or_else(|| panic!("no block: {reply}"));
    text.parse().expect("a CIDR")
}

/// A wide pool in each of two VRFs.
async fn furnish(client: &mut Client) {
    for (path, body) in [
        ("/api/v1/vrfs", json!({"name": "dev"})),
        (
            "/api/v1/pools",
            json!({"name": "wide", "ranges": ["11.0.0.0/8"], "max_prefix_length": 28}),
        ),
        (
            "/api/v1/pools",
            json!({"name": "wide-dev", "vrf": "dev", "ranges": ["11.0.0.0/8"], "max_prefix_length": 28}),
        ),
        ("/api/v1/vpcs", json!({"name": "dev-1", "vrf": "dev"})),
    ] {
        ok(client.post(path, &body).await.expect("answered"), 201);
    }
}

fn ask(vpc: &str, name: &str) -> Value {
    let pool = if vpc == "dev-1" { "wide-dev" } else { "wide" };
    json!({"vpc": vpc, "name": name, "pools": [pool], "prefix_length": 28})
}

/// New ones in both VRFs, one that is released again, one that grows, one of before that is released, and a reservation.
/// Answers what is taken by it, with its VRF.
async fn go_on_after_the_dump(client: &mut Client, held: &Value) -> Vec<(&'static str, Cidr)> {
    let mut later: Vec<(&'static str, Cidr)> = Vec::new();
    for number in 0..30 {
        for (vrf, vpc) in [("default", "prod"), ("dev", "dev-1")] {
            let made = client
                .post("/api/v1/allocations", &ask(vpc, &format!("new-{number}")))
                .await;
            let made = ok(made.expect("answered"), 201);
            let path = format!(
                "/api/v1/allocations/{}",
                made["id"].as_str().expect("an id")
            );
            if number == 7 {
                let gone = client.send("DELETE", &path, &[], &Value::Null).await;
                assert_eq!(gone.expect("answered").status, 204);
            } else {
                later.push((vrf, cidr_of(&made)));
            }
        }
    }
    let grown = client
        .post("/api/v1/allocations", &ask("prod", "grown"))
        .await;
    let grown = ok(grown.expect("answered"), 201);
    let path = format!(
        "/api/v1/allocations/{}",
        grown["id"].as_str().expect("an id")
    );
    let patch = client
        .send("PATCH", &path, &[], &json!({"prefix_length": 27}))
        .await;
    later.push(("default", cidr_of(&ok(patch.expect("answered"), 200))));
    let reserved = json!({"cidr": "11.0.128.0/20", "vrf": "dev", "reason": "office"});
    ok(
        client
            .post("/api/v1/reservations", &reserved)
            .await
            .expect("answered"),
        201,
    );
    later.push(("dev", "11.0.128.0/20".parse().expect("a CIDR")));
    let path = format!(
        "/api/v1/allocations/{}",
        held["id"].as_str().expect("an id")
    );
    let gone = client.send("DELETE", &path, &[], &Value::Null).await;
    assert_eq!(gone.expect("answered").status, 204);
    later
}

/// Many more, and none where something was acknowledged after the dump.
async fn allocate_around(client: &mut Client, later: &[(&str, Cidr)]) {
    for number in 0..200 {
        for (vrf, vpc) in [("default", "prod"), ("dev", "dev-1")] {
            let made = client
                .post("/api/v1/allocations", &ask(vpc, &format!("after-{number}")))
                .await;
            let cidr = cidr_of(&ok(made.expect("answered"), 201));
            assert!(
                later
                    .iter()
                    .all(|(other, taken)| *other != vrf || !taken.overlaps(cidr)),
                "{cidr} of VRF {vrf} was acknowledged after the dump"
            );
        }
    }
}

#[tokio::test]
async fn the_audit_log_tells_what_was_allocated_after_the_dump() {
    let (first, second) = (TestDatabase::empty().await, TestDatabase::empty().await);
    let server = TestServer::start(&first).await;
    let mut client = connect(&server).await;
    furnish(&mut client).await;
    let mut held = Vec::new();
    for name in ["old-0", "old-1", "old-2"] {
        let made = client.post("/api/v1/allocations", &ask("prod", name)).await;
        held.push(ok(made.expect("answered"), 201));
    }
    let before = ok(
        client
            .get("/api/v1/events?limit=3")
            .await
            .expect("answered"),
        200,
    );
    let before = before["items"][2]["at"]
        .as_str()
        .expect("a time")
        .to_owned();
    let dir = tempfile::tempdir().expect("a directory");
    let backup = dir.path().join("backup.sql");
    std::fs::write(&backup, dump(&first.connect_options()).await).expect("written");

    let later = go_on_after_the_dump(&mut client, &held[1]).await;
    let log = dir.path().join("events.json");
    std::fs::write(&log, events(&mut client, &before).await).expect("written");
    let late = dir.path().join("late.json");
    let since = ok(
        client
            .get("/api/v1/events?limit=5")
            .await
            .expect("answered"),
        200,
    );
    std::fs::write(&late, since.to_string()).expect("written");
    drop((client, server));

    put(&backup, &second.connect_options()).await;
    let server = TestServer::start(&second).await;
    let mut client = connect(&server).await;
    refuses(&mut client, &server, &second.url()).await;
    // Events that begin later than the database ends leave a gap.
    let late = late.to_str().expect("UTF-8");
    let gap = ipam(&["reconcile", "--events", late], &second.url());
    assert!(!gap.status.success());
    assert!(
        text(&gap).contains("is not in this database"),
        "{}",
        text(&gap)
    );
    let log = log.to_str().expect("UTF-8");
    let done = ipam(&["reconcile", "--events", log], &second.url());
    assert!(done.status.success(), "{}", text(&done));
    assert!(
        text(&done).contains(&format!("{} networks were reserved", later.len())),
        "{}",
        text(&done)
    );
    until_allocating(&mut client).await;
    allocate_around(&mut client, &later).await;
    let verified = ipam(&["verify"], &second.url());
    assert!(verified.status.success(), "{}", text(&verified));
}
