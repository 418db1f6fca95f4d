//! PostgreSQL answers, and refuses or delays what it is asked for.

use std::time::{Duration, Instant};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{client::Client, send};

/// What does not depend on what is stuck is answered within this time, on a busy machine too.
const SOON: Duration = Duration::from_secs(3);

async fn run(db: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(db)
        .await
        .expect("it can be run");
}

/// More creations of VPCs than there are connections for changes wait for a lock.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_stuck_leave_reads_and_allocations_alone() {
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    let vpc = json!({"name": "there"});
    assert_eq!(
        send(&server, "POST", "/api/v1/vpcs", &vpc).await.status,
        201
    );
    let mut holder = database.connect().await;
    // As a creation whose server hangs before it commits.
    let hold = "begin; insert into vpc (vrf_id, name) select vrf_id, 'stuck' from vpc";
    run(&mut holder, hold.to_owned()).await;
    let stuck = (0..30).map(|_| {
        let address = server.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address).await.expect("the server listens");
            let body = json!({"name": "stuck"});
            let reply = client.post("/api/v1/vpcs", &body).await;
            reply.expect("each request is answered")
        })
    });
    let stuck: Vec<_> = stuck.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let begin = Instant::now();
    let mut writes = Value::Null;
    while begin.elapsed() < Duration::from_secs(6) {
        for path in ["/api/v1/vpcs", "/api/v1/pools", "/healthz", "/readyz"] {
            let asked = Instant::now();
            let reply = send(&server, "GET", path, &Value::Null).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.json);
            assert!(asked.elapsed() < SOON, "{path}: {:?}", asked.elapsed());
            if path == "/readyz" {
                writes = reply.json["parts"]["writes"].clone();
            }
        }
        let asked = Instant::now();
        let body = json!({"vpc": "there", "name": format!("n{:?}", begin.elapsed().as_micros()), "hosts": 5});
        let reply = send(&server, "POST", "/api/v1/allocations", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.json);
        assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    }
    assert!(writes.is_string(), "/readyz says that changes are stuck");

    run(&mut holder, "commit".to_owned()).await;
    for reply in stuck {
        let reply = reply.await.expect("no client fails");
        let code = reply.json["code"].as_str().unwrap_or_default();
        assert!(
            matches!(
                (reply.status, code),
                (409, "claimed") | (503, "unavailable" | "overloaded")
            ),
            "{}: {}",
            reply.status,
            reply.json
        );
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ready = send(&server, "GET", "/readyz", &Value::Null).await;
    assert_eq!(ready.json["parts"], Value::Null, "{}", ready.json);
}

/// Every kind of change, of every noun. `round` makes the names of what is made.
fn changes(round: &str, made: &Made) -> Vec<(&'static str, String, Value)> {
    let name = |noun: &str| format!("{noun}-{round}");
    let prefix = "/api/v1";
    vec![
        (
            "POST",
            format!("{prefix}/vrfs"),
            json!({ "name": name("vrf") }),
        ),
        (
            "PATCH",
            format!("{prefix}/vrfs/{}", made.vrf),
            json!({ "description": round }),
        ),
        (
            "POST",
            format!("{prefix}/pools"),
            json!({"name": name("pool"), "vrf": name("vrf"), "ranges": ["10.0.0.0/16"]}),
        ),
        (
            "PATCH",
            format!("{prefix}/pools/{}", made.pool),
            json!({ "description": round }),
        ),
        (
            "POST",
            format!("{prefix}/vpcs"),
            json!({ "name": name("vpc") }),
        ),
        (
            "PATCH",
            format!("{prefix}/vpcs/{}", made.vpc),
            json!({ "description": round }),
        ),
        (
            "POST",
            format!("{prefix}/profiles"),
            json!({"name": name("profile"), "members": [{"role": "node", "pool": "primary"}]}),
        ),
        (
            "POST",
            format!("{prefix}/reservations"),
            json!({"cidr": "10.200.0.0/24", "vrf": made.vrf_name, "reason": round}),
        ),
        (
            "PATCH",
            format!("{prefix}/allocations/{}", made.allocation),
            json!({ "description": round }),
        ),
        (
            "PATCH",
            format!("{prefix}/allocations/{}", made.allocation),
            json!({"hosts": 5}),
        ),
        (
            "POST",
            format!("{prefix}/allocations"),
            json!({"vpc": name("vpc"), "hosts": 5}),
        ),
        (
            "POST",
            format!("{prefix}/allocations/batch"),
            json!({"requests": [{"vpc": name("vpc"), "name": "one", "hosts": 5}, {"vpc": name("vpc"), "name": "two", "hosts": 5}]}),
        ),
        (
            "DELETE",
            format!("{prefix}/allocations/{}", made.allocation),
            Value::Null,
        ),
    ]
}

/// What there is to be changed.
struct Made {
    vrf: String,
    vrf_name: String,
    pool: String,
    vpc: String,
    allocation: String,
}

async fn make(server: &TestServer, round: &str) -> Made {
    let create = async |noun: &str, body: Value| {
        let reply = send(server, "POST", &format!("/api/v1/{noun}"), &body).await;
        assert_eq!(reply.status, 201, "{noun}: {}", reply.json);
        reply.json["id"].as_str().expect("an id").to_owned()
    };
    let vrf_name = format!("old-{round}");
    Made {
        vrf: create("vrfs", json!({ "name": vrf_name })).await,
        pool: create(
            "pools",
            json!({"name": vrf_name, "vrf": vrf_name, "ranges": ["10.0.0.0/8"]}),
        )
        .await,
        vpc: create("vpcs", json!({ "name": vrf_name })).await,
        allocation: create("allocations", json!({"vpc": vrf_name, "hosts": 200})).await,
        vrf_name,
    }
}

/// With the code that PostgreSQL gives when it can't extend a table, while it works and when it commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_changes_nothing_and_says_so() {
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    let mut db = database.connect().await;
    run(
        &mut db,
        "create function full_disk() returns trigger language plpgsql as $$ begin
            raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$"
            .to_owned(),
    )
    .await;
    for (round, trigger) in [
        (
            "early",
            "create trigger full_disk before insert on event for each row",
        ),
        (
            "late",
            "create constraint trigger full_disk after insert on event deferrable initially deferred for each row",
        ),
    ] {
        let made = make(&server, round).await;
        let count = "select (select count(*) from vrf) + (select count(*) from pool) + (select count(*) from vpc)
            + (select count(*) from profile) + (select count(*) from reservation) + (select count(*) from allocation)
            + (select sum(revision) from allocation) + (select count(*) from event)";
        let before: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select ({count})::bigint")))
            .fetch_one(&mut db)
            .await
            .expect("it can be counted");
        run(&mut db, format!("{trigger} execute function full_disk()")).await;
        for (method, path, body) in changes(round, &made) {
            let reply = send(&server, method, &path, &body).await;
            let code = reply.json["code"].as_str().unwrap_or_default();
            // What refers to something that could not be made is refused for that.
            let is_expected = matches!((reply.status, code), (503, "unavailable"))
                || (path.ends_with("pools") && reply.status == 404);
            assert!(
                is_expected,
                "{round}: {method} {path}: {} {}\n{}",
                reply.status,
                reply.json,
                server.log()
            );
            if reply.status == 503 {
                assert_eq!(reply.headers["retry-after"], "1", "{path}");
                let message = reply.json["detail"].as_str().unwrap_or_default();
                assert!(message.contains("disk space"), "{path}: {}", reply.json);
            }
        }
        run(&mut db, "drop trigger full_disk on event".to_owned()).await;
        let after: i64 = sqlx::query_scalar(AssertSqlSafe(format!("select ({count})::bigint")))
            .fetch_one(&mut db)
            .await
            .expect("it can be counted");
        assert_eq!(after, before, "nothing was changed");
        for (method, path, body) in changes(round, &made) {
            let reply = send(&server, method, &path, &body).await;
            assert!(reply.status < 300, "{method} {path}: {}", reply.json);
        }
    }
}

/// The role may have no more connections: those that it has are ended, and new ones refused (53300).
#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_heal_when_there_is_room_again() {
    let database = TestDatabase::empty().await;
    let mut db = database.connect().await;
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut db)
        .await
        .expect("it has a name");
    let limit = |limit: i32| format!(r#"alter role "{name}" connection limit {limit}"#);
    let end = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"
    );
    run(
        &mut db,
        format!(r#"create role "{name}" login; alter database "{name}" owner to "{name}"; alter schema public owner to "{name}""#),
    )
    .await;
    let options = database.connect_options().username(&name);
    let url = sqlx::ConnectOptions::to_url_lossy(&options).to_string();
    let server = TestServer::start_with(&url, &[]).await;
    let made = make(&server, "before").await;

    run(&mut db, limit(0)).await;
    run(&mut db, end).await;
    let begin = Instant::now();
    let asked = changes("none", &made)
        .into_iter()
        .map(|(method, path, body)| {
            let server = &server;
            async move {
                let reply = send(server, method, &path, &body).await;
                (method, path, reply)
            }
        });
    for (method, path, reply) in futures::future::join_all(asked).await {
        assert_eq!(reply.status, 503, "{method} {path}: {}", reply.json);
        assert_eq!(reply.json["code"], "unavailable", "{}", reply.json);
        assert_eq!(reply.headers["retry-after"], "1", "{path}");
    }
    let read = send(&server, "GET", "/api/v1/pools", &Value::Null).await;
    assert_eq!(read.status, 503, "{}", read.json);
    // A connection is waited for once, for 10 s; the read came after the others.
    assert!(
        begin.elapsed() < Duration::from_secs(28),
        "{:?}",
        begin.elapsed()
    );

    run(&mut db, limit(-1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (method, path, body) in changes("after", &made) {
        let reply = send(&server, method, &path, &body).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.json);
    }
    drop(server);
    // Roles outlive their databases, and this one owns all that is in its own.
    run(&mut db, format!(r#"reassign owned by "{name}" to current_user; drop owned by "{name}"; drop role "{name}""#)).await;
}
