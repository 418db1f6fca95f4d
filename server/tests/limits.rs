//! What a single client can't do to a real server, and what it can't do by leaving: raw bytes over TCP.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ipam_server::domain::Ipam;
use ipam_testing::{TestDatabase, TestServer};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[path = "support/client.rs"]
mod client;

use client::Client;

const ALLOCATIONS: &str = "/api/v1/allocations";
/// A slow client is gone by then.
const CUT: Duration = Duration::from_secs(15);

async fn start() -> (TestDatabase, TestServer) {
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    (database, server)
}

/// A request as bytes.
fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        TestServer::API_KEY,
        body.len()
    )
}

/// Sends bytes, then one more of `drip` each second, until the server closes the connection; what it said, and after
/// how long.
async fn hold_on(address: SocketAddr, bytes: &str, drip: &str) -> (String, Duration) {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let begin = Instant::now();
    stream.write_all(bytes.as_bytes()).await.expect("sent");
    let (mut said, mut drip) = (Vec::new(), drip.bytes());
    loop {
        match tokio::time::timeout(Duration::from_secs(1), stream.read_buf(&mut said)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) => {
                assert!(
                    begin.elapsed() < 2 * CUT,
                    "the server waits for ever after {bytes:?}"
                );
                if let Some(byte) = drip.next() {
                    // Who was cut finds out at the next read.
                    let _ = stream.write_all(&[byte]).await;
                }
            }
        }
    }
    (String::from_utf8_lossy(&said).into_owned(), begin.elapsed())
}

/// Sends bytes and reads what comes until the server closes or says enough for a head.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    // The server may refuse before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let read = async {
        while !said.windows(4).any(|window| window == b"\r\n\r\n")
            && stream
                .read_buf(&mut said)
                .await
                .is_ok_and(|count| count > 0)
        {}
    };
    tokio::time::timeout(CUT, read)
        .await
        .expect("an answer or an end");
    String::from_utf8_lossy(&said).into_owned()
}

async fn count(db: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(db)
        .await
        .expect("the statement is valid")
}

async fn verify(database: &TestDatabase) {
    let ipam = Ipam::new(database.pool(2));
    let report = ipam.verify().await.expect("it can be verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    ipam.connections().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_connections_is_kept_until_the_server_gets_to_them() {
    let (_database, server) = start().await;
    let address = server.address();
    // A server that gets no processor for a while: nobody is accepted, and everybody must be let in line.
    server.signal(Signal::SIGSTOP);
    let connecting: Vec<_> = (0..600)
        .map(|_| tokio::spawn(tokio::time::timeout(CUT, TcpStream::connect(address))))
        .collect();
    let mut streams = Vec::new();
    for task in connecting {
        streams.push(task.await.unwrap().expect("a place in line").unwrap());
    }
    server.signal(Signal::SIGCONT);
    let mut last = streams.pop().unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nHost: ipam\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut said = String::new();
    tokio::time::timeout(CUT, last.read_to_string(&mut said))
        .await
        .expect("an answer")
        .unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_and_keep_nobody_out() {
    let database = TestDatabase::new().await;
    // Shorter than anybody's, so that the test sees its end.
    let server = TestServer::start_with(&database.url(), &[("IPAM_KEEP_ALIVE", "8")]).await;
    let address = server.address();
    let body = json!({"vpc": "slow", "hosts": 5}).to_string();
    let whole = request("POST", ALLOCATIONS, &body);
    let head = whole.strip_suffix(&body).unwrap().to_owned();
    let slow: Vec<(&str, String, String)> = vec![
        ("sends nothing", String::new(), String::new()),
        (
            "stops in the first line",
            "POST /api".to_owned(),
            String::new(),
        ),
        ("stops in the headers", head[..60].to_owned(), String::new()),
        (
            "drips headers",
            "GET / HTTP/1.1\r\nX: ".to_owned(),
            "x".repeat(60),
        ),
        ("sends no body", head.clone(), String::new()),
        (
            "stops in the body",
            format!("{head}{}", &body[..10]),
            String::new(),
        ),
        (
            "says nothing after a first answer",
            request("GET", "/healthz", ""),
            String::new(),
        ),
    ];
    let mut waiting = Vec::new();
    for (what, bytes, drip) in slow {
        // A hundred of each.
        for _ in 0..100 {
            let (bytes, drip) = (bytes.clone(), drip.clone());
            waiting.push((
                what,
                tokio::spawn(async move { hold_on(address, &bytes, &drip).await }),
            ));
        }
    }
    // Meanwhile everybody else is served.
    let mut client = Client::connect(address).await.unwrap();
    let mut slowest = Duration::ZERO;
    for number in 0..40 {
        let begin = Instant::now();
        let reply = client
            .post(
                ALLOCATIONS,
                &json!({"vpc": "quick", "name": format!("n{number}"), "prefix_length": 26}),
            )
            .await
            .unwrap();
        assert_eq!(reply.status, 201, "{}", reply.json);
        slowest = slowest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        slowest < Duration::from_secs(3),
        "a request took {slowest:?} beside slow ones"
    );
    for (what, task) in waiting {
        let (said, after) = task.await.unwrap();
        assert!(after < CUT, "who {what} was cut after {after:?}");
        assert!(
            !said.contains(" 201 ") && !said.contains(" 500 "),
            "who {what} was told {said}"
        );
    }
    let mut db = database.connect().await;
    assert_eq!(
        count(&mut db, "select count(*) from vpc where name = 'slow'").await,
        0
    );
    assert_eq!(
        Client::connect(address)
            .await
            .unwrap()
            .get("/healthz")
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn a_connection_is_kept_for_as_long_as_proxies_keep_theirs() {
    let (_database, server) = start().await;
    let mut client = Client::connect(server.address()).await.unwrap();
    assert_eq!(client.get("/healthz").await.unwrap().status, 200);
    // It was ten seconds once, and every proxy's requests were lost now and then.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(client.get("/healthz").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_cost_time_and_are_logged_with_their_address() {
    let (_database, server) = start().await;
    let address = server.address();
    let begin = Instant::now();
    let guesses: Vec<_> = (0..10)
        .map(|number| {
            tokio::spawn(async move {
                let request = format!(
                    "GET /api/v1/pools HTTP/1.1\r\nHost: ipam\r\nX-API-Key: guess-{number}\r\n\r\n"
                );
                exchange(address, request.as_bytes()).await
            })
        })
        .collect();
    // The right key is not held up, though it comes from the same address.
    let mut client = Client::connect(address).await.unwrap();
    assert_eq!(client.get("/api/v1/pools").await.unwrap().status, 200);
    assert!(
        begin.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begin.elapsed()
    );
    for guess in guesses {
        let said = guess.await.unwrap();
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
    }
    assert!(
        begin.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        begin.elapsed()
    );
    let log = server.log();
    assert!(
        log.contains("wrong API key") && log.contains("127.0.0.1") && !log.contains("guess-"),
        "{log}"
    );
}

/// Where no key is needed the right one is told apart from others too, by what the reply says of limits.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_cost_time_whatever_they_open() {
    let (_database, server) = start().await;
    let address = server.address();
    for path in ["/docs/", "/api/v1/openapi.json", "/nowhere", "/ui/sign-in"] {
        let begin = Instant::now();
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: ipam\r\nX-API-Key: guess-{path}\r\n\r\n");
        let said = exchange(address, bytes.as_bytes()).await;
        assert!(
            begin.elapsed() >= Duration::from_millis(200),
            "{path}: {said}"
        );
    }
    // What somebody on the way asks for is no key.
    let begin = Instant::now();
    let bytes = "GET /docs/ HTTP/1.1\r\nHost: ipam\r\nAuthorization: Basic YWRtaW46eA==\r\n\r\n";
    exchange(address, bytes.as_bytes()).await;
    assert!(
        begin.elapsed() < Duration::from_millis(150),
        "{:?}",
        begin.elapsed()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    let metrics = request("GET", "/metrics", "").replace("Host", "Connection: close\r\nHost");
    stream.write_all(metrics.as_bytes()).await.unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).await.unwrap();
    assert!(metrics.contains("ipam_wrong_keys_total 4"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_asks_nobody_for_a_key() {
    let (database, server) = start().await;
    let address = server.address();
    let mut db = database.connect().await;
    sqlx::raw_sql("begin; lock table token in access exclusive mode")
        .execute(&mut db)
        .await
        .unwrap();
    let begin = Instant::now();
    for _ in 0..20 {
        let secret = ipam_shared::secret::Secret::generate().unwrap();
        let request = format!(
            "GET /healthz HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {}\r\n\r\n",
            secret.reveal()
        );
        let said = exchange(address, request.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
}

/// RFC 9112, section 3.2: without one name of the host, proxies and servers may disagree on whom a request is for.
#[tokio::test]
async fn a_request_names_its_host_once() {
    let (_database, server) = start().await;
    for (version, hosts, is_good) in [
        ("1.1", "Host: ipam\r\n", true),
        ("1.1", "host: 127.0.0.1:8000\r\n", true),
        ("1.1", "Host: [::1]:8000\r\n", true),
        // Of a target without an authority.
        ("1.1", "Host:\r\n", true),
        ("1.1", "", false),
        ("1.1", "Host: ipam\r\nHost: ipam\r\n", false),
        ("1.1", "Host: ipam\r\nX: y\r\nhost: other\r\n", false),
        ("1.1", "Host: a b\r\n", false),
        ("1.1", "Host: user@ipam\r\n", false),
        ("1.1", "Host: ipam/path\r\n", false),
        ("1.1", "Host: ipam, other\r\n", false),
        ("1.0", "", true),
        ("1.0", "Host: ipam\r\n", true),
        ("1.0", "Host: ipam\r\nHost: other\r\n", false),
    ] {
        for path in ["/healthz", "/api/v1/vpcs", "/allocations", "/", "/nowhere"] {
            let request = format!(
                "GET {path} HTTP/{version}\r\n{hosts}X-API-Key: {}\r\nConnection: close\r\n\r\n",
                TestServer::API_KEY
            );
            let said = exchange(server.address(), request.as_bytes()).await;
            let is_refused = said
                .split_whitespace()
                .nth(1)
                .is_some_and(|status| status == "400");
            assert_eq!(!is_refused, is_good, "{request:?}: {said}");
            if !is_good {
                assert!(said.to_lowercase().contains("x-request-id:"), "{said}");
                assert!(said.contains("application/problem+json"), "{said}");
            }
        }
    }
}

/// Many clients send head and body one after the other. Who is refused by the head alone keeps the connection all the same,
/// or is told that it closes; it is never closed under the next request.
#[tokio::test]
async fn a_refusal_before_the_body_does_not_break_the_next_request() {
    let (_database, server) = start().await;
    let key = TestServer::API_KEY;
    let body = "{\"description\": \"x\"}";
    let cases = [
        ("PATCH", "/api/v1/vpcs/a", "If-Match: 3\r\n", key, 400),
        (
            "POST",
            "/api/v1/vpcs",
            "Content-Type: text/plain\r\n",
            key,
            415,
        ),
        ("POST", "/api/v1/nowhere", "", key, 404),
        ("PUT", "/api/v1/vpcs", "", key, 405),
        ("POST", "/nowhere", "", key, 404),
        ("POST", "/api/v1/vpcs", "", "", 401),
    ];
    for (method, path, header, key, status) in cases {
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("X-API-Key: {key}\r\n")
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: ipam\r\n{key}{header}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("the server listens");
        stream.set_nodelay(true).expect("set");
        for round in 0..3 {
            stream.write_all(head.as_bytes()).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.write_all(body.as_bytes()).await.expect("sent");
            let mut said = [0; 4096];
            let read = stream.read(&mut said).await.unwrap_or_default();
            let said = String::from_utf8_lossy(&said[..read]).into_owned();
            assert!(
                said.starts_with(&format!("HTTP/1.1 {status} ")),
                "{head} in round {round}: {said:?}"
            );
            assert!(!said.contains("connection: close"), "{said}");
        }
    }
    // Nobody waits for a body that does not come, or that is large; then the connection closes, and it says so.
    for length in [20_u32, 500_000] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let head = format!(
                "POST /api/v1/vpcs HTTP/1.1\r\nHost: ipam\r\n{expect}Content-Length: {length}\r\n\r\n"
            );
            let begin = Instant::now();
            let said = exchange(server.address(), head.as_bytes()).await;
            assert!(said.starts_with("HTTP/1.1 401 "), "{head}: {said}");
            assert!(said.contains("connection: close"), "{head}: {said}");
            assert!(
                begin.elapsed() < Duration::from_secs(5),
                "{head}: {:?}",
                begin.elapsed()
            );
        }
    }
}

#[tokio::test]
async fn who_signs_in_sends_no_megabytes() {
    let (_database, server) = start().await;
    let form = |origin: &str, length: usize| {
        format!(
            "POST /ui/sign-in HTTP/1.1\r\nHost: ipam\r\nOrigin: http://{origin}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    // A form of another site is refused before its body arrives.
    let said = exchange(server.address(), form("evil.example", 900_000).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
    let said = exchange(server.address(), form("ipam", 900_000).as_bytes()).await;
    assert!(!said.starts_with("HTTP/1.1 2"), "{said}");
    let large = format!("{}key={}", form("ipam", 5_000), "x".repeat(4_996));
    let said = exchange(server.address(), large.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let (_database, server) = start().await;
    let address = server.address();
    let head = |more: &str| format!("GET /healthz HTTP/1.1\r\nHost: ipam\r\n{more}\r\n");
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("X-{number}: x\r\n"))
            .collect::<String>()
    };
    for (what, bytes, status) in [
        ("as many headers as allowed", head(&many(99)), "200"),
        ("too many headers", head(&many(100)), "431"),
        ("a long header", head(&format!("X: {}\r\n", "x".repeat(30_000))), "200"),
        ("too long a header", head(&format!("X: {}\r\n", "x".repeat(200_000))), "431"),
        ("too long a path", format!("GET /{} HTTP/1.1\r\nHost: ipam\r\n\r\n", "x".repeat(200_000)), "431"),
        ("no HTTP", "hello\r\n\r\n".to_owned(), "400"),
        ("two lengths", head("Content-Length: 1\r\nContent-Length: 2\r\n"), "400"),
        ("a length that is none", head("Content-Length: x\r\n"), "400"),
        ("a header with a line break in its name", head("X y\r\n"), "400"),
        ("a chunk that is none", "POST /api/v1/allocations HTTP/1.1\r\nHost: ipam\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), "4"),
    ] {
        let said = exchange(address, bytes.as_bytes()).await;
        // Where the parser gives up before it knows what to answer, the end of the connection is an answer too.
        let refused = said.is_empty() && status != "200";
        assert!(refused || said.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {}", said.lines().next().unwrap_or("nothing"));
    }
    assert_eq!(
        Client::connect(address)
            .await
            .unwrap()
            .get("/healthz")
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_leaves_nothing_half_done() {
    let (database, server) = start().await;
    let address = server.address();
    let mut db = database.connect().await;
    let (mut sent, mut patience, mut there) = (0, Duration::from_micros(40), 0);
    // A server that has better things to do sees most of them only when they are gone; then the next ones stay longer.
    while there < 10 {
        assert!(
            sent < 1500,
            "only {there} requests arrived, which tests nothing"
        );
        let leaving: Vec<_> = (0..BURST)
            .map(|at| tokio::spawn(leave(address, sent + at, patience * at)))
            .collect();
        for task in leaving {
            task.await.unwrap();
        }
        sent += BURST;
        patience *= 2;
        settle(&mut db).await;
        verify(&database).await;
        there = count(&mut db, "select count(*) from allocation").await;
        let cut = count(
            &mut db,
            "select count(*) from allocation where substr(name, 2)::integer % 3 = 0",
        )
        .await;
        assert_eq!(cut, 0, "half a request did something");
    }
    // Who comes back for it finds it, or makes it now.
    let mut client = Client::connect(address).await.unwrap();
    for number in 0..sent {
        let reply = client.post(ALLOCATIONS, &wish(number)).await.unwrap();
        assert!(matches!(reply.status, 200 | 201), "{}", reply.json);
    }
    let all = count(&mut db, "select count(*) from allocation").await;
    assert_eq!(all, i64::from(sent));
    verify(&database).await;
}

/// Clients that leave at once; a multiple of three.
const BURST: u32 = 150;

fn wish(number: u32) -> Value {
    json!({"vpc": format!("v{}", number % 3), "name": format!("n{number}"), "prefix_length": 26})
}

/// Asks for an allocation, and leaves: a third of all in the middle of the body, a third by a reset as soon as all is sent,
/// the others a little later, while it is worked on.
async fn leave(address: SocketAddr, number: u32, patience: Duration) {
    let bytes = request("POST", ALLOCATIONS, &wish(number).to_string());
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    match number % 3 {
        0 => {
            let _ = stream.write_all(&bytes.as_bytes()[..bytes.len() - 3]).await;
        }
        1 => {
            stream.set_zero_linger().expect("it can be set");
            stream
                .write_all(bytes.as_bytes())
                .await
                .expect("it is open");
        }
        _ => {
            stream
                .write_all(bytes.as_bytes())
                .await
                .expect("it is open");
            tokio::time::sleep(patience).await;
        }
    }
}

/// Waits until no transaction is open.
async fn settle(db: &mut PgConnection) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let busy = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend' and state <> 'idle'";
    let mut quiet = 0;
    // Twice in a row, since the next request of a queue may just be on its way.
    while quiet < 5 {
        quiet = if count(db, busy).await == 0 {
            quiet + 1
        } else {
            0
        };
        assert!(Instant::now() < deadline, "sessions do not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Holds the pools, so that an allocation has to wait.
async fn hold_pools(database: &TestDatabase) -> PgConnection {
    let mut holder = database.connect().await;
    for sql in ["begin", "select from pool for update"] {
        sqlx::query(sql)
            .execute(&mut holder)
            .await
            .expect("the pools can be locked");
    }
    holder
}

async fn until_something_waits(db: &mut PgConnection) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while count(db, waiting).await == 0 {
        assert!(Instant::now() < deadline, "nothing waits");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_on_to_its_end_when_its_client_is_gone() {
    let (database, server) = start().await;
    let mut holder = hold_pools(&database).await;
    let mut db = database.connect().await;
    let body = json!({"vpc": "a", "name": "n", "hosts": 5});
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream
        .write_all(request("POST", ALLOCATIONS, &body.to_string()).as_bytes())
        .await
        .unwrap();
    until_something_waits(&mut db).await;
    drop(stream);
    // The server has noticed when it can say so: a new connection is served, and the old one is read to its end.
    let mut client = Client::connect(server.address()).await.unwrap();
    assert_eq!(client.get("/healthz").await.unwrap().status, 200);
    sqlx::query("commit").execute(&mut holder).await.unwrap();
    settle(&mut db).await;
    assert_eq!(count(&mut db, "select count(*) from allocation").await, 1);
    let reply = client.post(ALLOCATIONS, &body).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.json);
    verify(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_runs_and_takes_nothing_new() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (database, mut server) = start().await;
        let address = server.address();
        let mut db = database.connect().await;
        // One connection idles, one has a request under way.
        let mut idle = Client::connect(address).await.unwrap();
        assert_eq!(idle.get("/readyz").await.unwrap().status, 200);
        let mut holder = hold_pools(&database).await;
        let mut busy = Client::connect(address).await.unwrap();
        let running = tokio::spawn(async move {
            busy.post(ALLOCATIONS, &json!({"vpc": "a", "name": "n", "hosts": 5}))
                .await
        });
        until_something_waits(&mut db).await;

        server.signal(signal);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_ok() {
            assert!(
                Instant::now() < deadline,
                "it still takes connections after {signal}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A request that was on its way is answered, and the client is told to leave.
        if let Ok(last) = idle.get("/readyz").await {
            assert_eq!(
                (last.status, &last.headers["connection"]),
                (503, &"close".parse().unwrap())
            );
        }
        assert!(
            idle.get("/readyz").await.is_err(),
            "the idle connection is closed"
        );
        assert!(!running.is_finished(), "the request under way was cut");
        sqlx::query("commit").execute(&mut holder).await.unwrap();
        let reply = running.await.unwrap().expect("its answer");
        assert_eq!(reply.status, 201, "{}", reply.json);
        // Who closes its connection after the answer does not make it wait for the rest of its patience.
        let begin = Instant::now();
        let status = server.stop().await;
        assert_eq!(status.code(), Some(0), "{signal}: {}", server.log());
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(count(&mut db, "select count(*) from allocation").await, 1);
        let log = server.log();
        assert!(
            !log.contains("panicked") && !log.contains("did not end"),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_after_the_request_is_answered() {
    let (database, server) = start().await;
    for number in 0..10 {
        let body = json!({"vpc": "a", "name": format!("n{number}"), "hosts": 5}).to_string();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream
            .write_all(request("POST", ALLOCATIONS, &body).as_bytes())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        tokio::time::timeout(CUT, stream.read_to_string(&mut said))
            .await
            .expect("an end")
            .unwrap();
        assert!(said.starts_with("HTTP/1.1 201"), "{said}");
    }
    verify(&database).await;
}

#[tokio::test]
async fn the_log_names_the_request_and_no_secret() {
    let database = TestDatabase::new().await;
    let server = TestServer::start_with(&database.url(), &[("RUST_LOG", "debug")]).await;
    let mut client = Client::connect(server.address()).await.unwrap();
    let body = json!({"vpc": "a", "name": "n", "hosts": 5, "description": "secret-text"});
    let made = client.post(ALLOCATIONS, &body).await.unwrap().json;
    let (path, claim) = (
        format!("{ALLOCATIONS}/{}", made["id"].as_str().unwrap()),
        made["claim"].as_str().unwrap(),
    );
    let shown = client
        .send("GET", &path, &[("ipam-claim", claim)], &Value::Null)
        .await
        .unwrap();
    assert_eq!(shown.status, 200);
    let refused = client
        .get(&format!("{ALLOCATIONS}?contains=secret-query"))
        .await
        .unwrap();
    assert_eq!(refused.status, 400);
    let log = server.log();
    for reply in [shown, refused] {
        let id = reply.headers["x-request-id"].to_str().unwrap();
        assert!(log.contains(id), "{id} is not in the log:\n{log}");
    }
    for secret in [TestServer::API_KEY, "secret-text", "secret-query", claim] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
