//! An authority of the test's own, and the files of a server that it vouches for.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, pki_types::CertificateDer};

/// When certificates expire, unless a test says otherwise: 2049-01-01.
pub(crate) const EXPIRY: i64 = 2_493_072_000;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate for `localhost` and 127.0.0.1.
pub(crate) struct Pair {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Certificate and key of a server, in a directory of their own.
pub(crate) struct Files {
    dir: tempfile::TempDir,
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A new certificate that expires at the beginning of that year.
    pub(crate) fn issue(&self, expires: i32) -> Pair {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(expires, 1, 1);
        // Of its own, or other programs take it for one that vouches for itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            der: made.der().clone(),
            certificate: pem("CERTIFICATE", made.der()) + &self.pem(),
            key: pem("PRIVATE KEY", &key.serialize_der()),
        }
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

impl Files {
    pub(crate) fn new(pair: &Pair) -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        files.write(pair);
        files
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir().join("tls.crt")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir().join("tls.key")
    }

    /// Writes both in place.
    pub(crate) fn write(&self, pair: &Pair) {
        fs::write(self.certificate(), &pair.certificate).unwrap();
        fs::write(self.key(), &pair.key).unwrap();
        fs::set_permissions(self.key(), fs::Permissions::from_mode(0o640)).unwrap();
    }

    /// The variables that make a server use them.
    pub(crate) fn variables(&self) -> [(String, String); 2] {
        [
            ("IPAM_TLS_CERT", self.certificate()),
            ("IPAM_TLS_KEY", self.key()),
        ]
        .map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()))
    }
}
