//! The connection to a provider: its socket, and TLS, done properly or, for tests, wrongly.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::error::StartError;
use crate::tls;

/// How the connection is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    #[default]
    Plaintext,
    /// As in Terraform: each side knows the other's certificate.
    MutualTls,
    /// The provider expects a certificate and the driver shows none. The provider must refuse.
    NoCertificate,
    /// The driver shows another certificate than it announced. The provider must refuse.
    WrongCertificate,
    /// The driver shows the certificate that it announced, without holding its key. The provider must refuse.
    StolenCertificate,
}

/// Presents a certificate and signs with any key.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A certificate as text.
pub(super) fn pem(certificate: &[u8]) -> String {
    let base64 = STANDARD.encode(certificate);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// A certificate and its key.
pub(super) type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// How the driver secures its side, for a provider that `announced` this certificate.
pub(super) fn client_tls(
    security: Security,
    own: Option<Identity>,
    announced: Option<CertificateDer<'static>>,
) -> Result<Option<TlsConnector>, StartError> {
    let Some(own) = own else { return Ok(None) };
    let failed = |error: &dyn std::error::Error| StartError::Connection(error.to_string());
    let no_certificate = || StartError::Connection("the provider announced no certificate".into());
    let mut roots = RootCertStore::empty();
    roots
        .add(announced.ok_or_else(no_certificate)?)
        .map_err(|e| failed(&e))?;
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?
        .with_root_certificates(roots);
    let other = tls::self_signed().map_err(|e| failed(&e))?;
    let (certificate, key) = match security {
        Security::WrongCertificate => other,
        Security::StolenCertificate => (own.0, other.1),
        Security::Plaintext | Security::MutualTls | Security::NoCertificate => own,
    };
    let mut config = match security {
        Security::NoCertificate => builder.with_no_client_auth(),
        _ => {
            let key = any_supported_type(&key).map_err(|e| failed(&e))?;
            let shown = CertifiedKey::new(vec![certificate], key);
            builder.with_client_cert_resolver(Arc::new(Shown(Arc::new(shown))))
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(Arc::new(config).into()))
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects to a provider's socket.
pub(super) async fn connect(
    socket: PathBuf,
    tls: Option<TlsConnector>,
    patience: Duration,
) -> Result<Channel, StartError> {
    let connector = tower::service_fn(move |_| {
        let (socket, tls) = (socket.clone(), tls.clone());
        async move {
            let stream = UnixStream::connect(socket).await?;
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => {
                    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                    Box::new(tls.connect(name, stream).await?)
                }
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let endpoint = Endpoint::from_static("http://localhost").connect_timeout(patience);
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| StartError::Connection(format!("{error:?}")))
}
