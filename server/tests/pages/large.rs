//! What pages cost: the statements of each are counted, as the driver logs them, and neither they nor what goes over the
//! wire grow with what is stored. `cargo bench -p ipam-server --bench allocate -- --pages` says how long they take.

use axum::body::Body;
use http::header;
use http_body_util::BodyExt as _;
use sqlx::{AssertSqlSafe, Row as _};
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{statements::Statements, visitor::Visitor};

/// Most bytes of a page, compressed as browsers ask for it.
const BYTES: usize = 100_000;

/// A pool with room for everything, and one allocation of one block in it.
const SMALL: [&str; 5] = [
    "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length) select vrf_id, 'large', 4, 10, 28 from vrf",
    "insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, 4, '11.0.0.0/8' from pool where name = 'large'",
    "insert into profile (name) values ('large')",
    "insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length, max_prefix_length)
        select profile_id, 1, 'large', 'large', 0, 10, 28 from profile where name = 'large'",
    "insert into vpc (vrf_id, name) select vrf_id, 'vpc 0' from vrf",
];

/// Allocations, numbered, and their blocks, every second /28.
const ALLOCATIONS: [&str; 2] = [
    "insert into allocation (allocation_id, vpc_id, name, profile_id, prefix_length, members, requested_prefix_length, labels,
            created_by, request_id)
        select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, vpc_id, 'cluster ' || n, profile_id, 28, 1, 28,
            jsonb_build_object('team', 't' || n % 40), 'seed', gen_random_uuid()
        from generate_series($1, $2) as n join vpc on vpc.name = 'vpc ' || n % 400 join profile on profile.name = 'large'",
    "insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset, min_prefix_length,
            max_prefix_length)
        select range_id, set_masklen(pool_range.cidr + (n * 32)::bigint, 28)::cidr, pool_range.cidr,
            ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, member_id, 28, 0, 10, 28
        from pool_range, profile_member, generate_series($1, $2) as n
        where pool_range.cidr = '11.0.0.0/8' and role = 'large'",
];

/// What makes it large: VPCs, and pools that have nothing in them.
const MANY: [&str; 4] = [
    "insert into vpc (vrf_id, name) select vrf_id, 'vpc ' || n from vrf, generate_series(1, 399) as n",
    "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
        select vrf_id, 'team ' || n, 4, 26, 28 from vrf, generate_series(1, 2000) as n",
    "insert into pool_range (pool_id, vrf_id, family, cidr)
        select pool_id, vrf_id, 4, set_masklen('64.0.0.0/24'::cidr + 256 * substr(name, 6)::bigint, 24)::cidr from pool
        where name like 'team %'",
    "insert into reservation (vrf_id, cidr, reason, created_by)
        select vrf_id, set_masklen('99.0.0.0/24'::cidr + 256 * n::bigint, 24)::cidr, 'reason ' || n, 'seed'
        from vrf, generate_series(1, 2000) as n",
];

/// In one transaction, if they are several.
async fn run(visitor: &Visitor, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&visitor.pool)
        .await
        .unwrap();
}

async fn allocations(visitor: &Visitor, first: i32, last: i32) {
    // An allocation without its blocks is refused at the end of a transaction.
    let both = ALLOCATIONS
        .join(";")
        .replace("$1", &first.to_string())
        .replace("$2", &last.to_string());
    run(visitor, &both).await;
    run(visitor, "analyze").await;
}

/// The pages, and how many statements each takes at most: one of them may be that of a session that was used for another minute.
async fn pages(visitor: &Visitor) -> Vec<(String, usize)> {
    let pool = visitor.pool_path("large").await;
    let vpc = visitor.vpc_path("vpc 0").await;
    let vrf: String = sqlx::query("select vrf_id::text from vrf")
        .fetch_one(&visitor.pool)
        .await
        .unwrap()
        .get(0);
    let allocation = "/ui/allocations/01900000-0000-7000-8000-000000000000";
    [
        ("/", 11),
        (&*pool, 14),
        (&format!("{pool}?at=11.0.0.0/12"), 13),
        (&format!("{pool}?at=11.0.0.0/20"), 11),
        (&format!("{pool}?view=hilbert"), 14),
        (&format!("{pool}?by=state"), 14),
        (&format!("{pool}?by=age"), 14),
        (&format!("{pool}?by=label:team"), 14),
        (&format!("{pool}?by=utilisation"), 14),
        (&format!("{pool}?since=2026-01-01T00:00:00Z"), 18),
        (&format!("{pool}?time=2026-01-01T00:00:00Z"), 15),
        (&format!("{pool}?pick=11.0.0.0/28"), 26),
        ("/ui/map", 41),
        ("/ui/map?at=11.0.0.0/8", 11),
        ("/ui/search?q=11.0.0.1", 5),
        ("/ui/search?q=11.0.0.0/8", 5),
        ("/ui/search?q=cluster", 7),
        ("/ui/search?q=nowhere", 6),
        ("/ui/allocations", 6),
        ("/ui/allocations?q=cluster", 7),
        ("/ui/allocations?q=11.0.0.0/8", 7),
        (allocation, 5),
        (&format!("{allocation}/edit"), 5),
        (&format!("{allocation}/release"), 5),
        ("/ui/allocations/new", 6),
        ("/ui/vrfs", 4),
        (&format!("/ui/vrfs/{vrf}"), 6),
        ("/ui/pools", 4),
        ("/ui/profiles", 4),
        ("/ui/reservations", 5),
        ("/ui/vpcs", 3),
        (&*vpc, 5),
        (&format!("{vpc}/delete"), 9),
        ("/ui/tokens", 4),
        ("/ui/webhooks", 4),
        ("/ui/events", 5),
        ("/ui/import", 3),
        ("/ui/export", 4),
    ]
    .map(|(path, most)| (path.to_owned(), most))
    .to_vec()
}

/// A page's bytes as they go over the wire, the page, and the statements that it took.
async fn look(visitor: &Visitor, statements: &Statements, path: &str) -> (usize, Vec<String>) {
    statements.take();
    let request = visitor
        .request("GET", path)
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Body::empty())
        .unwrap();
    let reply = visitor.app.clone().oneshot(request).await.unwrap();
    // What can mean one thing only leads to its page.
    if reply.status() != 303 {
        assert_eq!(reply.status(), 200, "{path}");
        assert_eq!(reply.headers()[header::CONTENT_ENCODING], "gzip", "{path}");
    }
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    (bytes.len(), statements.take())
}

#[tokio::test]
async fn pages_cost_the_same_however_much_is_stored() {
    let visitor = Visitor::signed_in().await;
    for sql in SMALL {
        run(&visitor, sql).await;
    }
    allocations(&visitor, 0, 0).await;
    let statements = Statements::default();
    let log = tracing_subscriber::registry().with(statements.clone());
    let _guard = tracing::subscriber::set_default(log);
    let pages = pages(&visitor).await;
    let mut wrong = Vec::new();
    for size in ["small", "large"] {
        if size == "large" {
            for sql in MANY {
                run(&visitor, sql).await;
            }
            allocations(&visitor, 1, 23_999).await;
        }
        for (path, most) in &pages {
            // The first look may fill what is kept in memory.
            look(&visitor, &statements, path).await;
            let (bytes, taken) = look(&visitor, &statements, path).await;
            if taken.len() > *most || bytes > BYTES {
                let taken = format!("{}\n    {}", taken.len(), taken.join("\n    "));
                wrong.push(format!(
                    "{size}, {path}: {bytes} bytes, statements: {taken}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let pool = visitor.pool_path("large").await;
    for query in [
        "",
        "?at=11.0.0.0/12",
        "?at=11.0.0.0/20",
        "?view=hilbert",
        "?time=2026-01-01T00:00:00Z",
        "?pick=11.0.0.0/28",
    ] {
        let page = visitor.get(&format!("{pool}{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        assert!(page.text.matches("data-cidr=").count() <= 2_300, "{query}");
    }
    // A cell of many leads to a map of that cell in that pool.
    let page = visitor.get(&pool).await;
    page.shows(&[&format!("href=\"{pool}?at=11.0.0.0/18\"")]);
    // What asks for most of the blocks may read all of them, but not every map does.
    let read = blocks_read_in_order(&visitor).await;
    assert!(read < 4 * 24_000, "{read} blocks were read by no index");
}

/// Blocks that were read without an index. Nothing can be asked afterwards: connections tell what they counted when they end.
async fn blocks_read_in_order(visitor: &Visitor) -> i64 {
    visitor.pool.close().await;
    let mut db = visitor.database.as_ref().unwrap().connect().await;
    sqlx::query("select seq_tup_read from pg_stat_user_tables where relname = 'block'")
        .fetch_one(&mut db)
        .await
        .unwrap()
        .get(0)
}
