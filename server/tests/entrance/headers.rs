//! What headers say about the client and its way is believed from trusted proxies alone. 127.0.0.1 is one here, 127.0.0.2 is
//! somebody else.

use std::time::Instant;

use ipam_testing::TestServer;
use tokio::net::TcpStream;

use crate::{
    authority::{Authority, Files},
    raw::{ask, client_config, connect_from, get, shake_hands, start, start_tls},
};

const TRUST: (&str, &str) = ("IPAM_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8");

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

/// Sends a wrong key.
async fn guess(stream: &mut TcpStream, headers: &str) {
    let said = ask(
        stream,
        &get("/api/v1/pools", &format!("X-API-Key: wrong\r\n{headers}")),
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 401"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_who_a_trusted_proxy_says_they_are() {
    let (_database, server) = start(&[TRUST]).await;
    let long = format!(
        "X-Forwarded-For: {}198.51.100.7\r\n",
        "10.0.0.1,".repeat(2000)
    );
    for (from, headers, expected) in [
        (
            "127.0.0.2",
            "X-Forwarded-For: 198.51.100.1\r\n",
            "127.0.0.2",
        ),
        (
            "127.0.0.1",
            "X-Forwarded-For: 198.51.100.1\r\n",
            "198.51.100.1",
        ),
        ("127.0.0.1", "", "127.0.0.1"),
        (
            "127.0.0.1",
            "X-Forwarded-For: 127.0.0.1, junk\r\nX-Forwarded-For: 198.51.100.2, 10.1.1.1\r\n",
            "198.51.100.2",
        ),
        (
            "127.0.0.1",
            "X-Forwarded-For: 198.51.100.3, junk, 10.1.1.1\r\n",
            "10.1.1.1",
        ),
        (
            "127.0.0.1",
            "X-Forwarded-For: [2001:db8::5]:80\r\n",
            "2001:db8::5",
        ),
        ("127.0.0.1", &long, "198.51.100.7"),
        (
            "127.0.0.1",
            "Forwarded: for=198.51.100.8\r\nX-Real-IP: 198.51.100.8\r\n",
            "127.0.0.1",
        ),
    ] {
        let mut stream = connect_from(from, server.address()).await;
        guess(&mut stream, headers).await;
        assert_eq!(last_guesser(&server), expected, "{from} {headers:.80}");
    }
    let ignored = server
        .log()
        .matches("is not trusted, and is ignored")
        .count();
    assert_eq!(ignored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guesser_delays_itself_and_not_the_others_behind_the_proxy() {
    let (_database, server) = start(&[TRUST]).await;
    let address = server.address();
    let guesses = (0..15).map(|_| async move {
        let mut stream = connect_from("127.0.0.1", address).await;
        guess(&mut stream, "X-Forwarded-For: 198.51.100.1\r\n").await;
    });
    let crowd = tokio::spawn(futures::future::join_all(guesses));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let begin = Instant::now();
    let mut stream = connect_from("127.0.0.1", address).await;
    guess(&mut stream, "X-Forwarded-For: 198.51.100.2\r\n").await;
    let alone = begin.elapsed();
    crowd.await.unwrap();
    let all = begin.elapsed();
    assert!(
        alone.as_millis() < 1500 && all.as_millis() > 2000,
        "{alone:?} {all:?}"
    );
}

/// The cookie that somebody gets who signs in.
async fn cookie<S>(stream: &mut S, headers: &str) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let body = format!("key={}", TestServer::API_KEY);
    let request = format!(
        "POST /ui/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Sec-Fetch-Site: same-origin\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let said = ask(stream, &request).await;
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap_or_else(|| panic!("{said}"));
    line.to_owned()
}

fn is_of_https(cookie: &str) -> bool {
    let secure = cookie.contains("Secure");
    assert_eq!(
        secure,
        cookie.starts_with("__Host-ipam_session="),
        "{cookie}"
    );
    assert_eq!(!secure, cookie.starts_with("ipam_session="), "{cookie}");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("Path=/"),
        "{cookie}"
    );
    secure
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_marked_as_secure_if_browsers_have_https() {
    const HTTPS: &str = "X-Forwarded-Proto: https\r\n";
    let (_database, server) = start(&[TRUST]).await;
    for (from, headers, is_https) in [
        ("127.0.0.1", "", false),
        ("127.0.0.1", HTTPS, true),
        ("127.0.0.1", "X-Forwarded-Proto: https, http\r\n", false),
        ("127.0.0.2", HTTPS, false),
    ] {
        let mut stream = connect_from(from, server.address()).await;
        let cookie = cookie(&mut stream, headers).await;
        assert_eq!(is_of_https(&cookie), is_https, "{from} {headers}");
        // It opens the pages that are reached in the same way.
        let value = cookie.split(';').next().unwrap();
        let said = ask(
            &mut stream,
            &get("/", &format!("Cookie: {value}\r\n{headers}")),
        )
        .await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        let hsts = said.contains("strict-transport-security");
        assert_eq!(hsts, is_https, "{from} {headers}");
    }
    for (url, is_https) in [
        ("https://ipam.example", true),
        ("http://ipam.example", false),
    ] {
        let (_database, server) = start(&[TRUST, ("IPAM_PUBLIC_URL", url)]).await;
        for from in ["127.0.0.1", "127.0.0.2"] {
            for headers in ["", HTTPS, "X-Forwarded-Proto: http\r\n"] {
                let mut stream = connect_from(from, server.address()).await;
                let cookie = cookie(&mut stream, headers).await;
                assert_eq!(is_of_https(&cookie), is_https, "{url} {from} {headers}");
            }
        }
        let mut stream = connect_from("127.0.0.1", server.address()).await;
        let stranger = "POST /ui/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nOrigin: http://localhost\r\n\r\n";
        let said = ask(&mut stream, stranger).await;
        assert!(said.starts_with("HTTP/1.1 403"), "{said}");
    }
    let authority = Authority::new();
    let files = Files::new(&authority.issue(2049));
    let (_database, server) = start_tls(&files, &[TRUST]).await;
    for headers in ["", "X-Forwarded-Proto: http\r\n"] {
        let stream = connect_from("127.0.0.1", server.address()).await;
        let config = client_config(authority.roots(), &[&rustls::version::TLS13]);
        let mut stream = shake_hands(stream, config).await.unwrap();
        assert!(
            is_of_https(&cookie(&mut stream, headers).await),
            "{headers}"
        );
    }
    let (_database, server) = start_tls(&files, &[("IPAM_PUBLIC_URL", "http://localhost")]).await;
    let stream = connect_from("127.0.0.1", server.address()).await;
    let config = client_config(authority.roots(), &[&rustls::version::TLS13]);
    let mut stream = shake_hands(stream, config).await.unwrap();
    assert!(!is_of_https(&cookie(&mut stream, "").await));
}
