//! Certificates that are replaced while the server runs.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use ipam_testing::TestServer;
use nix::sys::signal::Signal;
use rustls::{pki_types::CertificateDer, version::TLS13};
use tokio::net::TcpStream;

use crate::{
    authority::{Authority, EXPIRY, Files, Pair},
    raw::{ask, client_config, get, get_with_key, shake_hands, start, start_tls, until},
};

/// The certificate that a new connection gets, and the value of a metric.
async fn look(
    server: &TestServer,
    authority: &Authority,
    metric: &str,
) -> (CertificateDer<'static>, i64) {
    let config = client_config(authority.roots(), &[&TLS13]);
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let mut stream = shake_hands(stream, config).await.unwrap();
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    let certificate = certificates[0].clone().into_owned();
    let said = ask(&mut stream, &get_with_key("/metrics")).await;
    let value = said
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
    (certificate, value.unwrap())
}

const EXPIRES: &str = "ipam_tls_certificate_expiry_timestamp_seconds ";
const FAILURES: &str = "ipam_tls_reload_failures_total ";

async fn until_used(server: &TestServer, authority: &Authority, pair: &Pair) {
    until("the new certificate is used", async || {
        look(server, authority, EXPIRES).await.0 == pair.der
    })
    .await;
}

async fn until_failures(server: &TestServer, authority: &Authority, failures: i64) {
    until("the new certificate is refused", async || {
        look(server, authority, FAILURES).await.1 == failures
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_and_open_connections_stay() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(2049), authority.issue(2048));
    let files = Files::new(&first);
    let (_database, server) = start_tls(&files, &[]).await;
    assert_eq!(
        look(&server, &authority, EXPIRES).await,
        (first.der, EXPIRY)
    );
    let config = client_config(authority.roots(), &[&TLS13]);
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let mut open = shake_hands(stream, config).await.unwrap();
    files.write(&second);
    until_used(&server, &authority, &second).await;
    let expires = look(&server, &authority, EXPIRES).await.1;
    assert_eq!(expires, EXPIRY - 366 * 86400);
    let said = ask(&mut open, &get("/healthz", "")).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // At once when it is told to.
    let third = authority.issue(2047);
    files.write(&third);
    server.signal(Signal::SIGHUP);
    let begin = std::time::Instant::now();
    until_used(&server, &authority, &third).await;
    assert!(begin.elapsed().as_secs() < 3, "{:?}", begin.elapsed());
    assert_eq!(look(&server, &authority, FAILURES).await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_swapped_as_kubernetes_does_it_is_noticed() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(2049), authority.issue(2048));
    let dir = tempfile::tempdir().unwrap();
    let write = |version: &str, pair: &Pair| {
        let version = dir.path().join(version);
        fs::create_dir(&version).unwrap();
        fs::write(version.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(version.join("tls.key"), &pair.key).unwrap();
        fs::set_permissions(version.join("tls.key"), fs::Permissions::from_mode(0o440)).unwrap();
        symlink(&version, dir.path().join("new")).unwrap();
        fs::rename(dir.path().join("new"), dir.path().join("..data")).unwrap();
    };
    write("..1", &first);
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
    }
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let variables = [("IPAM_TLS_CERT", &*certificate), ("IPAM_TLS_KEY", &*key)];
    let (_database, server) = start(&variables).await;
    assert_eq!(look(&server, &authority, EXPIRES).await.0, first.der);
    write("..2", &second);
    fs::remove_dir_all(dir.path().join("..1")).unwrap();
    until_used(&server, &authority, &second).await;
    assert_eq!(look(&server, &authority, FAILURES).await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_is_not_taken() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(2049), authority.issue(2048));
    let files = Files::new(&first);
    let (_database, server) = start_tls(&files, &[]).await;
    fs::write(files.certificate(), "-----BEGIN CERTIFICATE-----\nnonsense").unwrap();
    until_failures(&server, &authority, 1).await;
    // A certificate whose key has not come yet.
    fs::write(files.certificate(), &second.certificate).unwrap();
    until_failures(&server, &authority, 2).await;
    fs::remove_file(files.key()).unwrap();
    until_failures(&server, &authority, 3).await;
    fs::write(files.key(), &second.key).unwrap();
    fs::set_permissions(files.key(), fs::Permissions::from_mode(0o644)).unwrap();
    until_failures(&server, &authority, 4).await;
    let (certificate, expires) = look(&server, &authority, EXPIRES).await;
    assert_eq!((certificate, expires), (first.der, EXPIRY));
    let log = server.log();
    for reason in [
        "is not a PEM file",
        "does not belong to",
        "No such file",
        "mode 0644",
    ] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    assert!(log.contains("the one before stays in use"), "{log}");
    assert!(!log.contains("nonsense"), "{log}");
    files.write(&second);
    until_used(&server, &authority, &second).await;
}
