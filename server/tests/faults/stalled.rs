//! The network swallows what is said on existing connections, and nobody is told.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};

use super::{client::Client, proxy::Proxy, send};

/// The documented time until all works again.
const HEALED: Duration = Duration::from_secs(30);

async fn start() -> (TestDatabase, Proxy, TestServer) {
    let database = TestDatabase::new().await;
    let options = database.connect_options();
    let socket: PathBuf = options
        .get_socket()
        .expect("the test cluster listens on a socket")
        .join(format!(".s.PGSQL.{}", options.get_port()));
    let proxy = Proxy::start(socket).await;
    let url = proxy.url(&options);
    let server = TestServer::start_with(&url, &[]).await;
    (database, proxy, server)
}

/// One request of each kind, over a connection of its own.
async fn ask(server: &TestServer, kind: &str) -> u16 {
    let unique = Instant::now();
    let name = format!("n{:?}", unique).replace(|char: char| !char.is_ascii_alphanumeric(), "");
    let (method, path, body) = match kind {
        "allocate" => (
            "POST",
            "/api/v1/allocations",
            json!({"vpc": "a", "hosts": 5}),
        ),
        "list" => ("GET", "/api/v1/allocations", Value::Null),
        "vpc" => (
            "POST",
            "/api/v1/vpcs",
            json!({ "name": name.to_lowercase() }),
        ),
        _ => ("GET", "/readyz", Value::Null),
    };
    send(server, method, path, &body).await.status
}

const KINDS: [(&str, u16); 4] = [
    ("allocate", 201),
    ("list", 200),
    ("vpc", 201),
    ("ready", 200),
];

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_swallowed_are_given_up_and_replaced() {
    let (_database, proxy, server) = start().await;
    // Under load, so that some are in the middle of a transaction.
    let crowd = |count: usize| {
        let server = &server;
        futures::future::join_all((0..count).map(move |number| ask(server, KINDS[number % 3].0)))
    };
    for _ in 0..3 {
        crowd(48).await;
    }
    let hanging = crowd(48);
    let swallow = async {
        tokio::time::sleep(Duration::from_millis(15)).await;
        proxy.swallow();
        Instant::now()
    };
    let begin = {
        let (_, begin) = tokio::join!(hanging, swallow);
        begin
    };
    for (kind, expected) in KINDS {
        loop {
            let status = ask(&server, kind).await;
            if status == expected {
                break;
            }
            assert!(
                begin.elapsed() < HEALED,
                "{kind} is answered {status} after {:?}:\n{}",
                begin.elapsed(),
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    // And from then on, on each connection.
    for (kind, expected) in KINDS {
        for _ in 0..30 {
            assert_eq!(ask(&server, kind).await, expected, "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_database_that_is_swallowed() {
    let (_database, proxy, mut server) = start().await;
    let crowd = |server: &TestServer| {
        let address = server.address();
        futures::future::join_all((0..32).map(move |number| async move {
            let mut client = Client::connect(address).await?;
            let body = json!({"vpc": format!("v{number}"), "hosts": 5});
            client.post("/api/v1/allocations", &body).await
        }))
    };
    for reply in crowd(&server).await {
        assert_eq!(reply.expect("server and proxy answer").status, 201);
    }
    proxy.swallow();
    let hanging = tokio::spawn(crowd(&server));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    let status = server.stop().await;
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < HEALED, "{:?}", begin.elapsed());
    _ = hanging.await;
}
