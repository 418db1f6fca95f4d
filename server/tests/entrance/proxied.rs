//! Proxies of TCP: 127.0.0.1 is trusted and has to say for whom each connection is, 127.0.0.2 is somebody else.

use std::time::{Duration, Instant};

use ipam_testing::TestServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    authority::{Authority, Files},
    raw::{
        CUT, ask, client_config, connect_from, get, get_with_key, read_reply, shake_hands, start,
        start_tls, until_closed,
    },
};

const PROXY: [(&str, &str); 2] = [
    ("IPAM_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8"),
    ("IPAM_PROXY_PROTOCOL", "true"),
];
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// Version 2 for a client with this address, with details behind the addresses.
fn binary_4(client: [u8; 4], details: &[u8]) -> Vec<u8> {
    binary(
        0x21,
        0x11,
        &[&client[..], &[10, 0, 0, 1, 0x12, 0x34, 1, 0xbb], details].concat(),
    )
}

fn wrong_key(headers: &str) -> String {
    get("/api/v1/pools", &format!("X-API-Key: wrong\r\n{headers}"))
}

/// Whose wrong key the server has logged last.
fn last_guesser(server: &TestServer) -> String {
    let log = server.log();
    let line = log
        .lines()
        .rfind(|line| line.contains("somebody sent a wrong API key"))
        .unwrap_or_else(|| panic!("no wrong key: {log}"));
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    let peer = json["peer"].as_str().or(json["fields"]["peer"].as_str());
    peer.unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_a_trusted_proxy_says_who_the_client_is() {
    let (_database, server) = start(&PROXY).await;
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    let mut six = [0; 36];
    six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    six[15] = 9;
    for (header, headers, expected) in [
        (
            line("TCP4 198.51.100.1 10.0.0.1 4711 443"),
            "",
            "198.51.100.1",
        ),
        (line("TCP6 2001:db8::7 fd00::1 4711 443"), "", "2001:db8::7"),
        (line("UNKNOWN"), "", "127.0.0.1"),
        (line("UNKNOWN what ever"), "", "127.0.0.1"),
        (binary_4([198, 51, 100, 2], &[]), "", "198.51.100.2"),
        (binary_4([198, 51, 100, 3], &[1; 3000]), "", "198.51.100.3"),
        (binary(0x21, 0x21, &six), "", "2001:db8::9"),
        (binary(0x20, 0x00, &[]), "", "127.0.0.1"),
        (binary(0x21, 0x00, &[]), "", "127.0.0.1"),
        // What the client itself says is not believed, since it is no proxy; a proxy behind the proxy is.
        (
            binary_4([198, 51, 100, 4], &[]),
            "X-Forwarded-For: 192.0.2.1\r\n",
            "198.51.100.4",
        ),
        (
            binary_4([10, 7, 7, 7], &[]),
            "X-Forwarded-For: 192.0.2.2\r\n",
            "192.0.2.2",
        ),
    ] {
        // At once, and byte by byte.
        let mut stream = connect_from("127.0.0.1", server.address()).await;
        let whole = [&header[..], wrong_key(headers).as_bytes()].concat();
        stream.write_all(&whole).await.unwrap();
        let said = read_reply(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
        assert_eq!(last_guesser(&server), expected);
        let mut stream = connect_from("127.0.0.1", server.address()).await;
        stream.set_nodelay(true).unwrap();
        for byte in header.iter().take(100) {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream
            .write_all(header.get(100..).unwrap_or_default())
            .await
            .unwrap();
        let said = ask(&mut stream, &get("/healthz", "")).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        let said = ask(&mut stream, &get("/healthz", "")).await;
        assert!(
            said.starts_with("HTTP/1.1 200"),
            "one header for the connection: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_header_a_trusted_proxy_is_refused_and_with_one_anybody_else() {
    let (_database, server) = start(&PROXY).await;
    let address = server.address();
    let header = b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\n";
    let request = get_with_key("/api/v1/pools");
    for bytes in [
        request.as_bytes(),
        b"PROXY TCP4 198.51.100.1 10.0.0.1 4711\r\n",
        b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 443 \r\n",
        b"PROXY UDP4 198.51.100.1 10.0.0.1 4711 443\r\n",
        &binary(0x21, 0x11, &[1; 11]),
        &binary(0x31, 0x11, &[1; 12]),
        &binary(0x21, 0x11, &[1; 60_000]),
        &[b'P'; 100_000],
        format!("PROXY UNKNOWN {}", "x".repeat(100_000)).as_bytes(),
    ] {
        let mut stream = connect_from("127.0.0.1", address).await;
        // The server may close before it has read all.
        stream.write_all(bytes).await.ok();
        stream.write_all(request.as_bytes()).await.ok();
        let (said, took) = until_closed(&mut stream).await;
        assert_eq!(said, "", "{:?}", &bytes[..bytes.len().min(60)]);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    for header in [&header[..], &binary_4([198, 51, 100, 1], &[])] {
        let mut stream = connect_from("127.0.0.2", address).await;
        stream
            .write_all(&[header, request.as_bytes()].concat())
            .await
            .unwrap();
        let (said, _) = until_closed(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    }
    let mut stream = connect_from("127.0.0.2", address).await;
    let said = ask(&mut stream, &request).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");

    // Where it is not asked for, nobody may send it.
    let (_database, server) = start(&PROXY[..1]).await;
    let mut stream = connect_from("127.0.0.1", server.address()).await;
    stream
        .write_all(&[&header[..], request.as_bytes()].concat())
        .await
        .unwrap();
    let (said, _) = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
}

/// How long a connection lasts on which one byte comes every half second.
async fn drip(mut stream: TcpStream, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    let mut said = Vec::new();
    for byte in bytes {
        let _ = stream.write_all(&[*byte]).await;
        let read = stream.read_buf(&mut said);
        match tokio::time::timeout(Duration::from_millis(500), read).await {
            Ok(Ok(0) | Err(_)) => break,
            _ => assert!(begin.elapsed() < CUT, "it waits for ever"),
        }
    }
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_never_ends_has_no_more_time_than_a_slow_head() {
    let (_database, server) = start(&PROXY).await;
    let address = server.address();
    let endless = [b"PROXY UNKNOWN ", &[b'x'; 80][..]].concat();
    let truncated = binary(0x21, 0x11, &[1; 100]);
    let (line, binary, silent) = tokio::join!(
        async { drip(connect_from("127.0.0.1", address).await, &endless).await },
        async { drip(connect_from("127.0.0.1", address).await, &truncated).await },
        async {
            until_closed(&mut connect_from("127.0.0.1", address).await)
                .await
                .1
        },
    );
    for took in [line, binary, silent] {
        assert!(took > Duration::from_secs(8) && took < CUT, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_tcp_passes_tls_on() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &PROXY).await;
    for header in [
        b"PROXY TCP4 198.51.100.5 10.0.0.1 4711 443\r\n".to_vec(),
        binary_4([198, 51, 100, 5], &[]),
    ] {
        let mut stream = connect_from("127.0.0.1", server.address()).await;
        stream.write_all(&header).await.unwrap();
        let config = client_config(authority.roots(), &[&rustls::version::TLS13]);
        let mut stream = shake_hands(stream, config).await.unwrap();
        let said = ask(&mut stream, &wrong_key("")).await;
        assert!(said.starts_with("HTTP/1.1 401"), "{said}");
        assert_eq!(last_guesser(&server), "198.51.100.5");
    }
    // Each client has its share, not the proxy.
    let more = [PROXY[0], PROXY[1], ("IPAM_CONNECTIONS_PER_ADDRESS", "3")];
    let (_database, server) = start(&more).await;
    let mut streams = Vec::new();
    for client in 1..=8 {
        let mut stream = connect_from("127.0.0.1", server.address()).await;
        stream
            .write_all(&binary_4([198, 51, 100, client], &[]))
            .await
            .unwrap();
        let said = ask(&mut stream, &get("/healthz", "")).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    for stream in &mut streams {
        let said = ask(stream, &get("/healthz", "")).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
}
