//! The database goes away and comes back, under a real server that stays.

use std::time::{Duration, Instant};

use ipam_server::postgres::{Managed, Options};
use ipam_testing::{TestServer, cluster_dir};
use serde_json::{Value, json};

#[path = "../support/client.rs"]
mod client;

use client::Client;

async fn start(dir: &std::path::Path) -> Managed {
    let options = Options {
        durable: false,
        ..Options::default()
    };
    Managed::start(dir, options)
        .await
        .expect("PostgreSQL starts")
}

#[tokio::test]
async fn a_database_that_goes_away_is_told_and_found_again() {
    let dir = cluster_dir();
    let postgres = start(dir.path()).await;
    let server = TestServer::start_with(&postgres.database_url(), &[]).await;
    let mut client = Client::connect(server.address()).await.unwrap();
    let body = json!({"vpc": "a", "name": "n", "hosts": 5});
    let made = client.post("/api/v1/allocations", &body).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(client.get("/readyz").await.unwrap().status, 200);

    postgres.stop().await.unwrap();
    assert_eq!(
        client.get("/healthz").await.unwrap().status,
        200,
        "the process is alive"
    );
    // It is looked at once a second, whoever asks.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let ready = client.get("/readyz").await.unwrap();
    assert_eq!(
        (ready.status, &ready.json["code"]),
        (500, &json!("SERVICE_UNAVAILABLE"))
    );
    let id = made.json["id"].as_str().unwrap();
    let begin = Instant::now();
    for (method, path, body) in [
        ("POST", "/api/v1/allocations".to_owned(), body.clone()),
        (
            "POST",
            "/api/v1/allocations".to_owned(),
            json!({"vpc": "a", "hosts": 5, "dry_run": true}),
        ),
        ("GET", "/api/v1/allocations".to_owned(), Value::Null),
        ("GET", format!("/api/v1/allocations/{id}"), Value::Null),
        ("DELETE", format!("/api/v1/allocations/{id}"), Value::Null),
        (
            "DELETE",
            "/api/v1/vpcs/a?cascade=true".to_owned(),
            Value::Null,
        ),
    ] {
        let reply = client.send(method, &path, &[], &body).await.unwrap();
        assert_eq!(
            (reply.status, &reply.json["code"]),
            (503, &json!("unavailable")),
            "{method} {path}: {}",
            reply.json
        );
        assert_eq!(reply.headers["retry-after"], "1");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "nobody waits long for what is not there: {:?}",
        begin.elapsed()
    );

    let postgres = start(dir.path()).await;
    let deadline = Instant::now() + Duration::from_secs(15);
    while client.get("/readyz").await.unwrap().status != 200 {
        assert!(
            Instant::now() < deadline,
            "the server does not find its database again:\n{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // From the first request on.
    for _ in 0..20 {
        let reply = client
            .get(&format!("/api/v1/allocations/{id}"))
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json);
    }
    let again = client.post("/api/v1/allocations", &body).await.unwrap();
    assert_eq!((again.status, &again.json["id"]), (200, &made.json["id"]));
    drop(server);
    postgres.stop().await.unwrap();
}

/// Every connection of the server is stale, and no request has met one yet.
#[tokio::test]
async fn nobody_is_told_of_a_restart_that_was_over_before_they_asked() {
    let dir = cluster_dir();
    let postgres = start(dir.path()).await;
    let server = TestServer::start_with(&postgres.database_url(), &[]).await;
    let address = server.address();
    let body = json!({"vpc": "a", "name": "n", "hosts": 5});
    // Many at once open as many connections as there may be.
    let crowd = (0..64).map(|_| async {
        let mut client = Client::connect(address).await.unwrap();
        for _ in 0..5 {
            let made = client.post("/api/v1/allocations", &body).await.unwrap();
            assert!(matches!(made.status, 200 | 201), "{}", made.json);
            let listed = client.get("/api/v1/allocations").await.unwrap();
            assert_eq!(listed.status, 200, "{}", listed.json);
        }
    });
    futures::future::join_all(crowd).await;

    postgres.stop().await.unwrap();
    let postgres = start(dir.path()).await;
    let mut client = Client::connect(address).await.unwrap();
    assert_eq!(client.get("/readyz").await.unwrap().status, 200);
    for _ in 0..20 {
        let listed = client.get("/api/v1/allocations").await.unwrap();
        assert_eq!(listed.status, 200, "{}", listed.json);
        let made = client.post("/api/v1/allocations", &body).await.unwrap();
        assert_eq!(made.status, 200, "{}", made.json);
    }
    drop(server);
    postgres.stop().await.unwrap();
}
