//! Two servers on one database behind HAProxy, at 100 requests a second: each is restarted in turn, three times, and no
//! client notices more than one 503 that it repeats. Runs on `deploy/haproxy.cfg` with other addresses.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinSet,
};

use crate::client::{Client, Reply};

const CONFIGURATION: &str = include_str!("../../../deploy/haproxy.cfg");
const ALLOCATIONS: &str = "/api/v1/allocations";
/// One request each.
const PERIOD: Duration = Duration::from_millis(10);
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// A running HAProxy, killed when dropped.
struct Proxy {
    process: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

/// A server as HAProxy sees it.
#[derive(Debug)]
struct Stat {
    /// It gets requests.
    up: bool,
    /// Requests that it answered with 2xx.
    answered: usize,
    /// Connections that failed and replies that did not come, and how often HAProxy repeated a request for that.
    lost: usize,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended before.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Proxy {
    fn start(servers: [SocketAddr; 2]) -> Self {
        Self::start_with(servers, "")
    }

    /// With more words for each server.
    fn start_with(servers: [SocketAddr; 2], more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let socket = dir.path().join("admin.sock");
        let mut text = CONFIGURATION.to_owned();
        for (example, ours) in [
            ("/run/haproxy/admin.sock", socket.display().to_string()),
            ("127.0.0.1:8000", address.to_string()),
            ("10.0.0.11:8000", format!("{}{more}", servers[0])),
            ("10.0.0.12:8000", format!("{}{more}", servers[1])),
        ] {
            assert_eq!(text.matches(example).count(), 1, "{example} in haproxy.cfg");
            text = text.replace(example, &ours);
        }
        let file = dir.path().join("haproxy.cfg");
        std::fs::write(&file, text).expect("our own file");
        // Debian puts it where only root looks.
        let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap_or("haproxy");
        let process = Command::new(program)
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} can't be started, is it installed? {error}"));
        Self {
            process,
            address,
            dir,
        }
    }

    /// What HAProxy says about server `index`.
    async fn server(&self, index: usize) -> Option<Stat> {
        let path = self.dir.path().join("admin.sock");
        let mut socket = UnixStream::connect(path).await.ok()?;
        socket.write_all(b"show stat\n").await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        let mut lines = text.lines();
        let names: Vec<_> = lines.next()?.trim_start_matches("# ").split(',').collect();
        let server = format!("servers,ipam-{},", index + 1);
        let row: Vec<_> = lines
            .find(|line| line.starts_with(&server))?
            .split(',')
            .collect();
        let column = |name| row.get(names.iter().position(|it| *it == name)?).copied();
        let count = |name| column(name)?.parse::<usize>().ok();
        Some(Stat {
            up: column("status")?.starts_with("UP"),
            answered: count("hrsp_2xx")?,
            lost: count("wretr")? + count("wredis")? + count("econ")? + count("eresp")?,
        })
    }

    async fn until_up(&self, index: usize) {
        let deadline = Instant::now() + PATIENCE;
        while !self.server(index).await.is_some_and(|stat| stat.up) {
            assert!(
                Instant::now() < deadline,
                "HAProxy does not see server {index}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answered(&self, index: usize) -> usize {
        self.server(index).await.expect("statistics").answered
    }
}

/// HAProxy can't choose a port and tell it.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// What all requests together saw.
#[derive(Default)]
struct Seen {
    /// Connections that the next requests may use, so that some are kept and some are new.
    idle: Mutex<Vec<Client>>,
    /// Number and id of the allocations that were acknowledged.
    acknowledged: Mutex<Vec<(usize, String)>>,
    sent: AtomicUsize,
    repeated: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Seen {
    async fn request(&self, address: SocketAddr, number: usize) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let mut reply = self.attempt(address, number).await;
        if matches!(&reply, Ok(reply) if reply.status == 503) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            let pause = reply.ok().and_then(|reply| {
                let value = reply.headers.get("retry-after")?.to_str().ok()?;
                value.parse().ok().map(Duration::from_secs)
            });
            tokio::time::sleep(pause.unwrap_or(Duration::from_millis(200))).await;
            reply = self.attempt(address, number).await;
        }
        let failure = match reply {
            Ok(reply) if is_write(number) && matches!(reply.status, 200 | 201) => {
                let id = reply.json["id"].as_str().unwrap_or_default().to_owned();
                self.acknowledged
                    .lock()
                    .expect("no panic")
                    .push((number, id));
                return;
            }
            Ok(reply) if !is_write(number) && reply.status == 200 => return,
            Ok(reply) => format!("{}: {}", reply.status, reply.json),
            Err(error) => error,
        };
        let mut failures = self.failures.lock().expect("no panic");
        failures.push(format!("request {number}: {failure}"));
    }

    async fn attempt(&self, address: SocketAddr, number: usize) -> Result<Reply, String> {
        let kept = if number % 4 < 3 {
            self.idle.lock().expect("no panic").pop()
        } else {
            None
        };
        let mut client = match kept {
            Some(client) => client,
            None => Client::connect(address).await.map_err(|e| e.to_string())?,
        };
        let reply = if is_write(number) {
            let key = format!("rolling-{number}");
            let body = json!({"vpc": format!("vpc {}", number % 10), "pools": ["rolling"], "prefix_length": 28,
                "labels": {"number": number.to_string()}});
            let headers = [("idempotency-key", key.as_str())];
            client.send("POST", ALLOCATIONS, &headers, &body).await
        } else {
            client.get("/api/v1/allocations?limit=20").await
        };
        let reply = reply.map_err(|error| format!("no reply: {error}"))?;
        if !reply.headers.contains_key("connection") {
            self.idle.lock().expect("no panic").push(client);
        }
        Ok(reply)
    }
}

fn is_write(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// A request every [`PERIOD`], whether those before are answered or not.
async fn load(address: SocketAddr, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(PERIOD);
    let mut running = JoinSet::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let seen = Arc::clone(&seen);
        running.spawn(async move { seen.request(address, number).await });
        number += 1;
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_no_request() {
    let database = TestDatabase::new().await;
    // The drain delay of the images is longer; HAProxy needs 0.4 s.
    let delay = [("IPAM_DRAIN_DELAY", "2")];
    let url = database.url();
    let mut servers = [
        TestServer::start_with(&url, &delay).await,
        TestServer::start_with(&url, &delay).await,
    ];
    let mut direct = Client::connect(servers[0].address())
        .await
        .expect("it listens");
    let pool = json!({"name": "rolling", "ranges": ["10.128.0.0/9"], "max_prefix_length": 28});
    let made = direct
        .post("/api/v1/pools", &pool)
        .await
        .expect("an answer");
    assert_eq!(made.status, 201, "{}", made.json);
    drop(direct);

    let proxy = Proxy::start([servers[0].address(), servers[1].address()]);
    proxy.until_up(0).await;
    proxy.until_up(1).await;
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let begin = Instant::now();
    let running = tokio::spawn(load(proxy.address, Arc::clone(&seen), Arc::clone(&stop)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for round in 0..ROUNDS {
        for index in [0, 1] {
            let other = 1 - index;
            let (mine, theirs) = (proxy.answered(index).await, proxy.answered(other).await);
            assert!(mine > 0, "server {index} got nothing to do");
            let outage = Instant::now();
            let status = servers[index].stop().await;
            assert_eq!(status.code(), Some(0), "{}", servers[index].log());
            servers[index].restart().await;
            proxy.until_up(index).await;
            let served = proxy.answered(other).await - theirs;
            let seconds = outage.elapsed().as_secs_f64();
            // At 100 a second, most of which went there.
            assert!(
                served as f64 > 50.0 * seconds,
                "round {round}: server {other} answered {served} in {seconds:.1} s while the other was away"
            );
            // Both work again before the next.
            let before = proxy.answered(index).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(
                proxy.answered(index).await > before + 5,
                "server {index} is idle"
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    running.await.expect("no panic");
    let elapsed = begin.elapsed().as_secs_f64();

    let sent = seen.sent.load(Ordering::Relaxed);
    let failures = seen.failures.lock().expect("no panic").clone();
    let first = &failures[..failures.len().min(10)];
    assert!(
        failures.is_empty(),
        "{} of {sent} requests failed: {first:#?}",
        failures.len()
    );
    assert!(
        sent as f64 > 90.0 * elapsed,
        "only {sent} requests in {elapsed:.1} s"
    );
    // HAProxy hides a lost request from clients by repeating it. Well behaved servers lose none.
    for index in [0, 1] {
        let stat = proxy.server(index).await.expect("statistics");
        assert_eq!(stat.lost, 0, "server {index}: {stat:?}");
    }
    let acknowledged = seen.acknowledged.lock().expect("no panic").clone();
    let expected: HashSet<_> = acknowledged.iter().cloned().collect();
    assert!(
        acknowledged.len() >= sent / 2 - 1,
        "{} of {sent}",
        acknowledged.len()
    );
    let mut db = database.connect().await;
    let stored: Vec<(Value, String)> =
        sqlx::query_as("select labels -> 'number', allocation_id::text from allocation")
            .fetch_all(&mut db)
            .await
            .expect("rows");
    assert_eq!(stored.len(), acknowledged.len(), "each is there once");
    for (number, id) in stored {
        let number = number.as_str().expect("a label").parse().expect("a number");
        assert!(
            expected.contains(&(number, id.clone())),
            "{number} {id} was not acknowledged"
        );
    }
    println!(
        "{sent} requests in {elapsed:.1} s, {} allocations, {} repeated after a 503",
        acknowledged.len(),
        seen.repeated.load(Ordering::Relaxed)
    );
}

/// What one connection says to a request that begins with `head` and claims to be from somebody else, over https.
async fn claim(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{head}Host: ipam\r\nX-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_says_who_the_client_is_and_clients_do_not() {
    let database = TestDatabase::new().await;
    let trust = ("IPAM_TRUSTED_PROXIES", "127.0.0.1");
    let protocol = ("IPAM_PROXY_PROTOCOL", "true");
    // Connections of HAProxy come from 127.0.0.1, as do those of the test, so that the client is that.
    for (settings, more) in [
        (&[trust][..], ""),
        (&[trust, protocol], " send-proxy-v2 check-send-proxy"),
        (&[trust, protocol], " send-proxy check-send-proxy"),
    ] {
        let url = database.url();
        let (one, two) = tokio::join!(
            TestServer::start_with(&url, settings),
            TestServer::start_with(&url, settings)
        );
        let proxy = Proxy::start_with([one.address(), two.address()], more);
        proxy.until_up(0).await;
        proxy.until_up(1).await;
        let guess = "GET /api/v1/pools HTTP/1.1\r\nX-API-Key: wrong\r\n";
        let said = claim(proxy.address, guess, "").await;
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
        let log = one.log() + &two.log();
        let wrong: Vec<_> = log
            .lines()
            .filter(|line| line.contains("wrong API key"))
            .collect();
        assert!(
            wrong.len() == 1 && wrong[0].contains("\"peer\":\"127.0.0.1\""),
            "{more}: {wrong:?}"
        );
        let form = format!("key={}", TestServer::API_KEY);
        let said = claim(proxy.address, "POST /ui/sign-in HTTP/1.1\r\n", &form).await;
        assert!(said.contains("set-cookie: ipam_session="), "{more}: {said}");
        assert!(!log.contains("--proxy-protocol demands"), "{log}");
    }
}
