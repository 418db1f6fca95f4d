//! What releases left behind is taken over: a dump of a database that an earlier one made is restored, migrated, verified,
//! and worked on. `docs/CONTRIBUTING.md` says how such a dump is made.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use ipam_server::{db::MIGRATOR, domain::Ipam};
use ipam_testing::{TestDatabase, TestServer, ipam_binary, restore};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

#[path = "support/client.rs"]
mod client;

use client::{Client, Reply};

/// The migrations of each release that is in use, with the first bytes of their SHA-384: none of them is ever edited.
const RELEASED: [(i64, &str); 20] = [
    (1, "411f4b83748375bb"),
    (2, "ade4fde348a36dc8"),
    (3, "ded2b4641fa2e774"),
    (4, "0a52dcddddcdcb1f"),
    (5, "bcfc76dcc447d476"),
    (6, "f7133013df086cdd"),
    (7, "684417da959b5e15"),
    (8, "bd78c79cb550d12a"),
    (9, "0a4469cb230eb5dc"),
    (10, "86ae3193f67f7071"),
    (11, "0d17b706530d0999"),
    (12, "4207f2acfe9332a8"),
    (13, "cecd56e0339eb22f"),
    (14, "4c5c9c43b46fc6f3"),
    (15, "f1d32dc18fcb0542"),
    (16, "81fc2fbc1a7cdd45"),
    (17, "61b4f50423a19642"),
    (18, "d60efdacc17a8364"),
    (19, "d81871844cc46003"),
    (20, "aca4bf47e1959857"),
];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.sql"))
}

async fn count(database: &TestDatabase, sql: &str) -> i64 {
    let mut db = database.connect().await;
    let count = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(&mut db)
        .await;
    count.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[track_caller]
fn ok(reply: Reply, status: u16) -> Value {
    let id = reply.headers.get("x-request-id");
    assert_eq!(reply.status, status, "{id:?}: {}", reply.json);
    reply.json
}

/// Those that are released are applied somewhere, and `sqlx` refuses a database whose migrations are not those it knows.
#[test]
fn released_migrations_are_never_edited() {
    let found: Vec<_> = MIGRATOR
        .iter()
        .map(|migration| {
            let sum: String = migration.checksum[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            (migration.version, sum)
        })
        .take(RELEASED.len())
        .collect();
    let expected: Vec<_> = RELEASED
        .iter()
        .map(|(version, sum)| (*version, (*sum).to_owned()))
        .collect();
    assert_eq!(found, expected, "write another migration instead");
}

/// What the fixture holds, so that it is not by accident that nothing of it can go wrong.
const HELD: [(&str, &str); 13] = [
    ("pools of each kind", "select (count(*) filter (where parent_pool_id is not null) >= 2 and count(distinct family) = 2
        and count(distinct strategy) >= 4 and count(distinct vrf_id) >= 2)::int::bigint from pool"),
    ("allocations of a profile and of pools", "select least(count(profile_id), count(*) - count(profile_id)) from allocation"),
    ("confirmed allocations", "select count(*) from allocation where confirmed_at is not null"),
    ("reservations with and without a block", "select (count(*) > count(block.cidr) and count(block.cidr) > 0)::int::bigint
        from reservation left join block using (reservation_id)"),
    ("cooldowns", "select count(*) from cooldown"),
    ("past blocks of allocations", "select count(allocation_id) from past_block"),
    ("past blocks of reservations", "select count(reservation_id) from past_block"),
    ("events", "select count(*) from event"),
    ("seals", "select count(*) from event_seal"),
    ("idempotency keys", "select count(*) from idempotency_key"),
    ("retired members of profiles", "select count(*) from profile_member where retired_at is not null"),
    ("VPCs without allocations", "select count(*) from vpc where not exists (select from allocation where allocation.vpc_id = vpc.vpc_id)"),
    ("numbers of the original API", "select count(number) from allocation"),
];

#[tokio::test]
async fn a_database_of_release_1_is_restored_migrated_verified_and_worked_on() {
    let database = migrated("release-1").await;
    work_on(&database).await;
}

/// The first one that remembers where it was made.
#[tokio::test]
async fn a_database_of_release_2_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-2").await;
}

/// The first one that remembers in which transaction it noted that.
#[tokio::test]
async fn a_database_of_release_3_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-3").await;
}

/// The first one in which everything has an owner.
#[tokio::test]
async fn a_database_of_release_4_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-4").await;
}

/// The first one in which a block that cools down is released in one statement, and case is folded by one rule.
#[tokio::test]
async fn a_database_of_release_5_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-5").await;
}

/// The first one that has tokens.
#[tokio::test]
async fn a_database_of_release_6_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-6").await;
}

/// The first one that has quotas and webhooks.
#[tokio::test]
async fn a_database_of_release_7_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-7").await;
}

/// The first one in which a reservation over several pools takes space for who sees one of them too.
#[tokio::test]
async fn a_database_of_release_8_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-8").await;
}

/// The first one in which a limited token sees of the past only what it covered to its end.
#[tokio::test]
async fn a_database_of_release_9_is_restored_migrated_reconciled_verified_and_worked_on() {
    reconciled("release-9").await;
}

/// Who owns what is kept, and of what is from before only what is known is said.
#[tokio::test]
async fn owners_are_kept_and_those_of_before_are_not_made_up() {
    let database = migrated("release-4").await;
    for table in ["vrf", "pool", "profile", "vpc", "reservation", "allocation"] {
        let owned =
            format!("select count(*) from {table} where owner = 'ws-1' and created_by = 'admin'");
        assert_eq!(count(&database, &owned).await, 1, "{table}");
    }
    let adopted =
        "select count(*) from event where action in ('vrf.adopt', 'vpc.adopt', 'vpc.confirm')";
    assert_eq!(count(&database, adopted).await, 3);

    let database = migrated("release-3").await;
    let known = "select (select count(created_by) + count(owner) + count(confirmed_at) from vrf)
        + (select count(created_by) + count(owner) + count(confirmed_at) from pool)
        + (select count(created_by) + count(owner) + count(confirmed_at) from profile)
        + (select count(created_by) + count(owner) + count(confirmed_at) from vpc)";
    assert_eq!(count(&database, known).await, 0);
    // Those that an allocation made, and neither those that were asked for nor one that was moved to.
    let implicit = "select count(*) from vpc where implicit";
    assert_eq!(count(&database, implicit).await, 3);
    let named = "select count(*) from vpc where implicit and name in ('prod', 'batch', 'legacy')";
    assert_eq!(count(&database, named).await, 3);
}

/// A database that knows that it was restored hands out nothing before somebody has said what became of the rest.
async fn reconciled(release: &str) {
    let database = migrated(release).await;
    let server = TestServer::start(&database).await;
    let mut client = Client::connect(server.address()).await.expect("connected");
    let new = json!({"vpc": "prod", "name": "too-early", "hosts": 10});
    let refused = client.post("/api/v1/allocations", &new).await;
    let refused = ok(refused.expect("answered"), 503);
    assert_eq!(refused["code"], "restored", "{refused}");
    drop((client, server));
    let report = Ipam::new(database.pool(2))
        .verify()
        .await
        .expect("verified");
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);

    ipam(&["reconcile", "--moved"], &database);
    work_on(&database).await;
}

/// What that release left behind, with the schema of today and nothing lost.
async fn migrated(release: &str) -> TestDatabase {
    let database = TestDatabase::empty().await;
    restore(&database.connect_options(), &fixture(release)).await;
    for (what, sql) in HELD {
        assert!(count(&database, sql).await > 0, "the fixture has no {what}");
    }
    let tables = [
        "vrf",
        "vpc",
        "pool",
        "pool_range",
        "profile_member",
        "allocation",
        "block",
        "reservation",
        "cooldown",
        "past_block",
        "event",
        "event_seal",
        "idempotency_key",
        "free_block",
    ];
    let mut before = BTreeMap::new();
    for table in tables {
        before.insert(
            table,
            count(&database, &format!("select count(*) from {table}")).await,
        );
    }
    MIGRATOR
        .run(&mut database.connect().await)
        .await
        .expect("it is migrated");
    for (table, rows) in before {
        let now = count(&database, &format!("select count(*) from {table}")).await;
        assert_eq!(now, rows, "rows of {table}");
    }
    database
}

/// It is sound, what it holds is found, and what is new gets what nobody has.
async fn work_on(database: &TestDatabase) {
    verify(database).await;
    let server = TestServer::start(database).await;
    let mut client = Client::connect(server.address()).await.expect("connected");
    // What was asked for is answered as before.
    let again = json!({"vpc": "prod", "name": "default-size", "pools": ["corp"]});
    let again = ok(
        client
            .post("/api/v1/allocations", &again)
            .await
            .expect("answered"),
        200,
    );
    let held = ok(
        client
            .get("/api/v1/allocations?vpc=prod&name=default-size")
            .await
            .expect("answered"),
        200,
    );
    assert_eq!(again["id"], held["items"][0]["id"]);
    // What is new gets what nobody has: from a profile, from a child pool, from the pool where something cools down.
    for (name, request) in [
        ("pair", json!({"hosts": 300})),
        ("berlin-2", json!({"pools": ["corp-berlin"], "hosts": 20})),
        ("slow-2", json!({"pools": ["slow"], "prefix_length": 26})),
        ("lab-2", json!({"vrf": "dev", "prefix_length": 25})),
        ("six-2", json!({"pools": ["six"]})),
    ] {
        let mut body = request;
        let vpc = if body["vrf"] == "dev" {
            "dev-1"
        } else {
            "prod"
        };
        body["vpc"] = json!(vpc);
        body["name"] = json!(name);
        let made = ok(
            client
                .post("/api/v1/allocations", &body)
                .await
                .expect("answered"),
            201,
        );
        let blocks = made["blocks"].as_array().expect("blocks");
        assert!(!blocks.is_empty(), "{made}");
        let id = made["id"].as_str().expect("an id");
        if name == "pair" {
            let path = format!("/api/v1/allocations/{id}");
            let patch = json!({"prefix_length": 24});
            ok(
                client
                    .send("PATCH", &path, &[], &patch)
                    .await
                    .expect("answered"),
                200,
            );
            assert_eq!(
                client
                    .send("DELETE", &path, &[], &Value::Null)
                    .await
                    .expect("answered")
                    .status,
                204
            );
        }
    }
    // History from before the migration, and from after it.
    let history = ok(
        client
            .get("/api/v1/history?cidr=10.0.0.0/16&limit=100")
            .await
            .expect("answered"),
        200,
    );
    let names: Vec<_> = history["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert!(names.contains(&"gone"), "{names:?}");
    assert!(names.contains(&"pair"), "{names:?}");
    let cooling = ok(
        client
            .get("/api/v1/history?cidr=192.168.0.0/20")
            .await
            .expect("answered"),
        200,
    );
    assert!(
        cooling["items"].to_string().contains("cooling"),
        "{cooling}"
    );
    verify(database).await;
}

/// In process, and with the command.
async fn verify(database: &TestDatabase) {
    let report = Ipam::new(database.pool(2))
        .verify()
        .await
        .expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.sealed_events > 0);
    ipam(&["verify"], database);
}

/// A command on that database, which has to succeed.
fn ipam(arguments: &[&str], database: &TestDatabase) {
    let output = Command::new(ipam_binary())
        .args(arguments)
        .args(["--database-url", &database.url()])
        .output()
        .expect("ipam can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
