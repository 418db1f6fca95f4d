//! `/metrics`: what is counted is what happened, and nothing that clients write gets into a label but names of pools.

use ipam_server::{app::App, auth::Auth, router::router};
use ipam_testing::TestServer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{ALLOCATIONS, Api, KEY, POOLS, VPCS, VRFS, path};

#[path = "../support/exposition.rs"]
mod exposition;

use exposition::Exposition;

async fn scrape(api: &Api) -> Exposition {
    let reply = api.get("/metrics").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4");
    assert_eq!(reply.header("cache-control"), "no-store");
    Exposition::parse(&reply.text)
}

/// Allocations of each outcome, and changes of one, which is answered.
async fn allocate_and_change(api: &Api) -> Value {
    let named = json!({"vpc": "a", "name": "n", "hosts": 100});
    let made = api.allocate(named.clone()).await;
    api.post(ALLOCATIONS, &named).await.ok(200);
    api.allocate(json!({"vpc": "a", "hosts": 100})).await;
    api.post(
        ALLOCATIONS,
        &json!({"vpc": "a", "hosts": 5, "dry_run": true}),
    )
    .await
    .ok(200);
    // A change of size, one that is only tried, and one of something else.
    for patch in [
        json!({"hosts": 10}),
        json!({"hosts": 100, "dry_run": true}),
        json!({"description": "d"}),
    ] {
        api.patch(&path(&made), &patch).await.ok(200);
    }
    made
}

/// Refusals: by the domain, before it, in a batch one by one, in a batch as a whole, and without a key.
async fn be_refused(api: &Api) {
    api.post(
        ALLOCATIONS,
        &json!({"vpc": "a", "name": "n", "hosts": 2000}),
    )
    .await
    .problem(409, "name_taken");
    api.post(ALLOCATIONS, &json!({"vpc": "a", "hosts": 5, "nonsense": 1}))
        .await
        .problem(400, "invalid_request");
    let batch = |atomic| {
        json!({"atomic": atomic, "requests": [
            {"vpc": "b", "name": "x", "hosts": 5}, {"vpc": "a", "name": "n", "hosts": 2000}, {"vpc": "A", "name": "n", "cidr": "9.9.9.0/24"},
        ]})
    };
    let path_of_batch = format!("{ALLOCATIONS}/batch");
    // Two requests for one name are refused as a whole; apart from that the first batch is decided one by one.
    api.post(&path_of_batch, &batch(true))
        .await
        .problem(400, "invalid_request");
    let apart = json!({"atomic": false, "requests": [
        {"vpc": "b", "name": "x", "hosts": 5}, {"vpc": "a", "name": "n", "hosts": 2000},
    ]});
    assert_eq!(
        api.post(&path_of_batch, &apart).await.ok(200)["succeeded"],
        1
    );
    let whole = json!({"requests": [{"vpc": "b", "name": "y", "hosts": 5}, {"vpc": "a", "name": "n", "hosts": 2000}]});
    api.post(&path_of_batch, &whole)
        .await
        .problem(409, "name_taken");
    api.send(
        "POST",
        ALLOCATIONS,
        &[("content-type", "application/json")],
        "{}",
    )
    .await
    .problem(401, "unauthorized");
    // The original API has words of its own for the same.
    let original = [("x-api-key", KEY), ("content-type", "application/json")];
    assert_eq!(
        api.send("DELETE", "/allocations/99", &original, "")
            .await
            .status,
        404
    );
    let reply = api
        .send(
            "POST",
            "/allocate",
            &original,
            r#"{"vpc": "a", "hosts": 9000}"#,
        )
        .await;
    assert_eq!(reply.status, 400, "{}", reply.text);
}

fn refusals_are_counted(last: &Exposition) {
    for code in ipam_shared::error::Code::ALL {
        let count = match code.as_str() {
            "name_taken" => 3.0,
            "invalid_request" => 3.0,
            "unauthorized" | "not_found" | "gone" => 1.0,
            _ => 0.0,
        };
        assert_eq!(
            last.value("ipam_refusals_total", &[("code", code.as_str())]),
            count,
            "{code:?}"
        );
    }
}

fn requests_are_counted(last: &Exposition) {
    let requests = |route: &str, method: &str, status: &str| {
        last.find(
            "ipam_http_requests_total",
            &[("route", route), ("method", method), ("status", status)],
        )
    };
    assert_eq!(requests("/api/v1/allocations", "POST", "201"), Some(2.0));
    assert_eq!(requests("/api/v1/allocations", "POST", "200"), Some(2.0));
    assert_eq!(requests("/api/v1/allocations", "POST", "401"), Some(1.0));
    assert_eq!(
        requests("/api/v1/allocations/{id}", "PATCH", "200"),
        Some(3.0)
    );
    assert_eq!(
        requests("/api/v1/allocations/{id}", "DELETE", "410"),
        Some(1.0)
    );
    assert_eq!(
        requests("/metrics", "GET", "200"),
        Some(1.0),
        "the first scrape, not this one"
    );
    let of_route = [("route", "/api/v1/allocations"), ("method", "POST")];
    // 201 twice, 200 twice, and refusals: 409, 400, 401.
    assert_eq!(
        last.value("ipam_http_request_duration_seconds_count", &of_route),
        7.0
    );
    assert!(last.value("ipam_http_request_duration_seconds_sum", &of_route) > 0.0);
}

fn the_queue_and_the_database_are_told(last: &Exposition) {
    // The queue decided one at a time here: 4 single requests, and 2 of the batch that is not atomic.
    assert_eq!(last.value("ipam_allocation_batch_requests_sum", &[]), 6.0);
    assert!(last.value("ipam_allocation_batch_requests_count", &[]) <= 6.0);
    assert_eq!(
        last.value("ipam_allocation_batch_requests_count", &[]),
        last.value("ipam_allocation_batch_duration_seconds_count", &[])
    );
    assert_eq!(last.value("ipam_database_up", &[]), 1.0);
    for purpose in ["allocation", "change", "read"] {
        let most = last.value("ipam_database_connections_max", &[("purpose", purpose)]);
        assert_eq!(most, 4.0);
        // A connection is given back a moment after its use.
        let connections = |state| {
            let labels = [("purpose", purpose), ("state", state)];
            last.value("ipam_database_connections", &labels)
        };
        let open = connections("used") + connections("idle");
        assert!((1.0..=4.0).contains(&open), "{purpose}: {open}");
    }
}

#[tokio::test]
async fn what_is_counted_is_what_happened() {
    let api = Api::start().await;
    let first = scrape(&api).await;
    for code in ipam_shared::error::Code::ALL {
        assert_eq!(
            first.value("ipam_refusals_total", &[("code", code.as_str())]),
            0.0
        );
    }
    assert_eq!(
        first.value("ipam_build_info", &[("version", env!("CARGO_PKG_VERSION"))]),
        1.0
    );
    assert_eq!(
        first.value("ipam_http_requests_in_flight", &[]),
        1.0,
        "this one"
    );

    let made = allocate_and_change(&api).await;
    be_refused(&api).await;
    // Reading is no change, whatever comes of it.
    api.get(&format!(
        "{ALLOCATIONS}/018f0000-0000-7000-8000-000000000000"
    ))
    .await
    .problem(404, "not_found");
    assert_eq!(api.delete(&path(&made)).await.status, 204);
    api.delete(&path(&made)).await.problem(410, "gone");
    assert_eq!(
        api.delete(&format!("{VPCS}/a?cascade=true")).await.status,
        200
    );

    let last = scrape(&api).await;
    for (result, count) in [("created", 3.0), ("existing", 1.0), ("dry_run", 1.0)] {
        assert_eq!(
            last.value("ipam_allocations_total", &[("result", result)]),
            count,
            "{result}"
        );
    }
    assert_eq!(last.value("ipam_resizes_total", &[]), 1.0);
    assert_eq!(
        last.value("ipam_releases_total", &[]),
        2.0,
        "one, and the one of the VPC"
    );
    refusals_are_counted(&last);
    requests_are_counted(&last);
    the_queue_and_the_database_are_told(&last);
}

#[tokio::test]
async fn pools_are_told_as_the_api_tells_them_and_names_are_escaped() {
    let api = Api::start().await;
    let hostile = "a\"} 1 \\ü";
    for (vrf, pool) in [("default", "six"), ("default", "empty")] {
        let new = json!({"name": pool, "vrf": vrf, "family": "ipv6", "default_prefix_length": 56,
            "ranges": if pool == "six" { json!(["2001:db8::/32"]) } else { json!([]) }});
        api.post(POOLS, &new).await.ok(201);
    }
    api.allocate(json!({"vpc": "a", "pools": ["six"], "prefix_length": 33}))
        .await;
    // Names may hold almost anything.
    let made = api.post(VRFS, &json!({"name": hostile})).await;
    made.ok(201);
    api.post(
        POOLS,
        &json!({"name": hostile, "vrf": hostile, "ranges": ["10.0.0.0/24"]}),
    )
    .await
    .ok(201);

    let metrics = scrape(&api).await;
    let pools = api.get(POOLS).await.ok(200);
    let pools = pools["items"].as_array().unwrap();
    assert!(pools.len() >= 5, "{pools:?}");
    for pool in pools {
        let labels = [
            ("vrf", pool["vrf"].as_str().unwrap()),
            ("pool", pool["name"].as_str().unwrap()),
        ];
        let value = |name: &str| metrics.value(&format!("ipam_pool_{name}"), &labels);
        let (size, used) = (
            pool["total_addresses"].as_f64().unwrap(),
            pool["used_addresses"].as_f64().unwrap(),
        );
        assert_eq!(
            (value("addresses"), value("used_addresses")),
            (size, used),
            "{pool}"
        );
        assert_eq!(value("free_addresses"), size - used);
        let bits = if pool["family"] == "ipv4" { 32 } else { 128 };
        let length = pool["largest_free_prefix_length"].as_i64();
        let found = metrics.find("ipam_pool_largest_free_block_prefix_length", &labels);
        assert_eq!(found, length.map(|length| length as f64));
        let addresses = |length: i64| 2f64.powi(i32::try_from(bits - length).unwrap());
        assert_eq!(
            value("largest_free_block_addresses"),
            length.map_or(0.0, addresses)
        );
        let default = pool["default_prefix_length"].as_i64().map(addresses);
        assert_eq!(
            metrics.find("ipam_pool_default_block_addresses", &labels),
            default
        );
    }
    let six = [("vrf", "default"), ("pool", "six")];
    assert_eq!(metrics.value("ipam_pool_addresses", &six), 2f64.powi(96));
    assert_eq!(
        metrics.value("ipam_pool_largest_free_block_prefix_length", &six),
        33.0
    );
}

#[tokio::test]
async fn nothing_that_clients_write_becomes_a_label() {
    let api = Api::start().await;
    for (method, path) in [
        ("GET", "/sesame-path"),
        ("GET", "/api/v1/sesame-path"),
        ("GET", "/ui/sesame-path"),
        ("GET", "/docs/sesame-path"),
        ("GET", "/api/v1/pools/sesame-path"),
        ("DELETE", "/vpcs/sesame-path"),
        ("SESAMEMETHOD", "/api/v1/pools"),
        ("GET", "/metrics?key=sesame-path"),
    ] {
        api.send(method, path, &[("x-api-key", KEY)], "").await;
    }
    let reply = api.get("/metrics").await;
    let text = reply.text.to_lowercase();
    assert!(!text.contains("sesame"), "{text}");
    let metrics = Exposition::parse(&reply.text);
    let labels = [("route", "unmatched"), ("method", "GET"), ("status", "404")];
    assert_eq!(metrics.value("ipam_http_requests_total", &labels), 1.0);
    let labels = [
        ("route", "/api/v1/pools"),
        ("method", "other"),
        ("status", "405"),
    ];
    assert_eq!(metrics.value("ipam_http_requests_total", &labels), 1.0);
}

#[tokio::test]
async fn without_the_key_only_an_open_server_tells() {
    let api = Api::start().await;
    for headers in [
        &[][..],
        &[("x-api-key", "wrong")],
        &[("authorization", "Bearer wrong")],
    ] {
        let reply = api.send("GET", "/metrics", headers, "").await;
        reply.problem(401, "unauthorized");
        assert!(!reply.text.contains("ipam_"), "{}", reply.text);
    }
    let bearer = format!("Bearer {KEY}");
    let reply = api
        .send("GET", "/metrics", &[("authorization", &bearer)], "")
        .await;
    assert_eq!(reply.status, 200);
    let open = router(App::new(api.ipam.clone(), Auth::new(KEY)).with_open_metrics(true));
    let request = http::Request::get("/metrics")
        .body(axum::body::Body::empty())
        .unwrap();
    assert_eq!(open.oneshot(request).await.unwrap().status(), 200);
    // As an operator says it.
    let server =
        TestServer::start_with(&api.database.url(), &[("IPAM_METRICS_OPEN", "true")]).await;
    let mut stream = tokio::net::TcpStream::connect(server.address())
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /metrics HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text)
        .await
        .unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert_eq!(Exposition::parse(body).value("ipam_database_up", &[]), 1.0);
}

#[tokio::test]
async fn without_its_database_a_server_says_so_and_tells_no_old_numbers() {
    let api = Api::start().await;
    assert_eq!(scrape(&api).await.value("ipam_database_up", &[]), 1.0);
    let name = api
        .database
        .connect_options()
        .get_database()
        .unwrap()
        .to_owned();
    let mut other =
        sqlx::ConnectOptions::connect(&api.database.connect_options().database("postgres"))
            .await
            .unwrap();
    let away = format!("alter database \"{name}\" allow_connections false");
    sqlx::raw_sql(sqlx::AssertSqlSafe(away))
        .execute(&mut other)
        .await
        .unwrap();
    let end =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(end))
        .execute(&mut other)
        .await
        .unwrap();
    // The last answer holds for a few seconds.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    let metrics = loop {
        let metrics = scrape(&api).await;
        if metrics.value("ipam_database_up", &[]) == 0.0 {
            break metrics;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the server does not see it"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let pools: Vec<_> = metrics
        .names()
        .into_iter()
        .filter(|name| name.starts_with("ipam_pool_"))
        .collect();
    assert!(pools.is_empty(), "{pools:?}");
    assert!(
        metrics.value(
            "ipam_http_requests_total",
            &[("route", "/metrics"), ("method", "GET"), ("status", "200")]
        ) >= 1.0
    );
    let back = format!("alter database \"{name}\" allow_connections true");
    sqlx::raw_sql(sqlx::AssertSqlSafe(back))
        .execute(&mut other)
        .await
        .unwrap();
    while scrape(&api).await.value("ipam_database_up", &[]) == 0.0 {
        assert!(
            std::time::Instant::now() < deadline,
            "the server does not find it again"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn many_scrapes_are_one_question_to_the_database() {
    let api = Api::start().await;
    let scrapes = (0..50).map(|_| async { scrape(&api).await.value("ipam_database_up", &[]) });
    let up = futures::future::join_all(scrapes).await;
    assert!(up.iter().all(|up| *up == 1.0), "{up:?}");
    let asked = api.count("select xact_commit + xact_rollback from pg_stat_database where datname = current_database()").await;
    assert!(asked < 15, "{asked} transactions for 50 scrapes");
}
