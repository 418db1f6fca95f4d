//! Somebody holds a pool for longer than a request waits.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::json;

use super::client::Client;

const ALLOCATIONS: &str = "/api/v1/allocations";

/// Sixteen clients allocate from `primary` until the deadline; how often each answer came.
async fn allocate(server: &TestServer, name: &str, until: Instant) -> BTreeMap<String, u64> {
    let clients = (0..16).map(|number| async move {
        let mut client = Client::connect(server.address())
            .await
            .expect("server and proxy answer");
        let mut answers: BTreeMap<String, u64> = BTreeMap::new();
        let body =
            json!({"vpc": format!("{name}-{number}"), "pools": ["primary"], "prefix_length": 26});
        while Instant::now() < until {
            let reply = client
                .post(ALLOCATIONS, &body)
                .await
                .expect("server and proxy answer");
            let code = reply.json["code"].as_str().unwrap_or_default();
            if code == "unavailable" {
                assert_eq!(reply.headers["retry-after"], "1");
            }
            *answers
                .entry(format!("{} {code}", reply.status))
                .or_default() += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        answers
    });
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for answers in futures::future::join_all(clients).await {
        for (answer, count) in answers {
            *all.entry(answer).or_default() += count;
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_takes_too_long_poisons_no_connection() {
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    let mut holder = database.connect().await;
    for sql in [
        "begin",
        "select from pool where name = 'primary' for update",
    ] {
        sqlx::query(sql)
            .execute(&mut holder)
            .await
            .expect("server and proxy answer");
    }
    // Two bursts reach the limit of 10 s on every connection there is.
    let meanwhile = allocate(&server, "held", Instant::now() + Duration::from_secs(22)).await;
    assert!(meanwhile.contains_key("503 unavailable"), "{meanwhile:?}");
    sqlx::query("commit")
        .execute(&mut holder)
        .await
        .expect("server and proxy answer");
    let after = allocate(&server, "free", Instant::now() + Duration::from_secs(8)).await;
    for answers in [&meanwhile, &after] {
        assert!(
            answers
                .keys()
                .all(|answer| answer == "201 " || answer == "503 unavailable"),
            "held: {meanwhile:?}, after: {after:?}\n{}",
            server.log()
        );
    }
    assert!(
        after.len() == 1 && after["201 "] > 100,
        "held: {meanwhile:?}, after: {after:?}"
    );
}
