//! No request reads a table from end to end. Not plans are looked at but what PostgreSQL counts while the server's own
//! statements run on a database with thousands of allocations: also when a statement has become generic after some uses,
//! and behind foreign keys.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, VPCS, VRFS};

/// Room for many, and 32768 allocations of two blocks each, beside each of which one of the same size is free.
const SEED: &str = r"
delete from pool_range;
insert into pool_range (pool_id, vrf_id, family, cidr)
    select pool_id, vrf_id, 4, case name when 'primary' then '10.0.0.0/8' else '128.0.0.0/1' end::cidr from pool;
insert into vpc (vrf_id, name, owner) select vrf_id, 'vpc ' || n, case when n % 40 = 0 then 'few' else 'many' end
    from vrf, generate_series(0, 4095) as n;
insert into allocation (allocation_id, vpc_id, name, profile_id, prefix_length, members, requested_prefix_length, labels,
        created_by, request_id, owner)
    select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, vpc_id, 'n' || n, profile_id, 26, 2, 26,
        jsonb_build_object('team', 't' || n % 4096), 'seed', gen_random_uuid(),
        case when n % 100 = 0 then 'few' else 'many' end
    from generate_series(0, 32767) as n join vpc on vpc.name = 'vpc ' || n % 4096, profile;
create temporary table piece as
    select range_id, pool_range.cidr as range_cidr, allocation_id, member_id, size_offset, member.min_prefix_length,
        member.max_prefix_length, 26 + size_offset as length, 6 - size_offset as bits,
        pool_range.cidr::inet + (substr(allocation.name, 2)::bigint << (7 - size_offset)) as start
    from allocation, profile_member member join pool on pool.name = pool_name join pool_range using (pool_id);
insert into block select range_id, set_masklen(start, length)::cidr, range_cidr, allocation_id, member_id, 26, size_offset,
    min_prefix_length, max_prefix_length from piece;
delete from free_block;
insert into free_block
    select range_id, bits, set_masklen(start + (1::bigint << bits), length)::cidr from piece
    union all
    -- Behind the last pair, which ends at a power of two.
    select distinct range_id, free, set_masklen(range_cidr::inet + (1::bigint << free), 32 - free)::cidr
    from piece, generate_series(bits + 16, 31 - masklen(range_cidr)) as free;
update free_count set blocks = (
    select count(*) from free_block where free_block.range_id = free_count.range_id and free_block.host_bits = free_count.host_bits);
insert into event (actor, action, subject, request_id)
    select 'seed', 'allocation.create', allocation_id, request_id from allocation;
-- One network that somebody else had every hour.
insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, since, until)
    select vrf_id, pool_id, name, '10.250.0.0/26', gen_random_uuid(), 'past', 'p' || n,
        timestamptz '2001-01-01 00:00:00Z' + n * interval '1 hour', timestamptz '2001-01-01 01:00:00Z' + n * interval '1 hour'
    from pool, generate_series(0, 32767) as n where name = 'primary';
insert into idempotency_key (actor, key, fingerprint, allocation_id)
    select 'admin', name, sha256(name::bytea), allocation_id from allocation;
";

/// Tables that grow with what is allocated.
const LARGE: [&str; 8] = [
    "allocation",
    "block",
    "free_block",
    "event",
    "vpc",
    "idempotency_key",
    "reservation",
    "past_block",
];
/// Times that each request is repeated: a prepared statement may become generic after five.
const REPEATS: i64 = 8;
/// Rows that one request may read of one table: a page of a hundred, and then some.
const ROWS: i64 = 600;

/// Rows read so far, by table: in order, and through indexes.
pub(crate) async fn rows_read(api: &Api) -> BTreeMap<String, i64> {
    // The one connection of the server tells what it counted.
    let mut connection = api.ipam.read().await.expect("a connection");
    sqlx::query("select pg_stat_force_next_flush()")
        .execute(&mut connection)
        .await
        .expect("flushed");
    drop(connection);
    let mut db = api.database.connect().await;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select relname::text, (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
            + coalesce((select sum(idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid), 0))::bigint
        from pg_stat_user_tables t where relname = any($1)",
    )
    .bind(&LARGE[..])
    .fetch_all(&mut db)
    .await
    .expect("the statistics can be read");
    rows.into_iter().collect()
}

/// Requests by turn: method, path, more headers, and body.
type Ask = Box<dyn Fn(i64) -> (&'static str, String, Vec<(&'static str, String)>, Value)>;

/// What it is, how it is answered, and its requests.
type Case = (&'static str, u16, Ask);

/// The id of an allocation that is there.
fn seeded(n: i64) -> String {
    format!("01900000-0000-7000-8000-{n:012x}")
}

fn get(query: &'static str) -> Ask {
    Box::new(move |n| {
        (
            "GET",
            query.replace("{n}", &n.to_string()),
            vec![],
            Value::Null,
        )
    })
}

fn post(body: fn(i64) -> Value) -> Ask {
    Box::new(move |n| ("POST", ALLOCATIONS.to_owned(), vec![], body(n)))
}

/// About one allocation by turn.
fn one(method: &'static str, first: i64, body: Value) -> Ask {
    Box::new(move |n| {
        (
            method,
            format!("{ALLOCATIONS}/{}", seeded(first + n)),
            vec![],
            body.clone(),
        )
    })
}

/// Allocations that are made, tried, or refused.
fn creations() -> Vec<Case> {
    vec![
        (
            "allocate by hosts",
            201,
            post(|n| json!({"vpc": "vpc 5", "name": format!("by hosts {n}"), "hosts": 50})),
        ),
        (
            "allocate by prefix length",
            201,
            post(|_| json!({"vpc": "vpc 5", "prefix_length": 24})),
        ),
        (
            "allocate for a new VPC",
            201,
            post(|n| json!({"vpc": format!("new {n}"), "prefix_length": 26})),
        ),
        (
            "allocate a CIDR",
            201,
            post(|n| json!({"vpc": "vpc 5", "cidr": format!("10.200.{n}.0/24")})),
        ),
        (
            "allocate a CIDR that is taken",
            409,
            post(|n| json!({"vpc": "vpc 5", "cidr": format!("10.0.{n}.0/26")})),
        ),
        (
            "allocate too much",
            409,
            post(|_| json!({"vpc": "vpc 5", "cidr": "10.0.0.0/20"})),
        ),
        (
            "dry run",
            200,
            post(|_| json!({"vpc": "vpc 5", "hosts": 50, "dry_run": true})),
        ),
        (
            "adopt",
            200,
            post(|n| json!({"vpc": "vpc 5", "name": format!("by hosts {n}"), "hosts": 50})),
        ),
        (
            "another request by name",
            409,
            post(|n| json!({"vpc": "vpc 5", "name": format!("by hosts {n}"), "hosts": 51})),
        ),
        (
            "allocate with a key",
            201,
            Box::new(|n| {
                (
                    "POST",
                    ALLOCATIONS.to_owned(),
                    vec![("idempotency-key", format!("key {n}"))],
                    json!({"vpc": "vpc 6", "hosts": 9}),
                )
            }),
        ),
        (
            "replay of a key",
            200,
            Box::new(|n| {
                (
                    "POST",
                    ALLOCATIONS.to_owned(),
                    vec![("idempotency-key", format!("key {n}"))],
                    json!({"vpc": "vpc 6", "hosts": 9}),
                )
            }),
        ),
    ]
}

/// What is done to allocations.
fn changes() -> Vec<Case> {
    vec![
        ("get", 200, one("GET", 100, Value::Null)),
        (
            "change",
            200,
            one("PATCH", 100, json!({"description": "x"})),
        ),
        (
            "rename",
            200,
            Box::new(move |n| {
                (
                    "PATCH",
                    format!("{ALLOCATIONS}/{}", seeded(100 + n)),
                    vec![],
                    json!({"name": format!("renamed {n}")}),
                )
            }),
        ),
        ("move", 200, one("PATCH", 100, json!({"vpc": "vpc 9"}))),
        (
            "move to a new VPC",
            200,
            one("PATCH", 200, json!({"vpc": "brand new"})),
        ),
        ("release", 204, one("DELETE", 100, Value::Null)),
        ("get what is gone", 410, one("GET", 100, Value::Null)),
        ("get what never was", 404, one("GET", 40_000, Value::Null)),
    ]
}

/// Lists of what is owned, and claims.
fn lists() -> Vec<Case> {
    vec![
        ("list", 200, get("/api/v1/allocations")),
        ("list by VPC", 200, get("/api/v1/allocations?vpc=VPC%2017")),
        (
            "list by VPC and name",
            200,
            get("/api/v1/allocations?vpc=vpc%2017&name=n17"),
        ),
        (
            "list by name",
            200,
            get("/api/v1/allocations?vpc=vpc%2030{n}&name=n30{n}"),
        ),
        (
            "list by number",
            200,
            get("/api/v1/allocations?number=30{n}"),
        ),
        (
            "list by label",
            200,
            get("/api/v1/allocations?label=team=t33{n}"),
        ),
        (
            "list by address",
            200,
            get("/api/v1/allocations?contains=10.3.{n}.9"),
        ),
        (
            "list by network",
            200,
            get("/api/v1/allocations?within=10.3.{n}.0/24"),
        ),
        (
            "list by pool",
            200,
            get("/api/v1/allocations?pool=primary&limit=10"),
        ),
        (
            "list by owner",
            200,
            get("/api/v1/allocations?owner=few&limit=100"),
        ),
        (
            "list by owner, from the middle",
            200,
            get(
                "/api/v1/allocations?owner=many&limit=100&cursor=01900000-0000-7000-8000-00000000400{n}",
            ),
        ),
        (
            "list by owner what is not confirmed",
            200,
            get("/api/v1/allocations?owner=few&confirmed=false"),
        ),
        (
            "confirm a hundred claims",
            200,
            Box::new(move |n| {
                let claims: Vec<_> = (0..100)
                    .map(|k| {
                        json!({"kind": "allocation", "id": seeded(5000 + 100 * n + k),
                            "claim": "01900000-0000-7000-8000-000000000000"})
                    })
                    .collect();
                (
                    "POST",
                    "/api/v1/confirmations".to_owned(),
                    vec![],
                    json!({ "claims": claims }),
                )
            }),
        ),
        (
            "list VPCs by owner",
            200,
            get("/api/v1/vpcs?owner=few&limit=50"),
        ),
    ]
}

/// Who holds or held a network, and what happened.
fn past() -> Vec<Case> {
    vec![
        (
            "look up an address",
            200,
            get("/api/v1/lookup?ip=10.3.{n}.9"),
        ),
        (
            "look up a network at a time",
            200,
            get("/api/v1/lookup?cidr=10.3.{n}.0/24&at=2020-01-01T00:00:00Z"),
        ),
        (
            "look up an address that many had",
            200,
            get("/api/v1/lookup?ip=10.250.0.9&at=2002-06-04T1{n}:30:00Z"),
        ),
        (
            "look up a network that many had",
            200,
            get("/api/v1/lookup?cidr=10.250.0.0/16&at=2001-06-04T1{n}:30:00Z"),
        ),
        (
            "history of an address that many had",
            200,
            get("/api/v1/history?cidr=10.250.0.9/32&limit=10"),
        ),
        (
            "history of a network",
            200,
            get("/api/v1/history?cidr=10.3.{n}.0/24"),
        ),
        (
            "history of all, a page",
            200,
            get("/api/v1/history?cidr=0.0.0.0/0&limit=10"),
        ),
        (
            "events of an allocation",
            200,
            get("/api/v1/events?subject=01900000-0000-7000-8000-00000000040{n}"),
        ),
        ("events", 200, get("/api/v1/events?limit=10")),
    ]
}

/// Pools, VPCs, VRFs.
fn nouns() -> Vec<Case> {
    vec![
        ("list pools", 200, get(POOLS)),
        ("get a pool", 200, get("/api/v1/pools/primary")),
        ("get a VPC", 200, get("/api/v1/vpcs/VPC%2044{n}")),
        ("list VPCs", 200, get("/api/v1/vpcs?limit=10")),
        (
            "make a VPC",
            201,
            Box::new(|n| {
                (
                    "POST",
                    VPCS.to_owned(),
                    vec![],
                    json!({"name": format!("made {n}")}),
                )
            }),
        ),
        (
            "rename a VPC",
            200,
            Box::new(|n| {
                (
                    "PATCH",
                    format!("{VPCS}/made%20{n}"),
                    vec![],
                    json!({"name": format!("made anew {n}")}),
                )
            }),
        ),
        (
            "delete a VPC with all in it",
            200,
            Box::new(|n| {
                (
                    "DELETE",
                    format!("{VPCS}/vpc%2060{n}?cascade=true"),
                    vec![],
                    Value::Null,
                )
            }),
        ),
        (
            "make a VRF",
            201,
            Box::new(|n| {
                (
                    "POST",
                    VRFS.to_owned(),
                    vec![],
                    json!({"name": format!("made {n}")}),
                )
            }),
        ),
        (
            "delete a VRF",
            204,
            Box::new(|n| ("DELETE", format!("{VRFS}/made%20{n}"), vec![], Value::Null)),
        ),
        ("ready", 200, get("/readyz")),
    ]
}

#[tokio::test]
async fn no_request_reads_a_table_from_end_to_end() {
    let api = Api::with_connections(1).await;
    api.sql(SEED).await;
    api.verify().await;
    // `analyze` can't be in one transaction with the rest.
    api.sql("vacuum analyze").await;

    let mut asks = creations();
    asks.extend(changes());
    asks.extend(lists());
    asks.extend(past());
    asks.extend(nouns());
    let mut greedy = Vec::new();
    for (what, status, ask) in asks {
        let before = rows_read(&api).await;
        for n in 0..REPEATS {
            let (method, path, headers, body) = ask(n);
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let reply = api.with(method, &path, &headers, &body).await;
            assert_eq!(reply.status, status, "{what}: {}", reply.text);
        }
        let after = rows_read(&api).await;
        for (table, rows) in &after {
            let each = (rows - before[table]) / REPEATS;
            if each > ROWS {
                greedy.push(format!("{what}: {each} rows of {table}"));
            }
        }
    }
    assert!(greedy.is_empty(), "{greedy:#?}");
    api.verify().await;
    // It would have been seen: this reads all of one table.
    let before = rows_read(&api).await;
    let mut connection = api.ipam.read().await.unwrap();
    sqlx::query("select count(labels) from allocation")
        .execute(&mut connection)
        .await
        .unwrap();
    drop(connection);
    assert!(rows_read(&api).await["allocation"] - before["allocation"] > 32000);
}
