//! What a crowd can't do to a real server: thousands of connections that read nothing, or wait for nothing, keep nobody out.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A megabyte and a half for whoever asks, without a key.
const LARGE: &str = "/docs/swagger-ui-bundle.js";
/// What a server answers within, crowd or not.
const SOON: Duration = Duration::from_secs(1);
/// The longest that one answer may take where a program without optimisation shares its cores with thousands of clients.
const AT_LAST: Duration = Duration::from_secs(10);

/// Lets this process have as many files as it may.
fn raise_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("Linux has the limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit");
}

/// A server that may not have more files than `files`, soft and hard limit.
struct Confined {
    process: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Confined {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn confined(database: &TestDatabase, limit: &str) -> Confined {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("address");
    let script = format!("{limit} && exec \"$0\" \"$@\"");
    let process = Command::new("/bin/sh")
        .args(["-c", &script])
        .arg(ipam_testing::ipam_binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--address-file"])
        .arg(&file)
        .env_clear()
        .env("DATABASE_URL", database.url())
        .env("API_KEY", TestServer::API_KEY)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell");
    let begin = Instant::now();
    let address = loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(Ok(address)) = text.trim().strip_prefix("http://").map(str::parse) {
            break address;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it does not start"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    Confined {
        process,
        address,
        _dir: dir,
    }
}

/// Asks on a connection of its own; the status and the time it took, from the connection to the end of the answer.
async fn ask(address: SocketAddr, head: &str) -> (String, Duration) {
    let begin = Instant::now();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("{head}Host: ipam\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&said).into_owned())
    };
    let said = tokio::time::timeout(Duration::from_secs(20), exchange).await;
    let line = match &said {
        Ok(Ok(said)) => said.lines().next().unwrap_or("nothing").to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    (line, begin.elapsed())
}

/// Clients that ask for a large file several times, and read nothing.
async fn never_read(address: SocketAddr, clients: usize) -> Vec<TcpStream> {
    let request = format!("GET {LARGE} HTTP/1.1\r\nHost: ipam\r\n\r\n").repeat(4);
    let connecting: Vec<_> = (0..clients)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                // Who has to make room may be told before it has said all.
                let _ = stream.write_all(request.as_bytes()).await;
                std::io::Result::Ok(stream)
            })
        })
        .collect();
    let mut streams = Vec::new();
    for task in connecting {
        if let Ok(stream) = task.await.expect("it ends") {
            streams.push(stream);
        }
    }
    streams
}

/// Asks for health and for signed-in work, for as long as given; all is well, and soon for nearly all.
async fn all_is_well(address: SocketAddr, time: Duration) {
    let key = format!(
        "GET /api/v1/pools HTTP/1.1\r\nX-API-Key: {}\r\n",
        TestServer::API_KEY
    );
    let begin = Instant::now();
    let mut waits = Vec::new();
    while begin.elapsed() < time {
        for head in ["GET /healthz HTTP/1.1\r\n", &key] {
            let (line, took) = ask(address, head).await;
            assert!(
                line.starts_with("HTTP/1.1 200") && took < AT_LAST,
                "{line} after {took:?}, {:?} after the crowd came",
                begin.elapsed()
            );
            waits.push(took);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    waits.sort();
    let ninety = waits[waits.len() * 9 / 10];
    assert!(ninety < SOON, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_reads_nothing_keeps_nobody_out() {
    raise_files();
    let database = TestDatabase::new().await;
    // The usual soft limit; the server raises it.
    let server = confined(&database, "ulimit -Sn 1024").await;
    let watching = tokio::spawn(all_is_well(server.address, Duration::from_secs(15)));
    let crowd = never_read(server.address, 4_200).await;
    watching.await.expect("all is well");
    // All of them are cut in the end, and the places are free; the last ones came late on a machine that is slow.
    let begin = Instant::now();
    while open_sockets(server.process.id()) >= 200 {
        let waited = begin.elapsed();
        assert!(
            waited < Duration::from_secs(15),
            "{} connections are still open",
            open_sockets(server.process.id())
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_reads_nothing_keeps_nobody_out_where_files_are_few() {
    raise_files();
    let database = TestDatabase::new().await;
    let server = confined(&database, "ulimit -n 1024").await;
    let watching = tokio::spawn(all_is_well(server.address, Duration::from_secs(15)));
    let crowd = never_read(server.address, 1_500).await;
    watching.await.expect("all is well");
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_idle_make_room_for_others() {
    raise_files();
    let database = TestDatabase::new().await;
    let server = confined(&database, "ulimit -n 400").await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: ipam\r\n\r\n";
    let mut idle = Vec::new();
    // Answered once, and kept: more of them than there are places.
    for _ in 0..600 {
        let mut stream = TcpStream::connect(server.address).await.expect("a place");
        stream.write_all(request).await.expect("sent");
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        idle.push(stream);
    }
    all_is_well(server.address, Duration::from_secs(1)).await;
    // The last ones were spared.
    let last = idle.last_mut().expect("some");
    last.write_all(request).await.expect("sent");
    let mut said = vec![0; 4096];
    let got = last.read(&mut said).await.expect("open");
    assert!(got > 0, "the newest connection was closed");
}

/// Sends a request on a connection that stays open; the head of the answer, and the whole of it is read.
async fn exchange(stream: &mut TcpStream, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&said).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if length.is_none_or(|length| body.len() >= length) {
                return Ok(head.to_owned());
            }
        }
        if stream.read_buf(&mut said).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whoever is known keeps the connection, however many strangers come, and whatever it shows the key to.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_known_stay_connected_in_a_crowd() {
    let database = TestDatabase::empty().await;
    let server =
        TestServer::start_with(&database.url(), &[("IPAM_CONNECTIONS_PER_ADDRESS", "8")]).await;
    let open = async || TcpStream::connect(server.address()).await.expect("a place");
    let key = TestServer::API_KEY;
    let form = format!("key={key}&next=");
    let sign_in = format!(
        "POST /ui/sign-in HTTP/1.1\r\nHost: ipam\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut signing_in = open().await;
    let head = exchange(&mut signing_in, &sign_in)
        .await
        .expect("an answer");
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next())
        .unwrap_or_else(|| panic!("no session: {head}"))
        .to_owned();
    let mut known = Vec::new();
    for (who, request) in [
        (
            "the original API",
            format!("GET /allocations HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {key}\r\n\r\n"),
        ),
        (
            "the dashboard",
            format!("GET /ui/vpcs HTTP/1.1\r\nHost: ipam\r\nCookie: {cookie}\r\n\r\n"),
        ),
        (
            "the metrics",
            format!("GET /metrics HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {key}\r\n\r\n"),
        ),
        (
            "/api",
            format!("GET /api/v1/vpcs HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {key}\r\n\r\n"),
        ),
    ] {
        let mut stream = open().await;
        let head = exchange(&mut stream, &request).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{who}: {head}");
        known.push((who, request, stream));
    }
    known.push(("who has just signed in", known[1].1.clone(), signing_in));
    // By now they have waited for longer than any of those to come.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        let mut stream = open().await;
        let request = "GET /healthz HTTP/1.1\r\nHost: ipam\r\n\r\n";
        exchange(&mut stream, request).await.expect("an answer");
        crowd.push(stream);
    }
    for (who, request, mut stream) in known {
        let again = exchange(&mut stream, &request).await;
        let head = again.unwrap_or_else(|error| panic!("{who} was cut off: {error}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{who}: {head}");
    }
}

/// Sockets that a process has open.
fn open_sockets(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}
