//! The certificate of this server: read from files, and again when these change.

mod validity;

use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use rustls::{
    Error, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::signal::unix::Signal;

use crate::metrics::Metrics;

/// Interval at which the files are looked at. Both have to look the same twice, since they are replaced one after the other.
const LOOK: Duration = Duration::from_secs(2);

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and those between it and the authority, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// What tells one version of a file from another.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// What was made of the files.
struct Loaded {
    config: Arc<ServerConfig>,
    not_after: Option<i64>,
}

/// The certificate in use.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    /// As the files were before they were first read.
    first: [Stamp; 2],
    config: RwLock<Arc<ServerConfig>>,
    metrics: Arc<Metrics>,
}

impl Files {
    /// Both as they are now.
    fn stamps(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            let (device, inode, size) = (file.dev(), file.ino(), file.size());
            Some((device, inode, size, file.mtime(), file.mtime_nsec()))
        })
    }

    fn load(&self) -> anyhow::Result<Loaded> {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        let text = fs::read(&self.certificate)
            .with_context(|| format!("cannot read the certificate {certificate}"))?;
        let chain = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("{certificate} is not a PEM file"))?;
        anyhow::ensure!(
            !chain.is_empty(),
            "{certificate} has no certificate in PEM format, which begins with -----BEGIN CERTIFICATE-----"
        );
        let not_after = chain.first().and_then(|first| validity::not_after(first));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .context("TLS can't be set up")?
            .with_no_client_auth()
            .with_single_cert(chain, read_key(&self.key)?);
        let mut config = match config {
            Ok(config) => config,
            Err(Error::InconsistentKeys(_)) => anyhow::bail!(
                "the key in {key} does not belong to the first certificate in {certificate}"
            ),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "the certificate in {certificate} can't be used with the key in {key}, which must be RSA, ECDSA with \
                     P-256 or P-384, or Ed25519"
                )
            })?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Loaded {
            config: Arc::new(config),
            not_after,
        })
    }
}

/// A key that this server's user, and at most its group, may read.
fn read_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let shown = path.display();
    let unreadable = || format!("cannot read the key {shown}");
    let mut file = fs::File::open(path).with_context(unreadable)?;
    let mode = file.metadata().with_context(unreadable)?.mode() & 0o777;
    anyhow::ensure!(
        mode & 0o007 == 0,
        "the key {shown} has mode {mode:04o}, so every user of this machine can use it; take that away, such as with: \
         chmod 0640 {shown}"
    );
    let mut text = Vec::new();
    file.read_to_end(&mut text).with_context(unreadable)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => anyhow::bail!(
            "{shown} has no private key in PEM format that is not encrypted; it begins with -----BEGIN PRIVATE KEY-----, or \
             with EC or RSA before PRIVATE"
        ),
        // Says nothing about what the file contains.
        Err(_) => anyhow::bail!("{shown} is not a PEM file"),
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When they can't be read or used, do not belong together, or others can read the key.
    pub fn load(files: Files, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let first = files.stamps();
        let loaded = files.load()?;
        announce(&loaded, &metrics);
        Ok(Self {
            files,
            first,
            config: RwLock::new(loaded.config),
            metrics,
        })
    }

    /// What the next connection is answered with.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }

    /// Takes the files again when they change, and when `hangup` comes. With files that can't be used the old certificate
    /// stays. Never ends.
    pub async fn keep_up_to_date(self: Arc<Self>, mut hangup: Signal) {
        let mut used = self.first;
        let mut seen = used;
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => {}
                () = tokio::time::sleep(LOOK) => {
                    let before = std::mem::replace(&mut seen, self.stamps().await);
                    if seen == used || seen != before {
                        continue;
                    }
                }
            }
            used = self.stamps().await;
            seen = used;
            let tls = Arc::clone(&self);
            // Files may be slow.
            if let Err(error) = tokio::task::spawn_blocking(move || tls.reload()).await {
                tracing::error!(%error, "the certificate could not be read again");
            }
        }
    }

    async fn stamps(self: &Arc<Self>) -> [Stamp; 2] {
        let tls = Arc::clone(self);
        let stamps = tokio::task::spawn_blocking(move || tls.files.stamps());
        stamps.await.unwrap_or_default()
    }

    fn reload(&self) {
        match self.files.load() {
            Ok(loaded) => {
                announce(&loaded, &self.metrics);
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = loaded.config;
            }
            Err(error) => {
                self.metrics.certificate_not_reloaded();
                tracing::error!(
                    "the certificate was not replaced, and the one before stays in use: {error:#}"
                );
            }
        }
    }
}

/// Logs and counts what is in use from now on.
fn announce(loaded: &Loaded, metrics: &Metrics) {
    let Some(not_after) = loaded.not_after else {
        tracing::warn!("when the certificate expires could not be read from it");
        return;
    };
    metrics.certificate_expires(not_after);
    let until = time::OffsetDateTime::from_unix_timestamp(not_after).ok();
    let until = until.map(|until| until.to_string()).unwrap_or_default();
    if not_after < time::OffsetDateTime::now_utc().unix_timestamp() {
        tracing::error!(%until, "the certificate has expired, and clients will refuse it");
    } else {
        tracing::info!(%until, "the certificate is in use");
    }
}
