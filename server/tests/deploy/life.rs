//! From the first start to the last request: starting together, on a database that is away or too new, health checks,
//! and the wait before a stop.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use ipam_server::db::MIGRATOR;
use ipam_testing::{TestDatabase, TestServer, ipam_binary};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use crate::client::Client;

/// Runs `ipam` with nothing of the developer's environment.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(ipam_binary())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the ipam binary can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_ends_a_server_is_one_line_of_json() {
    let key = ["API_KEY", "0123456789abcdef0123"];
    let environments: [&[(&str, &str)]; 3] = [
        &[("DATABASE_URL", "postgres://x@127.0.0.1:1/x")],
        &[
            ("DATABASE_URL", "postgres://x@127.0.0.1:1/x"),
            ("API_KEY_FILE", "/nonexistent"),
        ],
        &[
            ("DATABASE_URL", "postgres://x@127.0.0.1:1/x"),
            ("IPAM_DATABASE_WAIT", "1"),
            (key[0], key[1]),
        ],
    ];
    for environment in environments {
        let environment = [environment, &[("IPAM_LOG_FORMAT", "json")]].concat();
        let output = run(&["serve", "--listen", "127.0.0.1:0"], &environment);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let mut errors = 0;
        for line in said.lines() {
            let line: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in {line:?} of {said}"));
            errors += usize::from(line["level"] == "ERROR");
        }
        assert_eq!(errors, 1, "{said}");
    }
    // What is read by people stays as it is.
    let environment = [
        ("DATABASE_URL", "postgres://x@127.0.0.1:1/x"),
        ("IPAM_LOG_FORMAT", "text"),
    ];
    let output = run(&["serve", "--listen", "127.0.0.1:0"], &environment);
    let said = text(&output.stderr);
    assert!(said.starts_with("ipam: set API_KEY"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_servers_start_at_once_on_an_empty_database() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let start = || TestServer::start_with(&url, &[]);
    let (a, b, c, d) = tokio::join!(start(), start(), start(), start());
    for server in [a, b, c, d] {
        let mut client = Client::connect(server.address()).await.expect("it listens");
        assert_eq!(client.get("/readyz").await.expect("an answer").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_newer_is_refused_and_left_alone() {
    let database = TestDatabase::new().await;
    let mut db = database.connect().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (9999, 'from the future', true, '\\x00', 0)",
    )
    .execute(&mut db)
    .await
    .expect("a row");
    // One that this release has is taken away, so that there is something to change.
    let known = MIGRATOR.iter().map(|migration| migration.version);
    let known = known.max().expect("migrations");
    sqlx::query("delete from _sqlx_migrations where version = $1")
        .bind(known)
        .execute(&mut db)
        .await
        .expect("deleted");
    let url = database.url();
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("API_KEY", "key-0123456789abcdef"),
    ];
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
        let output = run(arguments, &environment);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in [
            "newer than this release",
            "version 9999",
            &format!("up to {known}"),
            "Nothing was changed",
            "restore the backup",
        ] {
            assert!(said.contains(words), "{words:?} is not in: {said}");
        }
        let newest: Vec<i64> = sqlx::query_scalar(
            "select version from _sqlx_migrations order by version desc limit 2",
        )
        .fetch_all(&mut db)
        .await
        .expect("rows");
        assert_eq!(newest, [9999, known - 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_what_it_waits_for_and_gives_up() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let port = socket.local_addr().expect("its address").port();
    let url = format!("postgres://ipam:hunter2@127.0.0.1:{port}/net");
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("API_KEY", "key-0123456789abcdef"),
        ("IPAM_DATABASE_WAIT", "1"),
    ];
    let output = run(&["serve", "--listen", "127.0.0.1:0"], &environment);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let place = format!("the database at 127.0.0.1:{port}/net");
    assert!(said.contains(&format!("waiting for {place}")), "{said}");
    assert!(
        said.contains(&format!("{place} did not answer within 1 s")),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_by_the_exit_code() {
    let database = TestDatabase::new().await;
    let mut server = TestServer::start_with(&database.url(), &[("IPAM_DRAIN_DELAY", "60")]).await;
    let port = server.address().port();
    let check = |arguments: &[&str]| {
        let listen = format!("0.0.0.0:{port}");
        let arguments: Vec<_> = ["healthcheck"].iter().chain(arguments).copied().collect();
        let output = run(&arguments, &[("IPAM_LISTEN", &listen)]);
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let yes = |path| (Some(0), format!("http://127.0.0.1:{port}{path} says yes\n"));
    assert_eq!(check(&[]), yes("/readyz"));
    assert_eq!(check(&["--live"]), yes("/healthz"));
    assert_eq!(check(&["--url", &server.url()]), yes("/readyz"));

    server.signal(Signal::SIGTERM);
    let deadline = Instant::now() + Duration::from_secs(10);
    while check(&[]).0 == Some(0) {
        assert!(Instant::now() < deadline, "it is still ready");
    }
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(
        said.ends_with("/readyz says no: 503, The server is stopping\n"),
        "{said}"
    );
    // It is well, all the same, and nobody should restart it.
    assert_eq!(check(&["--live"]), yes("/healthz"));
    server.stop().await;
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("does not answer") && said.lines().count() == 1,
        "{said}"
    );

    // Who takes connections and says nothing is not well either.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("its address"));
    let begin = Instant::now();
    let (code, said) = check(&["--url", &url]);
    assert_eq!(code, Some(1));
    assert!(said.contains("did not answer within 2 s"), "{said}");
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_announced_before_it_happens() {
    let database = TestDatabase::new().await;
    let mut server = TestServer::start_with(&database.url(), &[("IPAM_DRAIN_DELAY", "2")]).await;
    let mut kept = Client::connect(server.address()).await.expect("it listens");
    let before = kept.get("/readyz").await.expect("an answer");
    assert_eq!(before.status, 200);
    assert!(!before.headers.contains_key("connection"));

    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    // New connections are taken, requests answered, and each answer says that the connection ends.
    let mut answered = 0;
    while let Ok(mut client) = Client::connect(server.address()).await {
        let Ok(reply) = client.get("/api/v1/allocations").await else {
            break;
        };
        assert_eq!(reply.status, 200);
        if begin.elapsed() > Duration::from_millis(500) {
            assert_eq!(reply.headers["connection"], "close");
            let mut client = Client::connect(server.address()).await.expect("it listens");
            assert_eq!(client.get("/readyz").await.expect("an answer").status, 503);
            answered += 1;
        }
        if begin.elapsed() > Duration::from_millis(1700) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        begin.elapsed() > Duration::from_millis(1700),
        "it stopped after {:?}",
        begin.elapsed()
    );
    assert!(answered > 5, "{answered} answers");
    // The connection that was kept is answered a last time.
    let last = kept.get("/readyz").await.expect("an answer");
    assert_eq!(last.status, 503);
    assert_eq!(last.headers["connection"], "close");
    let status = wait(&mut server, begin).await;
    assert!(
        status >= Duration::from_secs(2) && status < Duration::from_secs(10),
        "{status:?}"
    );
}

/// When it refuses connections, counted from `begin`.
async fn wait(server: &mut TestServer, begin: Instant) -> Duration {
    while TcpStream::connect(server.address()).await.is_ok() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it does not stop"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_skips_the_wait() {
    let database = TestDatabase::new().await;
    let mut server = TestServer::start_with(&database.url(), &[("IPAM_DRAIN_DELAY", "600")]).await;
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    while !server.log().contains("another signal skips the wait") {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = server.stop().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
}
