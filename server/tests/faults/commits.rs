//! A standby that commits wait for is away, and stays away.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ipam_testing::{Pair, TestServer};
use serde_json::{Value, json};

use super::{client::Client, send};

/// The documented time until all works again.
const HEALED: Duration = Duration::from_secs(30);
/// How long the standby is away.
const AWAY: Duration = Duration::from_secs(28);
/// When the first wait for a commit (20 s) is over for sure, so that it is known that the standby is away.
const KNOWN: Duration = Duration::from_secs(22);
/// A refusal comes within this time from then on.
const SOON: Duration = Duration::from_secs(5);
const CLIENTS: usize = 24;

/// Changes as long as the standby is away: how often each answer came, and the longest wait for a refusal once it is known.
async fn change(server: &TestServer, begin: Instant) -> (BTreeMap<String, u64>, Duration) {
    let clients = (0..CLIENTS).map(|client| async move {
        let (mut answers, mut slowest) = (BTreeMap::<String, u64>::new(), Duration::ZERO);
        for number in 0.. {
            let asked = Instant::now();
            if asked >= begin + AWAY {
                break;
            }
            let name = format!("c{client}-{number}");
            let reply = if client % 2 == 0 {
                send(server, "POST", "/api/v1/vpcs", &json!({ "name": name })).await
            } else {
                let body = json!({"vpc": name, "hosts": 5});
                send(server, "POST", "/api/v1/allocations", &body).await
            };
            let code = reply.json["code"].as_str().unwrap_or_default();
            *answers
                .entry(format!("{} {code}", reply.status))
                .or_default() += 1;
            if code == "unavailable" {
                assert_eq!(reply.headers["retry-after"], "1");
                if asked > begin + KNOWN {
                    slowest = slowest.max(asked.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        (answers, slowest)
    });
    let (mut all, mut slowest) = (BTreeMap::<String, u64>::new(), Duration::ZERO);
    for (answers, slow) in futures::future::join_all(clients).await {
        slowest = slowest.max(slow);
        for (answer, count) in answers {
            *all.entry(answer).or_default() += count;
        }
    }
    (all, slowest)
}

/// Nobody is told that something is done which is not, nor waits for long once it is known; reads go on; the database is
/// not filled with commits that wait; and when the standby is back, so is everything.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_for_a_standby_fill_up_neither_server_nor_database() {
    let pair = Pair::start().await;
    let connections = 20;
    let settings = [("IPAM_DATABASE_CONNECTIONS", "20")];
    let server = TestServer::start_with(&pair.url(), &settings).await;
    let reply = send(
        &server,
        "POST",
        "/api/v1/allocations",
        &json!({"vpc": "a", "hosts": 5}),
    )
    .await;
    assert_eq!(reply.status, 201, "{}", reply.json);

    pair.replication().hold();
    let begin = Instant::now();
    let reads = async {
        let mut slowest = Duration::ZERO;
        while begin.elapsed() < AWAY {
            let asked = Instant::now();
            for path in [
                "/api/v1/allocations",
                "/api/v1/pools",
                "/readyz",
                "/healthz",
            ] {
                let reply = send(&server, "GET", path, &Value::Null).await;
                assert_eq!(reply.status, 200, "{path}: {}", reply.json);
                if path == "/readyz" && begin.elapsed() > Duration::from_secs(10) {
                    let writes = reply.json["parts"]["writes"].as_str();
                    assert!(
                        writes.is_some_and(|why| why.contains("standby")),
                        "{}",
                        reply.json
                    );
                }
            }
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        slowest
    };
    let waiting = async {
        let (mut canceller, mut most) = (pair.canceller().await, 0);
        while begin.elapsed() < AWAY {
            most = most.max(canceller.waiting().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        most
    };
    let ((answers, refused_after), slowest_reads, most) =
        tokio::join!(change(&server, begin), reads, waiting);
    assert!(
        answers
            .keys()
            .all(|answer| answer == "504 unknown_outcome" || answer == "503 unavailable"),
        "{answers:?}\n{}",
        server.log()
    );
    assert!(answers["504 unknown_outcome"] > 0 && answers["503 unavailable"] > 0);
    assert!(
        most <= connections,
        "{most} commits waited in the database at once: {answers:?}"
    );
    assert!(
        refused_after < SOON,
        "a refusal took {refused_after:?}: {answers:?}"
    );
    // Four requests, of which one may look at the database anew.
    assert!(slowest_reads < SOON, "{slowest_reads:?}");

    pair.replication().release();
    let begin = Instant::now();
    for number in 0.. {
        let body = json!({"vpc": format!("after-{number}"), "hosts": 5});
        let reply = send(&server, "POST", "/api/v1/allocations", &body).await;
        if reply.status == 201 {
            break;
        }
        assert!(begin.elapsed() < HEALED, "{}", reply.json);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for number in 0..30 {
        let reply = send(
            &server,
            "POST",
            "/api/v1/vpcs",
            &json!({"name": format!("z{number}")}),
        )
        .await;
        assert_eq!(reply.status, 201, "{}", reply.json);
    }

    a_stop_does_not_wait(&pair, server).await;
}

/// For commits that wait for the standby.
async fn a_stop_does_not_wait(pair: &Pair, mut server: TestServer) {
    pair.replication().hold();
    let address = server.address();
    let hanging = tokio::spawn(async move {
        let ask = (0..8).map(|number| async move {
            let mut client = Client::connect(address).await?;
            let body = json!({"name": format!("stop-{number}")});
            client.post("/api/v1/vpcs", &body).await
        });
        futures::future::join_all(ask).await
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    let status = server.stop().await;
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < HEALED, "{:?}", begin.elapsed());
    drop(hanging.await);
}
