//! Over TLS: whom a client trusts, and what it says when it does not.

use std::{fs, sync::Arc, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipam_client::{Client, Error, Settings, SettingsError};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What a certificate for a name says.
fn certificate(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("it is a name")
}

/// A server with a certificate that nobody knows: its address, and the certificate as PEM.
async fn server(says: CertificateParams) -> (String, String) {
    let key_pair = KeyPair::generate().expect("a key can be made");
    let own = says
        .self_signed(&key_pair)
        .expect("a certificate can be made");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            config
                .with_no_client_auth()
                .with_single_cert(vec![own.der().clone()], key)
        })
        .expect("the certificate is good");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let reply = "HTTP/1.1 200 OK\r\nx-request-id: r\r\ncontent-length: 2\r\n\r\n{}";
                _ = stream.write_all(reply.as_bytes()).await;
                _ = stream.shutdown().await;
            }
        }
    });
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(own.der())
    );
    (format!("https://localhost:{port}"), pem)
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_at_once_and_a_named_one_is_trusted() {
    let (endpoint, pem) = server(certificate("localhost")).await;
    let mut settings = Settings::new(&endpoint, "key");
    let began = Instant::now();
    let client = Client::new(&settings).unwrap();
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("certificate authority as the CA file"),
        "{error}"
    );
    assert!(
        began.elapsed() < settings.read_retry_timeout,
        "it is not tried again"
    );

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    fs::write(&file, pem).unwrap();
    settings.ca_file = Some(file.clone());
    Client::new(&settings).unwrap().ready().await.unwrap();

    for (content, reason) in [
        ("", "no PEM certificate"),
        ("garbage", "no PEM certificate"),
    ] {
        fs::write(&file, content).unwrap();
        let error = Client::new(&settings).unwrap_err();
        assert!(matches!(error, SettingsError::CaFile { .. }));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let (mut expired, mut early) = (certificate("localhost"), certificate("localhost"));
    expired.not_after = date_time_ymd(2020, 1, 1);
    early.not_before = date_time_ymd(3000, 1, 1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    for (says, hint) in [
        (expired, "has expired"),
        (early, "is not valid yet"),
        (certificate("other.example"), "is for other names"),
    ] {
        let (endpoint, pem) = server(says).await;
        fs::write(&file, pem).unwrap();
        let settings = Settings {
            ca_file: Some(file.clone()),
            ..Settings::new(&endpoint, "key")
        };
        let error = Client::new(&settings).unwrap().ready().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(hint) && !text.contains("CA file"), "{text}");
        assert!(text.contains("tried once"), "{text}");
    }
}

#[tokio::test]
async fn https_to_a_server_that_speaks_http_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            _ = stream.read(&mut request).await;
            _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let client = Client::new(&Settings::new(format!("https://localhost:{port}"), "key")).unwrap();
    let error = client.ready().await.unwrap_err();
    assert!(
        error.to_string().contains("should begin with http://"),
        "{error}"
    );
}
