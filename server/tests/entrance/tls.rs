//! TLS: what is spoken, and that everything holds that holds without it.

use std::{
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use ipam_client::{Client, Settings};
use ipam_testing::{TestServer, ipam_binary};
use nix::sys::signal::Signal;
use rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    authority::{Authority, Files},
    raw::{CUT, ask, client_config, get, get_with_key, shake_hands, start_tls, until_closed},
};

/// A client's first message, up to its last byte but one.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x00\xff\x01\x00\x00\xfb\x03\x03";
/// A megabyte and a half for whoever asks.
const LARGE: &str = "/docs/swagger-ui-bundle.js";

fn connect(server: &TestServer) -> impl Future<Output = std::io::Result<TcpStream>> {
    TcpStream::connect(server.address())
}

/// Runs a program of this machine; none if it is not there.
fn run(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null());
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Some((
                output.status.success(),
                String::from_utf8_lossy(&said).into_owned(),
            ))
        }
        Err(error) => {
            _ = writeln!(std::io::stderr(), "SKIPPED: {program}: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_speaks_tls_and_tells_browsers_to_stay_with_it() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[]).await;
    assert!(server.log().contains("ipam listens on https://127.0.0.1"));
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut config = client_config(authority.roots(), &[version]);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = connect(&server).await.unwrap();
        let mut stream = shake_hands(stream, config).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        for path in ["/healthz", "/api/v1/pools", "/nothing"] {
            let said = ask(&mut stream, &get(path, "")).await;
            let said = said.to_lowercase();
            assert!(
                said.contains("strict-transport-security: max-age=31536000\r\n"),
                "{said}"
            );
        }
    }
    let mut config = client_config(authority.roots(), &[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(&server).await.unwrap();
    shake_hands(stream, config).await.unwrap_err();

    // Our own client, which trusts what it is told to.
    let url = format!("https://localhost:{}", server.address().port());
    let ca = files.dir().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let mut settings = Settings::new(&url, TestServer::API_KEY);
    Client::new(&settings).unwrap().ready().await.unwrap_err();
    settings.ca_file = Some(ca);
    Client::new(&settings).unwrap().ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_programs_agree() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[]).await;
    let ca = files.dir().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let ca = ca.to_str().unwrap();
    let address = server.address().to_string();
    let url = format!("https://localhost:{}/healthz", server.address().port());
    if let Some((worked, said)) = run("curl", &["-sSi", "--cacert", ca, &url]) {
        assert!(worked && said.starts_with("HTTP/1.1 200"), "{said}");
        let (worked, said) = run("curl", &["-sS", &url]).unwrap();
        assert!(!worked && said.contains("certificate"), "{said}");
        let old = ["-sS", "--tls-max", "1.1", "--cacert", ca, &url];
        assert!(!run("curl", &old).unwrap().0);
    }
    let openssl = |version: &str| {
        let ciphers = "DEFAULT:@SECLEVEL=0";
        let arguments = [
            "s_client", "-brief", "-connect", &address, version, "-cipher", ciphers,
        ];
        run("openssl", &arguments)
    };
    if let Some((worked, said)) = openssl("-tls1_2") {
        assert!(worked && said.contains("TLSv1.2"), "{said}");
        for old in ["-tls1", "-tls1_1"] {
            let (worked, said) = openssl(old).unwrap();
            assert!(!worked && said.contains("alert"), "{old}: {said}");
        }
    }

    // Without a shell in the image, the program asks itself.
    let healthcheck = |variables: &[(String, String)]| {
        let output = Command::new(ipam_binary())
            .arg("healthcheck")
            .env_clear()
            .env("IPAM_LISTEN", &address)
            .envs(variables.iter().cloned())
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!(healthcheck(&files.variables()), Some(0));
    assert_eq!(healthcheck(&[]), Some(1));

    // The command line trusts who the machine trusts.
    let list = |authority: Option<&str>| {
        let output = Command::new(ipam_binary())
            .args(["list", "--endpoint", url.trim_end_matches("/healthz")])
            .env_clear()
            .env("IPAM_API_KEY", TestServer::API_KEY)
            .envs(authority.map(|file| ("SSL_CERT_FILE", file)))
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!((list(Some(ca)), list(None)), (Some(0), Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_speak_tls_is_told_or_cut_off() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[]).await;
    let mut stream = connect(&server).await.unwrap();
    stream
        .write_all(get_with_key("/api/v1/pools").as_bytes())
        .await
        .unwrap();
    let (said, _) = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(body.contains("begin with https://"), "{said}");
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{said}"
    );

    // A large body behind it changes nothing, and neither does one that never ends.
    let mut stream = connect(&server).await.unwrap();
    let head = "POST /api/v1/import HTTP/1.1\r\nHost: ipam\r\nContent-Length: 5000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 300_000]).await.ok();
    let (said, took) = until_closed(&mut stream).await;
    assert!(
        said.starts_with("HTTP/1.1 400") && took < Duration::from_secs(5),
        "{took:?}"
    );

    for junk in [
        &b"\0"[..],
        b"\r\n\r\n",
        b"\x15\x03\x01\0\x02\x01\0",
        b"\x16\x03\x01\xff\xff",
        &[0xff; 9000],
    ] {
        let mut stream = connect(&server).await.unwrap();
        stream.write_all(junk).await.unwrap();
        stream.shutdown().await.unwrap();
        let (said, took) = until_closed(&mut stream).await;
        assert!(
            !said.contains("HTTP") && took < Duration::from_secs(5),
            "{said}"
        );
    }
    // It serves on.
    let config = client_config(authority.roots(), &[&TLS13]);
    let mut stream = shake_hands(connect(&server).await.unwrap(), config)
        .await
        .unwrap();
    let said = ask(&mut stream, &get("/healthz", "")).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_has_no_more_time_than_a_slow_head() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[]).await;
    let drip = |bytes: &'static [u8]| {
        let server = connect(&server);
        async move {
            let mut stream = server.await.unwrap();
            let begin = Instant::now();
            stream.write_all(bytes).await.unwrap();
            let mut said = Vec::new();
            loop {
                let read = stream.read_buf(&mut said);
                match tokio::time::timeout(Duration::from_millis(500), read).await {
                    Ok(Ok(0) | Err(_)) => return begin.elapsed(),
                    Ok(Ok(_)) => {}
                    Err(_) => _ = stream.write_all(b"\0").await,
                }
                assert!(begin.elapsed() < 2 * CUT, "it waits for ever");
            }
        }
    };
    let silent = async {
        let mut stream = connect(&server).await.unwrap();
        until_closed(&mut stream).await.1
    };
    let half_a_head = async {
        let config = client_config(authority.roots(), &[&TLS13]);
        let stream = connect(&server).await.unwrap();
        let mut stream = shake_hands(stream, config).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        until_closed(&mut stream).await.1
    };
    let (slow, silent, half_a_head) = tokio::join!(drip(HALF_A_HELLO), silent, half_a_head);
    for took in [slow, silent, half_a_head] {
        assert!(took > Duration::from_secs(8) && took < CUT, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_end_keep_nobody_out() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[("IPAM_CONNECTIONS_PER_ADDRESS", "4")]).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&server).await.unwrap();
        stream.write_all(HALF_A_HELLO).await.unwrap();
        crowd.push(stream);
    }
    // A connection is spared for a second, since it may just be slow.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let config = client_config(authority.roots(), &[&TLS13]);
    let begin = Instant::now();
    let stream = connect(&server).await.unwrap();
    let mut stream = shake_hands(stream, config).await.unwrap();
    let said = ask(&mut stream, &get_with_key("/metrics")).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let closed = said
        .lines()
        .find_map(|line| {
            line.strip_prefix("ipam_http_connections_closed_total{reason=\"address\"} ")
        })
        .unwrap();
    assert!(closed.parse::<u32>().unwrap() > 10, "{closed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_nobody_reads_is_given_up() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[]).await;
    let config = client_config(authority.roots(), &[&TLS13]);
    let stream = connect(&server).await.unwrap();
    let mut stream = shake_hands(stream, config).await.unwrap();
    stream
        .write_all(get(LARGE, "").repeat(8).as_bytes())
        .await
        .unwrap();
    stream.flush().await.unwrap();
    tokio::time::sleep(CUT).await;
    // What it had sent before is in the buffers; the rest never comes.
    let mut said = Vec::new();
    let read = tokio::time::timeout(CUT, stream.read_to_end(&mut said)).await;
    assert!(read.unwrap().is_err(), "it ended as if that were all");
    assert!(said.len() < 8_000_000, "{}", said.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_requests_and_waits_for_no_handshake() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, mut server) = start_tls(&files, &[]).await;
    let config = client_config(authority.roots(), &[&TLS13]);
    let mut crowd = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(&server).await.unwrap();
        stream.write_all(HALF_A_HELLO).await.unwrap();
        crowd.push(stream);
    }
    let mut idle = shake_hands(connect(&server).await.unwrap(), config.clone())
        .await
        .unwrap();
    let said = ask(&mut idle, &get("/healthz", "")).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // A request that is under way: its body arrives in two parts.
    let mut busy = shake_hands(connect(&server).await.unwrap(), config)
        .await
        .unwrap();
    let body = json!({"vpc": "a", "hosts": 5}).to_string();
    let head = format!(
        "POST /api/v1/allocations HTTP/1.1\r\nHost: ipam\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        TestServer::API_KEY,
        body.len()
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    busy.write_all(&body.as_bytes()[..5]).await.unwrap();
    busy.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::SIGTERM);
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_millis(700)).await;
    busy.write_all(&body.as_bytes()[5..]).await.unwrap();
    let (said, _) = until_closed(&mut busy).await;
    assert!(said.starts_with("HTTP/1.1 201"), "{said}");
    let (said, _) = until_closed(&mut idle).await;
    assert_eq!(said, "");
    let status = server.stop().await;
    assert!(
        status.success() && begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}
