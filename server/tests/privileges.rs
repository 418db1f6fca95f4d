//! The role that a server connects as: all that a server does works with it, and nothing that would change the tables, or
//! what is recorded as history. All tests of the API run with that role too.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use ipam_server::{
    db::{MIGRATOR, privileges},
    postgres::{Managed, Options},
};
use ipam_testing::{TestDatabase, TestServer, ipam_binary};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, postgres::PgConnectOptions,
};

#[path = "support/client.rs"]
mod client;
#[path = "support/server_role.rs"]
mod server_role;

use client::Client;

const ALLOCATIONS: &str = "/api/v1/allocations";

/// A database that belongs to a role which is no superuser, and a role for servers, which owns nothing.
struct World {
    database: TestDatabase,
    owner: PgConnectOptions,
    server: PgConnectOptions,
    server_name: String,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::empty().await;
        let name = database
            .connect_options()
            .get_database()
            .unwrap()
            .to_owned();
        let (owner_name, server_name) = (format!("owner_{name}"), format!("server-{name}"));
        let mut superuser = database.connect().await;
        for statement in [
            format!("create role {owner_name} login"),
            // A name that has to be quoted.
            format!("create role \"{server_name}\" login"),
            format!("alter database \"{name}\" owner to {owner_name}"),
        ] {
            superuser.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        let options = database.connect_options();
        Self {
            owner: options.clone().username(&owner_name),
            server: options.username(&server_name),
            server_name,
            database,
        }
    }

    /// Runs a command as one of the roles.
    fn run(role: &PgConnectOptions, arguments: &[&str]) -> Output {
        Command::new(ipam_binary())
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", role.to_url_lossy().to_string())
            .env("IPAM_DATABASE_WAIT", "2")
            .env("API_KEY", TestServer::API_KEY)
            .output()
            .unwrap()
    }

    fn migrate(&self) {
        let output = Self::run(&self.owner, &["migrate", "--grant-to", &self.server_name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&self.server_name), "{said}");
    }

    async fn start(&self) -> TestServer {
        let url = self.server.to_url_lossy().to_string();
        TestServer::start_with(&url, &[("IPAM_NO_MIGRATE", "true")]).await
    }
}

async fn ok(client: &mut Client, method: &str, path: &str, body: Value, status: u16) -> Value {
    let reply = client.send(method, path, &[], &body).await.unwrap();
    assert_eq!(
        reply.status, status,
        "{method} {path} {body}: {}",
        reply.json
    );
    reply.json
}

fn path(noun: &str, made: &Value) -> String {
    format!("/api/v1/{noun}/{}", made["id"].as_str().unwrap())
}

/// The whole life of every noun.
async fn live(server: &TestServer) {
    // Every kind of line, history and numbers included; a new number is far ahead.
    let imported = import(server, include_str!("fixtures/export-1.ndjson"));
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(imported.status.success(), "{said}");
    let far = json!({"kind": "allocation", "vpc": "far", "name": "far", "pool": "primary", "cidr": "10.0.128.0/24",
        "number": 5_000_000});
    let imported = import(server, &format!("{far}\n"));
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(imported.status.success(), "{said}");

    let client = &mut Client::connect(server.address()).await.unwrap();
    let vrf = ok(client, "POST", "/api/v1/vrfs", json!({"name": "life"}), 201).await;
    let text = json!({"description": "d"});
    ok(client, "PATCH", &path("vrfs", &vrf), text.clone(), 200).await;
    let wide = json!({"name": "wide", "vrf": "life", "ranges": ["172.16.0.0/16", "172.20.0.0/28"],
        "default_prefix_length": 28, "release_cooldown_seconds": 1});
    let wide = ok(client, "POST", "/api/v1/pools", wide, 201).await;
    let child = json!({"name": "child", "vrf": "life", "parent": "wide", "range_prefix_lengths": [24],
        "default_prefix_length": 28});
    let child = ok(client, "POST", "/api/v1/pools", child, 201).await;
    let six =
        json!({"name": "v6", "vrf": "life", "ranges": ["fd00::/48"], "default_prefix_length": 64});
    ok(client, "POST", "/api/v1/pools", six, 201).await;
    for ranges in [&["172.16.0.0/16"][..], &["172.16.0.0/16", "172.21.0.0/24"]] {
        let change = json!({"ranges": ranges, "description": "d"});
        ok(client, "PATCH", &path("pools", &wide), change, 200).await;
    }
    let members = json!([{"pool": "wide", "role": "nodes"}, {"pool": "v6", "role": "six", "size_offset": 36}]);
    let profile = json!({"name": "both", "members": members});
    let profile = ok(client, "POST", "/api/v1/profiles", profile, 201).await;
    let members = json!({"members": [{"pool": "wide", "role": "nodes"}]});
    ok(client, "PATCH", &path("profiles", &profile), members, 200).await;
    let vpc = json!({"name": "lively", "vrf": "life"});
    let vpc = ok(client, "POST", "/api/v1/vpcs", vpc, 201).await;
    ok(client, "PATCH", &path("vpcs", &vpc), text, 200).await;
    let reservation = json!({"vrf": "life", "cidr": "172.16.9.0/24", "reason": "elsewhere"});
    let reservation = ok(client, "POST", "/api/v1/reservations", reservation, 201).await;
    let reason = json!({"reason": "other"});
    ok(
        client,
        "PATCH",
        &path("reservations", &reservation),
        reason,
        200,
    )
    .await;

    // Alone, by profile, with a key, in batches, of a child pool; larger, smaller, renamed, moved, released, taken again.
    let ask = json!({"vpc": "lively", "name": "a", "pools": ["wide"], "prefix_length": 26});
    let a = ok(client, "POST", ALLOCATIONS, ask.clone(), 201).await;
    ok(client, "POST", ALLOCATIONS, ask, 200).await;
    for length in [25, 27] {
        let size = json!({"prefix_length": length});
        ok(client, "PATCH", &path("allocations", &a), size, 200).await;
    }
    let other = json!({"name": "other", "vrf": "life"});
    ok(client, "POST", "/api/v1/vpcs", other, 201).await;
    let change = json!({"name": "b", "labels": {"a": "b"}, "vpc": "other"});
    ok(client, "PATCH", &path("allocations", &a), change, 200).await;
    let of_profile = json!({"vpc": "lively", "profile": "both", "prefix_length": 28});
    let keyed = [("idempotency-key", "k")];
    for status in [201, 200] {
        let reply = client
            .send("POST", ALLOCATIONS, &keyed, &of_profile)
            .await
            .unwrap();
        assert_eq!(reply.status, status, "{}", reply.json);
    }
    for atomic in [true, false] {
        let batch = json!({"atomic": atomic, "requests": [
            {"vpc": "lively", "name": format!("one-{atomic}"), "pools": ["child"]},
            {"vpc": "first-use", "vrf": "life", "pools": ["wide"], "prefix_length": 28},
        ]});
        let done = ok(client, "POST", "/api/v1/allocations/batch", batch, 200).await;
        assert_eq!(done["succeeded"], 2, "{done}");
    }
    ok(client, "DELETE", &path("allocations", &a), Value::Null, 204).await;
    let again = json!({"vpc": "other", "name": "b", "pools": ["wide"], "prefix_length": 27});
    let again = ok(client, "POST", ALLOCATIONS, again, 201).await;
    let claim = again["claim"].as_str().unwrap();
    let shown = [("ipam-claim", claim)];
    let place = path("allocations", &again);
    let read = client
        .send("GET", &place, &shown, &Value::Null)
        .await
        .unwrap();
    assert_eq!(read.json["confirmed"], true, "{:?}", read.headers);
    for path in ["/api/v1/events", "/api/v1/pools", "/api/v1/vpcs", "/readyz"] {
        assert_eq!(client.get(path).await.unwrap().status, 200, "{path}");
    }

    // And away with all of it.
    ok(
        client,
        "DELETE",
        &path("reservations", &reservation),
        Value::Null,
        204,
    )
    .await;
    for vpc in ["lively", "other", "first-use"] {
        let all = format!("/api/v1/allocations?vpc={vpc}");
        let listed = ok(client, "GET", &all, Value::Null, 200).await;
        for allocation in listed["items"].as_array().unwrap() {
            ok(
                client,
                "DELETE",
                &path("allocations", allocation),
                Value::Null,
                204,
            )
            .await;
        }
    }
    // Cooldowns end in the background.
    let deadline = Instant::now() + Duration::from_secs(20);
    for gone in [
        path("profiles", &profile),
        path("pools", &child),
        path("pools", &wide),
    ] {
        loop {
            let reply = client
                .send("DELETE", &gone, &[], &Value::Null)
                .await
                .unwrap();
            if reply.status == 204 {
                break;
            }
            assert!(Instant::now() < deadline, "{gone}: {}", reply.json);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    ok(client, "DELETE", &path("vpcs", &vpc), Value::Null, 200).await;
}

fn import(server: &TestServer, lines: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plan.ndjson");
    std::fs::write(&file, lines).unwrap();
    Command::new(ipam_binary())
        .args([
            "import",
            file.to_str().unwrap(),
            "--endpoint",
            &server.url(),
        ])
        .env_clear()
        .env("IPAM_API_KEY", TestServer::API_KEY)
        .output()
        .unwrap()
}

async fn count(db: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(db)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_needs_no_more_than_it_is_given() {
    let world = World::new().await;
    // May be repeated, as it is with each release, and by several at once.
    let all = std::thread::scope(|scope| {
        let begun = [(); 4].map(|()| scope.spawn(|| world.migrate()));
        begun.map(|migrating| migrating.join())
    });
    assert!(all.iter().all(Result::is_ok));
    world.migrate();
    let mut server = world.start().await;
    live(&server).await;
    let mut superuser = world.database.connect().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let unsealed = "select count(*) from event where event_id > (select coalesce(max(last_event_id), 0) from event_seal)";
    while count(&mut superuser, unsealed).await > 0 {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let verified = World::run(&world.server, &["verify"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    for word in ["permission denied", "42501", "could rewrite history"] {
        assert!(!server.log().contains(word), "{word}: {}", server.log());
    }
    // That the tests' PostgreSQL does not wait for the disk is one.
    let errors = server.log().matches("\"level\":\"ERROR\"").count();
    assert_eq!(errors, 1, "{}", server.log());
    assert!(server.stop().await.success());

    // A database that was made elsewhere, as it is after a restore.
    superuser
        .execute("update origin set database_id = 1")
        .await
        .unwrap();
    let events = "select count(*) from event where action = 'database.reconcile'";
    assert_eq!(count(&mut superuser, events).await, 0);
    let reconcile = ["reconcile", "--accept-loss", "--no-migrate"];
    let reconciled = World::run(&world.server, &reconcile);
    assert!(
        reconciled.status.success(),
        "{}",
        String::from_utf8_lossy(&reconciled.stderr)
    );
    assert_eq!(count(&mut superuser, events).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_server_can_neither_change_tables_nor_history() {
    let world = World::new().await;
    world.migrate();
    let server = world.start().await;
    let client = &mut Client::connect(server.address()).await.unwrap();
    let ask = json!({"vpc": "prod", "name": "a", "hosts": 5});
    let made = client.post(ALLOCATIONS, &ask).await.unwrap().json;
    ok(
        client,
        "DELETE",
        &path("allocations", &made),
        Value::Null,
        204,
    )
    .await;
    let mut db = world.server.connect().await.unwrap();
    let owner = world.owner.get_username().to_owned();
    let itself = format!("\"{}\"", world.server_name);
    let deadline = Instant::now() + Duration::from_secs(20);
    while count(&mut db, "select count(*) from event_seal").await == 0 {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut statements = Vec::new();
    for (table, column) in [
        ("event", "actor"),
        ("event_seal", "digest"),
        ("past_block", "role"),
    ] {
        statements.extend([
            format!("update {table} set {column} = {column}"),
            format!("update {table} set {column} = {column} where false"),
            format!("delete from {table}"),
            format!("delete from {table} where false"),
            format!("truncate {table}"),
            format!("truncate {table} cascade"),
            format!("select from {table} for update"),
            format!("begin; lock table {table} in access exclusive mode"),
            format!("merge into {table} using (select 1) as one on true when matched then delete"),
            format!("drop table {table}"),
            format!("alter table {table} disable trigger all"),
            format!("alter table {table} disable trigger user"),
            format!("alter table {table} add column evil text"),
            format!("alter table {table} owner to {itself}"),
            format!("alter table {table} rename to other"),
            format!("create trigger evil before insert on {table} for each row execute function ipam_refuse()"),
            format!("create rule evil as on insert to {table} do instead nothing"),
            format!("create policy evil on {table}"),
            format!("create index on {table} ((1))"),
            format!("copy {table} to program 'cat'"),
            format!("copy {table} from program 'echo'"),
            format!("copy {table} to '/tmp/evil'"),
        ]);
    }
    for trigger in ["event_append_only", "event_no_truncate"] {
        statements.push(format!("drop trigger {trigger} on event"));
    }
    for table in [
        "vrf",
        "pool",
        "allocation",
        "block",
        "free_block",
        "origin",
        "_sqlx_migrations",
    ] {
        statements.push(format!("truncate {table} cascade"));
        statements.push(format!("drop table {table} cascade"));
        statements.push(format!("alter table {table} disable trigger all"));
    }
    for statement in [
        "update block set cidr = cidr",
        "update pool_range set cidr = cidr",
        "delete from origin",
        "insert into origin (database_id, relation_id) values (1, 1)",
        "delete from address_plan",
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, '', true, '', 0)",
        "update _sqlx_migrations set checksum = ''",
        "delete from _sqlx_migrations",
        "alter table block drop constraint block_pkey",
        "alter sequence event_event_id_seq restart",
        "select setval('event_event_id_seq', 1)",
        "select nextval('event_event_id_seq')",
        "create table evil (a int)",
        "create view evil as select 1",
        "create schema evil",
        "create type evil as enum ('a')",
        "create function evil() returns int language sql as 'select 1'",
        "create or replace function ipam_refuse() returns trigger language plpgsql as 'begin return new; end'",
        "create or replace function ipam_lost_race() returns boolean language sql as 'select true'",
        "alter function ipam_refuse() rename to other",
        "drop function ipam_refuse() cascade",
        "create extension pgcrypto",
        "drop extension btree_gist cascade",
        "set session_replication_role = replica",
        "set local session_replication_role = 'replica'",
        "select set_config('session_replication_role', 'replica', false)",
        "create role evil",
        "create role evil superuser login",
        "alter role postgres password 'a'",
        "create database evil",
        "drop owned by current_user cascade; drop table event",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('.')",
        "select lo_import('/etc/passwd')",
        "select pg_reload_conf()",
        "alter system set fsync = off",
        "create publication evil for table event",
        "create event trigger evil on ddl_command_start execute function ipam_refuse()",
        "set role postgres",
        "set session authorization postgres",
        "grant pg_execute_server_program to current_user",
    ] {
        statements.push(statement.to_owned());
    }
    statements.extend([
        format!("set role {owner}"),
        format!("set session authorization {owner}"),
        format!("grant {owner} to {itself}"),
        format!("alter role {itself} superuser"),
        format!("alter role {itself} createrole"),
        format!("alter schema public owner to {itself}"),
        format!("reassign owned by {owner} to {itself}"),
        format!("alter default privileges for role {owner} grant all on tables to {itself}"),
    ]);
    assert!(statements.len() > 100);
    let events = "select count(*) from event";
    let before = count(&mut db, events).await;
    let mut allowed = Vec::new();
    for statement in &statements {
        let mut db = world.server.connect().await.unwrap();
        let refused = db.execute(AssertSqlSafe(statement.clone())).await;
        match refused
            .as_ref()
            .err()
            .and_then(|error| error.as_database_error())
        {
            Some(error) if error.code().as_deref() == Some("42501") => {}
            _ => allowed.push(format!("{statement}: {refused:?}")),
        }
    }
    assert!(allowed.is_empty(), "{allowed:#?}");
    // Who has no right to hand on gives itself nothing; PostgreSQL only warns.
    for statement in [
        format!("grant update, delete, truncate on event, event_seal, past_block to {itself}"),
        format!("grant all on all tables in schema public to {itself}"),
        format!("grant create on schema public to {itself}"),
    ] {
        _ = db.execute(AssertSqlSafe(statement)).await;
    }
    for statement in [
        "delete from event",
        "delete from event_seal",
        "delete from past_block",
        "create table evil (a int)",
    ] {
        let refused = db.execute(statement).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().unwrap().code().as_deref(),
            Some("42501")
        );
    }
    assert_eq!(count(&mut db, events).await, before);
    let verified = World::run(&world.server, &["verify"]);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

/// A new table belongs into the list of `db/privileges.rs`, or servers may not use it.
#[tokio::test]
async fn every_table_is_in_the_list() {
    let database = TestDatabase::new().await;
    let options = server_role::of(&database).await;
    let mut db = options.connect().await.unwrap();
    let of = |privilege: &str| {
        format!(
            "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' \
             and has_table_privilege(oid, '{privilege}') order by 1"
        )
    };
    let mut tables = async |sql: &str| -> BTreeSet<String> {
        let names = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut db)
            .await;
        names.unwrap().into_iter().collect()
    };
    let all = "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
    let all = tables(all).await;
    assert!(all.len() >= 19, "{all:?}");
    assert_eq!(tables(&of("select")).await, all);
    let append_only =
        "select tgrelid::regclass::text from pg_trigger join pg_proc on pg_proc.oid = tgfoid
        where proname = 'ipam_refuse' and tgname like '%_no_truncate'";
    let append_only = tables(append_only).await;
    assert_eq!(append_only.len(), 3, "{append_only:?}");
    for privilege in ["update", "delete", "truncate", "references", "trigger"] {
        let may = tables(&of(privilege)).await;
        assert!(may.is_disjoint(&append_only), "{privilege}: {may:?}");
        assert!(!may.contains("_sqlx_migrations"), "{privilege}");
    }
    for privilege in ["truncate", "references", "trigger"] {
        assert!(tables(&of(privilege)).await.is_empty(), "{privilege}");
    }
    assert_eq!(
        privileges::missing(&mut db).await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_migrate_says_what_to_do() {
    let world = World::new().await;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--no-migrate"];
    let refused = |reason: &str| {
        let output = World::run(&world.server, &serve);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
        said
    };
    let said = refused("has no schema of ipam yet");
    assert!(said.contains("ipam migrate --grant-to"), "{said}");
    // As the owner, but for nobody.
    let output = World::run(&world.owner, &["migrate"]);
    assert!(output.status.success());
    refused("may not read the schema's version");
    world.migrate();
    let mut superuser = world.database.connect().await;
    let revoke = format!("revoke insert on event from \"{}\"", world.server_name);
    superuser.execute(AssertSqlSafe(revoke)).await.unwrap();
    refused("lacks privileges in the database: insert on event");
    world.migrate();
    superuser
        .execute("update _sqlx_migrations set checksum = '\\x00' where version = 3")
        .await
        .unwrap();
    refused("migration 3 of the database is not the one of ipam");
    superuser
        .execute("delete from _sqlx_migrations where version >= 3")
        .await
        .unwrap();
    refused("is at version 2, and this release needs");
    superuser
        .execute("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (999, '', true, '', 0)")
        .await
        .unwrap();
    refused("is newer than this release");
    // Nothing was tried.
    let tables =
        "select count(*) from pg_class where relowner <> 'postgres'::regrole and relkind = 'r'
        and relowner <> (select datdba from pg_database where datname = current_database())
        and relnamespace = 'public'::regnamespace";
    assert_eq!(count(&mut superuser, tables).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_waits_for_who_migrates() {
    let world = World::new().await;
    let url = world.server.to_url_lossy().to_string();
    let starting =
        tokio::spawn(
            async move { TestServer::start_with(&url, &[("IPAM_NO_MIGRATE", "1")]).await },
        );
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!starting.is_finished());
    world.migrate();
    let server = starting.await.unwrap();
    assert!(
        server
            .log()
            .contains("waiting for somebody to bring it up to date"),
        "{}",
        server.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_can_do_more_are_refused_and_missing_ones_made() {
    let world = World::new().await;
    let name = world
        .database
        .connect_options()
        .get_database()
        .unwrap()
        .to_owned();
    let mut superuser = world.database.connect().await;
    let owner = world.owner.get_username();
    let member = format!("member_{name}");
    for statement in [
        format!("create role {member} login"),
        format!("grant {owner} to {member}"),
        format!("create role creator_{name} login createrole"),
    ] {
        superuser.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "s3cret-of-the-server\n").unwrap();
    let file = file.to_str().unwrap();
    let refused = |role: &PgConnectOptions, arguments: &[&str], reason: &str| {
        let output = World::run(role, &[&["migrate", "--grant-to"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(!said.contains("s3cret"), "{said}");
    };
    refused(&world.owner, &["postgres"], "it is a superuser");
    refused(&world.owner, &[owner], "it is the role that migrates");
    refused(
        &world.owner,
        &[&member],
        "it is a member of the role that owns the tables",
    );
    refused(
        &world.owner,
        &[&format!("creator_{name}")],
        "it may create roles",
    );
    let missing = format!("missing_{name}");
    refused(&world.owner, &[&missing], "there is no role");
    // The owner of a database need not be able to make roles.
    refused(
        &world.owner,
        &[&missing, "--grant-password-file", file],
        "could not be created",
    );
    superuser
        .execute("grant create on schema public to public")
        .await
        .unwrap();
    refused(
        &world.owner,
        &[&world.server_name],
        "it may create objects in the schema",
    );
    superuser
        .execute("revoke create on schema public from public")
        .await
        .unwrap();
    // Who can makes it, twice, with another password.
    let options = world.database.connect_options();
    for password in ["s3cret-of-the-server\n", "the-next-one\n"] {
        std::fs::write(file, password).unwrap();
        let output = World::run(
            &options,
            &[
                "migrate",
                "--grant-to",
                &missing,
                "--grant-password-file",
                file,
            ],
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let kept: String = sqlx::query_scalar("select rolpassword from pg_authid where rolname = $1")
        .bind(&missing)
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert!(kept.starts_with("SCRAM-SHA-256$4096:"), "{kept}");
}

/// A server that manages its PostgreSQL, in this directory; killed when dropped.
struct ManagedServer {
    process: Child,
    address: SocketAddr,
    key: String,
}

impl Drop for ManagedServer {
    fn drop(&mut self) {
        // It may have ended before. PostgreSQL ends with it.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl ManagedServer {
    async fn start(dir: &Path) -> Self {
        let file = dir.join("address");
        _ = std::fs::remove_file(&file);
        let mut process = Command::new(ipam_binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.join("data"))
            .arg("--address-file")
            .arg(&file)
            .env_clear()
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let address = loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(Ok(address)) = text.trim().strip_prefix("http://").map(str::parse) {
                break address;
            }
            assert!(process.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < deadline, "it does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let key = std::fs::read_to_string(dir.join("data/admin-key")).unwrap();
        Self {
            process,
            address,
            key: key.trim().to_owned(),
        }
    }

    async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = tokio::task::spawn_blocking(move || self.process.wait());
        assert!(ended.await.unwrap().unwrap().success());
    }

    fn allocate(&self, name: &str) {
        let endpoint = format!("http://{}", self.address);
        let output = Command::new(ipam_binary())
            .args([
                "allocate",
                "prod",
                "--hosts",
                "5",
                "--name",
                name,
                "--endpoint",
                &endpoint,
            ])
            .env_clear()
            .env("IPAM_API_KEY", &self.key)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_database_is_owned_by_another_role_than_that_of_the_server() {
    // Also the user of PostgreSQL has to reach it.
    let dir = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let data = dir.path().join("data");

    // As a release before this has left it: no role, and everything in it.
    let managed = Managed::start(&data, Options::default()).await.unwrap();
    let mut superuser = managed.connect_options().connect().await.unwrap();
    MIGRATOR.run(&mut superuser).await.unwrap();
    ipam_server::db::identity::insert(&mut superuser)
        .await
        .unwrap();
    let roles = "select count(*) from pg_roles where rolname = 'ipam_server'";
    assert_eq!(count(&mut superuser, roles).await, 0);
    sqlx::Connection::close(superuser).await.unwrap();
    let options = managed.connect_options();
    managed.stop().await.unwrap();

    for name in ["first", "second"] {
        let server = ManagedServer::start(dir.path()).await;
        server.allocate(name);
        let mut superuser = options.connect().await.unwrap();
        let users: Vec<String> = sqlx::query_scalar(
            "select distinct usename::text from pg_stat_activity where application_name = 'ipam' and pid <> pg_backend_pid()",
        )
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        assert_eq!(users, ["ipam_server"]);
        let mut role = options
            .clone()
            .username("ipam_server")
            .connect()
            .await
            .unwrap();
        for statement in [
            "delete from event",
            "create table evil (a int)",
            "drop table event",
        ] {
            let refused = role.execute(statement).await.unwrap_err();
            let code = refused.as_database_error().unwrap().code();
            assert_eq!(code.as_deref(), Some("42501"), "{statement}");
        }
        drop((role, superuser));
        server.stop().await;
    }
    let verified = Command::new(ipam_binary())
        .args(["verify", "--data-dir"])
        .arg(&data)
        .env_clear()
        .output()
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}
