//! The audit log of a real server, followed by other people's program: a stream of server-sent events that goes on, ends
//! with its key and with the server, and is continued.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

#[path = "support/client.rs"]
mod client;

use client::Client;

/// curl, with what it has not yet read.
struct Follower {
    curl: Child,
    lines: BufReader<ChildStdout>,
}

/// A message of a stream.
#[derive(Debug)]
struct Message {
    id: Option<i64>,
    kind: String,
    data: Value,
}

impl Follower {
    #[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
    fn start(server: &TestServer, key: &str, query: &str, more: &[&str]) -> Self {
        let mut curl = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--no-buffer",
                "--max-time",
                "60",
            ])
            .args([
                "--header",
                "Accept: text/event-stream",
                "--header",
                &format!("X-API-Key: {key}"),
            ])
            .args(more)
            .arg(format!("{}/api/v1/events/feed{query}", server.url()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(curl.stdout.take().unwrap());
        Self { curl, lines }
    }

    /// The next message with data; none at the end.
    #[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
    fn next(&mut self) -> Option<Message> {
        let mut message = Message {
            id: None,
            kind: String::new(),
            data: Value::Null,
        };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => message.id = Some(id.parse().unwrap()),
                Some(("event", kind)) => kind.clone_into(&mut message.kind),
                Some(("data", data)) => message.data = serde_json::from_str(data).unwrap(),
                _ if !message.data.is_null() => return Some(message),
                _ => {}
            }
        }
    }

    /// The next event.
    fn event(&mut self) -> Option<Message> {
        std::iter::from_fn(|| self.next()).find(|message| message.kind.is_empty())
    }

    /// How curl ended.
    #[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
    fn ended(mut self) -> Option<i32> {
        while self.next().is_some() {}
        self.curl.wait().unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_until_its_key_is_revoked_and_is_continued() {
    let database = TestDatabase::new().await;
    let pepper = [("IPAM_TOKEN_PEPPER", "feed-0123456789abcdef0123456789abcdef")];
    let server = TestServer::start_with(&database.url(), &pepper).await;
    let mut admin = Client::connect(server.address()).await.unwrap();
    let new = json!({"name": "siem", "roles": ["auditor"]});
    let token = admin.post("/api/v1/tokens", &new).await.unwrap().json;
    let key = token["secret"].as_str().unwrap().to_owned();
    let mut follower = Follower::start(&server, &key, "?after=0&action=vrf.create", &[]);
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        let made = admin
            .post("/api/v1/vrfs", &json!({ "name": name }))
            .await
            .unwrap();
        assert_eq!(made.status, 201);
        let event = tokio::task::block_in_place(|| follower.event()).unwrap();
        assert_eq!(event.data["detail"]["name"], name, "{event:?}");
        assert_eq!(event.data["id"], event.id.unwrap());
        assert_eq!(event.data["source"]["address"], "127.0.0.1", "{event:?}");
        ids.push(event.id.unwrap());
    }
    assert!(ids.is_sorted());
    let head = std::iter::from_fn(|| follower.next()).find(|message| message.kind == "head");
    let head = head.unwrap();
    assert!(head.id.is_none() && head.data["seal"].is_i64(), "{head:?}");

    let path = format!("/api/v1/tokens/{}", token["id"].as_str().unwrap());
    let reply = admin
        .send("DELETE", &path, &[], &Value::Null)
        .await
        .unwrap();
    assert_eq!(reply.status, 204);
    let revoked = Instant::now();
    assert_eq!(tokio::task::block_in_place(|| follower.ended()), Some(0));
    assert!(
        revoked.elapsed() < Duration::from_secs(2),
        "{:?}",
        revoked.elapsed()
    );

    // Goes on where another one stopped, as browsers do.
    let last = format!("Last-Event-ID: {}", ids[0]);
    let more = ["--header", last.as_str()];
    let mut follower = Follower::start(&server, TestServer::API_KEY, "?action=vrf.create", &more);
    for id in &ids[1..] {
        assert_eq!(follower.event().unwrap().id, Some(*id));
    }
    // What is filtered is not looked at again either.
    assert!(
        admin
            .get("/api/v1/events/feed?after=0&wait=1&action=no.such")
            .await
            .unwrap()
            .json["next"]
            .as_i64()
            >= Some(ids[2])
    );

    // It does not keep the server from stopping.
    let stopped = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(tokio::task::block_in_place(|| follower.ended()), Some(0));
    assert!(
        stopped.elapsed() < Duration::from_secs(5),
        "{:?}",
        stopped.elapsed()
    );
}

#[tokio::test]
async fn what_was_denied_is_recorded_when_the_server_stops() {
    let database = TestDatabase::new().await;
    let mut server = TestServer::start(&database).await;
    for _ in 0..3 {
        let output = Command::new("curl")
            .args([
                "--silent",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ])
            .args([
                "--header",
                "X-API-Key: wrong",
                &format!("{}/api/v1/vrfs", server.url()),
            ])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"401");
    }
    let mut admin = Client::connect(server.address()).await.unwrap();
    let reply = admin.get("/api/v1/events/feed").await.unwrap();
    assert_eq!(reply.headers["content-type"], "application/json");
    assert!(server.stop().await.success());
    let mut db = database.connect().await;
    let sql = "select concat_ws(' ', actor, detail ->> 'count', source ->> 'address') from event where action = 'access.wrong_key'";
    let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(&mut db)
        .await
        .unwrap();
    assert_eq!(found, ["nobody 3 127.0.0.1"]);
}
