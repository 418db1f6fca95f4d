//! Mutual TLS between Terraform and the provider, on the socket between them.
//!
//! Both sides generate a certificate for this one run and announce it to the other: Terraform in the environment, we in the
//! handshake line. So there is no chain to check. We accept exactly that client certificate, and the client must prove
//! that it holds the key. Terraform's key is on the curve P-521, which ring lacks; `p521` has it.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

/// The server's side: settings for the listener and the certificate to announce.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) certificate: CertificateDer<'static>,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the client certificate in PLUGIN_CLIENT_CERT is not readable: {0}")]
    ClientCertificate(rustls::pki_types::pem::Error),
    #[error("no certificate could be generated: {0}")]
    OwnCertificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] Error),
}

/// Generates a certificate for this run and accepts only the client whose certificate is `client_pem`.
pub(crate) fn server(client_pem: &[u8]) -> Result<ServerTls, TlsError> {
    let client = CertificateDer::from_pem_slice(client_pem).map_err(TlsError::ClientCertificate)?;
    let (certificate, key) = self_signed()?;
    let crypto = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&crypto))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(PinnedClient::new(client, &crypto)))
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(ServerTls {
        config: Arc::new(config),
        certificate,
    })
}

/// A fresh key and a certificate for it, as both sides use them.
pub(crate) fn self_signed()
-> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()])?;
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.self_signed(&key)?;
    Ok((
        certificate.der().clone(),
        PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    ))
}

/// Accepts one certificate and no other.
#[derive(Debug)]
struct PinnedClient {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedClient {
    fn new(certificate: CertificateDer<'static>, crypto: &CryptoProvider) -> Self {
        Self {
            certificate,
            algorithms: crypto.signature_verification_algorithms,
        }
    }

    fn algorithms_for(&self, scheme: SignatureScheme) -> &WebPkiSupportedAlgorithms {
        match scheme {
            SignatureScheme::ECDSA_NISTP521_SHA512 => &P521_ONLY,
            _ => &self.algorithms,
        }
    }
}

impl ClientCertVerifier for PinnedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ClientCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            self.algorithms_for(signed.scheme),
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            self.algorithms_for(signed.scheme),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = P521_ONLY.supported_schemes();
        schemes.extend(self.algorithms.supported_schemes());
        schemes
    }
}

static P521_ONLY: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&P521Sha512],
    mapping: &[(SignatureScheme::ECDSA_NISTP521_SHA512, &[&P521Sha512])],
};

/// ECDSA on P-521 with SHA-512, checked by the `p521` crate.
#[derive(Debug)]
struct P521Sha512;

impl SignatureVerificationAlgorithm for P521Sha512 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key =
            p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature =
            p521::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature)
            .map_err(|_| InvalidSignature)
    }
}

#[cfg(test)]
mod tests {
    use p521::ecdsa::signature::Signer;
    use p521::ecdsa::{Signature, SigningKey};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        // The first of the 66 bytes must stay below the order of the curve.
        let mut scalar = [seed; 66];
        scalar[0] = 0;
        SigningKey::from_slice(&scalar).unwrap()
    }

    #[test]
    fn p521_signatures_are_checked() {
        let public =
            |key: &SigningKey| p521::ecdsa::VerifyingKey::from(key).to_encoded_point(false);
        let signature: Signature = key(7).sign(b"hello");
        let signature = signature.to_der();
        let check = |by: u8, message: &[u8], signature: &[u8]| {
            P521Sha512.verify_signature(public(&key(by)).as_bytes(), message, signature)
        };
        assert!(check(7, b"hello", signature.as_bytes()).is_ok());
        assert!(
            check(7, b"hallo", signature.as_bytes()).is_err(),
            "another message"
        );
        assert!(
            check(8, b"hello", signature.as_bytes()).is_err(),
            "another key"
        );
        assert!(check(7, b"hello", b"junk").is_err());
        assert!(
            P521Sha512
                .verify_signature(b"no key", b"hello", signature.as_bytes())
                .is_err()
        );
    }

    #[test]
    fn only_the_pinned_certificate_is_accepted() {
        let (pinned, _) = self_signed().unwrap();
        let (other, _) = self_signed().unwrap();
        let verifier = PinnedClient::new(pinned.clone(), &ring::default_provider());
        let now = UnixTime::now();
        assert!(verifier.verify_client_cert(&pinned, &[], now).is_ok());
        assert!(verifier.verify_client_cert(&other, &[], now).is_err());
        assert!(verifier.client_auth_mandatory());
        let schemes = verifier.supported_verify_schemes();
        assert!(schemes.contains(&SignatureScheme::ECDSA_NISTP521_SHA512));
        assert!(schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256));
    }
}
