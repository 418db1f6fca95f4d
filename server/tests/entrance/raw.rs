//! Raw connections: what is sent and what comes back, byte by byte.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring, pki_types::ServerName,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A peer that is slow is cut by then.
pub(crate) const CUT: Duration = Duration::from_secs(15);

/// A server with these variables.
pub(crate) async fn start(variables: &[(&str, &str)]) -> (TestDatabase, TestServer) {
    let database = TestDatabase::new().await;
    let server = TestServer::start_with(&database.url(), variables).await;
    (database, server)
}

/// The same with a certificate.
pub(crate) async fn start_tls(
    files: &super::authority::Files,
    more: &[(&str, &str)],
) -> (TestDatabase, TestServer) {
    let files = files.variables();
    let mut variables: Vec<_> = files
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    variables.extend(more);
    start(&variables).await
}

/// Connects from one of this machine's addresses.
pub(crate) async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from: IpAddr = from.parse().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

pub(crate) fn client_config(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A TLS connection to a server that these roots vouch for.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Sends a request on a connection that stays open, and reads its answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &str,
) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_reply(stream).await
}

/// Reads one reply with a length.
pub(crate) async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut said = Vec::new();
    let whole = |said: &[u8]| {
        let text = String::from_utf8_lossy(said).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.trim().parse().unwrap());
        (body.len() >= length).then_some(())
    };
    let read = async {
        while whole(&said).is_none() {
            let count = stream.read_buf(&mut said).await.unwrap_or_default();
            if count == 0 {
                break;
            }
        }
    };
    let read = tokio::time::timeout(CUT, read).await;
    assert!(
        read.is_ok(),
        "no answer after {}",
        String::from_utf8_lossy(&said)
    );
    String::from_utf8_lossy(&said).into_owned()
}

/// What comes until the other end closes, and how long that takes.
pub(crate) async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S) -> (String, Duration) {
    let begin = Instant::now();
    let mut said = Vec::new();
    let read = async { while matches!(stream.read_buf(&mut said).await, Ok(1..)) {} };
    let read = tokio::time::timeout(CUT, read).await;
    assert!(
        read.is_ok(),
        "it stays open after {}",
        String::from_utf8_lossy(&said)
    );
    (String::from_utf8_lossy(&said).into_owned(), begin.elapsed())
}

/// A request for a path, with more headers, each with its line feed.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// One that shows the administrator's key.
pub(crate) fn get_with_key(path: &str) -> String {
    get(path, &format!("X-API-Key: {}\r\n", TestServer::API_KEY))
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
