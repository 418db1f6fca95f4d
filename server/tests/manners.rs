//! What a real server asks of clients, over real connections: limits by address, pages of other sites, links and
//! conditional reads through other people's parser.

use std::{
    collections::HashSet,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const VRFS: &str = "/api/v1/vrfs";
const PORTAL: &str = "https://portal.example";

async fn start(environment: &[(&str, &str)]) -> (TestDatabase, TestServer) {
    let database = TestDatabase::new().await;
    let server = TestServer::start_with(&database.url(), environment).await;
    (database, server)
}

/// The head of a reply, in lower case, and all that came behind it.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    rest: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_default()
    }
}

/// Sends a request and reads until the server closes.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: ipam\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("a reply");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
    Reply {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status"),
        head: head.to_lowercase(),
        rest: rest.to_owned(),
    }
}

fn key() -> (&'static str, &'static str) {
    ("X-API-Key", TestServer::API_KEY)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_limited_does_not_get_the_database_asked_about_secrets_that_are_made_up() {
    let settings = [("IPAM_RATE_LIMIT_PER_ADDRESS", "2")];
    let (database, server) = start(&settings).await;
    let address = server.address();
    let made_up = async || {
        let secret = ipam_shared::secret::Secret::generate().expect("random numbers");
        ask(address, "GET", "/docs/", &[("X-API-Key", secret.reveal())]).await
    };
    for _ in 0..2 {
        assert_eq!(made_up().await.status, 200);
    }
    let mut db = database.connect().await;
    sqlx::raw_sql("begin; lock table token in access exclusive mode")
        .execute(&mut db)
        .await
        .expect("locked");
    let begin = Instant::now();
    assert_eq!(made_up().await.status, 429);
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_limited_by_address_and_those_with_a_key_are_not() {
    let settings = [
        ("IPAM_RATE_LIMIT_PER_ADDRESS", "5"),
        ("IPAM_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let (_database, server) = start(&settings).await;
    let address = server.address();
    let from = |client: &'static str| [("X-Forwarded-For", client)];
    let home = from("2001:db8::1");
    for left in (0..5).rev() {
        // Whatever they ask for.
        let path = [
            VRFS,
            "/allocations",
            "/docs/",
            "/ui/sign-in",
            "/api/v1/openapi.json",
        ][left];
        let reply = ask(address, "GET", path, &home).await;
        assert!([200, 401, 422].contains(&reply.status), "{reply:?}");
        assert_eq!(reply.header("ratelimit-policy"), "\"address\";q=5;w=60");
        assert!(
            reply
                .header("ratelimit")
                .starts_with(&format!("\"address\";r={left};t="))
        );
    }
    // The whole /64 is one client; what it is told depends on what it asked for.
    let neighbour = from("2001:db8::2");
    let refused = ask(address, "GET", VRFS, &neighbour).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (429, "application/problem+json")
    );
    assert!(
        refused.rest.contains("\"code\":\"rate_limited\""),
        "{refused:?}"
    );
    let page = ask(address, "GET", "/ui/sign-in", &neighbour).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (429, "text/html; charset=utf-8")
    );
    assert!(
        page.rest.contains("Too many requests") && page.rest.contains("5 a minute"),
        "{page:?}"
    );
    for reply in [&refused, &page] {
        let wait: u64 = reply.header("retry-after").parse().expect("seconds");
        assert!((1..=12).contains(&wait), "{wait}");
        assert!(
            reply.header("ratelimit").starts_with("\"address\";r=0;t="),
            "{reply:?}"
        );
        assert_eq!(reply.header("x-request-id").len(), 32);
    }
    // A wrong key that is refused for this reason takes as long as any other.
    let begin = Instant::now();
    let wrong = ask(
        address,
        "GET",
        VRFS,
        &[neighbour[0], ("X-API-Key", "wrong")],
    )
    .await;
    assert_eq!(wrong.status, 429);
    assert!(
        begin.elapsed() >= Duration::from_millis(200),
        "{:?}",
        begin.elapsed()
    );
    // The right key, other addresses and health checks are nobody's to block.
    for _ in 0..8 {
        let reply = ask(address, "GET", VRFS, &[home[0], key()]).await;
        assert_eq!((reply.status, reply.header("ratelimit")), (200, ""));
        assert_eq!(ask(address, "GET", "/healthz", &home).await.status, 200);
        assert_eq!(ask(address, "GET", "/readyz", &home).await.status, 200);
    }
    assert_eq!(
        ask(address, "GET", VRFS, &from("2001:db8:0:1::1"))
            .await
            .status,
        401
    );
    let metrics = ask(address, "GET", "/metrics", &[key()]).await;
    assert!(
        metrics
            .rest
            .contains("ipam_http_requests_limited_total{kind=\"address\"} 3"),
        "{metrics:?}"
    );
    let log = server.log();
    let told = log.matches("more requests than the limit").count();
    assert_eq!(told, 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_sites_that_are_named_may_use_the_api_and_no_others() {
    let settings = [
        (
            "IPAM_CORS_ORIGINS",
            "https://Portal.example/, http://localhost:3000",
        ),
        ("IPAM_RATE_LIMIT_PER_ADDRESS", "1"),
    ];
    let (_database, server) = start(&settings).await;
    let address = server.address();
    let portal = ("Origin", PORTAL);
    let wants = [
        portal,
        ("Access-Control-Request-Method", "PATCH"),
        (
            "Access-Control-Request-Headers",
            "x-api-key,if-match,content-type",
        ),
    ];
    for path in [VRFS, "/api/v1/allocations/1", "/api/v1/nothing"] {
        let preflight = ask(address, "OPTIONS", path, &wants).await;
        assert_eq!(
            (preflight.status, preflight.rest.as_str()),
            (204, ""),
            "{preflight:?}"
        );
        assert_eq!(preflight.header("access-control-allow-origin"), PORTAL);
        assert_eq!(
            preflight.header("access-control-allow-methods"),
            "get, head, post, patch, delete"
        );
        let headers: HashSet<_> = preflight
            .header("access-control-allow-headers")
            .split(", ")
            .collect();
        for name in [
            "x-api-key",
            "authorization",
            "content-type",
            "if-match",
            "if-none-match",
            "idempotency-key",
        ] {
            assert!(headers.contains(name), "{name}: {headers:?}");
        }
        assert_eq!(preflight.header("access-control-max-age"), "600");
        assert!(preflight.header("vary").contains("origin"));
        assert_eq!(preflight.header("x-request-id").len(), 32);
    }
    // A script reads the refusals too, those of the limit included.
    let reply = ask(address, "GET", VRFS, &[portal, key()]).await;
    let refused = ask(address, "GET", VRFS, &[portal]).await;
    let limited = ask(address, "GET", VRFS, &[portal]).await;
    let large = ask(
        address,
        "POST",
        VRFS,
        &[portal, key(), ("Content-Length", "9999999")],
    )
    .await;
    let statuses = [&reply, &refused, &limited, &large].map(|reply| reply.status);
    assert_eq!(statuses, [200, 401, 429, 413]);
    for reply in [&reply, &refused, &limited, &large] {
        assert_eq!(reply.header("access-control-allow-origin"), PORTAL);
        let exposed = reply.header("access-control-expose-headers");
        for name in [
            "etag",
            "link",
            "location",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "x-request-id",
        ] {
            assert!(
                exposed.split(", ").any(|one| one == name),
                "{name}: {exposed}"
            );
        }
        assert!(reply.head.contains("vary: origin"), "{reply:?}");
        assert!(!reply.head.contains("credentials") && !reply.head.contains("-origin: *"));
    }
    // Nobody else, and nothing else.
    let others = [
        "https://evil.example",
        "null",
        "https://portal.example.evil.example",
        "*",
        "",
        "https://Portal.example",
    ];
    for other in others {
        let headers = [
            ("Origin", other),
            key(),
            ("Access-Control-Request-Method", "GET"),
        ];
        let (reply, preflight) = (
            ask(address, "GET", VRFS, &headers).await,
            ask(address, "OPTIONS", VRFS, &headers).await,
        );
        assert_eq!((reply.status, preflight.status), (200, 405), "{other}");
        for reply in [reply, preflight] {
            assert!(!reply.head.contains("access-control"), "{other}: {reply:?}");
            assert!(
                reply.head.contains("vary: origin"),
                "a cache must know: {reply:?}"
            );
        }
    }
    for path in [
        "/allocations",
        "/ui/sign-in",
        "/metrics",
        "/docs/",
        "/healthz",
        "/api/v2/vrfs",
    ] {
        for method in ["GET", "OPTIONS"] {
            let reply = ask(address, method, path, &[portal, key(), wants[1]]).await;
            assert!(!reply.head.contains("access-control"), "{path}: {reply:?}");
            assert!(!reply.head.contains("vary: origin"), "{path}: {reply:?}");
        }
    }
    // The cookie of a session is never let in, so a request with one and no key is nobody's.
    let cookie = [
        portal,
        ("Cookie", "ipam_session=AAAA"),
        ("X-Forwarded-For", "192.0.2.1"),
    ];
    assert_ne!(ask(address, "GET", VRFS, &cookie).await.status, 200);
}

#[test]
fn settings_that_make_no_sense_are_refused_at_the_start() {
    for (name, value, says) in [
        ("IPAM_CORS_ORIGINS", "*", "https://portal.example"),
        (
            "IPAM_CORS_ORIGINS",
            "https://a.example,portal",
            "https://portal.example",
        ),
        (
            "IPAM_CORS_ORIGINS",
            "https://a.example/app",
            "without a path",
        ),
        ("IPAM_RATE_LIMIT_PER_TOKEN", "-1", "--rate-limit-per-token"),
        (
            "IPAM_RATE_LIMIT_PER_ADDRESS",
            "1000001",
            "--rate-limit-per-address",
        ),
        ("IPAM_REQUIRE_IF_MATCH", "perhaps", "--require-if-match"),
    ] {
        let binary =
            std::env::var("IPAM_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ipam").to_owned());
        let refused = Command::new(binary)
            .args([
                "serve",
                "--database-url",
                "postgres://nobody@127.0.0.1:1/none",
            ])
            .env("API_KEY", TestServer::API_KEY)
            .env(name, value)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{name}={value}: {said}");
        assert!(said.contains(says), "{name}={value}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_304_has_neither_body_nor_length_and_the_connection_goes_on() {
    let (_database, server) = start(&[]).await;
    let path = format!("{VRFS}/default");
    let first = ask(server.address(), "GET", &path, &[key()]).await;
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with("\"1-"), "{first:?}");
    for encoding in ["identity", "gzip"] {
        let headers = [
            key(),
            ("If-None-Match", &*etag),
            ("Accept-Encoding", encoding),
        ];
        let again = ask(server.address(), "GET", &path, &headers).await;
        assert_eq!(
            (again.status, again.rest.as_str(), again.header("etag")),
            (304, "", &*etag)
        );
        for absent in [
            "content-length",
            "transfer-encoding",
            "content-type",
            "content-encoding",
        ] {
            assert_eq!(again.header(absent), "", "{again:?}");
        }
    }
    // Two on one connection: the second head begins where the first ended.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = |more: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {}\r\nIf-None-Match: {etag}\r\n{more}\r\n",
            TestServer::API_KEY
        )
    };
    let both = request("") + &request("Connection: close\r\n");
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said.matches("HTTP/1.1 304").count(), 2, "{said}");
    assert_eq!(said.split("\r\n\r\n").count(), 3, "{said}");
}

/// Other people's parser of URLs and their client, through a path in front that a proxy might have.
#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_client_follows_the_links() {
    let (_database, server) = start(&[]).await;
    // Fails if somebody has chosen one already, which is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    for number in 0..7 {
        let made = client
            .post(server.url() + VRFS)
            .header("x-api-key", TestServer::API_KEY)
            .json(&json!({"name": format!("v{number}")}))
            .send()
            .await
            .unwrap();
        assert_eq!(made.status(), 201);
    }
    let mut url = reqwest::Url::parse(&format!("{}{VRFS}?limit=3", server.url())).unwrap();
    let mut names = Vec::new();
    loop {
        let page = client
            .get(url.clone())
            .header("x-api-key", TestServer::API_KEY)
            .send()
            .await
            .unwrap();
        let link = page
            .headers()
            .get("link")
            .map(|link| link.to_str().unwrap().to_owned());
        let body: Value = page.json().await.unwrap();
        names.extend(
            body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|vrf| vrf["name"].to_string()),
        );
        let Some(link) = link else { break };
        let (target, relation) = link.split_once(';').unwrap();
        assert_eq!(relation.trim(), "rel=\"next\"");
        let target = target.trim_start_matches('<').trim_end_matches('>');
        // As behind a proxy that has the API below a path of its own.
        let behind = reqwest::Url::parse("https://ipam.example/base/api/v1/vrfs?limit=3").unwrap();
        let joined = behind.join(target).unwrap();
        assert_eq!(joined.path(), "/base/api/v1/vrfs");
        url = url.join(target).unwrap();
        assert_eq!(url.query(), joined.query());
    }
    assert_eq!(names.len(), 8, "{names:?}");
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 8);
}
