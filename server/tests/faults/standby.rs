//! Servers that reach a standby, which takes no writes, instead of the primary.

use std::time::{Duration, Instant};

use ipam_testing::{Pair, TestServer};
use serde_json::{Value, json};

use super::{client::Reply, send};

/// The documented time until all works again.
const HEALED: Duration = Duration::from_secs(30);
/// Once the address is right, nothing has to be waited for.
const SOON: Duration = Duration::from_secs(3);

async fn allocate(server: &TestServer, vpc: &str) -> Reply {
    let body = json!({"vpc": vpc, "hosts": 5});
    send(server, "POST", "/api/v1/allocations", &body).await
}

/// Asks until it works, or `limit` is over. How long it took.
async fn until_it_works(server: &TestServer, limit: Duration) -> Duration {
    let begin = Instant::now();
    for number in 0.. {
        let reply = allocate(server, &format!("until-{number}")).await;
        if reply.status == 201 {
            break;
        }
        assert!(
            [503, 504].contains(&reply.status),
            "{}\n{}",
            reply.json,
            server.log()
        );
        assert!(begin.elapsed() < limit, "{}\n{}", reply.json, server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    begin.elapsed()
}

/// All connections of all kinds work: more are asked for at once than there are.
async fn all_works(server: &TestServer, name: &str) {
    let asked = (0..60).map(|number| async move {
        match number % 3 {
            0 => allocate(server, &format!("{name}-{number}")).await,
            1 => {
                let body = json!({"name": format!("{name}-{number}")});
                send(server, "POST", "/api/v1/vpcs", &body).await
            }
            _ => send(server, "GET", "/api/v1/pools", &Value::Null).await,
        }
    });
    for reply in futures::future::join_all(asked).await {
        assert!(
            [200, 201].contains(&reply.status),
            "{}: {}\n{}",
            reply.status,
            reply.json,
            server.log()
        );
    }
    let ready = send(server, "GET", "/readyz", &Value::Null).await;
    assert_eq!(ready.status, 200, "{}", ready.json);
}

/// No connection to the standby is kept, although the standby keeps all that it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_to_a_standby_for_a_while_is_left_at_once_when_it_is_right() {
    let pair = Pair::start().await;
    let server = TestServer::start_with(&pair.url(), &[]).await;
    all_works(&server, "before").await;

    pair.lead_to_standby();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        let asked = (0..12).map(|number| {
            let server = &server;
            async move {
                let reply = match number % 3 {
                    0 => allocate(server, "meanwhile").await,
                    1 => send(server, "POST", "/api/v1/vpcs", &json!({"name": "other"})).await,
                    _ => send(server, "GET", "/readyz", &Value::Null).await,
                };
                (reply, begin.elapsed())
            }
        });
        for (reply, at) in futures::future::join_all(asked).await {
            let code = reply.json["code"].as_str().unwrap_or_default();
            // The very first may be under way when the primary goes. `/readyz` may be a second old.
            let is_expected = match reply.status {
                503 => code == "unavailable",
                504 => code == "unknown_outcome",
                500 => code == "SERVICE_UNAVAILABLE",
                200 => at < Duration::from_secs(2),
                _ => false,
            };
            assert!(is_expected, "{} at {at:?}: {}", reply.status, reply.json);
        }
    }

    pair.lead_to_primary();
    let took = until_it_works(&server, SOON).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    all_works(&server, "after").await;
    println!("works {took:?} after the address was right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_at_a_standby_waits_for_a_primary() {
    let pair = Pair::start().await;
    // The schema is there already, so that only what writes would notice.
    TestServer::start_with(&pair.url(), &[]).await.stop().await;
    pair.lead_to_standby();
    let url = pair.url();
    let starting = tokio::spawn(async move { TestServer::start_with(&url, &[]).await });
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(
        !starting.is_finished(),
        "it starts on a standby, or gives up"
    );
    pair.lead_to_primary();
    let begin = Instant::now();
    let server = starting.await.expect("it starts in the end");
    assert!(begin.elapsed() < HEALED, "{:?}", begin.elapsed());
    assert!(server.log().contains("standby"), "{}", server.log());
    all_works(&server, "started").await;
}

/// Both addresses stay; which of them is the primary changes twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_the_addresses_of_both_finds_the_primary() {
    let mut pair = Pair::start().await;
    let server = TestServer::start_with(&pair.url_of_both(), &[]).await;
    let mut kept = Vec::new();
    for round in 0..2 {
        let reply = allocate(&server, &format!("kept-{round}")).await;
        assert_eq!(reply.status, 201, "{}", reply.json);
        kept.push(reply.json["id"].as_str().expect("an id").to_owned());
        pair.fail_over().await;
        pair.rebuild().await;
        let took = until_it_works(&server, HEALED).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        all_works(&server, &format!("round-{round}")).await;
        for id in &kept {
            let path = format!("/api/v1/allocations/{id}");
            let reply = send(&server, "GET", &path, &Value::Null).await;
            assert_eq!(reply.status, 200, "{}", reply.json);
        }
        println!("works {took:?} after the standby is there again");
    }
    // And a server that starts when the first of them is the standby, or gone.
    pair.fail_over().await;
    let starting = {
        let url = pair.url_of_both();
        tokio::spawn(async move { TestServer::start_with(&url, &[]).await })
    };
    pair.rebuild().await;
    let server = starting.await.expect("it starts");
    all_works(&server, "second").await;
}
