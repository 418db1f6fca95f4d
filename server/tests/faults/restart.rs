//! PostgreSQL is killed and comes back, again and again, under load.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use ipam_testing::{Pair, TestServer};
use serde_json::json;

use super::send;

/// How long after PostgreSQL is back everybody gets what he asks for, at the latest: the driver looks for it every 2 s.
const BACK: Duration = Duration::from_secs(5);
/// Who gets what he asks for has waited if it took so long.
const WAIT: Duration = Duration::from_secs(1);
const CLIENTS: u64 = 16;

/// One client that creates things, some of them again, without end; says when somebody was last refused, or got what he had waited for.
async fn ask(
    server: &TestServer,
    number: u64,
    stop: &AtomicBool,
    last: &AtomicU64,
    begin: Instant,
) {
    for count in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (path, body) = match number % 2 {
            0 => (
                "/api/v1/vpcs",
                json!({"name": format!("v{number}-{count}")}),
            ),
            _ => (
                "/api/v1/allocations",
                json!({"vpc": format!("a{number}"), "name": format!("n{}", count % 25), "hosts": 5}),
            ),
        };
        let asked = Instant::now();
        let reply = send(server, "POST", path, &body).await;
        match reply.status {
            200 | 201 if asked.elapsed() < WAIT => {}
            200 | 201 | 503 | 504 => {
                let at = u64::try_from(begin.elapsed().as_millis()).expect("not for ages");
                last.fetch_max(at, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => panic!("{}: {}\n{}", reply.status, reply.json, server.log()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_postgresql_all_works_within_seconds() {
    let mut pair = Pair::start().await;
    let server = TestServer::start_with(&pair.url(), &[]).await;
    let (stop, last, begin) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    let clients = futures::future::join_all(
        (0..CLIENTS).map(|number| ask(&server, number, &stop, &last, begin)),
    );
    let crashes = async {
        let mut took = Vec::new();
        for round in 0..3 {
            tokio::time::sleep(Duration::from_millis(500 + 130 * round)).await;
            pair.restart().await;
            let back = begin.elapsed();
            tokio::time::sleep(BACK + Duration::from_secs(1)).await;
            let ended = Duration::from_millis(last.load(Ordering::Relaxed));
            took.push(ended.saturating_sub(back));
        }
        stop.store(true, Ordering::Relaxed);
        took
    };
    let (took, _) = tokio::join!(crashes, clients);
    println!("last trouble after PostgreSQL was back: {took:?}");
    assert!(
        took.iter().all(|took| *took < BACK),
        "{took:?}\n{}",
        server.log()
    );
}
